"""Patches of a layer that gathers, one after the other, each through a chunk of timesteps.

A patch is a site, or as many neighbouring ones as have a block of channels together: their
membranes lie side by side. Each of its sites is brought up to date only where spikes reach it; the
weights that a row has for the others are negative zeros.

Called by `team.py`, whose threads share the patches of a layer; `gather.py` says what a layer does.

Plain neurons stay in registers from one to the other end of a visit; `others.py` has all others.

Spikes are added in their order, as by every other way: the same membranes, bit for bit.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Weights, Words, inner_kernel, kernel_glue, kernel_part
from ...network.neurons.lif import catch_up_plain, factors_of, fires
from ...operations import COMPARES
from ...rows import (
    gather_8,
    gather_16,
    gather_32,
    gather_64,
    gather_graded_8,
    gather_graded_16,
    gather_graded_32,
    gather_graded_64,
)
from ...vectors import lowest_bit
from ...wiring.program import Level, Population, Program
from .emission import note_spikes
from .others import visit_others
from .state import State
from .updates import catch_up_site, count_updates
from .visits import note_timesteps, note_visits, number_of


@kernel_part
def visit_patches(
    program: Program, number: int, state: State, first: int, stop: int, before: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Run the patches first .. stop - 1 through a chunk, as many at a time as can be noted.

    Returns whether a neuron may fire again without input.
    """
    population, pending = program.populations[number], False
    while first < stop:
        if population[Population.looks_up]:
            beyond, touched = note_visits(
                state.position_words, program, population, state, first, stop, before, end - begin
            )
        else:
            beyond = 1
            touched = note_timesteps(program, population, state, before, end - begin, counters)
        pending |= visit(program, number, state, first, beyond, touched, begin, end, counters)
        first = beyond
    return pending


