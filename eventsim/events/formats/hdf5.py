"""HDF5: a compound dataset, or a group of one dataset a field -> packets of events and the sensor.

In: a path, from `registry.py`. The datasets are read in parts. A `t_offset` beside a group, as DSEC
has it, is added to the times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from .fields import Field, check_fields, column_packets
from .format import Asked, Contents, Format, decoding_by


def _decode(path: Path, asked: Asked) -> Contents:
    with decoding_by("h5py"), h5py.File(path, "r") as file:
        node = _node(file)
        fields: dict[str, Any] = dict(node.items()) if isinstance(node, h5py.Group) else {
            name: Field(node.dtype[name].base, node.shape + node.dtype[name].shape)
            for name in node.dtype.names or ()
        }  # fmt: skip
        check_fields(fields)
        length = fields["t"].shape[0]
        stated = _stated_sensor(file, node)
    return Contents(_packets(path, length, asked.size), stated)


def _stated_sensor(file: h5py.File, node: Any) -> Sensor | None:
    """Read `width` and `height`, or Prophesee's `geometry`, "1280x720"."""
    sizes = {
        side: int(owner.attrs[side])
        for owner in (file, node)
        for side in ("width", "height")
        if side in owner.attrs
    }
    if len(sizes) == 2:
        return Sensor(**sizes)
    geometry = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(file.attrs.get("geometry", "")))
    return Sensor(int(geometry[1]), int(geometry[2])) if geometry else None


def _node(file: h5py.File) -> Any:
    name = next((name for name in ("events", "CD/events") if name in file), None)
    if name is None:
        raise RecordingError(f"the file holds {list(file)}, expected events or CD/events")
    return file[name]


def _packets(path: Path, length: int, size: int) -> Iterator[Events]:
    with decoding_by("h5py"), h5py.File(path, "r") as file:
        node = _node(file)

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


HDF5 = Format("HDF5", (".h5", ".hdf5"), b"\x89HDF\r\n\x1a\n", _decode)
