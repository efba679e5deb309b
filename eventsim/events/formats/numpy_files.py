"""NumPy's files: arrays of events, or of tonic's DVSGesture -> packets of events.

In: a path, from `registry.py`. `.npy` holds one array, which is mapped into memory and read in
parts; `.npz` one array, or one for each field, which are read whole. No file states its sensor. A
pickle is never loaded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..units import SAMPLE, stated_or_deduced
from .fields import FIELDS, check_fields, column_packets
from .format import Asked, Contents, Format, decoding_by


def _decode_npy(path: Path, asked: Asked) -> Contents:
    """Decode an array, never a pickle, mapped into memory."""
    with decoding_by("numpy"):
        array = _mapped(path)

    def read(part: slice) -> NDArray[Any]:
        return _mapped(path)[part]  # again: a mapping keeps in memory what was read of it

    return _decode_array(array, read, asked)


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


def _decode_npz(path: Path, asked: Asked) -> Contents:
    with decoding_by("numpy"), np.load(path, allow_pickle=False) as loaded:
        arrays = {name: np.asarray(loaded[name]) for name in loaded.files}
    if len(arrays) == 1:
        (array,) = arrays.values()
        return _decode_array(array, array.__getitem__, asked)
    check_fields(arrays)

    def read(part: slice) -> Mapping[str, Any]:
        return {name: column[part] for name, column in arrays.items()}

    return Contents(column_packets(read, len(arrays["t"]), asked.size))


def _decode_array(
    array: NDArray[Any], read: Callable[[slice], NDArray[Any]], asked: Asked
) -> Contents:
    """Decode an array with the fields of events, or with the columns of tonic's DVSGesture."""
    if names := array.dtype.names:
        check_fields({name: array[name] for name in names})

        def columns(part: slice) -> Mapping[str, Any]:
            rows = read(part)
            return {name: rows[name] for name in names}

        return Contents(column_packets(columns, len(array), asked.size))
    if array.ndim == 2 and array.shape[1] == 4 and array.dtype.kind in "fiu":
        unit = stated_or_deduced(read(slice(0, SAMPLE))[:, 3], asked.time_unit)

        def columns_of(part: slice) -> Mapping[str, Any]:
            return dict(zip("xypt", read(part).T, strict=True))

        return Contents(
            column_packets(columns_of, len(array), asked.size, unit.unit),
            facts={"columns": "x, y, p, t", "time_unit": f"{unit.unit} ({unit.how})"},
        )
    raise RecordingError(
        f"the array has dtype {array.dtype} and shape {array.shape}, "
        f"expected fields {FIELDS}, or shape (events, 4) for x, y, p and t"
    )


NPY = Format("NPY", (".npy",), b"\x93NUMPY", _decode_npy)
NPZ = Format("NPZ", (".npz",), b"PK\x03\x04", _decode_npz)
