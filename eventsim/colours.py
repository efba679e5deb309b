"""The colours of every picture, of the terminal's view and of the page, in one place.

ON is blue and OFF is orange everywhere, which the colour-blind tell apart too; what a network
answers is violet, what it executes is green, and what a dense network would execute is grey.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Colours(NamedTuple):
    """One colour for each meaning, as #rrggbb."""

    paper: str
    ink: str  # text, lines, spikes
    on: str
    off: str
    answer: str
    executed: str
    dense: str
    curves: tuple[str, ...]  # of what is only counted through, such as layers


LIGHT = Colours(
    "#ffffff", "#1c1f24", "#0b6bcb", "#d96a00", "#7a3fb5", "#008f68", "#a9b1ba",
    ("#b2568c", "#8a7300", "#2b9fd4", "#4d7c0f", "#6d5bd0", "#a0522d"),
)  # fmt: skip
DARK = Colours(
    "#181c21", "#e6e8eb", "#58a6ff", "#ff9f40", "#c79bf2", "#34c79b", "#7b8691",
    ("#e296c4", "#d9c64a", "#8fd3f5", "#a3d160", "#a99bf5", "#d99a76"),
)  # fmt: skip


def rgb(colour: str) -> NDArray[np.int64]:
    """Return red, green and blue, 0 to 255, of #rrggbb."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])


def mixed(on: NDArray[Any], off: NDArray[Any], colours: Colours = LIGHT) -> NDArray[np.uint8]:
    """Return a picture of events, (height, width, 3), from the strength of ON and OFF, 0 to 1.

    Both together are the sum of how far each is from the paper.
    """
    paper, strong, weak = rgb(colours.paper), rgb(colours.on), rgb(colours.off)
    far = on[..., None] * (strong - paper) + off[..., None] * (weak - paper)
    picture: NDArray[np.uint8] = np.clip(paper + far, 0, 255).astype(np.uint8)
    return picture
