"""Lines of numbers in text -> exact numbers; the loop behind `text.py`.

Compiled here and not read by a library: on 500,000 lines of four whole numbers pandas read 9 to 11
million events/s and polars 10 to 15 (two cores), and this is faster on one; numbers stay exact, and
the first bad line is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...jit import Int64s, inner_kernel, kernel

DIGITS = 18  # that always fit 64 bits
SOUND, BAD_LINE, BAD_VALUE = range(3)
_TRUE, _FALSE = np.frombuffer(b"true", np.uint8), np.frombuffer(b"false", np.uint8)


class Table(NamedTuple):
    """Room for the events of a block of lines."""

    t: Int64s  # in microseconds
    x: Int64s
    y: Int64s
    on: Int64s
    line: Int64s  # where each event stands, from the first line of the block on


def table_of(rows: int) -> Table:
    """Allocate a table."""
    return Table(*(np.empty(rows, np.int64) for _ in Table._fields))


@inner_kernel
def _is_separator(byte: int) -> bool:
    return byte in (32, 9, 44, 59, 124)  # space, tab, comma, semicolon, bar


@inner_kernel
def _begins(text: NDArray[np.uint8], at: int, end: int, word: NDArray[np.uint8]) -> bool:
    """Tell whether a word stands there, in capitals or not."""
    same = at + len(word) <= end
    for k in range(len(word)):
        same = same and (text[at + k] | 32) == word[k]
    return same


@inner_kernel
def _scaled(mantissa: int, exponent: int) -> tuple[int, bool]:
    """Return mantissa x 10^exponent to the nearest whole number, and whether it is that exactly."""
    value, exact = mantissa, True
    if exponent < -DIGITS:
        return 0, mantissa == 0
    divisor = 1
    for _ in range(-exponent):
        divisor *= 10
    if divisor > 1:
        value = mantissa // divisor
        rest = mantissa - value * divisor
        exact = rest == 0
        if rest * 2 >= divisor:
            value += 1
    for _ in range(exponent):
        if abs(value) > 922337203685477579:
            return 2**63 - 1, value == 0
        value *= 10
    return value, exact


@kernel
def parse_lines(
    text: NDArray[np.uint8], columns: Int64s, unit: int, cells: int, table: Table, drop: int
) -> tuple[int, int, int, int, int]:
    """Parse whole lines into the table, until it is full.

    columns: the number of the column of t, x, y and polarity. unit: t in a unit of 10^unit
    microseconds. cells: how many a line has. Blank lines and those that begin with #, % or / are
    passed over. Returns the number of events, of lines, what is wrong with the line after (or
    `SOUND`), the bytes up to it, and how many bad lines were dropped, with `drop`.
    """
    rows = lines = at = dropped = 0
    fields = (table.t, table.x, table.y, table.on)
    while at < len(text) and rows < len(table.t):
        begin = at
        end = at
        while text[end] != 10:
            end += 1
        fault, cell = SOUND, 0
        while at < end and (text[at] == 32 or text[at] == 9 or text[at] == 13):
            at += 1
        if at == end or text[at] in (35, 37, 47):
            at, lines = end + 1, lines + 1
            continue
        while fault == SOUND:
            mantissa = exponent = digits = seen = 0
            negative = False
            if at < end and (text[at] == 43 or text[at] == 45):
                negative = text[at] == 45
                at += 1
            behind = 0  # 1 after the point
            while at < end:
                byte = int(text[at])
                if 48 <= byte <= 57:
                    seen += 1
                    if digits < DIGITS:
                        mantissa = mantissa * 10 + byte - 48
                        digits += 1 if mantissa > 0 else 0
                        exponent -= behind
                    elif behind == 0:
                        exponent += 1
                elif byte == 46 and behind == 0:
                    behind = 1
                else:
                    break
                at += 1
            if seen and at < end and (text[at] | 32) == 101:  # an exponent
                at += 1
                sign = 1
                if at < end and (text[at] == 43 or text[at] == 45):
                    sign = -1 if text[at] == 45 else 1
                    at += 1
                power = more = 0
                while at < end and 48 <= text[at] <= 57:
                    power = power * 10 + int(text[at]) - 48 if power < 10_000 else power
                    more += 1
                    at += 1
                exponent += sign * power
                if more == 0:
                    fault = BAD_LINE
            elif not seen:  # True or False
                if _begins(text, at, end, _TRUE):
                    at, mantissa = at + 4, 1
                elif _begins(text, at, end, _FALSE):
                    at += 5
                else:
                    fault = BAD_LINE
            for field in range(4):
                if columns[field] == cell and fault == SOUND:
                    value, exact = _scaled(mantissa, exponent + (unit if field == 0 else 0))
                    value = -value if negative else value
                    fields[field][rows] = value
                    if (field > 0 and not exact) or abs(value) == 2**63 - 1:
                        fault = BAD_VALUE
            cell += 1
            # To the next cell: spaces and tabs, and at most one other separator.
            others = 0
            start = at
            while at < end and (_is_separator(text[at]) or text[at] == 13):
                others += text[at] in (44, 59, 124)
                at += 1
            if at == end:
                break
            if at == start or others > 1:
                fault = BAD_LINE
        if fault == SOUND and cell != cells:
            fault = BAD_LINE
        if fault != SOUND:
            if not drop:
                return rows, lines, fault, begin, dropped
            dropped += 1
        else:
            table.line[rows] = lines
            rows += 1
        at, lines = end + 1, lines + 1
    return rows, lines, SOUND, at, dropped
