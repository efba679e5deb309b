"""Text: a line of numbers for each event, with or without a line of names -> packets of events.

In: a path, from `registry.py`. Cells are separated by commas, semicolons, bars, tabs or spaces.
Which column is which field is found by names, or else by values; a first line of two numbers (of
the Event Camera Dataset, and e2vid's) or `x@640` and `y@480` among the names (faery's) state the
sensor. It is read here because faery 0.7.1 skips the first line unread and repeats the last time
where time runs backwards, and because libraries for tables make fractions of times inexact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..faults import LINES
from ..units import Unit, stated_or_deduced
from .fields import EXPECTED, FIELDS, Layout, find_fields, find_order, show
from .format import Asked, Contents, Format
from .text_numbers import BAD_VALUE, SOUND, parse_lines, table_of

BOM = b"\xef\xbb\xbf"
SAMPLE_LINES = 4096
POWER = {"s": 6, "ms": 3, "us": 0, "ns": -3}  # of ten: a unit of time in microseconds
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|true|false", re.I)
_COMMENT = ("#", "%", "/")


class _Head(NamedTuple):
    """What the beginning of a file says."""

    lines: int  # before the first event
    names: list[str] | None
    cells: int  # of a line
    stated: Sensor | None
    rows: list[list[str]]  # the cells of the first events


def _decode(path: Path, asked: Asked) -> Contents:
    head = _head(path)
    layout, how = _layout(head)
    times = [row[layout.names["t"]] for row in head.rows]
    unit = layout.unit if layout.unit and not asked.time_unit else _unit(times, asked)
    packets = _packets(path, asked, head, layout, unit)
    return Contents(packets, head.stated, show(_named(layout, head), unit, how))


def _head(path: Path) -> _Head:
    with path.open("rb") as file:
        block = file.read(1 << 20)
    # Not splitlines(), to which a vertical tab ends a line, too.
    lines = _text(block.removeprefix(BOM)).removesuffix("\n").split("\n")[:SAMPLE_LINES]
    if len(block) == 1 << 20:
        lines = lines[:-1] or lines  # the last may be cut
    names, stated, before, commented = None, None, 0, None
    rows: list[list[str]] = []
    begun = False
    for line in lines:
        text = line.strip()
        cells = _cells(text)
        are_numbers = all(_NUMBER.fullmatch(cell) for cell in cells)
        if not text or text.startswith(_COMMENT):
            found = _cells(text.lstrip("#%/ "))
            commented = found if not begun and find_fields(map(_bare, found)) else commented
        elif not begun and are_numbers and len(cells) == 2 and names is None and stated is None:
            stated = _sensor(*cells)
        elif not begun and not are_numbers and names is None:
            names = cells
        else:
            begun = True
            rows += [cells] if are_numbers else []
        before += not begun
    names = names or commented
    cells_each = len(names) if names else len(rows[0]) if rows else 0
    rows = [row for row in rows if len(row) == cells_each]
    if names is not None:
        sizes = {_bare(name): name.partition("@")[2] for name in names}
        if sizes.get("x") and sizes.get("y"):
            stated = _sensor(sizes["x"], sizes["y"])
    return _Head(before, names, cells_each, stated, rows)


def _layout(head: _Head) -> tuple[Layout, str]:
    """Return the numbers of the columns of t, x, y and polarity, and how they are known."""
    if head.names is None:
        if head.cells not in (4, 5):
            shown = ", ".join(head.rows[0][:8]) if head.rows else "(none)"
            raise RecordingError(f"the first row is {shown!r}, expected {EXPECTED}")
        sample = np.array([[_value(cell) for cell in row] for row in head.rows])
        return find_order(sample), "by their values"
    names = [_bare(name) for name in head.names]
    found = find_fields(names)
    if found is None or len(set(names)) < len(names):
        raise RecordingError(f"the columns are {', '.join(head.names)[:80]}, expected {EXPECTED}")
    numbers = {field: names.index(name) for field, name in found.names.items()}
    return found._replace(names=numbers), "by their names"


def _named(layout: Layout, head: _Head) -> Layout:
    if head.names is None:
        return layout
    return layout._replace(names={f: _bare(head.names[at]) for f, at in layout.names.items()})


def _unit(times: list[str], asked: Asked) -> Unit:
    """Deduce the unit of times from how they are written, or else from their values."""
    points = [len(cell.partition(".")[2]) for cell in times]
    if asked.time_unit is None and not any("e" in cell.lower() for cell in times) and times:
        if not any(cell.partition(".")[2].strip("0") for cell in times) and max(points) <= 1:
            return stated_or_deduced(
                np.array([int(cell.partition(".")[0]) for cell in times]), None
            )
        if min(points) == max(points) >= 6:
            return Unit("s", f"t has {points[0]} decimals")
    if not times:
        return Unit(asked.time_unit or "us", "no events")
    return stated_or_deduced(np.array([_value(cell) for cell in times], float), asked.time_unit)


def _packets(path: Path, asked: Asked, head: _Head, layout: Layout, unit: Unit) -> Iterator[Events]:
    fields = np.full(head.cells, -1)
    for number, field in enumerate(FIELDS):
        if field in layout.names:
            fields[layout.names[field]] = number
    table, number, first = table_of(asked.size), 0, 0
    for block, start in _blocks(path, 16 * asked.size):
        text = np.frombuffer(block, np.uint8)
        while number < head.lines and len(text):
            text = text[int(np.argmax(text == 10)) + 1 :]
            number += 1
        while len(text):
            rows, lines, fault, end, dropped = parse_lines(
                text, fields, POWER[unit.unit], table, int(asked.faults.drops)
            )
            t, x, y, on = (column[:rows] for column in table)
            if dropped:
                asked.faults.found(LINES, dropped, "")
            yield asked.faults.make(t, x, y, on, first=first)
            number, first = number + lines, first + rows
            if fault != SOUND:
                line = bytes(text[end : end + 4096]).partition(b"\n")[0].rstrip(b"\r")
                what = f"{head.cells} numbers" if fault != BAD_VALUE else "whole numbers in range"
                raise RecordingError(
                    f"line {number + 1} is {_text(line, start)[:80]!r}, expected {what}"
                )
            text = text[end:]


def _blocks(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines, and the byte at which they begin; the last may lack its newline."""
    rest, start = b"", 0
    with path.open("rb") as file:
        start = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(start)
        while block := file.read(size):
            whole, newline, tail = (rest + block).rpartition(b"\n")
            if newline:
                yield whole + newline, start
                start += len(whole) + 1
            rest = tail
    if rest:
        yield rest + b"\n", start


