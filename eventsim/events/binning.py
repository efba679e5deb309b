"""Events on a grid of timesteps: a whole recording at once, or packets as they come.

In: event arrays. Out: `BinnedEvents` for the reference, the torch models and whoever wants a whole
recording; and stretches of timesteps from a `Binner`, for the clocked engine. One kernel makes
both, so all of them see the same input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..jit import Float32s, Int32s, Int64s, Words, kernel
from ..vectors import lowest_bit
from .arrays import (
    INPUT_ENCODINGS,
    MAX_CELLS,
    MAX_STEPS,
    Events,
    InputEncoding,
    Sensor,
    check_events,
)


@dataclass(frozen=True, eq=False)
class BinnedEvents:
    """Events on a grid of timesteps: for each timestep, which input cells are active.

    A cell is one pixel of one polarity, numbered `(y * width + x) * polarities + polarity`.
    Timestep `k` covers `start_us + k * dt_us` (included) to `start_us + (k + 1) * dt_us`.
    """

    input_shape: tuple[int, int, int]  # (polarities, height, width)
    dt_us: int
    start_us: int
    steps: int
    pointers: Int64s  # (steps + 1,): cells of timestep k are pointers[k]:pointers[k+1]
    cells: Int32s  # (pointers[-1],): ascending within a timestep, no cell twice
    values: Float32s  # events in each cell and timestep; all 1 for "binary"
    encoding: InputEncoding
    events: int  # events handed in; = in the grid + early + late
    early: int  # events before start_us, left out
    late: int  # events past the last timestep, left out
    merged: int  # events that fell into a cell and timestep that already had one

    def frames(self, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the dense frames, shape (steps, polarities, height, width)."""
        polarities, height, width = self.input_shape
        frames = np.zeros((self.steps, height * width * polarities), dtype)
        frames[np.repeat(np.arange(self.steps), np.diff(self.pointers)), self.cells] = self.values
        shaped = frames.reshape(self.steps, height, width, polarities)
        return np.ascontiguousarray(shaped.transpose(0, 3, 1, 2))


