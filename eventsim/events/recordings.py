"""Recordings: event files of every common format -> checked event arrays and their sensor.

In: a path. Out: a `Recording`, or the same events as `Packets`, for the simulator, the bridge's
data sets and the command line. There is one decoder for each format, in `formats/`; it makes
packets, and a recording is its packets joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from .arrays import Events, EventsAndSensor, Sensor, agreed_sensor, check_events, join_events
from .faults import Faults, OnBad
from .formats.format import Asked, Contents
from .formats.registry import recognise
from .units import TimeUnit, check_time_unit

# Events in a packet, at most, unless asked for otherwise. Decoding EVT3, the greediest, takes about
# 200 bytes an event.
PACKET = 2**17


@dataclass(frozen=True)
class About:
    """How a file was understood: what no event says of itself."""

    format: str
    recognised: str  # by its first bytes, or its suffix
    sensor_from: str  # stated, asked for, or guessed from the events
    facts: Mapping[str, str]  # such as the order of columns and the unit of times

    @property
    def states_sensor(self) -> bool:
        """Tell whether the size of the sensor is known, by the file or the caller."""
        return self.sensor_from in (STATED, ASKED)


STATED, ASKED = "stated in the file", "asked for"
GUESSED = "guessed: the smallest that holds the events"


class Recording(EventsAndSensor):
    """The events of one file and the sensor that they come from, a pair: taken wherever events are.

    events: (events,) of `EVENT_DTYPE`, in time order. sensor: its size. about: how the file was
    understood. dropped: how many records were left out, by kind.
    """

    about: About
    dropped: Mapping[str, int]

    def __new__(
        cls, events: Events, sensor: Sensor, about: About, dropped: Mapping[str, int]
    ) -> Self:
        """Make the pair."""
        made = super().__new__(cls, events, sensor)
        made.about, made.dropped = about, dropped
        return made

    def __repr__(self) -> str:
        """Return in a line what there is, not the events."""
        events, sensor = self
        seconds = (int(events["t"][-1]) - int(events["t"][0])) / 1e6 if len(events) else 0.0
        left_out = f", dropped {dict(self.dropped)}" if self.dropped else ""
        return (
            f"Recording: {len(events):,} events of {sensor.width} x {sensor.height} pixels "
            f"({self.about.sensor_from}) in {seconds:g} s, {self.about.format}{left_out}"
        )


@dataclass(frozen=True)
class Packets:
    """The events of one file, packet by packet; each iteration reads it from the beginning.

    path, time_unit, sort, stream, on_bad: as `read_packets` was told. sensor: None where nothing
    states it. size: events in a packet, at most. about: how the file was understood. dropped: what
    the latest iteration left out, by kind.
    """

    path: Path
    sensor: Sensor | None
    size: int
    about: About
    time_unit: TimeUnit | None = None
    sort: bool = False
    stream: int | None = None
    on_bad: OnBad = "refuse"
    dropped: dict[str, int] = field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[Events]:
        """Yield checked event arrays of 1 to `size` events, in time order."""
        if self.sort:
            whole = read_recording(
                self.path, sensor=self.sensor, sort=True, time_unit=self.time_unit,
                stream=self.stream, on_bad=self.on_bad,
            )  # fmt: skip
            self._note(whole.dropped)
            events = whole.events
            yield from (events[at : at + self.size] for at in range(0, len(events), self.size))
            return
        faults = Faults(self.on_bad)
        with _naming(self.path):
            number = latest_us = 0
            asked = Asked(self.size, self.time_unit, self.stream, faults)
            for decoded in recognise(self.path).format.decode(self.path, asked).packets:
                for first in range(0, len(decoded), self.size):
                    events = _checked(
                        decoded[first : first + self.size], self.sensor, faults, number, latest_us
                    )
                    if len(events):
                        number, latest_us = number + len(events), int(events["t"][-1])
                        yield events
            self._note(faults.dropped)

    def _note(self, dropped: Mapping[str, int]) -> None:
        self.dropped.clear()
        self.dropped.update(dropped)


def read_recording(
    path: str | Path,
    *,
    sensor: Sensor | None = None,
    sort: bool = False,
    time_unit: TimeUnit | None = None,
    stream: int | None = None,
    on_bad: OnBad = "refuse",
) -> Recording:
    """Read the events of a file: all of them, or none and a `RecordingError`.

    The first bytes say the format, or else the suffix (`docs/recordings.md` has the list):

    - N-MNIST and N-Caltech101 (`.bin`), Prophesee RAW (EVT 2.0, 2.1, 3.0) and DAT (versions 1, 2),
      AEDAT 2.0, 3.1 and 4.0.
    - Event Stream 2 with DVS events. The file counts y from the bottom; the events count it from
      the top, as in all other formats but AEDAT 2.0.
    - Text, NumPy and HDF5: columns t, x, y, and on (or p), also by their other usual names; a plain
      array or text without names in one of the usual orders. Other fields are left alone.
      In HDF5, anywhere in the file; a `t_offset` beside a group (DSEC) is added to t.

    `stream` chooses one of several event streams in a file, counted from 0. `on_bad="drop"` leaves
    out what cannot be used (events outside of the sensor or backward in time, half records at the
    end, words before the first time, lines that are none, an end that cannot be decoded) and counts
    it in `dropped`, by kind; "refuse" raises an error instead.

    A file that does not state the unit of its times has the `time_unit` that is given, or else the
    only one that makes sense of its first times (`units.stated_or_deduced`); `about.facts` says so.
    Where there are several, it is refused and asks for one. Polarity is 0 or 1, or -1 or 1. Records
    that are no pixel events (triggers, frames, IMU samples) are no part of the result. Clocks that
    turn over (DAT, EVT) are continued.

    The sensor of the result is the one that the file states; else `sensor`; else the smallest that
    holds the events, and then `about.sensor_from` calls it guessed.

    Raises `RecordingError`, one sentence beginning with the path, for a file that is missing,
    empty, cut short, misnamed or damaged; for a `sensor` that differs from the one in the file; for
    coordinates outside the sensor; and for time that runs backwards, which `sort=True` puts in
    order instead (a stable sort). Two limits. faery hides backward time in AEDAT4: the first and
    last time of each packet are compared with the table at the end of the file, where it has one,
    but times inside a packet cannot be. And a file that was cut exactly between two records looks
    whole, except in AEDAT4 with that table, NumPy and HDF5.
    """
    path = Path(path)
    with _naming(path):
        faults = Faults(on_bad)
        about, contents = _understood(path, Asked(PACKET, time_unit, stream, faults), sensor)
        known = _sensor_of(contents, sensor)
        events = join_events(list(contents.packets))
        known = known or _smallest_sensor(events)
        events = _checked(events, known, faults, sort=sort)
        return Recording(events, known, about, faults.dropped)


def read_packets(
    path: str | Path,
    *,
    sensor: Sensor | None = None,
    size: int = PACKET,
    sort: bool = False,
    time_unit: TimeUnit | None = None,
    stream: int | None = None,
    on_bad: OnBad = "refuse",
) -> Packets:
    """Read the events of a file in packets of at most `size`; as `read_recording` otherwise.

    The packets together are the events of `read_recording`, and memory does not grow with the file,
    except in `.npz`, which is read whole, and for the table of packets in AEDAT4. The result can be
    iterated over, again and again, and its `sensor` is the one that the file states; else `sensor`;
    else None: which is the smallest to hold the events is known only at their end.

    Raises `RecordingError` as `read_recording` does, with the same sentences: what the beginning of
    the file shows at once, the rest when the packet is reached. The packets before have been given
    out then. With `sort`, each iteration reads the file whole. `EventsimError` for a bad `size`.
    """
    if not is_whole(size, 1):
        raise EventsimError(f"size is {size!r}, expected a whole number of events, 1 or more")
    path = Path(path)
    with _naming(path):
        asked = Asked(int(size), time_unit, stream, Faults(on_bad))
        about, contents = _understood(path, asked, sensor)
        known = _sensor_of(contents, sensor)
    return Packets(path, known, int(size), about, time_unit, sort, stream, on_bad)


def _understood(path: Path, asked: Asked, sensor: Sensor | None) -> tuple[About, Contents]:
    """Begin to decode a file, and say how."""
    check_time_unit(asked.time_unit)
    form, recognised = recognise(path)
    contents = form.decode(path, asked)
    how = STATED if contents.stated else ASKED if sensor else GUESSED
    return About(form.name, recognised, how, contents.facts), contents


def _checked(
    events: Events,
    sensor: Sensor | None,
    faults: Faults,
    first: int = 0,
    after_us: int = 0,
    sort: bool = False,
) -> Events:
    """Check events, and drop those that are outside or backward where that was asked for."""
    try:
        return check_events(events, sensor, sort=sort, first=first, after_us=after_us)
    except RecordingError:
        if not faults.drops:
            raise
        return faults.in_order(events, sensor, after_us, sort=sort)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Begin the sentence of an error with the path."""
    try:
        yield
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened, {error.strerror or error}") from error


def _sensor_of(contents: Contents, asked: Sensor | None) -> Sensor | None:
    """Return the sensor that is known before the events are."""
    return agreed_sensor(contents.stated, asked, "the file")


def _smallest_sensor(events: Events) -> Sensor:
    if len(events) == 0:
        return Sensor(1, 1)
    return Sensor(int(events["x"].max()) + 1, int(events["y"].max()) + 1)
