"""Sites of a layer that gathers, one after the other, each through a chunk of timesteps.

Called by `team.py`, whose threads share the sites of a layer; `gather.py` says what a layer does.

Plain neurons stay in registers from one to the other end of a visit; `others.py` has all others.

Spikes are added in their order, as by every other way: the same membranes, bit for bit.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int64s, inner_kernel, kernel_glue, kernel_part
from ...network.neurons.lif import catch_up_plain, factors_of, fires
from ...operations import COMPARES
from ...rows import gather_rows
from ...vectors import lowest_bit
from ...wiring.program import Level, Population, Program
from .emission import note_visit
from .others import visit_others
from .state import State
from .updates import count_updates
from .visits import note_timesteps, note_visits


@kernel_part
def visit_sites(
    program: Program, number: int, state: State, first: int, stop: int, before: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Run the sites first .. stop - 1 through a chunk, as many at a time as can be noted.

    Returns whether a neuron may fire again without input.
    """
    population, pending = program.populations[number], False
    while first < stop:
        if population[Population.looks_up]:
            beyond, visits = note_visits(
                state.position_words, program, population, state, first, stop, before, end - begin
            )
        else:
            beyond = 1
            visits = note_timesteps(program, population, state, before, end - begin, counters)
        pending |= visit(program, number, state, first, beyond, visits, begin, end, counters)
        first = beyond
    return pending


@kernel_glue
def visit(
    program: Program, number: int, state: State, first: int, stop: int, visits: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update the sites first .. stop - 1 in the timesteps that are noted, and where more is due.

    Returns whether a neuron may fire again without input.
    """
    population, levels = program.populations[number], program.levels[number]
    if not population[Population.plain]:
        return visit_others(state.inputs, program, population, state, begin, end, counters)
    if not (population[Population.subtract] or population[Population.awake]):
        blocks = -(-population[Population.channels] // population[Population.width])
        for block in range(blocks):
            visit_block(program, population, levels, block, state, first, stop, begin)
        counters[COMPARES] += visits * population[Population.channels]
        count_updates(population, visits, counters)
        return False
    return visit_in_step(program, population, levels, state, first, stop, begin, end, counters)


@kernel_part
def visit_block(
    program: Program, population: Int64s, levels: Float32s, block: int, state: State, first: int,
    stop: int, begin: int,
) -> None:  # fmt: skip
    """Update one block of channels of every site, whose weights stay in the nearer caches.

    Two loops: with one that asks about biases, a layer without them took a fifth longer.
    """
    if population[Population.bias] >= 0:
        visit_block_of(True, program, population, levels, block, state, first, stop, begin)
    else:
        visit_block_of(False, program, population, levels, block, state, first, stop, begin)


@inner_kernel
def visit_block_of(
    biased: bool, program: Program, population: Int64s, levels: Float32s, block: int, state: State,
    first: int, stop: int, begin: int,
) -> None:  # fmt: skip
    """Do as `visit_block`; `biased` is known to the compiler."""
    u, noted, masks = state.membranes[population[Population.neuron] :], state.noted, state.masks
    last, biases = (
        state.last[population[Population.site] :], program.biases[population[Population.biases] :]
    )  # fmt: skip
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    sites, channels = population[Population.sites], population[Population.channels]
    width, level = population[Population.width], levels[Level.reset_value]
    blocks, channel = -(-channels // width), np.uintp(block * width)
    base = np.uintp(population[Population.blocks] + block * population[Population.block])
    changes, graded = population[Population.changes] > 0, population[Population.graded] > 0
    limit, one, lanes = levels[Level.limit], np.uintp(1), np.uintp(width)
    power, gain = np.float32(1.0), np.float32(0.0)
    for site in range(np.uintp(first), np.uintp(stop)):
        updated, own = last[site], site - np.uintp(first)
        at = site * np.uintp(channels) + channel
        for k in range(np.uintp(noted.pointers[own]), np.uintp(noted.pointers[own + one])):
            t = noted.timesteps[k]
            if changes:
                power, gain = factors_of(begin + t - updated, powers, gains)
                updated = begin + t
            row, end_of_rows = np.uintp(noted.row_pointers[k]), noted.row_pointers[k + one]
            masks[np.uintp((t * sites + np.int64(site)) * blocks + block)] = gather_rows(
                lanes, u, at, power, biased, biases, channel, gain, program.blocks, base,
                noted.rows, graded, noted.values, row, np.uintp(end_of_rows), limit, False, level,
            )  # fmt: skip
        if block == blocks - 1:
            last[site] = updated


@kernel_part
def visit_in_step(
    program: Program, population: Int64s, levels: Float32s, state: State, first: int, stop: int,
    begin: int, end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all blocks of a site in each timestep: neurons may fire again without input."""
    flags, noted = state.flags[population[Population.site] :], state.noted
    awake, sites = population[Population.awake] > 0, population[Population.sites]
    visits, pending = 0, False
    for site in range(first, stop):
        again, t = awake or flags[site] > 0, begin - 1
        k, beyond = noted.pointers[site - first], noted.pointers[site - first + 1]
        while again or k < beyond:
            t = t + 1 if again else begin + noted.timesteps[k]
            if t == end:
                break
            row, end_of_rows = 0, 0
            if k < beyond and begin + noted.timesteps[k] == t:
                row, end_of_rows = noted.row_pointers[k], noted.row_pointers[k + 1]
                k += 1
            note_visit(state.visited, t - begin, site, sites)
            again = visit_plain(
                program, population, levels, state, site, t, begin, row, end_of_rows
            )
            counters[COMPARES] += population[Population.channels]
            visits += 1
            again |= awake
        flags[site] = again and not awake
        pending |= again and not awake
    count_updates(population, visits, counters)
    return pending


@inner_kernel
def visit_plain(
    program: Program, population: Int64s, levels: Float32s, state: State, site: int, t: int,
    begin: int, row: int, end_of_rows: int,
) -> bool:  # fmt: skip
    """Update all blocks of a site; return whether a neuron may fire again by itself."""
    u, noted = state.membranes[population[Population.neuron] :], state.noted
    last, biases = (
        state.last[population[Population.site] :], program.biases[population[Population.biases] :]
    )  # fmt: skip
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    sites, channels = population[Population.sites], population[Population.channels]
    width, subtract = population[Population.width], population[Population.subtract] > 0
    graded, blocks = population[Population.graded] > 0, -(-channels // width)
    limit, level = levels[Level.limit], levels[Level.reset_value]
    if subtract:
        level = levels[Level.threshold]
    again, biased = False, population[Population.bias] >= 0
    power, gain = np.float32(1.0), np.float32(0.0)
    if population[Population.changes]:
        power, gain = factors_of(t - last[site], powers, gains)
        last[site] = t
    for block in range(blocks):
        channel = block * width
        at = site * channels + channel
        base = population[Population.blocks] + block * population[Population.block]
        crossed = gather_rows(
            np.uintp(width), u, np.uintp(at), power, biased, biases, np.uintp(channel), gain,
            program.blocks, np.uintp(base), noted.rows, graded, noted.values, np.uintp(row),
            np.uintp(end_of_rows), limit, subtract, level,
        )  # fmt: skip
        state.masks[np.uintp(((t - begin) * sites + site) * blocks + block)] = crossed
        while crossed != 0:
            lane = np.int64(lowest_bit(crossed))
            crossed &= crossed - np.uint64(1)
            bias = biases[channel + lane] if biased else np.float32(0.0)
            moved = catch_up_plain(u[np.uintp(at + lane)], powers[1], bias, np.float32(1.0))
            again |= fires(moved, limit)
    return again
