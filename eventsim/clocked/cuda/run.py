"""Batches of recordings on a GPU, and their `Result`s; the way in for `simulator.py`.

In: a network, and recordings. Out: a `Result` for each. The network is uploaded once and stays. Two
batches are on their way at a time, each on a lane of its own: while one computes, the next is
binned, packed and copied, and results are made of the last.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ...events.arrays import EVENT_DTYPE, Events, packets_of
from ...events.binning import BinnedEvents, bin_events
from ...jit import SIMULATED
from ...network.graph import Network
from ...result import Fired, Result, Seen, check_recorded, result_of
from ...wiring.arrays import widened
from ...wiring.program import Program
from ...wiring.wire import program_of
from .lane import Lane, upload
from .layer import run_any, run_listed, run_plain
from .layout import KINDS, lay_out

THREADS = 256  # a layer of 512 takes two rounds
SHARED_BYTES = 48 * 1024  # what every device gives a block without being asked for more
# Blocks of run_listed, run_plain and run_any for which an H100's multiprocessor has registers.
LISTED_BLOCKS, PLAIN_BLOCKS, ANY_BLOCKS = 4, 3, 2
SHARE_OF_MEMORY = 0.25  # of what is free, for the blocks of one of the two batches
ROOM = 4096  # for the recorded spikes of a sample; if there are more it runs again
BATCH = 1024  # samples: twice as many as an H100 runs at a time
# Active input cells and timesteps: a batch of long recordings has fewer samples. At most 2 GB, and
# the kernels number them in 32 bits.
BATCH_SIZE = 2**28


def put_on_grid(
    network: Network,
    recording: Events | Iterable[Events],
    steps: int | None,
    start_us: int | None,
) -> BinnedEvents:
    """Bin a recording, an array or packets, for `run_on_gpu`; arguments as in `simulate`."""
    packets = [np.empty(0, EVENT_DTYPE), *packets_of(recording)]
    return bin_events(
        recording if isinstance(recording, np.ndarray) else np.concatenate(packets),
        network.input_shape,
        network.dt_us,
        network.steps if steps is None else steps,
        encoding=network.input_encoding,
        start_us=start_us,
    )


def run_on_gpu(
    network: Network, recordings: Iterable[BinnedEvents], *, record_spikes: bool = False
) -> Iterator[list[Result]]:
    """Run binned recordings on a GPU; yield their results, batch by batch."""
    return runner_of(network).run(network, _batches(recordings), record_spikes=record_spikes)


def _batches(recordings: Iterable[BinnedEvents]) -> Iterator[list[BinnedEvents]]:
    batch: list[BinnedEvents] = []
    size = 0
    for binned in recordings:
        more = len(binned.cells) + binned.steps
        if batch and (len(batch) == BATCH or size + more > BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(binned)
        size += more
    if batch:
        yield batch


class _Launched(NamedTuple):
    """A batch on its way."""

    network: Network
    recordings: list[BinnedEvents]
    lane: Lane


class CudaRunner:
    """The program of a network on a GPU.

    threads, shared_bytes, blocks: of the grid; the outcome does not depend on them.
    """

    def __init__(
        self,
        program: Program,
        *,
        threads: int = THREADS,
        shared_bytes: int = SHARED_BYTES,
        blocks: int | None = None,
    ) -> None:
        """Upload the network."""
        self._program, self._threads = program, threads
        self._layout = lay_out(program, threads, shared_bytes)
        self._kernel, resident = run_any, ANY_BLOCKS
        if self._layout.listed:
            self._kernel, resident = run_listed, LISTED_BLOCKS
        elif not self._layout.general:
            self._kernel, resident = run_plain, PLAIN_BLOCKS
        self._uploaded = upload(device_program(program))
        self._placed = upload(self._layout)
        self._blocks = self._most_blocks(resident) if blocks is None else blocks
        self._idle: list[Lane] = []  # lanes that no batch is on

    def _most_blocks(self, resident: int) -> int:
        """Return how many blocks run at a time, and have room for what they change.

        resident: on a multiprocessor, as far as registers go.
        """
        if SIMULATED:
            return 1
        device = cuda.get_current_device()
        free, _ = cuda.current_context().get_memory_info()
        each = 4 * (self._layout.ints + self._layout.floats) + 1
        room = max(1, int(SHARE_OF_MEMORY * free) // each)
        return int(min(room, resident * device.MULTIPROCESSOR_COUNT))

    def run(
        self,
        network: Network,
        batches: Iterable[list[BinnedEvents]],
        *,
        record_spikes: bool = False,
    ) -> Iterator[list[Result]]:
        """Run batches of binned recordings through the program's network; yield their results."""
        waiting: _Launched | None = None
        for recordings in batches:
            lane = self._idle.pop() if self._idle else Lane()
            launched = _Launched(network, recordings, lane)
            self._launch(launched, ROOM if record_spikes else 0)
            if waiting is not None:
                yield self._collect(waiting, record_spikes)
            waiting = launched
        if waiting is not None:
            yield self._collect(waiting, record_spikes)

    def _launch(self, launched: _Launched, room: int) -> None:
        """Have a batch copied and run; with room for so many recorded spikes a sample."""
        lane, samples = launched.lane, len(launched.recordings)
        outputs, layout = self._program.outputs, self._layout
        blocks = min(self._blocks, samples)
        memory = lane.memory(blocks, layout.ints, layout.floats)
        batch = lane.send(launched.recordings, launched.network.input_encoding == "counts")
        membranes = outputs if launched.network.reads_membranes else 0
        outcomes = lane.outcomes(samples, layout.counts + 1 + 2 * outputs, membranes, room)
        with warnings.catch_warnings():
            # Numba warns of grids of few blocks; a few samples may be all there are.
            warnings.filterwarnings("ignore", "Grid size")
            launch = self._kernel[blocks, self._threads, lane.stream, layout.shared]
        launch(self._uploaded, self._placed, batch, memory, outcomes)

    def _collect(self, launched: _Launched, record_spikes: bool) -> list[Result]:
        """Wait for a batch and return its results; run it again if its spikes found no room."""
        outcomes = launched.lane.fetch(len(launched.recordings))
        counts, network = self._layout.counts, launched.network
        numbers = outcomes.numbers.copy()  # the results keep parts of it
        counters, recorded = numbers[:, :counts], numbers[:, counts]
        if record_spikes and recorded.max() > outcomes.spikes.shape[1]:
            self._launch(launched, int(recorded.max()))
            return self._collect(launched, record_spikes)
        of_outputs = numbers[:, counts + 1 :].reshape(len(numbers), 2, -1)
        membranes = outcomes.membranes.copy()
        results = []
        for index, binned in enumerate(launched.recordings):
            fired = None
            if record_spikes:
                fired = self._fired(network, outcomes.spikes[index, : recorded[index]])
            membrane = membranes[index]
            if network.readout == "mean-membrane":
                membrane = membrane / max(1, binned.steps)
            seen = Seen(binned.steps, binned.events, binned.early, binned.late, binned.merged)
            counts_of = counters[index].reshape(-1, KINDS).tolist()
            spike_counts, first_spikes = of_outputs[index]
            results.append(result_of(
                network, counts_of, spike_counts, first_spikes, membrane, seen, fired, "clocked"
            ))  # fmt: skip
        self._idle.append(launched.lane)
        return results

    def _fired(self, network: Network, spikes: NDArray[np.int32]) -> list[Fired]:
        """Return recorded spikes layer by layer."""
        layers = []
        for number in range(len(self._program.populations)):
            times, neurons, counts = spikes[spikes[:, 0] == number, 1:].T
            check_recorded(network, number, int(counts.sum(dtype=np.int64)))
            layers.append(Fired(times, neurons, counts))
        return layers


# As with programs: a runner holds no reference to its network, and goes when that goes.
_RUNNERS: weakref.WeakKeyDictionary[Network, CudaRunner] = weakref.WeakKeyDictionary()


def runner_of(network: Network) -> CudaRunner:
    """Return a network's program on the GPU, uploaded once."""
    runner = _RUNNERS.get(network)
    if runner is None:
        runner = _RUNNERS[network] = CudaRunner(program_of(network))
    return runner


def device_program(program: Program) -> Program:
    """Return a program with numbers of 32 bits, and weights of a type that a GPU knows.

    Offsets are smaller than the number of weights, and that is below 2^31; what is not is the
    number of spikes from which on the CPU takes another way.
    """

    def narrow(value: Any) -> Any:
        whole = isinstance(value, np.ndarray) and value.dtype == np.int64
        return np.minimum(value, 2**31 - 1).astype(np.int32) if whole else value

    halves = program.weights.dtype == np.uint16
    weights: Any = program.weights.view(np.float16) if halves else widened(program.weights)
    # Blocks of weights are for the CPU.
    blocks = np.zeros(0, np.float32)
    return Program(*map(narrow, program))._replace(weights=weights, blocks=blocks)
