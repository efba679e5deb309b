"""The instants: events and what they cause, one after the other, each a sweep over the layers.

Called by `run.py`. `layout.py` says what stands where in `tables`, `weights`, `ints` and `floats`;
these four go through every function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int64s, bare_inner_kernel, bare_kernel
from ..operations import ACS, COUNTERS, INPUT_EVENTS, MACS
from .columns import NEVER, POPULATION, WAY, H, I, N, Q, W
from .schedule import crowded, enqueue, next_due, take_due
from .updates import add_row, list_site, passed, relax, update_sites

FULL = -1  # there is no room for another instant: the trace or a queue is full


@bare_kernel
def feed(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, events: NDArray[Any],
    first: int,
) -> int:  # fmt: skip
    """Run the events from number `first` on, and everything that is due before each.

    Returns how many are done when there is no more room, or all; or -1 - n, nothing done, where
    event n does not fit.
    """
    if first == 0:
        bad = first_bad(tables, ints, events)
        if bad >= 0:
            return -1 - bad
    start, width, polarities = ints[I.start], tables[H.width], tables[H.polarities]
    for number in range(first, len(events)):
        event = events[number]
        t = np.int64(event.t) - start
        if t < 0:
            ints[I.early] += 1
            continue
        if tables[H.waits] and advance_before(tables, weights, ints, floats, t + 1) == FULL:
            return number
        if no_room(tables, ints):
            return number
        cell = np.int64(event.y) * width + np.int64(event.x)
        if polarities == 2:
            cell = 2 * cell + np.int64(event.p)
        ints[I.now] = t
        ints[I.current_event] = ints[I.event]
        ints[I.input_cell], ints[I.input_count] = cell, 1
        instant(tables, weights, ints, floats, t, True)
        ints[I.event] += 1
    return len(events)


@bare_kernel
def first_bad(tables: Int64s, ints: Int64s, events: NDArray[Any]) -> int:
    """Return the first event that is outside of the input, or before the one before; -1 if none."""
    width, height, start = tables[H.width], tables[H.height], ints[I.start]
    before = start + ints[I.now] if ints[I.event] > 0 else np.int64(0)
    for number in range(len(events)):
        event = events[number]
        t = np.int64(event.t)
        if event.x >= width or event.y >= height or t < before or t - start >= NEVER:
            return number
        before = t
    return -1


@bare_inner_kernel
def no_room(tables: Int64s, ints: Int64s) -> bool:
    """Tell whether the trace or a queue could overflow in the next instant."""
    if ints[I.trace_rows] > 0 and 2 * ints[I.traced] > ints[I.trace_rows]:
        return True
    return tables[H.waits] > 0 and crowded(tables, ints)


@bare_kernel
def advance_before(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, stop: int
) -> int:
    """Run all instants before `stop` that are no event's; FULL if there was no room for one."""
    ints[I.current_event] = -1
    while True:
        t = next_due(tables, ints)
        if t >= stop:
            return 0
        if no_room(tables, ints):
            return FULL
        instant(tables, weights, ints, floats, t, False)


@bare_inner_kernel
def instant(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, t: int, event: bool
) -> None:
    """Sweep over the layers: with the event in `ints`, or with what is due at t."""
    ints[I.instant] += 1
    if event and tables[H.input_queue] >= 0:
        enqueue(ints, tables[H.input_queue], t, ints[I.input_cell], 1)
    if not event and tables[H.alone]:
        take_due(tables, ints, t)
    ready = 0
    for number in range(tables[H.populations]):
        population = tables[H.population] + number * POPULATION
        touched, length = 0, 0
        first = tables[population + N.way]
        for way in range(first, first + tables[population + N.ways] * WAY, WAY):
            source, begin, spikes = tables[way + W.source], 0, 0
            if tables[way + W.delay] > 0:
                if not event:
                    touched = arrive_late(tables, weights, ints, floats, number, way, t, touched)
            elif source >= 0:
                begin = tables[tables[H.population] + source * POPULATION + N.spikes]
                spikes = ints[tables[H.lengths] + source]
            elif event:
                begin, spikes = I.input_cell + 0, 1
            if spikes > 0:
                touched = arrive(
                    tables, weights, ints, floats, number, way, begin, spikes, t, touched
                )
        if not event and tables[population + N.alone]:
            end = tables[population + N.site] + tables[population + N.sites]
            while ready < ints[I.ready] and ints[tables[H.ready] + ready] < end:
                site = ints[tables[H.ready] + ready] - tables[population + N.site]
                touched = list_site(tables, ints, population, site, touched)
                if tables[population + N.plain]:
                    memo = passed(tables, weights, ints, floats, number, population, site, t)
                    if memo >= 0:
                        relax(tables, weights, ints, floats, number, population, site, memo)
                ready += 1
        if touched > 0:
            length = update_sites(tables, weights, ints, floats, number, population, t, touched)
        ints[tables[H.lengths] + number] = length


