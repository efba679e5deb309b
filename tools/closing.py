"""What a command ends with: what its numbers mean, and what to do next. All of it on stderr."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .report import notes

if TYPE_CHECKING:
    from eventsim import Operations, Result


def called() -> str:
    """Return what to type to call this command again: its path, where its name finds another."""
    own, named = Path(sys.argv[0]), shutil.which("eventsim")
    if own.name != "eventsim" or not own.exists() or (named and own.samefile(named)):
        return "eventsim"
    try:
        return shlex.quote(str(own.absolute().relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(own.absolute()))


def say_next(**steps: str) -> None:
    """Suggest commands, arguments by what they are for; "_" in a keyword is a space."""
    notes.print("Next:", highlight=False)
    for purpose, arguments in steps.items():
        line = f"  {called()} {arguments}"
        notes.print(
            f"{line:<52}  {purpose.replace('_', ' ')}", highlight=False, markup=False,
            soft_wrap=True,
        )  # fmt: skip


def say_written(*paths: Path | None) -> None:
    """Name the files that were written, of those that were asked for."""
    written = [str(path) for path in paths if path is not None and str(path) != "-"]
    if written:
        notes.print(f"Wrote {', '.join(written)}", highlight=False, markup=False, soft_wrap=True)


def say_share(operations: Operations) -> None:
    """Say what the last column of the table of operations means."""
    total = operations.total
    if total.sops and total.dense_macs:
        times = total.dense_macs / total.sops
        notes.print(
            f"SOPs / dense: of the weights that a dense framework multiplies in these timesteps, "
            f"{total.sops / total.dense_macs:.2%} were added: {times:,.3g} times fewer.",
            highlight=False,
        )


def say_outside_the_grid(results: Iterable[Result], encoding: str) -> None:
    """Say how many events the network did not see, how many were merged, and what that changes."""
    events = early = late = merged = 0
    for result in results:
        events += result.events
        early += result.events_early
        late += result.events_late
        merged += result.events_merged
    if early or late:
        notes.print(
            f"Of {events:,} events {late:,} came after the last timestep and {early:,} before the "
            f"first: the network has not seen them (--steps sets the number of timesteps).",
            highlight=False,
        )
    if merged:
        what = "they count as one, as in training" if encoding == "binary" else "they are added up"
        notes.print(
            f"{merged:,} of {events:,} events ({merged / events:.1%}) shared a pixel, polarity and "
            f"timestep with another: {what}. A network with a shorter timestep merges fewer.",
            highlight=False,
        )
