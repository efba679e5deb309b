"""Neurons of a block of channels through time, forwards and backwards; the twin of torch's.

Formulas and names as in `models/neurons.py`. In: the rows of weights that arrive in each timestep.
Out: membranes before the reset, spikes, and the gradient of each membrane. Called by `dense.py`.

A block is 8, 16, 32 or 64 neighbouring channels; where a layer has fewer than its blocks, those
that are left over have weights of 0. Thresholds are above 0, so they never spike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eventsim.jit import Float32s, Int32s, Int64s, Words, inner_kernel, rule
from eventsim.vectors import (
    gather_8,
    gather_16,
    gather_32,
    gather_64,
    gather_graded_8,
    gather_graded_16,
    gather_graded_32,
    gather_graded_64,
    spread_8,
    spread_16,
    spread_32,
    spread_64,
    spread_graded_8,
    spread_graded_16,
    spread_graded_32,
    spread_graded_64,
)

RECTANGLE, ARCTAN, FAST_SIGMOID = range(3)  # in the order of `models.neurons.SURROGATES`


class Rules(NamedTuple):
    """What all neurons of a layer have in common."""

    decay: np.float32
    threshold: np.float32
    subtract: bool
    surrogate: int
    reach: np.float32  # the surrogate's width


class Arrivals(NamedTuple):
    """Rows that arrive: in timestep t those from pointers[t] on, before pointers[t + 1]."""

    pointers: Int64s
    rows: Int32s
    values: Float32s | None  # what each row is multiplied by; None: 1


@rule
def slope(surrogate: int, x: np.float32, reach: np.float32) -> np.float32:
    """Return the surrogate's derivative where the membrane is x over the threshold."""
    half, one = np.float32(0.5) / reach, np.float32(1.0)
    if surrogate == RECTANGLE:
        return half if abs(x) < reach else np.float32(0.0)
    if surrogate == ARCTAN:
        scaled = x * (np.float32(np.pi) * half)
        return half / (one + scaled * scaled)
    scaled = one + abs(x) / reach
    return half / (scaled * scaled)


@inner_kernel
def integrate(
    rules: Rules, blocks: Float32s, base: int, width: int, bias: Float32s, arrivals: Arrivals,
    first: int, steps: int, u: Float32s, bits: Words,
) -> None:  # fmt: skip
    """Run a block through time: membranes before the reset to u[t * width + k], spikes to bits[t].

    `first`: where the pointers of the first timestep stand. `bias`: of the block, 0 where there is
    none.
    """
    decay, threshold, subtract = rules.decay, rules.threshold, rules.subtract
    n = np.uintp(width)
    for k in range(n):
        u[k] = bias[k]
    at = np.uintp(0)
    for t in range(np.uintp(steps)):
        if t > 0:
            before = at
            at += n
            for k in range(n):
                rest = u[before + k]
                if rest > threshold:
                    rest = rest - threshold if subtract else np.float32(0.0)
                u[at + k] = decay * rest + bias[k]
        bits[t] = gather_rows(
            u, at, blocks, base, width, arrivals, arrivals.values, np.uintp(first) + t, threshold
        )


@inner_kernel
def gather_rows(
    u: Float32s, at: int, w: Float32s, base: int, width: int, arrivals: Arrivals,
    values: Float32s | None, t: int, limit: np.float32,
) -> np.uint64:  # fmt: skip
    """Add the rows of a timestep to a block; return bits that say what is above the limit.

    `values`: those of the arrivals, an argument of its own so that Numba knows whether they are.
    """
    i, b, one, zero = np.uintp(at), np.uintp(base), np.float32(1.0), np.float32(0.0)
    pointer, rows = np.uintp(t), arrivals.rows
    k, n = np.uintp(arrivals.pointers[pointer]), np.uintp(arrivals.pointers[pointer + np.uintp(1)])
    # To get 0 taken away is the reset that leaves membranes as they are.
    if values is not None:
        if width == 64:
            return gather_graded_64(u, i, one, w, b, rows, values, k, n, limit, True, zero)
        if width == 32:
            return gather_graded_32(u, i, one, w, b, rows, values, k, n, limit, True, zero)
        if width == 16:
            return gather_graded_16(u, i, one, w, b, rows, values, k, n, limit, True, zero)
        return gather_graded_8(u, i, one, w, b, rows, values, k, n, limit, True, zero)
    if width == 64:
        return gather_64(u, i, one, w, b, rows, rows, k, n, limit, True, zero)
    if width == 32:
        return gather_32(u, i, one, w, b, rows, rows, k, n, limit, True, zero)
    if width == 16:
        return gather_16(u, i, one, w, b, rows, rows, k, n, limit, True, zero)
    return gather_8(u, i, one, w, b, rows, rows, k, n, limit, True, zero)


@inner_kernel
def differentiate(
    rules: Rules, width: int, steps: int, u: Float32s, by_spikes: Float32s, by_rest: Float32s
) -> None:
    """Turn membranes, as `integrate` leaves them, into the gradients of them, in place.

    `by_spikes`: the gradients of the block's spikes, in the same order. `by_rest`: room for a
    block.
    """
    if rules.surrogate == RECTANGLE:
        _differentiate(RECTANGLE, rules, width, steps, u, by_spikes, by_rest)
    elif rules.surrogate == ARCTAN:
        _differentiate(ARCTAN, rules, width, steps, u, by_spikes, by_rest)
    else:
        _differentiate(FAST_SIGMOID, rules, width, steps, u, by_spikes, by_rest)


@inner_kernel
def _differentiate(
    surrogate: int, rules: Rules, width: int, steps: int, u: Float32s, by_spikes: Float32s,
    by_rest: Float32s,
) -> None:  # fmt: skip
    """Do as `differentiate` with a surrogate that the compiler knows: a loop of vectors each."""
    decay, threshold, reach = rules.decay, rules.threshold, rules.reach
    n = np.uintp(width)
    for k in range(n):
        by_rest[k] = 0.0
    at = np.uintp(steps) * n
    for _ in range(steps):
        at -= n
        if rules.subtract:  # dr/do = -threshold, dr/du = 1
            for k in range(n):
                s = slope(surrogate, u[at + k] - threshold, reach)
                g = (by_spikes[at + k] - threshold * by_rest[k]) * s + by_rest[k]
                u[at + k], by_rest[k] = g, decay * g
        else:  # dr/do = -u, dr/du = 1 - o
            for k in range(n):
                membrane = u[at + k]
                s = slope(surrogate, membrane - threshold, reach)
                kept = np.float32(0.0) if membrane > threshold else by_rest[k]
                g = (by_spikes[at + k] - membrane * by_rest[k]) * s + kept
                u[at + k], by_rest[k] = g, decay * g


@inner_kernel
def spread_gradient(
    gradient: Float32s, base: int, width: int, arrivals: Arrivals, values: Float32s | None,
    t: int, g: Float32s, at: int,
) -> None:  # fmt: skip
    """Add a block's gradient of a timestep to that of each row that arrived in it."""
    i, b = np.uintp(at), np.uintp(base)
    pointer, rows = np.uintp(t), arrivals.rows
    k, n = np.uintp(arrivals.pointers[pointer]), np.uintp(arrivals.pointers[pointer + np.uintp(1)])
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


@inner_kernel
def is_silent(values: Float32s, first: int, width: int) -> bool:
    """Tell whether a block of numbers is all 0."""
    i, some = np.uintp(first), np.int32(0)
    for k in range(np.uintp(width)):
        some |= np.int32(values[i + k] != 0)
    return some == 0
