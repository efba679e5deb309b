"""A NIR neuron -> a neuron model of the engine, and the gain that its weights get.

In: a node, the shape of its layer, a convention. Out: `Discretised`. Called by `reading.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import CUBALI, CUBALIF, IF, LI, LIF, Neuron

from .conventions import Convention, Leak, Numbers
from .graph import Node

# A gain this close to 1 is 1: exporters round tau and r to float32.
_ROUNDING = 5e-7


class Discretised(NamedTuple):
    """A neuron in timesteps."""

    neuron: Neuron
    gain: Numbers  # of weights and biases, () or (channels,)
    notes: tuple[str, ...]


def channelwise(node: Node, name: str, shape: Shape) -> Numbers:
    """Return a field of a node as one number, or one for each channel of a layer's shape.

    Raises `NetworkError` where it is missing, has another shape, or differs within a channel.
    """
    if name not in node.fields:
        raise NetworkError(f"{node}: {name} is missing")
    try:
        values = np.asarray(node.fields[name], np.float64)
    except (TypeError, ValueError):
        raise NetworkError(f"{node}: {name} is {node.fields[name]!r}, expected numbers") from None
    channels = shape[0]
    if values.size == 1:
        return values.reshape(())
    if values.size == np.prod(shape):
        by_channel = values.reshape(channels, -1)
    elif values.size == channels:
        by_channel = values.reshape(channels, 1)
    else:
        raise NetworkError(f"{node}: {name} has shape {values.shape}, expected {shape}")
    if (by_channel != by_channel[:, :1]).any():
        raise NetworkError(
            f"{node}: {name} differs within a channel, expected one number or one a channel"
        )
    first = by_channel[:, 0]
    return first[0].reshape(()) if (first == first[0]).all() else first


def discretise(node: Node, shape: Shape, convention: Convention, dt: float) -> Discretised:
    """Return a node's neuron as the convention has it, for a timestep of dt seconds.

    Raises `NetworkError` for a node that the convention's library does not know, and for numbers
    that no neuron can have.
    """
    if node.type not in convention.neurons:
        raise NetworkError(
            f"{node} does not exist in {convention.name}, expected one of "
            f"{', '.join(convention.neurons)}"
        )
    try:
        return _Discretisation(node, shape, convention, dt).result()
    except NetworkError as error:
        if str(error).startswith(str(node)):
            raise
        raise NetworkError(f"{node}: {error}") from None


class _Discretisation:
    def __init__(self, node: Node, shape: Shape, convention: Convention, dt: float) -> None:
        self.node, self.shape, self.convention, self.dt = node, shape, convention, dt
        self.notes: list[str] = []

    def result(self) -> Discretised:
        kind = self.node.type
        if kind == "Threshold":
            rules = {"comparison": self._comparison()}
            neuron: Neuron = LIF(0.0, self._plain("threshold"), reset="zero", **rules)
            return Discretised(neuron, np.ones(()), ())
        leak = self._leak()
        spikes = kind in ("IF", "LIF", "CubaLIF")
        discrete = self.convention.discrete(str(self.node), leak, self.dt, spikes)
        self.convention.check_r(str(self.node), leak, discrete.decay, self.dt)
        decay = 1.0 if discrete.decay is None else _plain(discrete.decay)
        gain, input_gain = _split_gain(discrete.gain, discrete.decay)
        rest = self._rest()
        if kind in ("LI", "I"):
            neuron = LI(decay, rest=rest, input_gain=input_gain)
        elif kind == "CubaLI":
            assert discrete.current_decay is not None
            current = _plain(discrete.current_decay)
            neuron = CUBALI(current, decay, rest=rest, input_gain=input_gain)
        else:
            rules = {"rest": rest, **self._firing(rest)}
            if kind == "IF":
                neuron = IF(**rules)
            elif kind == "LIF":
                neuron = LIF(decay, input_gain=input_gain, **rules)
            else:
                assert discrete.current_decay is not None
                current = _plain(discrete.current_decay)
                neuron = CUBALIF(current, decay, input_gain=input_gain, **rules)
        return Discretised(neuron, gain, tuple(self.notes))

    def _plain(self, name: str) -> Any:
        return _plain(channelwise(self.node, name, self.shape))

    def _values(self, name: str) -> Numbers:
        return channelwise(self.node, name, self.shape)

    def _leak(self) -> Leak:
        kind = self.node.type
        if kind in ("IF", "I"):
            return Leak(None, self._values("r"))
        if kind in ("LIF", "LI"):
            return Leak(self._times("tau"), self._values("r"))
        w_in = self._values("w_in") if "w_in" in self.node.fields else np.ones(())
        if "w_in" not in self.node.fields:
            self.notes.append("w_in is not in the file, taken as 1")
        tau_syn = self._times("tau_syn")
        if self._is_norses("tau_mem"):  # a LIFCell, whose current gets its input as it is
            w_in = w_in * tau_syn / self.dt
        return Leak(self._times("tau_mem"), self._values("r"), tau_syn, w_in)

    def _is_norses(self, name: str) -> bool:
        """Tell whether a time constant is what norse's exporter writes: tau times dt."""
        values = self._values(name)
        return self.convention.name == "norse" and bool((values < self.dt * (1 - 1e-6)).all())

    def _times(self, name: str) -> Numbers:
        values = self._values(name)
        if not self._is_norses(name):
            return values
        self.notes.append(
            f"{name} is {np.ravel(values)[0]:g}, below the timestep: taken as tau times dt, as "
            f"norse's exporter writes it"
        )
        return values / self.dt

    def _rest(self) -> Any:
        if self.node.type in ("IF", "I"):
            return 0.0
        rest = self._values("v_leak")
        if self.convention.name == "rockpool" and rest.any():
            raise NetworkError(f"v_leak is {np.ravel(rest)[0]:g}, expected 0 in rockpool")
        return _plain(rest)

    def _comparison(self) -> Any:
        return ">=" if self.convention.at_threshold else ">"

    def _firing(self, rest: Any) -> dict[str, Any]:
        """Return threshold, comparison, reset and bound."""
        threshold = self._values("v_threshold")
        rules: dict[str, Any] = {
            "threshold": _plain(threshold),
            "comparison": self._comparison(),
            "spikes": "many" if self.convention.many else "one",
        }
        if self.convention.floor and self.node.type == "IF":
            rules["lower_bound"] = _plain(-threshold)
        if self.convention.subtracts:
            return rules | {"reset": "subtract"}
        if "v_reset" not in self.node.fields:
            self.notes.append("v_reset is not in the file, taken as 0")
            reset = np.zeros(())
        else:
            reset = self._values("v_reset")
        if (reset == np.asarray(rest)).all():
            return rules | {"reset": "zero"}
        return rules | {"reset": "value", "reset_value": _plain(reset)}


def _plain(values: Numbers) -> Any:
    return float(values) if values.ndim == 0 else tuple(values.tolist())


def _split_gain(gain: Numbers, decay: Numbers | None) -> tuple[Numbers, Any]:
    """Return what weights are multiplied by here, and what the neuron itself does to them."""
    if np.allclose(gain, 1, rtol=_ROUNDING, atol=0):
        return np.ones(()), "one"
    # Times the factor that float32 leaves of 1 - decay, so compared as float32.
    if decay is not None and np.allclose(gain, 1 - decay, rtol=_ROUNDING, atol=0):
        return np.ones(()), "one-minus-decay"
    return gain, "one"
