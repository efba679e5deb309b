"""The neuron models: what a membrane does in a timestep, each written once.

A model is a frozen dataclass of parameters with two forms of the same behaviour:

- `step`: dense NumPy over whole layers, used by `reference.py`, short and obvious;
- the scalar rules `advance`, `fires`, `reset`, compiled into the loops of every engine, driven by
  the numbers that `parameters` returns.

Per timestep t, with input current I (weights of arriving spikes) and bias b:

    u[t] = decay * u[t-1] + b + I[t]        o[t] = u[t] > threshold
    reset "zero":      u[t] = 0               where o[t]      (He et al. 2020, eq. of the LIF)
    reset "subtract":  u[t] = u[t] - threshold where o[t]

`IF` is the same with decay 1. Membranes start at 0. The comparison is strict.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .jit import rule

Reset = Literal["zero", "subtract"]
RESETS: tuple[Reset, ...] = get_args(Reset)


class NeuronParameters(NamedTuple):
    """What the kernels know of a neuron model; float32 like every number in them."""

    decay: np.float32
    threshold: np.float32
    subtract: bool

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell for which biases a membrane at or under threshold may cross it without input.

        The largest such membrane is the threshold itself, so a bias b can carry it over exactly if
        decay * threshold + b > threshold. Biases within rounding of that limit count as able to.
        """
        limit = (1.0 - float(self.decay) - 1e-5) * float(self.threshold)
        return np.asarray((bias > 0) & (bias > limit))


class _Neuron:
    """The behaviour shared by the models below."""

    decay: float
    threshold: float
    reset: Reset

    def __post_init__(self) -> None:
        """Refuse parameters that no timestep could run with; keep numbers as Python's float."""
        name = type(self).__name__
        for field, value in tuple(vars(self).items()):
            if isinstance(value, Real):
                object.__setattr__(self, field, float(value))
            elif field != "reset":
                raise NetworkError(f"{name}: {field} is {value!r}, expected a number")
        if not 0.0 <= self.decay <= 1.0:
            raise NetworkError(f"{name}: decay is {self.decay}, expected 0 to 1")
        float32 = np.finfo(np.float32)
        least, most = float(float32.smallest_subnormal), float(float32.max)
        if not least <= self.threshold <= most:
            raise NetworkError(
                f"{name}: threshold is {self.threshold}, expected {least} to {most} (float32)"
            )
        if self.reset not in RESETS:
            raise NetworkError(f"{name}: reset is {self.reset!r}, expected one of {RESETS}")

    def parameters(self) -> NeuronParameters:
        """Return the parameters as the kernels use them."""
        return NeuronParameters(
            np.float32(self.decay), np.float32(self.threshold), self.reset == "subtract"
        )

    def step(
        self, membrane: NDArray[Any], add_input: Any
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
        """Run one timestep of a whole layer, in the precision of `membrane`.

        `add_input(u)` adds bias and currents to an array in place. Returns the membrane after
        reset, the spikes, and the membrane that was compared with the threshold.
        """
        decay, threshold, subtract = self.parameters()
        dtype = membrane.dtype.type
        u = membrane * dtype(decay)
        add_input(u)
        spikes = u > dtype(threshold)
        after = np.where(spikes, u - dtype(threshold) if subtract else dtype(0), u)
        return after, spikes, u


@dataclass(frozen=True)
class LIF(_Neuron):
    """Leaky integrate-and-fire, the paper's with the default reset.

    `decay`: factor of the membrane per timestep (exp(-dt/tau)), 0 to 1. `threshold` > 0.
    `reset`: "zero" or "subtract" (the threshold). Raises `NetworkError` for other values.
    """

    decay: float
    threshold: float
    reset: Reset = "zero"


@dataclass(frozen=True)
class IF(_Neuron):
    """Integrate-and-fire without leak; parameters as in `LIF`."""

    threshold: float
    reset: Reset = "zero"

    @property
    def decay(self) -> float:  # type: ignore[override]
        """No leak: the membrane keeps all of itself."""
        return 1.0


Neuron = LIF | IF
NEURON_TYPES: dict[str, type[LIF] | type[IF]] = {"LIF": LIF, "IF": IF}


@rule
def advance(u: np.float32, power: np.float32, bias: np.float32, gain: np.float32) -> np.float32:
    """Bring a membrane up to date after k timesteps without input.

    `power` is decay^k, `gain` is 1 + decay + ... + decay^(k-1): the bias of each timestep, decayed
    since. For k = 1 this is decay * u + bias.
    """
    return u * power + bias * gain


@rule
def fires(u: np.float32, threshold: np.float32) -> np.bool_:
    """Compare strictly, as the paper does."""
    return u > threshold


@rule
def reset(u: np.float32, threshold: np.float32, subtract: bool) -> np.float32:
    """Return the membrane after a spike."""
    return u - threshold if subtract else np.float32(0.0)