def _text(raw: bytes, start: int = 0) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return raw[: error.start].decode("utf-8")
        at, value = start + error.start, raw[error.start]
        raise RecordingError(f"byte {at} is {value:#x}, expected text") from error


def _cells(line: str) -> list[str]:
    """Split a line as the numbers are, but for names that have spaces within commas."""
    parts = re.split(r"[,;|\t]", line) if re.search(r"[A-Za-z].*[,;|\t]|[,;|\t].*[A-Za-z]", line) \
        else re.split(r"[ \t]*[,;|][ \t]*|[ \t]+", line)  # fmt: skip
    return [part.strip().strip('"') for part in parts]


def _bare(name: str) -> str:
    return name.partition("@")[0].strip()


def _sensor(width: str, height: str) -> Sensor:
    if not (width.isdecimal() and height.isdecimal()):
        raise RecordingError(f"the sensor is {width} x {height}, expected whole numbers")
    return Sensor(int(width), int(height))


def _value(cell: str) -> float:
    words = {"true": 1.0, "false": 0.0}
    return words[cell.lower()] if cell.lower() in words else float(cell)


def _is_text(head: bytes) -> bool:
    """Tell whether a file begins with lines of numbers, behind names or not."""
    lines = head.removeprefix(BOM).split(b"\n")[:64]
    if len(lines) < 2 or b"\0" in head:
        return False
    try:
        cells = [_cells(line.decode("ascii").strip()) for line in lines[:-1]]
    except UnicodeDecodeError:
        return False
    rows = [row for row in cells if len(row) > 3 and all(map(_NUMBER.fullmatch, row))]
    return len(rows) >= 1 and len(rows) >= len(cells) - 8


TEXT = Format("text", (".csv", ".txt", ".tsv"), b"", _decode, _is_text)
