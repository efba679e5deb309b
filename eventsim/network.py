"""A network: input shape, timestep and a list of layers, checked once at construction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import NetworkError
from .events import INPUT_ENCODINGS, MAX_CELLS, MAX_STEPS, InputEncoding
from .layers import (
    LAYER_TYPES,
    AvgPool2d,
    Layer,
    MaxPool2d,
    Shape,
    SumPool2d,
    WeightLayer,
    is_whole,
)


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward spiking network as a list of layers; the last one has neurons.

    input_shape: (polarities, height, width); with one polarity ON and OFF events are merged.
    dt_us: length of a timestep in microseconds, the grid that the network was trained on.
    layers: see `layers.py`. Weights in PyTorch's axis order.
    input_encoding: "binary" (one or more events in a cell and timestep are a 1) or "counts".
    steps: timesteps that the network was trained on, the default length of a simulation;
        None simulates whole recordings.
    class_names: one for each output neuron, or empty.
    provenance: where the network comes from (data set, accuracy, training settings); anything
        that JSON can hold.

    Raises `NetworkError` naming the layer whose shape does not fit the one before.
    """

    input_shape: tuple[int, int, int]
    dt_us: int
    layers: Sequence[Layer]
    input_encoding: InputEncoding = "binary"
    steps: int | None = None
    class_names: Sequence[str] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = field(init=False)  # shapes[i] enters layer i, shapes[-1] leaves

    def __post_init__(self) -> None:
        """Check everything and settle the shapes."""
        for name in ("input_shape", "layers", "class_names"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise NetworkError(f"{name} is {value!r}, expected a sequence")
            object.__setattr__(self, name, tuple(value))
        self._check_input()
        object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))
        object.__setattr__(self, "dt_us", int(self.dt_us))
        object.__setattr__(self, "steps", None if self.steps is None else int(self.steps))
        shapes: list[Shape] = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                self._check_order(index)
                shapes.append(layer.output_shape(shapes[-1]))
                _check_size("output", shapes[-1])
            except NetworkError as error:
                raise NetworkError(f"{self.layer_name(index)}: {error}") from None
        object.__setattr__(self, "shapes", tuple(shapes))
        if not self.layers or not isinstance(self.layers[-1], WeightLayer):
            raise NetworkError("the last layer has no neurons, expected a Dense or Conv2d")
        outputs = self.outputs
        for index, name in enumerate(self.class_names):
            if not isinstance(name, str):
                raise NetworkError(f"class_names has {name!r} at {index}, expected a string")
        if self.class_names and len(self.class_names) != outputs:
            raise NetworkError(
                f"class_names has {len(self.class_names)} names, expected {outputs}, "
                f"one for each output neuron"
            )

    @property
    def outputs(self) -> int:
        """Number of output neurons."""
        return math.prod(self.shapes[-1])

    @property
    def neuron_layers(self) -> tuple[int, ...]:
        """Indices in `layers` of those with weights and neurons."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, WeightLayer))

    def dense_macs(self, index: int) -> int:
        """Return the multiply-accumulates of one dense pass through a layer with neurons."""
        layer = self.layers[index]
        assert isinstance(layer, WeightLayer)
        return layer.dense_macs(self.shapes[index])

    def layer_name(self, index: int) -> str:
        """Return how messages and tables call a layer, such as "layer 2 (Conv2d)"."""
        return f"layer {index} ({type(self.layers[index]).__name__})"

    def _check_input(self) -> None:
        if (
            len(self.input_shape) != 3
            or not all(is_whole(n, 1) for n in self.input_shape)
            or self.input_shape[0] > 2
        ):
            raise NetworkError(
                f"input_shape is {self.input_shape}, expected (1 or 2 polarities, height, width)"
            )
        _check_size("input", self.input_shape)
        if not is_whole(self.dt_us, 1, 2**63 - 1):
            raise NetworkError(
                f"dt_us is {self.dt_us!r}, expected whole microseconds, 1 to 2^63 - 1"
            )
        if self.input_encoding not in INPUT_ENCODINGS:
            raise NetworkError(
                f"input_encoding is {self.input_encoding!r}, expected one of {INPUT_ENCODINGS}"
            )
        if self.steps is not None and not is_whole(self.steps, 1, MAX_STEPS):
            raise NetworkError(f"steps is {self.steps!r}, expected 1 to {MAX_STEPS}, or None")

    def _check_order(self, index: int) -> None:
        layer = self.layers[index]
        if type(layer) not in LAYER_TYPES.values():
            raise NetworkError(f"{layer!r} is no layer, expected one of {', '.join(LAYER_TYPES)}")
        if isinstance(layer, MaxPool2d):
            for before in reversed(self.layers[:index]):
                if isinstance(before, SumPool2d | AvgPool2d):
                    raise NetworkError(
                        "the maximum of pooled sums is not a spike; put MaxPool2d before "
                        "SumPool2d and AvgPool2d, or a layer with neurons between them"
                    )
                if isinstance(before, WeightLayer):
                    break


def _check_size(what: str, shape: Shape) -> None:
    if math.prod(shape) > MAX_CELLS:
        raise NetworkError(f"{what} has shape {shape}, expected at most {MAX_CELLS} values")
