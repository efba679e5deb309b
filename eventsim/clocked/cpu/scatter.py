"""Layers timestep by timestep: every spike adds its rows where it reaches.

scatter     a spike adds its weight rows to the membranes of its sites, brought up to date before,
            or to the inputs of neurons that are not plain
collect     the sites with work
fire        these compare, reset, and emit the spikes for the layers behind; `updates.update` does
            it for neurons that are not plain

For narrow layers, for those that few spikes reach, and where rows do not follow each other (groups,
channels that no vector divides): what is looked at depends on the spikes, not on the map. Nothing
looks at a site that no spike reached, except in layers that may fire without input (their bias
carries a neuron over threshold) and in the last one where membranes are read out; and sites stay
on the list while a neuron of theirs may still fire.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...jit import Flags, Float32s, Int32s, Int64s, Weights, inner_kernel, kernel_glue, kernel_part
from ...network.neurons.lif import catch_up_plain, fires
from ...operations import ACS, COMPARES, INPUT_EVENTS, MACS, OUTPUT_SPIKES, RESETS
from ...rows import weight_at
from ...scattered_rows import (
    scatter_graded_rows_8,
    scatter_graded_rows_16,
    scatter_rows_8,
    scatter_rows_16,
)
from ...vectors import LANES, LINE, fire_8, fire_16, take_flags
from ...wiring.program import Connection, Level, Patch, Population, Program
from .emission import emit
from .state import Outcome, State
from .updates import catch_up_site, count_updates, is_busy, read_out, update


@kernel_part
def run_scattered(
    touched: Int32s | None, program: Program, number: int, state: State, first: int, stop: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Run one layer through the timesteps first .. stop - 1, as `layer.run_layer` does."""
    if touched is None:
        return
    population, ways = program.populations[number], program.connections
    counters, starts = outcome.counters[number], state.starts
    channels, plain = population[Population.channels], population[Population.plain] > 0
    changes = plain and population[Population.changes] > 0
    first_way = population[Population.connection]
    end_of_ways = first_way + population[Population.connections]
    slot = population[Population.start] + population[Population.remembered] - first
    reads = number == len(program.populations) - 1
    pending = state.pending[number] > 0
    for t in range(first, stop):
        emitted = starts[slot + t]
        busy = pending or population[Population.awake] > 0
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.arriving] + t - first
            busy |= starts[at + 1] > starts[at]
        if busy:
            sites = np.int64(0)
            if changes:
                sites = catch_up_reached(program, population, state, t, t - first)
            for way in range(first_way, end_of_ways):
                at = ways[way, Connection.arriving] + t - first
                begin, end = starts[at], starts[at + 1]
                rows, multiplied = scatter(
                    state.inputs, program, population, way, state, begin, end, changes
                )
                counters[INPUT_EVENTS] += end - begin
                counters[ACS] += (rows - multiplied) * channels
                counters[MACS] += multiplied * channels
            if not changes:
                sites = collect(population, state)
            count_updates(population, sites, counters)
            if plain:
                emitted, pending = fire(
                    program, number, population, state, sites, emitted, counters
                )
            else:
                emitted, pending = update_touched(
                    state.inputs, program, population, state, sites, t, emitted, counters
                )  # fmt: skip
        starts[slot + t + 1] = emitted
        if busy and reads:
            read_out(program, population, state, slot, t, t + 1, outcome)
    state.pending[number] = pending


@kernel_glue
def catch_up_reached(
    program: Program, population: Int64s, state: State, t: int, of_stretch: int
) -> np.int64:
    """Bring the sites that have work to timestep t, before anything is added; return how many.

    All that have are listed before, in a pass of its own: to ask of each that a spike reaches
    whether it is there already took longer. Where time changes nothing, `scatter` flags them as it
    adds: in a pass of its own, two layers took a third longer.
    """
    first_way, ways = population[Population.connection], program.connections
    for way in range(first_way, first_way + population[Population.connections]):
        at = ways[way, Connection.arriving] + of_stretch
        mark(program, population, way, state, state.starts[at], state.starts[at + 1])
    sites = collect(population, state)
    for i in range(sites):
        catch_up_site(program, population, state, np.int64(state.touched[i]), t)
    return sites


