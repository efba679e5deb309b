"""matplotlib figures with the look of all pictures, and the files that they become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RASTERED = 20_000  # dots from which on a PDF or SVG holds them as an image


@contextmanager
def figure_of(width: float, height: float) -> Iterator[Any]:
    """Make a figure of so many inches; no global state, no display needed."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from eventsim.colours import LIGHT

    style: Any = {
        "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"),
            LIGHT.ink,
        ),
        # Text stays text, so that it can be searched, copied and edited; and the same picture is
        # the same file, whenever it is drawn.
        "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "eventsim",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Any]:
    """Make a figure, and write it in the format of the file's suffix when the block ends."""
    from eventsim.files import replacing

    kind = path.suffix.lower().removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    with figure_of(width, height) as figure:
        yield figure
        with replacing(path) as file:
            figure.savefig(file, dpi=120, format=kind, metadata=dates[kind])


def dots(count: int) -> dict[str, Any]:
    """Return how so many dots are drawn: where they are few, large enough to be seen."""
    size = 3.0 if count < 1000 else 2.2 if count < 20_000 else 1.2
    return {"ls": "none", "marker": ".", "ms": size, "mew": 0, "rasterized": count > RASTERED}


def bare(axes: Any) -> None:
    """Take ticks and spines from what is an image."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def on_minus_off() -> Any:
    """Return the colour map of ON minus OFF, or of weights by their sign."""
    from matplotlib.colors import LinearSegmentedColormap

    from eventsim.colours import LIGHT

    return LinearSegmentedColormap.from_list("on-off", [LIGHT.off, LIGHT.paper, LIGHT.on])


def tiled(values: Any, fill: float) -> Any:
    """Return what neurons of a shape (channels, height, width) have as one image.

    Maps stand side by side, a line of `fill` between them; the neurons of a vector in rows.
    """
    import numpy as np

    channels, height, width = values.shape
    square = np.sqrt(channels * height / width)
    whole = [one for one in range(1, channels + 1) if channels % one == 0]
    columns = min(whole, key=lambda one: abs(np.log(one / square)))
    if not 0.6 < columns / square < 1.7:  # a number without divisors: the last row is not full
        columns = int(np.ceil(square))
    rows = -(-channels // columns)
    gap = 0 if height == width == 1 else 1
    image = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill, float)
    for channel in range(channels):
        top, left = (channel // columns) * (height + gap), (channel % columns) * (width + gap)
        image[top : top + height, left : left + width] = values[channel]
    return image
