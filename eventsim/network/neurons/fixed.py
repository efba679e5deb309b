"""FixedCUBALIF: a CUBA-LIF neuron in the integers of Intel's Loihi.

    i[t] = shrink(i[t-1], current_decay) + (I[t] << 6 + weight_exponent)
    u[t] = shrink(u[t-1], decay) + i[t] + (bias << 6)
    o[t] = u[t] > threshold << 6

    shrink(x, d) = sign(x) ((|x| (4096 - d)) >> 12)         decays of 12 bits, towards zero

Formulas and bits: Davies et al. 2018, IEEE Micro 38(1), and the bit-accurate LIF of Lava, which
lava-dl runs its networks with. The input of a timestep has 21 bits and a sign (as the emulator of
NengoLoihi has it), current and membrane have 23 and a sign. A membrane saturates. Input or current
that leave their bits wrap on the chip; here the current is `OVERFLOWED` from then on, and the run
ends with an error (`overflow`).

Weights and biases are whole numbers. The second variable is the current. All numbers are whole and
below 2^24, so float32 holds each of them, and the kernels keep them so: their sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...checks import is_whole
from ...errors import EventsimError, NetworkError
from ...jit import product, rule
from ..parameters import Values
from .cubalif import most_of
from .neuron import Add, NeuronModel, NeuronState
from .rules import crosses

KIND = 3

UNITY = 4096  # a decay of everything
SHIFT = 6  # of biases and thresholds, and of weights whose exponent is 0
MOST = 2**23 - 1  # of a membrane or a current
INPUT_LIMIT = 2**21  # the input of a timestep, shifted, stays below
OVERFLOWED = 2.0**24  # stands for a current from where it left its bits on
MOST_THRESHOLD = MOST_BIAS = 2**17 - 1
WEIGHT_BITS = 9  # with the sign: a mantissa of 8 bits that are all of one sign
EXPONENTS = (-SHIFT, 7)
# Inputs are added up in float32. Above this sum, which a chip has no room for, it would round.
MOST_INPUT = 2**24


@dataclass(frozen=True, repr=False)
class FixedCUBALIF(NeuronModel):
    """CUBA-LIF in whole numbers, as Loihi and lava-dl have it.

    `current_decay`, `decay`: 0 (keeps all) to 4096 (keeps nothing) for each timestep. `threshold`:
    a mantissa, 0 to 2^17 - 1. `weight_exponent`: -6 to 7, of all weights of the layer. The layer's
    weights are whole numbers -256 to 255, its biases -(2^17 - 1) to 2^17 - 1. `refractory` as in
    every model: the membrane stays at 0, the current goes on. All else is fixed.
    """

    current_decay: Values
    decay: Values
    threshold: Values
    weight_exponent: int = 0
    reset: ClassVar[str] = "zero"  # type: ignore[misc]
    kind: ClassVar[int] = KIND
    has_second: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what is not whole or out of range."""
        exponent = self.weight_exponent
        if not is_whole(exponent, *EXPONENTS):
            raise NetworkError(
                f"FixedCUBALIF: weight_exponent is {exponent!r}, expected whole, "
                f"{EXPONENTS[0]} to {EXPONENTS[1]}"
            )
        super().__post_init__()
        object.__setattr__(self, "weight_exponent", int(exponent))
        for name in ("current_decay", "decay", "threshold"):
            value = getattr(self, name)
            whole = tuple(map(int, value)) if isinstance(value, tuple) else int(value)
            object.__setattr__(self, name, whole)

    def _check(self, field: str, least: float, most: float, expected: str) -> None:
        most = MOST_THRESHOLD if field == "threshold" else UNITY
        for value in np.atleast_1d(getattr(self, field)).tolist():
            if not (0 <= value <= most and value == int(value)):
                raise NetworkError(
                    f"FixedCUBALIF: {field} is {value}, expected a whole number, 0 to {most}"
                )

    def _check_levels(self) -> None:
        for field, expected in (
            ("rest", 0.0), ("comparison", ">"), ("reset_value", 0.0), ("input_gain", "one"),
            ("lower_bound", None), ("spikes", "one"),
        ):  # fmt: skip
            if (value := getattr(self, field)) != expected:
                raise NetworkError(f"FixedCUBALIF: {field} is {value!r}, expected {expected!r}")

    def layer_fault(self, name: str, values: NDArray[np.float32]) -> str | None:
        """Say why a layer's weights or biases are no such whole numbers; None if they are."""
        most = MOST_BIAS if name == "bias" else 2 ** (WEIGHT_BITS - 1) - 1
        least = -most if name == "bias" else -most - 1
        bad = (values != np.rint(values)) | (values < least) | (values > most)
        if not bad.any():
            return None
        return f"{name} has {values[bad][0]:g}, expected whole numbers, {least} to {most}"

    @property
    def leaks(self) -> int:
        """How many of a neuron's variables are multiplied by a decay."""
        return int(np.any(self.decay)) + int(np.any(self.current_decay))

    @property
    def settles(self) -> bool:
        """Whether no current flows on in neurons that are all alike and never held."""
        p = self.parameters(self.channels or 1)
        return bool((p == p[0]).all()) and not p[0]["second_decay"] and self.refractory == 0

    def parameters(self, channels: int = 1) -> NDArray[Any]:
        """Return what the kernels know of the model; decays are the part that stays."""
        p = super().parameters(channels)
        p["decay"] = (UNITY - np.asarray(self.decay)) / UNITY
        p["second_decay"] = (UNITY - np.asarray(self.current_decay)) / UNITY
        p["threshold"] = np.asarray(self.threshold) << SHIFT
        p["lower_bound"] = -MOST
        p["scale"] = 2.0 ** (SHIFT + self.weight_exponent)
        left = zip(p["second_decay"], p["decay"], strict=True)
        # Not less than it is, once rounded; and a number where it is infinite.
        p["coupling"] = np.minimum([most_of(*pair) * (1 + 2.0**-20) for pair in left], OVERFLOWED)
        return p

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell for which biases (channels,) a membrane at or under threshold may cross alone.

        What is left of a membrane rises with it, so the threshold itself tells.
        """
        p = self.parameters(len(bias))
        threshold = p["threshold"].astype(np.int64)
        left = shrunk(threshold, UNITY - np.asarray(self.decay))
        return np.asarray(left + _shifted(bias) > threshold)

    def asynchronous_fault(self, bias: NDArray[np.float32]) -> str | None:
        """Refuse: what is cut off in each timestep has no form in between."""
        return "FixedCUBALIF takes whole timesteps, expected another neuron in asynchronous time"

    # --- the dense form, in int64 -----------------------------------------------------------------

    def initial_state(self, shape: tuple[int, ...], dtype: Any) -> NeuronState:
        """Return the state before the first timestep, in int64 whatever `dtype` is."""
        return super().initial_state(shape, np.int64)

    def charge(self, p: Any, u: Any, second: Any, add_bias: Add, add_input: Add) -> tuple[Any, Any]:
        """Return (u, second) after a timestep; raises `EventsimError` where the current wraps."""
        arriving, bias = np.zeros(u.shape), np.zeros(u.shape)
        add_input(arriving)
        add_bias(bias)
        arriving = arriving * 2.0 ** (SHIFT + self.weight_exponent)
        kept, left = self._kept(u)
        second = shrunk(second, left) + arriving.astype(np.int64)
        if (np.abs(arriving) >= INPUT_LIMIT).any() or (np.abs(second) > MOST).any():
            raise overflow()
        moved = shrunk(u, kept) + second + _shifted(bias)
        return np.minimum(moved, MOST), second

    def may_fire(self, state: NeuronState, bias: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which neurons may fire later without input; the rule of that name for a layer."""
        p, (_, left) = self.parameters(len(state.u)), self._kept(state.u)
        decay, threshold, coupling = (
            self.shaped(p[name], np.zeros(state.u.shape, np.float32))
            for name in ("decay", "threshold", "coupling")
        )
        u, current = (np.maximum(x, 0).astype(np.float32) for x in (state.u, state.second))
        coming = u * decay + current * coupling
        fed = (bias > 0) & (shrunk(state.second, left) > 0)
        return np.asarray(fed | (coming > threshold))

    def _kept(self, u: NDArray[Any]) -> tuple[Any, Any]:
        """Return what of 4096 stays of membranes and of currents, in their shape."""
        both = (UNITY - np.asarray(one) for one in (self.decay, self.current_decay))
        kept, left = (self.shaped(one, u) for one in both)
        return kept, left


