"""The formats of recordings: what a file begins with, and how each is decoded into packets.

In: a path and about how many events a packet shall have. Out: `Contents`, what the beginning of the
file states and an iterator over packets as they stand in the file; `recordings.py` checks them.

faery decodes AEDAT4 (by way of `aedat.py`) and Event Stream. `prophesee.py` says why DAT and EVT
are decoded there; CSV is read here because faery skips the first line unread, and repeats the last
time where time runs backwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..arrays import Events, Sensor, make_events, refuse_first
from . import prophesee
from .aedat import decode_aedat
from .fields import (
    FIELDS,
    Field,
    check_fields,
    column_packets,
    from_columns,
    is_field_set,
    polarity,
)


class Contents(NamedTuple):
    """What a decoder finds in a file; `usual` is the sensor of a format that cannot state one."""

    packets: Iterator[Events]  # read and decoded as they are drawn
    stated: Sensor | None = None
    usual: Sensor | None = None


class Format(NamedTuple):
    """A format, and its decoder: (path, events a packet) -> `Contents`."""

    name: str
    magic: bytes  # the first bytes of every such file; empty where a format has none
    decode: Callable[[Path, int], Contents]


def format_of(path: Path) -> Format:
    """Return the format that the suffix says, unless the file begins like another or is empty."""
    if not path.exists():
        raise RecordingError("there is no such file")
    if not path.is_file():
        raise RecordingError("this is not a file, expected a recording")
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise RecordingError(
            f"the suffix is {suffix or '(none)'}, expected one of {', '.join(_FORMATS)}"
        )
    form = _FORMATS[suffix]
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if not head:
        raise RecordingError(f"the file is empty (0 bytes), expected {form.name}")
    if (contents := _sniff(head)) not in (form.name, None):
        raise RecordingError(f"the suffix {suffix} says {form.name}, the contents are {contents}")
    if not head.startswith(form.magic):
        raise RecordingError(
            f"the file begins with {head[: len(form.magic)]!r}, "
            f"expected {form.magic!r} ({form.name})"
        )
    return form


def _sniff(head: bytes) -> str | None:
    """Return the name of the format whose files begin like this, if it is one of those here."""
    header = prophesee.read_header(io.BytesIO(head))
    if re.search(r"^% (evt|format EVT)", header, re.MULTILINE):
        return _EVT.name
    if re.search(r"^% (Data file|Version)", header, re.MULTILINE):
        return _DAT.name
    others = (_AEDAT, _ES, _NPY, _NPZ, _HDF5)
    return next((form.name for form in others if head.startswith(form.magic)), None)


@contextmanager
def _decoding_by(library: str) -> Iterator[None]:
    """Make a `RecordingError` of whatever a library raises when it decodes a damaged file."""
    try:
        yield
    except RecordingError:
        raise
    except BaseException as error:
        # A panic in faery's Rust code derives from BaseException, by a class with no import path.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"cannot be decoded, {library} says: {reason}") from error


def _decode_nmnist(path: Path, size: int) -> Contents:
    return Contents(_nmnist_packets(path, size), usual=Sensor(34, 34))


def _nmnist_packets(path: Path, size: int) -> Iterator[Events]:
    overflows = 0
    for _, records in prophesee.read_records(path, 0, size, "u1", 5):
        x, y, high, middle, low = records.astype(np.int64).T
        is_overflow = y == 240  # no event: the clock goes on by 2^13 us
        turns = overflows + np.cumsum(is_overflow)
        overflows = turns[-1]
        t = ((high & 127) << 16 | middle << 8 | low) + (turns << 13)
        yield make_events(t, x, y, high >> 7)[~is_overflow]


def _decode_dat(path: Path, size: int) -> Contents:
    return Contents(*prophesee.decode_dat(path, size))


def _decode_evt(path: Path, size: int) -> Contents:
    return Contents(*prophesee.decode_evt(path, size))


def _decode_aedat(path: Path, size: int) -> Contents:
    with _decoding_by("faery"):
        packets, sensor = decode_aedat(path)
    return Contents(_by_faery(packets), sensor)


def _by_faery(packets: Iterator[Events]) -> Iterator[Events]:
    with _decoding_by("faery"):
        yield from packets


def _decode_es(path: Path, size: int) -> Contents:
    with _decoding_by("faery"):
        import faery  # takes as long as all else that reading needs

        decoder = faery.file_decoder.Decoder(path, file_type="es", time_range_cache=None)
    if decoder.event_type != "dvs":
        raise RecordingError(f"the events are of type {decoder.event_type}, expected dvs")
    return Contents(_es_packets(path, decoder), Sensor(*decoder.dimensions()))


def _es_packets(path: Path, decoder: Iterable[Events]) -> Iterator[Events]:
    # An event has 5 bytes, and one more for every 127 us since the event before.
    count, end, latest_us = 0, 20, np.uint64(0)
    for events in _by_faery(iter(decoder)):
        count += len(events)
        end += 5 * len(events) + int((np.diff(events["t"], prepend=latest_us) // 127).sum())
        latest_us = events["t"][-1] if len(events) else latest_us
        yield events
    # faery is silent about a last event that is cut short.
    with path.open("rb") as file:
        file.seek(end)
        blocks = iter(lambda: file.read(1 << 20), b"")
        if any(block.strip(b"\xff") for block in blocks):
            raise RecordingError(
                f"cut short or damaged: {path.stat().st_size - end} bytes are left after {count} "
                f"events, expected whole events"
            )


def _decode_csv(path: Path, size: int) -> Contents:
    lines = _csv_lines(path, size)
    _, (first, *_) = next(lines, (1, [""]))
    cells = [re.fullmatch(r"(\w+)(?:@(\d{1,9}))?", cell.strip()) for cell in first.split(",")]
    names = [cell[1] for cell in cells if cell]
    if len(names) < len(cells) or not is_field_set(names):
        raise RecordingError(f"line 1 is {first[:80]!r}, expected the columns {FIELDS}")
    sizes = {cell[1]: int(cell[2]) for cell in cells if cell and cell[2]}
    stated = Sensor(sizes["x"], sizes["y"]) if {"x", "y"} <= sizes.keys() else None
    return Contents(_csv_packets(path, size, names), stated)


def _csv_packets(path: Path, size: int, names: list[str]) -> Iterator[Events]:
    whole = r"\s*([+-]?\d{1,18})\s*"  # 18 digits always fit 64 bits
    pattern = re.compile(",".join([whole] * len(names)))
    for start, lines in _csv_lines(path, size):
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


def _csv_lines(path: Path, size: int) -> Iterator[tuple[int, list[str]]]:
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


def _decode_npy(path: Path, size: int) -> Contents:
    """Decode an array, never a pickle, mapped into memory."""
    with _decoding_by("numpy"):
        array = _mapped(path)

    def read(part: slice) -> NDArray[Any]:
        return _mapped(path)[part]  # anew: what has been read of a mapping stays in memory with it

    return _decode_array(array, read, size)


def _mapped(path: Path) -> NDArray[Any]:
    size = path.stat().st_size
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        rest = size - array.offset - array.nbytes
    except (ValueError, OSError):
        # Empty arrays cannot be mapped, nor can damaged ones; numpy says why when it reads them.
        raw = io.BytesIO(path.read_bytes())
        array = np.load(raw, allow_pickle=False)
        rest = len(raw.read())
    if rest:
        raise RecordingError(f"{rest} bytes follow the array, expected none")
    return array


def _decode_npz(path: Path, size: int) -> Contents:
    with _decoding_by("numpy"), np.load(path, allow_pickle=False) as loaded:
        arrays = {name: np.asarray(loaded[name]) for name in loaded.files}
    if len(arrays) == 1:
        (array,) = arrays.values()
        return _decode_array(array, array.__getitem__, size)
    check_fields(arrays)

    def read(part: slice) -> Mapping[str, Any]:
        return {name: column[part] for name, column in arrays.items()}

    return Contents(column_packets(read, len(arrays["t"]), size))


def _decode_array(
    array: NDArray[Any], read: Callable[[slice], NDArray[Any]], size: int
) -> Contents:
    """Decode an array with the fields of events, or with the columns of tonic's DVSGesture."""
    if names := array.dtype.names:
        check_fields({name: array[name] for name in names})

        def columns(part: slice) -> Mapping[str, Any]:
            rows = read(part)
            return {name: rows[name] for name in names}

        return Contents(column_packets(columns, len(array), size))
    if array.ndim == 2 and array.shape[1] == 4 and array.dtype.kind in "fiu":
        starts = range(0, len(array), size)
        packets = (_from_dvsgesture(read(slice(first, first + size)), first) for first in starts)
        return Contents(packets, usual=Sensor(128, 128))
    raise RecordingError(
        f"the array has dtype {array.dtype} and shape {array.shape}, "
        f"expected fields {FIELDS}, or shape (events, 4) for x, y, p and t in ms"
    )


