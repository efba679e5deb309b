"""Inputs that no camera made: spikes of numbered units, and dense frames, on a grid of timesteps.

In: what the user has. Out: `BinnedEvents`, which `simulate`, `simulate_batch` and the bridge take
in place of events; and back from those, for engines that take nothing but events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError, RecordingError
from .arrays import (
    EVENT_DTYPE,
    INPUT_ENCODINGS,
    Events,
    InputEncoding,
    InputShape,
    addressing_of,
)
from .binning import BinnedEvents, Grid, bin_on

MOST_SPIKES = 2**24  # of a unit in a timestep: float32 holds every number up to it


def from_spikes(
    t_us: Any,
    units: Any,
    input_shape: InputShape,
    dt_us: int,
    steps: int | None = None,
    *,
    encoding: InputEncoding = "binary",
    start_us: int | None = None,
) -> BinnedEvents:
    """Put a list of spikes, such as those of a cochlea or of taxels, on a grid of timesteps.

    t_us: (spikes,) times in whole microseconds that never decrease.
    units: (spikes,) whole numbers, as PyTorch flattens `input_shape`: channel by channel.
    input_shape: as in `Network`: (units,), (channels, length) or (channels, height, width).

    The rest as in `bin_events`: several spikes of a unit in a timestep are a 1 ("binary") or their
    number ("counts"). Asynchronous time takes spikes at the beginning of the timestep that they are
    in, so give it `dt_us=1`.

    Raises `RecordingError` naming the spike for a time or a unit that cannot be, and
    `EventsimError` for a bad `input_shape`, `dt_us`, `steps`, `start_us` or `encoding`.
    """
    grid = Grid(input_shape, dt_us, steps, start_us)
    times, numbers = np.asarray(t_us), np.asarray(units)
    for name, column in (("t_us", times), ("units", numbers)):
        if column.shape != (times.size,) or (column.size and column.dtype.kind not in "iuf"):
            raise RecordingError(
                f"{name} has dtype {column.dtype} and shape {column.shape}, "
                f"expected numbers of shape ({times.size},)"
            )
    for name, column, limit, most in (
        ("t_us", times, 2**63, "2^63 - 1"),
        ("unit", numbers, grid.cells, str(grid.cells - 1)),
    ):
        wrong = ~((column >= 0) & (column < limit)) | ~_whole(column)
        _refuse(wrong, name, column, f"a whole number 0 to {most}")
    times = times.astype(np.uint64)
    backwards = np.append(False, times[1:] < times[:-1])[: len(times)]
    _refuse(backwards, "t_us", times, "times that never decrease")
    cells = _cells_of(numbers.astype(np.int64), grid.input_shape)
    return bin_on(grid, _addressed(times, cells, grid.input_shape), encoding)


def _addressed(times: NDArray[np.uint64], cells: NDArray[Any], shape: InputShape) -> Events:
    """Return events at these times that are for these cells."""
    sensor = addressing_of(shape)
    events = np.empty(len(times), EVENT_DTYPE)
    pixels, events["on"] = np.divmod(cells, sensor.polarities)
    events["y"], events["x"] = np.divmod(pixels, sensor.width)
    events["t"] = times
    return events


def _cells_of(units: NDArray[np.int64], shape: InputShape) -> NDArray[np.int64]:
    """Return the cells of units, which are numbered channel by channel."""
    channels, height, width = (*shape, 1, 1)[:3]
    channel, position = np.divmod(units, height * width)
    return position * channels + channel


def _whole(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    if numbers.dtype.kind != "f":  # NumPy before 2.1 makes rounded float64 of whole numbers
        return np.ones(numbers.shape, bool)
    return np.asarray(numbers == np.floor(numbers))


def _refuse(bad: NDArray[np.bool_], name: str, column: NDArray[Any], expected: str) -> None:
    if bad.any():
        spike = int(np.argmax(bad))
        raise RecordingError(f"spike {spike}: {name} is {column[spike]}, expected {expected}")


def from_frames(
    frames: Any, dt_us: int, *, encoding: InputEncoding = "binary", start_us: int = 0
) -> BinnedEvents:
    """Take dense frames as the input of a network: the opposite of `BinnedEvents.frames`.

    frames: (timesteps, *input_shape), how many spikes each unit has in each timestep: whole
    numbers up to 2^24. The shapes and `encoding` are those of `from_spikes`.

    Raises `RecordingError` naming the first value that is none, and as `from_spikes`.
    """
    dense = np.asarray(frames)
    if not 2 <= dense.ndim <= 4 or dense.dtype.kind not in "biuf":
        raise RecordingError(
            f"frames have dtype {dense.dtype} and shape {dense.shape}, expected numbers of shape "
            f"(timesteps, *input_shape), with an input_shape of 1 to 3 axes"
        )
    grid = Grid(dense.shape[1:], dt_us, len(dense), start_us)
    flat = dense.reshape(len(dense), -1)
    wrong = ~((flat >= 0) & (flat <= MOST_SPIKES)) | ~_whole(flat)
    if wrong.any():
        step, unit = np.argwhere(wrong)[0].tolist()
        raise RecordingError(
            f"timestep {step}: unit {unit} has {flat[step, unit]}, expected a whole number of "
            f"spikes, 0 to {MOST_SPIKES}"
        )
    if encoding not in INPUT_ENCODINGS:
        raise EventsimError(f"encoding is {encoding!r}, expected one of {INPUT_ENCODINGS}")
    channels = grid.input_shape[0]
    by_cell = flat.reshape(len(flat), channels, -1).swapaxes(1, 2).reshape(flat.shape)
    steps, cells = np.nonzero(by_cell)
    spikes = by_cell[steps, cells].astype(np.float32)
    events = int(spikes.sum(dtype=np.float64))
    return BinnedEvents(
        input_shape=grid.input_shape,
        dt_us=grid.dt_us,
        start_us=int(start_us),
        steps=len(flat),
        pointers=np.searchsorted(steps, np.arange(len(flat) + 1)).astype(np.int64),
        cells=cells.astype(np.int32),
        values=spikes if encoding == "counts" else np.ones_like(spikes),
        encoding=encoding,
        events=events,
        early=0,
        late=0,
        merged=events - len(cells),
    )


def events_of(binned: BinnedEvents) -> Events:
    """Return events that give these, each spike at the beginning of its timestep.

    They are addressed as `addressing_of` says.
    """
    repeats = binned.values.astype(np.int64)
    steps = np.repeat(np.arange(binned.steps), np.diff(binned.pointers))
    times = np.uint64(binned.start_us) + np.repeat(steps, repeats).astype(np.uint64) * np.uint64(
        binned.dt_us
    )
    return _addressed(times, np.repeat(binned.cells, repeats), binned.input_shape)
