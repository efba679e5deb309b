"""What a data set is: two lazy splits of event arrays with labels, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from eventsim.errors import EventsimError
from eventsim.events.arrays import Events, Sensor
from eventsim.jit import Int64s
from eventsim.live.filters import Filters, FilterSettings
from eventsim.tables import Table


class DataSetError(EventsimError):
    """A data set cannot be opened; the message says what was looked for and what was found."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: a sequence of (events, label) whose events are read when asked for.

    `split[i]` raises `RecordingError`, naming the file, where the recording is damaged.

    names: a stable name of each recording, such as "Test/7/00001.bin".
    labels: (recordings,) the class of each, an index into the set's class_names.
    sensor: what all events come from.
    read: returns the checked events of recording i, 0 <= i < len.
    identity: returns a text that is another one whenever the recordings are; without, none are
        cached.
    users: who is recorded, where that is known.
    """

    names: tuple[str, ...]
    labels: Int64s
    sensor: Sensor
    read: Callable[[int], Events]
    identity: Callable[[], str] | None = None
    users: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Events, int]:
        """Return (events, label) of one recording; negative indices count from the end."""
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"recording {index} of a split of {len(self)}")
        return self.read(position), int(self.labels[position])

    def __iter__(self) -> Iterator[tuple[Events, int]]:
        """Go through the recordings in order."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """Return how many recordings there are, of what."""
        ends = f", {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"Split: {len(self):,} recordings{ends}"


@dataclass(frozen=True, eq=False, repr=False)
class DataSet:
    """A data set: where its events come from, what its labels mean, and its two splits.

    name, class_names: of the set. train, test: its splits, of which a partial copy may have one
    empty; `train[0]` is (events, label) of one recording.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split

    @property
    def sensor(self) -> Sensor:
        """What the events of both splits come from."""
        return self.train.sensor

    def _table(self) -> Table:
        names = self.class_names
        some = names if len(names) <= 12 else (*names[:10], "...")
        parts = {"train": self.train, "test": self.test}
        rows = [
            (part, len(split), len(set(split.labels.tolist()))) for part, split in parts.items()
        ]
        size = f"{self.sensor.width} x {self.sensor.height}"
        return Table(
            f"DataSet {self.name}: {size} pixels, {len(names)} classes ({', '.join(some)})",
            ("part", "recordings", "classes in it"),
            tuple(rows),
        )

    def __repr__(self) -> str:
        """Return how many recordings there are in each part, of what."""
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def resized(dataset: DataSet, settings: FilterSettings) -> DataSet:
    """Return a data set whose events are cropped and scaled; each recording by filters of its own.

    Raises `EventsimError` for a region that is not inside the sensor.
    """

    def change(split: Split) -> Split:
        return replace(
            split,
            sensor=Filters(settings, split.sensor).sensor,
            read=partial(_resize, split.read, settings, split.sensor),
            identity=None
            if split.identity is None
            else partial(_identity_of_resized, split.identity, settings),
        )

    return replace(dataset, train=change(dataset.train), test=change(dataset.test))


def _resize(
    read: Callable[[int], Events], settings: FilterSettings, sensor: Sensor, index: int
) -> Events:
    return Filters(settings, sensor)(read(index))


def _identity_of_resized(identity: Callable[[], str], settings: FilterSettings) -> str:
    return f"{identity()} {settings}"


def identity_of_files(name: str, folder: Path, paths: tuple[Path, ...]) -> str:
    """Return a hash of names, sizes and times of change; the folder itself may move."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        fields = (path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)
        digest.update(f"{fields}".encode())
    return f"{len(paths)} files of {name} {digest.hexdigest()}"
