"""ALIF: a LIF neuron whose threshold rises with each of its spikes, and falls back.

    a[t] = adaptation_decay * a[t-1] + o[t-1]
    u[t] = decay * u[t-1] + I[t]
    o[t] = u[t] > threshold + adaptation * a[t]        (Bellec et al. 2020, e-prop, eq. 8)

The second variable is a, of the coming timestep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...jit import product, rule
from ..parameters import MOST_FLOAT32, Values, float32s
from . import lif
from .neuron import LATE, NeuronModel, Reset
from .rules import power_of

KIND = 2


@dataclass(frozen=True, repr=False)
class ALIF(NeuronModel):
    """LIF whose threshold rises by `adaptation` with each spike and falls back.

    `adaptation_decay` per timestep, 0 to 1; `adaptation` >= 0. One spike a timestep.
    """

    decay: Values
    threshold: Values
    adaptation_decay: Values
    adaptation: Values
    reset: Reset = "zero"
    kind: ClassVar[int] = KIND
    has_second: ClassVar[bool] = True

    def _check_levels(self) -> None:
        super()._check_levels()
        self._check("adaptation", 0.0, MOST_FLOAT32, f"0 to {MOST_FLOAT32} (float32)")
        if self.spikes != "one":
            raise NetworkError(f"ALIF: spikes is {self.spikes!r}, expected 'one'")
        if self.reset in (*LATE, "none"):
            raise NetworkError(f"ALIF: reset is {self.reset!r}, expected zero, value or subtract")

    def _add_second(self, p: NDArray[Any]) -> None:
        p["second_decay"] = float32s(self.adaptation_decay)
        p["coupling"] = float32s(self.adaptation)

    def fires_alone(self, bias: NDArray[np.float32]) -> bool:
        """Tell that a membrane may stand still while its threshold falls."""
        return True

    def thresholds(self, p: Any, second: Any) -> Any:
        """Return what membranes are compared with."""
        return p["threshold"] + p["coupling"] * second

    def settle(self, p: Any, second: Any) -> Any:
        """Return the second variable after the comparison of a timestep, for the next one."""
        return second * p["second_decay"]

    def adapt(self, second: Any, spikes: Any) -> Any:
        """Return the second variable after spikes."""
        return second + spikes


# --- one neuron: where not said, as LIF -----------------------------------------------------------


@rule
def factors(p, k, free):  # type: ignore[no-untyped-def]
    """Return what k timesteps without input do, the last `free` of them not held."""
    power, gain, held, _ = lif.factors(p, k, free)
    return power, gain, held, np.float32(power_of(np.float64(p.second_decay), k))


@rule
def relax(p, bias, u, second, factors):  # type: ignore[no-untyped-def]
    """Return (u, second) after the timesteps without input that have these `factors`."""
    u, second = lif.relax(p, bias, u, second, factors)
    return u, product(second, factors[3])


@rule
def threshold_of(p, second):  # type: ignore[no-untyped-def]
    """Return what a membrane is compared with."""
    return p.threshold + product(p.coupling, second)


@rule
def settle(p, second):  # type: ignore[no-untyped-def]
    """Return the second variable after the comparison of a timestep, for the next one."""
    return product(second, p.second_decay)


@rule
def adapt(p, second, spikes):  # type: ignore[no-untyped-def]
    """Return the second variable after spikes."""
    return second + np.float32(spikes)


@rule
def may_come(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane may come over its threshold by itself.

    Without adaptation it lies between where it is and where its bias carries it.
    """
    return lif.may_come(p, bias, u, second) or (second != 0 and u >= p.threshold)


@rule
def rises(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a membrane comes closer to its threshold: the slope of the closed forms."""
    slope, a = lif.slope_of(p, bias, u), np.float64(p.second_decay)
    if u <= p.lower_bound and slope < 0:
        return False
    if a > 0 and second > 0:
        slope -= np.log(a) * p.coupling * second
    return slope > 0