@kernel_glue
def mark(
    program: Program, population: Int64s, way: int, state: State, begin: int, end: int
) -> None:
    """Flag the sites that the spikes begin .. end - 1 reach."""
    connection, patches = program.connections[way], program.patches
    flags, pointers = state.flags[population[Population.site] :], program.patch_pointers
    entries = np.uintp(connection[Connection.patches])
    channels, offset, in_group, twice = sharing(connection, population)
    i, stop = np.uintp(begin), np.uintp(end)
    while i < stop:
        position, group, beyond = together(state.spikes[i], channels, offset, in_group, twice)
        entry = entries + position
        for patch in range(np.uintp(pointers[entry]), np.uintp(pointers[entry + np.uintp(1)])):
            flag(flags, patches, patch, group)
        while i < stop and state.spikes[i] < beyond:
            i += np.uintp(1)


@inner_kernel
def flag(flags: Flags, patches: NDArray[np.int32], patch: np.uintp, group: np.uintp) -> None:
    """Flag the sites of a patch: three by three, for the compiler makes a call of a loop."""
    one, first = np.uintp(1), np.uintp(patches[patch, np.uintp(Patch.site)]) + group
    for _ in range(np.uintp(patches[patch, np.uintp(Patch.pieces)])):
        site, last = first, first + np.uintp(patches[patch, np.uintp(Patch.sites)]) - one
        flags[site] = 1
        while site < last:
            flags[site + one] = 1
            site = min(site + one + one, last)
            flags[site] = 1
        first += np.uintp(patches[patch, np.uintp(Patch.site_pitch)])


@inner_kernel
def scatter(
    x: Float32s | None, program: Program, population: Int64s, way: int, state: State, begin: int,
    end: int, marked: bool,
) -> tuple[np.int64, np.int64]:  # fmt: skip
    """Add the weight rows of the spikes begin .. end - 1 to all that they reach; flag that too,
    unless it is `marked` already.

    The spikes of a position together, which reach the same sites: 27,615 spikes of 8,810 positions,
    to 16 channels, 3x3, took 0.73 ms one by one, and 0.25 so. Returns how many rows, and how many
    of them are multiplied.
    """
    connection, spikes, values = program.connections[way], state.spikes, state.spike_values
    pointers, patches = program.patch_pointers, program.patches
    flags = state.flags[population[Population.site] :]
    u = state.membranes[population[Population.neuron] :]
    if x is not None and not population[Population.plain]:
        u = x
    entries = np.uintp(connection[Connection.patches])
    stride = np.uintp(connection[Connection.stride])
    stored, graded = np.uintp(population[Population.stored]), connection[Connection.graded] > 0
    channels, offset, in_group, twice = sharing(connection, population)
    one, i, stop = np.uintp(1), np.uintp(begin), np.uintp(end)
    reached, multiplied = np.uintp(0), np.uintp(0)
    while i < stop:
        first, fan_out, i = i, np.uintp(0), i + one
        position, group, beyond = together(spikes[first], channels, offset, in_group, twice)
        entry, origin = entries + position, position * np.uintp(channels) * stride
        for patch in range(np.uintp(pointers[entry]), np.uintp(pointers[entry + one])):
            i = add_spikes(
                u, program.weights, patches, patch, group, stored, origin, stride, spikes, values,
                first, stop, beyond, graded,
            )  # fmt: skip
            fan_out += np.uintp(
                patches[patch, np.uintp(Patch.sites)] * patches[patch, np.uintp(Patch.pieces)]
            )
            if not marked:
                flag(flags, patches, patch, group)
        reached += fan_out * (i - first)
        if graded:
            for k in range(first, i):
                multiplied += fan_out * np.uintp(values[k] != np.float32(1.0))
    return np.int64(reached), np.int64(multiplied)


@inner_kernel
def sharing(connection: Int64s, population: Int64s) -> tuple[np.uint32, np.int64, np.int64, bool]:
    """Return what `together` asks of a connection: channels, where a group's begin, how many."""
    return (
        np.uint32(connection[Connection.in_channels]), connection[Connection.offset],
        connection[Connection.in_group] * (population[Population.groups] > 1),
        connection[Connection.twice] > 0,
    )  # fmt: skip


