"""What all neuron models share: their parameters and the dense timestep.

Each model is a file of its own beside this one. It has the frozen dataclass of its parameters, its
formulas in dense NumPy (methods that fill in what `NeuronModel.step` leaves open, which
`reference.py` runs), and the same formulas for one neuron (functions that are compiled into the
loops of every engine). `__init__.py` lists the models and picks the formulas of a neuron's kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import cleandoc
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ...checks import is_whole
from ...errors import NetworkError
from ..parameters import MOST_FLOAT32, Values, float32s, numbers
from .rules import NEURON_DTYPE, RESET_VALUE

Add = Callable[[NDArray[Any]], None]
Reset = Literal["zero", "value", "subtract", "subtract-next", "subtract-doubled", "none"]
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

RESETS = get_args(Reset)[1:]  # by their numbers in a record; "zero" is a value, that of rest
LATE = ("subtract-next", "subtract-doubled")  # what a timestep does depends on the one before it


class NeuronState(NamedTuple):
    """The state of a whole layer in the dense reference, each of the layer's shape."""

    u: NDArray[Any]  # membranes, measured from rest
    second: NDArray[Any]  # the second variable of the models that have one
    refractory: NDArray[np.int64]  # timesteps for which the membrane is still held


class _Levels:
    """What every model has, so that the formulas below need not ask."""

    decay: Any
    threshold: Any
    reset: Any


