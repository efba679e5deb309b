"""Sites of a layer that gathers, one after the other, each through a chunk of timesteps.

Called by `team.py`, whose threads share the sites of a layer; `gather.py` says what a layer does.

Plain neurons stay in registers from one to the other end of a visit. Of all others the input stays
there until it is complete; `updates.update` does the rest.

Spikes are added in their order, as by every other way: the same membranes, bit for bit.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Weights, inner_kernel, kernel_glue, kernel_part
from ...network.neurons import factors
from ...network.neurons.lif import catch_up_plain, factors_of, fires
from ...operations import ACS, COMPARES, MACS
from ...vectors import (
    gather_8,
    gather_16,
    gather_32,
    gather_64,
    gather_graded_8,
    gather_graded_16,
    gather_graded_32,
    gather_graded_64,
    lowest_bit,
)
from ...wiring.program import Level, Population, Program
from .emission import bits_of, note_spikes
from .state import State
from .updates import count_updates, update
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
    channels = population[Population.channels]
    while first < stop:
        if population[Population.looks_up]:
            beyond, rows, multiplied = note_visits(
                state.position_words, program, population, state, first, stop, before, end - begin
            )
        else:
            beyond = 1
            rows, multiplied = note_timesteps(program, population, state, before, end - begin)
        counters[ACS] += (rows - multiplied) * channels
        counters[MACS] += multiplied * channels
        pending |= visit(program, number, state, first, beyond, begin, end, counters)
        first = beyond
    return pending


@kernel_glue
def visit(
    program: Program, number: int, state: State, first: int, stop: int, begin: int, end: int,
    counters: Int64s,
) -> bool:  # fmt: skip
    """Update the sites first .. stop - 1 in the timesteps that are noted, and where more is due.

    Returns whether a neuron may fire again without input.
    """
    population, levels = program.populations[number], program.levels[number]
    if population[Population.plain] and not (
        population[Population.subtract] or population[Population.awake]
    ):
        blocks = population[Population.stored] // population[Population.width]
        for block in range(blocks):
            visit_block(program, population, levels, block, state, first, stop, begin)
        touched = np.int64(state.noted.pointers[stop - first])
        counters[COMPARES] += touched * population[Population.channels]
        count_updates(population, touched, counters)
        return False
    return visit_in_step(program, population, levels, state, first, stop, begin, end, counters)


@kernel_part
def visit_block(
    program: Program, population: Int64s, levels: Float32s, block: int, state: State, first: int,
    stop: int, begin: int,
) -> None:  # fmt: skip
    """Update one block of channels of every site, whose weights stay in the nearer caches."""
    u = state.membranes[population[Population.neuron] :]
    last, noted = state.last[population[Population.site] :], state.noted
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    biases = program.biases[population[Population.biases] :]
    sites, channels = population[Population.sites], population[Population.channels]
    width, level = population[Population.width], levels[Level.reset_value]
    blocks, channel = population[Population.stored] // width, block * width
    base = population[Population.blocks] + block * population[Population.block]
    biased, graded = population[Population.bias] >= 0, population[Population.graded] > 0
    changes = population[Population.leaks] > 0 or biased
    limit, one, power = levels[Level.limit], np.uintp(1), np.float32(1.0)
    for site in range(np.uintp(first), np.uintp(stop)):
        updated, own = last[site], site - np.uintp(first)
        at = np.int64(site) * channels + channel
        for k in range(np.uintp(noted.pointers[own]), np.uintp(noted.pointers[own + one])):
            t = noted.timesteps[k]
            if changes:
                power, gain = factors_of(begin + t - updated, powers, gains)
                updated = begin + t
                if biased:
                    n = max(0, min(width, channels - channel))
                    catch_up_block(u, at, channel, n, power, gain, biases)
                    power = np.float32(1.0)
            crossed = add_rows(
                u, at, power, program.blocks, base, noted.rows, noted.values,
                noted.row_pointers[k], noted.row_pointers[k + one], limit, False, level, width,
                graded,
            )  # fmt: skip
            if crossed != 0:
                note_spikes(
                    t, np.int64(site), block, crossed, np.int64(sites), blocks, state.masks,
                    state.fired,
                )  # fmt: skip
        if block == blocks - 1:
            last[site] = updated


@kernel_part
def visit_in_step(
    program: Program, population: Int64s, levels: Float32s, state: State, first: int, stop: int,
    begin: int, end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all blocks of a site in each timestep: neurons may fire again without input."""
    last = state.last[population[Population.site] :]
    flags, noted = state.flags[population[Population.site] :], state.noted
    awake = population[Population.awake] > 0
    touched, pending = 0, False
    for site in range(first, stop):
        updated, again, t = last[site], flags[site] > 0 or awake, begin - 1
        k, beyond = noted.pointers[site - first], noted.pointers[site - first + 1]
        while again or k < beyond:
            t = t + 1 if again else begin + noted.timesteps[k]
            if t == end:
                break
            row = end_of_rows = 0
            if k < beyond and begin + noted.timesteps[k] == t:
                row, end_of_rows = noted.row_pointers[k], noted.row_pointers[k + 1]
                k += 1
            again = awake
            if population[Population.plain]:
                again |= visit_plain(
                    program, population, levels, state, site, t, t - updated, begin, row,
                    end_of_rows, counters,
                )  # fmt: skip
            else:
                again |= visit_others(
                    state.inputs, program, population, state, site, t, t - updated, begin, row,
                    end_of_rows, counters,
                )  # fmt: skip
            updated = t
            touched += 1
        last[site], flags[site] = updated, again and not awake
        pending |= again and not awake
    count_updates(population, touched, counters)
    return pending


