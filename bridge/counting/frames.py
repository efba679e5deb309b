"""What a quantised ANN on a summed frame executes, layer by layer, by the rules of the others.

In: a `QuantisedNetwork` and frames of event counts. Out: `FrameOperations`, which stand beside the
engine's `eventsim.Operations` and `RecurrentOperations`. One unit of each count:

input_events   one non-zero value that arrives at the layer
acs            one weight added as it is: the whole number that arrives, a count, an activation of 8
               bits or a pool's sum of these, is 1
macs           one weight multiplied by a larger one, then added
bias_adds      one bias added to one sum
compares       one sum compared with 0, by a ReLU
multiplies     one sum behind a ReLU brought to 8 bits: multiplied by a constant, and rounded
pool_adds, pool_compares
               one non-zero value added to a sum, or compared with a maximum, in a pool between the
               layer and the one below; in the first layer also one event added to the frame

Zeros are skipped, and weights beyond the border of a map are not touched and not counted. Pools
come first, as in an RNN behind its first layer; the constant factor of a mean is in the weights
behind it. What passes between layers has no bytes, and nothing is kept from frame to frame: the
sums of a layer are its state only where an energy model adds event by event. A weight has 8 bits,
a bias 32. dense_macs are what a dense framework executes, padding included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eventsim.energy import Footprint
from eventsim.errors import EventsimError
from eventsim.operations import CountedLayer, CountedLayers

from ..models.operations import area, fan_out
from ..models.quantised import QuantisedLayer, QuantisedNetwork
from ..training.losses import LOSSES_OF, Loss
from .counted import add_up, arriving, nonzero

WEIGHT_BITS = 8


@dataclass(frozen=True)
class FrameLayerOperations(CountedLayer):
    """The operations of one layer on one frame; the module's docstring defines each count."""

    input_events: int
    acs: int
    macs: int
    bias_adds: int
    compares: int
    multiplies: int
    pool_adds: int
    pool_compares: int
    dense_macs: int

    @property
    def sops(self) -> int:
        """Synaptic operations, ACs and MACs."""
        return self.acs + self.macs

    @property
    def weight_bytes_read(self) -> int:
        """Bytes of weights (one each) and biases (four each) read."""
        return self.sops + 4 * self.bias_adds

    @property
    def state_bytes_read(self) -> int:
        """None: there is one timestep."""
        return 0

    @property
    def state_bytes_written(self) -> int:
        """None: there is one timestep."""
        return 0


@dataclass(frozen=True)
class FrameOperations(CountedLayers[FrameLayerOperations]):
    """The operations of one sample (or the sum over several), one entry per layer with weights."""


def count_operations(
    model: QuantisedNetwork, frames: Tensor, *, loss: Loss = "last"
) -> list[FrameOperations]:
    """Run the model on samples and return what each of them takes.

    frames: (batch, steps, polarities, height, width), counts of events.
    loss: "last"; there is no other for an ANN.

    Raises `EventsimError` for frames of another shape or without timesteps, for values that are no
    counts, and for another loss.
    """
    _check(model, frames, loss)
    model.eval()
    with torch.no_grad():
        layers = _layers(model, frames)
    return [
        FrameOperations(tuple(_of_sample(name, of, sample) for name, of in layers))
        for sample in range(len(frames))
    ]


def _of_sample(name: str, counts: Mapping[str, Tensor | int], sample: int) -> FrameLayerOperations:
    own = {c: of if isinstance(of, int) else int(of[sample]) for c, of in counts.items()}
    return FrameLayerOperations(name, **own)


def _check(model: QuantisedNetwork, frames: Tensor, loss: Loss) -> None:
    if loss not in LOSSES_OF["ann"]:
        raise EventsimError(f"loss is {loss!r}, expected one of {LOSSES_OF['ann']}")
    shape = tuple(frames.shape)
    if len(shape) != 5 or shape[1] < 1 or shape[2:] != tuple(model.input_shape):
        raise EventsimError(
            f"frames have shape {shape}, expected (batch, steps, *{model.input_shape})"
        )
    other = frames[(frames < 0) | (frames % 1 != 0)]
    if len(other):
        raise EventsimError(f"frames hold {other[0].item()}, expected counts of events")


def footprint(model: QuantisedNetwork) -> Footprint:
    """Return the words of all weights and biases, and of the sums of all layers."""
    sums = 0
    x = next(model.parameters()).new_zeros(1, *model.input_shape)
    with torch.no_grad():
        for layer in list(model.layers)[1:]:
            x = layer(x)
            sums += x.numel() if isinstance(layer, QuantisedLayer) else 0
    weights = sum(parameter.numel() for parameter in model.parameters())
    return Footprint(weights, sums, WEIGHT_BITS, integers=True)


def _layers(model: QuantisedNetwork, frames: Tensor) -> list[tuple[str, dict[str, Tensor | int]]]:
    """Count what each layer takes, of each sample or, as a number, of every one."""
    first, *others = model.layers
    x = first(frames.transpose(0, 1))[0]
    unit = float(first.get_buffer("scale"))  # what the whole number 1 stands for in x
    counted = []
    pools: dict[str, Tensor | int] = {"pool_adds": frames.flatten(1).sum(dim=1)}
    for index, layer in enumerate(others):
        whole = torch.round(x / unit)
        if isinstance(layer, QuantisedLayer):
            kind = "Conv2d" if isinstance(layer.connection, nn.Conv2d) else "Dense"
            counted.append((f"layer {index} ({kind})", _layer(layer, whole) | pools))
            unit, pools = layer.scale or 1.0, {}
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            worked = nonzero(whole, fan_out([layer], None, whole).long())
            maximum = isinstance(layer, nn.MaxPool2d)
            add_up(pools, {"pool_compares" if maximum else "pool_adds": worked})
            if isinstance(layer, nn.AvgPool2d) and not layer.divisor_override:
                unit /= area(layer)
        x = layer(x)
    return counted


def _layer(layer: QuantisedLayer, whole: Tensor) -> dict[str, Tensor | int]:
    connection: Any = layer.connection
    sums = connection(whole)[0]
    hidden = sums.numel() if layer.hidden else 0
    return {
        **arriving(whole, fan_out([], connection, whole).long()),
        "bias_adds": sums.numel() if connection.bias is not None else 0,
        "compares": hidden,
        "multiplies": hidden,
        "pool_adds": 0,
        "pool_compares": 0,
        "dense_macs": connection.weight.numel() * math.prod(sums.shape[1:]),
    }
