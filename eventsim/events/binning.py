"""Events on a grid of timesteps: a whole recording at once, or packets as they come.

In: event arrays. Out: `BinnedEvents` for the reference, the torch models and whoever wants a whole
recording; and stretches of timesteps from a `Binner`, for the clocked engine. One kernel makes
both, so all of them see the same input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..jit import Float32s, Int32s, Int64s
from ..tables import by
from .arrays import (
    INPUT_ENCODINGS,
    MAX_CELLS,
    MAX_STEPS,
    Events,
    InputEncoding,
    InputShape,
    addressing_of,
    as_input_shape,
    camera_of,
    check_events,
    of_one_type,
)
from .stretches import FEW, Marked, Packet, Place, Stretch, next_stretch

KEPT = 2**16  # cells of a packet, for which a binner keeps memory: what larger ones take is freed


@dataclass(frozen=True, eq=False, repr=False)
class BinnedEvents:
    """Events on a grid of timesteps: for each timestep, which input cells are active.

    A cell is one pixel of one polarity, or of one channel, numbered
    `(y * width + x) * channels + channel`; where the shape is (units,), a unit.
    Timestep `k` covers `start_us + k * dt_us` (included) to `start_us + (k + 1) * dt_us`.

    input_shape: (units,) or (channels, height, width); a camera's polarities first.
    pointers: (steps + 1,): the cells of timestep k are `cells[pointers[k]:pointers[k + 1]]`.
    cells: (pointers[-1],), ascending within a timestep, no cell twice.
    values: events in each cell and timestep; all 1 for "binary".
    encoding: "binary" or "counts".
    events: how many were handed in: in the grid, early (before `start_us`, left out) or late (past
        the last timestep, left out). merged: in a cell and timestep that already had one.
    """

    input_shape: InputShape
    dt_us: int
    start_us: int
    steps: int
    pointers: Int64s
    cells: Int32s
    values: Float32s
    encoding: InputEncoding
    events: int
    early: int
    late: int
    merged: int

    def __repr__(self) -> str:
        """Return in a line what there is, not the cells."""
        return (
            f"BinnedEvents: {self.events:,} events, {len(self.cells):,} active cells of "
            f"{by(self.input_shape)} ({self.encoding}), {self.steps:,} timesteps of "
            f"{self.dt_us:,} us"
        )

    def frames(self, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the dense frames, shape (steps, *input_shape)."""
        channels, height, width = (*self.input_shape, 1, 1)[:3]
        frames = np.zeros((self.steps, height * width * channels), dtype)
        frames[np.repeat(np.arange(self.steps), np.diff(self.pointers)), self.cells] = self.values
        shaped = frames.reshape(self.steps, height, width, channels).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(shaped).reshape(self.steps, *self.input_shape)


def bin_events(
    events: Any,
    input_shape: InputShape,
    dt_us: int,
    steps: int | None = None,
    *,
    encoding: InputEncoding = "binary",
    start_us: int | None = None,
) -> BinnedEvents:
    """Put events on a grid of `dt_us` microseconds and `steps` timesteps.

    `input_shape` is (polarities, height, width); with one polarity ON and OFF events share a cell.
    "binary" makes a cell 1 where one or more events fall into it within a timestep (He et al.
    2020), "counts" makes it their number. Without `steps` the grid ends with the last event;
    without `start_us` it begins with the first one. Nothing is dropped in silence: see `early`,
    `late` and `merged` of the result.

    Raises `RecordingError` for coordinates outside `input_shape`, backward time, or a grid longer
    than 2^31 timesteps; `EventsimError` for a bad `dt_us`, `steps`, `start_us`, `encoding` or
    number of cells.
    """
    grid = Grid(input_shape, dt_us, steps, start_us)
    camera_of(grid.input_shape)
    return bin_on(grid, events, encoding)


def bin_on(grid: Grid, events: Any, encoding: InputEncoding) -> BinnedEvents:
    """Put events on a grid; as `bin_events`."""
    if encoding not in INPUT_ENCODINGS:
        raise EventsimError(f"encoding is {encoding!r}, expected one of {INPUT_ENCODINGS}")
    events = grid.admit(events)
    binner = Binner(grid, encoding)
    length = grid.length()
    packet, stretch = binner.take(events, length, until=length)
    next_stretch(packet, binner.marked, binner.numbers, stretch)  # the only one
    pointers, cells, values = stretch
    early, late, merged = binner.seen()
    filled = int(pointers[-1])
    return BinnedEvents(
        input_shape=grid.input_shape,
        dt_us=grid.dt_us,
        start_us=grid.start_us or 0,
        steps=length,
        pointers=pointers,
        cells=cells[:filled],
        values=values[:filled],
        encoding=encoding,
        events=grid.events,
        early=early,
        late=late,
        merged=merged,
    )


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if not is_whole(value, least, most):
        raise EventsimError(f"{name} is {value!r}, expected a whole number {least} to {most}")
    return int(value)


