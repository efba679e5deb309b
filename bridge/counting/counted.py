"""What a counter gives for one call of a module, and the count that all weights share."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Counted(NamedTuple):
    """Counts of each row of a batch, (batch,), or numbers that are every row's."""

    batch: int
    counts: dict[str, Tensor | int]


def arriving(x: Tensor, reach: Tensor | int) -> dict[str, Tensor | int]:
    """Count what the values of x (batch, ...) cause that each reach so many weights."""
    ones = ((x == 1) * reach).flatten(1).sum(dim=1)
    events = (x != 0).flatten(1).sum(dim=1)
    return {"input_events": events, "acs": ones, "macs": nonzero(x, reach) - ones}


def nonzero(x: Tensor, reach: Tensor | int) -> Tensor:
    """Return the operations of all values that are not 0, (batch,)."""
    return ((x != 0) * reach).flatten(1).sum(dim=1)


def add_up(total: dict[str, Tensor | int], counts: dict[str, Tensor | int]) -> None:
    """Add counts to a total."""
    for count, found in counts.items():
        total[count] = total.get(count, 0) + found
