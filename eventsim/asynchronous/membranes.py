"""One neuron between events: where it stands, when it will fire by itself, what its mean is.

All functions take the neuron's parameters, its bias, membrane and second variable (current or
adaptation) after its last update, and whole microseconds since then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..jit import Float32s, Int64s, kernel
from ..network.neurons import catch_up, integral, may_come, over_threshold, rises
from .tables import NEVER, Population

FAR = 2**50  # microseconds, 36 years: a membrane that has not crossed by then never will


class Model(NamedTuple):
    """The parameters of one neuron, by the names of `NEURON_DTYPE`, for the rules."""

    kind: int
    at_threshold: int
    many: int
    reset: int
    decay: np.float32
    threshold: np.float32
    reset_value: np.float32
    lower_bound: np.float32
    second_decay: np.float32
    coupling: np.float32
    scale: np.float32


@kernel
def model_of(tables: Int64s, weights: Float32s, population: int, channel: int) -> Model:
    """Read the parameters of one channel; the columns are those of `LEVELS`."""
    row = tables[population + Population.levels] + 7 * channel
    return Model(
        tables[population + Population.kind],
        tables[population + Population.at_threshold],
        tables[population + Population.many],
        tables[population + Population.reset],
        weights[row],
        weights[row + 1],
        weights[row + 2],
        weights[row + 3],
        weights[row + 4],
        weights[row + 5],
        np.float32(1.0),
    )


@kernel
def catch_up_us(p, bias, u, second, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Return (u, second) after `elapsed` microseconds, of which the first `held` were refractory.

    The closed form of clocked silence, at real numbers of timesteps.
    """
    free = np.float64(max(0, elapsed - held)) / dt
    return catch_up(p, bias, u, second, np.float64(elapsed) / dt, free)


@kernel
def is_over_at(p, bias, u, second, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Tell whether a neuron would be over its threshold after `elapsed` microseconds."""
    u, second = catch_up_us(p, bias, u, second, elapsed, held, dt)
    return over_threshold(p, u, second)


@kernel
def rises_at(p, bias, u, second, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold after `elapsed` microseconds."""
    u, second = catch_up_us(p, bias, u, second, elapsed, held, dt)
    return rises(p, bias, u, second)


@kernel
def due_after(p, bias, u, second, held, dt):  # type: ignore[no-untyped-def]
    """Return the microseconds until a neuron fires without input, NEVER if it does not.

    A free membrane, measured from its threshold, is a sum of two exponentials and a constant, and
    so has at most one extremum: a peak, or (ALIF) a valley. Crossings are found by bisection over
    whole microseconds, on the closed form that updates use.
    """
    if held > 0 and is_over_at(p, bias, u, second, held, held, dt):
        return held
    if not may_come(p, bias, u, second):
        return NEVER
    first = held + 1
    if is_over_at(p, bias, u, second, first, held, dt):
        return first
    if not rises_at(p, bias, u, second, first, held, dt):
        # Past the peak, or before a valley: then the far side of it decides.
        if is_over_at(p, bias, u, second, FAR, held, dt):
            return crossing(p, bias, u, second, held, dt, first, FAR)
        return NEVER
    low, stride = first, 1
    while low < FAR:
        high = min(low + stride, FAR)
        if is_over_at(p, bias, u, second, high, held, dt):
            return crossing(p, bias, u, second, held, dt, low, high)
        if not rises_at(p, bias, u, second, high, held, dt):
            return around_peak(p, bias, u, second, held, dt, low, high)
        low, stride = high, 2 * stride
    return NEVER


@kernel
def crossing(p, bias, u, second, held, dt, low, high):  # type: ignore[no-untyped-def]
    """Return the first microsecond over threshold in low + 1 .. high, where only the last is sure.

    Once over, the membrane stays over until `high`.
    """
    while high - low > 1:
        middle = (low + high) // 2
        if is_over_at(p, bias, u, second, middle, held, dt):
            high = middle
        else:
            low = middle
    return high


@kernel
def around_peak(p, bias, u, second, held, dt, low, high):  # type: ignore[no-untyped-def]
    """Return the first microsecond over threshold between `low`, rising, and `high`, falling."""
    start = low
    while high - low > 1:
        middle = (low + high) // 2
        if rises_at(p, bias, u, second, middle, held, dt):
            low = middle
        else:
            high = middle
    for peak in (low, high):
        if is_over_at(p, bias, u, second, peak, held, dt):
            return crossing(p, bias, u, second, held, dt, start, peak)
    return NEVER


@kernel
def integral_us(p, bias, u, second, end, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Return the integral of a membrane over `elapsed` microseconds, `held` of them refractory.

    `end`: the membrane after them.
    """
    held = min(held, elapsed)
    total, time = np.float64(u) * held, np.float64(elapsed - held)
    if time > 0:
        total += integral(p, bias, u, second, end, held, time, dt)
    return total
