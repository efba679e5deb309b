"""Event arrays that every format holds, and a slow decoder of one of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from eventsim.events.arrays import Events, make_events


@st.composite
def event_arrays(draw: st.DrawFn) -> Events:
    """Events that all formats can hold: at most 8 s, and on 34 x 30 pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 300))
    gap = draw(st.sampled_from([0, 3, 500, 20_000]))
    t = 10 + draw(st.integers(0, 100_000)) + np.cumsum(rng.integers(0, gap + 1, count))
    columns = (rng.integers(0, size, count) for size in (34, 30, 2))
    return make_events(t, *columns)


def evt3_one_by_one(words: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Decode EVT 3.0 as its description reads: a state that each word changes."""
    turns = high = low = y = x = on = 0
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        if kind == 0x0:
            y = value & 0x7FF
        elif kind == 0x2:
            yield (turns * 4096 + high) * 4096 + low, value & 0x7FF, y, value >> 11
        elif kind == 0x3:
            x, on = value & 0x7FF, value >> 11
        elif kind in (0x4, 0x5):
            width = 12 if kind == 0x4 else 8
            for bit in range(width):
                if value >> bit & 1:
                    yield (turns * 4096 + high) * 4096 + low, x + bit, y, on
            x += width
        elif kind == 0x6:
            low = value
        elif kind == 0x8:
            turns += high - value >= 2048
            turns -= turns > 0 and value - high >= 2048  # from before the turn
            low = low if high == value else 0
            high = value
