"""The neuron models: what a membrane does in a timestep, each written once.

A model is a frozen dataclass of parameters with two forms of the same behaviour:

- `step`: dense NumPy over whole layers, used by `reference.py`, short and obvious;
- the scalar rules in `rules.py`, compiled into the loops of every engine, driven by the numbers
  that `parameters` returns.

Per timestep t, with input I (weights of arriving spikes, and the bias) and all membranes measured
from `rest`:

    LIF       u[t] = decay * u[t-1] + I[t]                             o[t] = u[t] > threshold
    IF        the same with decay 1
    CUBALIF   i[t] = current_decay * i[t-1] + I[t]      u[t] = decay * u[t-1] + i[t]
    ALIF      a[t] = adaptation_decay * a[t-1] + o[t-1]
              o[t] = u[t] > threshold + adaptation * a[t]    (Bellec et al. 2020, e-prop, eq. 8)
    LI        as LIF, but never a spike: a readout

    reset "zero":      u[t] = 0 (that is, `rest`)   where o[t]    (He et al. 2020)
    reset "value":     u[t] = reset_value           where o[t]
    reset "subtract":  u[t] = u[t] - threshold      where o[t]

Membranes start at rest. Every number may be one for the layer or one for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import NetworkError
from .parameters import MOST_FLOAT32, Values, float32s, numbers
from .rules import (
    ALIF_KIND,
    CUBA_KIND,
    LIF_KIND,
    NEURON_DTYPE,
    RESET_SUBTRACT,
    RESET_VALUE,
)

Reset = Literal["zero", "value", "subtract"]
Comparison = Literal[">", ">="]
Spikes = Literal["one", "many"]
InputGain = Literal["one", "one-minus-decay"]

CHOICES: dict[str, tuple[str, ...]] = {
    "reset": get_args(Reset),
    "comparison": get_args(Comparison),
    "spikes": get_args(Spikes),
    "input_gain": get_args(InputGain),
}
MAX_REFRACTORY = 2**30
_LEAST, _MOST = float(np.finfo("f4").smallest_subnormal), MOST_FLOAT32


class NeuronState(NamedTuple):
    """The state of a whole layer in the dense reference, each of the layer's shape."""

    u: NDArray[Any]  # membranes, measured from rest
    second: NDArray[Any]  # CUBALIF: synaptic currents; ALIF: a of the coming timestep
    refractory: NDArray[np.int64]  # timesteps for which the membrane is still held


class _Model:
    """What every model has, so that the formulas below need not ask."""

    kind: ClassVar[int] = LIF_KIND
    decay: Any
    threshold: Any
    reset: Any


