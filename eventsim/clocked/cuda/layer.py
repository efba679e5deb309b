"""The clocked engine on a GPU: a layer at a time through a stretch of timesteps, for a whole batch.

The twin of `cpu/layer.py`, on the same `Program`: `next_stretch` sets the bits of the input,
`admit` those that get past max pools, and a kernel of `gather.py` takes each layer through the
stretch.

Called by `run.py`, stretch by stretch.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from numba import cuda, float32, int32, int64, uint32

from ...jit import device_kernel, device_part
from ...wiring.program import Program
from .admission import admit
from .binning import next_stretch
from .gather import visit_block, visit_in_step, visit_wide_block
from .layout import WARP, Connection, DeviceLayout, Layer, Population
from .state import Outcome, State, Stretch
from .updates import read_out
from .visits import ROOM

THREADS, MOST_THREADS = 128, 256  # of a block; of one that all share the work of a layer


@device_kernel
def begin_stretch(
    program: Program, layout: DeviceLayout, state: State, stretch: Stretch, outcome: Outcome
) -> None:
    """Move the spikes that delays will still ask for to the front, and clear what is behind them.

    The first stretch silences the state. A thread takes a column of the rows of a sample.
    """
    thread = uint32(uint32(cuda.blockIdx.x) * uint32(cuda.blockDim.x) + uint32(cuda.threadIdx.x))
    columns = uint32(layout.words + layout.numbers)
    sample, column = uint32(thread // columns), uint32(thread % columns)
    if sample >= uint32(stretch.samples):
        return
    silent = stretch.first == 0
    if column < uint32(layout.words):
        shift(state.bits[sample], layout, stretch, column, uint32(layout.words), uint32(0), silent)
    else:
        column = uint32(column - uint32(layout.words))
        numbers = uint32(layout.numbers)
        shift(state.counts[sample], layout, stretch, column, numbers, int32(0), silent)
    if silent:
        clear(program, layout, state, outcome, sample, uint32(thread % columns), columns)


@device_part
def shift(array, layout, stretch, column, columns, nothing, silent):
    """Move the remembered rows of a column to the front; those behind them are nothing."""
    row, at, one = uint32(0), column, uint32(1)
    while row < uint32(layout.remembered):
        array[at] = nothing if silent else array[uint32(at + uint32(stretch.before) * columns)]
        row, at = uint32(row + one), uint32(at + columns)
    while row < uint32(layout.remembered + stretch.steps):
        array[at] = nothing
        row, at = uint32(row + one), uint32(at + columns)


@device_part
def clear(program, layout, state, outcome, sample, first, threads):
    """Silence a sample, and have nothing come out of it yet."""
    fill(state.membranes[sample], first, threads, float32(0))
    fill(state.seconds[sample], first, threads, float32(0))
    fill(state.free_from[sample], first, threads, int32(0))
    fill(state.returned[sample], first, threads, float32(0))
    fill(state.last[sample], first, threads, int32(-1))
    fill(state.due[sample], first, threads, int32(-1))
    fill(outcome.membranes[sample], first, threads, 0.0)
    numbers = outcome.numbers[sample]
    outputs = uint32(program.outputs)
    fill(numbers[: uint32(len(numbers) - outputs)], first, threads, int64(0))
    fill(numbers[uint32(len(numbers) - outputs) :], first, threads, int64(-1))


@device_part
def fill(array, first, threads, value):
    """Fill a thread's share of an array."""
    i = first
    while i < uint32(len(array)):
        array[i] = value
        i = uint32(i + threads)


class OnDevice(NamedTuple):
    """A network's tables, on the host and on the device."""

    program: Program
    layout: DeviceLayout
    uploaded: Any  # the program there,
    placed: Any  # and the layout


def run_stretch(
    network: OnDevice, state: Any, stretch: Stretch, outcome: Any, events: int, stream: Any
) -> None:
    """Have a stretch of a batch run when the stream gets there.

    `events`: the most that a sample has in the stretch.
    """
    layout, program, placed = network.layout, network.uploaded, network.placed
    samples, layers = stretch.samples, len(network.program.populations)

    def launch(kernel: Any, blocks: int, *arguments: Any, threads: int = THREADS) -> None:
        with warnings.catch_warnings():
            # Numba warns of grids of few blocks; a few samples may be all there are.
            warnings.filterwarnings("ignore", "Grid size")
            configured = kernel[blocks, threads, stream, 8 * ROOM * threads]
        configured(*arguments)

    columns = samples * (layout.words + layout.numbers)
    launch(begin_stretch, blocks_of(columns), program, placed, state, stretch, outcome)
    parts = max(1, -(-events // (8 * THREADS)))
    launch(next_stretch, samples * parts, placed, stretch, parts, layers, state, outcome)
    for number in range(layers if stretch.steps > 0 else 0):
        run_layer(network, number, state, stretch, outcome, launch)
    launch(read_out, samples, program, placed, state, stretch, outcome)


def run_layer(
    network: OnDevice, number: int, state: Any, stretch: Stretch, outcome: Any, launch: Any
) -> None:
    """Have one layer run through a stretch."""
    program, layout = network.program, network.layout
    population, layer = program.populations[number], layout.layers[number]
    samples, first = stretch.samples, int(population[Population.connection])
    for way in range(first, first + int(population[Population.connections])):
        if program.connections[way, Connection.pooled] >= 0:
            source = int(program.connections[way, Connection.source])
            words = layout.layers[source, Layer.words] if source >= 0 else layout.input_words
            blocks = blocks_of(samples * stretch.steps * int(words))
            launch(admit, blocks, network.uploaded, network.placed, way, state, stretch)
    sites, lanes, count = (
        int(population[Population.sites]),
        *map(int, layer[[Layer.lanes, Layer.blocks]]),
    )
    arguments = network.uploaded, network.placed, number, state, stretch, outcome
    if not layer[Layer.in_step]:
        kernel = visit_wide_block if lanes == WARP else visit_block
        launch(kernel, blocks_of(samples * sites * count * lanes), *arguments)
    elif layer[Layer.together]:
        span = int(layer[Layer.span])
        threads = min(MOST_THREADS, -(-span * count * lanes // WARP) * WARP)
        launch(visit_in_step, samples * (sites // span), *arguments, threads=threads)
    else:
        launch(visit_in_step, blocks_of(samples * sites * lanes), *arguments)


def blocks_of(threads: int) -> int:
    """Return how many blocks have so many threads."""
    return -(-threads // THREADS)