def bin_events(
    events: Any,
    input_shape: tuple[int, int, int],
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
    if encoding not in INPUT_ENCODINGS:
        raise EventsimError(f"encoding is {encoding!r}, expected one of {INPUT_ENCODINGS}")
    grid = Grid(input_shape, dt_us, steps, start_us)
    events = grid.admit(events)
    binner = Binner(grid, encoding)
    length = grid.length()
    pointers, cells, values = np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
    for stretch in binner.stretches(events, length, until=length):
        pointers, cells, values = stretch  # the only one, of `length` timesteps
    polarities, height, width = input_shape
    return BinnedEvents(
        input_shape=(polarities, height, width),
        dt_us=dt_us,
        start_us=grid.start_us or 0,
        steps=length,
        pointers=pointers,
        cells=cells,
        values=values,
        encoding=encoding,
        events=grid.events,
        early=binner.early,
        late=binner.late,
        merged=binner.merged,
    )


class Grid:
    """When a simulation starts and how long it is; checks its events, packet by packet.

    The arguments are those of `bin_events`, which also says what is raised.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        dt_us: int,
        steps: int | None,
        start_us: int | None,
    ) -> None:
        """Refuse what no grid can have."""
        polarities, height, width = input_shape
        for name, value, least, most in (
            ("dt_us", dt_us, 1, 2**63 - 1),
            ("steps", steps, 0, MAX_STEPS),
            ("start_us", start_us, 0, 2**63 - 1),
        ):
            if value is not None and not is_whole(value, least, most):
                raise EventsimError(
                    f"{name} is {value!r}, expected a whole number {least} to {most}"
                )
        self.sensor = Sensor(width, height, polarities)
        self.cells = polarities * height * width
        if self.cells > MAX_CELLS:
            raise EventsimError(f"input_shape is {input_shape}, expected at most {MAX_CELLS} cells")
        self.dt_us = dt_us
        self.steps = steps
        self.start_us = start_us
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
        if events["t"][0] < self.closed_us:
            raise RecordingError(
                f"event {self.events}: t is {events['t'][0]}, expected {self.closed_us} us or "
                f"later, up to where the run has gone on"
            )
        start = int(events["t"][0]) if self.start_us is None else self.start_us
        latest = int(events["t"][-1])
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


def check_until(until_us: Any) -> None:
    """Raise `EventsimError` for a time up to which no run can go on."""
    if not is_whole(until_us, None, 2**63 - 1):
        raise EventsimError(f"until_us is {until_us!r}, expected a whole number below 2^63")


class _Open(NamedTuple):
    """The timestep that is being filled: its active cells are bits.

    A second level has a bit for each word of these that is not 0: reading them out gives the cells
    sorted, each once. (On N-MNIST at 1 ms `bin_events` without its checks took 46 ns an event with
    insertion sort, and 24 so.)
    """

    words: Words
    level: Words
    number: Float32s  # events in each cell; empty for "binary"


class Binner:
    """Puts the packets of a recording on its grid and hands out the timesteps that are closed."""

    def __init__(self, grid: Grid, encoding: InputEncoding) -> None:
        """Begin before the first timestep."""
        words = np.zeros(grid.cells // 64 + 1, np.uint64)
        level = np.zeros(len(words) // 64 + 1, np.uint64)
        number = np.zeros(grid.cells if encoding == "counts" else 0, np.float32)
        self._open = _Open(words, level, number)
        self._waiting = 0  # events in the open timestep
        self._grid = grid
        self.step = 0  # timesteps handed out; the next one is open
        self.early = 0
        self.late = 0
        self._filled = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what changes, for `restore`."""
        numbers = [self._waiting, self.step, self.early, self.late, self._filled]
        return self._open._asdict() | {"numbers": np.array(numbers, np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another binner was."""
        numbers = state["numbers"].tolist()
        self._waiting, self.step, self.early, self.late, self._filled = numbers
        self._open = _Open(*(state[name].copy() for name in _Open._fields))

    @property
    def merged(self) -> int:
        """Events in a cell and timestep that already had one, when all timesteps are closed."""
        return self._grid.events - self.early - self.late - self._filled

    def stretches(
        self, events: Events, longest: int, until: int = 0
    ) -> Iterator[tuple[Int64s, Int32s, Float32s]]:
        """Take in events that the grid has admitted; yield the timesteps that this closes.

        A timestep is closed by an event after it, and if it is one of the first `until`. They come
        in stretches of at most `longest`, each as the `pointers`, `cells` and `values` of
        `BinnedEvents`, in arrays that the next stretch overwrites. A silence of any length takes
        the memory of one stretch.
        """
        grid = self._grid
        start = grid.start_us or 0
        limit = MAX_STEPS if grid.steps is None else grid.steps
        reached = max(until, (grid.latest_us - start) // grid.dt_us)
        room = max(0, min(longest, limit - self.step, reached - self.step))
        pointers = np.zeros(room + 1, np.int64)
        most = min(self._waiting, grid.cells) + len(events)
        cells, values = np.empty(most, np.int32), np.empty(most, np.float32)
        width, polarities = grid.sensor.width, grid.sensor.polarities
        t, x, y, on = events["t"], events["x"], events["y"], events["on"]
        i = 0
        while i < len(events) or self.step < until:
            end = min(self.step + longest, limit)
            i, early, closed, filled, self._waiting = _bin(
                t, x, y, on, i, start, grid.dt_us, width, polarities, self._open, self._waiting,
                self.step, end, until, pointers, cells, values,
            )  # fmt: skip
            self.early += early
            if closed == 0:
                break
            self.step += closed
            self._filled += filled
            yield pointers[: closed + 1], cells[:filled], values[:filled]
        self.late += len(events) - i


@kernel
def _bin(
    t: NDArray[np.uint64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    on: NDArray[np.bool_],
    i: int,
    start_us: int,
    dt_us: int,
    width: int,
    polarities: int,
    opened: _Open,
    waiting: int,
    step: int,
    end: int,
    until: int,
    pointers: Int64s,
    cells: Int32s,
    values: Float32s,
) -> tuple[np.int64, np.int64, int, int, int]:
    """Put the events from the i-th on into the timesteps step .. end - 1; leave early ones out.

    Timestep `step` is open, with `waiting` events in it; those before `until` are closed at the
    end. Returns the first event past the end; how many events were early, timesteps closed and
    cells filled; and the events in the timestep that is open now.
    """
    words, level, number = opened.words, opened.level, opened.number
    start, dt = np.uint64(start_us), np.uint64(dt_us)
    first = step
    filled = 0
    # Unsigned, so that no index is tested for counting from the end: with these tests `bin_events`
    # took 8 % longer on N-MNIST.
    n, one, j = np.uintp(len(t)), np.uintp(1), np.uintp(i)
    while j < n and t[j] < start:
        j += one
    early = np.int64(j) - i
    while j < n:
        k = np.int64(min(np.int64((t[j] - start) // dt), end))  # type: ignore[arg-type]
        if k > step:
            filled, waiting = _read_out(level, words, number, cells, values, filled), 0
            while step < k:
                step += 1
                pointers[step - first] = filled
        if k == end:
            break
        closes = start + np.uint64(k + 1) * dt
        before = j
        while j < n and t[j] < closes:
            cell = np.uint64((np.int64(y[j]) * width + np.int64(x[j])) * polarities)
            if polarities == 2 and on[j]:
                cell += np.uint64(1)
            word = cell >> np.uint64(6)
            words[word] |= np.uint64(1) << (cell & np.uint64(63))
            level[word >> np.uint64(6)] |= np.uint64(1) << (word & np.uint64(63))
            if len(number) > 0:
                number[cell] += np.float32(1)
            j += one
        waiting += np.int64(j - before)  # type: ignore[assignment]
    if step < min(until, end):
        filled, waiting = _read_out(level, words, number, cells, values, filled), 0
        while step < min(until, end):
            step += 1
            pointers[step - first] = filled
    return np.int64(j), early, step - first, filled, waiting


@kernel
def _read_out(
    level: Words,
    words: Words,
    number: Float32s,
    cells: Int32s,
    values: Float32s,
    filled: int,
) -> np.int64:
    """Append the cells whose bits are set, ascending, and clear them; return the new end."""
    end = np.uintp(filled)
    one, six = np.uint64(1), np.uint64(6)
    for part in range(np.uintp(len(level))):
        while level[part] != 0:
            word = (np.uint64(part) << six) + lowest_bit(level[part])
            level[part] &= level[part] - one
            bits = words[word]
            words[word] = 0
            while bits != 0:
                cell = (word << six) + lowest_bit(bits)
                bits &= bits - one
                cells[end] = cell
                values[end] = 1
                if len(number) > 0:
                    values[end] = number[cell]
                    number[cell] = 0
                end += np.uintp(1)
    return np.int64(end)
