"""N-MNIST's format, which N-Caltech101 shares: 5 bytes an event -> packets of events.

In: a path, from `registry.py`. Nothing in the file states its sensor; N-MNIST's has 34 x 34 pixels.

A record holds x, y, and in three bytes the polarity (one bit) and the time in microseconds (23).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import Events, Sensor, make_events
from .format import Contents, Format
from .records import read_records


def _decode(path: Path, size: int) -> Contents:
    return Contents(_packets(path, size), usual=Sensor(34, 34))


def _packets(path: Path, size: int) -> Iterator[Events]:
    overflows = 0
    for _, records in read_records(path, 0, size, "u1", 5):
        x, y, high, middle, low = records.astype(np.int64).T
        is_overflow = y == 240  # no event: the clock goes on by 2^13 us
        turns = overflows + np.cumsum(is_overflow)
        overflows = turns[-1]
        t = ((high & 127) << 16 | middle << 8 | low) + (turns << 13)
        yield make_events(t, x, y, high >> 7)[~is_overflow]


NMNIST = Format("N-MNIST", (".bin",), b"", _decode)
