"""DVS128 Gesture as IBM publishes it: one AEDAT 3.1 file a session, and a table of its gestures.

In: a folder with `trials_to_train.txt` and `trials_to_test.txt`, which name the files, and for each
`NAME.aedat` a `NAME_labels.csv` of class (from 1), first and last time in microseconds. Out: which
gestures there are; the events of one.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eventsim.errors import RecordingError
from eventsim.events.arrays import Events, Sensor
from eventsim.events.recordings import read_recording

LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
CLASSES = 11


class Gesture(NamedTuple):
    """One gesture of a session."""

    path: Path
    number: int  # in its session
    label: int  # from 0
    start_us: int
    end_us: int


def gestures_of(root: Path, part: str) -> list[Gesture]:
    """List the gestures of the sessions that are there. Raises `RecordingError`."""
    listed = (root / LISTS[part]).read_text().split()
    return [
        gesture
        for name in listed
        if (root / name).is_file()
        for gesture in _of_session(root / name)
    ]


def _of_session(path: Path) -> list[Gesture]:
    table = path.with_name(f"{path.stem}_labels.csv")
    try:
        lines = table.read_text().splitlines()
    except OSError as error:
        raise RecordingError(f"{table}: cannot be read, {error.strerror}") from error
    found = []
    for number, row in enumerate(csv.reader(lines[1:])):
        if not row:
            continue
        if len(row) != 3 or not all(cell.strip().isdecimal() for cell in row):
            raise RecordingError(f"{table}: line {number + 2} is {row}, expected 3 whole numbers")
        label, start, end = map(int, row)
        if not 1 <= label <= CLASSES or start >= end:
            raise RecordingError(
                f"{table}: line {number + 2} is {row}, expected a class 1 to {CLASSES}, and a "
                f"time before another"
            )
        found.append(Gesture(path, number, label - 1, start, end))
    return found


def read_gesture(gesture: Gesture) -> Events:
    """Return the events from its first time up to its last."""
    events = _session(gesture.path)
    first, last = np.searchsorted(events["t"], np.array([gesture.start_us, gesture.end_us], "u8"))
    if first == last:
        raise RecordingError(
            f"{gesture.path}: gesture {gesture.number} holds no events, expected at least one"
        )
    return events[first:last].copy()


@lru_cache(maxsize=1)  # gestures of a session are read one after the other
def _session(path: Path) -> Events:
    return read_recording(path, sensor=Sensor(128, 128), sort=True).events
