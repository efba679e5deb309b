"""The neuron models: what a membrane does in a timestep, each in a file of its own.

With input I (weights of arriving spikes, and the bias) and all membranes measured from `rest`, a
model says how the membrane u moves and what it is compared with; its docstring has the formula.
They share what a spike o does to it:

    reset "zero":      u[t] = 0 (that is, `rest`)   where o[t]    (He et al. 2020)
    reset "value":     u[t] = reset_value           where o[t]
    reset "subtract":  u[t] = u[t] - threshold      where o[t]
    reset "none":      u[t] stays

Two resets reach into the next timestep. With r[t+1] = 1 where a timestep leaves u[t] > threshold:

    reset "subtract-next":     u[t+1] = charge(u[t], I[t+1]) - threshold r[t+1], compared so: the
                               threshold of a spike at t leaves in t+1, after decay and input
    reset "subtract-doubled":  as "subtract", but u[t+1] is compared less threshold r[t+1]: where
                               a reset leaves a membrane over threshold, it is doubled for once

Membranes start at rest. Every number may be one for the layer or one for each channel.

Here the models are listed, and the rules pick the formulas of a neuron's kind. A branch on `kind`,
and not a rule that is passed as an argument, because Numba keeps only the former on disk. Called
with a record of `NEURON_DTYPE`, or anything that has the fields of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...jit import rule
from . import alif, cubalif, fixed, lif
from .alif import ALIF
from .alif import KIND as ALIF_KIND
from .cubalif import CUBALI, CUBALIF
from .cubalif import KIND as CUBALIF_KIND
from .fixed import KIND as FIXED_KIND
from .fixed import FixedCUBALIF
from .lif import IF, LI, LIF
from .lif import KIND as LIF_KIND
from .neuron import NeuronModel, NeuronState
from .rules import (
    MAX_SPIKES,
    NEURON_DTYPE,
    RESET_SUBTRACT,
    after_late_reset,
    after_reset,
    crosses,
    is_late,
    owed,
    owes,
    spikes_over,
)

__all__ = [
    "ALIF",
    "ALIF_KIND",
    "CUBALI",
    "CUBALIF",
    "CUBALIF_KIND",
    "FIXED_KIND",
    "IF",
    "LI",
    "LIF",
    "LIF_KIND",
    "MAX_SPIKES",
    "NEURON_DTYPE",
    "NEURON_TYPES",
    "READOUTS_ONLY",
    "RESET_SUBTRACT",
    "FixedCUBALIF",
    "Neuron",
    "NeuronModel",
    "NeuronState",
    "Parameters",
    "adapt",
    "after_reset",
    "catch_up",
    "factors",
    "integral",
    "is_late",
    "may_come",
    "may_fire",
    "over_threshold",
    "receive",
    "relax",
    "rises",
    "spikes_over",
    "step",
]

Neuron = LIF | IF | LI | CUBALIF | CUBALI | ALIF | FixedCUBALIF
READOUTS_ONLY = (LI, CUBALI)  # models that never spike


class Parameters(NamedTuple):
    """The fields of a record of `NEURON_DTYPE` that the rules of a timestep read, as numbers."""

    kind: int
    decay: np.float32
    threshold: np.float32
    at_threshold: bool
    many: bool
    reset: int
    reset_value: np.float32
    lower_bound: np.float32
    second_decay: np.float32
    coupling: np.float32
    scale: np.float32


NEURON_TYPES: dict[str, type[Neuron]] = {
    kind.__name__: kind for kind in (LIF, IF, LI, CUBALIF, CUBALI, ALIF, FixedCUBALIF)
}


@rule
def factors(p, k, free):  # type: ignore[no-untyped-def]
    """Return four numbers that say what k timesteps without input do to a neuron, for `relax`.

    The last `free` of them were not held.
    """
    if p.kind == CUBALIF_KIND:
        return cubalif.factors(p, k, free)
    if p.kind == ALIF_KIND:
        return alif.factors(p, k, free)
    if p.kind == FIXED_KIND:
        return fixed.factors(p, k, free)
    return lif.factors(p, k, free)


@rule
def relax(p, bias, u, second, factors):  # type: ignore[no-untyped-def]
    """Return (u, second) after the timesteps without input that have these `factors`.

    Nothing can have fired meanwhile: neurons that might are brought up to date in every timestep
    (`may_fire`).
    """
    if p.kind == CUBALIF_KIND:
        u, second = cubalif.relax(p, bias, u, second, factors)
    elif p.kind == ALIF_KIND:
        u, second = alif.relax(p, bias, u, second, factors)
    elif p.kind == FIXED_KIND:
        u, second = fixed.relax(p, bias, u, second, factors)
    else:
        u, second = lif.relax(p, bias, u, second, factors)
    return u, second


@rule
def catch_up(p, bias, u, second, k, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after k timesteps without input, of which the last `free` were not held.

    k may be whole or not.
    """
    if k > 0:
        u, second = relax(p, bias, u, second, factors(p, k, free))
    return u, second