def _from_dvsgesture(array: NDArray[Any], first: int) -> Events:
    x, y, p, t = array.astype(np.float64).T
    refuse_first(~((t >= 0) & (t < 1e15)), t, "t", "0 to 1e15 (ms)", first)
    # Rounded: 1.001 * 1000 is a little less than 1001.
    return make_events(np.rint(t * 1000), x, y, polarity(p, first), first=first)


def _decode_hdf5(path: Path, size: int) -> Contents:
    with _decoding_by("h5py"), h5py.File(path, "r") as file:
        node = _hdf5_node(file)
        fields: dict[str, Any] = dict(node.items()) if isinstance(node, h5py.Group) else {
            name: Field(node.dtype[name].base, node.shape + node.dtype[name].shape)
            for name in node.dtype.names or ()
        }  # fmt: skip
        check_fields(fields)
        length = fields["t"].shape[0]
        sizes = {
            side: int(owner.attrs[side])
            for owner in (file, node)
            for side in ("width", "height")
            if side in owner.attrs
        }
    stated = Sensor(**sizes) if len(sizes) == 2 else None
    return Contents(_hdf5_packets(path, length, size), stated)


def _hdf5_node(file: h5py.File) -> Any:
    name = next((name for name in ("events", "CD/events") if name in file), None)
    if name is None:
        raise RecordingError(f"the file holds {list(file)}, expected events or CD/events")
    return file[name]


