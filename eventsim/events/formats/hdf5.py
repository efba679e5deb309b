"""HDF5: the streams of events in a file, whatever its layout -> packets of events and the sensor.

In: a path, from `registry.py`. A stream is a group with a dataset for each field (DSEC, M3ED, RVT,
e2vid), a dataset of a compound type (Prophesee), or one of four columns (MVSEC), anywhere in the
file. Other members are left alone. A `t_offset` in or beside a group, as DSEC has it, is added to
the times. The datasets are read in parts. Where those of a group hold a list for each recording
(SHD, SSC), each recording is a stream, and is read whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..units import SAMPLE
from .fields import (
    EXPECTED,
    Field,
    Layout,
    check_fields,
    column_packets,
    contents_of,
    find_fields,
    find_order,
    show,
    unit_of,
)
from .format import Asked, Contents, Format, choose_stream, decoding_by

# What HDF5's registry of filters calls those that event cameras' files have, and what reads them.
_FILTERS = {
    32001: ("Blosc", "the package hdf5plugin"),
    32004: ("LZ4", "the package hdf5plugin"),
    32008: ("Bitshuffle", "the package hdf5plugin"),
    32015: ("Zstandard", "the package hdf5plugin"),
    32026: ("Blosc2", "the package hdf5plugin"),
    0x8ECF: ("ECF", "Prophesee's hdf5_ecf, in a folder that HDF5_PLUGIN_PATH names"),
}


class _Stream(NamedTuple):
    """Where the events are, and how a part of them is read."""

    name: str
    layout: Layout
    how: str
    length: int


def _decode(path: Path, asked: Asked) -> Contents:
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers filters
    with decoding_by("h5py"), h5py.File(path, "r") as file:
        names = _stream_names(file)
        if not names:
            raise RecordingError(
                f"the file holds {list(file)}, expected a group or dataset of {EXPECTED}"
            )
        if len(names) == 1 and (lists := _lists(file[names[0]])):
            return _decode_lists(names[0], lists, asked)
        name = choose_stream(names, asked.stream)
        _check_filters(file[name])
        stream = _stream(file, name)
        t = _read(file, stream, slice(0, SAMPLE))[stream.layout.names["t"]]
        unit = unit_of(stream.layout, np.asarray(t), asked.time_unit)
        sensor = _stated_sensor(file, file[name])
    facts = {"stream": name} | show(stream.layout, unit, stream.how)

    def packets() -> Iterator[Events]:
        with decoding_by("h5py"), h5py.File(path, "r") as file:
            yield from column_packets(
                lambda part: _read(file, stream, part),
                stream.length, asked, stream.layout, unit.unit,
            )  # fmt: skip

    return Contents(packets(), sensor, facts)


def _stream_names(file: h5py.File) -> list[str]:
    """Return the names of what has the fields of events; of none, what is called "events"."""
    named = [name for name in ("events", "CD/events") if name in file]
    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group):
            if find_fields(node):
                found.append(name)
        elif node.dtype.names:
            if find_fields(node.dtype.names):
                found.append(name)
        elif name.rpartition("/")[2] == "events" and node.ndim == 2 and node.shape[1] == 4:
            found.append(name)

    file.visititems(visit)
    return found or named[:1]


def _lists(node: Any) -> dict[str, Any]:
    """Return the datasets of a group's fields where they hold a list for each recording."""
    layout = find_fields(node) if isinstance(node, h5py.Group) else None
    found = {} if layout is None else {name: node[name] for name in layout.names.values()}
    return found if any(h5py.check_vlen_dtype(one.dtype) for one in found.values()) else {}