@dataclass(frozen=True, kw_only=True, repr=False)
class _Neuron(_Model):
    """The parameters and the behaviour that the models below share.

    rest: what the membrane leaks towards and starts at. comparison: whether a membrane equal to
    the threshold stays silent (">", the paper) or fires. refractory: timesteps after a spike in
    which the membrane is held and input is lost. reset_value: where "value" resets to.
    input_gain: weights and biases as they are, or scaled by 1 - decay, as peers differ.
    lower_bound: what the membrane cannot fall below. spikes: at most one a timestep, or "many":
    the largest whole number of thresholds that fit into the membrane (comparison ">=").
    """

    rest: Values = 0.0
    comparison: Comparison = ">"
    refractory: int = 0
    reset_value: Values = 0.0
    input_gain: InputGain = "one"
    lower_bound: Values | None = None
    spikes: Spikes = "one"

    def __post_init__(self) -> None:
        """Refuse parameters that no timestep could run with; keep numbers as Python's own."""
        name = type(self).__name__
        sizes = set()
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in CHOICES:
                if value not in CHOICES[field.name]:
                    raise NetworkError(
                        f"{name}: {field.name} is {value!r}, expected one of {CHOICES[field.name]}"
                    )
            elif field.name == "refractory":
                object.__setattr__(self, "refractory", _whole(name, value))
            elif not (field.name == "lower_bound" and value is None):
                value = numbers(name, field.name, value)
                object.__setattr__(self, field.name, value)
                sizes |= {len(value)} if isinstance(value, tuple) else set()
        if len(sizes) > 1:
            raise NetworkError(f"{name}: parameters have {sorted(sizes)} values, expected as many")
        for field in fields(self):
            if field.name.endswith("decay"):
                self._check(field.name, 0.0, 1.0, "0 to 1")
        self._check("threshold", _LEAST, _MOST, f"{_LEAST} to {_MOST} (float32)")
        self._check_levels()
        if self.spikes == "many" and self.comparison != ">=":
            raise NetworkError(
                f'{name}: comparison is {self.comparison!r}, expected ">=" with spikes "many"'
            )

    def _check(self, field: str, least: float, most: float, expected: str) -> None:
        for value in np.atleast_1d(getattr(self, field)).tolist():
            if not least <= value <= most:
                raise NetworkError(
                    f"{type(self).__name__}: {field} is {value}, expected {expected}"
                )

    def _check_levels(self) -> None:
        name = type(self).__name__
        with np.errstate(over="ignore"):
            above = float32s(self.threshold) - float32s(self.rest)
        if not (above > 0).all():
            raise NetworkError(f"{name}: threshold is {self.threshold}, expected above rest")
        if self.reset != "value" and np.any(self.reset_value):
            raise NetworkError(
                f'{name}: reset_value is {self.reset_value}, expected 0 without reset "value"'
            )
        if self.reset == "value" and not np.all(np.less(self.reset_value, self.threshold)):
            raise NetworkError(
                f"{name}: reset_value is {self.reset_value}, expected below the threshold"
            )
        if self.lower_bound is not None:
            least = np.minimum(self.rest, self.reset_value if self.reset == "value" else self.rest)
            if not np.all(np.less_equal(self.lower_bound, least)):
                raise NetworkError(
                    f"{name}: lower_bound is {self.lower_bound}, expected at most rest and "
                    f"reset_value"
                )

    def __repr__(self) -> str:
        """Write the model as one would construct it, without the defaults."""
        ordered = sorted(fields(self), key=lambda field: bool(field.kw_only))
        values = [(f.name, getattr(self, f.name), f.default) for f in ordered]
        shown = [f"{n}={v!r}" for n, v, default in values if v != default or n == "reset"]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def channels(self) -> int | None:
        """For how many channels there are values; None if every value is for the whole layer."""
        sizes = [len(v) for v in vars(self).values() if isinstance(v, tuple)]
        return sizes[0] if sizes else None

    @property
    def variables(self) -> int:
        """Numbers of 32 bits that a neuron keeps: membrane, current or adaptation, held time."""
        return 1 + (self.kind != LIF_KIND) + (self.refractory > 0)

    def gain(self) -> NDArray[np.float32]:
        """Return the factor of weights and biases, shape () or (channels,)."""
        unscaled = self.input_gain == "one"
        return np.asarray(1.0 if unscaled else 1.0 - float32s(self.decay), np.float32)

    def parameters(self, channels: int = 1) -> NDArray[Any]:
        """Return what the kernels know of the model: (channels,) records of `NEURON_DTYPE`."""
        rest = float32s(self.rest)
        p = np.zeros(channels, NEURON_DTYPE)
        p["kind"] = self.kind
        p["decay"] = float32s(self.decay)
        p["threshold"] = float32s(self.threshold) - rest
        p["at_threshold"] = self.comparison == ">="
        p["many"] = self.spikes == "many"
        p["refractory"] = self.refractory
        p["reset"] = {"subtract": RESET_SUBTRACT}.get(self.reset, RESET_VALUE)
        p["reset_value"] = float32s(self.reset_value) - rest if self.reset == "value" else 0
        p["lower_bound"] = -np.inf
        if self.lower_bound is not None:
            p["lower_bound"] = float32s(self.lower_bound) - rest
        self._add_second(p)
        return p

    def _add_second(self, p: NDArray[Any]) -> None:
        """Fill in what a model with a second variable adds."""

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell for which biases (channels,) a membrane at or under threshold may cross alone.

        The largest such membrane is the threshold itself, so a bias b can carry it over exactly if
        decay * threshold + b > threshold. Biases within rounding of that limit count as able to.
        """
        p = self.parameters(len(bias))
        limit = (1.0 - p["decay"].astype(np.float64) - 1e-5) * p["threshold"]
        return np.asarray((bias > 0) & (bias > limit))

    # --- the dense form ---------------------------------------------------------------------------

    def initial_state(self, shape: tuple[int, ...], dtype: Any) -> NeuronState:
        """Return the state before the first timestep: every membrane at rest."""
        return NeuronState(np.zeros(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, int))

    def step(
        self, state: NeuronState, add_input: Any
    ) -> tuple[NeuronState, NDArray[np.int64], NDArray[Any]]:
        """Run one timestep of a whole layer, in the precision of the state.

        `add_input(u)` adds bias and weighted input to an array in place. Returns the state after
        resets, the number of spikes of each neuron, and the membranes before the resets.
        """
        u, second, refractory = state
        p = self._broadcast(u)
        if self.input_gain == "one" and self.kind != CUBA_KIND:
            moved = u * p["decay"]
            add_input(moved)
        else:
            current = np.zeros_like(u)
            add_input(current)
            current *= self._shaped(self.gain(), u)
            if self.kind == CUBA_KIND:
                second = second * p["second_decay"] + current
                current = second
            moved = u * p["decay"] + current
        moved = np.maximum(moved, p["lower_bound"])
        held = refractory > 0
        moved = np.where(held, u, moved)
        limit = p["threshold"] + (p["coupling"] * second if self.kind == ALIF_KIND else 0)
        fires = (moved >= limit if self.comparison == ">=" else moved > limit) & ~held
        spikes = fires.astype(np.int64)
        if self.spikes == "many":
            spikes *= np.floor(np.where(fires, moved, 0) / limit).astype(np.int64)
        if self.kind == ALIF_KIND:
            second = second * p["second_decay"] + spikes
        reset = moved - spikes * p["threshold"] if self.reset == "subtract" else p["reset_value"]
        after = np.where(fires, reset, moved)
        refractory = np.where(fires, self.refractory, np.maximum(refractory - 1, 0))
        return NeuronState(after.astype(u.dtype), second, refractory), spikes, moved

    def may_fire(self, state: NeuronState, bias: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which neurons may fire later without input; `rules.may_fire` for a whole layer.

        `bias` has the shape of the layer, gain included. Never false where one does.
        """
        p = self._broadcast(state.u)
        coming = state.u * p["decay"] + bias
        if self.kind == CUBA_KIND:
            with np.errstate(invalid="ignore"):
                by_current = np.where(state.second > 0, state.second * p["coupling"], 0)
            coming = np.maximum(state.u, 0) * p["decay"] + by_current
        limit = p["threshold"]
        return np.asarray(coming >= limit if self.comparison == ">=" else coming > limit)

    def _broadcast(self, u: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the parameters of each channel in the shape and precision of membranes."""
        p = self.parameters(len(u))
        return {name: self._shaped(p[name], u) for name in NEURON_DTYPE.names or ()}

    @staticmethod
    def _shaped(values: NDArray[Any], u: NDArray[Any]) -> NDArray[Any]:
        return values.astype(u.dtype).reshape(-1, *[1] * (u.ndim - 1))


@dataclass(frozen=True, repr=False)
class LIF(_Neuron):
    """Leaky integrate-and-fire, the paper's with the defaults.

    `decay`: factor of the membrane per timestep (exp(-dt/tau)), 0 to 1. `threshold` > 0.
    `reset`: "zero" (to rest), "value" or "subtract" (the threshold). Raises `NetworkError` for
    other values.
    """

    decay: Values
    threshold: Values
    reset: Reset = "zero"


@dataclass(frozen=True, repr=False)
class IF(_Neuron):
    """Integrate-and-fire without leak; parameters as in `LIF`."""

    threshold: Values
    reset: Reset = "zero"
    decay: ClassVar[float] = 1.0  # type: ignore[misc]  # the membrane keeps all of itself

    def _check_levels(self) -> None:
        super()._check_levels()
        if self.input_gain != "one":  # 1 - decay would be 0
            raise NetworkError(f"IF: input_gain is {self.input_gain!r}, expected 'one'")


@dataclass(frozen=True, repr=False)
class LI(_Neuron):
    """Leaky integrator without spikes: the readout of a network's last layer."""

    decay: Values
    threshold: ClassVar[float] = float("inf")  # type: ignore[misc]
    reset: ClassVar[str] = "zero"  # type: ignore[misc]

    def _check(self, field: str, least: float, most: float, expected: str) -> None:
        if field != "threshold":
            super()._check(field, least, most, expected)


@dataclass(frozen=True, repr=False)
class CUBALIF(_Neuron):
    """LIF that integrates a synaptic current; `current_decay` per timestep, 0 to 1."""

    current_decay: Values
    decay: Values
    threshold: Values
    reset: Reset = "zero"
    kind: ClassVar[int] = CUBA_KIND

    def _check_levels(self) -> None:
        super()._check_levels()
        if self.lower_bound is not None:  # silent timesteps could not be caught up with at once
            raise NetworkError(f"CUBALIF: lower_bound is {self.lower_bound}, expected None")

    def _add_second(self, p: NDArray[Any]) -> None:
        p["second_decay"] = float32s(self.current_decay)
        # The most that a unit of current can ever add to a membrane: max over k of
        # sum_{j=1..k} current_decay^j decay^(k-j).
        a, b = p["second_decay"].astype(np.float64), p["decay"].astype(np.float64)
        total, most = np.zeros(len(p)), np.zeros(len(p))
        for k in range(1, 4097):
            total = total * b + a**k
            most = np.maximum(most, total)
        p["coupling"] = np.where(np.maximum(a, b) > 0.999, np.inf, most)

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Count every bias: it flows into the current, and on from there."""
        return np.asarray(bias != 0)


@dataclass(frozen=True, repr=False)
class ALIF(_Neuron):
    """LIF whose threshold rises by `adaptation` with each spike and falls back.

    `adaptation_decay` per timestep, 0 to 1; `adaptation` >= 0. One spike a timestep.
    """

    decay: Values
    threshold: Values
    adaptation_decay: Values
    adaptation: Values
    reset: Reset = "zero"
    kind: ClassVar[int] = ALIF_KIND

    def _check_levels(self) -> None:
        super()._check_levels()
        self._check("adaptation", 0.0, _MOST, f"0 to {_MOST} (float32)")
        if self.spikes != "one":
            raise NetworkError(f"ALIF: spikes is {self.spikes!r}, expected 'one'")

    def _add_second(self, p: NDArray[Any]) -> None:
        p["second_decay"] = float32s(self.adaptation_decay)
        p["coupling"] = float32s(self.adaptation)


Neuron = LIF | IF | LI | CUBALIF | ALIF
NEURON_TYPES: dict[str, type[Neuron]] = {
    kind.__name__: kind for kind in (LIF, IF, LI, CUBALIF, ALIF)
}


def _whole(name: str, value: Any) -> int:
    if not is_whole(value, 0, MAX_REFRACTORY):
        raise NetworkError(
            f"{name}: refractory is {value!r}, expected whole timesteps, 0 to {MAX_REFRACTORY}"
        )
    return int(value)
