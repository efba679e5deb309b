"""What of the spikes of a stretch gets past a max pool and delays: a list like that of a layer.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, kernel_part
from ...vectors import lowest_bit
from ...wiring.program import Connection, Program, Span
from .state import State


@kernel_part
def admit(pooled: Float32s | None, program: Program, way: int, state: State, steps: int) -> None:
    """List what gets past a connection's max pool and delays in a stretch, ascending in each step.

    A cell of the pool is listed once, with the largest value in it.
    """
    if pooled is None:
        return
    connection, starts = program.connections[way], state.starts
    source = connection[Connection.start] - connection[Connection.delay]
    to, end = connection[Connection.arriving], connection[Connection.admitted]
    starts[to] = end
    for t in range(steps):
        begin, stop = starts[source + t], starts[source + t + 1]
        if stop > begin:
            if connection[Connection.pooled] >= 0:
                end = admit_to_pool(program, way, state, begin, stop, end)
            else:
                end = admit_delayed(program, way, state, begin, stop, end)
        starts[to + t + 1] = end


@kernel_part
def admit_delayed(
    program: Program, way: int, state: State, begin: int, stop: int, end: int
) -> np.int64:
    """List the spikes begin .. stop - 1 of channels that have the connection's delay."""
    connection, spikes, values = program.connections[way], state.spikes, state.spike_values
    in_channels, flags = connection[Connection.in_channels], connection[Connection.delayed]
    graded = connection[Connection.graded] > 0
    for i in range(begin, stop):
        if program.delayed[flags + spikes[i] % in_channels]:
            spikes[end] = spikes[i]
            if graded:
                values[end] = values[i]
            end += 1
    return np.int64(end)


@kernel_part
def admit_to_pool(
    program: Program, way: int, state: State, begin: int, stop: int, end: int
) -> np.int64:
    """List the cells of the max pool that the spikes begin .. stop - 1 reach.

    `pooled`, and `pooled_words` with a bit for each cell of it, are left all 0.
    """
    connection, spikes, values = program.connections[way], state.spikes, state.spike_values
    pointers, pooled, words = program.pointers, state.pooled, state.pooled_words
    in_channels, flags = connection[Connection.in_channels], connection[Connection.delayed]
    reach, graded = connection[Connection.pooled], connection[Connection.graded] > 0
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    for i in range(begin, stop):
        position = spikes[i] // in_channels
        channel = spikes[i] - position * in_channels
        if flags >= 0 and not program.delayed[flags + channel]:
            continue
        value = values[i] if graded else np.float32(1.0)
        for entry in range(pointers[reach + position], pointers[reach + position + 1]):
            cell = np.uint64(program.spans[entry, Span.row] + channel)
            words[cell >> six] |= one << (cell & low)
            pooled[cell] = max(pooled[cell], value)
    for word in range(np.uint64((connection[Connection.pooled_cells] + 63) // 64)):
        marked, words[word] = words[word], 0
        while marked != 0:
            cell = (word << six) + lowest_bit(marked)
            spikes[end] = cell
            if graded:
                values[end] = pooled[cell]
            pooled[cell] = 0
            end += 1
            marked &= marked - one
    return np.int64(end)
