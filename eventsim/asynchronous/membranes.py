"""One neuron between events: where it stands, when it will fire by itself, what its mean is.

All functions take the neuron's parameters, its bias, membrane and second variable (current or
adaptation) after its last update, and whole microseconds since then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..jit import Float32s, Int64s, bare_kernel
from ..network.rules import ALIF_KIND, CUBA_KIND, crosses, silence
from .columns import NEVER, N

FAR = 2**50  # microseconds, 36 years: a membrane that has not crossed by then never will


class Model(NamedTuple):
    """The parameters of one neuron, by the names of `NEURON_DTYPE`, for the rules."""

    kind: int
    at_threshold: int
    decay: np.float32
    threshold: np.float32
    reset_value: np.float32
    lower_bound: np.float32
    second_decay: np.float32
    coupling: np.float32


@bare_kernel
def model_of(tables: Int64s, weights: Float32s, population: int, channel: int) -> Model:
    """Read the parameters of one channel; the columns are those of `LEVELS`."""
    row = tables[population + N.levels] + 7 * channel
    return Model(
        tables[population + N.kind],
        tables[population + N.at_threshold],
        weights[row],
        weights[row + 1],
        weights[row + 2],
        weights[row + 3],
        weights[row + 4],
        weights[row + 5],
    )


@bare_kernel
def later(p, bias, u, second, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Return (u, second) after `elapsed` microseconds, of which the first `held` were refractory.

    The closed form of clocked silence, at real numbers of timesteps.
    """
    free = np.float64(max(0, elapsed - held)) / dt
    return silence(p, bias, u, second, np.float64(elapsed) / dt, free)


