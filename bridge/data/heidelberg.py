"""The Heidelberg data sets of spoken words (Cramer et al. 2022) as they are published: SHD, SSC.

In: a folder with `<name>_train.h5` and `<name>_test.h5`, or what tonic unpacks around them. Out: a
`DataSet`. A recording is the spikes of 700 channels of a cochlea: a line of 700 pixels of one
polarity, whose x is the channel.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from eventsim.errors import RecordingError
from eventsim.events.arrays import Events, Sensor
from eventsim.events.recordings import read_recording
from eventsim.jit import Int64s

from .sets import DataSet, DataSetError, Split, identity_of_files

NAMES = ("shd", "ssc")
COCHLEA = Sensor(700, 1, 1)
PARTS = ("train", "test")  # ssc_valid.h5 is no part


def open_heidelberg(name: str, root: Path) -> DataSet:
    """Open "shd" or "ssc"; of a partial copy one part is empty. No recording is read yet.

    Raises `DataSetError` where there is no file of it, or one of another layout.
    """
    places = (root, root / name.upper())
    files = {part: f"{name}_{part}.h5" for part in PARTS}
    folder = next((p for p in places if any((p / f).is_file() for f in files.values())), None)
    if folder is None:
        raise DataSetError(
            f"data set {name}: {root} has none of {', '.join(files.values())}, expected them there "
            f"or in {places[1]}, unpacked"
        )
    splits, named = {}, list[tuple[str, ...]]()
    for part, file in files.items():
        splits[part] = Split((), np.empty(0, np.int64), COCHLEA, partial(_read, folder / file))
        if (folder / file).is_file():
            splits[part], names = _open_split(name, folder, folder / file)
            named.append(names)
    if any(names != named[0] for names in named):
        raise DataSetError(f"data set {name}: extra/keys differ between its files in {folder}")
    return DataSet(name, named[0], splits["train"], splits["test"])


def _open_split(name: str, folder: Path, path: Path) -> tuple[Split, tuple[str, ...]]:
    try:
        with h5py.File(path, "r") as file:
            labels = file["labels"][()].astype(np.int64)
            class_names = tuple(key.decode() for key in file["extra/keys"][()])
            speakers: Any = file["extra/speaker"][()] if "extra/speaker" in file else None
            count = len(file["spikes/times"])
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataSetError(
            f"data set {name}: {path} cannot be read ({reason}), expected spikes/times, "
            f"spikes/units, labels and extra/keys"
        ) from None
    _check(name, path, labels, count, len(class_names))
    split = Split(
        names=tuple(f"{path.stem}/{number}" for number in range(count)),
        labels=labels,
        sensor=COCHLEA,
        read=partial(_read, path),
        identity=partial(identity_of_files, name, folder, (path,)),
        users=None if speakers is None else tuple(f"speaker{number}" for number in speakers),
    )
    return split, class_names


def _check(name: str, path: Path, labels: Int64s, count: int, classes: int) -> None:
    if labels.shape != (count,):
        raise DataSetError(
            f"data set {name}: {path} has labels of shape {labels.shape}, expected one for each of "
            f"{count} recordings"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataSetError(
            f"data set {name}: {path}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to "
            f"{classes - 1}"
        )


def _read(path: Path, index: int) -> Events:
    """Read a recording; its spikes are put in order of time."""
    try:
        events = read_recording(path, sensor=COCHLEA, sort=True, time_unit="s", stream=index).events
        if not len(events):
            raise RecordingError(f"{path}: there are no spikes, expected at least one")
    except RecordingError as error:
        raise RecordingError(f"recording {index} of {error}") from None
    return events
