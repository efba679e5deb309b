"""The scalar rules that all neuron models share: one neuron, compiled into every engine.

p: a record of `NEURON_DTYPE`. What is multiplied and then added goes through `product`, so that a
GPU rounds as a CPU does.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from ...jit import product, rule

MAX_SPIKES = 2**24  # of one neuron in one timestep; up to here float32 holds every whole number

RESET_VALUE, RESET_SUBTRACT, RESET_SUBTRACT_NEXT, RESET_SUBTRACT_DOUBLED, RESET_NONE = range(5)

# One neuron as the rules know it. Membranes and levels are measured from rest.
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
        ("second_decay", "f4"),  # of the second variable: a current, or an adaptation
        ("coupling", "f4"),  # of the second variable with membrane or threshold; see the models
        ("scale", "f4"),  # of what arrives, in fixed point
    ],
    align=True,
)


@rule
def crosses(p, u: np.float32, threshold: np.float32) -> np.bool_:  # type: ignore[no-untyped-def]
    """Compare as the neuron's parameters say."""
    return u >= threshold if p.at_threshold else u > threshold


@rule
def spikes_over(p, u: np.float32, threshold: np.float32) -> np.int32:  # type: ignore[no-untyped-def]
    """Return how many spikes a membrane over its threshold makes at once."""
    if p.many:
        return np.int32(min(u / threshold, np.float32(MAX_SPIKES)))  # positive: rounds down
    return np.int32(1)


@rule
def after_reset(p, u: np.float32, spikes: int) -> np.float32:  # type: ignore[no-untyped-def]
    """Return a membrane after so many spikes, by a reset that is over with its timestep."""
    if p.reset == RESET_SUBTRACT:
        return u - product(np.float32(spikes), p.threshold)
    return p.reset_value


@rule
def is_late(p) -> np.bool_:  # type: ignore[no-untyped-def]
    """Tell whether a reset is none, or reaches into the next timestep."""
    return p.reset > RESET_SUBTRACT


@rule
def owed(p, u: np.float32) -> np.float32:  # type: ignore[no-untyped-def]
    """Return what a membrane, as a timestep left it, is to lose before the next comparison."""
    return p.threshold if p.reset != RESET_NONE and crosses(p, u, p.threshold) else np.float32(0.0)


@rule
def after_late_reset(p, u: np.float32, owed: np.float32, spikes: int) -> np.float32:  # type: ignore[no-untyped-def]
    """Return a membrane that owed so much after so many spikes, 0 included."""
    if p.reset == RESET_SUBTRACT_NEXT:
        return u - owed
    if p.reset == RESET_SUBTRACT_DOUBLED:
        return u - product(np.float32(spikes), p.threshold)
    return u


@rule
def owes(p, u: np.float32) -> np.bool_:  # type: ignore[no-untyped-def]
    """Tell whether the next timestep still resets a membrane."""
    return p.reset == RESET_SUBTRACT_NEXT and crosses(p, u, p.threshold)


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
def exponential(decay: float, time: float, dt: float) -> float:
    """Return the integral of decay^(s / dt) for s = 0 .. time."""
    if decay == 0:
        return 0.0
    if decay == 1:
        return time
    rate = np.log(decay)
    return dt * np.expm1(rate * time / dt) / rate
