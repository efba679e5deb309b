"""What a batch of recordings changes on a GPU, and what comes out: the twin of `cpu/state.py`.

Page-locked memory of the host and memory of the device are slow to get, and to give the latter back
waits for the whole device. So a `Lane` keeps both, and lends them to one batch after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import DTypeLike, NDArray

from ...events.arrays import EVENT_DTYPE, Events, InputShape, addressing_of
from ...jit import Flags, Int32s, Int64s
from ...wiring.program import Program
from .layout import DeviceLayout, Population

GROWTH = 1.25


class State(NamedTuple):
    """The state of the samples of a batch: a row each."""

    bits: NDArray[np.uint32]  # (samples, timesteps x words): see `layout.py`
    counts: NDArray[np.int32]  # (samples, timesteps x numbers): how many spikes a bit stands for
    membranes: NDArray[np.float32]  # (samples, neurons)
    seconds: NDArray[np.float32]  # (samples, neurons) currents or adaptations; or nothing
    free_from: NDArray[np.int32]  # (samples, neurons) first timestep that is not refractory
    returned: NDArray[np.float32]  # (samples, neurons) own spikes of the timestep before
    last: NDArray[np.int32]  # (samples, sites and blocks) timestep of the last update
    due: NDArray[np.int32]  # (samples, 2 x sites) by t % 2: t where the site has work without input


DTYPES = {
    "bits": np.uint32, "counts": np.int32, "membranes": np.float32, "seconds": np.float32,
    "free_from": np.int32, "returned": np.float32, "last": np.int32, "due": np.int32,
}  # fmt: skip


class Stretch(NamedTuple):
    """The timesteps that a batch runs through next, and the events in them."""

    events: Flags  # records of `EVENT_DTYPE` as bytes
    firsts: Int64s  # (samples + 1,) the first event of each sample
    starts: NDArray[np.uint64]  # (samples,) where the grid begins, in microseconds
    lengths: Int32s  # (samples,) timesteps of each recording
    samples: int
    first: int  # of these timesteps
    steps: int  # how many
    before: int  # how many the stretch before had
    dt_us: int
    width: int
    height: int
    polarities: int


class Outcome(NamedTuple):
    """What the kernels add up: a row for each sample."""

    # (samples, ...): counters of each layer; events early, late and merged, and 1 where some do not
    # fit the grid; spike counts of the outputs; timesteps of their first spikes, or -1.
    numbers: NDArray[np.int64]
    membranes: NDArray[np.float64]  # (samples, outputs), or (samples, 0) where not read out


class Mirror:
    """An array on the device, and one in page-locked memory of the host to copy from and to."""

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
        self.host = np.zeros(shape, self._dtype)
        if self.host.size > 0:
            self.host = cuda.pinned_array(shape, self._dtype)
        self.device = cuda.device_array(shape, self._dtype)

    def send(self, rows: int, stream: Any) -> None:
        """Have the first rows copied to the device, when the stream gets there."""
        if self.host[:rows].size > 0:
            self.device[:rows].copy_to_device(self.host[:rows], stream=stream)

    def fetch(self, rows: int, stream: Any) -> NDArray[Any]:
        """Have the first rows copied to the host, when the stream gets there; return them."""
        if self.host[:rows].size > 0:
            self.device[:rows].copy_to_host(self.host[:rows], stream=stream)
        return self.host[:rows]


def upload(arrays: Any) -> Any:
    """Return a named tuple with its arrays on the device."""
    return arrays._make(
        cuda.to_device(value) if isinstance(value, np.ndarray) else value for value in arrays
    )


def sizes_of(program: Program, layout: DeviceLayout) -> tuple[int, int]:
    """Return the bytes that a sample needs, and those of each of its timesteps."""
    shapes = shapes_of(program, layout, 0)
    return 4 * sum(shapes.values()), 4 * (layout.words + layout.numbers)


def shapes_of(program: Program, layout: DeviceLayout, rows: int) -> dict[str, int]:
    """Return how long the rows of a `State` are, for so many timesteps."""
    neurons = 0 if program.populations[:, Population.plain].all() else program.neurons
    return {
        "bits": rows * layout.words, "counts": rows * layout.numbers, "membranes": program.neurons,
        "seconds": neurons, "free_from": neurons, "returned": neurons, "last": layout.lasts,
        "due": 2 * program.sites,
    }  # fmt: skip


class Lane:
    """A stream, and the memory of the batch that is on it."""

    def __init__(self) -> None:
        """Have no memory yet."""
        self.stream = cuda.stream()
        self.state: Any = None
        self._size = (0, 0)
        self._events, self._firsts = Mirror(np.uint8), Mirror(np.int64)
        self._starts, self._lengths = Mirror(np.uint64), Mirror(np.int32)
        self._numbers, self._membranes = Mirror(np.int64), Mirror(np.float64)

    def reserve(
        self, program: Program, layout: DeviceLayout, samples: int, steps: int, numbers: int,
        membranes: int,
    ) -> None:  # fmt: skip
        """Have room for so many samples, in stretches of so many timesteps, and what comes out."""
        if self.state is None or self._size[0] < samples or self._size[1] < steps:
            self.state = None  # gives its memory back first
            self._size = samples, steps
            shapes = shapes_of(program, layout, layout.remembered + steps)
            self.state = State(*(
                cuda.device_array((samples, length), DTYPES[name])
                for name, length in shapes.items()
            ))  # fmt: skip
        self._numbers.reserve(samples, numbers)
        self._membranes.reserve(samples, membranes)
        self._firsts.reserve(samples + 1)
        self._starts.reserve(samples)
        self._lengths.reserve(samples)

    @property
    def outcome(self) -> Outcome:
        """Memory of the device for what comes out."""
        return Outcome(self._numbers.device, self._membranes.device)

    def send(
        self, parts: list[Events], of_each: list[tuple[int, int]], first: int, steps: int,
        before: int, dt_us: int, input_shape: InputShape,
    ) -> Stretch:  # fmt: skip
        """Have the events of a stretch copied to the device.

        `parts`: those of each sample. `of_each`: where its grid begins, and how long it is.
        """
        samples, lengths = len(parts), [len(part) for part in parts]
        size = EVENT_DTYPE.itemsize * sum(lengths)
        self._events.reserve(size)
        bytes_of = [part.view(np.uint8) for part in parts]
        np.concatenate(bytes_of, out=self._events.host[:size])
        self._firsts.host[0] = 0
        np.cumsum(lengths, out=self._firsts.host[1 : samples + 1])
        self._starts.host[:samples], self._lengths.host[:samples] = zip(*of_each, strict=True)
        for mirror, rows in (
            (self._events, size), (self._firsts, samples + 1), (self._starts, samples),
            (self._lengths, samples),
        ):  # fmt: skip
            mirror.send(rows, self.stream)
        sensor = addressing_of(input_shape)
        return Stretch(
            self._events.device, self._firsts.device, self._starts.device, self._lengths.device,
            samples, first, steps, before, dt_us, sensor.width, sensor.height,
            sensor.polarities,
        )  # fmt: skip

    def spikes(self, samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Wait for a stretch and return its bits and numbers; see `State`."""
        found = []
        for array in (self.state.bits, self.state.counts):
            host = np.empty((samples, array.shape[1]), array.dtype)
            if host.size > 0:
                host = cuda.pinned_array(host.shape, host.dtype)
                array[:samples].copy_to_host(host, stream=self.stream)
            found.append(host)
        self.stream.synchronize()
        return found[0], found[1]

    def currents(self, samples: int) -> NDArray[np.float32]:
        """Wait for the second variables of each sample, and return them."""
        shape = (samples, self.state.seconds.shape[1])
        found: NDArray[np.float32] = cuda.pinned_array(shape, np.float32)
        self.state.seconds[:samples].copy_to_host(found, stream=self.stream)
        self.stream.synchronize()
        return found

    def fetch(self, samples: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Wait for what came out, and return it: see `Outcome`."""
        found = [mirror.fetch(samples, self.stream) for mirror in (self._numbers, self._membranes)]
        self.stream.synchronize()
        return found[0].copy(), found[1].copy()  # the next batch will stand in the same place
