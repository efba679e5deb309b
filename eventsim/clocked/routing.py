"""Spikes on their way to a layer: which sites each reaches, and with which weight rows.

`admit` merges spikes in the cells of a max pool and picks those that a delay lets pass. `arrive`
then takes one of three ways with the same outcome: `route` lists rows site by site for `accumulate`
in `updates.py`; `route_to_one` does so for a fully connected layer; and `scatter` adds short rows
to the membranes at once. `collect` lists the sites with work.

Arguments are the arrays of `Program` and `State`, those of sites and neurons cut to the layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..jit import LANES, Flags, Float32s, Int32s, Int64s, add_lanes, kernel
from ..operations import ACS, INPUT_EVENTS, MACS
from ..program import C, P, S
from .updates import fade

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
    arrived: Int32s,
    arrived_values: Float32s,
) -> int:
    """List what of source[begin:end] gets past a max pool and delays; return how many.

    A cell of the pool is listed once, in the order in which cells become active, with the largest
    value in it. `pooled` is left all 0.
    """
    in_channels, reach = ways[way, C.in_channels], ways[way, C.pooled]
    delay_flags, graded = ways[way, C.delayed], ways[way, C.graded] > 0
    active = 0
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
            cell = spans[entry, S.row] + channel
            if pooled[cell] == 0:
                arrived[active] = cell
                active += 1
            pooled[cell] = max(pooled[cell], value)
    if reach >= 0:
        for i in range(active):
            arrived_values[i] = pooled[arrived[i]]
            pooled[arrived[i]] = 0
    return active


@kernel
def arrive(
    way: int,
    ways: Table,
    population: Int64s,
    pointers: Int64s,
    spans: Spans,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    t: int,
    weights: Float32s,
    u: Float32s,
    last: Int32s,
    flags: Flags,
    fills: Int32s,
    rows: Int32s,
    row_values: Float32s,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
    counters: Int64s,
) -> None:
    """Bring the spikes source[begin:end] of a connection to a layer, in timestep t."""
    counters[INPUT_EVENTS] += end - begin
    if population[P.sites] == 1 and population[P.graded] == 0:
        filled = route_to_one(way, ways, pointers, spans, source, begin, end, rows, fills[0])
        if filled > fills[0]:
            fills[0] = filled
            flags[0] = 1
    elif population[P.gathers]:
        route(
            way, ways, population, pointers, spans, source, values, begin, end,
            flags, fills, rows, row_values,
        )  # fmt: skip
    else:
        reached = scatter(
            way, ways, population, pointers, spans, source, values, begin, end, t,
            weights, u, last, flags, powers, gains, biases,
        )  # fmt: skip
        counters[MACS if population[P.graded] else ACS] += reached * population[P.channels]


@kernel
def route(
    way: int,
    ways: Table,
    population: Int64s,
    pointers: Int64s,
    spans: Spans,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    flags: Flags,
    fills: Int32s,
    rows: Int32s,
    row_values: Float32s,
) -> None:
    """Put the weight row of each spike in source[begin:end] on the list of each site it reaches."""
    # Into locals: for all the compiler knows, a store below might change the tables.
    in_channels, in_group, offset = (
        ways[way, C.in_channels],
        ways[way, C.in_group],
        ways[way, C.offset],
    )
    stride, reach, in_values = ways[way, C.stride], ways[way, C.reach], ways[way, C.graded] > 0
    groups, graded, channels = population[P.groups], population[P.graded], population[P.channels]
    rows_per_site = population[P.rows_per_site]
    for i in range(begin, end):
        position = source[i] // in_channels
        channel = source[i] - position * in_channels
        group = (offset + channel) // in_group if groups > 1 else 0
        for span in range(pointers[reach + position], pointers[reach + position + 1]):
            row = spans[span, S.row] + channel * stride
            site = spans[span, S.site] * groups + group
            for _ in range(spans[span, S.sites]):
                slot = site * rows_per_site + fills[site]
                rows[slot] = row
                if graded:
                    row_values[slot] = values[i] if in_values else np.float32(1.0)
                fills[site] += 1
                flags[site] = 1
                row += channels
                site += groups


@kernel
def route_to_one(
    way: int,
    ways: Table,
    pointers: Int64s,
    spans: Spans,
    source: Int32s,
    begin: int,
    end: int,
    rows: Int32s,
    filled: int,
) -> int:
    """`route` for the one site of a fully connected layer; return the length of its list."""
    in_channels, reach = np.uint32(ways[way, C.in_channels]), ways[way, C.reach]
    stride = ways[way, C.stride]
    for i in range(begin, end):
        spike = np.uint32(source[i])
        position = spike // in_channels
        channel = np.int64(spike - position * in_channels)
        pointer = reach + np.int64(position)
        # None where a pool leaves a position out, several where its windows overlap.
        for span in range(pointers[pointer], pointers[pointer + 1]):
            rows[filled] = spans[span, S.row] + channel * stride
            filled += 1
    return filled


@kernel
def scatter(
    way: int,
    ways: Table,
    population: Int64s,
    pointers: Int64s,
    spans: Spans,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    t: int,
    weights: Float32s,
    u: Float32s,
    last: Int32s,
    flags: Flags,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
) -> int:
    """Add the weight rows of each spike in source[begin:end] to the membranes that it reaches.

    `route` and `accumulate` in one, for short rows: the same additions in the same order. Returns
    how many rows were added.
    """
    in_channels, in_group, offset = (
        ways[way, C.in_channels],
        ways[way, C.in_group],
        ways[way, C.offset],
    )
    stride, reach, in_values = ways[way, C.stride], ways[way, C.reach], ways[way, C.graded] > 0
    groups, graded, channels = population[P.groups], population[P.graded], population[P.channels]
    changes = population[P.leaks] > 0 or len(biases) > 0
    reached = 0
    for i in range(begin, end):
        position = source[i] // in_channels
        channel = source[i] - position * in_channels
        group = (offset + channel) // in_group if groups > 1 else 0
        for span in range(pointers[reach + position], pointers[reach + position + 1]):
            sites = spans[span, S.sites]
            first = spans[span, S.site] * groups + group
            for site in range(first, first + sites):
                flags[site] = 1
                if changes and last[site] != t:
                    fade(population, site, t - last[site], u, powers, gains, biases)
                    last[site] = t
            row, neuron = spans[span, S.row] + channel * stride, first * channels
            if graded:
                value = values[i] if in_values else np.float32(1.0)
                add_scaled(u, neuron, weights, row, sites * channels, value)
            else:
                add(u, neuron, weights, row, sites * channels)
            reached += sites
    return reached


@kernel
def add(u: Float32s, to: int, w: Float32s, row: int, length: int) -> None:
    """Add w[row : row + length] to u[to : to + length]."""
    i, j, c = np.uintp(to), np.uintp(row), np.uintp(0)
    n = np.uintp(length)
    while c + np.uintp(LANES) <= n:
        add_lanes(u, i + c, w, j + c)
        c += np.uintp(LANES)
    while c < n:
        u[i + c] += w[j + c]
        c += np.uintp(1)


@kernel
def add_scaled(u: Float32s, to: int, w: Float32s, row: int, length: int, value: np.float32) -> None:
    """Add value * w[row : row + length] to u[to : to + length]."""
    i, j = np.uintp(to), np.uintp(row)
    for c in range(np.uintp(length)):
        u[i + c] += w[j + c] * value


@kernel
def collect(population: Int64s, flags: Flags, words: NDArray[np.uint64], touched: Int32s) -> int:
    """List the flagged sites, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags.
    """
    sites = population[P.sites]
    if population[P.awake]:
        flags[:sites] = 1
    found = 0
    for word in range((sites + 7) // 8):
        if words[word] != 0:
            for site in range(8 * word, 8 * word + 8):
                if flags[site] != 0:
                    touched[found] = site
                    found += 1
            words[word] = 0
    return found
