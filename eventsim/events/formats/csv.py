"""CSV: lines of whole numbers under a line of names -> packets of events and the stated sensor.

In: a path, from `registry.py`. It is read here because faery 0.7.1 skips the first line unread, and
repeats the last time where time runs backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from .fields import FIELDS, from_columns, is_field_set
from .format import Asked, Contents, Format


def _decode(path: Path, asked: Asked) -> Contents:
    lines = _lines(path, asked.size)
    _, (first, *_) = next(lines, (1, [""]))
    cells = [re.fullmatch(r"(\w+)(?:@(\d{1,9}))?", cell.strip()) for cell in first.split(",")]
    names = [cell[1] for cell in cells if cell]
    if len(names) < len(cells) or not is_field_set(names):
        raise RecordingError(f"line 1 is {first[:80]!r}, expected the columns {FIELDS}")
    sizes = {cell[1]: int(cell[2]) for cell in cells if cell and cell[2]}
    stated = Sensor(sizes["x"], sizes["y"]) if {"x", "y"} <= sizes.keys() else None
    return Contents(_packets(path, asked.size, names), stated)


def _packets(path: Path, size: int, names: list[str]) -> Iterator[Events]:
    whole = r"\s*([+-]?\d{1,18})\s*"  # 18 digits always fit 64 bits
    pattern = re.compile(",".join([whole] * len(names)))
    for start, lines in _lines(path, size):
        rows = []
        for number, line in enumerate(lines, start):
            if number == 1:
                continue
            if (match := pattern.fullmatch(line)) is None:
                raise RecordingError(
                    f"line {number} is {line[:80]!r}, expected {len(names)} whole numbers"
                )
            rows.append([int(cell) for cell in match.groups()])
        values = np.array(rows, np.int64).reshape(-1, len(names))
        columns = dict(zip(names, values.T, strict=True))
        yield from_columns(columns, first=max(0, start - 2))


def _lines(path: Path, size: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of a line (the first is 1), and about `size` lines from there on."""
    number, start, rest = 1, 0, ""
    with path.open("rb") as file:
        while block := file.read(16 * size):
            try:
                text = rest + block.decode("ascii")
            except UnicodeDecodeError as error:
                value = block[error.start]
                raise RecordingError(
                    f"byte {start + error.start} is {value:#x}, expected ASCII text"
                ) from error
            start += len(block)
            *lines, rest = text.replace("\r\n", "\n").split("\n")
            if lines:
                yield number, lines
            number += len(lines)
    if rest:
        raise RecordingError(
            f"cut short: line {number} is {rest[:80]!r}, expected a newline after it"
        )


CSV = Format("CSV", (".csv",), b"", _decode)
