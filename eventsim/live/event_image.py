"""Events at each pixel since somebody last looked: what a live view shows of a sensor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events.arrays import EVENT_DTYPE, Events
from ..jit import Compiled, compiled_for, kernel


class EventImage:
    """Counts of OFF and ON events, (2, height, width), at most 255 a pixel."""

    def __init__(self, width: int, height: int) -> None:
        """Begin without events."""
        self._counts = np.zeros((2, height, width), np.uint8)
        self._add = _compiled_add()

    def add(self, events: Events) -> None:
        """Count a packet; every event must lie on the image."""
        self._add(events, self._counts)

    def take(self) -> NDArray[np.uint8]:
        """Return the counts, and begin again."""
        counts = self._counts
        self._counts = np.zeros_like(counts)
        return counts


@cache
def _compiled_add() -> Compiled:
    return compiled_for(_add, np.empty(1, EVENT_DTYPE), np.empty((2, 1, 1), np.uint8))


@kernel
def _add(events: Any, counts: Any) -> None:
    for i in range(len(events)):
        on = 1 if events[i].on else 0
        y, x = np.int64(events[i].y), np.int64(events[i].x)
        if counts[on, y, x] < 255:
            counts[on, y, x] += 1
