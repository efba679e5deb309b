"""Neurons of a block of channels through time, forwards and backwards; the twin of torch's.

Formulas and names as in `models/neurons.py`. In: the rows of weights that arrive in each timestep.
Out: membranes before the reset, spikes, and the gradient of each membrane. Called by `dense.py` and
`maps.py`.

A block is 8, 16, 32 or 64 neighbouring channels; where a layer has fewer than its blocks, those
that are left over have weights of 0. Thresholds are above 0, so they never spike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eventsim.gathered_rows import gather_any_rows
from eventsim.jit import Float32s, Int32s, Int64s, Words, inner_kernel
from eventsim.rows import add_lanes
from eventsim.vectors import LANES

from .vectors import (
    RECTANGLE,
    differentiate_8,
    differentiate_16,
    differentiate_32,
    differentiate_64,
    integrate_8,
    integrate_16,
    integrate_32,
    integrate_64,
    integrate_graded_8,
    integrate_graded_16,
    integrate_graded_32,
    integrate_graded_64,
    near_8,
    near_16,
    near_32,
    near_64,
    spread_8,
    spread_16,
    spread_32,
    spread_64,
    spread_graded_8,
    spread_graded_16,
    spread_graded_32,
    spread_graded_64,
)


class Rules(NamedTuple):
    """What the neurons of a layer do."""

    decay: Float32s  # of all channels of all blocks
    threshold: Float32s
    subtract: bool
    surrogate: int
    reach: np.float32  # the surrogate's width
    learns: bool  # whether gradients of decays and thresholds are asked for


class RuleSums(NamedTuple):
    """Gradients of decays and thresholds, of all channels of all blocks; timesteps add to them."""

    decay: Float32s
    threshold: Float32s


class Arrivals(NamedTuple):
    """Rows that arrive: in timestep t those from pointers[t] on, before pointers[t + 1].

    Kernels take the values as an argument of their own, so that Numba knows whether there are any.
    """

    pointers: Int64s
    rows: Int32s
    values: Float32s | None  # what each row is multiplied by; None: 1


@inner_kernel
def integrate(
    rules: Rules, block: int, blocks: Float32s, base: int, width: int, biases: Float32s,
    arrivals: Arrivals, values: Float32s | None, first: int, steps: int, u: Float32s, bits: Words,
) -> None:  # fmt: skip
    """Run a block through time: membranes before the reset to u[t * width + k], spikes to bits[t].

    `first`: where the pointers of the first timestep stand. `biases`: of all channels of all
    blocks, 0 where there is none.
    """
    w, b, rows, n, one = blocks, np.uintp(base), arrivals.rows, np.uintp(width), np.uintp(1)
    channel, subtract = block * width, rules.subtract
    decay, limit, bias = rules.decay[channel:], rules.threshold[channel:], biases[channel:]
    before, at, pointer = np.uintp(0), np.uintp(0), np.uintp(first)
    u[:width] = 0  # what follows on nothing
    for t in range(np.uintp(steps)):
        k, stop = np.uintp(arrivals.pointers[pointer]), np.uintp(arrivals.pointers[pointer + one])
        if values is not None:
            if width == 64:
                word = integrate_graded_64(
                    u, before, at, decay, limit, subtract, bias, w, b, rows, values, k, stop
                )
            elif width == 32:
                word = integrate_graded_32(
                    u, before, at, decay, limit, subtract, bias, w, b, rows, values, k, stop
                )
            elif width == 16:
                word = integrate_graded_16(
                    u, before, at, decay, limit, subtract, bias, w, b, rows, values, k, stop
                )
            else:
                word = integrate_graded_8(
                    u, before, at, decay, limit, subtract, bias, w, b, rows, values, k, stop
                )
        elif width == 64:
            word = integrate_64(
                u, before, at, decay, limit, subtract, bias, w, b, rows, rows, k, stop
            )
        elif width == 32:
            word = integrate_32(
                u, before, at, decay, limit, subtract, bias, w, b, rows, rows, k, stop
            )
        elif width == 16:
            word = integrate_16(
                u, before, at, decay, limit, subtract, bias, w, b, rows, rows, k, stop
            )
        else:
            word = integrate_8(
                u, before, at, decay, limit, subtract, bias, w, b, rows, rows, k, stop
            )
        bits[t] = word
        before = at
        at += n
        pointer += one


@inner_kernel
def gather_values(
    sums: Float32s, at: int, w: Float32s, base: int, width: int, arrivals: Arrivals,
    values: Float32s | None, pointer: int,
) -> None:  # fmt: skip
    """Let a block be the sum of the rows of a timestep, each times its value."""
    if values is None:
        return
    i, b, p, rows, limit = (
        np.uintp(at), np.uintp(base), np.uintp(pointer), arrivals.rows, np.float32(np.inf)
    )  # fmt: skip
    k, n = np.uintp(arrivals.pointers[p]), np.uintp(arrivals.pointers[p + np.uintp(1)])
    zero = np.float32(0.0)
    sums[at : at + width] = 0
    gather_any_rows(
        np.uintp(width), sums, i, zero, False, sums, i, zero, w, b, rows, True, values, k, n, limit,
        False, zero,
    )  # fmt: skip


@inner_kernel
def add_cost(by_spikes: Float32s, at: int, channels: int, cost: np.float32) -> None:
    """Add to a block's gradients of spikes what each of its channels costs.

    Not to those that are left over, whose gradients must stay 0.
    """
    if cost != 0:
        for k in range(np.uintp(at), np.uintp(at + channels)):
            by_spikes[k] += cost


@inner_kernel
def differentiate(
    rules: Rules, block: int, width: int, steps: int, u: Float32s, by_spikes: Float32s,
    by_next: Float32s, bits: Words, sums: RuleSums,
) -> None:  # fmt: skip
    """Turn membranes, as `integrate` leaves them, into the gradients of them, in place.

    `by_spikes`: the gradients of the block's spikes, in the same order. `by_next`: room for a
    block. bits[t] says which gradients are not 0.
    """
    channel, learns = block * width, rules.learns
    decay, limit, subtract = rules.decay[channel:], rules.threshold[channel:], rules.subtract
    by_decay, by_threshold = sums.decay[channel:], sums.threshold[channel:]
    surrogate, reach = rules.surrogate, rules.reach
    by_next[:width] = 0
    at = np.uintp(steps * width)
    for t in range(steps - 1, -1, -1):
        at -= np.uintp(width)
        if width == 64:
            word = differentiate_64(
                u, at, by_spikes, at, by_next, decay, limit, subtract, surrogate, reach, learns,
                by_decay, by_threshold,
            )  # fmt: skip
        elif width == 32:
            word = differentiate_32(
                u, at, by_spikes, at, by_next, decay, limit, subtract, surrogate, reach, learns,
                by_decay, by_threshold,
            )  # fmt: skip
        elif width == 16:
            word = differentiate_16(
                u, at, by_spikes, at, by_next, decay, limit, subtract, surrogate, reach, learns,
                by_decay, by_threshold,
            )  # fmt: skip
        else:
            word = differentiate_8(
                u, at, by_spikes, at, by_next, decay, limit, subtract, surrogate, reach, learns,
                by_decay, by_threshold,
            )  # fmt: skip
        bits[np.uintp(t)] = word


@inner_kernel
def counts(rules: Rules, block: int, u: Float32s, at: int, width: int) -> bool:
    """Tell whether the gradient of a block's spikes counts: of a rectangle, near the threshold."""
    if rules.surrogate != RECTANGLE:
        return True
    i, limit, reach = np.uintp(at), rules.threshold[block * width :], rules.reach
    if width == 64:
        return near_64(u, i, limit, reach) != 0
    if width == 32:
        return near_32(u, i, limit, reach) != 0
    if width == 16:
        return near_16(u, i, limit, reach) != 0
    return near_8(u, i, limit, reach) != 0