@rule
def step(p, bias, u, second, x, free, late):  # type: ignore[no-untyped-def]
    """Run one timestep with input x: return (u, second) after the reset, and the spikes.

    `free` is false where a refractory neuron's membrane is held and its input lost. `late`: what
    `is_late` says, as a number that the compiler knows: with it in the loop of all others, those
    took twice as long.
    """
    taken = owed(p, u) if late else np.float32(0.0)
    if p.kind == CUBALIF_KIND:
        u, second = cubalif.charge(p, bias, u, second, x, free)
    elif p.kind == FIXED_KIND:
        u, second = fixed.charge(p, bias, u, second, x, free)
    else:
        u, second = lif.charge(p, bias, u, second, x, free)
    spikes = np.int32(0)
    if late:
        if free and over_threshold(p, u - taken, second):
            spikes = spikes_over(p, u, p.threshold)
        u = after_late_reset(p, u, taken, spikes)
    elif free and over_threshold(p, u, second):
        spikes = spikes_over(p, u, p.threshold)
        u = after_reset(p, u, spikes)
    if p.kind == ALIF_KIND:
        second = alif.adapt(p, alif.settle(p, second), spikes)
    return u, second, spikes


@rule
def over_threshold(p, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane crosses its threshold, raised as it may be."""
    threshold = p.threshold
    if p.kind == ALIF_KIND:
        threshold = alif.threshold_of(p, second)
    return crosses(p, u, threshold)


@rule
def may_fire(p, bias, u, second, late):  # type: ignore[no-untyped-def]
    """Tell whether a neuron may fire later without input, or is reset: never false where it does.

    `late` as in `step`.
    """
    if p.kind == CUBALIF_KIND:
        coming = cubalif.may_fire(p, bias, u, second)
    elif p.kind == FIXED_KIND:
        coming = fixed.may_fire(p, bias, u, second)
    else:
        coming = lif.may_fire(p, bias, u, second)
    return coming or (late and owes(p, u))


# In asynchronous time:


@rule
def receive(p, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after input x at one time, without a timestep."""
    if p.kind == CUBALIF_KIND:
        return cubalif.receive(p, u, second, x, free)
    return lif.receive(p, u, second, x, free)


@rule
def adapt(p, second, spikes):  # type: ignore[no-untyped-def]
    """Return the second variable after spikes at one time."""
    return alif.adapt(p, second, spikes) if p.kind == ALIF_KIND else second


@rule
def may_come(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane that is free may come over its threshold by itself."""
    if p.kind == CUBALIF_KIND:
        return second > 0
    if p.kind == ALIF_KIND:
        return alif.may_come(p, bias, u, second)
    return lif.may_come(p, bias, u, second)


@rule
def rises(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold: the slope of the closed form."""
    if p.kind == CUBALIF_KIND:
        return cubalif.rises(p, bias, u, second)
    if p.kind == ALIF_KIND:
        return alif.rises(p, bias, u, second)
    return lif.rises(p, bias, u, second)


@rule
def integral(p, bias, u, second, end, held, time, dt):  # type: ignore[no-untyped-def]
    """Return the integral of a membrane over `time` microseconds in which it is free.

    `end`: the membrane after them. `held`: the microseconds before, in which it was not.
    """
    if p.kind == CUBALIF_KIND:
        return cubalif.integral(p, bias, u, second, end, held, time, dt)
    return lif.integral(p, bias, u, second, end, held, time, dt)
