"""Spikes reach a layer: looked up in its wiring, and their rows of weights added.

In: lists of spikes, or queues in which they wait. Out: which sites have work, and what was counted.
Called by `kernels.py` for every way that leads to a layer.
"""

from __future__ import annotations

import numpy as np

from ..jit import Float32s, Int64s, inner_kernel, kernel, offset
from ..operations import ACS, COUNTERS, INPUT_EVENTS, MACS
from .dense import list_row
from .tables import POPULATION, WAY, Header, Population, Queue, Way
from .updates import add_row, list_site


@kernel
def arrive(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, begin: int, spikes: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring a list of spikes to a layer; return how many of its sites have work now."""
    pooled = tables[way + Way.pooled] >= 0
    cells = 0
    for entry in range(begin, begin + 2 * spikes, 2):
        if pooled:
            cells = pool(tables, ints, floats, way, ints[entry], ints[entry + 1], cells)
        else:
            touched = scatter(
                tables, weights, ints, floats, number, way, ints[entry], ints[entry + 1], t, touched
            )
    return scatter_pooled(tables, weights, ints, floats, number, way, cells, t, touched)


@kernel
def arrive_late(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring the spikes that are due on a way with a delay; as `arrive`."""
    queue, delay = tables[way + Way.queue], tables[way + Way.delay]
    head = tables[Header.heads] + (way - tables[Header.way]) // WAY
    pooled, itself = tables[way + Way.pooled] >= 0, tables[way + Way.to_itself] >= 0
    cells = 0
    while ints[head] < ints[queue + Queue.tail]:
        entry = ints[queue + Queue.offset] + 3 * (ints[head] & ints[queue + Queue.mask])
        if ints[entry] + delay > t:
            break
        neuron, count = ints[entry + 1], ints[entry + 2]
        ints[head] += 1
        if pooled:
            cells = pool(tables, ints, floats, way, neuron, count, cells)
        elif itself:
            touched = return_spike(
                tables, weights, ints, floats, number, way, neuron, count, t, touched
            )
        else:
            touched = scatter(tables, weights, ints, floats, number, way, neuron, count, t, touched)
    return scatter_pooled(tables, weights, ints, floats, number, way, cells, t, touched)


@kernel
def pool(
    tables: Int64s, ints: Int64s, floats: Float32s, way: int, spike: int, count: int, cells: int
) -> int:
    """Note a spike in the cells of a max pool; return how many cells are active."""
    in_channels = tables[way + Way.in_channels]
    position = spike // in_channels
    channel = spike - position * in_channels
    if (
        tables[way + Way.channels_delayed] >= 0
        and not tables[tables[way + Way.channels_delayed] + channel]
    ):
        return cells
    value = np.float32(count) if tables[way + Way.graded] else np.float32(1.0)
    pointer = tables[way + Way.pooled] + position
    for span in range(tables[pointer], tables[pointer + 1], 3):
        cell = tables[span + 2] + channel
        if floats[tables[Header.pooled_values] + cell] == 0:
            ints[tables[Header.pooled] + cells] = cell
            cells += 1
        floats[tables[Header.pooled_values] + cell] = max(
            floats[tables[Header.pooled_values] + cell], value
        )
    return cells


@kernel
def scatter_pooled(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, cells: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Route the active cells of a max pool, and silence them."""
    for i in range(cells):
        cell = ints[tables[Header.pooled] + i]
        value = np.int64(floats[tables[Header.pooled_values] + cell])
        floats[tables[Header.pooled_values] + cell] = 0
        touched = scatter(tables, weights, ints, floats, number, way, cell, value, t, touched)
    return touched


@inner_kernel
def scatter(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, spike: int, count: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Add the weight rows of a spike to the membranes (or inputs) that it reaches.

    A spike that is not graded and came `count` times is `count` additions, of which the sum is
    found with one product: networks that run away fire 2^24 times in an instant.
    """
    population = offset(tables[Header.population] + number * POPULATION)
    if tables[population + Population.rows] >= 0:
        return list_row(tables, weights, ints, floats, number, way, spike, count, t, touched)
    in_channels, graded = tables[way + Way.in_channels], tables[way + Way.graded] > 0
    position = spike // in_channels
    channel = spike - position * in_channels
    flags = tables[way + Way.channels_delayed]
    if flags >= 0 and tables[way + Way.pooled] < 0 and not tables[flags + channel]:
        return touched
    channels, groups = (
        tables[population + Population.channels],
        tables[population + Population.groups],
    )
    group = (tables[way + Way.offset] + channel) // tables[way + Way.in_group] if groups > 1 else 0
    value = np.float32(count)
    pointer = tables[way + Way.reach] + position
    reached = 0
    for span in range(tables[pointer], tables[pointer + 1], 3):
        first, sites = tables[span] * groups + group, tables[span + 1]
        row = tables[span + 2] + channel * tables[way + Way.stride]
        for site in range(first, first + sites):
            touched = list_site(tables, ints, population, site, touched)
            add_row(tables, weights, ints, floats, number, population, site, row, value, t)
            row += channels
        reached += sites
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    times = 1 if graded else count
    ints[counters + INPUT_EVENTS] += times
    ints[counters + (MACS if graded and count > 1 else ACS)] += times * reached * channels
    return touched


@kernel
def return_spike(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, neuron: int, count: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring a neuron's own spike back to it."""
    population = offset(tables[Header.population] + number * POPULATION)
    channels, groups = (
        tables[population + Population.channels],
        tables[population + Population.groups],
    )
    site = neuron // channels
    touched = list_site(tables, ints, population, site, touched)
    weight = weights[tables[way + Way.to_itself] + neuron % (channels * groups)]
    floats[tables[Header.inputs] + tables[population + Population.neuron] + neuron] += (
        weight * np.float32(count)
    )
    graded = tables[way + Way.graded] > 0
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    times = 1 if graded else count
    ints[counters + INPUT_EVENTS] += times
    ints[counters + (MACS if graded and count > 1 else ACS)] += times
    return touched
