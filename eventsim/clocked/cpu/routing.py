"""Spikes on their way to a layer: which sites each reaches, and with which weight rows.

What a max pool and delays let pass (`admission.py`) is brought to the layer by `arrive`, in one of
two ways with the same outcome: `list_rows` lists rows site by site for `updates.py`, and `scatter`
adds short rows to the membranes at once. `collect` lists the sites with work.

Arguments are the arrays of `Program` and `State`, those of sites and neurons cut to the layer.
"""

from __future__ import annotations

import numpy as np

from ...jit import Flags, Float32s, Int32s, Int64s, Weights, Words, inner_kernel, kernel
from ...operations import ACS, INPUT_EVENTS, MACS
from ...vectors import LANES, add_lanes, lowest_bit, weight_at
from ...wiring.program import Connection, Population, Span
from .admission import Spans, Table
from .updates import catch_up_site


@inner_kernel
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
    weights: Weights,
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
    if population[Population.lists]:
        reached = list_rows(
            way, ways, population, pointers, spans, source, values, begin, end,
            flags, fills, rows, row_values,
        )  # fmt: skip
    else:
        if population[Population.leaks] > 0 or len(biases) > 0:
            catch_up_reached(
                way, ways, population, pointers, spans, source, begin, end, t,
                u, last, powers, gains, biases,
            )  # fmt: skip
        reached = scatter(
            way, ways, population, pointers, spans, source, values, begin, end,
            weights, u, flags,
        )  # fmt: skip
    counters[MACS if ways[way, Connection.graded] else ACS] += (
        reached * population[Population.channels]
    )


@kernel
def list_rows(
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
) -> int:
    """Put the weight row of each spike in source[begin:end] on the list of each site it reaches.

    Returns how many rows were listed.
    """
    in_channels, reach = (
        np.uint32(ways[way, Connection.in_channels]),
        np.uintp(ways[way, Connection.reach]),
    )
    stride, offset, in_group = (
        ways[way, Connection.stride],
        ways[way, Connection.offset],
        ways[way, Connection.in_group],
    )
    groups, channels = np.uintp(population[Population.groups]), population[Population.channels]
    rows_per_site = np.uintp(population[Population.rows_per_site])
    in_values, graded = ways[way, Connection.graded] > 0, population[Population.graded] > 0
    site_column, sites_column, row_column = (
        np.uintp(Span.site),
        np.uintp(Span.sites),
        np.uintp(Span.row),
    )
    one, group, value, listed = np.uintp(1), np.uintp(0), np.float32(1.0), 0
    for i in range(begin, end):
        spike = np.uint32(source[i])
        position = spike // in_channels
        channel = np.int64(spike - position * in_channels)
        entry = reach + np.uintp(position)
        if groups > one:
            group = np.uintp((offset + channel) // in_group)
        if in_values:
            value = values[i]
        for span in range(np.uintp(pointers[entry]), np.uintp(pointers[entry + one])):
            row = spans[span, row_column] + channel * stride
            site = np.uintp(spans[span, site_column]) * groups + group
            for _ in range(spans[span, sites_column]):
                slot = site * rows_per_site + np.uintp(fills[site])
                rows[slot] = row
                if graded:
                    row_values[slot] = value
                fills[site] += 1
                flags[site] = 1
                row += channels
                site += groups
            listed += spans[span, sites_column]
    return listed


@inner_kernel
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
    weights: Weights,
    u: Float32s,
    flags: Flags,
) -> np.int64:
    """Add the weight rows of each spike in source[begin:end] to the membranes that it reaches.

    `list_rows` and `accumulate` in one, for short rows: the same additions in the same order.
    Returns how many rows were added. Unsigned numbers, 32 bits for the division, no call inside:
    a loop without these took 595 us for 1.4 million SOPs in rows of 16, a bare one with them 300.
    """
    in_channels, reach = (
        np.uint32(ways[way, Connection.in_channels]),
        np.uintp(ways[way, Connection.reach]),
    )
    stride, offset, in_group = (
        ways[way, Connection.stride],
        ways[way, Connection.offset],
        ways[way, Connection.in_group],
    )
    groups, channels = (
        np.uintp(population[Population.groups]),
        np.uintp(population[Population.channels]),
    )
    in_values, graded = ways[way, Connection.graded] > 0, population[Population.graded] > 0
    site_column, sites_column, row_column = (
        np.uintp(Span.site),
        np.uintp(Span.sites),
        np.uintp(Span.row),
    )
    one, lanes = np.uintp(1), np.uintp(LANES)
    value, group, reached = np.float32(1.0), np.uintp(0), np.uintp(0)
    for i in range(begin, end):
        spike = np.uint32(source[i])
        position = spike // in_channels
        channel = np.int64(spike - position * in_channels)
        entry = reach + np.uintp(position)
        if groups > one:
            group = np.uintp((offset + channel) // in_group)
        if in_values:
            value = values[i]
        for span in range(np.uintp(pointers[entry]), np.uintp(pointers[entry + one])):
            sites = np.uintp(spans[span, sites_column])
            first = np.uintp(spans[span, site_column]) * groups + group
            for site in range(first, first + sites):
                flags[site] = 1
            to = first * channels
            stop = to + sites * channels
            row = np.uintp(spans[span, row_column] + channel * stride)
            while not graded and to + lanes <= stop:
                add_lanes(u, to, weights, row)
                to, row = to + lanes, row + lanes
            while to < stop:
                u[to] += weight_at(weights, row) * value
                to, row = to + one, row + one
            reached += sites
    return np.int64(reached)


@kernel
def catch_up_reached(
    way: int,
    ways: Table,
    population: Int64s,
    pointers: Int64s,
    spans: Spans,
    source: Int32s,
    begin: int,
    end: int,
    t: int,
    u: Float32s,
    last: Int32s,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
) -> None:
    """Bring the sites that `scatter` will reach to timestep t."""
    in_channels, reach = (
        np.uint32(ways[way, Connection.in_channels]),
        np.uintp(ways[way, Connection.reach]),
    )
    offset, in_group = ways[way, Connection.offset], ways[way, Connection.in_group]
    groups, group, one = np.uintp(population[Population.groups]), np.uintp(0), np.uintp(1)
    site_column, sites_column = np.uintp(Span.site), np.uintp(Span.sites)
    for i in range(begin, end):
        spike = np.uint32(source[i])
        position = spike // in_channels
        entry = reach + np.uintp(position)
        if groups > one:
            group = np.uintp((offset + np.int64(spike - position * in_channels)) // in_group)
        for span in range(np.uintp(pointers[entry]), np.uintp(pointers[entry + one])):
            first = np.uintp(spans[span, site_column]) * groups + group
            for site in range(first, first + np.uintp(spans[span, sites_column])):
                if last[site] != t:
                    catch_up_site(population, site, t - last[site], u, powers, gains, biases)
                    last[site] = t


@inner_kernel
def collect(population: Int64s, flags: Flags, words: Words, touched: Int32s) -> np.int64:
    """List the flagged sites, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags.
    """
    sites = population[Population.sites]
    if population[Population.awake]:
        flags[:sites] = 1
    found, one, three = np.uintp(0), np.uint64(1), np.uint64(3)
    for word in range(np.uintp((sites + 7) // 8)):
        flagged, words[word] = words[word], 0
        while flagged != 0:
            touched[found] = (np.uint64(word) << three) + (lowest_bit(flagged) >> three)
            found += np.uintp(1)
            flagged &= flagged - one
    return np.int64(found)
