"""MATLAB's files, versions 5 to 7.2: one array for each field of events -> packets of events.

In: a path, from `registry.py`; ASL-DVS is published so. The layout is that of MathWorks, "MAT-File
Format", of numeric arrays; other variables are left alone. Read here, because `scipy.io.loadmat`
(1.17) ends the process with a segmentation fault on some damaged files.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from .fields import contents_of, find_fields
from .format import Asked, Contents, Format

NAME = 63  # bytes, the longest that MATLAB gives
HEADER = 128  # bytes, the last two of which say the order of bytes
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
MATRIX, COMPRESSED = 14, 15


class _Element(NamedTuple):
    kind: int
    data: bytes


def _decode(path: Path, asked: Asked) -> Contents:
    raw = path.read_bytes()
    if raw.startswith(b"MATLAB 7.3"):
        raise RecordingError("the file is of MATLAB 7.3, expected 5 to 7.2 (in MATLAB, -v7)")
    mark = raw[HEADER - 2 : HEADER]
    if mark not in (b"IM", b"MI"):
        raise RecordingError(f"the header ends with {mark!r}, expected b'IM' or b'MI'")
    order = "<" if mark == b"IM" else ">"
    arrays = dict(_variables(raw[HEADER:], order))
    layout = find_fields(arrays)
    wanted = list(layout.names.values()) if layout else list(arrays)
    return contents_of(
        {name: arrays[name] for name in wanted}, asked, others=layout.others if layout else ()
    )


def _variables(raw: bytes, order: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the numeric arrays of a file, as vectors where they are of one column or row."""
    for element in _elements(raw, order):
        if element.kind == COMPRESSED:
            element = _inflated(element.data, order)
        if element.kind != MATRIX:
            raise RecordingError(f"a variable is of type {element.kind}, expected {MATRIX}")
        parts = list(_elements(element.data, order))
        if len(parts) < 3 or len(parts[0].data) != 8:
            raise RecordingError(f"a variable has {len(parts)} parts, expected flags, size, name")
        flags = int(np.frombuffer(parts[0].data, f"{order}u4")[0])
        name = parts[2].data[:NAME].decode("latin-1")
        if (flags & 0xFF) in _CLASSES and len(parts) > 3:
            yield name, _array(name, parts, _CLASSES[flags & 0xFF], order)


def _array(name: str, parts: list[_Element], kind: str, order: str) -> NDArray[Any]:
    shape = _numbers(name, parts[1], order).tolist()
    values = _numbers(name, parts[3], order)
    if min(shape, default=0) < 0 or math.prod(shape) != len(values):
        raise RecordingError(f"{name!r} has {len(values)} values, expected the {shape} of its size")
    # Stored as small as they are; the times of an integer type need no unit, those of doubles do.
    found = values.astype(kind)
    return found if sum(size != 1 for size in shape) <= 1 else found.reshape(shape, order="F")


def _numbers(name: str, element: _Element, order: str) -> NDArray[Any]:
    if element.kind not in _NUMBERS:
        raise RecordingError(
            f"{name!r} has numbers of type {element.kind}, expected one of numbers"
        )
    dtype = np.dtype(order + _NUMBERS[element.kind])
    if len(element.data) % dtype.itemsize:
        raise RecordingError(
            f"{name!r} has {len(element.data)} bytes, expected numbers of {dtype.itemsize}"
        )
    return np.frombuffer(element.data, dtype)


def _elements(raw: bytes, order: str) -> Iterator[_Element]:
    """Yield elements: a type, a length and data, or all three within 8 bytes."""
    at = 0
    while at < len(raw):
        tag = np.frombuffer(raw[at : at + 8].ljust(8, b"\0"), f"{order}u4").tolist()
        kind, size, begin = tag[0], tag[1], at + 8
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
        end = begin + size
        if end > len(raw) or (begin == at + 4 and size > 4):
            raise RecordingError(
                f"cut short: an element has {len(raw) - begin} bytes, expected {size}"
            )
        yield _Element(kind, raw[begin:end])
        at = end if kind == COMPRESSED else end + -end % 8


def _inflated(packed: bytes, order: str) -> _Element:
    """Return the one element that is compressed, no longer than it says itself."""
    inflate = zlib.decompressobj()
    try:
        kind, size = np.frombuffer(inflate.decompress(packed, 8), f"{order}u4").tolist()
        data = inflate.decompress(inflate.unconsumed_tail, size) if size else b""
    except (zlib.error, ValueError) as error:
        raise RecordingError(f"a variable cannot be decompressed: {error}") from error
    if len(data) < size:
        raise RecordingError(f"cut short: a variable has {len(data)} bytes, expected {size}")
    return _Element(kind, data)


MAT = Format("MATLAB", (".mat",), b"MATLAB ", _decode)