class Grid:
    """When a simulation starts and how long it is; checks its events, packet by packet.

    The arguments are those of `bin_events`, which also says what is raised.
    """

    def __init__(
        self,
        input_shape: Any,
        dt_us: int,
        steps: int | None = None,
        start_us: int | None = None,
    ) -> None:
        """Refuse what no grid can have."""
        self.input_shape = shape = as_input_shape(input_shape)
        self.dt_us = _whole("dt_us", dt_us, 1, 2**63 - 1)
        self.cells = math.prod(shape)
        if self.cells > MAX_CELLS:
            raise EventsimError(f"input_shape is {shape}, expected at most {MAX_CELLS} cells")
        self.sensor = addressing_of(shape)
        self.begin(steps, start_us)

    def begin(self, steps: int | None, start_us: int | None) -> None:
        """Begin with another recording."""
        self.steps = None if steps is None else _whole("steps", steps, 0, MAX_STEPS)
        self.start_us = None if start_us is None else _whole("start_us", start_us, 0, 2**63 - 1)
        self.events = 0  # admitted so far,
        self.latest_us = 0  # and the time of the last of them
        self.closed_us = 0  # timesteps before this time are run, though no event came after them

    def admit(self, packet: Any) -> Events:
        """Return a packet that goes on where the one before ended; or refuse it, changing nothing.

        Raises `RecordingError`; events are numbered from the first of all packets.
        """
        events = check_events(packet, self.sensor, first=self.events, after_us=self.latest_us)
        if len(events) == 0:
            return events
        times = events["t"]
        first, latest = times.item(0), times.item(-1)
        if first < self.closed_us:
            raise RecordingError(
                f"event {self.events}: t is {first}, expected {self.closed_us} us or later, up to "
                f"where the run has gone on"
            )
        start = first if self.start_us is None else self.start_us
        steps = (latest - start) // self.dt_us + 1
        if self.steps is None and steps > MAX_STEPS:
            raise RecordingError(
                f"event {self.events + len(events) - 1}: t is {latest} us, {steps} timesteps of "
                f"{self.dt_us} us after the start at {start} us; expected at most {MAX_STEPS} "
                f"timesteps"
            )
        self.start_us, self.latest_us = start, latest
        self.events += len(events)
        return events

    def state(self) -> list[int]:
        """Return what changes, for `restore`."""
        start = -1 if self.start_us is None else self.start_us
        return [start, self.events, self.latest_us, self.closed_us]

    def restore(self, state: list[int]) -> None:
        """Go on from where another grid was."""
        start, self.events, self.latest_us, self.closed_us = state
        self.start_us = None if start < 0 else start

    def length(self) -> int:
        """Return the number of timesteps: `steps`, or as many as the events so far span."""
        if self.steps is not None:
            return self.steps
        if self.events == 0 or self.start_us is None:
            return 0
        return max(0, (self.latest_us - self.start_us) // self.dt_us + 1)


def check_own_grid(binned: BinnedEvents, steps: int | None, start_us: int | None) -> None:
    """Raise `EventsimError` where binned events should be run on another grid than their own."""
    for name, asked, own in (
        ("steps", steps, binned.steps),
        ("start_us", start_us, binned.start_us),
    ):
        if asked not in (None, own):
            raise EventsimError(
                f"{name} is {asked!r}, expected None or the {own} that the binned events have"
            )


def check_until(until_us: Any) -> None:
    """Raise `EventsimError` for a time up to which no run can go on."""
    if not is_whole(until_us, None, 2**63 - 1):
        raise EventsimError(f"until_us is {until_us!r}, expected a whole number below 2^63")


def _new_stretch(steps: int, cells: int) -> Stretch:
    pointers = np.empty(steps + 1, np.int64)
    return Stretch(pointers, np.empty(cells, np.int32), np.empty(cells, np.float32))


class Binner:
    """Puts the packets of a recording on its grid and hands out the timesteps that are closed."""

    def __init__(self, grid: Grid, encoding: InputEncoding) -> None:
        """Begin before the first timestep."""
        words = np.zeros(grid.cells // 64 + 1, np.uint64)
        level = np.zeros(len(words) // 64 + 1, np.uint64)
        number = np.zeros(grid.cells if encoding == "counts" else 0, np.float32)
        self.marked = Marked(words, level, number)
        self.numbers = np.zeros(len(Place), np.int64)
        self._grid = grid
        self._stretch = _new_stretch(0, 0)

    def begin(self) -> None:
        """Begin with another recording, where every timestep of the one before was closed."""
        self.numbers.fill(0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what changes, for `restore`."""
        return self.marked._asdict() | {"numbers": self.numbers[: Place.event].copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another binner was."""
        self.numbers[: Place.event] = state["numbers"]
        for name, array in self.marked._asdict().items():
            array[:] = state[name]

    def seen(self) -> tuple[int, int, int]:
        """Return how many events were early, late, and, when all timesteps are closed, merged.

        Merged are those in a cell and timestep that already had one.
        """
        _, _, early, late, filled, _ = self.numbers.tolist()
        return early, late, self._grid.events - early - late - filled

    def take(self, events: Events, longest: int, until: int = 0) -> tuple[Packet, Stretch]:
        """Take in events that the grid has admitted: what `next_stretch` needs to bin them.

        A timestep is closed by an event after it, and if it is one of the first `until`. They come
        in stretches of at most `longest`. A silence of any length takes the memory of one stretch,
        and the next one the same.
        """
        grid = self._grid
        start = grid.start_us or 0
        limit = MAX_STEPS if grid.steps is None else grid.steps
        self.numbers[Place.event] = 0
        # Cells lie behind those of the open timestep and of `FEW` events, before they are sorted to
        # the front; as many may be read behind them.
        most = min(self.numbers.item(Place.waiting), grid.cells) + FEW + len(events) + FEW
        stretch = self._stretch
        if len(stretch.pointers) <= longest or len(stretch.cells) < most:
            stretch = _new_stretch(longest, most)
            if most <= KEPT:
                self._stretch = stretch
        packet = Packet(
            of_one_type(events), start, grid.dt_us, grid.sensor.width, grid.sensor.polarities,
            limit, until, longest,
        )  # fmt: skip
        return packet, stretch