@inner_kernel
def spread_gradient(
    gradient: Float32s, base: int, width: int, by_bias: Float32s, arrivals: Arrivals,
    values: Float32s | None, pointer: int, g: Float32s, at: int,
) -> None:  # fmt: skip
    """Add a block's gradient of a timestep to that of each row that arrived, and of the bias."""
    i, b, p, rows = np.uintp(at), np.uintp(base), np.uintp(pointer), arrivals.rows
    k, n = np.uintp(arrivals.pointers[p]), np.uintp(arrivals.pointers[p + np.uintp(1)])
    for lane in range(np.uintp(0), np.uintp(width), np.uintp(LANES)):
        add_lanes(by_bias, lane, g, i + lane)
    if values is not None:
        if width == 64:
            spread_graded_64(gradient, b, rows, values, k, n, g, i)
        elif width == 32:
            spread_graded_32(gradient, b, rows, values, k, n, g, i)
        elif width == 16:
            spread_graded_16(gradient, b, rows, values, k, n, g, i)
        else:
            spread_graded_8(gradient, b, rows, values, k, n, g, i)
    elif width == 64:
        spread_64(gradient, b, rows, rows, k, n, g, i)
    elif width == 32:
        spread_32(gradient, b, rows, rows, k, n, g, i)
    elif width == 16:
        spread_16(gradient, b, rows, rows, k, n, g, i)
    else:
        spread_8(gradient, b, rows, rows, k, n, g, i)
