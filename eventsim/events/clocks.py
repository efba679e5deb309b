"""Counters that turn over: times of cameras that count in 12, 24, 28 or 32 bits, continued.

In: the counter's values, packet by packet, from the formats of files and the wire format of UDP.
Out: times that go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class TurningClock:
    """A counter of so many bits, continued from packet to packet.

    It turned over where it fell by half its range or more. Where it rises by as much after a turn,
    what comes is late, from before the turn; before the first turn that is a long silence.
    """

    def __init__(self, bits: int) -> None:
        """Begin in the first turn."""
        self.bits = bits
        self.turns = 0
        self.last: int | None = None

    def unwrap(self, counter: NDArray[Any]) -> NDArray[np.int64]:
        """Return the times of the next values, none of them negative."""
        count: NDArray[np.int64] = counter.astype(np.int64)
        if len(count) == 0:
            return count
        half = 1 << (self.bits - 1)
        step = np.diff(count, prepend=count[0] if self.last is None else self.last)
        changes = np.zeros(len(count), np.int64)
        turns = self.turns
        for at in np.flatnonzero(np.abs(step) >= half).tolist():  # few
            changes[at] = 1 if step[at] < 0 else -min(turns, 1)
            turns += changes[at]
        unwrapped = count + (self.turns + np.cumsum(changes) << self.bits)
        self.turns, self.last = int(turns), int(count[-1])
        return unwrapped
