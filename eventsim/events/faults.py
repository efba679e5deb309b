"""What becomes of a part of a file that cannot be used: it is refused, or dropped and counted.

In: what a decoder, or the check of its events, found. Out: an error of one sentence, or counts by
kind, which `recordings.py` hands on.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError, RecordingError
from .arrays import EVENT_DTYPE, Events, Sensor, as_events, make_events
from .units import LIMIT_US, TimeUnit, in_microseconds

OnBad = Literal["refuse", "drop"]
ON_BAD: tuple[OnBad, ...] = get_args(OnBad)

OUTSIDE = "events outside of the sensor"
BACKWARD = "events backward in time"
VALUES = "events with a value that none can have"
HALF = "half records at the end"
TIMELESS = "events before the first time, row or column"
UNDEFINED = "words of an undefined type"
LINES = "lines that are no events"
UNCLOSED = "ends that cannot be decoded"


class Faults:
    """What was found in one reading of a file."""

    def __init__(self, on_bad: OnBad = "refuse") -> None:
        """Begin with nothing found. Raises `EventsimError` for another word."""
        if on_bad not in ON_BAD:
            raise EventsimError(f"on_bad is {on_bad!r}, expected one of {', '.join(ON_BAD)}")
        self.drops = on_bad == "drop"
        self.dropped: dict[str, int] = {}

    def found(self, kind: str, count: int, sentence: str) -> None:
        """Count what is dropped; raise `RecordingError` where it is refused."""
        if not self.drops:
            raise RecordingError(sentence)
        self.dropped[kind] = self.dropped.get(kind, 0) + int(count)

    def make(
        self, t: Any, x: Any, y: Any, on: Any, *, first: int = 0, time_unit: TimeUnit = "us"
    ) -> Events:
        """Make events as `make_events` does, without those that it refuses where these are dropped.

        Columns are of one length; what is wrong with these is refused in any case.
        """
        try:
            return make_events(t, x, y, on, first=first, time_unit=time_unit)
        except RecordingError as error:
            columns = [np.asarray(column) for column in (t, x, y, on)]
            if any(c.shape != columns[0].shape or c.dtype.kind not in "biuf" for c in columns):
                raise
            good = _are_good(columns, time_unit)
            self.found(VALUES, int((~good).sum()), str(error))
            return make_events(*(column[good] for column in columns), time_unit=time_unit)

    def in_order(self, events: Any, sensor: Sensor | None, after_us: int, *, sort: bool) -> Events:
        """Return the events that are on the sensor, and not backward in time unless sorted."""
        array = as_events(events)
        width, height = (2**16, 2**16) if sensor is None else (sensor.width, sensor.height)
        outside = (array["x"] >= width) | (array["y"] >= height)
        if outside.any():
            self.found(OUTSIDE, outside.sum(), "")
            array = array[~outside]
        if sort:
            return np.ascontiguousarray(array[np.argsort(array["t"], kind="stable")])
        latest = np.maximum.accumulate(np.append(np.uint64(after_us), array["t"]))[:-1]
        late = array["t"] < latest
        if late.any():
            self.found(BACKWARD, late.sum(), "")
            array = array[~late]
        return np.ascontiguousarray(array, EVENT_DTYPE)


def _are_good(columns: list[NDArray[Any]], time_unit: TimeUnit) -> NDArray[np.bool_]:
    """Tell of each event whether `make_events` takes it."""
    good = np.isin(columns[3], (-1, 0, 1))
    for number, column in enumerate(columns[:3]):
        finite = np.isfinite(column)
        column = np.where(finite, column, 0)
        if number == 0:
            column = in_microseconds(column, time_unit)
        good &= finite & (column == np.floor(column)) & (column >= 0)
        good &= column < (LIMIT_US if number == 0 else 2**16)
    return good
