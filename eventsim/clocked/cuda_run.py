"""Batches of recordings on a GPU, and their `Result`s; the way in for `simulator.py`.

In: a network, and recordings. Out: a `Result` for each. The network is uploaded once and stays. Two
batches are on their way at a time, each on a stream of its own: while one computes, the next is
binned, packed and copied.
"""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import widened
from ..binning import BinnedEvents, bin_events
from ..errors import EventsimError
from ..events import EVENT_DTYPE, Events, packets_of
from ..network import Network
from ..program import P, Program
from ..result import Result
from .cuda_layout import KINDS, Batch, Memory, Outcomes, lay_out
from .run import Emitted, program_of, result_of
from .state import Outcome

# A layer of 512 takes two rounds of a block; four such blocks fit on a multiprocessor.
THREADS = 256
SHARED_BYTES = 48 * 1024  # what every device gives a block without being asked for more
BLOCKS_PER_MULTIPROCESSOR = 4
SHARE_OF_MEMORY = 0.25  # of what is free, for the blocks of one of the two batches
ROOM = 4096  # for the recorded spikes of a sample; if there are more it runs again
BATCH = 1024  # samples: twice as many as an H100 runs at a time
# Active input cells and timesteps: a batch of long recordings has fewer samples. At most 2 GB, and
# the kernels number them in 32 bits.
BATCH_SIZE = 2**28


def missing_gpu() -> str | None:
    """Return why no GPU can be used, None where one can."""
    if importlib.util.find_spec("numba_cuda") is None:
        return 'numba-cuda is not installed (pip install "eventsim[cuda]")'
    from numba import cuda

    if cuda.is_available():
        return None
    try:
        cuda.current_context()
    except Exception as error:  # whatever the driver says
        reason = " ".join(str(error).split()).rstrip(" :.")
        return f"numba-cuda finds none ({reason or type(error).__name__})"
    return "numba-cuda finds none"


