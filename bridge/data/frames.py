"""The recordings of a split on a grid of timesteps: sparse in memory, dense a batch at a time.

In: a split of a data set (`datasets.py`). Out: `Recordings`, whose frames `training/` feeds to the
torch models. The grid is that of `eventsim.bin_events`, the one that the engine uses. What has been
binned is kept in the cache folder (`cache.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from eventsim.errors import RecordingError
from eventsim.events.arrays import Events, InputEncoding, InputShape, Sensor
from eventsim.events.binning import bin_events
from eventsim.jit import Float32s, Int64s

from ..sparse.lists import BinnedBatch, channel_first
from .cache import Arrays, cached_arrays
from .workers import in_order

# Part of the cache's key: raise it whenever the same recordings come to give other cells.
BINNED_VERSION = 1


class Split(Protocol):
    """What is asked of a split: its recordings, their classes and names."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name of each recording, for messages."""

    @property
    def labels(self) -> Int64s:
        """The class of each recording, (recordings,)."""

    @property
    def sensor(self) -> Sensor:
        """What the events come from."""

    @property
    def identity(self) -> Callable[[], str] | None:
        """Returns a text that is another one whenever the recordings are; None: do not cache."""

    def __len__(self) -> int:
        """Return the number of recordings."""

    def __getitem__(self, index: int) -> tuple[Events, int]:
        """Return events and label of a recording."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """Labelled recordings, each on a grid of timesteps that begins with its first event.

    A cell is numbered (polarity * height + y) * width + x, the order of PyTorch's frames. Timestep
    t of recording i holds cells[p[t]:p[t+1]] with p = pointers[bounds[i]:bounds[i+1]].
    """

    input_shape: InputShape  # (polarities, height, width)
    steps: int  # timesteps of a window, which is what `frames` returns of a recording
    bounds: Int64s  # (recordings + 1,)
    pointers: Int64s  # of all recordings, one more than each has timesteps
    cells: NDArray[Any]  # unsigned, as small as the input allows: two bytes up to 65,536 cells
    values: Float32s | None  # the value of each cell; None for the encoding "binary": all 1
    labels: Int64s  # (recordings,)
    events: int  # events of all recordings, and of these:
    events_late: int  # past the last timestep, not seen by the model

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.labels)

    @property
    def lengths(self) -> Int64s:
        """The timesteps that are kept of each recording, (recordings,)."""
        return np.diff(self.bounds) - 1

    def frames(self, indices: Int64s, starts: Int64s | None = None) -> Tensor:
        """Return dense float32 frames of some recordings, (batch, steps, polarities, y, x).

        `starts` are the timesteps, (batch,) from 0 on, at which the windows begin, by default 0,
        the first event. Past the end of a recording there is silence. A view of memory in the
        order (steps, batch, ...), which the models run through.
        """
        size = int(np.prod(self.input_shape))
        frames = np.zeros((self.steps, len(indices), size), np.float32)
        for sample, pointers in enumerate(self.windows(indices, starts)):
            part = slice(pointers[0], pointers[-1])
            steps = np.repeat(np.arange(self.steps), np.diff(pointers))
            values = 1.0 if self.values is None else self.values[part]
            frames[steps, sample, self.cells[part]] = values
        shaped = frames.reshape(*frames.shape[:2], *self.input_shape)
        return torch.from_numpy(shaped).transpose(0, 1)

    def binned(self, indices: Int64s, starts: Int64s | None = None) -> BinnedBatch:
        """Return what `frames` does as lists of cells, for `SpikingNetwork`."""
        windows = list(self.windows(indices, starts))
        counts = [np.diff(window) for window in windows]
        pointers = np.concatenate([np.zeros(1, np.int64), *counts]).cumsum()
        cells = [self.cells[window[0] : window[-1]] for window in windows]
        values = self.values
        if values is not None:
            values = np.concatenate([values[:0], *(values[w[0] : w[-1]] for w in windows)])
        return BinnedBatch(
            len(indices), self.steps, self.input_shape, pointers,
            np.concatenate([self.cells[:0], *cells], dtype=np.int32), values,
        )  # fmt: skip

    def windows(self, indices: Int64s, starts: Int64s | None) -> Iterator[Int64s]:
        """Return where each timestep of each recording's window begins, (steps + 1,) `pointers`."""
        if starts is None:
            starts = np.zeros(len(indices), np.int64)
        elif starts.shape != indices.shape or (starts < 0).any():
            raise ValueError(f"starts are {starts}, expected {len(indices)} numbers from 0 on")
        for index, start in zip(indices, starts, strict=True):
            first, last = self.bounds[index], self.bounds[index + 1] - 1
            window = np.arange(first + start, first + start + self.steps + 1)
            yield self.pointers[np.minimum(window, last)]

    def random_starts(self, indices: Int64s, rng: Generator) -> Int64s:
        """Return a first timestep for a window of each recording, (batch,).

        Uniform over those that leave the window within the recording; 0 where it is no longer
        than the window.
        """
        room = np.maximum(self.lengths[indices] - self.steps, 0)
        return rng.integers(0, room, endpoint=True)

    def digest(self) -> str:
        """Return a hash of everything that training sees."""
        digest = hashlib.sha256(repr((self.input_shape, self.steps, self.cells.dtype)).encode())
        for array in (self.bounds, self.pointers, self.cells, self.values, self.labels):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class GridSettings:
    """How recordings are put on a grid: see `bin_split`; no steps where they are kept whole."""

    input_shape: InputShape
    dt_us: int
    steps: int | None
    encoding: InputEncoding


