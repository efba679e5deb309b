"""A network: input shape, timestep and its layers, checked once at construction.

Layers are given as a list. Each takes the output of the one before it, but for `Add` and
`Concatenate`, which name their sources; so the list holds any graph without cycles, and recurrence
is a matter of single layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, NetworkError
from ..events.arrays import (
    INPUT_ENCODINGS,
    MAX_CELLS,
    MAX_STEPS,
    InputEncoding,
    InputShape,
    as_input_shape,
)
from ..tables import Table, by
from .geometry import Shape
from .layers import LAYER_TYPES, Layer, WeightLayer
from .neurons import READOUTS_ONLY
from .projections import Signal

Readout = Literal["spike-count", "first-spike", "last-membrane", "mean-membrane"]
READOUTS: tuple[Readout, ...] = get_args(Readout)
INPUT = -1  # how `Add` and `Concatenate` name the input events


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A spiking network as a list of layers; the last one has neurons.

    input_shape: of an event camera (polarities, height, width), with one polarity ON and OFF events
        are merged; else (units,), (channels, height, width), or (channels, length), which becomes
        (channels, 1, length). Without a camera's shape it runs on `from_spikes` and `from_frames`.
    dt_us: length of a timestep in microseconds, the grid that the network was trained on.
    layers: see `layers.py`. Weights in PyTorch's axis order. "Layer 1" is `layers[1]` everywhere:
        in names, in messages, as an argument, and in what a `Result` has of each layer.
    input_encoding: "binary" (one or more events in a cell and timestep are a 1) or "counts" (how
        many there are, up to 2^24).
    steps: timesteps that the network was trained on, the default length of a simulation;
        None simulates whole recordings.
    readout: what the class is told by: the output neuron with the most spikes ("spike-count"), the
        earliest spike ("first-spike"), the highest membrane after the last timestep
        ("last-membrane") or on the mean over all timesteps ("mean-membrane").
    class_names: one for each output neuron, or empty.
    provenance: where the network comes from (data set, accuracy, training settings); anything
        that JSON can hold.
    shapes: `shapes[i]` enters layer i and `shapes[-1]` leaves the last one; not given, but found.

    Raises `NetworkError` naming the layer whose shape does not fit the one before.
    """

    input_shape: InputShape
    dt_us: int
    layers: Sequence[Layer]
    input_encoding: InputEncoding = "binary"
    steps: int | None = None
    readout: Readout = "spike-count"
    class_names: Sequence[str] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check everything and settle the shapes."""
        for name in ("layers", "class_names"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise NetworkError(f"{name} is {value!r}, expected a sequence")
            object.__setattr__(self, name, tuple(value))
        self._check_input()
        object.__setattr__(self, "dt_us", int(self.dt_us))
        object.__setattr__(self, "steps", None if self.steps is None else int(self.steps))
        signals = [Signal(self.input_shape)]
        for index, layer in enumerate(self.layers):
            try:
                signals.append(leaving(index, layer, signals))
                _check_size("output", signals[-1].shape)
            except NetworkError as error:
                raise NetworkError(f"{self.layer_name(index)}: {error}") from None
        object.__setattr__(self, "shapes", tuple(signal.shape for signal in signals))
        self._check_graph()
        outputs = self.outputs
        for index, name in enumerate(self.class_names):
            if not isinstance(name, str):
                raise NetworkError(f"class_names has {name!r} at {index}, expected a string")
        if self.class_names and len(self.class_names) != outputs:
            raise NetworkError(
                f"class_names has {len(self.class_names)} names, expected {outputs}, "
                f"one for each output neuron"
            )

    def sources(self, index: int) -> tuple[int, ...]:
        """Return the layers whose outputs enter layer `index`; -1 is the input."""
        return self.layers[index].sources_of(index)

    @property
    def outputs(self) -> int:
        """Number of output neurons."""
        return math.prod(self.shapes[-1])

    @property
    def reads_membranes(self) -> bool:
        """Whether the readout asks for membranes."""
        return self.readout.endswith("membrane")

    @property
    def rests(self) -> NDArray[np.float32]:
        """What the last layer's membranes start at and are measured from, (channels,)."""
        last = self.layers[-1]
        assert isinstance(last, WeightLayer)
        return np.broadcast_to(np.asarray(last.neuron.rest, np.float32), self.shapes[-1][0])

    @cached_property
    def neuron_layers(self) -> tuple[int, ...]:
        """Indices in `layers` of those with weights and neurons."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, WeightLayer))

    def dense_macs(self, index: int) -> int:
        """Return the multiply-accumulates of one dense pass through a layer with neurons."""
        layer = self.layers[index]
        assert isinstance(layer, WeightLayer)
        return layer.dense_macs(self.shapes[index])  # the layer before, as it names no sources

    @cached_property
    def counted_layers(self) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
        """Layers with neurons: names, dense multiply-accumulates a timestep, and neurons."""
        layers = self.neuron_layers
        return (
            tuple(self.layer_name(i) for i in layers),
            tuple(self.dense_macs(i) for i in layers),
            tuple(math.prod(self.shapes[i + 1]) for i in layers),
        )

    @cached_property
    def never_reset(self) -> tuple[int, ...]:
        """Which of the layers with neurons, numbered from 0, do not reset their membranes."""
        neurons = [self.layers[i].neuron for i in self.neuron_layers]  # type: ignore[union-attr]
        return tuple(n for n, neuron in enumerate(neurons) if neuron.reset == "none")

    def layer_name(self, index: int) -> str:
        """Return how messages and tables call a layer, such as "layer 2 (Conv2d)"."""
        return f"layer {index} ({type(self.layers[index]).__name__})"

    def _table(self) -> Table:
        length = "whole recordings" if self.steps is None else f"{self.steps:,} timesteps"
        rows = tuple(
            (
                self.layer_name(index), by(self.shapes[index + 1]),
                repr(getattr(layer, "neuron", "")).strip("'"), getattr(layer, "parameters", 0),
            )
            for index, layer in enumerate(self.layers)
        )  # fmt: skip
        total = sum(row[-1] for row in rows)
        return Table(
            f"Network: {by(self.input_shape)} input ({self.input_encoding}), {length} of "
            f"{self.dt_us:,} us, read by {self.readout}, {total:,} parameters",
            ("layer", "output", "neuron", "parameters"),
            rows,
        )

    def __repr__(self) -> str:
        """Return the layers as a table, one a line."""
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _check_input(self) -> None:
        try:
            object.__setattr__(self, "input_shape", as_input_shape(self.input_shape))
        except EventsimError as error:
            raise NetworkError(str(error)) from None
        _check_size("input", self.input_shape)
        if not is_whole(self.dt_us, 1, 2**63 - 1):
            raise NetworkError(
                f"dt_us is {self.dt_us!r}, expected whole microseconds, 1 to 2^63 - 1"
            )
        if self.input_encoding not in INPUT_ENCODINGS:
            raise NetworkError(
                f"input_encoding is {self.input_encoding!r}, expected one of {INPUT_ENCODINGS}"
            )
        if self.readout not in READOUTS:
            raise NetworkError(f"readout is {self.readout!r}, expected one of {READOUTS}")
        if self.steps is not None and not is_whole(self.steps, 1, MAX_STEPS):
            raise NetworkError(f"steps is {self.steps!r}, expected 1 to {MAX_STEPS}, or None")

    def _check_graph(self) -> None:
        last = len(self.layers) - 1
        if not self.layers or not isinstance(self.layers[-1], WeightLayer):
            raise NetworkError("the last layer has no neurons, expected a Dense, Conv2d or Conv1d")
        used = {source for index in range(len(self.layers)) for source in self.sources(index)}
        for index, layer in enumerate(self.layers):
            if index != last and index not in used:
                raise NetworkError(f"{self.layer_name(index)}: its output goes nowhere")
            if isinstance(layer, WeightLayer) and isinstance(layer.neuron, READOUTS_ONLY):
                name = type(layer.neuron).__name__
                if index != last:
                    raise NetworkError(
                        f"{self.layer_name(index)}: {name} never spikes, expected it in the last "
                        f"layer"
                    )
                if not self.readout.endswith("membrane"):
                    raise NetworkError(
                        f"readout is {self.readout!r}, expected last-membrane or mean-membrane "
                        f"with {name}, which never spikes"
                    )


def leaving(index: int, layer: Any, signals: Sequence[Signal]) -> Signal:
    """Return what leaves layer `index`, for what leaves the input and the layers before it.

    Raises `NetworkError` for what is no layer, or does not fit there.
    """
    if type(layer) not in LAYER_TYPES.values():
        raise NetworkError(f"{layer!r} is no layer, expected one of {', '.join(LAYER_TYPES)}")
    sources = layer.sources_of(index)
    for source in sources:
        if source >= index:
            raise NetworkError(f"sources has {source}, expected layers before, -1 to {index - 1}")
    signal: Signal = layer.leaving([signals[source + 1] for source in sources])
    return signal


def check_network(network: Any) -> None:
    """Raise `NetworkError` for what is no network, and say what makes one of it."""
    if isinstance(network, Network):
        return
    if isinstance(network, str | Path):
        path = str(network)
        raise NetworkError(
            f"network is the path {path!r}, expected a Network: eventsim.load_network({path!r}) "
            f"reads it"
        )
    makes = "eventsim.load_network reads one from a file"
    if hasattr(network, "state_dict"):  # a module of torch
        makes = (
            "eventsim_bridge.export_network makes one of a SpikingNetwork, and "
            "eventsim_bridge.from_torch of another library's model"
        )
    raise NetworkError(f"network is of type {type(network).__name__}, expected a Network: {makes}")


def _check_size(what: str, shape: Shape) -> None:
    if math.prod(shape) > MAX_CELLS:
        raise NetworkError(f"{what} has shape {shape}, expected at most {MAX_CELLS} values")
