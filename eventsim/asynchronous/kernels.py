"""The instants: events and what they cause, one after the other, each a sweep over the layers.

Last in the file: what is done before the first and after the last.

Called by `run.py`. `layout.py` says what stands where in `tables`, `weights`, `ints` and `floats`;
these four go through every function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int64s, inner_kernel, kernel, offset
from ..network.neurons import MAX_SPIKES
from ..operations import (
    ACS,
    COUNTERS,
    INPUT_EVENTS,
    MACS,
    OUTPUT_SPIKES,
    SITE_UPDATES,
    UPDATES,
)
from .dense import list_row, list_rows, update_dense
from .schedule import crowded, enqueue, next_due, take_due
from .tables import MEMO, NEVER, POPULATION, WAY, Header, Population, Queue, Scalar, Way
from .updates import (
    add_row,
    catch_up_plain_site,
    catch_up_site,
    factors_of,
    factors_since,
    list_site,
    schedule,
    update_sites,
)

FULL = -1  # there is no room for another instant: the trace or a queue is full
RUNAWAY = -(2**62)  # RUNAWAY - n: layer n spiked more often in an instant than anybody can count


@kernel
def feed(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, events: NDArray[Any],
    first: int,
) -> int:  # fmt: skip
    """Run the events from number `first` on, and everything that is due before each.

    Returns how many are done when there is no more room, or all; -1 - n, nothing done, where event
    n does not fit; or RUNAWAY - n.
    """
    if first == 0:
        bad = first_bad(tables, ints, events)
        if bad >= 0:
            return -1 - bad
    start, width, polarities = ints[Scalar.start], tables[Header.width], tables[Header.polarities]
    for number in range(first, len(events)):
        event = events[number]
        t = np.int64(event.t) - start
        if t < 0:
            ints[Scalar.early] += 1
            continue
        if tables[Header.waits]:
            waited = advance_before(tables, weights, ints, floats, t + 1)
            if waited < 0:
                return number if waited == FULL else waited
        if no_room(tables, ints):
            return number
        cell = np.int64(event.y) * width + np.int64(event.x)
        if polarities == 2:
            cell = 2 * cell + np.int64(event.p)
        ints[Scalar.now] = t
        ints[Scalar.current_event] = ints[Scalar.event]
        ints[Scalar.input_cell], ints[Scalar.input_count] = cell, 1
        wild = instant(tables, weights, ints, floats, t, True)
        ints[Scalar.event] += 1
        if wild >= 0:
            return RUNAWAY - wild
    return len(events)


@kernel
def first_bad(tables: Int64s, ints: Int64s, events: NDArray[Any]) -> int:
    """Return the first event that is outside of the input, or before the one before; -1 if none."""
    width, height, start = tables[Header.width], tables[Header.height], ints[Scalar.start]
    before = start + ints[Scalar.now] if ints[Scalar.event] > 0 else np.int64(0)
    for number in range(len(events)):
        event = events[number]
        t = np.int64(event.t)
        if event.x >= width or event.y >= height or t < before or t - start >= NEVER:
            return number
        before = t
    return -1


@inner_kernel
def no_room(tables: Int64s, ints: Int64s) -> bool:
    """Tell whether the trace or a queue could overflow in the next instant."""
    if ints[Scalar.trace_rows] > 0 and 2 * ints[Scalar.traced] > ints[Scalar.trace_rows]:
        return True
    return tables[Header.waits] > 0 and crowded(tables, ints)


@kernel
def advance_before(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, stop: int
) -> int:
    """Run all instants before `stop` that are no event's; return 0, FULL or RUNAWAY - n."""
    ints[Scalar.current_event] = -1
    while True:
        t = next_due(tables, ints)
        if t >= stop:
            return 0
        if no_room(tables, ints):
            return FULL
        wild = instant(tables, weights, ints, floats, t, False)
        if wild >= 0:
            return RUNAWAY - wild


