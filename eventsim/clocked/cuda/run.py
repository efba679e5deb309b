"""Batches of recordings on a GPU, and their `Result`s; the way in for `simulator.py`.

In: a network, and recordings. Out: a `Result` for each. The network is uploaded once and stays. Two
batches are on their way at a time, each on a lane of its own: while one computes, the next is
packed and copied, and results are made of the last. Events are copied as they are; the device bins
them and tells which recordings do not fit the grid, and only those the host looks at.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from ...errors import RecordingError
from ...events.arrays import (
    MAX_STEPS,
    Events,
    InputShape,
    as_events,
    camera_of,
    join_events,
    packets_of,
)
from ...events.binning import BinnedEvents, Grid, check_own_grid
from ...events.spikes import events_of
from ...network.graph import Network
from ...result import Fired, Result, Seen, check_recorded, result_of
from ...wiring.arrays import widened
from ...wiring.program import Program
from ...wiring.wire import program_of
from ..overflow import check_currents, is_fixed
from ..run import check_grid_of
from .binning import SEEN
from .layer import OnDevice, run_stretch
from .layout import QUAD, Layer, Population, lay_out
from .state import Lane, sizes_of, upload
from .updates import KINDS

SHARE_OF_MEMORY = 0.25  # of what is free, for one of the two batches,
MOST_MEMORY = 2**33  # and bytes of it: the kernels number threads and words in 32 bits
BATCH = 1024  # samples, of which long ones are fewer
BATCH_BYTES = 2**28  # of events
LONGEST_STRETCH = 4096  # timesteps, as on the CPU


class Placed(NamedTuple):
    """A recording on its grid."""

    name: str  # for errors: "recording 3: ", or nothing where it is the only one
    events: Events
    start_us: int
    steps: int
    seen: Seen | None = None  # where it was binned before: what of its events is on the grid


class _Launched(NamedTuple):
    """A batch on its way."""

    recordings: list[Placed]
    lane: Lane
    fired: list[list[list[Fired]]]  # of each layer and sample what was recorded, by stretches


class CudaRunner:
    """The program of a network on a GPU, and memory for batches."""

    def __init__(self, program: Program, input_shape: InputShape) -> None:
        """Upload it. Raises `NetworkError` for one that numbers of 32 bits cannot count."""
        layout = lay_out(program, math.prod(input_shape))
        self._tables = OnDevice(program, layout, upload(device_program(program)), upload(layout))
        self._idle: list[Lane] = []  # lanes that no batch is on
        free, _ = cuda.current_context().get_memory_info()
        memory = min(int(SHARE_OF_MEMORY * free), MOST_MEMORY)
        of_sample, self._of_timestep = sizes_of(program, layout)
        of_sample += layout.remembered * self._of_timestep
        self._of_sample, self._memory = of_sample, memory

    def run(
        self,
        network: Network,
        recordings: Iterable[Events | Iterable[Events] | BinnedEvents],
        grid: Callable[[], Grid],
        place: Callable[[str, Any], Placed],
        record_spikes: bool,
        named: bool,
    ) -> Iterator[list[Result]]:
        """Run recordings through the program's network; yield their results, batch by batch.

        `place` puts a recording, and how errors call it, on its grid.
        """
        waiting: _Launched | None = None
        placed = (
            place(f"recording {number}: " if named else "", one)
            for number, one in enumerate(recordings)
        )
        for batch in self._batches(placed):
            lane = self._idle.pop() if self._idle else Lane()
            launched = self._launch(network, batch, lane, record_spikes)
            if waiting is not None:
                yield self._collect(network, waiting, grid)
            waiting = launched
        if waiting is not None:
            yield self._collect(network, waiting, grid)

    def _batches(self, recordings: Iterable[Placed]) -> Iterator[list[Placed]]:
        batch: list[Placed] = []
        longest = size = 0
        for one in recordings:
            longest, size = max(longest, one.steps), size + one.events.nbytes
            steps = min(longest, LONGEST_STRETCH)
            needed = (len(batch) + 1) * (self._of_sample + steps * self._of_timestep)
            if batch and (len(batch) == BATCH or size > BATCH_BYTES or needed > self._memory):
                yield batch
                batch, longest, size = [], one.steps, one.events.nbytes
            batch.append(one)
        if batch:
            yield batch

    def _launch(
        self, network: Network, recordings: list[Placed], lane: Lane, record_spikes: bool
    ) -> _Launched:
        """Have a batch copied and run, stretch by stretch."""
        program, samples = self._tables.program, len(recordings)
        longest = max(one.steps for one in recordings)
        room = (self._memory // samples - self._of_sample) // self._of_timestep
        most = max(1, min(longest, LONGEST_STRETCH, room))
        numbers = len(program.populations) * KINDS + SEEN + 2 * program.outputs
        membranes = program.outputs if network.reads_membranes else 0
        lane.reserve(program, self._tables.layout, samples, most, numbers, membranes)
        fired: list[list[list[Fired]]] = [[[] for _ in recordings] for _ in program.populations]
        cuts, before = [0] * samples, 0
        for first in range(0, max(1, longest), most):
            steps = min(most, longest - first)
            begins, cuts = cuts, [len(one.events) for one in recordings]
            if first + steps < longest:
                cuts = [cut_of(one, (first + steps) * network.dt_us) for one in recordings]
            if first > 0:  # the events of the stretch before are still to be copied
                lane.stream.synchronize()
            parts = [
                one.events[begin:cut]
                for one, begin, cut in zip(recordings, begins, cuts, strict=True)
            ]
            of_each = [(one.start_us, one.steps) for one in recordings]
            stretch = lane.send(
                parts, of_each, first, steps, before, network.dt_us, network.input_shape
            )
            run_stretch(
                self._tables, lane.state, stretch, lane.outcome, max(map(len, parts)), lane.stream
            )
            before = steps
            if record_spikes:
                self._record(network, recordings, lane, fired, first, steps)
        return _Launched(recordings, lane, fired if record_spikes else [])

    def _record(
        self, network: Network, recordings: list[Placed], lane: Lane,
        fired: list[list[list[Fired]]], first: int, steps: int,
    ) -> None:  # fmt: skip
        """Copy the spikes of a stretch, sample by sample, and note those of each layer."""
        layout = self._tables.layout
        bits, counts = lane.spikes(len(recordings))
        rows = slice(layout.remembered, layout.remembered + steps)
        for number, layer in enumerate(layout.layers.tolist()):
            begin, stop = layer[Layer.bits], layer[Layer.bits] + layer[Layer.words]
            for sample in range(len(recordings)):
                words = of_rows(bits[sample], layout.words)[rows, begin:stop]
                found = np.ascontiguousarray(words).view(np.uint8)
                times, neurons = np.nonzero(np.unpackbits(found, axis=1, bitorder="little"))
                several = np.ones(len(times), np.int32)
                if layer[Layer.counts] >= 0:
                    numbers = of_rows(counts[sample], layout.numbers)[rows]
                    several = numbers[times, layer[Layer.counts] + neurons]
                so_far = fired[number][sample]
                so_far.append(Fired(times.astype(np.int32) + np.int32(first), neurons, several))
                spikes = sum(int(one.counts.sum(dtype=np.int64)) for one in so_far)
                check_recorded(network, number, spikes)

    def _collect(
        self, network: Network, launched: _Launched, grid: Callable[[], Grid]
    ) -> list[Result]:
        """Wait for a batch and return its results."""
        program, recordings = self._tables.program, launched.recordings
        numbers, membranes = launched.lane.fetch(len(recordings))
        counts = len(program.populations) * KINDS
        counters = numbers[:, :counts].reshape(len(recordings), -1, KINDS).tolist()
        seen = numbers[:, counts : counts + SEEN].tolist()
        of_outputs = numbers[:, counts + SEEN :].reshape(len(recordings), 2, -1)
        if network.readout == "mean-membrane":
            membranes /= [[max(1, one.steps)] for one in recordings]
        currents = launched.lane.currents(len(recordings)) if is_fixed(network) else None
        results = []
        for index, one in enumerate(recordings):
            early, late, merged, faulty = seen[index]
            if faulty:
                refuse(grid, one)
            if currents is not None:
                check_currents(network, program, currents[index], one.name)
            fired = None
            if launched.fired:
                fired = [
                    Fired(*map(np.concatenate, zip(*layer[index], strict=True)))
                    for layer in launched.fired
                ]
            counted = one.seen or Seen(one.steps, len(one.events), early, late, merged)
            spikes, firsts = of_outputs[index]
            results.append(result_of(
                network, counters[index], spikes, firsts, membranes[index], counted, fired,
                "clocked",
            ))  # fmt: skip
        self._idle.append(launched.lane)
        return results


def of_rows(array: Any, columns: int) -> Any:
    """Return what stands in the rows of a sample, (timesteps, columns)."""
    return array[: len(array) // max(1, columns) * columns].reshape(-1, max(1, columns))


def put_on_grid(grid: Callable[[], Grid], own: Grid, name: str, recording: Any) -> Placed:
    """Place a recording, an array or packets; what its events are is left to the device.

    `grid` makes one that is like `own`, which takes no events.
    """
    try:
        camera_of(own.input_shape)
        if isinstance(recording, np.ndarray):
            events = as_events(recording)
        else:
            events = as_events(join_events(list(packets_of(recording))))
    except RecordingError as error:
        raise RecordingError(f"{name}{error}") from None
    start, steps = own.start_us, own.steps
    if len(events) > 0 and (start is None or steps is None):
        if start is None:
            start = int(events["t"][0])
        if steps is None:
            steps = max(0, (int(events["t"][-1]) - start) // own.dt_us + 1)
            if steps > MAX_STEPS:
                refuse(grid, Placed(name, events, start, steps))
    return Placed(name, events, start or 0, steps or 0)


def refuse(grid: Callable[[], Grid], recording: Placed) -> None:
    """Raise the `RecordingError` of a recording with a fault."""
    try:
        grid().admit(recording.events)
    except RecordingError as error:
        raise RecordingError(f"{recording.name}{error}") from None


def cut_of(recording: Placed, end_us: int) -> int:
    """Return how many events are before a time after the start."""
    end = np.uint64(min(recording.start_us + end_us, 2**64 - 1))
    return int(np.searchsorted(recording.events["t"], end))


def run_on_gpu(
    network: Network,
    recordings: Iterable[Events | Iterable[Events] | BinnedEvents],
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    named: bool = True,
) -> Iterator[list[Result]]:
    """Run recordings, arrays or packets, on a GPU; yield their results, batch by batch.

    Arguments and errors are those of `simulate_batch`; recordings are `named` by their numbers.
    """
    length = network.steps if steps is None else steps
    grid = partial(Grid, network.input_shape, network.dt_us, length, start_us)
    own = grid()

    def place(name: str, recording: Any) -> Placed:
        if not isinstance(recording, BinnedEvents):
            return put_on_grid(grid, own, name, recording)
        check_own_grid(recording, steps, start_us)
        try:
            check_grid_of(network, recording)
        except RecordingError as error:
            raise RecordingError(f"{name}{error}") from None
        seen = Seen(
            recording.steps, recording.events, recording.early, recording.late, recording.merged
        )
        return Placed(name, events_of(recording), recording.start_us, recording.steps, seen)

    return runner_of(network).run(network, recordings, grid, place, record_spikes, named)


# As with programs: a runner holds no reference to its network, and goes when that goes.
_RUNNERS: weakref.WeakKeyDictionary[Network, CudaRunner] = weakref.WeakKeyDictionary()


def runner_of(network: Network) -> CudaRunner:
    """Return a network's program on the GPU, uploaded once."""
    runner = _RUNNERS.get(network)
    if runner is None:
        runner = _RUNNERS[network] = CudaRunner(program_of(network), network.input_shape)
    return runner


def device_program(program: Program) -> Program:
    """Return a program with numbers of 32 bits, and weights of a type that a GPU knows.

    Offsets are smaller than the number of weights, and that is below 2^31. Behind them is the row
    `DeviceLayout.nothing`, of negative zeros: to add one changes nothing, not even a zero's sign.
    """

    def narrow(value: Any) -> Any:
        whole = isinstance(value, np.ndarray) and value.dtype == np.int64
        return np.minimum(value, 2**31 - 1).astype(np.int32) if whole else value

    weights: Any = widened(program.weights)
    if program.weights.dtype != np.float32:  # float16, or whole numbers that it holds
        weights = weights.astype(np.float16)
    behind = -len(weights) % QUAD + int(program.populations[:, Population.stored].max()) + QUAD
    weights = np.append(weights, np.full(behind, -0.0, weights.dtype))
    none = np.zeros(0, np.float32)  # of what is for the CPU
    return Program(*map(narrow, program))._replace(weights=weights, blocks=none)