@bare_inner_kernel
def arrive(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, begin: int, spikes: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring a list of spikes to a layer; return how many of its sites have work now."""
    pooled = tables[way + W.pooled] >= 0
    cells = 0
    for entry in range(begin, begin + 2 * spikes, 2):
        if pooled:
            cells = pool(tables, ints, floats, way, ints[entry], ints[entry + 1], cells)
        else:
            touched = route(
                tables, weights, ints, floats, number, way, ints[entry], ints[entry + 1], t, touched
            )
    return route_pooled(tables, weights, ints, floats, number, way, cells, t, touched)


@bare_kernel
def arrive_late(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring the spikes that are due on a way with a delay; as `arrive`."""
    queue, delay = tables[way + W.queue], tables[way + W.delay]
    head = tables[H.heads] + (way - tables[H.way]) // WAY
    pooled, itself = tables[way + W.pooled] >= 0, tables[way + W.to_itself] >= 0
    cells = 0
    while ints[head] < ints[queue + Q.tail]:
        entry = ints[queue + Q.offset] + 3 * (ints[head] & ints[queue + Q.mask])
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
            touched = route(tables, weights, ints, floats, number, way, neuron, count, t, touched)
    return route_pooled(tables, weights, ints, floats, number, way, cells, t, touched)


@bare_kernel
def pool(
    tables: Int64s, ints: Int64s, floats: Float32s, way: int, spike: int, count: int, cells: int
) -> int:
    """Note a spike in the cells of a max pool; return how many cells are active."""
    in_channels = tables[way + W.in_channels]
    position = spike // in_channels
    channel = spike - position * in_channels
    if (
        tables[way + W.channels_delayed] >= 0
        and not tables[tables[way + W.channels_delayed] + channel]
    ):
        return cells
    value = np.float32(count) if tables[way + W.graded] else np.float32(1.0)
    pointer = tables[way + W.pooled] + position
    for span in range(tables[pointer], tables[pointer + 1], 3):
        cell = tables[span + 2] + channel
        if floats[tables[H.pooled_values] + cell] == 0:
            ints[tables[H.pooled] + cells] = cell
            cells += 1
        floats[tables[H.pooled_values] + cell] = max(floats[tables[H.pooled_values] + cell], value)
    return cells


@bare_kernel
def route_pooled(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, cells: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Route the active cells of a max pool, and silence them."""
    for i in range(cells):
        cell = ints[tables[H.pooled] + i]
        value = np.int64(floats[tables[H.pooled_values] + cell])
        floats[tables[H.pooled_values] + cell] = 0
        touched = route(tables, weights, ints, floats, number, way, cell, value, t, touched)
    return touched


@bare_inner_kernel
def route(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, spike: int, count: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Add the weight rows of a spike to the membranes (or inputs) that it reaches.

    A spike that is not graded and came `count` times is `count` additions, of which the sum is
    found with one product: networks that run away fire 2^24 times in an instant.
    """
    population = tables[H.population] + number * POPULATION
    in_channels, graded = tables[way + W.in_channels], tables[way + W.graded] > 0
    position = spike // in_channels
    channel = spike - position * in_channels
    flags = tables[way + W.channels_delayed]
    if flags >= 0 and tables[way + W.pooled] < 0 and not tables[flags + channel]:
        return touched
    channels, groups = tables[population + N.channels], tables[population + N.groups]
    group = (tables[way + W.offset] + channel) // tables[way + W.in_group] if groups > 1 else 0
    value = np.float32(count)
    pointer = tables[way + W.reach] + position
    reached = 0
    for span in range(tables[pointer], tables[pointer + 1], 3):
        first, sites = tables[span] * groups + group, tables[span + 1]
        row = tables[span + 2] + channel * tables[way + W.stride]
        for site in range(first, first + sites):
            touched = list_site(tables, ints, population, site, touched)
            add_row(tables, weights, ints, floats, number, population, site, row, value, t)
            row += channels
        reached += sites
    counters = tables[H.counters] + number * len(COUNTERS)
    times = 1 if graded else count
    ints[counters + INPUT_EVENTS] += times
    ints[counters + (MACS if graded else ACS)] += times * reached * channels
    return touched


@bare_kernel
def return_spike(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, way: int, neuron: int, count: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Bring a neuron's own spike back to it."""
    population = tables[H.population] + number * POPULATION
    channels, groups = tables[population + N.channels], tables[population + N.groups]
    site = neuron // channels
    touched = list_site(tables, ints, population, site, touched)
    weight = weights[tables[way + W.to_itself] + neuron % (channels * groups)]
    floats[tables[H.inputs] + tables[population + N.neuron] + neuron] += weight * np.float32(count)
    graded = tables[way + W.graded] > 0
    counters = tables[H.counters] + number * len(COUNTERS)
    times = 1 if graded else count
    ints[counters + INPUT_EVENTS] += times
    ints[counters + (MACS if graded else ACS)] += times
    return touched