@inner_kernel
def instant(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, t: int, event: bool
) -> int:
    """Sweep over the layers: with the event in `ints`, or with what is due at t.

    Returns the number of a layer that spiked `MAX_SPIKES` times or more, -1 if none did.
    """
    ints[Scalar.instant] += 1
    if event and tables[Header.input_queue] >= 0:
        enqueue(ints, tables[Header.input_queue], t, ints[Scalar.input_cell], 1)
    if not event and tables[Header.alone]:
        take_due(tables, ints, t)
    ready, wild = 0, -1
    for number in range(tables[Header.populations]):
        population = offset(tables[Header.population] + number * POPULATION)
        touched, length, dense = 0, 0, tables[population + Population.rows] >= 0
        first = tables[population + Population.way]
        for which in range(tables[population + Population.ways]):
            way = offset(first + which * WAY)
            source, begin, spikes = tables[way + Way.source], 0, 0
            if tables[way + Way.delay] > 0:
                if not event:
                    touched = arrive_late(tables, weights, ints, floats, number, way, t, touched)
            elif source >= 0:
                feeder = offset(tables[Header.population] + source * POPULATION)
                begin = tables[feeder + Population.spikes]
                length_of: int = offset(tables[Header.lengths] + source)
                spikes = ints[length_of]
            elif event:
                begin, spikes = Scalar.input_cell + 0, 1
            if spikes > 0:
                if dense and tables[way + Way.pooled] < 0:
                    touched = list_rows(
                        tables, weights, ints, floats, number, way, begin, spikes, t, touched
                    )
                else:
                    touched = arrive(
                        tables, weights, ints, floats, number, way, begin, spikes, t, touched
                    )
        if not event and tables[population + Population.alone]:
            end = tables[population + Population.site] + tables[population + Population.sites]
            while ready < ints[Scalar.ready] and ints[tables[Header.ready] + ready] < end:
                site = ints[tables[Header.ready] + ready] - tables[population + Population.site]
                touched = list_site(tables, ints, population, site, touched)
                if tables[population + Population.plain] and not dense:
                    memo = factors_since(tables, weights, ints, floats, number, population, site, t)
                    if memo >= 0:
                        catch_up_plain_site(
                            tables, weights, ints, floats, number, population, site, memo
                        )
                ready += 1
        if touched > 0:
            spikes = tables[Header.counters] + number * len(COUNTERS) + OUTPUT_SPIKES
            before = ints[spikes]
            if dense:
                length = update_dense(tables, weights, ints, floats, number, population, t)
            else:
                length = update_sites(tables, weights, ints, floats, number, population, t, touched)
            if ints[spikes] - before >= MAX_SPIKES:
                wild = number
        ints[offset(tables[Header.lengths] + number)] = length
    return wild


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


@kernel
def remember(tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s) -> None:
    """Find the powers and gains of all short times, for the state that runs start from.

    Found one by one, they were 5 % of the time of some thousand events.
    """
    for number in range(tables[Header.populations]):
        population = offset(tables[Header.population] + number * POPULATION)
        if tables[population + Population.plain]:
            for elapsed in range(1, MEMO):
                factors_of(tables, weights, ints, floats, number, population, elapsed)


@kernel
def begin(tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s) -> None:
    """Note which sites fire if no event ever comes."""
    for number in range(tables[Header.populations]):
        population = offset(tables[Header.population] + number * POPULATION)
        if tables[population + Population.alone]:
            for site in range(tables[population + Population.sites]):
                schedule(tables, weights, ints, floats, population, site, 0)


@kernel
def finish(tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, stop: int) -> None:
    """Bring the membranes of the last layer up to `stop`, for a readout that asks for them."""
    number = tables[Header.populations] - 1
    population = offset(tables[Header.population] + number * POPULATION)
    sites = tables[population + Population.sites]
    for site in range(sites):
        if tables[population + Population.plain]:
            memo = factors_since(tables, weights, ints, floats, number, population, site, stop)
            if memo >= 0:
                catch_up_plain_site(tables, weights, ints, floats, number, population, site, memo)
        else:
            catch_up_site(tables, weights, ints, floats, number, population, site, stop)
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    neurons = sites * tables[population + Population.channels]
    ints[counters + SITE_UPDATES] += sites
    ints[counters + UPDATES] += neurons * tables[population + Population.variables]
