"""What stands in for a clock and for a console in the tests of the benchmark."""

from __future__ import annotations

from typing import Any

from rich.table import Table


class Clock:
    """Stands in for `time`: it goes on by what runs take, or at each look a little more."""

    def __init__(self, *, by_looks: bool = False) -> None:
        self.now, self.slept, self._by_looks = 0.0, [], by_looks  # type: ignore[var-annotated]
        self._looks = 0

    def perf_counter(self) -> float:
        self._looks += 1
        self.now += (0.02 + 0.001 * self._looks) * self._by_looks
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Printed:
    """Stands in for a console: the cells of tables, row by row, and sentences."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.sentences: list[str] = []

    def print(self, what: Any, **more: Any) -> None:
        if isinstance(what, Table):
            self.rows += map(list, zip(*(column.cells for column in what.columns), strict=True))
        else:
            self.sentences.append(what)