@inner_kernel
def together(
    spike: int, in_channels: np.uint32, offset: int, in_group: int, twice: bool
) -> tuple[np.uintp, np.uintp, np.int32]:
    """Return position and group of a spike, and which spike is the first after it with others.

    Where a position may reach a site twice, a spike is by itself: its rows are added in turn.
    """
    position, group = np.uint32(spike) // in_channels, np.int64(0)
    origin = np.int64(position) * np.int64(in_channels)
    beyond = origin + np.int64(in_channels)
    if in_group > 0:
        group = (offset + np.int64(spike) - origin) // in_group
        beyond = min(beyond, origin + (group + 1) * in_group - offset)
    if twice:
        beyond = np.int64(spike) + 1
    return np.uintp(position), np.uintp(group), np.int32(beyond)


@inner_kernel
def add_spikes(
    u: Float32s, weights: Weights, patches: NDArray[np.int32], patch: np.uintp, group: np.uintp,
    stored: np.uintp, origin: np.uintp, stride: np.uintp, spikes: Int32s, values: Float32s,
    first: np.uintp, stop: np.uintp, beyond: np.int32, graded: bool,
) -> np.uintp:  # fmt: skip
    """Add the rows of the spikes from `first` on that are below `beyond`; return where they end."""
    at = (np.uintp(patches[patch, np.uintp(Patch.site)]) + group) * stored
    n = np.uintp(patches[patch, np.uintp(Patch.sites)]) * stored
    pieces = np.uintp(patches[patch, np.uintp(Patch.pieces)])
    pitch = np.uintp(patches[patch, np.uintp(Patch.site_pitch)]) * stored
    b = np.uintp(patches[patch, np.uintp(Patch.row)]) - origin
    r = np.uintp(patches[patch, np.uintp(Patch.row_pitch)])
    w, s, v, k, y = weights, spikes, values, first, beyond
    if stored & np.uintp(2 * LANES - 1) == 0:
        if graded:
            end = scatter_graded_rows_16(u, at, n, pieces, pitch, w, b, r, stride, s, v, k, stop, y)
        else:
            end = scatter_rows_16(u, at, n, pieces, pitch, w, b, r, stride, s, v, k, stop, y)
    elif stored & np.uintp(LANES - 1) == 0:
        if graded:
            end = scatter_graded_rows_8(u, at, n, pieces, pitch, w, b, r, stride, s, v, k, stop, y)
        else:
            end = scatter_rows_8(u, at, n, pieces, pitch, w, b, r, stride, s, v, k, stop, y)
    else:
        end = k + np.uintp(1)
        while end < stop and s[end] < beyond:
            end += np.uintp(1)
        for lane in range(n):
            for i in range(k, end):
                weight = weight_at(w, b + lane + np.uintp(s[i]) * stride)
                u[at + lane] += weight * v[i] if graded else weight
    return end


@kernel_glue
def collect(population: Int64s, state: State) -> np.int64:
    """List the flagged sites, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags.
    """
    sites, found, word = np.uintp(population[Population.sites]), np.uintp(0), np.uintp(64)
    flags = state.flags[population[Population.site] :]
    for site in range(np.uintp(0), sites, word):
        count = min(word, sites - site)
        flagged = take_flags(flags, site, count)
        if population[Population.awake]:
            flagged = ~np.uint64(0) >> np.uint64(word - count)
        found = emit(state.touched, found, site, flagged)
    return np.int64(found)


@kernel_glue
def fire(
    program: Program, number: int, population: Int64s, state: State, sites: int, emitted: int,
    counters: Int64s,
) -> tuple[np.int64, bool]:  # fmt: skip
    """Compare and reset the touched sites; append their spikes to spikes[:emitted], ascending.

    Returns the new end of the list, and whether a neuron may fire again without input.
    """
    levels, u = program.levels[number], state.membranes[population[Population.neuron] :]
    limit, level = levels[Level.limit], levels[Level.reset_value]
    subtracts = population[Population.subtract] > 0
    if subtracts:
        level = levels[Level.threshold]
    channels = np.uintp(population[Population.channels])
    first, end = np.uintp(emitted), np.uintp(emitted)
    for i in range(np.uintp(sites)):
        at = np.uintp(state.touched[i]) * channels
        end = fire_some(u, at, at + channels, limit, subtracts, level, state, False, end)
    pending = subtracts and fires_again(program, population, levels, state, u, first, end)
    counters[COMPARES] += sites * population[Population.channels]
    counters[RESETS] += np.int64(end - first)
    counters[OUTPUT_SPIKES] += np.int64(end - first)
    return np.int64(end), pending


