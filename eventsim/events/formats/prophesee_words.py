"""The loops of Prophesee's formats: words -> events, in one pass.

In: the words of a block, from `prophesee.py`, and what those before it left in `state`. Out: events
in an array that is there, until it is full; and what cannot be used, in `found`. Decoded by NumPy,
in passes over whole columns, EVT 3.0 took seven times as long as faery takes, and EVT 2.0 and DAT
three to six times as long as expelliarmus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...jit import Int64s, inner_kernel, kernel
from ...vectors import lowest_bit
from ..clocks import LAST, NEW_CLOCK, TURNS, turned

# What `state` has: the clock of `clocks.py`, then the high and the low part of the time, row,
# next column of a vector, and its polarity; -1 where no word has said it yet.
HIGH, LOW, ROW, COLUMN, ON = range(2, 7)
# The rows of `found`, and what it says of each: how many, the first one's number, and its value.
UNDEFINED_TYPE, NO_ROW, NO_COLUMN, NO_TIME, WILD_COLUMN, WILD_ON = range(6)
COUNT, FIRST, VALUE = range(3)

MOST_OF_WORD = 32  # events


def new_state() -> Int64s:
    """Return the state before the first word."""
    return np.array([*NEW_CLOCK, -1, 0, -1, 0, -1], np.int64)


def nothing_found() -> Int64s:
    """Return `found` without faults."""
    return np.zeros((6, 3), np.int64)


@inner_kernel
def _note(found: Int64s, fault: int, count: int, number: int, value: int) -> None:
    if found[fault, COUNT] == 0:
        found[fault, FIRST], found[fault, VALUE] = number, value
    found[fault, COUNT] += count


@inner_kernel
def _put(event: Any, t: int, x: int, y: int, on: int) -> None:
    event.t = t
    event.x = x
    event.y = y
    event.on = on != 0


@kernel
def decode_dat(
    words: NDArray[np.uint32], begin: int, first: int, t0: int, x_bits: int, y_bits: int,
    on_bits: int, state: Int64s, found: Int64s, events: Any,
) -> tuple[int, int]:  # fmt: skip
    """Decode pairs of words, a time and an address, from word `begin` on.

    first: the number of the first record. Returns up to which word it came, and how many events
    it made; so do the others.
    """
    made, at = np.uintp(0), np.uintp(begin)  # signed ones took a tenth longer
    last, turns = state[LAST], state[TURNS]  # here, as the loop does not know what they share
    while at < len(words) and made < len(events):
        counter, address = np.int64(words[at]), np.int64(words[at + np.uintp(1)])
        if last < 0 or abs(counter - last) >= 1 << 31:
            state[LAST] = last
            turned(state, counter, 32)
            turns = state[TURNS]
        last = counter
        x, y = address & ((1 << x_bits) - 1), address >> x_bits & ((1 << y_bits) - 1)
        on = address >> (x_bits + y_bits) & ((1 << on_bits) - 1)
        if on > 1:
            _note(found, WILD_ON, 1, first + np.int64(at) // 2, on)
        else:
            _put(events[made], counter + (turns << 32) + t0, x, y, on)
            made += np.uintp(1)
        at += np.uintp(2)
    state[LAST] = last
    return int(at), int(made)


@kernel
def decode_evt2(
    words: NDArray[np.uint32] | NDArray[np.int64], begin: int, first: int, t0: int,
    state: Int64s, found: Int64s, events: Any,
) -> tuple[int, int]:  # fmt: skip
    """Decode words of EVT 2.0: the high part of the time, or an event with the low one.

    Those of EVT 2.1, of 64 bits, are the same in the upper half, and in the lower one say which of
    32 neighbours in a row sent events at once.
    """
    made, high = 0, state[HIGH]
    half = 8 * words.itemsize - 32  # known when this is compiled, so 2.0 does not pay for 2.1
    for at in range(begin, len(words)):
        if made + MOST_OF_WORD > len(events):
            state[HIGH] = high
            return at, made
        whole = np.int64(words[at])
        word = whole >> half
        kind = word >> 28 & 15
        if kind <= 0x1:
            if high < 0:
                _note(found, NO_TIME, 1, first + at, kind)
                continue
            t = (high << 6) + (word >> 22 & 63) + t0
            x, y = word >> 11 & 0x7FF, word & 0x7FF
            if half == 0:
                _put(events[made], t, x, y, kind)
                made += 1
                continue
            pixels = whole & 0xFFFFFFFF
            while pixels:
                _put(events[made], t, x + np.int64(lowest_bit(np.uint64(pixels))), y, kind)
                made += 1
                pixels &= pixels - 1
        elif kind == 0x8:
            high = turned(state, word & 0xFFFFFFF, 28)
        elif kind not in (0xA, 0xE, 0xF):
            _note(found, UNDEFINED_TYPE, 1, first + at, kind)
    state[HIGH] = high
    return len(words), made


@kernel
def decode_evt3(
    words: NDArray[np.uint16], begin: int, first: int, t0: int, state: Int64s, found: Int64s,
    events: Any,
) -> tuple[int, int]:  # fmt: skip
    """Decode words of 16 bits, each of which changes a part of the state or emits events."""
    made, at = 0, begin
    high, low, y, x, on = state[HIGH], state[LOW], state[ROW], state[COLUMN], state[ON]
    while at < len(words) and made + 12 <= len(events):
        kind, value = np.int64(words[at]) >> 12, np.int64(words[at]) & 0xFFF
        if kind == 0x2:
            if y < 0:
                _note(found, NO_ROW, 1, first + at, kind)
            elif high < 0:
                _note(found, NO_TIME, 1, first + at, kind)
            else:
                _put(events[made], (high << 12) + low + t0, value & 0x7FF, y, value >> 11)
                made += 1
        elif kind == 0x0:
            y = value & 0x7FF
        elif kind == 0x6:
            low = value
        elif kind == 0x3:
            x, on = value & 0x7FF, value >> 11
        elif kind == 0x4 or kind == 0x5:
            width = 12 if kind == 0x4 else 8
            pixels = value & ((1 << width) - 1)
            while pixels:
                column = x + np.int64(lowest_bit(np.uint64(pixels)))
                pixels &= pixels - 1
                if y < 0:
                    _note(found, NO_ROW, 1, first + at, kind)
                elif on < 0:
                    _note(found, NO_COLUMN, 1, first + at, kind)
                elif high < 0:
                    _note(found, NO_TIME, 1, first + at, kind)
                elif column > 0xFFFF:
                    _note(found, WILD_COLUMN, 1, first + at, column)
                else:
                    _put(events[made], (high << 12) + low + t0, column, y, on)
                    made += 1
            x += width
        elif kind == 0x8:
            # A new TIME_HIGH makes the low half 0 until the next TIME_LOW; keeping the old one, as
            # expelliarmus does, puts the events in between up to 4095 us too late.
            new = turned(state, value, 12)
            low = 0 if new != high else low
            high = new
        elif kind not in (0x7, 0xA, 0xE, 0xF):
            _note(found, UNDEFINED_TYPE, 1, first + at, kind)
        at += 1
    state[HIGH], state[LOW], state[ROW], state[COLUMN], state[ON] = high, low, y, x, on
    return at, made
