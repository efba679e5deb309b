"""Layers of plain neurons, position by position through time.

A layer whose inputs do not depend on its own outputs runs through a chunk of timesteps at once:

    for some sites at a time:
        note the visits of each: timesteps in which spikes reach it, and the rows that they bring
        for group of blocks of channels:        their weights stay in the second-level cache
            for site:
                for visit:
                    catch up, add the rows, compare, reset; the spikes as a word of bits
    words of bits -> spikes of each timestep, ascending

`visits.py` notes them; `wiring/runs.py` says what brings rows. A group is one block where nothing
that a block does concerns another. Where a neuron may fire again without input, its site is visited
in the next timestep: then a group has all blocks of a site. A layer with recurrence has chunks of
one timestep.

Spikes are added in their order, as by every other way: the same membranes, bit for bit.
"""

from __future__ import annotations

import numpy as np

from ...jit import Flags, Float32s, Int32s, Int64s, Weights, Words, inner_kernel, kernel
from ...network.neurons.lif import catch_up_plain, factors_of, fires
from ...operations import ACS, COMPARES, INPUT_EVENTS, OUTPUT_SPIKES, RESETS
from ...vectors import gather_8, gather_16, gather_32, gather_64, lowest_bit
from ...wiring.program import Connection, Level, Population, Program
from .state import Outcome, State
from .updates import count_updates, emit, read_out
from .visits import note_positions, note_timesteps, note_visits


@kernel
def run_gathered(
    program: Program, number: int, state: State, first: int, stop: int, outcome: Outcome
) -> None:
    """Run one layer through the timesteps first .. stop - 1, as `layer.run_layer` does."""
    population, starts = program.populations[number], state.starts
    counters, chunk = outcome.counters[number], population[Population.chunk]
    slot = population[Population.start] + population[Population.remembered] - first
    words = (population[Population.sites] + 63) >> 6
    reads = number == len(program.populations) - 1
    for begin in range(first, stop, chunk):
        end = min(begin + chunk, stop)
        state.fired[: words * (end - begin)] = 0
        pending = run_chunk(program, number, state, begin - first, begin, end, counters)
        state.pending[number] = pending
        emit_noted(
            population, end - begin, state.masks, state.fired, state.spikes, starts[slot + begin :]
        )
        spiked = starts[slot + end] - starts[slot + begin]
        counters[RESETS] += spiked
        counters[OUTPUT_SPIKES] += spiked
        # Without spikes there is something to read only where membranes are read.
        if reads and (spiked > 0 or population[Population.awake]):
            for t in range(begin, end):
                read_out(
                    population, program.readout, program.rests, t,
                    state.membranes[population[Population.neuron] :], state.spikes,
                    state.spike_values, starts[slot + t], starts[slot + t + 1],
                    outcome.spike_counts, outcome.first_spikes, outcome.membranes,
                )  # fmt: skip


@kernel
def run_chunk(
    program: Program, number: int, state: State, before: int, begin: int, end: int, counters: Int64s
) -> bool:
    """Run every site through a chunk, which begins `before` timesteps after the stretch.

    Returns whether a neuron may fire again without input.
    """
    population, ways, steps = program.populations[number], program.connections, end - begin
    sites, first_way = population[Population.sites], population[Population.connection]
    end_of_ways = first_way + population[Population.connections]
    for way in range(first_way, end_of_ways):
        at = ways[way, Connection.start] + before - ways[way, Connection.delay]
        counters[INPUT_EVENTS] += state.starts[at + steps] - state.starts[at]
        if sites > 1:
            index = ways[way, Connection.index]
            note_positions(
                ways[way], state.spikes, state.starts[at:], steps, state.begins[index * steps :],
                state.position_words[index:],
            )  # fmt: skip
    pending, first = False, 0
    while first < sites:
        if sites > 1:
            stop, rows = note_visits(
                first_way, end_of_ways, ways, program.run_pointers, program.runs, first, sites,
                before, steps, state.starts, state.begins, state.position_words, state.spikes,
                state.visits, state.visit_pointers, state.row_pointers, state.visit_rows,
            )  # fmt: skip
        else:
            stop = 1
            rows = note_timesteps(
                first_way, end_of_ways, ways, program.run_pointers, program.runs, before, steps,
                state.starts, state.spikes, state.visits, state.visit_pointers,
                state.row_pointers, state.visit_rows,
            )  # fmt: skip
        counters[ACS] += rows * population[Population.channels]
        touched, again = visit(program, number, state, first, stop, begin, end)
        counters[COMPARES] += touched * population[Population.channels]
        count_updates(population, touched, counters)
        pending |= again
        first = stop
    return pending


