"""N-MNIST's format, which N-Caltech101 shares: 5 bytes an event -> packets of events.

In: a path, from `registry.py`. Nothing in the file states its sensor; N-MNIST's has 34 x 34 pixels.

A record holds x, y, and in three bytes the polarity (one bit) and the time in microseconds (23).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import Events, make_events
from .format import Asked, Contents, Format
from .records import read_records


def _decode(path: Path, asked: Asked) -> Contents:
    return Contents(_packets(path, asked))


def _packets(path: Path, asked: Asked) -> Iterator[Events]:
    overflows = 0
    for _, records in read_records(path, 0, asked, "u1", 5):
        x, y, high, middle, low = records.T
        t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
        is_event = y != 240  # else the clock goes on by 2^13 us
        if is_event.all():  # the usual packet, read in a third less time so
            yield make_events(t + (overflows << 13), x, y, high >> 7)
            continue
        turns = overflows + np.cumsum(~is_event)
        overflows = int(turns[-1])
        yield make_events(t + (turns << 13), x, y, high >> 7)[is_event]


NMNIST = Format("N-MNIST", (".bin",), b"", _decode)
