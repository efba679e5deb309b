"""Contestants in turn, several times over, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

ENGINE = "eventsim"  # from raw events
ENGINE_BINNED = "eventsim, binned"
ENGINE_ONE_BY_ONE = "eventsim, one by one"

# Threads of the contestant before go on spinning for a while after their last loop; with as many
# cores as threads they would take time from the next one.
PAUSE_S = 0.05
# The pause also cools the caches, so what is shorter runs again and again for this long.
SHORTEST_S = 0.02


@dataclass(frozen=True)
class Contestant:
    """Somebody who does the same work as the others."""

    name: str
    threads: int
    run: Callable[[], object]  # sets its own number of threads
    given: str = ""  # what lies ready before the clock starts


@dataclass(frozen=True)
class Timing:
    """The times of one contestant."""

    name: str
    threads: int
    seconds: tuple[float, ...]  # of each counted round, for one sample
    given: str = ""

    @property
    def median(self) -> float:
        """The median, in seconds a sample."""
        return statistics.median(self.seconds)

    def as_dict(self, timings: Sequence[Timing]) -> dict[str, Any]:
        """Return all for JSON; `timings` has the engine's among them."""
        return {
            "name": self.name,
            "given": self.given,
            "threads": self.threads,
            "seconds_a_sample": list(self.seconds),
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "times_the_engine": times_the_engine(self, timings),
        }


def take_turns(
    contestants: Iterable[Contestant],
    repeats: int,
    samples: int,
    advance: Callable[[int], None],
    *,
    shortest_s: float = SHORTEST_S,
) -> list[Timing]:
    """Run every contestant once to warm up, then `repeats` rounds of everybody in turn.

    `samples`: how many one run goes through; times are divided by it. `advance` is called with 1
    after each run. What takes less than `shortest_s` runs several times in a round.
    """
    contestants = list(contestants)
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn in range(repeats + 1):
        for contestant, times in zip(contestants, seconds, strict=True):
            time.sleep(PAUSE_S)
            seconds_a_run = _time(contestant.run, shortest_s)
            if turn:
                times.append(seconds_a_run / samples)
            advance(1)
    return [
        Timing(contestant.name, contestant.threads, tuple(times), contestant.given)
        for contestant, times in zip(contestants, seconds, strict=True)
    ]


def _time(run: Callable[[], object], shortest_s: float) -> float:
    """Run once, or until so many seconds have passed; return the seconds of one run."""
    start = time.perf_counter()
    runs, passed = 0, 0.0
    while passed < shortest_s:
        run()
        runs += 1
        passed = time.perf_counter() - start
    return passed / runs


def times_the_engine(timing: Timing, timings: Iterable[Timing]) -> float:
    """Return the ratio of medians to the engine's on as many threads: above 1, it is faster."""
    for other in timings:
        if other.name == ENGINE and other.threads == timing.threads:
            return timing.median / other.median
    raise KeyError(f"no {ENGINE} on {timing.threads} threads")
