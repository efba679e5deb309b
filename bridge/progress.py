"""How far long work is, on stderr: a bar on a terminal, and lines now and then everywhere else.

Called by training, by the simulated camera and, through `tools/report.py`, by all commands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# Until the first line, and at most from one line to the next, so that a log stays short.
FIRST_S, LONGEST_S = 2.0, 32.0


class Work:
    """Work that goes on: call it with the number of items just done, and of events just read."""

    def __init__(self, what: str, total: int | None, done: int, console: Console) -> None:
        """Begin with some items done; `total` is None where nobody knows how many there are."""
        self._what, self._total, self._done, self._console = what, total, done, console
        self._events = 0

    def __call__(self, done: int, events: int = 0) -> None:
        """Take note of what was just done."""
        self._done += done
        self._events += events

    def say(self, line: str) -> None:
        """Print a line that stays, of what has just come out."""
        self._console.print(line, highlight=False, markup=False)


class _Bar(Work):
    """On a terminal."""

    def show_in(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task(self._what, total=self._total, completed=self._done)

    def __call__(self, done: int, events: int = 0) -> None:
        super().__call__(done, events)
        words = f"{self._what}, {self._events:,} events" if self._events else self._what
        self._progress.update(self._task, completed=self._done, description=words)


class _Lines(Work):
    """Into a file or pipe, which would keep every state of a bar.

    A line comes after two seconds of silence, the next ones after twice as long each.
    """

    def tell_until(self, ended: threading.Event) -> None:
        start = time.monotonic()
        self._silent_since, self._wait = start, FIRST_S
        while not ended.wait(max(0.0, self._silent_since + self._wait - time.monotonic())):
            now = time.monotonic()
            if now < self._silent_since + self._wait:  # something was said in the meantime
                continue
            self._silent_since, self._wait = now, min(2 * self._wait, LONGEST_S)
            super().say(f"{self._what}{self._far()}, {now - start:.0f} s")

    def _far(self) -> str:
        far = f": {self._done:,}" if self._total is not None or self._done else ""
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{far}{of}" + (f", {self._events:,} events" if self._events else "")

    def say(self, line: str) -> None:
        self._silent_since, self._wait = time.monotonic(), FIRST_S
        super().say(line)


@contextmanager
def progress_bar(
    what: str, total: int | None, console: Console | None = None, done: int = 0
) -> Iterator[Work]:
    """Show how far work is while the block runs, on the console of stderr.

    Yields what takes the number of items just done, `Work`.
    """
    console = Console(stderr=True) if console is None else console
    if console.quiet:
        yield Work(what, total, done, console)
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        bar = _Bar(what, total, done, console)
        with Progress(*columns, console=console, transient=True) as progress:
            bar.show_in(progress)
            yield bar
    else:
        lines, ended = _Lines(what, total, done, console), threading.Event()
        teller = threading.Thread(target=lines.tell_until, args=(ended,), daemon=True)
        teller.start()
        try:
            yield lines
        finally:
            ended.set()
            teller.join()
