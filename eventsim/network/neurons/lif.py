"""LIF, IF and LI: a membrane that leaks, or does not, or only shows itself.

    LIF       u[t] = decay * u[t-1] + I[t]             o[t] = u[t] > threshold   (He et al. 2020)
    IF        the same with decay 1
    LI        as LIF, but never a spike: a readout

Out: the three models; their rules for one neuron; and `catch_up_plain`, what any number of silent
timesteps do to the membrane of a layer that needs no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import NetworkError
from ...jit import Float32s, product, rule
from ..parameters import Values
from .neuron import NeuronModel, Reset
from .rules import crosses, exponential, power_of

KIND = 0

# Silent timesteps that one look into the tables of powers and gains can catch up with; longer
# silences take several.
POWERS = 1024


@dataclass(frozen=True, repr=False)
class _Leaky(NeuronModel):
    """What the three models share."""

    kind: ClassVar[int] = KIND

    @property
    def plain(self) -> bool:
        """Whether one comparison and one reset, the same for the layer, are all that it does."""
        more = self.spikes == "many" or self.refractory > 0 or self.lower_bound is not None
        more |= self.reset not in ("zero", "value", "subtract")
        p = self.parameters(self.channels or 1)
        return not more and bool((p == p[0]).all())


@dataclass(frozen=True, repr=False)
class LIF(_Leaky):
    """Leaky integrate-and-fire, the paper's with the defaults.

    Raises `NetworkError` for values that its parameters cannot have, as all models do.
    """

    decay: Values
    threshold: Values
    reset: Reset = "zero"


@dataclass(frozen=True, repr=False)
class IF(_Leaky):
    """Integrate-and-fire without leak; parameters as in `LIF`."""

    threshold: Values
    reset: Reset = "zero"
    decay: ClassVar[float] = 1.0  # type: ignore[misc]  # the membrane keeps all of itself

    def _check_levels(self) -> None:
        super()._check_levels()
        if self.input_gain != "one":  # 1 - decay would be 0
            raise NetworkError(f"IF: input_gain is {self.input_gain!r}, expected 'one'")


@dataclass(frozen=True, repr=False)
class LI(_Leaky):
    """Leaky integrator without spikes: the readout of a network's last layer."""

    decay: Values
    threshold: ClassVar[float] = float("inf")  # type: ignore[misc]
    reset: ClassVar[str] = "zero"  # type: ignore[misc]

    def _check(self, field: str, least: float, most: float, expected: str) -> None:
        if field != "threshold":
            super()._check(field, least, most, expected)


# --- one neuron -----------------------------------------------------------------------------------


@rule
def factors(p, k, free):  # type: ignore[no-untyped-def]
    """Return what k timesteps without input do, of which the last `free` were not held.

    Computed in float64: decay^f and 1 + decay + ... + decay^(f-1) of the membrane; of a second
    variable, which there is none of, what is left where the membrane is held, and free.
    """
    b, one = np.float64(p.decay), np.float32(1.0)
    power = power_of(b, free)
    gain = np.float64(free) if b == 1 else (1 - power) / (1 - b)
    return np.float32(power), np.float32(gain), one, one


@rule
def relax(p, bias, u, second, factors):  # type: ignore[no-untyped-def]
    """Return (u, second) after the timesteps without input that have these `factors`."""
    power, gain, _, _ = factors
    return max(product(u, power) + product(bias, gain), p.lower_bound), second


@rule
def charge(p, bias, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after a timestep's decay and input x; a membrane not `free` is held."""
    if free:
        u = max(product(u, p.decay) + (x + bias), p.lower_bound)
    return u, second


@rule
def receive(p, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after input x at one time, without a timestep."""
    if free:
        u = max(u + x, p.lower_bound)
    return u, second


@rule
def may_fire(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a neuron may fire later without input: never false where it does.

    A membrane that does not cross in its next free timestep never does, as no bias carries it there
    (`rises_over_threshold` keeps such layers awake).
    """
    return crosses(p, product(u, p.decay) + bias, p.threshold)


@rule
def may_come(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane may come over its threshold by itself; as `rises_over_threshold`."""
    return bias > 0 and bias > (1.0 - np.float64(p.decay) - 1e-5) * p.threshold


@rule
def rises(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold: the slope of the closed form."""
    slope = slope_of(p, bias, u)
    return slope > 0 and not (u <= p.lower_bound and slope < 0)


@rule
def slope_of(p, bias, u):  # type: ignore[no-untyped-def]
    """Return the change of a membrane in a timestep, at the beginning of it."""
    b = np.float64(p.decay)
    fading = np.log(b) if b > 0 else 0.0  # at decay 0 it is where it will be after a microsecond
    return fading * (u - bias / (1 - b)) if b < 1 else np.float64(bias)


@rule
def integral(p, bias, u, second, end, held, time, dt):  # type: ignore[no-untyped-def]
    """Return the integral of a membrane over `time` microseconds in which it is free.

    `end`: the membrane after them. `held`: the microseconds before, in which it was not.
    """
    b, clamped = np.float64(p.decay), 0.0
    if bias < 0 and end <= p.lower_bound:
        free = min(time, time_to(np.float64(p.lower_bound), bias, u, b) * dt)
        clamped, time = (time - free) * p.lower_bound, free
    if b == 1:
        return clamped + u * time + bias * time * time / (2 * dt)
    limit = bias / (1 - b)
    return clamped + limit * time + (u - limit) * exponential(b, time, dt)


@rule
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


# --- one neuron of a plain layer ------------------------------------------------------------------


@rule
def catch_up_plain(
    u: np.float32, power: np.float32, bias: np.float32, gain: np.float32
) -> np.float32:
    """Return a membrane after k timesteps without input.

    `power` is decay^k, `gain` is 1 + decay + ... + decay^(k-1): the bias of each timestep, decayed
    since. For k = 1 this is decay * u + bias.
    """
    return product(u, power) + product(bias, gain)


@rule
def decayed(u: np.float32, power: np.float32) -> np.float32:
    """`catch_up_plain` without a bias."""
    return product(u, power)


@rule
def lengthened(gain: np.float32, power: np.float32, more: np.float32) -> np.float32:
    """Return the gain of a silence that goes on, for power and gain of the rest."""
    return product(gain, power) + more


@rule
def factors_of(silent: int, powers: Float32s, gains: Float32s) -> tuple[np.float32, np.float32]:
    """Return the power and the gain of so many timesteps, from the tables of the first `POWERS`."""
    power, gain = np.float32(1.0), np.float32(0.0)
    while silent > 0:
        k = min(silent, POWERS)
        gain = lengthened(gain, powers[k], gains[k])
        power = product(power, powers[k])
        silent -= k
    return power, gain


@rule
def add_product(u: np.float32, weight: np.float32, value: np.float32) -> np.float32:
    """Add a weight to a membrane as often as a graded spike counts."""
    return u + product(weight, value)


@rule
def fires(u: np.float32, limit: np.float32) -> np.bool_:
    """Compare strictly, as the paper does; `limit` is below the threshold where ">=" is meant."""
    return u > limit