@dataclass(frozen=True, kw_only=True, repr=False)
class NeuronModel(_Levels):
    """The parameters and the behaviour that the models share; `help` of each shows these too.

    Numbers are for the layer, or tuples with one for each channel. decay: factor of the membrane
    per timestep, exp(-dt/tau), 0 to 1. threshold: above rest. reset: what a spike does to the
    membrane: "zero" (to rest), "value", "subtract" (by the threshold), "none", or one of two that
    reach into the next timestep (`neurons/__init__.py`).
    rest: what the membrane leaks towards and starts at. comparison: whether a membrane equal to
    the threshold stays silent (">", the paper) or fires. refractory: timesteps after a spike in
    which the membrane is held and input is lost. reset_value: where "value" resets to.
    input_gain: weights and biases as they are, or scaled by 1 - decay, as peers differ.
    lower_bound: what the membrane cannot fall below. spikes: at most one a timestep, or "many":
    the largest whole number of thresholds that fit into the membrane (comparison ">="), up to 2^24.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        """Show what all share where a model is asked about."""
        super().__init_subclass__(**more)
        _, shared = cleandoc(NeuronModel.__doc__ or "").split("\n\n", 1)
        if cls.__doc__ and shared not in cls.__doc__:
            cls.__doc__ = f"{cleandoc(cls.__doc__)}\n\n{shared}"

    kind: ClassVar[int]  # which rules the kernels follow: see `__init__.py`
    has_second: ClassVar[bool] = False  # whether a neuron has a second variable

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
        if self.reset in LATE:
            self._check_late()
        if self.lower_bound is not None:
            least = np.minimum(self.rest, self.reset_value if self.reset == "value" else self.rest)
            if not np.all(np.less_equal(self.lower_bound, least)):
                raise NetworkError(
                    f"{name}: lower_bound is {self.lower_bound}, expected at most rest and "
                    f"reset_value"
                )

    def _check_late(self) -> None:
        """Refuse what a reset that reaches into the next timestep does not go with."""
        for field, expected in (("spikes", "one"), ("refractory", 0), ("lower_bound", None)):
            if (value := getattr(self, field)) != expected:
                raise NetworkError(
                    f"{type(self).__name__}: {field} is {value!r}, expected {expected!r} with "
                    f"reset {self.reset!r}"
                )

    def __repr__(self) -> str:
        """Write the model as one would construct it, without the defaults."""
        ordered = sorted(fields(self), key=lambda field: bool(field.kw_only))
        values = [(f.name, getattr(self, f.name), f.default) for f in ordered]
        shown = [f"{n}={_short(v)}" for n, v, default in values if v != default or n == "reset"]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def channels(self) -> int | None:
        """For how many channels there are values; None if every value is for the whole layer."""
        sizes = [len(v) for v in vars(self).values() if isinstance(v, tuple)]
        return sizes[0] if sizes else None

    @property
    def variables(self) -> int:
        """Numbers of 32 bits that a neuron keeps: membrane, second variable, held time."""
        return 1 + self.has_second + (self.refractory > 0)

    @property
    def leaks(self) -> int:
        """How many of a neuron's variables are multiplied by a decay other than 1."""
        p = self.parameters(self.channels or 1)
        second = self.has_second and (p["second_decay"] != 1).any()
        return int((p["decay"] != 1).any()) + int(second)

    @property
    def plain(self) -> bool:
        """Whether one comparison and one reset, the same for the layer, are all that it does."""
        return False

    @property
    def settles(self) -> bool:
        """Whether all are alike, never held, and never fire by what came before a timestep."""
        return False

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
        p["reset"] = RESET_VALUE if self.reset == "zero" else RESETS.index(self.reset)
        p["reset_value"] = float32s(self.reset_value) - rest if self.reset == "value" else 0
        p["lower_bound"] = -np.inf
        if self.lower_bound is not None:
            p["lower_bound"] = float32s(self.lower_bound) - rest
        p["scale"] = 1
        self._add_second(p)
        return p

    def _add_second(self, p: NDArray[Any]) -> None:
        """Fill in `second_decay` and `coupling`, where a model has them."""

    def rises_over_threshold(self, bias: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell for which biases (channels,) a membrane at or under threshold may cross alone.

        The largest such membrane is the threshold itself, so a bias b can carry it over exactly if
        decay * threshold + b > threshold. Biases within rounding of that limit count as able to.
        """
        p = self.parameters(len(bias))
        limit = (1.0 - p["decay"].astype(np.float64) - 1e-5) * p["threshold"]
        return np.asarray((bias > 0) & (bias > limit))

    def fires_alone(self, bias: NDArray[np.float32]) -> bool:
        """Tell whether a neuron may fire in asynchronous time without input that comes then."""
        return bool(self.rises_over_threshold(bias).any())

    def layer_fault(self, name: str, values: NDArray[np.float32]) -> str | None:
        """Say why weights or biases do not go with the model; None if they do."""
        return None

    def asynchronous_fault(self, bias: NDArray[np.float32]) -> str | None:
        """Say why the model, with this bias, has no form in asynchronous time; None if it has."""
        if self.reset in (*LATE, "none"):  # of the timestep before, or a spike at every instant
            return f"reset is {self.reset!r}, expected zero, value or subtract in asynchronous time"
        return None

    # --- the dense form: a whole layer ------------------------------------------------------------

    def initial_state(self, shape: tuple[int, ...], dtype: Any) -> NeuronState:
        """Return the state before the first timestep: every membrane at rest."""
        return NeuronState(np.zeros(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, int))

    def step(
        self, state: NeuronState, add_bias: Add, add_input: Add
    ) -> tuple[NeuronState, NDArray[np.int64], NDArray[Any]]:
        """Run one timestep of a whole layer, in the precision of the state.

        `add_bias(u)` adds the bias to an array in place, `add_input(u)` the weighted input. Returns
        the state after resets, the number of spikes of each neuron, and the membranes before the
        resets.
        """
        u, second, refractory = state
        p = self.shaped_parameters(u)
        moved, second = self.charge(p, u, second, add_bias, add_input)
        held = refractory > 0
        moved = np.where(held, u, np.maximum(moved, p["lower_bound"]))
        late = self.reset in LATE
        owed = p["threshold"] * self.crosses(u, p["threshold"]) if late else 0
        compared = moved - owed
        limit = self.thresholds(p, second)
        fires = self.crosses(compared, limit) & ~held
        spikes = fires.astype(np.int64)
        if self.spikes == "many":
            spikes *= np.floor(np.where(fires, moved, 0) / limit).astype(np.int64)
        after = np.where(fires, self._reset(p, moved, spikes), moved)
        if self.reset == "subtract-next":
            after = compared
        refractory = np.where(fires, self.refractory, np.maximum(refractory - 1, 0))
        second = self.adapt(self.settle(p, second), spikes)
        return NeuronState(after.astype(u.dtype), second, refractory), spikes, compared

    def _reset(self, p: Any, u: Any, spikes: NDArray[np.int64]) -> Any:
        """Return the membranes of neurons after so many spikes."""
        if self.reset in ("zero", "value"):
            return p["reset_value"]
        return u if self.reset == "none" else u - spikes * p["threshold"]

    def charge(self, p: Any, u: Any, second: Any, add_bias: Add, add_input: Add) -> tuple[Any, Any]:
        """Return (u, second) after a timestep's decay, bias and input."""
        if self.input_gain != "one":
            return u * p["decay"] + self.gained_input(u, add_bias, add_input), second
        moved = u * p["decay"]
        add_bias(moved)
        add_input(moved)
        return moved, second

    def gained_input(self, u: Any, add_bias: Add, add_input: Add) -> Any:
        """Return bias and input, times the input gain."""
        current = np.zeros_like(u)
        add_bias(current)
        add_input(current)
        return current * self.shaped(self.gain(), u)

    def thresholds(self, p: Any, second: Any) -> Any:
        """Return what membranes are compared with."""
        return p["threshold"] + np.zeros_like(second)

    def crosses(self, u: Any, limit: Any) -> NDArray[np.bool_]:
        """Tell which membranes fire."""
        return np.asarray(u >= limit if self.comparison == ">=" else u > limit)

    def settle(self, p: Any, second: Any) -> Any:
        """Return the second variable after the comparison of a timestep, for the next one."""
        return second

    def adapt(self, second: Any, spikes: Any) -> Any:
        """Return the second variable after spikes."""
        return second

    def may_fire(self, state: NeuronState, bias: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which neurons may fire later without input; the rule of that name for a layer.

        `bias` has the shape of the layer, gain included. Never false where one does.
        """
        p = self.shaped_parameters(state.u)
        return self._owes(p, state.u) | self.crosses(state.u * p["decay"] + bias, p["threshold"])

    def _owes(self, p: Any, u: Any) -> Any:
        """Tell which membranes the next timestep still resets."""
        return self.crosses(u, p["threshold"]) & (self.reset == "subtract-next")

    # In asynchronous time:

    def relaxed(self, p: Any, bias: Any, u: Any, second: Any, f: Any) -> tuple[Any, Any]:
        """Return (u, second) after f > 0 timesteps, not whole ones, nothing held or clamped."""
        a, b = p["second_decay"], p["decay"]
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(b == 1, f, (1 - b**f) / (1 - b))
        return u * b**f + bias * gain, second * a**f

    def receive(self, u: Any, second: Any, x: Any) -> tuple[Any, Any]:
        """Return (u, second) after input at one time."""
        return u + x, second

    def shaped_parameters(self, u: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the parameters of each channel in the shape and precision of membranes."""
        p = self.parameters(len(u))
        return {name: self.shaped(p[name], u) for name in NEURON_DTYPE.names or ()}

    @staticmethod
    def shaped(values: NDArray[Any], u: NDArray[Any]) -> NDArray[Any]:
        """Return values, one for each channel or one for all, in the shape of membranes."""
        return np.atleast_1d(values).astype(u.dtype).reshape(-1, *[1] * (u.ndim - 1))


def _whole(name: str, value: Any) -> int:
    if not is_whole(value, 0, MAX_REFRACTORY):
        raise NetworkError(
            f"{name}: refractory is {value!r}, expected whole timesteps, 0 to {MAX_REFRACTORY}"
        )
    return int(value)


def _short(value: Any) -> str:
    """Write one number of a neuron, or how many there are and between what."""
    if isinstance(value, tuple) and len(value) > 4:
        return f"<{len(value)} values, {min(value):.3g} to {max(value):.3g}>"
    return repr(value)