def shrunk(x: Any, kept: Any) -> Any:
    """Return what is left of whole numbers, `kept` of 4096 of them, rounded towards zero."""
    return np.sign(x) * ((np.abs(x) * np.asarray(kept, np.int64)) >> 12)


def _shifted(bias: Any) -> Any:
    return np.asarray(bias).astype(np.int64) << SHIFT


class CurrentOverflowError(EventsimError):
    """A current, or the input of a timestep, left its bits: on the chip it would have wrapped."""


def overflow(where: str = "") -> CurrentOverflowError:
    """Return the error, beginning with where it was."""
    return CurrentOverflowError(
        f"{where}the current of a neuron left its 24 bits, or the input of one timestep 22, and "
        f"would wrap on a chip; expected smaller weights, a smaller weight_exponent or more decay"
    )


# --- one neuron -----------------------------------------------------------------------------------


@rule
def left_of(x, part):  # type: ignore[no-untyped-def]
    """Return `shrunk` of a whole number below 2^24 in size, of which a part of 4096ths stays.

    In two parts of 12 bits, so that no product rounds in float32.
    """
    high = product(cut_off(product(x, np.float32(1 / UNITY))), np.float32(UNITY))
    return product(high, part) + cut_off(product(x - high, part))


@rule
def cut_off(x):  # type: ignore[no-untyped-def]
    """Return the whole part of a number below 2^31."""
    return np.float32(np.int32(x))


