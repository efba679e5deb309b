"""A network of the engine -> a NIR graph or file.

In: a `Network`, and in which library's way the file will be read (`conventions`). Out: a
`nir.NIRGraph`. What is written is read back before it is given away, and must be the same network:
whatever NIR, or the library, cannot express is refused by name, never left out.

The timestep, steps, readout and class names, for which NIR has no place, stand in the metadata of
the graph as one JSON text, which `from_nir` reads and others ignore.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import nir
import numpy as np

from eventsim.errors import EventsimError, NetworkError
from eventsim.files import replacing
from eventsim.network.geometry import Shape
from eventsim.network.graph import Network, check_network
from eventsim.network.layers import Conv1d, Conv2d, Dense, WeightLayer
from eventsim.network.neurons import CUBALI, CUBALIF, LI, LIF, Neuron
from eventsim.network.parameters import float32s
from eventsim.network.pathways import Add, Delay, Flatten
from eventsim.network.pools import AvgPool2d, SumPool2d

from .conventions import AS_IN, CONVENTIONS, AsIn, Discrete, Numbers
from .reading import METADATA, from_nir


def to_nir(network: Network, path: str | Path, *, as_in: AsIn = "exact") -> tuple[str, ...]:
    """Write a network as a NIR file, for readers that take it as `as_in` says.

    Returns what a reader must know, mostly nothing. Raises as `graph_of`; nothing is written then.
    """
    graph, notes = _graph_and_notes(network, as_in)
    written = io.BytesIO()
    nir.write(written, graph)
    with replacing(path) as file:
        file.write(written.getvalue())
    return notes


def graph_of(network: Network, *, as_in: AsIn = "exact") -> Any:
    """Return a network as a `nir.NIRGraph`; its weights are the network's own.

    Raises `NetworkError` naming the layer and what of it NIR cannot express, or cannot where it is
    read as `as_in`; and `EventsimError` where the `nir` package is older than 1.0.6, which has no
    v_reset.
    """
    return _graph_and_notes(network, as_in)[0]


def _graph_and_notes(network: Network, as_in: AsIn) -> tuple[Any, tuple[str, ...]]:
    check_network(network)
    if as_in not in AS_IN:
        raise NetworkError(f"as_in is {as_in!r}, expected one of {', '.join(AS_IN)}")
    if "v_reset" not in nir.IF.__dataclass_fields__:
        raise EventsimError(f"nir is {nir.version}, expected 1.0.6 or later to write files")
    writer = _Writer(network, as_in)
    graph = writer.graph()
    _check_same(network, from_nir(graph).network, as_in)
    return graph, writer.notes


class _Writer:
    def __init__(self, network: Network, as_in: AsIn) -> None:
        self.network, self.as_in, self.convention = network, as_in, CONVENTIONS[as_in]
        # What the library's importer takes it for: some have a timestep of their own.
        self.dt_us = self.convention.dt_us or network.dt_us
        self.dt = self.dt_us / 1e6
        self.nodes: dict[str, Any] = {"input": nir.Input(np.array(self._nir_shape(-1)))}
        self.edges: list[tuple[str, str]] = []
        self.notes: tuple[str, ...] = ()
        self.gives: dict[int, tuple[str, ...]] = {-1: ("input",)}  # of each layer, the nodes

    def graph(self) -> Any:
        network = self.network
        for index, layer in enumerate(network.layers):
            try:
                self._add(index, layer)
            except NetworkError as error:
                raise NetworkError(f"{network.layer_name(index)}: {error}") from None
        last = len(network.layers) - 1
        self._node("output", nir.Output(np.array(self._nir_shape(last))), self.gives[last])
        kept = {
            "as_in": self.as_in, "dt_us": network.dt_us, "nir_dt_us": self.dt_us,
            "input_shape": network.input_shape, "input_encoding": network.input_encoding,
            "steps": network.steps, "readout": network.readout,
            "class_names": network.class_names,
        }  # fmt: skip
        metadata = {METADATA: json.dumps(kept)}
        parts = {"nodes": self.nodes, "edges": self.edges, "metadata": metadata}
        try:
            return nir.NIRGraph(**parts)
        except ValueError:  # its check of shapes takes kernels for square, and knows no groups
            self.notes = (
                f"nir {nir.version} does not know the shapes of its convolutions: nir.read takes "
                f"it with type_check=False",
            )
            return nir.NIRGraph(**parts, type_check=False)

    def _node(self, name: str, node: Any, sources: tuple[str, ...]) -> tuple[str, ...]:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return (name,)

    def _nir_shape(self, index: int) -> Shape:
        """Return the shape of what leaves a layer; NIR's 1-D maps have no height."""
        shape = self.network.shapes[index + 1]
        one_line = any(isinstance(layer, Conv1d) for layer in self.network.layers)
        return (shape[0], shape[2]) if one_line and len(shape) == 3 else shape

    def _add(self, index: int, layer: Any) -> None:
        sources = tuple(
            name for source in self.network.sources(index) for name in self.gives[source]
        )
        if isinstance(layer, Add):
            if len(set(sources)) < len(sources):
                raise NetworkError("one source comes twice, expected each once in NIR")
            self.gives[index] = sources
            return
        kind = type(layer).__name__
        name = f"{index}_{kind.lower()}"
        if isinstance(layer, WeightLayer):
            behind = self._node(name, self._weights(layer, index), sources)
            neurons = self._neurons(layer, index)
            name = f"{index}_{type(neurons).__name__.lower()}"
            self.gives[index] = self._node(name, neurons, behind)
            if layer.recurrent is not None:
                back = f"{index}_recurrent"
                self._node(back, self._recurrent(layer, index), (name,))
                self.edges.append((back, name))
            return
        self.gives[index] = self._node(name, self._pathway(layer, index), sources)

    def _weights(self, layer: WeightLayer, index: int) -> Any:
        bias = np.zeros(len(layer.weight), np.float32) if layer.bias is None else layer.bias
        if isinstance(layer, Dense):
            return nir.Affine(layer.weight, bias)  # sinabs reads no Linear
        before = self._nir_shape(index - 1)
        common = {"weight": layer.weight, "groups": layer.groups, "bias": bias}
        common |= {name: getattr(layer, name) for name in ("stride", "padding", "dilation")}
        if isinstance(layer, Conv2d):
            return nir.Conv2d(input_shape=before[1:], **common)
        return nir.Conv1d(input_shape=before[1], **common)

    def _recurrent(self, layer: WeightLayer, index: int) -> Any:
        assert layer.recurrent is not None
        if isinstance(layer, Dense):
            each = layer.recurrent.ndim == 1
            return nir.Linear(np.diag(layer.recurrent) if each else layer.recurrent)
        return nir.Scale(self._full(layer.recurrent, index))

    def _pathway(self, layer: Any, index: int) -> Any:
        before = self._nir_shape(index - 1)
        if isinstance(layer, Flatten):
            return nir.Flatten({"input": np.array(before)}, 0, -1)
        if isinstance(layer, Delay):
            return nir.Delay(self._full(np.asarray(layer.steps) * self.dt, index))
        if isinstance(layer, SumPool2d | AvgPool2d):
            kind = nir.SumPool2d if isinstance(layer, SumPool2d) else nir.AvgPool2d
            return kind(
                np.array(layer.kernel_size),
                np.array(layer.stride),
                np.array(layer.padding or (0, 0)),
            )
        raise NetworkError("NIR has no node for it")

    # --- neurons ----------------------------------------------------------------------------------

    def _neurons(self, layer: WeightLayer, index: int) -> Any:
        neuron = layer.neuron
        if type(neuron).__name__ not in ("LIF", "IF", "LI", "CUBALIF", "CUBALI"):
            raise NetworkError(f"neuron is {neuron!r}, expected LIF, IF, LI, CUBALIF or CUBALI")
        decay = np.asarray(neuron.decay, np.float64)
        keeps_all = bool((decay == 1).all())
        if isinstance(neuron, LIF) and not decay.any() and not self.convention.euler:
            return nir.Threshold(self._full(neuron.threshold, index))
        gain = np.ones(()) if neuron.input_gain == "one" else 1 - decay
        current = None
        if isinstance(neuron, CUBALIF | CUBALI):
            current = np.asarray(neuron.current_decay, np.float64)
        elif keeps_all:
            decay = None  # type: ignore[assignment]
        leak = self.convention.continuous(Discrete(decay, gain, current), self.dt)
        fields = {
            "tau_mem" if current is not None else "tau": leak.tau,
            "r": leak.r, "tau_syn": leak.tau_syn, "w_in": leak.w_in,
        }  # fmt: skip
        for name, values in fields.items():
            if values is not None and not (np.isfinite(values) & (np.asarray(values) > 0)).all():
                raise NetworkError(
                    f"neuron is {neuron!r}, which has no {name} in NIR read as {self.as_in}"
                )
        full = {name: self._full(v, index) for name, v in fields.items() if v is not None}
        if leak.tau is not None:
            full["v_leak"] = self._full(neuron.rest, index)
        if isinstance(neuron, LI):
            return nir.I(full["r"]) if keeps_all else nir.LI(**full)
        if isinstance(neuron, CUBALI):
            return nir.CubaLI(**full)
        full["v_threshold"] = self._full(neuron.threshold, index)
        reset = neuron.reset_value if neuron.reset == "value" else neuron.rest
        full["v_reset"] = self._full(reset, index)
        kind = nir.CubaLIF if current is not None else nir.IF if keeps_all else nir.LIF
        return kind(**full)

    def _full(self, values: Any, index: int) -> Numbers:
        """Return one number, or one for each channel, in the shape of a layer."""
        shape = self._nir_shape(index)
        by_channel = np.atleast_1d(np.asarray(values, np.float64))
        return np.broadcast_to(by_channel.reshape(-1, *[1] * (len(shape) - 1)), shape).copy()


