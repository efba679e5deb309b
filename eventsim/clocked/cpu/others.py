"""Neurons that are not plain, in a layer of one site that gathers, through a chunk of timesteps.

Called by `sites.py`. Neurons in fixed point that settle (`Population.settles`) go block by block,
whose weights stay in the second-level cache, in registers from one to the other end of a visit. Of
all others the timesteps of a block depend on all blocks:

    for block of channels:
        for timestep in which rows come: their sum, in `state.inputs`
    for timestep in which rows come, or a neuron may fire again:
        catch up, step, compare, reset (`updates.update`)
        the spikes as words of bits
"""

from __future__ import annotations

import numpy as np

from ...fixed_rows import advance, sum_rows
from ...gathered_rows import gather_rows
from ...jit import Float32s, Int64s, inner_kernel, kernel_part
from ...network.neurons import factors
from ...operations import COMPARES
from ...wiring.program import Population, Program
from .emission import bits_of, note_visit
from .state import State
from .updates import count_updates, pass_over_all, update


@kernel_part
def visit_others(
    x: Float32s | None, program: Program, population: Int64s, state: State, begin: int, end: int,
    counters: Int64s,
) -> bool:  # fmt: skip
    """Run all channels through a chunk; return whether a neuron may fire again without input."""
    if x is None:
        return False
    site, channels, width = (
        population[Population.site], population[Population.channels], population[Population.width],
    )  # fmt: skip
    blocks, visits = -(-channels // width), state.noted.pointers[1]
    if population[Population.settles] and not population[Population.awake]:
        for block in range(blocks):
            settle_block(program, population, state, block, blocks, begin)
        if visits > 0:
            state.last[site] = begin + state.noted.timesteps[visits - 1]
        counters[COMPARES] += visits * channels
        count_updates(population, visits, counters)
        return False
    state.flags[site] = visit_in_turn(x, program, population, state, blocks, begin, end, counters)
    return bool(state.flags[site])


@inner_kernel
def settle_block(
    program: Program, population: Int64s, state: State, block: int, blocks: int, begin: int
) -> None:
    """Run a block of neurons that keep no current through the visits that are noted."""
    first, width, noted = population[Population.neuron], population[Population.width], state.noted
    u, seconds, biases = (
        state.membranes[first:], state.seconds[first:],
        program.biases[population[Population.biases] :],
    )  # fmt: skip
    p = program.parameters[population[Population.parameters]]
    channel, updated = block * width, state.last[population[Population.site]]
    n = min(width, population[Population.channels] - channel)
    base = population[Population.blocks] + block * population[Population.block]
    for k in range(noted.pointers[1]):
        t = begin + noted.timesteps[k]
        if t - updated > 1:
            pass_over_all(
                p, np.float32(0.0), n, t - 1 - updated, u[channel:], seconds[channel:],
                biases[channel:],
            )  # fmt: skip
        updated = t
        state.masks[np.uintp(noted.timesteps[k] * blocks + block)] = advance(
            np.uintp(width), u, seconds, np.uintp(channel), program.blocks, np.uintp(base),
            noted.rows, np.uintp(noted.row_pointers[k]), np.uintp(noted.row_pointers[k + 1]),
            biases, np.uintp(channel), p.decay, p.scale, p.threshold,
        )  # fmt: skip


@inner_kernel
def visit_in_turn(
    x: Float32s, program: Program, population: Int64s, state: State, blocks: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Run all blocks through one timestep after the other; as `visit_others`."""
    noted, length = state.noted, blocks * population[Population.width]
    p, site = program.parameters[population[Population.parameters]], population[Population.site]
    awake, t, visits = population[Population.awake] > 0, begin - 1, 0
    k, beyond = np.int64(0), np.int64(noted.pointers[1])
    again = awake or state.flags[site] > 0
    add_up(x, program, population, state, blocks)
    while again or k < beyond:
        t = t + 1 if again else begin + noted.timesteps[k]
        if t == end:
            break
        at = beyond * length  # nothing comes
        if k < beyond and begin + noted.timesteps[k] == t:
            at = k * length
            k += 1
        silent = (t - 1 - state.last[site]) * population[Population.changes]
        usual, channels = factors(p, silent, silent), population[Population.channels]
        state.last[site] = t
        note_visit(state.visited, t - begin, 0, 1)
        again = update(program, population, state, 0, 0, channels, at, t, silent, usual, counters)
        again |= awake
        visits += 1
        for block in range(blocks):
            emit_block(x, at, population, state, t - begin, block, blocks)
        for lane in range(np.uintp(at), np.uintp(at + length)):
            x[lane] = 0
    count_updates(population, visits, counters)
    return again and not awake


@inner_kernel
def add_up(x: Float32s, program: Program, population: Int64s, state: State, blocks: int) -> None:
    """Put the sums of the rows of each visit into x, each row times its value where it is graded.

    Of all visits before the first update: block by block, so that weights stay in the caches.
    """
    noted, w, rows, values = state.noted, program.blocks, state.noted.rows, state.noted.values
    width, graded = np.uintp(population[Population.width]), population[Population.graded] > 0
    none, never, one = np.float32(0.0), np.float32(np.inf), np.uintp(1)
    for block in range(np.uintp(blocks)):
        b = np.uintp(population[Population.blocks]) + block * np.uintp(population[Population.block])
        for visit in range(np.uintp(noted.pointers[1])):
            i, k = (visit * np.uintp(blocks) + block) * width, np.uintp(noted.row_pointers[visit])
            n = np.uintp(noted.row_pointers[visit + one])
            if values is not None and graded:
                gather_rows(
                    width, x, i, none, False, x, i, none, w, b, rows, True, values, k, n, never,
                    False, none,
                )  # fmt: skip
            else:
                sum_rows(width, x, i, w, b, rows, k, n)


@inner_kernel
def emit_block(
    x: Float32s, at: int, population: Int64s, state: State, t: int, block: int, blocks: int
) -> None:
    """Note the spikes of a block, which stand in x."""
    width, channels = population[Population.width], population[Population.channels]
    first = block * width
    crossed = bits_of(x, at + first, width)
    state.masks[np.uintp(t * blocks + block)] = crossed
    if crossed != 0 and population[Population.many]:
        to = np.uintp(t * channels + first)
        for k in range(np.uintp(min(width, channels - first))):
            state.multiples[to + k] = x[np.uintp(at + first) + k]
