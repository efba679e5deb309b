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
from ...wiring.program import Population, Program
from .emission import bits_of
from .state import State
from .updates import pass_over_all, update


@kernel_part
def settle(
    x: Float32s | None, program: Program, population: Int64s, state: State, begin: int
) -> None:
    """Run neurons that keep no current through the visits that are noted, block by block."""
    if x is None:
        return
    noted, visits = state.noted, state.noted.pointers[1]
    blocks = -(-population[Population.channels] // population[Population.width])
    for block in range(blocks):
        settle_block(program, population, state, block, blocks, begin)
    if visits > 0:
        state.last[population[Population.site]] = begin + noted.timesteps[visits - 1]


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


@kernel_part
def add_up(x: Float32s | None, program: Program, population: Int64s, state: State) -> None:
    """Put the sums of the rows of each visit into x, each row times its value where it is graded.

    Of all visits before the first update: block by block, so that weights stay in the caches.
    """
    if x is None:
        return
    noted, w, rows, values = state.noted, program.blocks, state.noted.rows, state.noted.values
    width, graded = np.uintp(population[Population.width]), population[Population.graded] > 0
    none, never, one = np.float32(0.0), np.float32(np.inf), np.uintp(1)
    blocks = np.uintp(-(-population[Population.channels] // population[Population.width]))
    for block in range(blocks):
        b = np.uintp(population[Population.blocks]) + block * np.uintp(population[Population.block])
        for visit in range(np.uintp(noted.pointers[1])):
            i, k = (visit * blocks + block) * width, np.uintp(noted.row_pointers[visit])
            n = np.uintp(noted.row_pointers[visit + one])
            if values is not None and graded:
                gather_rows(
                    width, x, i, none, False, x, i, none, w, b, rows, True, values, k, n, never,
                    False, none,
                )  # fmt: skip
            else:
                sum_rows(width, x, i, w, b, rows, k, n)


@inner_kernel
def visit_other(
    x: Float32s | None, program: Program, population: Int64s, state: State, t: int, begin: int,
    visit: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Update all channels, to which the sum of a visit comes; leave 0 in its place.

    Returns whether a neuron may fire again without input. As a call, with all arrays to hand over,
    it took a layer of 512 a fifth longer.
    """
    if x is None:
        return False
    channels, width = population[Population.channels], population[Population.width]
    site, blocks = population[Population.site], -(-channels // width)
    silent = (t - 1 - state.last[site]) * population[Population.changes]
    at = visit * blocks * width
    state.last[site] = t
    none = np.int64(0)  # of a plain 0 Numba makes a type, and compiles `update` again
    again = update(program, population, state, none, none, channels, at, t, silent, counters)
    for block in range(blocks):
        emit_block(x, at, population, state, t - begin, block, blocks)
    for lane in range(np.uintp(at), np.uintp(at + blocks * width)):
        x[lane] = 0
    return again


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
