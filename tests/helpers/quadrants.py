"""A data set small enough to train on in a test: which quadrant holds most of the events."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.events.arrays import Sensor, make_events
from eventsim_bridge.training.settings import TrainingSettings

SENSOR = Sensor(8, 6)
SHAPE = SENSOR.input_shape


@dataclass
class Split:
    recordings: list[Any]
    labels: NDArray[np.int64]
    sensor: Sensor = SENSOR
    identity: Any = None  # not cached
    users: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"noise/{index}" for index in range(len(self.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.recordings[index], int(self.labels[index])


class Unreadable(Split):
    """A test set that nobody may look at."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        raise AssertionError("training has read the test set")


@dataclass
class DataSet:
    name: str
    class_names: tuple[str, ...]
    train: Any
    test: Any

    @property
    def sensor(self) -> Sensor:
        return self.train.sensor  # type: ignore[no-any-return]


def quadrant_split(count: int, seed: int = 0) -> Split:
    """Four classes: in which quadrant of 8 x 6 pixels most of the events lie."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    recordings = []
    for label in labels:
        n = int(rng.integers(40, 60))
        x, y = rng.integers(0, 4, n) + 4 * (label % 2), rng.integers(0, 3, n) + 3 * (label // 2)
        astray = rng.random(n) < 0.15
        x[astray] = rng.integers(0, 8, astray.sum())
        t = np.sort(rng.integers(0, 6000, n))
        recordings.append(make_events(t, x, y, rng.integers(0, 2, n)))
    return Split(recordings, labels)


def quadrants(count: int = 60, seed: int = 0) -> Any:
    unreadable = Unreadable([], np.zeros(9, np.int64))
    names = ("nw", "ne", "sw", "se")
    return DataSet("quadrants", names, quadrant_split(count, seed), unreadable)


SETTINGS = TrainingSettings(
    structure="12FC-4", dt_us=1000, steps=6, epochs=5, batch_size=8, learning_rate=5e-3
)


def numbers_of(history: Any) -> list[list[float]]:
    """Return the numbers of each epoch in one list, the operations of each layer at its end."""
    return [[*epoch[:-1], *epoch[-1]] for epoch in history]


def changed(**changes: Any) -> TrainingSettings:
    return dataclasses.replace(SETTINGS, **changes)


def weights_of(trained: Any) -> list[NDArray[Any]]:
    """Parameters, and the running statistics of normalisations."""
    return [value.numpy() for value in trained.model.state_dict().values()]


def assert_same_training(one: Any, two: Any) -> None:
    assert one.history == two.history
    assert one.best == two.best
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_array_equal(a, b)
