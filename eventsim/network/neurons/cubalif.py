"""CUBALIF: a LIF neuron that integrates a synaptic current; CUBALI: the same without spikes.

    i[t] = current_decay * i[t-1] + I[t]
    u[t] = decay * u[t-1] + i[t]                       o[t] = u[t] > threshold

The second variable is the current. In k silent timesteps it adds i sum_{j=1..k} current_decay^j
decay^(k-j) to the membrane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...jit import product, rule
from ..parameters import Values, float32s
from .neuron import NeuronModel, NeuronState, Reset
from .rules import crosses, exponential, power_of

KIND = 1


@dataclass(frozen=True, repr=False)
class _Currents(NeuronModel):
    """What the two models share."""

    kind: ClassVar[int] = KIND
    has_second: ClassVar[bool] = True
    current_decay: Any

    def _check_levels(self) -> None:
        super()._check_levels()
        if self.lower_bound is not None:  # silent timesteps could not be caught up with at once
            name = type(self).__name__
            raise NetworkError(f"{name}: lower_bound is {self.lower_bound}, expected None")

    def _add_second(self, p: NDArray[Any]) -> None:
        p["second_decay"] = float32s(self.current_decay)
        p["coupling"] = [_most(*pair) for pair in zip(p["second_decay"], p["decay"], strict=True)]

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Count every bias: it flows into the current, and on from there."""
        return np.asarray(bias != 0)

    def fires_alone(self, bias: NDArray[np.float32]) -> bool:
        """Tell that a current can carry a membrane over threshold."""
        return True

    def asynchronous_fault(self, bias: NDArray[np.float32]) -> str | None:
        """Refuse a bias: a current that is fed all the time has no closed form here."""
        if bias.any():
            name = type(self).__name__
            return f"bias is not 0, expected none with {name} in asynchronous time"
        return super().asynchronous_fault(bias)

    def charge(self, p: Any, u: Any, second: Any, add_input: Any) -> tuple[Any, Any]:
        """Return (u, second) after a timestep's decay and input."""
        second = second * p["second_decay"] + self.gained_input(u, add_input)
        return u * p["decay"] + second, second

    def may_fire(self, state: NeuronState, bias: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which neurons may fire later without input; the rule of that name for a layer."""
        p = self.shaped_parameters(state.u)
        with np.errstate(invalid="ignore"):
            by_current = np.where(state.second > 0, state.second * p["coupling"], 0)
        coming = np.maximum(state.u, 0) * p["decay"] + by_current
        return np.asarray(self._owes(p, state.u) | self.crosses(coming, p["threshold"]))

    def relaxed(self, p: Any, bias: Any, u: Any, second: Any, f: Any) -> tuple[Any, Any]:
        """Return (u, second) after f > 0 timesteps, not whole ones, nothing held or clamped."""
        a, b = p["second_decay"], p["decay"]
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = np.where(a == b, f * a**f, a * (a**f - b**f) / (a - b))
        return u * b**f + second * cross, second * a**f

    def receive(self, u: Any, second: Any, x: Any) -> tuple[Any, Any]:
        """Return (u, second) after input at one time."""
        return u + x, second + x


@dataclass(frozen=True, repr=False)
class CUBALIF(_Currents):
    """LIF that integrates a synaptic current; `current_decay` per timestep, 0 to 1."""

    current_decay: Values
    decay: Values
    threshold: Values
    reset: Reset = "zero"


@dataclass(frozen=True, repr=False)
class CUBALI(_Currents):
    """CUBALIF without spikes: the readout of a network's last layer; `current_decay` as there."""

    current_decay: Values
    decay: Values
    threshold: ClassVar[float] = float("inf")  # type: ignore[misc]
    reset: ClassVar[str] = "zero"  # type: ignore[misc]

    def _check(self, field: str, least: float, most: float, expected: str) -> None:
        if field != "threshold":
            super()._check(field, least, most, expected)


def _most(current_decay: np.float32, decay: np.float32) -> float:
    """Return the most that a unit of current can ever add to a membrane.

    That is the largest of the sums a^1 b^(k-1) + ... + a^k b^0 over k, which rise to one peak: near
    the k with a^k log a = b^k log b, or for ever where a current or a membrane keeps all of itself.
    """
    a, b = float(current_decay), float(decay)
    if a == 1 or b == 1:
        return a / (1 - min(a, b)) if a != b else math.inf
    if a == 0 or b == 0:
        return a
    if a == b:
        ks = _around(-1 / math.log(a))

        def sums(k: int) -> float:
            return k * a**k

    else:
        slow, fast = math.log(max(a, b)), math.log(min(a, b))
        ks = _around(math.log(slow / fast) / (fast - slow))

        def sums(k: int) -> float:
            return -a * math.exp(k * slow) * math.expm1(k * (fast - slow)) / abs(a - b)

    return max(map(sums, ks))


def _around(peak: float) -> range:
    """Return the whole numbers near a number, from 1 on."""
    return range(max(1, math.floor(peak) - 1), math.ceil(peak) + 2)


# --- one neuron -----------------------------------------------------------------------------------


@rule
def _cross(a, b, k):  # type: ignore[no-untyped-def]
    """Return sum_{j=1..k} a^j b^(k-j), also where a and b are close to each other."""
    if a == b:
        return k * power_of(a, k)
    if abs(a - b) > 1e-3 or b == 0 or a == 0:
        return a * (power_of(a, k) - power_of(b, k)) / (a - b)
    # From the larger of the two down: the other way round this is 0 * inf after a long silence.
    small, large = min(a, b), max(a, b)
    ratio = -math.expm1(k * math.log1p((small - large) / large))
    return a * power_of(large, k) * ratio / (large - small)


@rule
def factors(p, k, free):  # type: ignore[no-untyped-def]
    """Return what k timesteps without input do, of which the last `free` were not held.

    Computed in float64: decay^f, sum_{j=1..f} current_decay^j decay^(f-j), current_decay^(k-f),
    current_decay^f.
    """
    a, b = np.float64(p.second_decay), np.float64(p.decay)
    return (
        np.float32(power_of(b, free)),
        np.float32(_cross(a, b, free)),
        np.float32(power_of(a, k - free)),
        np.float32(power_of(a, free)),
    )


@rule
def relax(p, bias, u, second, factors):  # type: ignore[no-untyped-def]
    """Return (u, second) after the timesteps without input that have these `factors`."""
    power, cross, held, rest = factors
    second = product(second, held)
    u = product(u, power) + product(second, cross)
    return max(u, p.lower_bound), product(second, rest)


@rule
def charge(p, bias, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after a timestep's decay and input x; a membrane not `free` is held."""
    second = product(second, p.second_decay) + (x + bias)
    if free:
        u = max(product(u, p.decay) + second, p.lower_bound)
    return u, second


@rule
def receive(p, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after input x at one time, without a timestep."""
    if free:
        u = max(u + x, p.lower_bound)
    return u, second + x


@rule
def may_fire(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a neuron may fire later without input: never false where it does."""
    coming = product(max(u, np.float32(0.0)), p.decay)
    if second > 0:
        coming = coming + product(second, p.coupling)
    return crosses(p, coming, p.threshold)


@rule
def rises(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold: the slope of the closed form."""
    a, b = np.float64(p.second_decay), np.float64(p.decay)
    if a == 0 or b == 0 or second <= 0:
        return False
    # (log a - log b) / (a - b), without cancellation where a and b are close
    ratio = 1.0 if a == b else a * np.log1p((a - b) / b) / (a - b)
    return np.log(b) * u + ratio * second > 0


@rule
def integral(p, bias, u, second, end, held, time, dt):  # type: ignore[no-untyped-def]
    """Return the integral of a membrane over `time` microseconds in which it is free.

    `held`: the microseconds before, in which it was not.
    """
    a, b = np.float64(p.second_decay), np.float64(p.decay)
    current = second * a ** (np.float64(held) / dt)
    total = u * exponential(b, time, dt)
    if a == b and a > 0:
        if a == 1:
            return total + current * time * time / (2 * dt)
        f = time / dt
        return total + current * (f * a**f * dt - exponential(a, time, dt)) / np.log(a)
    if a > 0:
        total += current * a * (exponential(a, time, dt) - exponential(b, time, dt)) / (a - b)
    return total