def bin_split(
    split: Split,
    dt_us: int,
    steps: int,
    *,
    encoding: InputEncoding = "binary",
    whole: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Recordings:
    """Read all recordings of a split and put them on a grid, as `eventsim.bin_events` does.

    `whole` keeps all timesteps, so that windows of `steps` of them may begin at any; otherwise
    those past the first `steps` are left out. What was made before is read from the cache folder.
    Else up to `workers` processes read (see `workers.in_order`, also for the default); the result
    does not depend on their number. `progress` is called with numbers of recordings done.

    Raises `RecordingError` naming the recording that is damaged or does not fit the split's sensor.
    """
    grid = GridSettings(split.sensor.input_shape, dt_us, None if whole else steps, encoding)

    def make() -> Arrays:
        return _bin_all(split, grid, workers, progress)

    if split.identity is None:
        arrays = make()
    else:
        key = binned_key(split.identity(), grid)
        arrays = cached_arrays(
            "binned", key, make, lambda found: _is_sound(found, len(split), grid)
        )
    events, late = arrays["totals"].tolist()
    return Recordings(
        input_shape=grid.input_shape,
        steps=steps,
        bounds=arrays["bounds"],
        pointers=arrays["pointers"],
        cells=arrays["cells"],
        values=arrays.get("values"),
        labels=np.array(split.labels, np.int64),
        events=events,
        events_late=late,
    )


def binned_key(identity: str, grid: GridSettings) -> str:
    """Return a text of everything that decides the cells and values."""
    return f"binning {BINNED_VERSION} {grid!r} {identity}"


def _cell_type(grid: GridSettings) -> np.dtype[Any]:
    return np.min_scalar_type(int(np.prod(grid.input_shape)) - 1)


def _bin_all(
    split: Split,
    grid: GridSettings,
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> Arrays:
    lengths, pointers = [0], [np.empty(0, np.int64)]
    cells, values = [np.empty(0, _cell_type(grid))], [np.empty(0, np.float32)]
    filled = events = late = 0
    for binned in in_order(_bin_one, (split, grid), len(split), workers):
        lengths.append(len(binned.pointers))
        pointers.append(binned.pointers + filled)
        filled += len(binned.cells)
        cells.append(binned.cells)
        values.append(binned.values)
        events += binned.events
        late += binned.late
        if progress is not None:
            progress(1)
    arrays = {
        "bounds": np.cumsum(lengths, dtype=np.int64),
        "pointers": np.concatenate(pointers),
        "cells": np.concatenate(cells),
        "totals": np.array([events, late], np.int64),
    }
    return arrays if grid.encoding == "binary" else {**arrays, "values": np.concatenate(values)}


class _Binned(NamedTuple):
    """One recording on the grid, small enough to pass between processes."""

    pointers: Int64s
    cells: NDArray[Any]
    values: Float32s  # none for "binary"
    events: int
    late: int


def _bin_one(split: Split, grid: GridSettings, index: int) -> _Binned:
    recording, _ = split[index]
    try:
        binned = bin_events(
            recording, grid.input_shape, grid.dt_us, grid.steps, encoding=grid.encoding
        )
    except RecordingError as error:
        raise RecordingError(f"{split.names[index]}: {error}") from None
    values = binned.values[: 0 if grid.encoding == "binary" else None]
    cells = channel_first(binned).astype(_cell_type(grid))
    return _Binned(binned.pointers, cells, values, binned.events, binned.late)


def _is_sound(arrays: Arrays, recordings: int, grid: GridSettings) -> bool:
    """Return whether arrays from the cache are such as `_bin_all` makes."""
    bounds, pointers, cells = arrays["bounds"], arrays["pointers"], arrays["cells"]
    if cells.dtype != _cell_type(grid):
        return False
    if any(array.dtype != np.int64 for array in (bounds, pointers, arrays["totals"])):
        return False
    if bounds.shape != (recordings + 1,) or arrays["totals"].shape != (2,):
        return False
    rows = np.diff(bounds)
    least = 1 if grid.steps is None else grid.steps + 1
    return bool(
        bounds[0] == 0
        and (rows >= least).all()
        and (grid.steps is None or (rows == least).all())
        and pointers.shape == (bounds[-1],)
        and (np.diff(pointers) >= 0).all()
        and cells.shape == (pointers[-1] if len(pointers) else 0,)
        and (cells < int(np.prod(grid.input_shape))).all()
        and (("values" in arrays) == (grid.encoding == "counts"))
        and (grid.encoding == "binary" or _are_counts(arrays["values"], cells))
    )


def _are_counts(values: NDArray[Any], cells: NDArray[Any]) -> bool:
    return values.dtype == np.float32 and values.shape == cells.shape
