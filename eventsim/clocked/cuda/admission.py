"""What of the spikes of a stretch gets past a max pool: bits like those of a layer.

Delays need nothing: what reaches a site (`layout.py`) leaves out channels that have another one.
"""

from __future__ import annotations

from numba import cuda, int32, uint32

from ...jit import device_kernel, device_part
from ...wiring.program import Program
from .layout import Connection, DeviceLayout, Layer, Span, Way
from .state import State, Stretch


@device_kernel
def admit(program: Program, layout: DeviceLayout, way: int, state: State, stretch: Stretch) -> None:
    """Set the bits of what gets past a connection's max pool and delay; a thread takes a word.

    The cell of a pool has the largest number of spikes that comes to it.
    """
    thread = uint32(uint32(cuda.blockIdx.x) * uint32(cuda.blockDim.x) + uint32(cuda.threadIdx.x))
    source = int32(program.connections[way, Connection.source])
    words, bits, counts = uint32(layout.input_words), uint32(0), int32(layout.input_counted) - 1
    if source >= 0:
        words = uint32(layout.layers[source, Layer.words])
        bits = uint32(layout.layers[source, Layer.bits])
        counts = layout.layers[source, Layer.counts]
    word, rest = uint32(thread % words), uint32(thread // words)
    t, sample = uint32(rest % uint32(stretch.steps)), uint32(rest // uint32(stretch.steps))
    if sample >= uint32(stretch.samples):
        return
    t = uint32(t + uint32(layout.remembered))
    row = uint32(t - uint32(program.connections[way, Connection.delay]))
    found = state.bits[sample, uint32(row * uint32(layout.words) + bits + word)]
    while found != 0:
        neuron = uint32(uint32(32) * word + uint32(cuda.ffs(int32(found)) - 1))
        found = uint32(found & (found - uint32(1)))
        value = int32(1)
        if counts >= 0:
            number = uint32(row * uint32(layout.numbers) + uint32(counts) + neuron)
            value = state.counts[sample, number]
        admit_to_pool(program, layout, way, state, sample, t, neuron, value)


@device_part
def admit_to_pool(program, layout, way, state, sample, row, neuron, value):
    """Set the bits of the cells that a spike reaches, if its channel has the connection's delay."""
    connection = program.connections[way]
    channels = uint32(connection[Connection.in_channels])
    position = uint32(neuron // channels)
    channel = uint32(neuron - position * channels)
    flags = connection[Connection.delayed]
    if flags >= 0 and program.delayed[uint32(uint32(flags) + channel)] == 0:
        return
    entry = uint32(uint32(connection[Connection.pooled]) + position)
    reached, beyond = uint32(program.pointers[entry]), uint32(program.pointers[uint32(entry + 1)])
    first = uint32(row * uint32(layout.words) + uint32(layout.ways[way, Way.bits]))
    counts = layout.ways[way, Way.counts]
    while reached < beyond:
        cell = uint32(uint32(program.spans[reached, Span.row]) + channel)
        word, bit = uint32(first + (cell >> uint32(5))), uint32(uint32(1) << (cell & uint32(31)))
        cuda.atomic.or_(state.bits[sample], word, bit)
        if counts >= 0:
            number = uint32(row * uint32(layout.numbers) + uint32(counts) + cell)
            cuda.atomic.max(state.counts[sample], number, value)
        reached = uint32(reached + uint32(1))
