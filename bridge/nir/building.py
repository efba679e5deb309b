"""Nodes of a NIR graph, one after the other -> the layers of a network.

In: the nodes in order (`graph.py`). Out: layers, the nodes that each was made of, and notes.
Called by `reading.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.layers import Conv1d, Conv2d, Dense, Layer, WeightLayer
from eventsim.network.neurons import LI, Neuron
from eventsim.network.pathways import Add, Concatenate, Delay, Flatten
from eventsim.network.pools import AvgPool2d, SumPool2d

from .conventions import Convention, Numbers
from .graph import NEURONS, Node
from .layers import Current, Spikes, Term, identity, joined, layer_of, total
from .neurons import channelwise, discretise

_WEIGHTS = ("Affine", "Linear", "Conv1d", "Conv2d")
_PATHWAYS = ("SumPool2d", "AvgPool2d", "Flatten", "Delay")
_POOL = ("kernel_size", "stride", "padding")
_CONV = ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias")
_LIF = ("tau", "r", "v_leak", "v_threshold", "v_reset")
_CUBA = ("tau_mem", "tau_syn", "r", "v_leak", "w_in")
# Every field that NIR has, by type; what else a file has is named.
FIELDS = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": ("start_dim", "end_dim", "input_type"),
    "Delay": ("delay",),
    "Scale": ("scale",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": _LIF[:3],
    "LIF": _LIF,
    "CubaLI": _CUBA,
    "CubaLIF": (*_CUBA, "v_threshold", "v_reset"),
}


class Builder:
    """The layers so far; every error names the node."""

    def __init__(self, convention: Convention, dt: float, input_shape: Shape, flat: bool) -> None:
        """Begin with an input, which the graph takes flat or not, for a timestep of dt seconds."""
        self.convention, self.dt = convention, dt
        self.input_shape, self.flat = input_shape, flat
        self.layers: list[Layer] = []
        self.nodes: list[tuple[Node, ...]] = []  # of each layer, those that it was made of
        self.notes: list[str] = []
        self._gives: dict[int, Spikes | Current] = {}  # by the id of the node

    def add(self, node: Node) -> None:
        """Add what a node says; its sources were added before."""
        more = set(node.fields) - {"type", "metadata", "input_type", *FIELDS.get(node.type, ())}
        if more and node.type in FIELDS:
            self.notes.append(f"{node}: {', '.join(sorted(more))} is none of NIR's, left out")
        try:
            inputs = [self._gives[id(source)] for source in node.sources]
            self._gives[id(node)] = self._of(node, inputs)
        except NetworkError as error:
            text = str(error)
            raise error if text.startswith("node ") else NetworkError(f"{node}: {text}") from None

    def finished(self) -> list[Layer]:
        """Return the layers; a Flatten behind the last neurons is left out."""
        if self.layers and isinstance(self.layers[-1], Flatten):
            self.layers.pop()
            self.nodes.pop()
            self.notes.append("the Flatten behind the last neurons is left out")
        if not self.layers or not isinstance(self.layers[-1], WeightLayer):
            kind = type(self.layers[-1]).__name__ if self.layers else "Input"
            raise NetworkError(f"the graph ends with {kind}, expected neurons")
        return self.layers

    def _of(self, node: Node, inputs: list[Spikes | Current]) -> Spikes | Current:
        if node.type == "Input":
            spikes = Spikes(-1, self.input_shape)
            return self._flatten(spikes, ()) if self.flat else spikes
        if not inputs:
            raise NetworkError("nothing leads there, expected an edge from another node")
        if node.type == "Output":
            return self._output(node, inputs)
        if node.type in NEURONS:
            return self._neurons(node, total(inputs) if len(inputs) > 1 else inputs[0])
        one = inputs[0] if len(inputs) == 1 else self._sum(inputs)
        if node.type == "Scale":
            return one.scaled(channelwise(node, "scale", one.shape), node)
        if node.type in _WEIGHTS:
            return self._weights(node, one)
        if node.type in _PATHWAYS:
            return self._pathway(node, one)
        raise NetworkError(
            f"cannot be run here, expected one of "
            f"{', '.join((*_WEIGHTS, *NEURONS, *_PATHWAYS, 'Scale'))}"
        )

    def _output(self, node: Node, inputs: list[Spikes | Current]) -> Spikes:
        if len(inputs) > 1:
            raise NetworkError(f"{len(inputs)} nodes lead there, expected one")
        (one,) = inputs
        if isinstance(one, Current):
            self.notes.append("no neurons behind the last weights: an LI that keeps nothing")
            one = self._emit(one, None, np.ones(()), LI(0.0), one.nodes)
        flattened = bool(self.layers) and isinstance(self.layers[-1], Flatten)
        if one.index != len(self.layers) - 1 and not flattened:
            raise NetworkError(f"comes from layer {one.index}, expected the last one")
        return one

    def _sum(self, inputs: list[Spikes | Current]) -> Spikes:
        """Return spikes of several sources that meet before any weights."""
        spikes = [one for one in inputs if isinstance(one, Spikes)]
        if len(spikes) < len(inputs):
            raise NetworkError("weighted inputs are summed there, expected neurons to take them")
        if any(one.scale is not None for one in spikes):
            raise NetworkError("scaled spikes are summed there, expected them to be unscaled")
        return self._append(Add(tuple(one.index for one in spikes)), spikes[0].shape, ())

    def _append(self, layer: Layer, shape: Shape, nodes: tuple[Node, ...]) -> Spikes:
        self.layers.append(layer)
        self.nodes.append(nodes)
        return Spikes(len(self.layers) - 1, shape)

    def _require_last(self, spikes: Spikes) -> None:
        if spikes.index != len(self.layers) - 1:
            before = "the input" if spikes.index < 0 else f"layer {spikes.index}"
            raise NetworkError(
                f"takes {before}, with others built since, expected the layer before or a sum: "
                f"layers stand in one line here"
            )

    # --- weights ----------------------------------------------------------------------------------

    def _weights(self, node: Node, one: Spikes | Current) -> Current:
        weight = _array(node, "weight")
        if weight.ndim < 2:
            raise NetworkError(f"weight has shape {weight.shape}, expected (outputs, inputs, ...)")
        outputs = len(weight)
        bias = _array(node, "bias").reshape(-1) if "bias" in node.fields else np.zeros(outputs)
        if bias.size not in (1, outputs):
            raise NetworkError(f"bias has {bias.size} values, expected {outputs}")
        bias = np.broadcast_to(bias, outputs)
        if isinstance(one, Current):
            if node.type not in ("Affine", "Linear") or len(one.shape) != 1 or weight.ndim != 2:
                raise NetworkError("weights follow on weights, expected neurons between them")
            return one.weighted(weight, bias, node)
        if node.type in ("Affine", "Linear"):
            return self._dense(node, weight, bias, one)
        return self._convolution(node, weight, bias, one)

    def _dense(self, node: Node, weight: Numbers, bias: Numbers, one: Spikes) -> Current:
        if weight.ndim != 2:
            raise NetworkError(f"weight has shape {weight.shape}, expected (outputs, inputs)")
        if len(one.shape) > 1:
            self.notes.append(f"{node} has no Flatten before it: put in")
            one = self._flatten(one, ())
        if weight.shape[1] != one.shape[0]:
            raise NetworkError(
                f"weight has shape {weight.shape}, so {weight.shape[1]} inputs, but "
                f"{one.shape[0]} arrive"
            )
        return Current((Term(one, Dense, weight),), bias, (len(weight),), (*one.nodes, node))

    def _convolution(self, node: Node, weight: Numbers, bias: Numbers, one: Spikes) -> Current:
        axes = 2 if node.type == "Conv2d" else 1
        if weight.ndim != axes + 2:
            raise NetworkError(f"weight has shape {weight.shape}, expected {axes + 2} axes")
        stated = node.fields.get("input_shape")
        if stated is not None and tuple(np.ravel(stated)) != one.shape[-axes:]:
            raise NetworkError(f"input_shape is {stated}, but {one.shape} arrives")
        geometry: dict[str, Any] = {
            name: _whole(node, name, axes) for name in ("stride", "dilation")
        }
        geometry["padding"] = _padding(node, axes, weight.shape[2:], geometry)
        (geometry["groups"],) = _whole(node, "groups", 1)
        if axes == 1:
            geometry |= {name: geometry[name][0] for name in ("stride", "dilation", "padding")}
        kind = Conv2d if axes == 2 else Conv1d
        term = Term(one, kind, weight, tuple(sorted(geometry.items())))
        # What leaves it is settled by the layer itself, which checks all of this.
        layer = layer_of(term, bias, None, np.ones(()), LI(0.0))
        return Current((term,), bias, layer.output_shape(one.shape), (*one.nodes, node))

    # --- neurons ----------------------------------------------------------------------------------

    def _neurons(self, node: Node, one: Spikes | Current) -> Spikes:
        if isinstance(one, Spikes):
            self.notes.append(f"{node} has no weights before it: identity put in")
            one = identity(one)
        neuron, gain, notes = discretise(node, one.shape, self.convention, self.dt)
        self.notes += [f"{node}: {note}" for note in notes]
        recurrent = None
        if node.recurrent is not None:
            recurrent, bias = _recurrence(node.recurrent, one.shape)
            one = replace(one, bias=one.bias + bias, nodes=(*one.nodes, node.recurrent))
        if (gain != 1).any():
            self.notes.append(f"{node}: its weights and biases are multiplied by {_range(gain)}")
        return self._emit(one, recurrent, gain, neuron, (*one.nodes, node))

    def _emit(
        self, one: Current, recurrent: Numbers | None, gain: Numbers, neuron: Neuron,
        nodes: tuple[Node, ...],
    ) -> Spikes:  # fmt: skip
        """Build the layer of a current and its neurons."""
        term = one.terms[0]
        if len(one.terms) == 1:
            self._require_last(term.source)
        else:
            sources = [each.source for each in one.terms]
            channels = sum(source.shape[0] for source in sources)
            term = joined(one.terms, channels)
            shape = (channels, *sources[0].shape[1:])
            self._append(Concatenate(tuple(source.index for source in sources)), shape, ())
        return self._append(layer_of(term, one.bias, recurrent, gain, neuron), one.shape, nodes)

    # --- pathways ---------------------------------------------------------------------------------

    def _pathway(self, node: Node, one: Spikes | Current) -> Spikes | Current:
        if isinstance(one, Current):
            if node.type == "Flatten" and len(one.shape) == 1:
                return one
            raise NetworkError("stands between weights and neurons, expected it before the weights")
        if node.type == "Flatten":
            return self._flatten_node(node, one)
        self._require_last(one)
        delays = node.type == "Delay"
        layer = Delay(_steps(node, one.shape, self.dt)) if delays else _pool(node)
        spikes = self._append(layer, layer.output_shape(one.shape), (node,))
        return replace(spikes, scale=one.scale, nodes=one.nodes)

    def _flatten_node(self, node: Node, one: Spikes) -> Spikes:
        axes = len(one.shape)
        (first,) = _whole(node, "start_dim", 1) if "start_dim" in node.fields else (1,)
        (last,) = _whole(node, "end_dim", 1) if "end_dim" in node.fields else (-1,)
        if axes == 1:
            return one
        if last not in (-1, axes - 1, axes) or first not in (0, 1, -axes):
            raise NetworkError(
                f"flattens axes {first} to {last} of {one.shape}, expected all of them"
            )
        if first == 1:
            self.notes.append(f"{node}: start_dim 1 is taken as counted with the batch axis")
        return self._flatten(one, (node,))

    def _flatten(self, one: Spikes, nodes: tuple[Node, ...]) -> Spikes:
        self._require_last(one)
        spikes = self._append(Flatten(), (), nodes)
        return one.flattened(spikes.index)


def _array(node: Node, name: str) -> Numbers:
    if name not in node.fields:
        raise NetworkError(f"{name} is missing")
    try:
        return np.asarray(node.fields[name], np.float64)
    except (TypeError, ValueError):
        raise NetworkError(f"{name} is {node.fields[name]!r}, expected numbers") from None


def _whole(node: Node, name: str, count: int) -> tuple[int, ...]:
    """Return a field as so many whole numbers, one for all of them or each its own."""
    values = np.ravel(_array(node, name))
    if values.size not in (1, count) or (values % 1 != 0).any():
        raise NetworkError(f"{name} is {node.fields[name]}, expected {count} whole numbers")
    return tuple(int(n) for n in np.broadcast_to(values, count))


def _padding(
    node: Node, axes: int, kernel: tuple[int, ...], geometry: dict[str, Any]
) -> tuple[int, ...]:
    value = node.fields.get("padding", 0)
    word = value.decode() if isinstance(value, bytes) else value
    if isinstance(word, np.ndarray) and word.dtype.kind in "SUO" and word.size == 1:
        word = word.item().decode() if isinstance(word.item(), bytes) else word.item()
    if not isinstance(word, str):
        return _whole(node, "padding", axes)
    if word == "valid":
        return (0,) * axes
    around = [d * (k - 1) for d, k in zip(geometry["dilation"], kernel, strict=True)]
    if word != "same" or any(n % 2 for n in around) or set(geometry["stride"]) != {1}:
        raise NetworkError(
            f"padding is {word!r} with kernel {kernel}, expected numbers, 'valid', or 'same' with "
            f"an odd kernel at stride 1"
        )
    return tuple(n // 2 for n in around)


def _pool(node: Node) -> SumPool2d | AvgPool2d:
    kernel: Any = _whole(node, "kernel_size", 2)
    stride: Any = _whole(node, "stride", 2) if "stride" in node.fields else kernel
    padding: Any = _whole(node, "padding", 2) if "padding" in node.fields else (0, 0)
    kind = SumPool2d if node.type == "SumPool2d" else AvgPool2d
    return kind(kernel, stride, padding)


def _steps(node: Node, shape: Shape, dt: float) -> tuple[int, ...]:
    delays = np.atleast_1d(channelwise(node, "delay", shape)) / dt
    steps = np.rint(delays)
    if not np.allclose(delays, steps, atol=1e-3, rtol=1e-6):
        raise NetworkError(f"delay is {delays[0] * dt:g} s, expected whole timesteps of {dt:g} s")
    return tuple(int(n) for n in steps)


def _recurrence(node: Node, shape: Shape) -> tuple[Numbers, Numbers]:
    """Return recurrent weights (n, n), or (channels,) of each neuron to itself; and their bias."""
    channels = shape[0]
    if node.type == "Scale":
        return np.broadcast_to(channelwise(node, "scale", shape), channels), np.zeros(channels)
    weight = _array(node, "weight")
    if weight.shape != (channels, channels) or len(shape) > 1:
        raise NetworkError(
            f"{node}: recurrent weight has shape {weight.shape}, expected {(channels, channels)}"
        )
    bias = _array(node, "bias").reshape(-1) if "bias" in node.fields else np.zeros(channels)
    diagonal = np.diag(weight)
    each_to_itself = (weight == np.diag(diagonal)).all()
    return (diagonal if each_to_itself else weight), bias


def _range(values: Numbers) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
