"""NumPy's files: arrays with the fields of events, or of four columns -> packets of events.

In: a path, from `registry.py`. `.npy` holds one array, which is mapped into memory and read in
parts; `.npz` one array, or one for each field, which are read whole. No file states its sensor. A
pickle is never loaded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..units import SAMPLE
from .fields import (
    EXPECTED,
    Layout,
    check_fields,
    column_packets,
    contents_of,
    find_fields,
    find_order,
    show,
    unit_of,
)
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
        names = loaded.files
        layout = find_fields(names) if len(names) > 1 else None
        wanted = list(layout.names.values()) if layout else names
        arrays = {name: np.asarray(loaded[name]) for name in wanted}
    if len(names) == 1:
        (array,) = arrays.values()
        return _decode_array(array, array.__getitem__, asked)
    others = layout.others if layout else ()
    return contents_of(arrays, asked, others=others)


def _decode_array(
    array: NDArray[Any], read: Callable[[slice], NDArray[Any]], asked: Asked
) -> Contents:
    """Decode an array with the fields of events, or one of four columns or rows without names."""
    if names := array.dtype.names:
        layout, how = check_fields({name: array[name] for name in names}), "by their names"
        columns: Any = read
    elif array.ndim == 2 and 4 in array.shape and array.dtype.kind in "fiu":
        turned = array.shape[1] != 4
        length = max(array.shape) if turned else len(array)

        def columns(part: slice) -> Any:
            return array[:, part] if turned else read(part).T

        rows, how = np.asarray(columns(slice(0, SAMPLE))).T, "by their values"
        try:
            layout = find_order(rows) if len(rows) else XYPT
        except RecordingError:
            if asked.time_unit != "ms" or turned:
                raise
            layout, how = XYPT, "tonic's DVSGesture, whose times are in ms"
    else:
        raise RecordingError(
            f"the array has dtype {array.dtype} and shape {array.shape}, "
            f"expected fields {EXPECTED}, or shape (events, 4)"
        )
    length = len(array) if names else length
    unit = unit_of(layout, columns(slice(0, SAMPLE))[layout.names["t"]], asked.time_unit)
    packets = column_packets(columns, length, asked, layout, unit.unit)
    return Contents(packets, facts=show(layout, unit, how))


XYPT = Layout({"x": 0, "y": 1, "on": 2, "t": 3})  # tonic's DVSGesture, of an empty array

NPY = Format("NPY", (".npy",), b"\x93NUMPY", _decode_npy)
NPZ = Format("NPZ", (".npz",), b"PK\x03\x04", _decode_npz)
