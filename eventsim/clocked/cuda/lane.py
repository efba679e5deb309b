"""What a batch of recordings on its way through a GPU needs: a stream, and memory that stays.

Page-locked memory of the host and memory of the device are slow to get, and to give the latter back
waits for the whole device. So a lane keeps both, and lends them to one batch after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import DTypeLike, NDArray

from ...events.binning import BinnedEvents
from ...jit import SIMULATED
from .layout import Batch, Memory, Outcomes

GROWTH = 1.25


class Mirror:
    """An array on the device, and one in page-locked memory of the host to copy from and to.

    In Numba's simulator they are one.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        """Have no memory yet."""
        self._dtype = np.dtype(dtype)
        self.host: NDArray[Any] = np.empty(0, dtype)
        self.device: Any = None

    def reserve(self, rows: int, *columns: int) -> None:
        """Have room for so many rows of a shape; what stood there may be lost."""
        if self.device is not None and self.host.shape[1:] == columns:
            if len(self.host) >= rows:
                return
            rows = max(rows, int(GROWTH * len(self.host)))
        shape = (rows, *columns)
        self.host = new_pinned(shape, self._dtype)
        self.device = self.host if SIMULATED else cuda.device_array(shape, self._dtype)

    def send(self, rows: int, stream: Any) -> None:
        """Have the first rows copied to the device, when the stream gets there."""
        if not SIMULATED and self.host[:rows].size > 0:
            self.device[:rows].copy_to_device(self.host[:rows], stream=stream)

    def fetch(self, rows: int, stream: Any) -> None:
        """Have the first rows copied to the host, when the stream gets there."""
        if not SIMULATED and self.host[:rows].size > 0:
            self.device[:rows].copy_to_host(self.host[:rows], stream=stream)


def new_pinned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate page-locked memory, which a device copies from and to without help of the host."""
    if SIMULATED or 0 in shape:
        return np.zeros(shape, dtype)
    pinned: NDArray[Any] = cuda.pinned_array(shape, dtype)
    return pinned


def upload(arrays: Any) -> Any:
    """Return a named tuple with its arrays on the device."""
    if SIMULATED:
        return arrays
    return arrays._make(
        cuda.to_device(value) if isinstance(value, np.ndarray) else value for value in arrays
    )


class Lane:
    """A stream, and the memory of the batch that is on it."""

    def __init__(self) -> None:
        """Have no memory yet."""
        self.stream = cuda.stream()
        self._memory: Memory | None = None
        self._ints, self._values = Mirror(np.int32), Mirror(np.float32)
        self._numbers, self._membranes = Mirror(np.int64), Mirror(np.float64)
        self._spikes = Mirror(np.int32)

    def memory(self, blocks: int, ints: int, floats: int) -> Memory:
        """Return memory of the device for so many blocks, and so many numbers of each."""
        if self._memory is None or len(self._memory.ints) < blocks:
            new: Any = np.zeros if SIMULATED else cuda.device_array
            self._memory = Memory(
                new((blocks, max(1, ints)), np.int32), new((blocks, max(1, floats)), np.float32)
            )
        return self._memory

    def send(self, recordings: list[BinnedEvents], graded: bool) -> Batch:
        """Have recordings copied to the device; with the values of their cells if `graded`."""
        steps = np.array([recording.steps for recording in recordings])
        cells = np.array([len(recording.cells) for recording in recordings])
        count = len(recordings)
        begin = 2 * count + int((steps + 1).sum())  # of all cells
        end = begin + int(cells.sum())
        self._ints.reserve(end)
        ints = self._ints.host
        ints[:count] = 2 * count + np.cumsum(steps + 1) - (steps + 1)
        ints[count : 2 * count] = steps
        pointers = [recording.pointers for recording in recordings]
        np.concatenate(pointers, out=ints[2 * count : begin], casting="same_kind")
        ints[2 * count : begin] += np.repeat(begin + np.cumsum(cells) - cells, steps + 1)
        np.concatenate([recording.cells for recording in recordings], out=ints[begin:end])
        self._ints.send(end, self.stream)
        self._values.reserve(end if graded else 0)
        if graded:
            values = [recording.values for recording in recordings]
            np.concatenate(values, out=self._values.host[begin:end])
            self._values.send(end, self.stream)
        return Batch(count, self._ints.device, self._values.device)

    def outcomes(self, samples: int, numbers: int, membranes: int, room: int) -> Outcomes:
        """Return memory of the device for what comes out; see `Outcomes`."""
        self._numbers.reserve(samples, numbers)
        self._membranes.reserve(samples, membranes)
        self._spikes.reserve(samples, room, 4)
        return Outcomes(self._numbers.device, self._membranes.device, self._spikes.device)

    def fetch(self, samples: int) -> Outcomes:
        """Wait for what came out, and return it; the next batch will stand in the same place."""
        mirrors = self._numbers, self._membranes, self._spikes
        for mirror in mirrors:
            mirror.fetch(samples, self.stream)
        self.stream.synchronize()
        return Outcomes(*(mirror.host[:samples] for mirror in mirrors))
