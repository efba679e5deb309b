"""Event arrays: their type, the sensor they come from, checks, and binning to timesteps.

In: arrays of AER events from `recordings.py`, a data set, or the caller.
Out: checked event arrays, and `BinnedEvents`, the only form in which events enter the clocked
engine, the reference and the torch models, so that all of them see the same input.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import EventsimError, RecordingError
from .jit import Float32s, Int32s, Int64s, kernel, lowest_bit

# faery's type, so that arrays pass between the two without a copy.
EVENT_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])

Events = NDArray[Any]
InputEncoding = Literal["binary", "counts"]
INPUT_ENCODINGS: tuple[InputEncoding, ...] = ("binary", "counts")

# The kernels hold timesteps as int32. At dt = 1 ms this is 24 days of recording.
MAX_STEPS = 2**31 - 2
MAX_CELLS = 2**31 - 1  # so do they hold the number of an input cell


@dataclass(frozen=True)
class Sensor:
    """The size of an event camera in pixels, and its number of polarities (1 or 2)."""

    width: int
    height: int
    polarities: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that no event can have."""
        for name in ("width", "height"):
            value = getattr(self, name)
            if not 1 <= value <= 65536:
                raise RecordingError(f"sensor: {name} is {value}, expected 1 to 65536")
        if self.polarities not in (1, 2):
            raise RecordingError(f"sensor: polarities is {self.polarities}, expected 1 or 2")


def make_events(t: Any, x: Any, y: Any, on: Any) -> Events:
    """Build an event array from one array a field.

    `t` in microseconds (a fraction is cut off), `x` and `y` in pixels, `on` the polarity (true or
    positive is ON). Raises `RecordingError` where the arrays do not have one length each, or a
    value does not fit its field, instead of repeating, wrapping or rounding it.
    """
    columns = {"t": np.asarray(t), "x": np.asarray(x), "y": np.asarray(y), "on": np.asarray(on)}
    for name, column in columns.items():
        if column.dtype.kind not in "biuf" or column.shape != (columns["t"].size,):
            raise RecordingError(
                f"{name} has dtype {column.dtype} and shape {column.shape}, "
                f"expected numbers of shape ({columns['t'].size},)"
            )
    events = np.empty(len(columns["t"]), EVENT_DTYPE)
    events["on"] = columns.pop("on") > 0
    for name, column in columns.items():
        if column.dtype.kind == "f":
            refuse_first(~np.isfinite(column), column, name, "a finite number")
            if name != "t":
                refuse_first(column != np.floor(column), column, name, "a whole number")
            column = np.floor(column)
        limit = 2**63 if name == "t" else 2**16  # clocks past 2^63 us would be 292,000 years
        refuse_first((column < 0) | (column >= limit), column, name, f"0 to {limit - 1}")
        events[name] = column
    return events


def refuse_first(bad: NDArray[np.bool_], column: NDArray[Any], name: str, expected: str) -> None:
    """Raise a `RecordingError` that names the first bad event and its value, if there is one."""
    if bad.any():
        record = int(np.argmax(bad))
        raise RecordingError(f"event {record}: {name} is {column[record]}, expected {expected}")


def check_events(events: Any, sensor: Sensor | None = None, *, sort: bool = False) -> Events:
    """Return `events` as a contiguous array of `EVENT_DTYPE`, or say what is wrong with it.

    Raises `RecordingError` naming the record and the value for: a wrong type, a coordinate outside
    the `sensor` (when given), and time that runs backwards. `sort=True` puts backward time into
    order instead (a stable sort: simultaneous events keep theirs).
    """
    array = np.asarray(events)
    if array.dtype != EVENT_DTYPE or array.ndim != 1:
        raise RecordingError(
            f"events have dtype {array.dtype} and shape {array.shape}, "
            f"expected a 1-D array of {EVENT_DTYPE} (eventsim.make_events builds one)"
        )
    array = np.ascontiguousarray(array)
    width, height = (65536, 65536) if sensor is None else (sensor.width, sensor.height)
    if _in_order(array["t"], array["x"], array["y"], width, height):
        return array
    if sensor is not None:
        for name, size in (("x", sensor.width), ("y", sensor.height)):
            column = array[name]
            if len(column) and column.max() >= size:
                refuse_first(
                    column >= size,
                    column,
                    name,
                    f"0 to {size - 1} on a {sensor.width} x {sensor.height} sensor",
                )
    t = array["t"]
    if len(t) and t.max() >= 2**63:
        refuse_first(t >= np.uint64(2**63), t, "t", "less than 2^63 us")
    backwards = t[1:] < t[:-1]
    if backwards.any():
        if sort:
            return np.ascontiguousarray(array[np.argsort(t, kind="stable")])
        record = int(np.argmax(backwards)) + 1
        raise RecordingError(
            f"event {record}: time runs backwards, t is {t[record]} us after {t[record - 1]} us; "
            f"expected times that never decrease (sort=True puts them in order)"
        )
    return array


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
    polarities, height, width = input_shape
    if encoding not in INPUT_ENCODINGS:
        raise EventsimError(f"encoding is {encoding!r}, expected one of {INPUT_ENCODINGS}")
    array, start_us, steps = span_of(events, input_shape, dt_us, steps, start_us)
    pointers = np.zeros(steps + 1, np.int64)
    cells = np.empty(len(array), np.int32)
    values = np.empty(len(array), np.float32)
    filled, early, late = _bin(
        array["t"], array["x"], array["y"], array["on"],
        start_us, dt_us, width, height, polarities, encoding == "counts",
        pointers, cells, values,
    )  # fmt: skip
    return BinnedEvents(
        input_shape=(polarities, height, width),
        dt_us=dt_us,
        start_us=start_us,
        steps=steps,
        pointers=pointers,
        cells=cells[:filled],
        values=values[:filled],
        encoding=encoding,
        events=len(array),
        early=early,
        late=late,
        merged=len(array) - early - late - filled,
    )