@kernel
def visit(
    program: Program, number: int, state: State, first: int, stop: int, begin: int, end: int
) -> tuple[int, bool]:
    """Update the sites first .. stop - 1 in the timesteps that are noted, and where more is due.

    Returns how many updates there were, and whether a neuron may fire again without input.
    """
    population, levels = program.populations[number], program.levels[number]
    u = state.membranes[population[Population.neuron] :]
    last = state.last[population[Population.site] :]
    flags = state.flags[population[Population.site] :]
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    biases = program.biases[:0]
    if population[Population.bias] >= 0:
        biases = program.biases[population[Population.bias] :][: population[Population.channels]]
    if population[Population.subtract] or population[Population.awake]:
        return visit_in_step(
            population, levels, first, stop, begin, end, u, last, flags, powers, gains, biases,
            program.blocks, state.masks, state.fired, state.visits, state.visit_pointers,
            state.row_pointers, state.visit_rows,
        )  # fmt: skip
    blocks = population[Population.stored] // population[Population.width]
    for block in range(blocks):
        visit_block(
            population, levels, block, block == blocks - 1, first, stop, begin, u, last, powers,
            gains, biases, program.blocks, state.masks, state.fired, state.visits,
            state.visit_pointers, state.row_pointers, state.visit_rows,
        )  # fmt: skip
    return state.visit_pointers[stop - first], False


@kernel
def visit_block(
    population: Int64s,
    levels: Float32s,
    block: int,
    is_last: bool,
    first: int,
    stop: int,
    begin: int,
    u: Float32s,
    last: Int32s,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
    weights: Weights,
    masks: Words,
    fired: Words,
    visits: Int32s,
    visit_pointers: Int32s,
    row_pointers: Int32s,
    rows: Int32s,
) -> None:
    """Update one block of channels of every site, whose weights stay in the nearer caches."""
    sites, channels = population[Population.sites], population[Population.channels]
    width, level = population[Population.width], levels[Level.reset_value]
    blocks, channel = population[Population.stored] // width, block * width
    base = population[Population.blocks] + block * population[Population.block]
    changes = population[Population.leaks] > 0 or len(biases) > 0
    limit, one, power = levels[Level.limit], np.uintp(1), np.float32(1.0)
    for site in range(np.uintp(first), np.uintp(stop)):
        updated, noted = last[site], site - np.uintp(first)
        at = np.int64(site) * channels + channel
        for k in range(np.uintp(visit_pointers[noted]), np.uintp(visit_pointers[noted + one])):
            t = visits[k]
            if changes:
                power, gain = factors_of(begin + t - updated, powers, gains)
                updated = begin + t
                if len(biases) > 0:
                    catch_up_block(u, at, channel, width, power, gain, biases)
                    power = np.float32(1.0)
            crossed = add_rows(
                u, at, power, weights, base, rows, row_pointers[k], row_pointers[k + one], limit,
                False, level, width,
            )  # fmt: skip
            if crossed != 0:
                note_spikes(
                    t, np.int64(site), block, crossed, np.int64(sites), blocks, masks, fired
                )
        if is_last:
            last[site] = updated


@kernel
def visit_in_step(
    population: Int64s,
    levels: Float32s,
    first: int,
    stop: int,
    begin: int,
    end: int,
    u: Float32s,
    last: Int32s,
    flags: Flags,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
    weights: Weights,
    masks: Words,
    fired: Words,
    visits: Int32s,
    visit_pointers: Int32s,
    row_pointers: Int32s,
    rows: Int32s,
) -> tuple[int, bool]:
    """Update all blocks of a site in each timestep: neurons may fire again without input."""
    sites, channels = population[Population.sites], population[Population.channels]
    width, awake = population[Population.width], population[Population.awake] > 0
    blocks, subtract = population[Population.stored] // width, population[Population.subtract] > 0
    changes = population[Population.leaks] > 0 or len(biases) > 0
    touched, pending, limit = 0, False, levels[Level.limit]
    level = levels[Level.threshold] if subtract else levels[Level.reset_value]
    for site in range(first, stop):
        updated, again, t = last[site], flags[site] > 0 or awake, begin - 1
        k, beyond = visit_pointers[site - first], visit_pointers[site - first + 1]
        while again or k < beyond:
            t = t + 1 if again else begin + visits[k]
            if t == end:
                break
            row = end_of_rows = 0
            if k < beyond and begin + visits[k] == t:
                row, end_of_rows = row_pointers[k], row_pointers[k + 1]
                k += 1
            power, gain = np.float32(1.0), np.float32(0.0)
            if changes:
                power, gain = factors_of(t - updated, powers, gains)
            updated, again = t, awake
            touched += 1
            for block in range(blocks):
                at, factor = site * channels + block * width, power
                if len(biases) > 0:
                    catch_up_block(u, at, block * width, width, power, gain, biases)
                    factor = np.float32(1.0)
                base = population[Population.blocks] + block * population[Population.block]
                crossed = add_rows(
                    u, at, factor, weights, base, rows, row, end_of_rows, limit, subtract, level,
                    width,
                )  # fmt: skip
                if crossed != 0:
                    note_spikes(t - begin, site, block, crossed, sites, blocks, masks, fired)
                    again |= fires_again(u, at, block * width, crossed, limit, powers, biases)
        last[site], flags[site] = updated, again and not awake
        pending |= again and not awake
    return touched, pending


