"""Spikes on their way to a layer: which sites each reaches, and with which weight rows.

For each connection `arrive` picks one of three ways with the same outcome: `route` lists rows site
by site for `accumulate` in `updates.py`; `route_to_one` does so for a fully connected layer; and
`scatter` adds short rows to the membranes at once. `collect` then lists the sites with work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int32s, kernel
from ..operations import ACS, INPUT_EVENTS, MACS
from ..program import C, P, Program
from .state import Recording, State
from .updates import fade, fade_of


@kernel
def arrive(
    program: Program,
    number: int,
    connection: int,
    state: State,
    recording: Recording,
    t: int,
    begin: int,
    end: int,
    counters: NDArray[np.int64],
) -> None:
    """Bring the spikes begin .. end - 1 of a connection's source to a layer, in timestep t."""
    way = program.connections[connection]
    source, values = recording.cells, recording.values
    if way[C.source] >= 0:
        source, values = state.spikes, state.spike_values
    if way[C.pooled] >= 0:
        end = pool(program, connection, state, source, values, begin, end)
        source, begin = state.pooled, 0
    population = program.populations[number]
    all_alike = way[C.pooled] < 0 and way[C.delayed] < 0 and population[P.graded] == 0
    if population[P.sites] == 1 and all_alike:
        route_to_one(program, number, connection, state, source, begin, end, counters)
    elif population[P.gathers]:
        route(program, number, connection, state, source, values, begin, end, counters)
    else:
        scatter(program, number, connection, state, source, values, begin, end, t, counters)


@kernel
def pool(
    program: Program,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
) -> int:
    """Merge the spikes source[begin:end] in the cells of a max pool; return how many are active.

    The maxima stand in `state.pooled_values` until `route` takes them out again.
    """
    way = program.connections[connection]
    in_channels, reach, graded = way[C.in_channels], way[C.pooled], way[C.graded]
    pointers, first_rows = program.pointers, program.first_rows
    pooled, maxima = state.pooled, state.pooled_values
    active = 0
    for i in range(begin, end):
        position = source[i] // in_channels
        channel = source[i] - position * in_channels
        value = values[i] if graded else np.float32(1.0)
        for entry in range(pointers[reach + position], pointers[reach + position + 1]):
            cell = first_rows[entry] + channel
            if maxima[cell] == 0:
                pooled[active] = cell
                active += 1
            maxima[cell] = max(maxima[cell], value)
    return active