@inner_kernel
def visit_plain(
    program: Program, population: Int64s, levels: Float32s, state: State, site: int, t: int,
    silent: int, begin: int, row: int, end_of_rows: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all blocks of a site; return whether a neuron may fire again without input."""
    u = state.membranes[population[Population.neuron] :]
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    biases, biased = (
        program.biases[population[Population.biases] :],
        population[Population.bias] >= 0,
    )
    sites, channels = population[Population.sites], population[Population.channels]
    width, subtract = population[Population.width], population[Population.subtract] > 0
    blocks, graded = population[Population.stored] // width, population[Population.graded] > 0
    limit, level = levels[Level.limit], levels[Level.reset_value]
    if subtract:
        level = levels[Level.threshold]
    power, gain, again = np.float32(1.0), np.float32(0.0), False
    if population[Population.leaks] > 0 or biased:
        power, gain = factors_of(silent, powers, gains)
    for block in range(blocks):
        channel, factor = block * width, power
        at = site * channels + channel
        if biased:
            catch_up_block(
                u, at, channel, max(0, min(width, channels - channel)), power, gain, biases
            )  # fmt: skip
            factor = np.float32(1.0)
        crossed = add_rows(
            u, at, factor, program.blocks,
            population[Population.blocks] + block * population[Population.block],
            state.noted.rows, state.noted.values, row, end_of_rows, limit, subtract, level, width,
            graded,
        )  # fmt: skip
        if crossed != 0:
            note_spikes(t - begin, site, block, crossed, sites, blocks, state.masks, state.fired)
            again |= fires_again(u, at, channel, crossed, limit, powers, biases, biased)
    counters[COMPARES] += channels
    return again


@inner_kernel
def visit_others(
    x: Float32s | None, program: Program, population: Int64s, state: State, site: int, t: int,
    silent: int, begin: int, row: int, end_of_rows: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Do as `visit_plain` for neurons of any model, whose inputs are in x meanwhile."""
    if x is None:
        return False
    sites, channels = population[Population.sites], population[Population.channels]
    width, graded = population[Population.width], population[Population.graded] > 0
    blocks, again = population[Population.stored] // width, False
    p = program.parameters[population[Population.parameters]]
    usual = factors(p, silent - 1, silent - 1)
    for block in range(blocks):
        add_rows(  # to nothing, whatever is there
            x, 0, np.float32(0.0), program.blocks,
            population[Population.blocks] + block * population[Population.block],
            state.noted.rows, state.noted.values, row, end_of_rows, np.float32(np.inf), False,
            np.float32(0.0), width, graded,
        )  # fmt: skip
        channel = block * width
        neuron, n = site * channels + channel, max(0, min(width, channels - channel))
        again |= update(
            program, population, state, neuron, channel, n, 0, t, silent - 1, usual, counters
        )
        crossed = bits_of(x, width)
        if crossed != 0:
            note_spikes(t - begin, site, block, crossed, sites, blocks, state.masks, state.fired)
            if population[Population.many]:
                at = np.uintp((t - begin) * sites * channels + neuron)
                for k in range(np.uintp(n)):
                    state.multiples[at + k] = x[k]
    for k in range(np.uintp(width)):
        x[k] = 0
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


@inner_kernel
def fires_again(
    u: Float32s, first: int, channel: int, crossed: np.uint64, limit: np.float32,
    powers: Float32s, biases: Float32s, biased: bool,
) -> bool:  # fmt: skip
    """Tell whether a neuron of a block, of those that spiked, may fire again without input."""
    again, bias = False, np.float32(0.0)
    while crossed != 0:
        k = np.int64(lowest_bit(crossed))
        crossed &= crossed - np.uint64(1)
        if biased:
            bias = biases[channel + k]
        moved = catch_up_plain(u[np.uintp(first + k)], powers[1], bias, np.float32(1.0))
        again |= fires(moved, limit)
    return again