def _hdf5_packets(path: Path, length: int, size: int) -> Iterator[Events]:
    with _decoding_by("h5py"), h5py.File(path, "r") as file:
        node = _hdf5_node(file)

        def read(part: slice) -> Mapping[str, Any]:
            if isinstance(node, h5py.Dataset):
                rows = node[part]
                return {field: rows[field] for field in node.dtype.names}
            columns = {field: dataset[part] for field, dataset in node.items()}
            if "t_offset" in node.parent:
                # Without a type NumPy would add uint64 and int64 as float64.
                offset = node.parent["t_offset"][()]
                columns["t"] = np.add(columns["t"], offset, dtype=np.int64, casting="same_kind")
            return columns

        yield from column_packets(read, length, size)


_NMNIST = Format("N-MNIST", b"", _decode_nmnist)
_EVT = Format("Prophesee RAW (EVT)", b"% ", _decode_evt)
_DAT = Format("Prophesee DAT", b"% ", _decode_dat)
_AEDAT = Format("AEDAT4", b"#!AER-DAT4.0\r\n", _decode_aedat)
_ES = Format("Event Stream", b"Event Stream", _decode_es)
_CSV = Format("CSV", b"", _decode_csv)
_NPY = Format("NPY", b"\x93NUMPY", _decode_npy)
_NPZ = Format("NPZ", b"PK\x03\x04", _decode_npz)
_HDF5 = Format("HDF5", b"\x89HDF\r\n\x1a\n", _decode_hdf5)

_FORMATS = {
    ".bin": _NMNIST,
    ".raw": _EVT,
    ".evt": _EVT,
    ".dat": _DAT,
    ".aedat4": _AEDAT,
    ".aedat": _AEDAT,
    ".es": _ES,
    ".csv": _CSV,
    ".npy": _NPY,
    ".npz": _NPZ,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
}
