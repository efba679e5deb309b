"""What a counter gives for one call of a module, and the counts that all weights share.

For any module (`modules.py`, `cells.py`), and for the RNN, LSTM and ANN of a structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Counted(NamedTuple):
    """Counts of each row of a batch, (batch,), or numbers that are every row's."""

    batch: int
    counts: dict[str, Tensor | int]


def arriving(x: Tensor, reach: Tensor | int) -> dict[str, Tensor]:
    """Count what the values of x (batch, channels, ...) cause that each reach so many weights.

    reach: of all of them, or of each place (1, 1, ...), as `fan_out` has it.
    """
    ones, some = _reached(x == 1, reach), nonzero(x, reach)
    return {"input_events": nonzero(x, 1), "acs": ones, "macs": some - ones}


def nonzero(x: Tensor, reach: Tensor | int) -> Tensor:
    """Return the operations of all values that are not 0, (batch,)."""
    return _reached(x != 0, reach)


def _reached(chosen: Tensor, reach: Tensor | int) -> Tensor:
    """Return the operations of chosen values, (batch,): added up over the channels first."""
    return (chosen.sum(dim=1, keepdim=True) * reach).flatten(1).sum(dim=1)


def add_up(total: dict[str, Tensor | int], counts: Mapping[str, Tensor | int]) -> None:
    """Add counts to a total."""
    for count, found in counts.items():
        total[count] = total.get(count, 0) + found