@inner_kernel
def note_spikes(
    t: int, site: int, block: int, crossed: np.uint64, sites: int, blocks: int, masks: Words,
    fired: Words,
) -> None:  # fmt: skip
    """Note the spikes of a block as bits, and in `fired` that the site has some.

    Only the words of a site that has are ever read, so nothing else needs to be 0.
    """
    word = np.uintp(t * ((sites + 63) >> 6) + (site >> 6))
    bit = np.uint64(1) << np.uint64(site & 63)
    first = np.uintp((t * sites + site) * blocks)
    if fired[word] & bit == 0:
        fired[word] |= bit
        masks[first : first + np.uintp(blocks)] = 0
    masks[first + np.uintp(block)] = crossed


@inner_kernel
def catch_up_block(
    u: Float32s,
    first: int,
    channel: int,
    width: int,
    power: np.float32,
    gain: np.float32,
    biases: Float32s,
) -> None:
    """Let a block of a layer with biases catch up.

    Not a part of `add_rows`: there it took the layer without biases a tenth longer (2312-512-10).
    """
    at, c = np.uintp(first), np.uintp(channel)
    for k in range(np.uintp(min(width, len(biases) - channel))):
        u[at + k] = catch_up_plain(u[at + k], power, biases[c + k], gain)


@inner_kernel
def add_rows(
    u: Float32s,
    first: int,
    power: np.float32,
    weights: Weights,
    base: int,
    rows: Int32s,
    row: int,
    end_of_rows: int,
    limit: np.float32,
    subtract: bool,
    level: np.float32,
    width: int,
) -> np.uint64:
    """Add rows to a block, compare and reset it; return bits that say which neurons spiked."""
    at, b, k, n = np.uintp(first), np.uintp(base), np.uintp(row), np.uintp(end_of_rows)
    if width == 64:
        return gather_64(u, at, power, weights, b, rows, k, n, limit, subtract, level)
    if width == 32:
        return gather_32(u, at, power, weights, b, rows, k, n, limit, subtract, level)
    if width == 16:
        return gather_16(u, at, power, weights, b, rows, k, n, limit, subtract, level)
    return gather_8(u, at, power, weights, b, rows, k, n, limit, subtract, level)


@inner_kernel
def fires_again(
    u: Float32s,
    first: int,
    channel: int,
    crossed: np.uint64,
    limit: np.float32,
    powers: Float32s,
    biases: Float32s,
) -> bool:
    """Tell whether a neuron of a block, of those that spiked, may fire again without input."""
    again, bias = False, np.float32(0.0)
    while crossed != 0:
        k = np.int64(lowest_bit(crossed))
        crossed &= crossed - np.uint64(1)
        if len(biases) > 0:
            bias = biases[channel + k]
        moved = catch_up_plain(u[np.uintp(first + k)], powers[1], bias, np.float32(1.0))
        again |= fires(moved, limit)
    return again


@kernel
def emit_noted(
    population: Int64s, steps: int, masks: Words, fired: Words, spikes: Int32s, starts: Int64s
) -> None:
    """Append the neurons that spiked in the timesteps of a chunk, ascending in each.

    Those of timestep t begin at starts[t]; starts[0] is given. Bits, and not lists of the sites or
    neurons that fired: blocks come one after the other, so that a list would have to be sorted.
    """
    width, channels = population[Population.width], population[Population.channels]
    sites, blocks = population[Population.sites], population[Population.stored] // width
    words, end, one = np.uintp((sites + 63) >> 6), np.uintp(starts[0]), np.uintp(1)
    at = np.uintp(0)
    for t in range(np.uintp(steps)):
        for word in range(words):
            noted = fired[at]
            at += one
            while noted != 0:
                site = np.int64(word << np.uintp(6)) + np.int64(lowest_bit(noted))
                noted &= noted - np.uint64(1)
                first = np.uintp((np.int64(t) * sites + site) * blocks)
                for block in range(blocks):
                    neuron = np.uintp(site * channels + block * width)
                    end = emit(spikes, end, neuron, masks[first + np.uintp(block)])
        starts[t + one] = end