@rule
def factors(p, k, free):  # type: ignore[no-untyped-def]
    """Return how many of k timesteps without input a neuron is held, and free: they are all run.

    After 2^24 of them nothing changes any more.
    """
    most = np.float32(OVERFLOWED)
    held, free = min(np.float32(k - free), most), min(np.float32(free), most)
    return held, free, np.float32(0.0), np.float32(0.0)


@rule
def relax(p, bias, u, second, factors):  # type: ignore[no-untyped-def]
    """Return (u, second) after silent timesteps, one by one until nothing changes any more."""
    held, free, _, _ = factors
    if second != np.float32(OVERFLOWED):
        k, fed = np.int32(held), shifted(bias)
        while k > 0:
            flowed, second = second, left_of(second, p.second_decay)
            k = np.int32(k - 1) if second != flowed else np.int32(0)
        k = np.int32(free)
        while k > 0:
            before, flowed = u, second
            second = left_of(second, p.second_decay)
            u = bounded(left_of(u, p.decay) + second + fed)
            stands = u == before and second == flowed
            k = np.int32(0) if stands else np.int32(k - 1)
    return u, second


@rule
def charge(p, bias, u, second, x, free):  # type: ignore[no-untyped-def]
    """Return (u, second) after a timestep's decay and input x; a membrane not `free` is held."""
    arriving = product(x, p.scale)
    current = arriving
    if p.second_decay != 0:
        current += left_of(second, p.second_decay)
    wraps = abs(arriving) >= np.float32(INPUT_LIMIT) or abs(current) > np.float32(MOST)
    wraps = wraps or second == np.float32(OVERFLOWED)
    if free:
        u = bounded(left_of(u, p.decay) + current + shifted(bias))
    return u, np.float32(OVERFLOWED) if wraps else current


@rule
def shifted(bias):  # type: ignore[no-untyped-def]
    """Return what a bias adds to a membrane."""
    return product(bias, np.float32(2**SHIFT))


@rule
def bounded(u):  # type: ignore[no-untyped-def]
    """Return a membrane, saturated: what float32 rounded is beyond its bounds in any case."""
    return min(max(u, np.float32(-MOST)), np.float32(MOST))


@rule
def may_fire(p, bias, u, second):  # type: ignore[no-untyped-def]
    """Tell whether a neuron may fire later without input: never false where it does.

    Cut off towards zero, a positive membrane is never above that of real numbers.
    """
    zero = np.float32(0.0)
    if p.second_decay == 0:  # `settles`
        return False
    coming = product(max(u, zero), p.decay) + product(max(second, zero), p.coupling)
    # Something is left of a current: where it is near that, no product rounds.
    flows = product(second, p.second_decay) >= np.float32(1.0)
    return (bias > 0 and flows) or crosses(p, coming, p.threshold)