@kernel_glue
def visit(
    program: Program, number: int, state: State, first: int, stop: int, touched: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update the patches first .. stop - 1 in the timesteps that are noted, and where more is due.

    `touched`: sites that are noted. Returns whether a neuron may fire again without input.
    """
    population, levels = program.populations[number], program.levels[number]
    if not population[Population.plain]:
        return visit_others(state.inputs, program, population, state, begin, end, counters)
    if not (population[Population.subtract] or population[Population.awake]):
        blocks = -(-population[Population.lanes] // population[Population.width])
        for block in range(blocks):
            visit_block(program, population, levels, block, state, first, stop, begin)
        counters[COMPARES] += touched * population[Population.channels]
        count_updates(population, touched, counters)
        return False
    return visit_in_step(program, population, levels, state, first, stop, begin, end, counters)


@kernel_part
def visit_block(
    program: Program, population: Int64s, levels: Float32s, block: int, state: State, first: int,
    stop: int, begin: int,
) -> None:  # fmt: skip
    """Update one block of lanes of every patch, whose weights stay in the nearer caches."""
    u = state.membranes[population[Population.neuron] :]
    last, noted = state.last[population[Population.site] :], state.noted
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    biases = program.biases[population[Population.biases] :]
    patches, lanes = population[Population.patches], population[Population.lanes]
    width, level = population[Population.width], levels[Level.reset_value]
    blocks, channel = -(-lanes // width), block * width
    base = population[Population.blocks] + block * population[Population.block]
    biased, graded = population[Population.bias] >= 0, population[Population.graded] > 0
    changes, alone = population[Population.changes] > 0, population[Population.patch] == 1
    limit, one, power = levels[Level.limit], np.uintp(1), np.float32(1.0)
    for patch in range(np.uintp(first), np.uintp(stop)):
        updated, own = last[patch], patch - np.uintp(first)
        at = np.int64(patch) * lanes + channel
        for k in range(np.uintp(noted.pointers[own]), np.uintp(noted.pointers[own + one])):
            t = noted.timesteps[k]
            if changes and alone:
                power, gain = factors_of(begin + t - updated, powers, gains)
                updated = begin + t
                if biased:
                    n = max(0, min(width, lanes - channel))
                    catch_up_block(u, at, channel, n, power, gain, biases)
                    power = np.float32(1.0)
            elif changes:
                catch_up_patch(
                    state.position_words, program, population, state, np.int64(patch),
                    noted.sites[k], begin + t,
                )  # fmt: skip
            crossed = add_rows(
                u, at, power, program.blocks, base, noted.rows, noted.values,
                noted.row_pointers[k], noted.row_pointers[k + one], limit, False, level, width,
                graded,
            )  # fmt: skip
            if crossed != 0:
                note_spikes(
                    t, np.int64(patch), block, crossed, np.int64(patches), blocks, state.masks,
                    state.fired,
                )  # fmt: skip
        if alone and block == blocks - 1:
            last[patch] = updated


@inner_kernel
def catch_up_patch(
    words: Words | None, program: Program, population: Int64s, state: State, patch: int,
    sites: np.uint64, t: int,
) -> None:  # fmt: skip
    """Do as `catch_up_sites`; networks of layers of one site have no `words`, nor use for this."""
    if words is not None:
        catch_up_sites(program, population, state, patch, sites, t)


@inner_kernel
def catch_up_sites(
    program: Program, population: Int64s, state: State, patch: int, sites: np.uint64, t: int
) -> None:
    """Bring the sites of a patch whose bits are set to timestep t."""
    first = patch * population[Population.patch]
    while sites != 0:
        site = first + np.int64(lowest_bit(sites))
        sites &= sites - np.uint64(1)
        catch_up_site(program, population, state, site, t)


@kernel_part
def visit_in_step(
    program: Program, population: Int64s, levels: Float32s, state: State, first: int, stop: int,
    begin: int, end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all blocks of a patch in each timestep: neurons may fire again without input."""
    flags, noted = state.flags[population[Population.site] :], state.noted
    size, sites = population[Population.patch], population[Population.sites]
    awake, channels = population[Population.awake] > 0, population[Population.channels]
    none, one, touched, pending = np.uint64(0), np.uint64(1), 0, False
    for patch in range(first, stop):
        everyone, again, t = none, none, begin - 1
        for k in range(min(size, sites - patch * size)):
            everyone |= one << np.uint64(k)
            again |= np.uint64(flags[patch * size + k]) << np.uint64(k)
        always = everyone if awake else none
        again |= always
        k, beyond = noted.pointers[patch - first], noted.pointers[patch - first + 1]
        while again != 0 or k < beyond:
            t = t + 1 if again != 0 else begin + noted.timesteps[k]
            if t == end:
                break
            row, end_of_rows, due = 0, 0, again
            if k < beyond and begin + noted.timesteps[k] == t:
                row, end_of_rows = noted.row_pointers[k], noted.row_pointers[k + 1]
                due |= noted.sites[k]
                k += 1
            again = visit_plain(
                program, population, levels, state, patch, due, t, begin, row, end_of_rows
            )
            counters[COMPARES] += number_of(due) * channels
            again |= always
            touched += number_of(due)
        for k in range(min(size, sites - patch * size)):
            flags[patch * size + k] = ((again & ~always) >> np.uint64(k)) & one
        pending |= again & ~always != 0
    count_updates(population, touched, counters)
    return pending


@inner_kernel
def visit_plain(
    program: Program, population: Int64s, levels: Float32s, state: State, patch: int,
    due: np.uint64, t: int, begin: int, row: int, end_of_rows: int,
) -> np.uint64:  # fmt: skip
    """Update all blocks of a patch; return the sites where a neuron may fire again by itself."""
    u = state.membranes[population[Population.neuron] :]
    powers = program.powers[population[Population.powers] :]
    biases, biased = (
        program.biases[population[Population.biases] :],
        population[Population.bias] >= 0,
    )
    patches, lanes = population[Population.patches], population[Population.lanes]
    width, subtract = population[Population.width], population[Population.subtract] > 0
    graded, channels = population[Population.graded] > 0, population[Population.channels]
    changes, blocks = population[Population.changes] > 0, -(-lanes // width)
    limit, level = levels[Level.limit], levels[Level.reset_value]
    if subtract:
        level = levels[Level.threshold]
    again = np.uint64(0)
    if changes:
        catch_up_sites(program, population, state, patch, due, t)
    for block in range(blocks):
        at = patch * lanes + block * width
        crossed = add_rows(
            u, at, np.float32(1.0), program.blocks,
            population[Population.blocks] + block * population[Population.block],
            state.noted.rows, state.noted.values, row, end_of_rows, limit, subtract, level, width,
            graded,
        )  # fmt: skip
        if crossed != 0:
            note_spikes(t - begin, patch, block, crossed, patches, blocks, state.masks, state.fired)
        while crossed != 0:
            lane = np.int64(lowest_bit(crossed))
            crossed &= crossed - np.uint64(1)
            bias, own = np.float32(0.0), block * width + lane
            if biased:
                bias = biases[own % channels]
            moved = catch_up_plain(u[np.uintp(at + lane)], powers[1], bias, np.float32(1.0))
            again |= np.uint64(fires(moved, limit)) << np.uint64(own // channels)
    return again


@inner_kernel
def catch_up_block(
    u: Float32s, first: int, channel: int, n: int, power: np.float32, gain: np.float32,
    biases: Float32s,
) -> None:  # fmt: skip
    """Let n channels of a layer with biases catch up.

    Not a part of `add_rows`: there it took the layer without biases a tenth longer (2312-512-10).
    """
    at, c = np.uintp(first), np.uintp(channel)
    for k in range(np.uintp(n)):
        u[at + k] = catch_up_plain(u[at + k], power, biases[c + k], gain)


@inner_kernel
def add_rows(
    u: Float32s, first: int, power: np.float32, weights: Weights, base: int, rows: Int32s,
    values: Float32s | None, row: int, end_of_rows: int, limit: np.float32, subtract: bool,
    level: np.float32, width: int, graded: bool,
) -> np.uint64:  # fmt: skip
    """Add rows to a block, compare and reset it; return bits that say which neurons spiked."""
    at, b, k, n = np.uintp(first), np.uintp(base), np.uintp(row), np.uintp(end_of_rows)
    w = weights
    if values is not None and graded:
        if width == 64:
            return gather_graded_64(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
        if width == 32:
            return gather_graded_32(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
        if width == 16:
            return gather_graded_16(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
        return gather_graded_8(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
    if width == 64:
        return gather_64(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
    if width == 32:
        return gather_32(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
    if width == 16:
        return gather_16(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
    return gather_8(u, at, power, w, b, rows, values, k, n, limit, subtract, level)
