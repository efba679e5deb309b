"""Labelled recordings for training and testing, by the name of their data set.

In: a name and, for the recorded sets, the folder of a full or partial copy.
Out: a `DataSet` of two lazy splits that give raw event arrays with labels. Training, `eventsim run`
and the demo read their samples from here; each puts them on the grid that it wants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eventsim.errors import RecordingError
from eventsim.events.arrays import Events, Sensor, check_events
from eventsim.events.recordings import read_recording
from eventsim.events.units import TimeUnit
from eventsim.jit import Int64s

from .data import choreography, digits, gestures, ibm_gestures
from .data.camera import CameraRecordings
from .data.heidelberg import NAMES as HEIDELBERG
from .data.heidelberg import open_heidelberg
from .data.own import OwnData, open_folder
from .data.sets import DataSet, DataSetError, Split, identity_of_files

__all__ = ["DataSet", "DataSetError", "OwnData", "Split", "open_dataset"]


def open_dataset(name: str, root: str | Path | None = None, own: OwnData | None = None) -> DataSet:
    """Open a data set by name; no recording is read yet.

    - "digits" needs no `root`: scikit-learn's digits under a simulated camera (`data/digits.py`).
      Of each class every fifth image, in scikit-learn's order, is for testing.
    - "gestures" needs no `root`: the classes of DVS Gesture, played by a moving figure under a
      simulated camera of 128 x 128 pixels (`data/gestures.py`). Of 30 users the last six are for
      testing.
    - "nmnist" (Orchard et al. 2015): `root` has `Train/<digit>/*.bin` and `Test/<digit>/*.bin`, or
      is the folder around such an `NMNIST`. In order of the recordings' numbers, which is MNIST's.
    - "dvsgesture" (Amir et al. 2017, cut by gesture, as tonic keeps it): `root` has
      `ibmGestureTrain/<user_light>/<class>.npy` and `ibmGestureTest/...`, or is the folder around
      such a `DVSGesture`. In order of user and class. Or `root` is as IBM publishes it:
      `trials_to_train.txt`, `trials_to_test.txt`, and `user01_fluorescent.aedat` with
      `user01_fluorescent_labels.csv` for each name in these (`data/ibm_gestures.py`).
    - "shd", "ssc" (Cramer et al. 2022), 700 channels of a cochlea: `root` has `shd_train.h5` and
      `shd_test.h5`, or a folder `SHD` with them, as tonic keeps it (`data/heidelberg.py`).
    - "folder": recordings of one's own, `root` with one folder a class, or `train` and `test` with
      such folders; `own` says how they are parted and read (`data/folders.py`).
    - "ncaltech101", "cifar10dvs", "ncars", "asldvs": the same, as these sets are unpacked.

    Raises `DataSetError` for an unknown name, a root that is missing, or where it is not wanted,
    a folder of another layout, and a folder with no recordings at all.
    """
    if name in _EMBEDDED:
        if root is not None:
            raise DataSetError(f"data set {name}: root is {root}, expected none (it is simulated)")
        return _EMBEDDED[name]()
    if root is not None and name in _FOLDERS:
        return _open_known_folder(name, Path(root), own or OwnData())
    if name in _FOLDERS:
        raise DataSetError(f"data set {name}: root is missing, expected a folder of recordings")
    if own is not None and own != OwnData():
        raise DataSetError(f"data set {name}: it is parted and read in its own way, expected none")
    if name == "dvsgesture" and root is not None and (Path(root) / _IBM["train"]).is_file():
        return _open_ibm(Path(root))
    if name in HEIDELBERG and root is not None:
        return open_heidelberg(name, Path(root))
    if name in HEIDELBERG:
        raise DataSetError(f"data set {name}: root is missing, expected the folder of its files")
    if name not in _LAYOUTS:
        known = ", ".join([*_EMBEDDED, *_LAYOUTS, *HEIDELBERG, *_FOLDERS])
        raise DataSetError(f"data set {name!r} is unknown, expected one of {known}")
    layout = _LAYOUTS[name]
    if root is None:
        raise DataSetError(f"data set {name}: root is missing, expected {layout.wanted()}")
    return _open_folder(layout, Path(root))


def _open_digits() -> DataSet:
    recordings = digits.make_digits()
    rank = np.empty(len(recordings), np.int64)  # of an image among those of its class
    for label in range(len(digits.CLASS_NAMES)):
        members = np.flatnonzero(recordings.labels == label)
        rank[members] = np.arange(len(members))
    names = [f"digits/{index:04d}" for index in range(len(recordings))]
    return _simulated("digits", digits.CLASS_NAMES, recordings, names, rank % 5 == 4)


def _open_gestures() -> DataSet:
    settings = gestures.GesturesSettings()
    recordings = gestures.make_gestures(settings)
    user, number = np.divmod(np.arange(len(recordings)), settings.per_user())
    names = [
        f"gestures/user{user[index]:02d}/{label}-{number[index] % settings.takes}"
        for index, label in enumerate(recordings.labels)
    ]
    is_test = user >= settings.training_users
    users = [f"user{number:02d}" for number in user]
    return _simulated("gestures", choreography.CLASS_NAMES, recordings, names, is_test, users)


def _simulated(
    name: str,
    class_names: tuple[str, ...],
    recordings: CameraRecordings,
    names: list[str],
    is_test: NDArray[np.bool_],
    users: list[str] | None = None,
) -> DataSet:
    def split(indices: Int64s) -> Split:
        return Split(
            names=tuple(names[index] for index in indices),
            labels=recordings.labels[indices],
            sensor=recordings.sensor,
            read=partial(_read_simulated, recordings, indices),
            identity=partial(_identity_of_simulated, recordings, indices),
            users=None if users is None else tuple(users[index] for index in indices),
        )

    return DataSet(
        name=name,
        class_names=class_names,
        train=split(np.flatnonzero(~is_test)),
        test=split(np.flatnonzero(is_test)),
    )


def _read_simulated(recordings: CameraRecordings, indices: Int64s, index: int) -> Events:
    return check_events(recordings.events(indices[index]), recordings.sensor)


def _identity_of_simulated(recordings: CameraRecordings, indices: Int64s) -> str:
    return f"{hashlib.sha256(indices.tobytes()).hexdigest()} of {recordings.key}"


_EMBEDDED: dict[str, Callable[[], DataSet]] = {"digits": _open_digits, "gestures": _open_gestures}


@dataclass(frozen=True)
class _Layout:
    """How a data set lies on disk: <train or test>/<folder>/<file>."""

    name: str
    own_folder: str  # the name of the folder in which the set is usually unpacked
    train: str
    test: str
    pattern: str
    class_of: Callable[[Path], str]  # the part of a file's path that is the number of its class
    order: Callable[[Path, int], tuple[str, int]]  # of a file and its class, for sorting
    sensor: Sensor
    class_names: tuple[str, ...]
    time_unit: TimeUnit | None = None  # of files that do not state it
    user_of: Callable[[Path], str] | None = None  # the part of a file's path that says who

    def wanted(self) -> str:
        return (
            f"a folder with {self.train}/{self.pattern} or {self.test}/{self.pattern}, "
            f"or one with such a folder {self.own_folder}"
        )


def _open_folder(layout: _Layout, root: Path) -> DataSet:
    for folder in (root, root / layout.own_folder):
        if any((folder / part).is_dir() for part in (layout.train, layout.test)):
            break
    else:
        raise DataSetError(
            f"data set {layout.name}: {root} {_contents(root)}, expected {layout.wanted()}"
        )
    train = _open_split(layout, folder, layout.train)
    test = _open_split(layout, folder, layout.test)
    if not len(train) and not len(test):
        found = [
            f"{part} {_contents(folder / part)}"
            for part in (layout.train, layout.test)
            if (folder / part).exists()
        ]
        raise DataSetError(
            f"data set {layout.name}: {folder} has no recordings ({', '.join(found)}), "
            f"expected {layout.wanted()}"
        )
    return DataSet(layout.name, layout.class_names, train, test)


def _contents(folder: Path) -> str:
    """Say what a folder holds, for an error message."""
    if not folder.is_dir():
        return "is a file" if folder.exists() else "does not exist"
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "is empty"
    return "holds " + ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


def _open_split(layout: _Layout, folder: Path, part: str) -> Split:
    found = []
    for path in (folder / part).glob(layout.pattern):
        # What macOS leaves beside unpacked files; it is not data.
        if path.name.startswith("."):
            continue
        text = layout.class_of(path)
        if not (text.isdecimal() and int(text) < len(layout.class_names)):
            raise DataSetError(
                f"data set {layout.name}: {path} is of class {text!r}, "
                f"expected 0 to {len(layout.class_names) - 1}"
            )
        found.append((path, int(text)))
    found.sort(key=lambda item: layout.order(*item))
    paths = tuple(path for path, _ in found)
    return Split(
        names=tuple(path.relative_to(folder).as_posix() for path in paths),
        labels=np.array([label for _, label in found], np.int64),
        sensor=layout.sensor,
        read=partial(_read_file, layout.sensor, layout.time_unit, paths),
        identity=partial(identity_of_files, layout.name, folder, paths),
        users=None if layout.user_of is None else tuple(map(layout.user_of, paths)),
    )


def _read_file(
    sensor: Sensor, time_unit: TimeUnit | None, paths: tuple[Path, ...], index: int
) -> Events:
    path = paths[index]
    events = read_recording(path, sensor=sensor, time_unit=time_unit).events
    if not len(events):
        raise RecordingError(f"{path}: the file holds no events, expected at least one")
    return events


_IBM = ibm_gestures.LISTS


def _open_ibm(root: Path) -> DataSet:
    """Open DVS Gesture as it is published."""

    def split(part: str) -> Split:
        found = ibm_gestures.gestures_of(root, part)
        return Split(
            names=tuple(f"{part}/{one.path.stem}/{one.number}" for one in found),
            labels=np.array([one.label for one in found], np.int64),
            sensor=Sensor(128, 128),
            read=lambda index: ibm_gestures.read_gesture(found[index]),
            identity=partial(identity_of_files, f"{found}", root, tuple(one.path for one in found)),
            users=tuple(one.path.stem.partition("_")[0] for one in found),
        )

    return DataSet("dvsgesture", choreography.CLASS_NAMES, split("train"), split("test"))


@dataclass(frozen=True)
class _Unpacked:
    """A set that is unpacked as one folder a class: where these may lie, and the sensor."""

    places: tuple[str, ...]
    sensor: Sensor | None
    a_class: str = ""  # a class, where only its folder tells which place it is


_FOLDERS = {
    "folder": _Unpacked((".",), None),
    "ncaltech101": _Unpacked(
        ("Caltech101", "N-Caltech101", "NCALTECH101/Caltech101", "extract/Caltech101", "."),
        Sensor(240, 180),
    ),
    "cifar10dvs": _Unpacked(("CIFAR10DVS", "extract", "."), Sensor(128, 128)),
    "ncars": _Unpacked(("Prophesee_Dataset_n_cars", "N-CARS", "."), Sensor(120, 100)),
    "asldvs": _Unpacked((".", "*", "*/*"), Sensor(240, 180), "a"),
}


def _open_known_folder(name: str, root: Path, own: OwnData) -> DataSet:
    known = _FOLDERS[name]
    places = (folder for place in known.places for folder in _places(root, place))
    folder = next((folder for folder in places if (folder / known.a_class).is_dir()), root)
    return open_folder(folder, own, name, known.sensor)


def _places(root: Path, place: str) -> list[Path]:
    return [root] if place == "." else sorted(root.glob(place))


_LAYOUTS = {
    layout.name: layout
    for layout in (
        _Layout(
            name="nmnist",
            own_folder="NMNIST",
            train="Train",
            test="Test",
            pattern="*/*.bin",
            class_of=lambda path: path.parent.name,
            order=lambda path, label: (path.name, label),
            sensor=Sensor(34, 34),
            class_names=tuple("0123456789"),
        ),
        _Layout(
            name="dvsgesture",
            own_folder="DVSGesture",
            train="ibmGestureTrain",
            test="ibmGestureTest",
            pattern="*/*.npy",
            class_of=lambda path: path.stem,
            order=lambda path, label: (path.parent.name, label),
            sensor=Sensor(128, 128),
            time_unit="ms",
            # In tonic's order, which numbers the files (0 to 10; the original counts from 1).
            class_names=choreography.CLASS_NAMES,
            user_of=lambda path: path.parent.name.partition("_")[0],  # user01_fluorescent
        ),
    )
}
