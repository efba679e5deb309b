"""The scalar rules of the neuron models, compiled into the loops of every engine.

Called with one neuron's parameters (a record of `NEURON_DTYPE`, made by `neurons.py`) or with
single numbers. A branch on `kind` inside a rule, and not a rule passed as an argument, because
Numba keeps only the former on disk. All membranes are measured from rest.

What is multiplied and then added goes through `product`, so that a GPU rounds as a CPU does.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ..jit import Float32s, product, rule
from ..wiring.program import POWERS

LIF_KIND, CUBA_KIND, ALIF_KIND = range(3)
RESET_VALUE, RESET_SUBTRACT = range(2)

MAX_SPIKES = 2**24  # of one neuron in one timestep; up to here float32 holds every whole number

NEURON_DTYPE = np.dtype(
    [
        ("kind", "i4"),
        ("decay", "f4"),
        ("threshold", "f4"),
        ("at_threshold", "i4"),  # 1 where a membrane equal to the threshold fires
        ("many", "i4"),  # 1 where one timestep may bring several spikes
        ("refractory", "i4"),  # timesteps
        ("reset", "i4"),
        ("reset_value", "f4"),
        ("lower_bound", "f4"),
        ("second_decay", "f4"),  # of the current, or of the adaptation
        ("coupling", "f4"),  # CUBALIF: most that a unit of current can add; ALIF: adaptation
    ],
    align=True,
)


@rule
def advance(u: np.float32, power: np.float32, bias: np.float32, gain: np.float32) -> np.float32:
    """Bring a membrane up to date after k timesteps without input.

    `power` is decay^k, `gain` is 1 + decay + ... + decay^(k-1): the bias of each timestep, decayed
    since. For k = 1 this is decay * u + bias.
    """
    return product(u, power) + product(bias, gain)


@rule
def decayed(u: np.float32, power: np.float32) -> np.float32:
    """Bring a membrane without bias up to date."""
    return product(u, power)


@rule
def add_product(u: np.float32, weight: np.float32, value: np.float32) -> np.float32:
    """Add a weight to a membrane as often as a graded spike counts."""
    return u + product(weight, value)


@rule
def lengthened(gain: np.float32, power: np.float32, more: np.float32) -> np.float32:
    """Return the gain of a silence (see `advance`) that goes on, for power and gain of the rest."""
    return product(gain, power) + more


@rule
def silence_of(silent: int, powers: Float32s, gains: Float32s) -> tuple[np.float32, np.float32]:
    """Return what that many timesteps do to a membrane (see `advance`): power and gain."""
    power, gain = np.float32(1.0), np.float32(0.0)
    while silent > 0:
        k = min(silent, POWERS)
        gain = lengthened(gain, powers[k], gains[k])
        power = product(power, powers[k])
        silent -= k
    return power, gain


@rule
def fires(u: np.float32, threshold: np.float32) -> np.bool_:
    """Compare strictly, as the paper does."""
    return u > threshold


@rule
def crosses(p, u: np.float32, threshold: np.float32) -> np.bool_:  # type: ignore[no-untyped-def]
    """Compare as the neuron's parameters say."""
    return u >= threshold if p.at_threshold else u > threshold


def power_of(base, k):  # type: ignore[no-untyped-def]
    """Return base^k: for whole k >= 0 by squaring, the same bits on every machine, as no pow is."""
    return base**k


@overload(power_of)
def _power_of(base, k):  # type: ignore[no-untyped-def]
    if not isinstance(k, types.Integer):
        return lambda base, k: base**k

    def by_squaring(base, k):  # type: ignore[no-untyped-def]
        power = 1.0
        while k > 0:
            if k & 1:
                power = power * base
            base = base * base
            k >>= 1
        return power

    return by_squaring


@rule
def silence(p, bias, u, second, k, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after k timesteps without input, of which the last `free` were not held.

    Closed forms in float64: u decay^f + bias (1 + decay + ... + decay^(f-1)), and for a current i
    i sum_{j=1..f} current_decay^j decay^(f-j). Nothing can have fired meanwhile: neurons that
    might are brought up to date in every timestep (`may_fire`).
    """
    if k > 0:
        a, b = np.float64(p.second_decay), np.float64(p.decay)
        power = power_of(b, free)
        u = product(u, np.float32(power))
        if p.kind == CUBA_KIND:
            second = product(second, np.float32(power_of(a, k - free)))
            u = u + product(second, np.float32(_cross(a, b, free)))
            second = product(second, np.float32(power_of(a, free)))
        else:
            if bias != 0:
                gain = np.float64(free) if b == 1 else (1 - power) / (1 - b)
                u = u + product(bias, np.float32(gain))
            u = max(u, p.lower_bound)
            second = product(second, np.float32(power_of(a, k)))
    return u, second


@rule
def _cross(a, b, k):  # type: ignore[no-untyped-def]
    """Return sum_{j=1..k} a^j b^(k-j), also where a and b are close to each other."""
    if a == b:
        return k * power_of(a, k)
    if abs(a - b) > 1e-3 or b == 0 or a == 0:
        return a * (power_of(a, k) - power_of(b, k)) / (a - b)
    return a * power_of(b, k) * math.expm1(k * math.log1p((a - b) / b)) / (a - b)


@rule
def step(p, bias, u, second, x, free):  # type: ignore[no-untyped-def]
    """Run one timestep with input x: return (u, second) after the reset, and the spikes.

    `free` is false where a refractory neuron's membrane is held and its input lost.
    """
    if p.kind == CUBA_KIND:
        second = product(second, p.second_decay) + (x + bias)
        x, bias = second, np.float32(0.0)
    spikes = 0
    if free:
        u = max(product(u, p.decay) + (x + bias), p.lower_bound)
        threshold = p.threshold
        if p.kind == ALIF_KIND:
            threshold = threshold + product(p.coupling, second)
        if crosses(p, u, threshold):
            spikes = 1
            if p.many:
                spikes = int(min(u / threshold, np.float32(MAX_SPIKES)))  # positive: rounds down
            subtract = p.reset == RESET_SUBTRACT
            u = u - product(np.float32(spikes), p.threshold) if subtract else p.reset_value
    if p.kind == ALIF_KIND:
        second = product(second, p.second_decay) + np.float32(spikes)
    return u, second, spikes


@rule
def may_fire(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a neuron may fire later without input: never false where it does.

    Without a current a membrane that does not cross in its next free timestep never does, as no
    bias carries it there (`rises_over_threshold` keeps such layers awake).
    """
    coming = product(u, p.decay) + bias
    if p.kind == CUBA_KIND:
        coming = product(max(u, np.float32(0.0)), p.decay)
        if second > 0:
            coming = coming + product(second, p.coupling)
    return crosses(p, coming, p.threshold)
