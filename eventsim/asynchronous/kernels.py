"""The instants: events and what they cause, one after the other, each a sweep over the layers.

Last in the file: what is done before the first and after the last.

Called by `run.py`. `layout.py` says what stands where in `tables`, `weights`, `ints` and `floats`;
these four go through every function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int64s, inner_kernel, kernel, kernel_part, offset
from ..network.neurons import MAX_SPIKES
from ..operations import COUNTERS, OUTPUT_SPIKES, SITE_UPDATES, UPDATES
from .arrivals import arrive, arrive_late
from .dense import list_rows, update_dense
from .schedule import crowded, enqueue, next_due, take_due
from .tables import MEMO, NEVER, POPULATION, WAY, Header, Population, Scalar, Way
from .updates import (
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

    Then pass the hops that end later. These are left where there is no more room for them.

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
        if t >= ints[Scalar.hop_end]:
            waited = pass_hops(tables, weights, ints, floats, t)
            if waited < 0:
                return number if waited == FULL else waited
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
    waited = pass_hops(tables, weights, ints, floats, ints[Scalar.hops_until])
    return waited if waited < FULL else len(events)


@kernel_part
def pass_hops(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s, until: int
) -> int:  # fmt: skip
    """Note the output spikes before the end of each hop up to `until`; as `advance_before`."""
    counts, outputs = tables[Header.spike_counts], tables[Header.outputs]
    while ints[Scalar.hop_end] <= until:
        if ints[Scalar.hops] == tables[Header.hop_room]:
            return FULL
        waited = advance_before(tables, weights, ints, floats, ints[Scalar.hop_end])
        if waited < 0:
            return waited
        row = tables[Header.hop_counts] + ints[Scalar.hops] * outputs
        for output in range(outputs):
            ints[row + output] = ints[counts + output]
        ints[Scalar.hops] += 1
        ints[Scalar.hop_end] += ints[Scalar.hop]
    return 0


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