@inner_kernel
def fire_some(
    u: Float32s, neuron: np.uintp, stop: np.uintp, limit: np.float32, subtracts: bool,
    level: np.float32, state: State, many: bool, end: np.uintp,
) -> np.uintp:  # fmt: skip
    """Compare the neurons neuron .. stop - 1, reset and list them; `many`: and what they were."""
    spikes, lanes = state.spikes, np.uintp(LINE)
    if (stop - neuron) % lanes > 0 and not many:
        lanes = np.uintp(LANES)  # the same as were stored a moment ago: see `scattered_rows.py`
    while neuron < stop:
        used = ~np.uint64(0) >> np.uint64(np.uintp(64) - min(lanes, stop - neuron))
        if many:
            values = state.spike_values
            end += fire_16(u, neuron, used, limit, subtracts, level, spikes, values, end)
        elif lanes == np.uintp(LINE):
            end += fire_16(u, neuron, used, limit, subtracts, level, spikes, None, end)
        else:
            end += fire_8(u, neuron, used, limit, subtracts, level, spikes, None, end)
        neuron += lanes
    return end


@kernel_glue
def fires_again(
    program: Program, population: Int64s, levels: Float32s, state: State, u: Float32s,
    first: np.uintp, end: np.uintp,
) -> bool:  # fmt: skip
    """Flag the sites of neurons that spiked and may again without input; tell if there are any."""
    flags = state.flags[population[Population.site] :]
    biases = program.biases[population[Population.biases] :]
    channels = np.uintp(population[Population.channels])
    groups = np.uintp(population[Population.groups])
    power, bias, pending = program.powers[population[Population.powers] + 1], np.float32(0), False
    for k in range(first, end):
        neuron = np.uintp(state.spikes[k])
        site, c = neuron // channels, neuron % channels
        if population[Population.bias] >= 0:
            bias = biases[site % groups * channels + c]
        moved = catch_up_plain(u[neuron], power, bias, np.float32(1.0))
        if fires(moved, levels[Level.limit]):
            flags[site] = 1
            pending = True
    return pending


@inner_kernel
def update_touched(
    x: Float32s | None, program: Program, population: Int64s, state: State, sites: int, t: int,
    emitted: int, counters: Int64s,
) -> tuple[np.int64, bool]:  # fmt: skip
    """Do as `fire` for neurons that are not plain, whose inputs are in x."""
    if x is None:
        return np.int64(emitted), False
    last = state.last[population[Population.site] :]
    flags = state.flags[population[Population.site] :]
    channels, groups = population[Population.channels], population[Population.groups]
    pending = False
    first, end = np.uintp(emitted), np.uintp(emitted)
    none, many = np.float32(0), population[Population.many] > 0
    size, changes = population[Population.together], population[Population.changes]
    i = 0
    while i < sites:
        site = np.int64(state.touched[i])
        silent, neuron = (t - 1 - last[site]) * changes, site * channels
        # Neighbours that are due from the same timestep on are updated together.
        beyond, k = site - site % size + size, site
        while (
            k < beyond
            and i < sites
            and state.touched[i] == k
            and (t - 1 - last[k]) * changes == silent
        ):
            last[k], i, k = t, i + 1, k + 1
        if update(
            program, population, state, neuron, site % max(size, groups) * channels,
            (k - site) * channels, neuron, t, silent, counters,
        ):  # fmt: skip
            for other in range(site, k):
                if k == site + 1 or is_busy(program, population, state, other):
                    flags[other], pending = 1, True
        at, stop = np.uintp(neuron), np.uintp(k * channels)
        end = fire_some(x, at, stop, none, False, none, state, many, end)
    several = np.int64(end - first)
    counters[RESETS] += several
    if many:
        several = np.int64(0)
        for spike in range(first, end):
            several += np.int64(state.spike_values[spike])
    counters[OUTPUT_SPIKES] += several
    return np.int64(end), pending
