"""Recordings of one's own as a data set: from a folder, or from any map-style data set in Python.

In: a folder of one folder a class; or objects with a length whose items are (events, label), such
as tonic's. Out: a `DataSet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import RecordingError
from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor, check_events
from eventsim.events.formats.fields import events_of_fields
from eventsim.events.recordings import read_packets, read_recording
from eventsim.events.units import TimeUnit
from eventsim.jit import Int64s

from .folders import find_recordings
from .sets import DataSet, DataSetError, Split, identity_of_files


@dataclass(frozen=True)
class OwnData:
    """How a folder of recordings is parted and read.

    test_share, group_by, seed: see `folders.find_recordings`. reading: options of `read_recording`.
    """

    test_share: float | None = None
    group_by: str | None = None
    seed: int = 0
    reading: Mapping[str, Any] = field(default_factory=dict)


def open_folder(
    root: Path, own: OwnData, name: str = "folder", sensor: Sensor | None = None
) -> DataSet:
    """Open a folder of one folder a class; no recording is read but those that state no sensor.

    The sensor of the set is `sensor` or the one asked for; else it holds those of all files.
    """
    found = find_recordings(root, own.test_share, own.group_by, own.seed)
    reading = dict(own.reading)
    if sensor is not None:
        reading.setdefault("sensor", sensor)
    size: Sensor = reading.get("sensor") or _sensor_of(found.paths, reading)

    def split(indices: Int64s) -> Split:
        paths = tuple(found.paths[index] for index in indices)
        return Split(
            names=tuple(path.relative_to(root).as_posix() for path in paths),
            labels=found.labels[indices],
            sensor=size,
            read=partial(_read, paths, reading),
            identity=partial(identity_of_files, f"{name} {sorted(reading.items())}", root, paths),
            users=None if found.groups is None else tuple(found.groups[i] for i in indices),
        )

    return DataSet(
        name, found.class_names,
        split(np.flatnonzero(~found.is_test)), split(np.flatnonzero(found.is_test)),
    )  # fmt: skip


def _sensor_of(paths: Sequence[Path], reading: Mapping[str, Any]) -> Sensor:
    """Return the smallest sensor that holds those of all files."""
    width = height = 1
    for path in paths:
        size = read_packets(path, **reading).sensor or read_recording(path, **reading).sensor
        width, height = max(width, size.width), max(height, size.height)
    return Sensor(width, height)


def _read(paths: tuple[Path, ...], reading: Mapping[str, Any], index: int) -> Events:
    events = read_recording(paths[index], **reading).events
    if not len(events):
        raise RecordingError(f"{paths[index]}: the file holds no events, expected at least one")
    return events


def from_mappings(
    train: Any,
    test: Any = (),
    *,
    name: str = "own",
    sensor: Sensor | None = None,
    class_names: Sequence[str] | None = None,
    time_unit: TimeUnit = "us",
) -> DataSet:
    """Make a data set of map-style ones: each has a length, and items (events, label).

    Events are structured arrays with the fields of events by any of their usual names, or arrays of
    `EVENT_DTYPE`; labels are numbers from 0, or names. `sensor` and `class_names` are the data
    set's own (tonic's `sensor_size`, `classes`) where they are not given, or else what holds all
    events and labels. Labels are an attribute `targets`, or else every item is read for its own.

    Raises `DataSetError` for an item that is something else.
    """
    kept = {"train": train, "test": test}
    labels = {part: _labels(data) for part, data in kept.items()}
    given = [label for part in labels.values() for label in part]
    if class_names is None:
        named = list(getattr(train, "classes", ())) if all(map(_is_number, given)) else []
        named = [one.decode() if isinstance(one, bytes) else one for one in named]  # tonic's SHD
        most = max((int(label) for label in given if _is_number(label)), default=-1)
        class_names = named or (
            [str(label) for label in range(most + 1)] if all(map(_is_number, given))
            else sorted(map(str, set(given)))
        )  # fmt: skip
    number = {str(label): at for at, label in enumerate(class_names)}
    reads = {
        part: partial(_item, data, f"data set {name}: {part}", time_unit)
        for part, data in kept.items()
    }
    if sensor is None and (size := getattr(train, "sensor_size", None)) is not None:
        sensor = Sensor(*map(int, size))
    if sensor is None:
        every = (reads[part](at) for part, data in kept.items() for at in range(len(data)))
        sensor = _sensor_that_holds(every)
    splits = {}
    for part, data in kept.items():
        found = [int(one) if _is_number(one) else number.get(str(one), -1) for one in labels[part]]
        if not all(0 <= label < len(class_names) for label in found):
            raise DataSetError(f"data set {name}: labels are {found[:5]}, expected 0 to "
                               f"{len(class_names) - 1}")  # fmt: skip
        splits[part] = Split(
            names=tuple(f"{part}/{at}" for at in range(len(data))),
            labels=np.array(found, np.int64),
            sensor=sensor,
            read=reads[part],
        )
    return DataSet(name, tuple(map(str, class_names)), splits["train"], splits["test"])


def _sensor_that_holds(recordings: Iterable[Events]) -> Sensor:
    width = height = 1
    for events in recordings:
        if len(events):
            width = max(width, int(events["x"].max()) + 1)
            height = max(height, int(events["y"].max()) + 1)
    return Sensor(width, height)


def _labels(data: Any) -> list[Any]:
    targets = getattr(data, "targets", None)
    if targets is not None and len(targets) == len(data):
        return list(targets)
    return [data[at][1] for at in range(len(data))]


def _is_number(label: Any) -> bool:
    return isinstance(label, int | np.integer)


def _item(data: Any, name: str, time_unit: TimeUnit, index: int) -> Events:
    events = np.asarray(data[index][0])
    if events.dtype == EVENT_DTYPE:
        return check_events(events)
    try:
        return check_events(events_of_fields(events, time_unit))
    except RecordingError as error:
        raise DataSetError(f"{name}/{index}: {error}") from None
