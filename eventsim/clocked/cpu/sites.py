"""Sites of a layer that gathers, one after the other, each through a chunk of timesteps.

Called by `team.py`, whose threads share the sites of a layer; `gather.py` says what a layer does.

Plain neurons stay in registers from one to the other end of a visit; `others.py` has all others.

Spikes are added in their order, as by every other way: the same membranes, bit for bit.
"""

from __future__ import annotations

import numpy as np

from ...gathered_rows import gather_rows, gather_visits
from ...jit import Flags, Float32s, Int64s, inner_kernel, kernel_glue, kernel_part
from ...network.neurons.lif import catch_up_plain, factors_of, fires
from ...operations import COMPARES
from ...vectors import lowest_bit
from ...wiring.program import Level, Population, Program
from .emission import note_visit
from .others import add_up, settle, visit_other
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
                state.position_words, program, population, state, first, stop
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
    plain, settles = population[Population.plain], population[Population.settles]
    if population[Population.awake] or population[Population.subtract] or not (plain or settles):
        return visit_in_step(
            state.flags, program, population, levels, state, first, stop, begin, end, counters
        )  # fmt: skip
    if plain:
        note_factors(program, population, state, first, stop, begin)
        for block in range(-(-population[Population.channels] // population[Population.width])):
            visit_block(program, population, levels, block, state, first, stop)
    else:
        settle(state.inputs, program, population, state, begin)
    counters[COMPARES] += visits * population[Population.channels]
    count_updates(population, visits, counters)
    return False


@kernel_part
def note_factors(
    program: Program, population: Int64s, state: State, first: int, stop: int, begin: int
) -> None:
    """Note by which factors neurons are brought to each visit, and when the last one is."""
    last, noted = state.last[population[Population.site] :], state.noted
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    changes, one = population[Population.changes], np.uintp(1)
    for site in range(np.uintp(first), np.uintp(stop)):
        updated, own = last[site], site - np.uintp(first)
        for k in range(np.uintp(noted.pointers[own]), np.uintp(noted.pointers[own + one])):
            t = begin + noted.timesteps[k]
            noted.powers[k], noted.gains[k] = factors_of((t - updated) * changes, powers, gains)
            updated = t
        last[site] = updated


@kernel_part
def visit_block(
    program: Program, population: Int64s, levels: Float32s, block: int, state: State, first: int,
    stop: int,
) -> None:  # fmt: skip
    """Update one block of channels of every site, whose weights stay in the nearer caches."""
    u, noted = state.membranes[population[Population.neuron] :], state.noted
    biases = program.biases[population[Population.biases] :]
    sites, channels = population[Population.sites], np.uintp(population[Population.channels])
    width = population[Population.width]
    blocks = np.uintp(-(-population[Population.channels] // width))
    channel, own = np.uintp(block * width), np.uintp(0)
    base = np.uintp(population[Population.blocks] + block * population[Population.block])
    biased, graded = population[Population.bias] >= 0, population[Population.graded] > 0
    limit, level = levels[Level.limit], levels[Level.reset_value]
    stride = np.uintp(sites) * blocks
    for site in range(np.uintp(first), np.uintp(stop)):
        begin, end = np.uintp(noted.pointers[own]), np.uintp(noted.pointers[own + np.uintp(1)])
        gather_visits(
            np.uintp(width), u, site * channels + channel, noted.powers, biased, biases, channel,
            noted.gains, program.blocks, base, noted.rows, graded, noted.values,
            noted.row_pointers, begin, end, limit, level, noted.timesteps, state.masks,
            site * blocks + np.uintp(block), stride,
        )  # fmt: skip
        own += np.uintp(1)


@kernel_part
def visit_in_step(
    flags: Flags | None, program: Program, population: Int64s, levels: Float32s, state: State,
    first: int, stop: int, begin: int, end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all blocks of a site in each timestep: neurons may fire again without input."""
    if flags is None:
        return False
    flags, noted = flags[population[Population.site] :], state.noted
    awake, sites = population[Population.awake] > 0, population[Population.sites]
    plain, visits, pending = population[Population.plain] > 0, 0, False
    if not plain:
        add_up(state.inputs, program, population, state)
    for site in range(first, stop):
        again, t = awake or flags[site] > 0, begin - 1
        k = np.int64(noted.pointers[site - first])
        beyond = np.int64(noted.pointers[site - first + 1])
        while again or k < beyond:
            t = t + 1 if again else begin + noted.timesteps[k]
            if t == end:
                break
            visit = beyond  # of which there is none, so that nothing comes
            if k < beyond and begin + noted.timesteps[k] == t:
                visit, k = k, k + 1
            note_visit(state.visited, t - begin, site, sites)
            if plain:
                again = visit_plain(
                    program, population, levels, state, site, t, begin, visit, beyond
                )
                counters[COMPARES] += population[Population.channels]
            else:
                again = visit_other(
                    state.inputs, program, population, state, t, begin, visit, counters
                )
            visits += 1
            again |= awake
        flags[site] = again and not awake
        pending |= again and not awake
    count_updates(population, visits, counters)
    return pending


@inner_kernel
def visit_plain(
    program: Program, population: Int64s, levels: Float32s, state: State, site: int, t: int,
    begin: int, visit: int, beyond: int,
) -> bool:  # fmt: skip
    """Update all blocks of a site with the rows of a visit, if it is not `beyond` all.

    Returns whether a neuron may fire again by itself.
    """
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
    row, end_of_rows = np.uintp(0), np.uintp(0)
    if visit < beyond:
        row, end_of_rows = (
            np.uintp(noted.row_pointers[visit]),
            np.uintp(noted.row_pointers[visit + 1]),
        )
    for block in range(blocks):
        channel = block * width
        at = site * channels + channel
        base = population[Population.blocks] + block * population[Population.block]
        crossed = gather_rows(
            np.uintp(width), u, np.uintp(at), power, biased, biases, np.uintp(channel), gain,
            program.blocks, np.uintp(base), noted.rows, graded, noted.values, row,
            end_of_rows, limit, subtract, level,
        )  # fmt: skip
        state.masks[np.uintp(((t - begin) * sites + site) * blocks + block)] = crossed
        while crossed != 0:
            lane = np.int64(lowest_bit(crossed))
            crossed &= crossed - np.uint64(1)
            bias = biases[channel + lane] if biased else np.float32(0.0)
            moved = catch_up_plain(u[np.uintp(at + lane)], powers[1], bias, np.float32(1.0))
            again |= fires(moved, limit)
    return again