def _decode_lists(name: str, lists: dict[str, Any], asked: Asked) -> Contents:
    """Read the lists of one recording."""
    shapes = {key: (one.shape, h5py.check_vlen_dtype(one.dtype)) for key, one in lists.items()}
    (count, *_), _ = shapes[next(iter(shapes))]
    for key, (shape, inner) in shapes.items():
        if shape != (count,) or not isinstance(inner, np.dtype):
            raise RecordingError(
                f"{name}/{key} has dtype {lists[key].dtype} and shape {shape}, expected a list of "
                f"numbers for each of {count} recordings"
            )
    row = choose_stream(range(count), asked.stream)
    return contents_of({key: one[row] for key, one in lists.items()}, asked, f"{name} {row}")


def _stream(file: h5py.File, name: str) -> _Stream:
    node, how = file[name], "by their names"
    if isinstance(node, h5py.Group):
        members = {key: value for key, value in node.items() if isinstance(value, h5py.Dataset)}
        layout = check_fields(members)
        return _Stream(name, layout, how, members[layout.names["t"]].shape[0])
    if node.ndim == 2 and not node.dtype.names and node.dtype.kind in "iuf":
        return _Stream(name, find_order(node[:SAMPLE]), "by their values", len(node))
    layout = check_fields({
        field: Field(node.dtype[field].base, node.shape + node.dtype[field].shape)
        for field in node.dtype.names or ()
    })  # fmt: skip
    return _Stream(name, layout, how, node.shape[0])


def _read(file: h5py.File, stream: _Stream, part: slice) -> Any:
    node, time = file[stream.name], stream.layout.names["t"]
    if isinstance(node, h5py.Dataset):
        rows = node[part]
        return rows if node.dtype.names else rows.T
    columns = {name: node[name][part] for name in stream.layout.names.values()}
    for owner in (node, node.parent):
        if "t_offset" in owner:
            # Without a type NumPy would add uint64 and int64 as float64.
            offset = owner["t_offset"][()]
            columns[time] = np.add(columns[time], offset, dtype=np.int64, casting="same_kind")
            break
    return columns


def _check_filters(node: Any) -> None:
    """Name a filter that is missing; h5py only says that it cannot read."""
    datasets = node.values() if isinstance(node, h5py.Group) else [node]
    for dataset in datasets:
        if not isinstance(dataset, h5py.Dataset):
            continue
        plist = dataset.id.get_create_plist()
        for at in range(plist.get_nfilters()):
            number = plist.get_filter(at)[0]
            if not h5py.h5z.filter_avail(number):
                name, brings = _FILTERS.get(number, (f"number {number}", "its plugin of HDF5"))
                raise RecordingError(
                    f"{dataset.name} is compressed by the HDF5 filter {name}, expected {brings} "
                    f"to be there"
                )


def _stated_sensor(file: h5py.File, node: Any) -> Sensor | None:
    """Read `width` and `height`, attributes or numbers beside the events, or a `geometry`."""
    for owner in (node, node.parent, file):
        sizes = {side: _whole(side, owner.attrs[side]) for side in _SIDES if side in owner.attrs}
        if isinstance(owner, h5py.Group) and all(
            isinstance(owner.get(side), h5py.Dataset) and owner[side].shape == () for side in _SIDES
        ):
            sizes = {side: _whole(side, owner[side][()]) for side in _SIDES}
        if len(sizes) == 2:
            return Sensor(**sizes)
        # Prophesee: "1280x720"; e2vid: height and width.
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(owner.attrs.get("geometry", "")))
        if found:
            return Sensor(int(found[1]), int(found[2]))
        if np.shape(sizes_of := owner.attrs.get("sensor_resolution")) == (2,):
            return Sensor(_whole("width", sizes_of[1]), _whole("height", sizes_of[0]))
    return None


_SIDES = ("width", "height")


def _whole(name: str, value: Any) -> int:
    text = str(value.decode() if isinstance(value, bytes) else value)
    if not re.fullmatch(r"\d{1,5}", text):
        raise RecordingError(f"{name} is {text}, expected a whole number of pixels")
    return int(text)


HDF5 = Format("HDF5", (".h5", ".hdf5"), b"\x89HDF\r\n\x1a\n", _decode)