def span_of(
    events: Any,
    input_shape: tuple[int, int, int],
    dt_us: int,
    steps: int | None,
    start_us: int | None,
) -> tuple[Events, int, int]:
    """Check events; return them, when a simulation of them starts, and its number of timesteps.

    Raises as `bin_events`.
    """
    polarities, height, width = input_shape
    for name, value, least, most in (
        ("dt_us", dt_us, 1, 2**63 - 1),
        ("steps", steps, 0, MAX_STEPS),
        ("start_us", start_us, 0, 2**63 - 1),
    ):
        if value is not None and not (isinstance(value, Integral) and least <= value <= most):
            raise EventsimError(f"{name} is {value!r}, expected a whole number {least} to {most}")
    array = check_events(events, Sensor(width, height, polarities))
    if polarities * height * width > MAX_CELLS:
        raise EventsimError(f"input_shape is {input_shape}, expected at most {MAX_CELLS} cells")
    if start_us is None:
        start_us = int(array["t"][0]) if len(array) else 0
    if steps is None:
        steps = max(0, (int(array["t"][-1]) - start_us) // dt_us + 1) if len(array) else 0
        if steps > MAX_STEPS:
            raise RecordingError(
                f"event {len(array) - 1}: t is {array['t'][-1]} us, {steps} timesteps of {dt_us} "
                f"us after the start at {start_us} us; expected at most {MAX_STEPS} timesteps"
            )
    return array, start_us, steps


@kernel
def _in_order(
    t: NDArray[np.uint64], x: NDArray[np.uint16], y: NDArray[np.uint16], width: int, height: int
) -> bool:
    """Tell whether events are what `check_events` expects, in one pass."""
    before = np.uint64(0)
    for i in range(len(t)):
        if x[i] >= width or y[i] >= height or t[i] < before:
            return False
        before = t[i]
    return bool(before < np.uint64(2**63))


@kernel
def _bin(
    t: NDArray[np.uint64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    on: NDArray[np.bool_],
    start_us: int,
    dt_us: int,
    width: int,
    height: int,
    polarities: int,
    counts: bool,
    pointers: Int64s,
    cells: Int32s,
    values: Float32s,
) -> tuple[int, int, int]:
    """Fill the grid from events in time order; return (cells filled, early, late).

    The active cells of a timestep are bits, and a second level has a bit for each word of these
    that is not 0: reading them out gives the cells sorted, each once. (On N-MNIST at 1 ms
    `bin_events` without its checks took 46 ns an event with insertion sort, and 24 so.)
    """
    steps = len(pointers) - 1
    start = np.uint64(start_us)
    dt = np.uint64(dt_us)
    words = np.zeros(width * height * polarities // 64 + 1, np.uint64)
    level = np.zeros(len(words) // 64 + 1, np.uint64)
    number = np.zeros(width * height * polarities if counts else 0, np.float32)
    n = len(t)
    first = 0
    while first < n and t[first] < start:
        first += 1
    filled = 0
    step = 0  # the timestep being filled
    i = first
    while i < n:
        k = np.int64((t[i] - start) // dt)
        if k >= steps:
            break
        while step < k:
            step += 1
            pointers[step] = filled
        closes = start + np.uint64(k + 1) * dt
        while i < n and t[i] < closes:
            cell = np.uint64((np.int64(y[i]) * width + np.int64(x[i])) * polarities)
            if polarities == 2 and on[i]:
                cell += np.uint64(1)
            word = cell >> np.uint64(6)
            words[word] |= np.uint64(1) << (cell & np.uint64(63))
            level[word >> np.uint64(6)] |= np.uint64(1) << (word & np.uint64(63))
            if counts:
                number[cell] += np.float32(1)
            i += 1
        filled = _read_out(level, words, number, cells, values, filled)
    for later in range(step + 1, steps + 1):
        pointers[later] = filled
    return filled, first, n - i


@kernel
def _read_out(
    level: NDArray[np.uint64],
    words: NDArray[np.uint64],
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
