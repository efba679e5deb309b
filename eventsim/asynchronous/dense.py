"""Fully connected layers of plain neurons: what an instant brings is listed and added in one pass.

Called by `kernels.py`. A block of membranes is brought up to date, gets the rows of all spikes, and
is compared, while it is in registers. Other layers add each row as it comes (`updates.py`).

2312-512-10 with its weights from the third-level cache: an event reads 6 kB (its row, membranes,
biases) and writes 2 kB, in vectors of 64 bytes about 100 cycles, 30 ns. With 1.9 spikes it took 112
ns, half as long as row by row. What made no difference, or was slower: asking for the row of the
next event beforehand (none; with no bias 100 ns instead of 92), the first row apart from the loop
over rows (3 %), a loop over the spikes of each block instead of one over all (2 %).
"""

from __future__ import annotations

import numpy as np

from ..jit import Float32s, Int64s, inner_kernel, kernel, offset
from ..operations import ACS, COMPARES, COUNTERS, INPUT_EVENTS, MACS, SITE_UPDATES, UPDATES
from ..rows import receive_16, receive_64
from ..vectors import BLOCK, LINE, lowest_bit
from .tables import MOST_ROWS, POPULATION, Header, Population, Way
from .updates import add_row, emit, factors_since, reset_plain, schedule


@inner_kernel
def list_row(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, spike: int, count: int, t: int, touched: int,
) -> int:  # fmt: skip
    """List the row of a spike, or add it at once where it counts more than 1; as `scatter`."""
    population = offset(tables[Header.population] + number * POPULATION)
    way = offset(way)
    flags = tables[way + Way.channels_delayed]
    delayed = flags >= 0 and tables[way + Way.pooled] < 0
    if delayed and not tables[flags + spike % tables[way + Way.in_channels]]:
        return touched
    row = tables[offset(tables[way + Way.direct] + spike)]
    rows = offset(tables[population + Population.rows])
    if count != 1 or ints[rows] == MOST_ROWS:
        add_listed(tables, weights, ints, floats, number, population, t)
    if count == 1:
        ints[rows] += 1
        ints[offset(rows + ints[rows])] = row
    else:
        add_multiple(tables, weights, ints, floats, number, population, row, count, t)
    graded = tables[way + Way.graded] > 0
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    times = 1 if graded else count
    ints[counters + INPUT_EVENTS] += times
    ints[counters + (MACS if graded and count > 1 else ACS)] += (
        times * tables[population + Population.channels]
    )
    return 1


@inner_kernel
def list_rows(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, begin: int, spikes: int, t: int, touched: int,
) -> int:  # fmt: skip
    """List the rows of a list of spikes; as `arrive`."""
    for k in range(spikes):
        entry = offset(begin + 2 * k)
        spike, count = ints[entry], ints[entry + 1]
        touched = list_row(
            tables, weights, ints, floats, number, way, spike, count, t, touched
        )  # fmt: skip
    return touched


@kernel
def add_multiple(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, row: int, count: int, t: int,
) -> None:  # fmt: skip
    """Add a row times a value: a call of its own, as it is rare."""
    value = np.float32(count)
    add_row(tables, weights, ints, floats, number, population, 0, row, value, t)


@kernel
def add_listed(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, t: int,
) -> None:  # fmt: skip
    """Add the rows that are listed before the instant is over."""
    if ints[tables[population + Population.rows]] == 0:
        return
    memo = factors_since(tables, weights, ints, floats, number, population, 0, t)
    first, stored = 0, tables[population + Population.stored]
    while first < stored:
        lanes, blocks = part_of(stored - first)
        receive(
            tables, weights, ints, floats, population, memo, first, lanes, blocks,
            np.float32(np.inf),
        )  # fmt: skip
        first += lanes * blocks
    ints[tables[population + Population.rows]] = 0


@inner_kernel
def update_dense(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, t: int,
) -> int:  # fmt: skip
    """Add what is listed, compare and reset; return how many neurons spiked."""
    rows = offset(tables[population + Population.rows])
    stored = tables[population + Population.stored]
    limit = weights[offset(tables[population + Population.levels] + 6)]
    words, spiked, first = rows + 1 + MOST_ROWS, 0, 0
    memo = factors_since(tables, weights, ints, floats, number, population, 0, t)
    while first < stored:
        lanes, blocks = part_of(stored - first)
        crossed = receive(
            tables, weights, ints, floats, population, memo, first, lanes, blocks, limit
        )
        while crossed:
            block = np.int64(lowest_bit(crossed))
            word = np.uint64(ints[offset(words + block)])
            neuron = first + block * lanes + np.int64(lowest_bit(word))
            word &= word - np.uint64(1)
            ints[offset(words + block)] = word
            crossed ^= np.uint64(word == 0) << np.uint64(block)
            spikes = reset_plain(tables, weights, floats, population, neuron, limit)
            spiked = emit(tables, ints, number, population, neuron, spikes, t, spiked)
        first += lanes * blocks
    ints[rows] = 0
    if tables[population + Population.alone]:
        schedule(tables, weights, ints, floats, population, 0, t)
    channels = tables[population + Population.channels]
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    ints[counters + SITE_UPDATES] += 1
    ints[counters + UPDATES] += channels * tables[population + Population.variables]
    ints[counters + COMPARES] += channels
    return spiked


@inner_kernel
def part_of(left: int) -> tuple[int, int]:
    """Return the lanes of a block, and the blocks, that are next where so many channels are left.

    At most 64 blocks: each has a bit.
    """
    lanes = BLOCK if left >= BLOCK else LINE
    return lanes, min(left // lanes, 64)


@inner_kernel
def receive(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    population: int, memo: int, first: int, lanes: int, blocks: int, limit: np.float32,
) -> np.uint64:  # fmt: skip
    """Bring a part of a layer up to date, add what is listed, and compare; as `receive_64`."""
    rows = offset(tables[population + Population.rows])
    bias = tables[population + Population.bias]
    begin, stop = np.uintp(rows + 1), np.uintp(rows + 1 + ints[rows])
    words, count, c = np.uintp(rows + 1 + MOST_ROWS), np.uintp(blocks), np.uintp(first)
    at, b = np.uintp(tables[population + Population.neuron]) + c, np.uintp(bias) + c
    power, gain, biased = np.float32(1.0), np.float32(0.0), bias >= 0 and memo >= 0
    if memo >= 0:
        found: int = offset(memo)
        power, gain = floats[found], floats[found + 1]
    if lanes == BLOCK:
        return receive_64(
            floats, at, power, biased, weights, b, gain, weights, c, ints, begin, stop, limit,
            words, count,
        )  # fmt: skip
    return receive_16(
        floats, at, power, biased, weights, b, gain, weights, c, ints, begin, stop, limit,
        words, count,
    )  # fmt: skip
