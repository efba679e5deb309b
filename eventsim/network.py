"""A network: input shape, timestep and a list of layers, checked once at construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import NetworkError
from .events import INPUT_ENCODINGS, MAX_STEPS, InputEncoding
from .layers import (
    LAYER_TYPES,
    AvgPool2d,
    Layer,
    MaxPool2d,
    Shape,
    SumPool2d,
    WeightLayer,
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
        object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        self._check_input()
        shapes: list[Shape] = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                self._check_order(index)
                shapes.append(layer.output_shape(shapes[-1]))
            except NetworkError as error:
                raise NetworkError(f"{self.layer_name(index)}: {error}") from None
        object.__setattr__(self, "shapes", tuple(shapes))
        if not self.layers or not isinstance(self.layers[-1], WeightLayer):
            raise NetworkError("the last layer has no neurons, expected a Dense or Conv2d")
        outputs = self.outputs
        if self.class_names and len(self.class_names) != outputs:
            raise NetworkError(
                f"class_names has {len(self.class_names)} names, expected {outputs}, "
                f"one for each output neuron"
            )

    @property
    def outputs(self) -> int:
        """Number of output neurons."""
        product = 1
        for size in self.shapes[-1]:
            product *= size
        return product

    def layer_name(self, index: int) -> str:
        """Return how messages and tables call a layer, such as "layer 2 (Conv2d)"."""
        return f"layer {index} ({type(self.layers[index]).__name__})"

    def _check_input(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1 or self.input_shape[0] > 2:
            raise NetworkError(
                f"input_shape is {self.input_shape}, expected (1 or 2 polarities, height, width)"
            )
        if not isinstance(self.dt_us, int | np.integer) or self.dt_us < 1:
            raise NetworkError(f"dt_us is {self.dt_us}, expected whole microseconds >= 1")
        if self.input_encoding not in INPUT_ENCODINGS:
            raise NetworkError(
                f"input_encoding is {self.input_encoding!r}, expected one of {INPUT_ENCODINGS}"
            )
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise NetworkError(f"steps is {self.steps}, expected 1 to {MAX_STEPS}, or None")

    def _check_order(self, index: int) -> None:
        layer = self.layers[index]
        if not isinstance(layer, tuple(LAYER_TYPES.values())):
            raise NetworkError(f"{layer!r} is no layer of eventsim")
        if isinstance(layer, MaxPool2d):
            for before in reversed(self.layers[:index]):
                if isinstance(before, SumPool2d | AvgPool2d):
                    raise NetworkError(
                        "the maximum of pooled sums is not a spike; put MaxPool2d before "
                        "SumPool2d and AvgPool2d, or a layer with neurons between them"
                    )
                if isinstance(before, WeightLayer):
                    break
