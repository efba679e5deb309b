"""Recordings: event files of every common format -> checked event arrays and their sensor.

In: a path. Out: a `Recording`, for the simulator, the bridge's data sets and the command line.

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

import faery
import h5py
import numpy as np
from numpy.typing import NDArray

from . import prophesee
from .aedat import decode_aedat
from .errors import RecordingError
from .events import (
    EVENT_DTYPE,
    Events,
    Sensor,
    check_events,
    make_events,
    refuse_first,
)


class Recording(NamedTuple):
    """The events of one file, in time order, and the sensor that they come from."""

    events: Events
    sensor: Sensor


class _Contents(NamedTuple):
    """What a reader finds in a file; `usual` is the sensor of a format that cannot state one."""

    events: Events
    stated: Sensor | None = None
    usual: Sensor | None = None


class _Format(NamedTuple):
    name: str
    magic: bytes  # the first bytes of every such file; empty where a format has none
    read: Callable[[Path], _Contents]


def read_recording(
    path: str | Path, *, sensor: Sensor | None = None, sort: bool = False
) -> Recording:
    """Read the events of a file: all of them, or none and a `RecordingError`.

    The suffix says the format, and the contents must agree with it:

    - `.bin`: N-MNIST, 5 bytes an event; 34 x 34 unless `sensor` says otherwise (N-Caltech101 has
      the same format).
    - `.raw`, `.evt`: Prophesee EVT 2.0 and EVT 3.0. `.dat`: Prophesee DAT, versions 1 and 2.
    - `.aedat4`, `.aedat`: AEDAT 4.0 with one event stream.
    - `.es`: Event Stream 2 with DVS events. The file counts y from the bottom; the events count it
      from the top, as in all other formats.
    - `.csv`: a first line that names the columns t (microseconds), x, y, and on (or p), in any
      order; then whole numbers. `x@640` and `y@480` in the first line state the sensor.
    - `.npy`: a structured array with fields t (microseconds), x, y, and on (or p), all integers;
      or the plain 2-D array of tonic's DVSGesture, columns x, y, p, t (milliseconds, rounded to
      microseconds), 128 x 128 unless `sensor` says otherwise. `.npz`: one such array, or four
      arrays t, x, y, and on (or p).
    - `.h5`, `.hdf5`: `events` or `CD/events`, either one dataset of a compound type with these
      fields or a group of one dataset a field; a `t_offset` beside a group (DSEC) is added to t.
      Attributes `width` and `height`, there or on the file, state the sensor.

    Polarity is 0 or 1, or -1 or 1. Records that are no pixel events (triggers, frames, IMU samples)
    are no part of the result. Clocks that turn over (DAT, EVT) are continued.

    The sensor of the result is the one that the file states; else `sensor`; else the usual one of
    the format; else the smallest that holds the events.

    Raises `RecordingError`, one sentence beginning with the path, for a file that is missing,
    empty, cut short, misnamed or damaged; for a `sensor` that differs from the one in the file; for
    coordinates outside the sensor; and for time that runs backwards, which `sort=True` puts in
    order instead (a stable sort). Two limits. faery hides backward time in AEDAT4: the first and
    last time of each packet are compared with the table at the end of the file, where it has one,
    but times inside a packet cannot be. And a file that was cut exactly between two records looks
    whole, except in AEDAT4 with that table, NumPy and HDF5.
    """
    path = Path(path)
    try:
        return _read(path, sensor, sort)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened, {error.strerror or error}") from error


def _read(path: Path, sensor: Sensor | None, sort: bool) -> Recording:
    form = _check_format(path)
    events, stated, usual = form.read(path)
    if sensor and stated and (sensor.width, sensor.height) != (stated.width, stated.height):
        raise RecordingError(
            f"the file states a {stated.width} x {stated.height} sensor, "
            f"expected the {sensor.width} x {sensor.height} that was asked for"
        )
    sensor = sensor or stated or usual or _smallest_sensor(events)
    return Recording(check_events(events, sensor, sort=sort), sensor)


def _smallest_sensor(events: Events) -> Sensor:
    if len(events) == 0:
        return Sensor(1, 1)
    return Sensor(int(events["x"].max()) + 1, int(events["y"].max()) + 1)


def _check_format(path: Path) -> _Format:
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
    header, _ = prophesee.split_header(head)
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


def _read_nmnist(path: Path) -> _Contents:
    record = prophesee.split_records(path.read_bytes(), "u1", 5).astype(np.int64)
    x, y, high, middle, low = record.T
    overflow = y == 240  # no event: the clock goes on by 2^13 us
    t = ((high & 127) << 16 | middle << 8 | low) + (np.cumsum(overflow) << 13)
    return _Contents(make_events(t, x, y, high >> 7)[~overflow], usual=Sensor(34, 34))


def _read_dat(path: Path) -> _Contents:
    return _Contents(*prophesee.decode_dat(path.read_bytes()))


def _read_evt(path: Path) -> _Contents:
    return _Contents(*prophesee.decode_evt(path.read_bytes()))


def _read_aedat(path: Path) -> _Contents:
    with _decoding_by("faery"):
        return _Contents(*decode_aedat(path))


def _read_es(path: Path) -> _Contents:
    with _decoding_by("faery"):
        decoder = faery.file_decoder.Decoder(path, file_type="es", time_range_cache=None)
        if decoder.event_type != "dvs":
            raise RecordingError(f"the events are of type {decoder.event_type}, expected dvs")
        events = np.concatenate([np.empty(0, EVENT_DTYPE), *decoder])
    # faery is silent about a last event that is cut short. An event has 5 bytes, and one more for
    # every 127 us since the event before.
    used = 5 * len(events) + int((np.diff(events["t"], prepend=np.uint64(0)) // 127).sum())
    rest = path.read_bytes()[20 + used :]
    if rest.strip(b"\xff"):
        raise RecordingError(
            f"cut short or damaged: {len(rest)} bytes are left after {len(events)} events, "
            f"expected whole events"
        )
    return _Contents(events, Sensor(*decoder.dimensions()))


def _read_csv(path: Path) -> _Contents:
    try:
        text = path.read_bytes().decode("ascii")
    except UnicodeDecodeError as error:
        value = error.object[error.start]
        raise RecordingError(f"byte {error.start} is {value:#x}, expected ASCII text") from error
    *lines, rest = text.replace("\r\n", "\n").split("\n")
    if rest:
        raise RecordingError(
            f"cut short: line {len(lines) + 1} is {rest[:80]!r}, expected a newline after it"
        )
    cells = [re.fullmatch(r"(\w+)(?:@(\d{1,9}))?", cell.strip()) for cell in lines[0].split(",")]
    names = [cell[1] for cell in cells if cell]
    if len(names) < len(cells) or not _is_field_set(names):
        raise RecordingError(f"line 1 is {lines[0][:80]!r}, expected the columns {_FIELDS}")
    whole = r"\s*([+-]?\d{1,18})\s*"  # 18 digits always fit 64 bits
    pattern = re.compile(",".join([whole] * len(names)))
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if (match := pattern.fullmatch(line)) is None:
            raise RecordingError(
                f"line {number} is {line[:80]!r}, expected {len(names)} whole numbers"
            )
        rows.append([int(cell) for cell in match.groups()])
    values = np.array(rows, np.int64).reshape(-1, len(names))
    sizes = {cell[1]: int(cell[2]) for cell in cells if cell and cell[2]}
    stated = Sensor(sizes["x"], sizes["y"]) if {"x", "y"} <= sizes.keys() else None
    return _Contents(_from_columns(dict(zip(names, values.T, strict=True))), stated)


def _read_numpy(path: Path) -> _Contents:
    """Read `.npy` and `.npz`, never a pickle."""
    raw = io.BytesIO(path.read_bytes())
    with _decoding_by("numpy"):
        loaded = np.load(raw, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if rest := len(raw.read()):
                raise RecordingError(f"{rest} bytes follow the array, expected none")
            arrays = {"": loaded}
        else:
            arrays = {name: loaded[name] for name in loaded.files}
    if len(arrays) != 1:
        return _Contents(_from_columns(arrays))
    (array,) = arrays.values()
    if array.dtype.names:
        return _Contents(_from_columns({name: array[name] for name in array.dtype.names}))
    if array.ndim == 2 and array.shape[1] == 4 and array.dtype.kind in "fiu":
        return _Contents(_from_dvsgesture(array), usual=Sensor(128, 128))
    raise RecordingError(
        f"the array has dtype {array.dtype} and shape {array.shape}, "
        f"expected fields {_FIELDS}, or shape (events, 4) for x, y, p and t in ms"
    )


def _from_dvsgesture(array: NDArray[Any]) -> Events:
    x, y, p, t = array.astype(np.float64).T
    refuse_first(~((t >= 0) & (t < 1e15)), t, "t", "0 to 1e15 (ms)")
    # Rounded: 1.001 * 1000 is a little less than 1001.
    return make_events(np.rint(t * 1000), x, y, _polarity(p))


def _read_hdf5(path: Path) -> _Contents:
    with _decoding_by("h5py"), h5py.File(path, "r") as file:
        name = next((name for name in ("events", "CD/events") if name in file), None)
        if name is None:
            raise RecordingError(f"the file holds {list(file)}, expected events or CD/events")
        node = file[name]
        if isinstance(node, h5py.Dataset):
            array = node[()]
            columns = {field: array[field] for field in node.dtype.names or ()}
        else:
            columns = {str(field): dataset[()] for field, dataset in node.items()}
            if "t_offset" in node.parent and "t" in columns:
                # Without a type NumPy would add uint64 and int64 as float64.
                offset = node.parent["t_offset"][()]
                columns["t"] = np.add(columns["t"], offset, dtype=np.int64, casting="same_kind")
        sizes = {
            size: int(owner.attrs[size])
            for owner in (file, node)
            for size in ("width", "height")
            if size in owner.attrs
        }
    return _Contents(_from_columns(columns), Sensor(**sizes) if len(sizes) == 2 else None)


def _is_field_set(names: Iterable[str]) -> bool:
    return sorted(names) in (["on", "t", "x", "y"], ["p", "t", "x", "y"])


def _from_columns(columns: Mapping[str, Any]) -> Events:
    if not _is_field_set(columns):
        raise RecordingError(f"the fields are {', '.join(columns) or '(none)'}, expected {_FIELDS}")
    for name, column in columns.items():
        kinds = "biu" if name in ("on", "p") else "iu"
        if np.ndim(column) != 1 or column.dtype.kind not in kinds:
            raise RecordingError(
                f"field {name} has dtype {getattr(column, 'dtype', type(column).__name__)} "
                f"and shape {np.shape(column)}, expected one dimension of integers"
            )
    on = columns["on"] if "on" in columns else columns["p"]
    return make_events(columns["t"], columns["x"], columns["y"], _polarity(on))


def _polarity(values: NDArray[Any]) -> NDArray[np.bool_]:
    refuse_first(~np.isin(values, (-1, 0, 1)), values, "polarity", "0 or 1, or -1 or 1")
    return values > 0


_FIELDS = "t, x, y and on (or p)"

_NMNIST = _Format("N-MNIST", b"", _read_nmnist)
_EVT = _Format("Prophesee RAW (EVT)", b"% ", _read_evt)
_DAT = _Format("Prophesee DAT", b"% ", _read_dat)
_AEDAT = _Format("AEDAT4", b"#!AER-DAT4.0\r\n", _read_aedat)
_ES = _Format("Event Stream", b"Event Stream", _read_es)
_CSV = _Format("CSV", b"", _read_csv)
_NPY = _Format("NPY", b"\x93NUMPY", _read_numpy)
_NPZ = _Format("NPZ", b"PK\x03\x04", _read_numpy)
_HDF5 = _Format("HDF5", b"\x89HDF\r\n\x1a\n", _read_hdf5)

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
