"""Event arrays: their type, the sensor they come from, and checks.

In: arrays of AER events from `recordings.py`, a data set, or the caller; a recording as one array
or as packets of it. Out: checked event arrays.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..jit import Compiled, compiled_for, short_kernel
from .units import LIMIT_US, TimeUnit, in_microseconds

# faery's type, so that arrays pass between the two without a copy.
EVENT_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
_RECORD = np.dtype((np.void, EVENT_DTYPE.itemsize))  # an event as bytes

Events = NDArray[Any]
InputShape = tuple[int, ...]  # of a network's input, see `as_input_shape`
InputEncoding = Literal["binary", "counts"]
INPUT_ENCODINGS: tuple[InputEncoding, ...] = ("binary", "counts")

# The kernels hold timesteps as int32. At dt = 1 ms this is 24 days of recording.
MAX_STEPS = 2**31 - 2
MAX_CELLS = 2**31 - 1  # so do they hold the number of an input cell


@dataclass(frozen=True)
class Sensor:
    """An event camera: `width` and `height` in pixels, and its number of `polarities`, 1 or 2."""

    width: int
    height: int
    polarities: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that no event can have."""
        for name in ("width", "height"):
            value = getattr(self, name)
            if not is_whole(value, 1, 65536):
                raise RecordingError(f"sensor: {name} is {value!r}, expected 1 to 65536")
        if not is_whole(self.polarities, 1, 2):
            raise RecordingError(f"sensor: polarities is {self.polarities!r}, expected 1 or 2")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of a network that takes its events: (polarities, height, width)."""
        return self.polarities, self.height, self.width


class EventsAndSensor(NamedTuple):
    """Events, and the sensor that they come from."""

    events: Events
    sensor: Sensor


def as_input_shape(input_shape: Any) -> InputShape:
    """Return the shape of an input: (units,), or (channels, height, width).

    (channels, length) becomes a map of height 1, (channels, 1, length). Event cameras have
    (1 or 2 polarities, height, width). Raises `EventsimError` for anything else.
    """
    shape = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    if not 1 <= len(shape) <= 3 or not all(is_whole(size, 1) for size in shape):
        raise EventsimError(
            f"input_shape is {input_shape!r}, expected (units,), (channels, length) or "
            f"(channels, height, width), such as (2, 34, 34)"
        )
    whole = tuple(int(size) for size in shape)
    return (whole[0], 1, whole[1]) if len(whole) == 2 else whole


def is_of_camera(shape: InputShape) -> bool:
    """Tell whether events name the cells of an input by x, y and polarity: a camera's, or a line's.

    (units,) is a line of pixels of one polarity: an event's x is the number of its unit.
    """
    return len(shape) != 2 and max(shape[-2:]) <= 65536 and (len(shape) == 1 or shape[0] <= 2)


@cache  # asked for every recording
def camera_of(shape: InputShape) -> Sensor:
    """Return the event camera whose recordings enter an input of this shape; see `is_of_camera`.

    Raises `RecordingError` where there is none.
    """
    if not is_of_camera(shape):
        raise RecordingError(
            f"events come from a camera of (1 or 2 polarities, height, width), or from a line of "
            f"at most 65536 units, but input_shape is {shape}: give it spikes "
            f"(eventsim.from_spikes) or frames (eventsim.from_frames)"
        )
    return Sensor(shape[0], 1, 1) if len(shape) == 1 else Sensor(shape[2], shape[1], shape[0])


@cache
def addressing_of(shape: InputShape) -> Sensor:
    """Return how events say which cell of an input they are for: `(y * width + x) * polarities`.

    As the pixels of a camera where the input is one's; otherwise x and y are the low and the high
    16 bits of the cell's number, in arrays that only the engine makes (`spikes.py`).
    """
    if is_of_camera(shape):
        return camera_of(shape)
    cells = math.prod(shape)
    return Sensor(min(cells, 65536), -(-cells // 65536), 1)


def make_events(
    t: Any, x: Any, y: Any, on: Any, *, first: int = 0, time_unit: TimeUnit = "us"
) -> Events:
    """Build an event array from one array a field.

    `t` in `time_unit`, in whole microseconds if that is "us", else to the nearest one; `x` and `y`
    in pixels; `on` the polarity, 0 or 1, or -1 or 1, or a bool. `first` is the number of the first
    event, for the errors of a packet. Raises `RecordingError` where the arrays do not have one
    length each, or a value does not fit its field, instead of repeating, wrapping or rounding it.
    """
    columns = {"t": np.asarray(t), "x": np.asarray(x), "y": np.asarray(y), "on": np.asarray(on)}
    for name, column in columns.items():
        if column.dtype.kind not in "biuf" or column.shape != (columns["t"].size,):
            raise RecordingError(
                f"{name} has dtype {column.dtype} and shape {column.shape}, "
                f"expected numbers of shape ({columns['t'].size},)"
            )
    events = np.empty(len(columns["t"]), EVENT_DTYPE)
    events["on"] = _polarity(columns.pop("on"), first)
    for name, column in columns.items():
        if column.dtype.kind == "f":
            refuse_first(~np.isfinite(column), column, name, "a finite number", first)
        if name == "t":
            column = in_microseconds(column, time_unit)
        if column.dtype.kind == "f":
            more = " of microseconds (time_unit says another unit)" if name == "t" else ""
            bad = column != np.floor(column)
            refuse_first(bad, column, name, f"a whole number{more}", first)
        limit = LIMIT_US if name == "t" else 2**16
        refuse_first((column < 0) | (column >= limit), column, name, f"0 to {limit - 1}", first)
        events[name] = column
    return events


def _polarity(values: NDArray[Any], first: int) -> NDArray[np.bool_]:
    """Return the polarity from 0 and 1, or -1 and 1."""
    if values.dtype.kind == "b":
        return values
    bad = (values != 0) & (values != 1)
    if bad.any() and values.dtype.kind != "u":
        bad &= values != -1
    refuse_first(bad, values, "polarity", "0 or 1, or -1 or 1", first)
    on: NDArray[np.bool_] = values > 0
    return on


def refuse_first(
    bad: NDArray[np.bool_], column: NDArray[Any], name: str, expected: str, first: int = 0
) -> None:
    """Raise a `RecordingError` that names the first bad event and its value, if there is one."""
    if bad.any():
        record = int(np.argmax(bad))
        raise RecordingError(
            f"event {first + record}: {name} is {column[record]}, expected {expected}"
        )


def as_events(events: Any, called: str = "events have") -> Events:
    """Return a contiguous 1-D array of `EVENT_DTYPE`.

    Taken as well: a `Recording`, and structured arrays with the fields t (in microseconds), x, y
    and p or on by any of their usual names and of any type, such as tonic's. Raises
    `RecordingError` for anything else.
    """
    if isinstance(events, EventsAndSensor):
        events = events.events
    if isinstance(events, str | Path):
        path = str(events)
        raise RecordingError(
            f"events are the path {path!r}, expected an array: eventsim.read_recording({path!r}) "
            f"reads it"
        )
    array = np.asarray(events)
    if array.dtype == EVENT_DTYPE and array.ndim == 1:
        return np.ascontiguousarray(array)
    if array.dtype.names and array.ndim == 1:
        from .formats.fields import events_of_fields

        array = events_of_fields(array)
    if array.dtype != EVENT_DTYPE or array.ndim != 1:
        raise RecordingError(
            f"{called} dtype {array.dtype} and shape {array.shape}, "
            f"expected a 1-D array with fields t, x, y and on (eventsim.make_events builds one)"
        )
    return np.ascontiguousarray(array)


def check_events(
    events: Any,
    sensor: Sensor | None = None,
    *,
    sort: bool = False,
    first: int = 0,
    after_us: int = 0,
) -> Events:
    """Return `events` as a contiguous array of `EVENT_DTYPE`, or say what is wrong with it.

    A `Recording` is taken too, and a structured array with fields t (in microseconds), x, y and p
    or on by any of their usual names, such as tonic's. Of a packet, `first` is the
    number of its first event in the recording, and `after_us` the time of the event before that.

    Raises `RecordingError` naming the record and the value for: a wrong type, a coordinate outside
    the `sensor` (when given), and time that runs backwards. `sort=True` puts backward time into
    order instead (a stable sort: simultaneous events keep theirs).
    """
    array = as_events(events)
    width, height = (65536, 65536) if sensor is None else (sensor.width, sensor.height)
    if _order_check()(of_one_type(array), width, height, after_us):
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
                    first,
                )
    t = array["t"]
    if len(t) and t.max() >= 2**63:
        refuse_first(t >= np.uint64(2**63), t, "t", "less than 2^63 us", first)
    if sort:
        return np.ascontiguousarray(array[np.argsort(t, kind="stable")])
    before = np.concatenate([np.array([after_us], np.uint64), t[:-1]])[: len(t)]
    backwards = t < before
    if backwards.any():
        record = int(np.argmax(backwards))
        raise RecordingError(
            f"event {first + record}: time runs backwards, t is {t[record]} us after "
            f"{before[record]} us; expected times that never decrease "
            f"(sort=True puts them in order)"
        )
    return array


def agreed_sensor(stated: Sensor | None, asked: Sensor | None, who: str) -> Sensor | None:
    """Return the sensor that was asked for, or else the one that `who` states.

    Raises `RecordingError` where there are both, of different sizes.
    """
    if asked and stated and (asked.width, asked.height) != (stated.width, stated.height):
        raise RecordingError(
            f"{who} states a {stated.width} x {stated.height} sensor, "
            f"expected the {asked.width} x {asked.height} that was asked for"
        )
    return asked or stated


def join_events(packets: Sequence[Events]) -> Events:
    """Return packets of events as one array; a packet that is the only one, as it is."""
    if len(packets) == 1:
        return packets[0]
    # As bytes: NumPy copies structures field by field, which took 45 times as long.
    records = [as_events(packet).view(_RECORD) for packet in packets]
    return np.concatenate([np.empty(0, _RECORD), *records]).view(EVENT_DTYPE)


def packets_of(recording: Any) -> Iterable[Events]:
    """Return the packets of a recording: an array is one packet, any other iterable has them."""
    one = np.ndarray | EventsAndSensor | str  # the last two for what `as_events` makes of them
    if isinstance(recording, one) or not isinstance(recording, Iterable):
        return (recording,)  # type: ignore[return-value]
    return recording


def of_one_type(events: Events) -> Events:
    """Return events as kernels take them, which do not change them.

    Numba compiles a kernel again for an array that is read-only, half a minute for the largest.
    """
    if events.flags.writeable:
        return events
    memory = (ctypes.c_uint8 * events.nbytes).from_address(events.ctypes.data)
    return np.frombuffer(memoryview(memory), EVENT_DTYPE)


@cache
def _order_check() -> Compiled:
    return compiled_for(_in_order, np.empty(1, EVENT_DTYPE), 1, 1, 0)


@short_kernel
def _in_order(events: Events, width: int, height: int, after_us: int) -> bool:
    """Tell whether events are what `check_events` expects, in one pass."""
    before = np.uint64(after_us)
    for i in range(np.uintp(len(events))):
        event = events[i]
        if event.x >= width or event.y >= height or event.t < before:
            return False
        before = event.t
    return bool(before < np.uint64(2**63))
