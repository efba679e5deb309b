"""A torch module -> the layers of the engine, in the order in which its forward calls them.

In: a module of one library's neurons, and the shape of its input. Out: a `Walk`: layers, which
module each comes from, and what is read out. Called by `__init__.py` and `original.py`.

Weights wait for the neurons behind them (a batch normalisation is folded in meanwhile), so what
flows through the graph is either what leaves a layer (`Signal`), or weights (`Waiting`), or nothing
that spikes: states and sizes (`OTHER`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import fx, nn

from eventsim.errors import NetworkError
from eventsim.network import projections
from eventsim.network.geometry import Shape
from eventsim.network.graph import INPUT, leaving
from eventsim.network.layers import Layer
from eventsim.network.neurons import IF, LI
from eventsim.network.pathways import Add, Concatenate, Flatten

from ..models.modules import (
    NORMS,
    SILENT,
    WEIGHTS,
    Connection,
    kind_of,
    pathway_of,
    refusal,
)
from .calls import FUNCTIONS, SAME
from .graph import graph_of, path_of
from .library import Library, Neurons

MOST_COPIED = 4096  # neurons of a flat layer that has no weights before it, and gets a diagonal


class Signal(NamedTuple):
    """What leaves a layer of the engine, or the input (-1)."""

    layer: int
    axes: int  # before the channels
    with_state: bool = False  # whether it comes first in a tuple


class Waiting(NamedTuple):
    """Weights without their neurons."""

    connection: Connection
    path: str
    source: Signal  # what they are for
    shape: Shape

    @property
    def axes(self) -> int:
        """How many stand before the channels."""
        return self.source.axes


class Readout(NamedTuple):
    """The sum or mean of a layer over the timesteps: behind it the model ends."""

    of: Signal | Waiting


OTHER = object()


class Step(NamedTuple):
    """A layer of the engine, and what it was."""

    path: str  # of the module in its model; of the one whose forward it is, for a call
    was: str
    layer: Layer


@dataclass
class Walk:
    """The layers so far."""

    library: Library | None
    input_shape: Shape
    steps: list[Step] = field(default_factory=list)
    signals: list[projections.Signal] = field(default_factory=list)
    made: dict[Any, Any] = field(default_factory=dict)  # what each call gave, by what it was given
    neurons: list[str] = field(default_factory=list)  # their paths, as the engine numbers layers
    flattens_input: bool = False  # the model takes it flat: its first weights are an nn.Linear
    takes: str = "one"  # what a call of the model is for: "one" timestep, or "steps, batch", or ...
    repeats: bool = False  # whether neurons are called again with the same

    def model(self, module: nn.Module) -> None:
        """Walk through a model; refuse one that does not end in neurons."""
        self.signals.append(projections.Signal(self.input_shape))
        axes = 1 if self.library is None else self.library.axes(module)
        given = _first(self.run(module, "", [Signal(INPUT, axes)]))
        if isinstance(given, Waiting):
            given = self._readout(given)
        if not isinstance(given, Signal):
            raise NetworkError("the model returns nothing that spikes, expected its last layer")
        if self.repeats and self.takes == "one":
            raise NetworkError(
                "the model runs several timesteps on the same input, expected a loop over its own"
            )
        if not self.steps or given.layer != len(self.steps) - 1:
            raise NetworkError("the model returns a layer that is not its last, expected the last")

    def shape(self, signal: Signal) -> Shape:
        """Return the shape of a signal, without the axes before the channels."""
        return self.signals[signal.layer + 1].shape

    # --- calls -----------------------------------------------------------------------------------

    def run(self, module: nn.Module, path: str, given: Sequence[Any]) -> Any:
        """Return what a module gives for what it is given."""
        if self._is_whole(module):
            return self._call(module, path, given)
        results: dict[fx.Node, Any] = {}
        inputs = iter(given)

        def of(argument: Any) -> Any:
            return fx.node.map_arg(argument, lambda node: results[node])

        shape = None if path else self.input_shape
        for node in graph_of(module, path, self._is_whole, shape).nodes:
            if node.op == "placeholder":
                results[node] = next(inputs, OTHER)
            elif node.op == "output":
                return of(node.args[0])
            elif node.op == "call_module":
                name = ".".join(part for part in (path, str(node.target)) if part)
                part = module.get_submodule(str(node.target))
                arguments = [of(one) for one in (*node.args, *node.kwargs.values())]
                results[node] = self._call(part, name, arguments)
            elif node.op == "get_attr":
                results[node] = OTHER
            else:
                results[node] = self._function(
                    node, path_of(node, path), [of(one) for one in node.args],
                    {name: of(one) for name, one in node.kwargs.items()},
                )  # fmt: skip
        raise AssertionError("a graph has an output")

    def _is_whole(self, module: nn.Module) -> bool:
        if self.library is not None and (
            self.library.is_neuron(module) or self.library.inside(module) is not None
        ):
            return True
        return kind_of(module) is not None

    def _call(self, module: nn.Module, path: str, given: Sequence[Any]) -> Any:
        """Return what one call of a module gives."""
        path = path or type(module).__name__
        try:
            return self._call_whole(module, path, given)
        except NetworkError as error:
            named = str(error).startswith(f"{path}.")  # by a module inside
            raise NetworkError(str(error) if named else f"{path}: {error}") from None

    def _call_whole(self, module: nn.Module, path: str, given: Sequence[Any]) -> Any:
        library, kind = self.library, kind_of(module)
        x: Any = given[0] if given else OTHER
        inside = None if library is None else library.inside(module)
        if inside is not None:
            for name, part in inside:
                axes = getattr(x, "axes", 1)
                x = _first(self.run(part, f"{path}.{name}", [_with_axes(x, 1)]))
                x = _with_axes(x, axes)
            return x
        if kind in SILENT:
            return x
        if not isinstance(x, Signal | Waiting) or (isinstance(x, Signal) and x.with_state):
            raise NetworkError(f"{type(module).__name__} is given no layer's output")
        spikes = library is not None and library.is_neuron(module)
        came = path, type(module), x.path if isinstance(x, Waiting) else x
        if came in self.made:  # in the next turn of a loop over timesteps
            self.repeats |= spikes
            return self.made[came]
        if (spikes or kind in WEIGHTS) and any(path == called for called, *_ in self.made):
            raise NetworkError("is called twice, expected once in a timestep")
        self.made[came] = self._new_call(module, path, x, spikes)
        return self.made[came]

    def _new_call(self, module: nn.Module, path: str, x: Signal | Waiting, spikes: bool) -> Any:
        kind = kind_of(module)
        if spikes:
            return self._neurons(module, path, x)
        if kind in NORMS and isinstance(x, Waiting):
            return x._replace(connection=x.connection.folded(module), path=f"{x.path}, {path}")
        if isinstance(x, Waiting):
            raise NetworkError(
                f"{type(module).__name__} stands between weights ({x.path}) and neurons"
            )
        if kind in WEIGHTS:
            return self._weights(module, path, x)
        if kind is None:
            raise refusal(module)
        return self._pathway(module, path, x)

    def _weights(self, module: Any, path: str, x: Signal) -> Waiting:
        shape = self.shape(x)
        if kind_of(module) is nn.Linear and len(shape) > 1:
            if x.layer != INPUT or int(np.prod(shape)) != module.in_features:
                raise NetworkError(
                    f"Linear acts on the last axis of a map {shape}, expected a Flatten before it"
                )
            self.flattens_input = True
            x = self._append(path, "input, flattened", Flatten(), x)
            shape = self.shape(x)
        connection = Connection.of(module)
        after = connection.layer(IF(1.0)).output_shape(shape)
        return Waiting(connection, path, x, after)

    def _neurons(self, module: Any, path: str, x: Signal | Waiting) -> Signal:
        assert self.library is not None
        shape = x.shape if isinstance(x, Waiting) else self.shape(x)
        found = self.library.neurons(module, shape)
        if isinstance(x, Signal):
            x = _copies(shape, path, x) if found.weight is None else _own_weights(found, path, x)
        elif found.weight is not None:
            raise NetworkError(f"{type(module).__name__} has weights of its own behind {x.path}")
        recurrent = found.recurrent
        if recurrent is not None:
            gain = np.broadcast_to(found.gain, len(recurrent))
            recurrent = recurrent * gain.reshape(-1, *[1] * (recurrent.ndim - 1))
        connection = x.connection.with_bias(found.bias).scaled(found.gain)
        was = f"{type(x.connection.module).__name__}, {type(module).__name__}"
        where = path if x.path == path else f"{x.path}, {path}"
        self.neurons.append(path)
        signal = self._append(
            where,
            was,
            connection.layer(found.neuron, recurrent),
            x.source,
        )
        return signal._replace(with_state=self.library.returns_state(module))

    def _readout(self, x: Waiting) -> Signal:
        """Weights that end a model: membranes without memory, which are what they give."""
        self.neurons.append(x.path)
        layer = x.connection.layer(LI(0.0))
        was = f"{type(x.connection.module).__name__}, no neurons"
        return self._append(x.path, was, layer, x.source)

    def _pathway(self, module: Any, path: str, x: Signal) -> Signal:
        if isinstance(module, nn.Flatten):
            # spikingjelly's own is told of the axis of timesteps by its step mode
            axes, first = 1 if hasattr(module, "step_mode") else x.axes, module.start_dim
            module = nn.Flatten(first - axes + 1 if first > 0 else first, module.end_dim)
            if len(self.shape(x)) == 1:
                return x
        return self._append(path, type(module).__name__, pathway_of(module, self.shape(x)), x)

    def _append(self, path: str, was: str, layer: Layer, x: Signal) -> Signal:
        index = len(self.steps)
        if not isinstance(layer, Add | Concatenate) and x.layer != index - 1:
            raise NetworkError(
                f"takes the output of layer {x.layer}, expected that of the layer before, "
                f"{index - 1}: only sums and concatenations join branches"
            )
        self.signals.append(leaving(index, layer, self.signals))
        self.steps.append(Step(path, was, layer))
        return Signal(index, x.axes)

    # --- functions that a forward calls -----------------------------------------------------------

    def _function(self, node: fx.Node, path: str, given: list[Any], named: dict[str, Any]) -> Any:
        flat = [*given, *named.values()]
        name = node.target if isinstance(node.target, str) else _name(node.target)
        if not any(isinstance(one, Signal | Waiting) for one in _leaves(flat)):
            return OTHER
        taken = self._taken(name, given, named)
        if taken is not None:
            return taken
        if name in ("size", "dim", "getattr") or (name in ("add", "iadd") and OTHER in given):
            return OTHER
        if name in SAME:
            return given[0]
        where = path or "forward"
        if name in ("add", "iadd", "cat"):
            return self._merge(name, where, given, named)
        if name in FUNCTIONS:
            try:
                return self._call(FUNCTIONS[name](*given, **named), where, given[:1])
            except (TypeError, ValueError) as error:
                if isinstance(error, NetworkError):
                    raise
                raise NetworkError(f"{where}: calls {name} with {given[1:]}: {error}") from None
        raise NetworkError(
            f"{where}: calls {name}, expected modules, pools, flatten, +, cat and dropout only"
        )

    def _taken(self, name: str, given: list[Any], named: dict[str, Any]) -> Any:
        """Return what is picked of tuples, or of timesteps, or put together of these; else None."""
        x = given[0]
        if name == "getitem" and not isinstance(x, Signal | Waiting | Readout):
            return x[given[1]]
        if name == "getitem" and isinstance(x, Signal) and x.with_state:
            return x._replace(with_state=False) if given[1] == 0 else OTHER
        if name == "getitem" and x == Signal(INPUT, 1) and _index_of_time(given[1]):
            self.takes = _index_of_time(given[1])
            return x
        if self.takes == "one":
            return None
        if name == "stack" and len(set(x)) == 1:
            return x[0]
        along = (*given[1:], named.get("dim"))[0]
        return Readout(x) if name in ("sum", "mean") and along == 0 else None

    def _merge(self, name: str, path: str, given: list[Any], named: dict[str, Any]) -> Any:
        parts = given[:2] if name != "cat" else list(given[0])
        if not all(isinstance(part, Signal) and not part.with_state for part in parts):
            raise NetworkError(f"{path}: {name} of weights without neurons, expected of spikes")
        dim = (*given[1:], named.get("dim", 0))[0] if name == "cat" else None
        if name == "cat" and dim != parts[0].axes:
            raise NetworkError(f"{path}: cat along axis {dim}, expected the channels")
        came = name, *(part.layer for part in parts)
        try:
            if came not in self.made:
                merge = Concatenate(came[1:]) if name == "cat" else Add(came[1:])
                self.made[came] = self._append(path, name, merge, parts[0])
            return self.made[came]
        except NetworkError as error:
            raise NetworkError(f"{path}: {error}") from None


def _copies(shape: Shape, path: str, x: Signal) -> Waiting:
    """Return weights that hand each input on to a neuron of its own."""
    if len(shape) > 1:
        module: Any = nn.Conv2d(shape[0], shape[0], 1, groups=shape[0], bias=False)
        nn.init.ones_(module.weight)
    elif shape[0] <= MOST_COPIED:
        module = nn.Linear(shape[0], shape[0], bias=False)
        nn.init.eye_(module.weight)
    else:
        raise NetworkError(
            f"{shape[0]} neurons have no weights before them, expected at most {MOST_COPIED}"
        )
    return Waiting(Connection.of(module), path, x, shape)


def _own_weights(found: Neurons, path: str, x: Signal) -> Waiting:
    """Return the weights that the neurons hold themselves."""
    assert found.weight is not None
    outputs, inputs = found.weight.shape
    connection = Connection(nn.Linear(inputs, outputs, bias=False), found.weight, None)
    return Waiting(connection, path, x, (outputs,))


def _index_of_time(index: Any) -> str:
    """Return how a model that takes all timesteps finds one of them; empty if it does not."""
    if isinstance(index, int):
        return "steps, batch"
    whole = isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None)
    return "batch, steps" if whole and isinstance(index[1], int) else ""


def _with_axes(x: Any, axes: int) -> Any:
    """Return the same behind so many axes."""
    if isinstance(x, Waiting):
        return x._replace(source=x.source._replace(axes=axes))
    return x._replace(axes=axes) if isinstance(x, Signal) else x


def _first(given: Any) -> Any:
    """Return the first that spikes of what a forward returns."""
    leaves = [one.of if isinstance(one, Readout) else one for one in _leaves([given])]
    found = [one for one in leaves if isinstance(one, Signal | Waiting)]
    if found and isinstance(found[0], Signal):
        return found[0]._replace(with_state=False)
    return found[0] if found else OTHER


def _leaves(given: Any) -> list[Any]:
    """Return what a nest of lists and tuples holds; what flows is a tuple as well, and no nest."""
    if isinstance(given, Signal | Waiting | Readout) or not isinstance(given, list | tuple):
        return [given]
    return [leaf for part in given for leaf in _leaves(part)]


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))
