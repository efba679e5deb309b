"""NumPy's files: arrays of events, or of tonic's DVSGesture -> packets of events.

In: a path, from `registry.py`. `.npy` holds one array, which is mapped into memory and read in
parts; `.npz` one array, or one for each field, which are read whole. No file states its sensor;
that of DVS Gesture has 128 x 128 pixels. A pickle is never loaded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..arrays import Events, Sensor, make_events, refuse_first
from .fields import FIELDS, check_fields, column_packets, polarity
from .format import Contents, Format, decoding_by


def _decode_npy(path: Path, size: int) -> Contents:
    """Decode an array, never a pickle, mapped into memory."""
    with decoding_by("numpy"):
        array = _mapped(path)

    def read(part: slice) -> NDArray[Any]:
        return _mapped(path)[part]  # again: a mapping keeps in memory what was read of it

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
    with decoding_by("numpy"), np.load(path, allow_pickle=False) as loaded:
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
    x, y, p, t = array.astype(np.float64, copy=False).T
    refuse_first(~((t >= 0) & (t < 1e15)), t, "t", "0 to 1e15 (ms)", first)
    # Rounded: 1.001 * 1000 is a little less than 1001.
    return make_events(np.rint(t * 1000), x, y, polarity(p, first), first=first)


NPY = Format("NPY", (".npy",), b"\x93NUMPY", _decode_npy)
NPZ = Format("NPZ", (".npz",), b"PK\x03\x04", _decode_npz)