@kernel
def route(
    program: Program,
    number: int,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    counters: NDArray[np.int64],
) -> None:
    """Put the weight row of each spike in source[begin:end] on the list of each site it reaches."""
    # Into locals: for all the compiler knows, a store below might change the record.
    way, population = program.connections[connection], program.populations[number]
    in_channels, in_group, offset, stride = (
        way[C.in_channels],
        way[C.in_group],
        way[C.offset],
        way[C.stride],
    )
    reach, delayed, pooled, in_values = (
        way[C.reach],
        way[C.delayed],
        way[C.pooled] >= 0,
        way[C.graded],
    )
    groups, graded, rows_per_site = (
        population[P.groups],
        population[P.graded],
        population[P.rows_per_site],
    )
    first_site, first_list, channels = population[P.site], population[P.row], population[P.channels]
    flags, fills, rows, row_values = state.flags, state.fills, state.rows, state.row_values
    pooled_values, delay_flags = state.pooled_values, program.delayed
    pointers, targets, span_sites, first_rows = (
        program.pointers, program.targets, program.span_sites, program.first_rows
    )  # fmt: skip
    arrived = 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = pooled_values[spike]
            pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not delay_flags[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group if groups > 1 else 0
        pointer = reach + position
        for span in range(pointers[pointer], pointers[pointer + 1]):
            row = first_rows[span] + channel * stride
            for k in range(span_sites[span]):
                site = (targets[span] + k) * groups + group
                index = first_site + site
                slot = first_list + site * rows_per_site + fills[index]
                rows[slot] = row + k * channels
                if graded:
                    row_values[slot] = value
                fills[index] += 1
                flags[index] = 1
    counters[number, INPUT_EVENTS] += arrived


@kernel
def route_to_one(
    program: Program,
    number: int,
    connection: int,
    state: State,
    source: Int32s,
    begin: int,
    end: int,
    counters: NDArray[np.int64],
) -> None:
    """`route` for the one site of a fully connected layer."""
    way, population = program.connections[connection], program.populations[number]
    in_channels, reach, stride = np.uint32(way[C.in_channels]), way[C.reach], way[C.stride]
    pointers, first_rows, rows = program.pointers, program.first_rows, state.rows
    site = population[P.site]
    slot = population[P.row] + state.fills[site]
    for i in range(begin, end):
        spike = np.uint32(source[i])
        position = spike // in_channels
        channel = np.int64(spike - position * in_channels)
        pointer = reach + np.int64(position)
        # None where a pool leaves a position out, several where its windows overlap.
        for span in range(pointers[pointer], pointers[pointer + 1]):
            rows[slot] = first_rows[span] + channel * stride
            slot += 1
    filled = slot - population[P.row]
    if filled > state.fills[site]:
        state.fills[site] = filled
        state.flags[site] = 1
    counters[number, INPUT_EVENTS] += end - begin


@kernel
def scatter(
    program: Program,
    number: int,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    t: int,
    counters: NDArray[np.int64],
) -> None:
    """Add the weight rows of each spike in source[begin:end] to the membranes that it reaches.

    `route` and `accumulate` in one, for short rows: the same additions in the same order.
    """
    way, population = program.connections[connection], program.populations[number]
    in_channels, in_group, offset, stride = (
        way[C.in_channels],
        way[C.in_group],
        way[C.offset],
        way[C.stride],
    )
    reach, delayed, pooled, in_values = (
        way[C.reach],
        way[C.delayed],
        way[C.pooled] >= 0,
        way[C.graded],
    )
    groups, graded, channels = population[P.groups], population[P.graded], population[P.channels]
    first_site, first_neuron = population[P.site], population[P.neuron]
    fades = fade_of(program, number)
    changes = len(fades.biases) > 0 or fades.leaks
    u, w, flags, last = state.membranes, program.weights, state.flags, state.last
    pooled_values, delay_flags = state.pooled_values, program.delayed
    pointers, targets, span_sites, first_rows = (
        program.pointers, program.targets, program.span_sites, program.first_rows
    )  # fmt: skip
    arrived, sites_reached = 0, 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = pooled_values[spike]
            pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not delay_flags[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group if groups > 1 else 0
        pointer = reach + position
        for span in range(pointers[pointer], pointers[pointer + 1]):
            sites = span_sites[span]
            first = targets[span] * groups + group
            for site in range(first, first + sites):
                index = first_site + site
                flags[index] = 1
                if changes and last[index] != t:
                    base = first_neuron + site * channels
                    fade(u, base, channels, fades, site, t - last[index])
                    last[index] = t
            row = np.uintp(first_rows[span] + channel * stride)
            neuron = np.uintp(first_neuron + first * channels)
            if graded:
                for c in range(np.uintp(sites * channels)):
                    u[neuron + c] += w[row + c] * value
            else:
                for c in range(np.uintp(sites * channels)):
                    u[neuron + c] += w[row + c]
            sites_reached += sites
    counters[number, INPUT_EVENTS] += arrived
    counters[number, MACS if graded else ACS] += sites_reached * channels


@kernel
def collect(program: Program, number: int, state: State) -> int:
    """List the flagged sites, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags.
    """
    population = program.populations[number]
    first_site, sites = population[P.site], population[P.sites]
    flags, words, listed = state.flags, state.words, state.touched
    if population[P.awake]:
        flags[first_site : first_site + sites] = 1
    state.pending[number] = 0
    touched = 0
    first_word = first_site // 8
    for word in range(first_word, first_word + (sites + 7) // 8):
        if words[word] != 0:
            for index in range(8 * word, 8 * word + 8):
                if flags[index] != 0:
                    listed[touched] = index - first_site
                    touched += 1
            words[word] = 0
    return touched
