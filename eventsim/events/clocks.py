"""Counters that turn over: times of cameras that count in 12, 24, 28 or 32 bits, continued.

In: the counter's values, packet by packet, from the formats of files and the wire format of UDP.
Out: times that go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Int64s, inner_kernel, kernel

# What a clock remembers: its turns, and the counter's last value, -1 before the first.
TURNS, LAST = range(2)
NEW_CLOCK = (0, -1)


@inner_kernel
def turned(clock: Int64s, counter: int, bits: int) -> int:
    """Return the time of the counter's next value, never negative.

    It turned over where it fell by half its range or more. Where it rises by as much after a turn,
    what comes is late, from before the turn; before the first turn that is a long silence.
    """
    step = counter - clock[LAST] if clock[LAST] >= 0 else 0
    turns = clock[TURNS]
    if -step >= 1 << (bits - 1):
        turns += 1
    elif step >= 1 << (bits - 1) and turns > 0:
        turns -= 1
    clock[TURNS], clock[LAST] = turns, counter
    return counter + (turns << bits)


class TurningClock:
    """A counter of so many bits, continued from packet to packet."""

    def __init__(self, bits: int) -> None:
        """Begin in the first turn."""
        self.bits = bits
        self._clock = np.array(NEW_CLOCK, np.int64)

    @property
    def turns(self) -> int:
        """How often it turned over."""
        return int(self._clock[TURNS])

    def unwrap(self, counter: NDArray[Any]) -> NDArray[np.int64]:
        """Return the times of the next values, none of them negative."""
        times = counter.astype(np.int64)
        _unwrap(self._clock, self.bits, times)
        return times


@kernel
def _unwrap(clock: Int64s, bits: int, times: Int64s) -> None:
    for i in range(len(times)):
        times[i] = turned(clock, times[i], bits)
