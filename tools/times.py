"""`eventsim run --times`: what each layer took, as a table and for JSON. Called by `run.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .report import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from eventsim import Result


def layer_seconds(results: Sequence[Result]) -> dict[str, float]:
    """Return the seconds of each layer, and of the input, over all recordings."""
    names = results[0].times or {}
    return {name: sum((one.times or {})[name] for one in results) for name in names}


def times_table(results: Sequence[Result]) -> Table:
    """Return the milliseconds a recording, and each layer's share of all."""
    table = new_table("Time a recording, on one thread", ["layer"], ["ms", "share"])
    seconds = layer_seconds(results)
    total = sum(seconds.values()) or 1.0
    for name, one in seconds.items():
        table.add_row(name, f"{1e3 * one / len(results):.3f}", f"{one / total:.1%}")
    return table