# --- the same network? ----------------------------------------------------------------------------


def _check_same(network: Network, read: Network, as_in: str) -> None:
    """Raise `NetworkError` for the first thing that NIR did not give back."""
    for index, layer in enumerate(network.layers):
        name = network.layer_name(index)
        if index >= len(read.layers) or type(layer) is not type(read.layers[index]):
            raise NetworkError(f"{name} cannot be told in NIR where it stands")
        again = read.layers[index]
        for field in vars(layer):
            if field == "neuron":
                _check_neuron(name, layer.neuron, again.neuron, as_in)  # type: ignore[union-attr]
            elif not _same(field, getattr(layer, field), getattr(again, field)):
                raise NetworkError(f"{name}: {field} would be another one in NIR read as {as_in}")


def _same(field: str, value: Any, again: Any) -> bool:
    if field == "bias" and value is not None and again is None:
        return not value.any()
    if not isinstance(value, np.ndarray) or not isinstance(again, np.ndarray):
        return bool(value == again)
    if field == "recurrent" and value.ndim != again.ndim:
        value, again = (np.diag(one) if one.ndim == 1 else one for one in (value, again))
    return bool(np.array_equal(value, again))


def _check_neuron(name: str, neuron: Neuron, again: Neuron, as_in: str) -> None:
    channels = max(neuron.channels or 1, again.channels or 1)
    left, right = neuron.parameters(channels), again.parameters(channels)
    # As the kernels know them, for a LIF of decay 1 is an IF.
    differing = [field for field in left.dtype.names or () if (left[field] != right[field]).any()]
    if (float32s(neuron.rest) != float32s(again.rest)).any():
        differing.append("rest")
    if (neuron.gain() != again.gain()).any():
        differing.append("input_gain")
    if differing:
        raise NetworkError(
            f"{name}: {' and '.join(differing)} of {neuron!r} cannot be told in NIR read as "
            f"{as_in}, which gives {again!r}"
        )
