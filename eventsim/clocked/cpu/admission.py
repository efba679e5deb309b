"""Spikes before they are routed: merged in the cells of a max pool, held back by delays.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...jit import Flags, Float32s, Int32s, Int64s, Words, kernel
from ...vectors import lowest_bit
from ...wiring.program import Connection, Span

Table = NDArray[np.int64]
Spans = NDArray[np.int32]


@kernel
def admit(
    way: int,
    ways: Table,
    pointers: Int64s,
    spans: Spans,
    delayed: Flags,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    pooled: Float32s,
    pooled_words: Words,
    arrived: Int32s,
    arrived_values: Float32s,
) -> int:
    """List what of source[begin:end], which ascends, gets past a max pool and delays, ascending.

    Returns how many. A cell of the pool is listed once, with the largest value in it. `pooled`, and
    `pooled_words` with a bit for each of its cells, are left all 0.
    """
    in_channels, reach = ways[way, Connection.in_channels], ways[way, Connection.pooled]
    delay_flags, graded = ways[way, Connection.delayed], ways[way, Connection.graded] > 0
    active, one, six, low = 0, np.uint64(1), np.uint64(6), np.uint64(63)
    for i in range(begin, end):
        position = source[i] // in_channels
        channel = source[i] - position * in_channels
        if delay_flags >= 0 and not delayed[delay_flags + channel]:
            continue
        value = values[i] if graded else np.float32(1.0)
        if reach < 0:
            arrived[active], arrived_values[active] = source[i], value
            active += 1
            continue
        for entry in range(pointers[reach + position], pointers[reach + position + 1]):
            cell = np.uint64(spans[entry, Span.row] + channel)
            pooled_words[cell >> six] |= one << (cell & low)
            pooled[cell] = max(pooled[cell], value)
    if reach >= 0 and end > begin:
        for word in range(np.uint64((ways[way, Connection.pooled_cells] + 63) // 64)):
            marked, pooled_words[word] = pooled_words[word], 0
            while marked != 0:
                cell = (word << six) + lowest_bit(marked)
                arrived[active], arrived_values[active] = cell, pooled[cell]
                pooled[cell] = 0
                active += 1
                marked &= marked - one
    return active