@bare_kernel
def over(p, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane crosses its threshold, raised as it may be."""
    threshold = p.threshold
    if p.kind == ALIF_KIND:
        threshold = threshold + p.coupling * second
    return crosses(p, u, threshold)


@bare_kernel
def due_after(p, bias, u, second, held, dt):  # type: ignore[no-untyped-def]
    """Return the microseconds until a neuron fires without input, NEVER if it does not.

    A free membrane, measured from its threshold, is a sum of two exponentials and a constant, and
    so has at most one extremum: a peak, or (ALIF) a valley. Crossings are found by bisection over
    whole microseconds, on the closed form that updates use.
    """
    if held > 0 and over(p, *later(p, bias, u, second, held, held, dt)):
        return held
    if p.kind == CUBA_KIND:
        if second <= 0:
            return NEVER
    elif not may_rise(p, bias) and (second == 0 or not reaches_threshold(p, bias, u)):
        return NEVER
    first = held + 1
    if over(p, *later(p, bias, u, second, first, held, dt)):
        return first
    if not rises(p, bias, *later(p, bias, u, second, first, held, dt)):
        # Past the peak, or before a valley: then the far side of it decides.
        if over(p, *later(p, bias, u, second, FAR, held, dt)):
            return crossing(p, bias, u, second, held, dt, first, FAR)
        return NEVER
    low, stride = first, 1
    while low < FAR:
        high = min(low + stride, FAR)
        then_u, then_second = later(p, bias, u, second, high, held, dt)
        if over(p, then_u, then_second):
            return crossing(p, bias, u, second, held, dt, low, high)
        if not rises(p, bias, then_u, then_second):
            return around_peak(p, bias, u, second, held, dt, low, high)
        low, stride = high, 2 * stride
    return NEVER


@bare_kernel
def may_rise(p, bias):  # type: ignore[no-untyped-def]
    """Tell whether a bias may carry a membrane over threshold; as `rises_over_threshold`."""
    return bias > 0 and bias > (1.0 - np.float64(p.decay) - 1e-5) * p.threshold


@bare_kernel
def reaches_threshold(p, bias, u):  # type: ignore[no-untyped-def]
    """Tell whether a membrane is over the threshold that it would have without adaptation.

    It lies between where it is and where its bias carries it, which `may_rise` has looked at.
    """
    return u >= p.threshold


@bare_kernel
def rises(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold: the slope of the closed form."""
    a, b = np.float64(p.second_decay), np.float64(p.decay)
    fading = np.log(b) if b > 0 else 0.0  # at decay 0 it is where it will be after a microsecond
    if p.kind == CUBA_KIND:
        if a == 0 or b == 0 or second <= 0:
            return False
        # (log a - log b) / (a - b), without cancellation where a and b are close
        ratio = 1.0 if a == b else a * np.log1p((a - b) / b) / (a - b)
        return fading * u + ratio * second > 0
    slope = np.float64(bias)
    if b < 1:
        slope = fading * (u - bias / (1 - b))
    if u <= p.lower_bound and slope < 0:
        return False
    if p.kind == ALIF_KIND and a > 0 and second > 0:
        slope -= np.log(a) * p.coupling * second
    return slope > 0


@bare_kernel
def crossing(p, bias, u, second, held, dt, low, high):  # type: ignore[no-untyped-def]
    """Return the first microsecond over threshold in low + 1 .. high, where only the last is sure.

    Once over, the membrane stays over until `high`.
    """
    while high - low > 1:
        middle = (low + high) // 2
        if over(p, *later(p, bias, u, second, middle, held, dt)):
            high = middle
        else:
            low = middle
    return high


@bare_kernel
def around_peak(p, bias, u, second, held, dt, low, high):  # type: ignore[no-untyped-def]
    """Return the first microsecond over threshold between `low`, rising, and `high`, falling."""
    start = low
    while high - low > 1:
        middle = (low + high) // 2
        if rises(p, bias, *later(p, bias, u, second, middle, held, dt)):
            low = middle
        else:
            high = middle
    for peak in (low, high):
        if over(p, *later(p, bias, u, second, peak, held, dt)):
            return crossing(p, bias, u, second, held, dt, start, peak)
    return NEVER


@bare_kernel
def integral(p, bias, u, second, elapsed, held, dt):  # type: ignore[no-untyped-def]
    """Return the integral of a membrane over `elapsed` microseconds, `held` of them refractory."""
    held = min(held, elapsed)
    total = np.float64(u) * held
    time = np.float64(elapsed - held)
    if time == 0:
        return total
    a, b = np.float64(p.second_decay), np.float64(p.decay)
    if p.kind == CUBA_KIND:
        current = second * a ** (np.float64(held) / dt)
        total += u * exponential(b, time, dt)
        if a == b and a > 0:
            if a == 1:
                return total + current * time * time / (2 * dt)
            f = time / dt
            return total + current * (f * a**f * dt - exponential(a, time, dt)) / np.log(a)
        if a > 0:
            total += current * a * (exponential(a, time, dt) - exponential(b, time, dt)) / (a - b)
        return total
    clamped = 0.0
    if bias < 0 and later(p, bias, u, second, elapsed, held, dt)[0] <= p.lower_bound:
        free = min(time, time_to(np.float64(p.lower_bound), bias, u, b) * dt)
        clamped, time = time - free, free
        total += clamped * p.lower_bound
    if b == 1:
        return total + u * time + bias * time * time / (2 * dt)
    end = bias / (1 - b)
    return total + end * time + (u - end) * exponential(b, time, dt)


@bare_kernel
def exponential(decay: float, time: float, dt: float) -> float:
    """Return the integral of decay^(s / dt) for s = 0 .. time."""
    if decay == 0:
        return 0.0
    if decay == 1:
        return time
    rate = np.log(decay)
    return dt * np.expm1(rate * time / dt) / rate


@bare_kernel
def time_to(level: float, bias: float, u: float, decay: float) -> float:
    """Return the timesteps in which a membrane that falls to a level below has reached it."""
    if decay == 0 or u <= level:
        return 0.0
    if decay == 1:
        return (level - u) / bias
    end = bias / (1 - decay)
    if end >= level:  # it comes so close that float32 sees no difference
        return np.inf
    return np.log((level - end) / (u - end)) / np.log(decay)