def require_gpu() -> None:
    """Raise `EventsimError` where no GPU can be used."""
    reason = missing_gpu()
    if reason is not None:
        raise EventsimError(f"device is 'cuda', expected a GPU that CUDA can use: {reason}")


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
    stream: Any
    recordings: list[BinnedEvents]
    outcomes: Outcomes  # on the device
    kept: Any  # what must not be freed before it is done


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
        from numba import config, cuda

        self._program, self._threads = program, threads
        # In Numba's simulator arrays of the host are arrays of the device.
        self._simulated = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
        self._layout = lay_out(self._program, threads, shared_bytes)
        self._uploaded = self._upload(device_program(self._program))
        self._placed = self._upload(self._layout)
        self._blocks = self._most_blocks() if blocks is None else blocks
        self._streams = [cuda.stream(), cuda.stream()]
        self._memories: list[Memory | None] = [None, None]

    def _most_blocks(self) -> int:
        """Return how many blocks run at a time, and have room for what they change."""
        from numba import cuda

        if self._simulated:
            return 1
        device = cuda.get_current_device()
        free, _ = cuda.current_context().get_memory_info()
        each = 4 * (self._layout.ints + self._layout.floats) + 1
        room = max(1, int(SHARE_OF_MEMORY * free) // each)
        return int(min(room, BLOCKS_PER_MULTIPROCESSOR * device.MULTIPROCESSOR_COUNT))

    def _upload(self, arrays: Any, stream: Any = None, pinned: list[Any] | None = None) -> Any:
        """Return a named tuple with its arrays on the device.

        With a stream they are on their way when it returns, from memory that is pinned, and must
        not be freed before they are there: it is appended to `pinned`.
        """
        from numba import cuda

        if self._simulated:
            return arrays

        def on_device(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            if pinned is None or value.size == 0:
                return cuda.to_device(value)
            pinned.append(cuda.pinned_array(value.shape, value.dtype))
            pinned[-1][...] = value
            return cuda.to_device(pinned[-1], stream=stream)

        return arrays._make(map(on_device, arrays))

    def run(
        self,
        network: Network,
        batches: Iterable[list[BinnedEvents]],
        *,
        record_spikes: bool = False,
    ) -> Iterator[list[Result]]:
        """Run batches of binned recordings through the program's network; yield their results."""
        room = ROOM if record_spikes else 0
        waiting: _Launched | None = None
        for number, recordings in enumerate(batches):
            launched = self._launch(network, recordings, number % 2, room)
            if waiting is not None:
                yield self._collect(waiting, record_spikes)
            waiting = launched
        if waiting is not None:
            yield self._collect(waiting, record_spikes)

    def _launch(
        self, network: Network, recordings: list[BinnedEvents], turn: int, room: int
    ) -> _Launched:
        from .cuda import run_any, run_listed

        stream = self._streams[turn]
        blocks = min(self._blocks, max(1, len(recordings)))
        memory = self._memories[turn]
        if memory is None or len(memory.ints) < blocks:
            ints, floats = max(1, self._layout.ints), max(1, self._layout.floats)
            memory = self._memories[turn] = Memory(
                self._empty((blocks, ints), np.int32), self._empty((blocks, floats), np.float32)
            )
        pinned: list[Any] = []
        batch = self._upload(pack(recordings), stream, pinned)
        outcomes = self._upload(new_outcomes(self._program, len(recordings), room), stream, pinned)
        if recordings:
            kernel = run_listed if self._layout.listed else run_any
            kernel[blocks, self._threads, stream, self._layout.shared](
                self._uploaded, self._placed, batch, memory, outcomes
            )
        return _Launched(network, stream, recordings, outcomes, (batch, pinned))

    def _empty(self, shape: tuple[int, int], dtype: Any) -> Any:
        from numba import cuda

        return np.zeros(shape, dtype) if self._simulated else cuda.device_array(shape, dtype)

    def _collect(self, launched: _Launched, record_spikes: bool) -> list[Result]:
        """Wait for a batch and return its results; run it again if its spikes found no room."""
        outcomes: Any = launched.outcomes
        if not self._simulated:
            outcomes = Outcomes(*(array.copy_to_host(stream=launched.stream) for array in outcomes))
            launched.stream.synchronize()
        most = int(outcomes.recorded.max(initial=0))
        if record_spikes and most > outcomes.spikes.shape[1]:
            turn = next(i for i, stream in enumerate(self._streams) if stream is launched.stream)
            again = self._launch(launched.network, launched.recordings, turn, most)
            return self._collect(again, record_spikes)
        return [
            self._result(launched, outcomes, index, record_spikes)
            for index in range(len(launched.recordings))
        ]

    def _result(
        self, launched: _Launched, outcomes: Outcomes, index: int, record_spikes: bool
    ) -> Result:
        recording = launched.recordings[index]
        outcome = Outcome(
            outcomes.counters[index].reshape(-1, KINDS),
            outcomes.spike_counts[index],
            outcomes.first_spikes[index],
            outcomes.membranes[index],
        )
        emitted = None
        if record_spikes:
            emitted = [_by_layer(self._program, outcomes.spikes[index, : outcomes.recorded[index]])]
        return result_of(
            launched.network, outcome, emitted, recording.steps, recording.events, recording.early,
            recording.late, recording.merged,
        )  # fmt: skip


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
    return Program(*map(narrow, program))._replace(weights=weights)


def pack(recordings: list[BinnedEvents]) -> Batch:
    """Lay binned recordings one after the other."""
    cells = np.array([len(recording.cells) for recording in recordings], np.int64)
    steps = np.array([recording.steps for recording in recordings], np.int64)
    offsets = np.cumsum(cells) - cells
    pointers = [
        recording.pointers + offset for recording, offset in zip(recordings, offsets, strict=True)
    ]
    return Batch(
        first=(np.cumsum(steps + 1) - (steps + 1)).astype(np.int32),
        steps=steps.astype(np.int32),
        pointers=np.concatenate([np.zeros(0, np.int64), *pointers]).astype(np.int32),
        cells=np.concatenate([np.zeros(0, np.int32), *(r.cells for r in recordings)]),
        values=np.concatenate([np.zeros(0, np.float32), *(r.values for r in recordings)]),
    )


def new_outcomes(program: Program, samples: int, room: int) -> Outcomes:
    """Return outcomes of nothing yet, with room for so many recorded spikes a sample."""
    outputs = program.outputs
    return Outcomes(
        counters=np.zeros((samples, len(program.populations) * KINDS), np.int64),
        spike_counts=np.zeros((samples, outputs), np.int64),
        first_spikes=np.full((samples, outputs), -1, np.int64),
        membranes=np.zeros((samples, outputs)),
        spikes=np.zeros((samples, room, 4), np.int32),
        recorded=np.zeros(samples, np.int64),
    )


def _by_layer(program: Program, spikes: NDArray[np.int32]) -> list[Emitted]:
    """Return recorded spikes layer by layer: (timesteps, neurons), a row for each spike."""
    emitted = []
    for number in range(len(program.populations)):
        steps, neurons, times = spikes[spikes[:, 0] == number, 1:].T.astype(np.int64)
        if not program.populations[number, P.plain]:
            steps, neurons = np.repeat(steps, times), np.repeat(neurons, times)
        emitted.append((steps, neurons))
    return emitted
