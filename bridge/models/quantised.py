"""The quantised ANN of a structure on summed frames: the matched baseline without time.

In: a structure string (`layers.py`). Out: a trainable `QuantisedNetwork` for `training/`.

All events of a window are added up, a frame for each polarity, and the network sees that frame
once. Weights are whole numbers of -127 to 127 times one scale a layer, max|w| / 127; what enters
and what leaves a hidden layer is a whole number of 0 to 255 times a scale: the counts of events,
more than 255 taken for 255, times the one that `scale_input` finds, and behind a ReLU times one a
layer, a running mean of the largest value of each batch / 255. A machine of whole numbers knows
both scales of a sum as one factor, that by which it brings the sum to 8 bits. Biases and sums stay
32 bits. Training rounds in the same way and lets gradients pass (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018). The last
layer has no ReLU: its sums are the scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from eventsim.events.arrays import InputShape

from .layers import StructureError, build_modules
from .sequences import LayeredModel, Temporal

MOST = 255  # that an input or activation of 8 bits can be
_NEW = 0.1  # part of a batch in the running mean of the largest activation


class FrameSum(Temporal):
    """Adds up the counts of all timesteps to one frame, (steps, batch, ...) to (1, batch, ...)."""

    scale: Tensor

    def __init__(self) -> None:
        """Let an event stand for 1, until `scale_input`."""
        super().__init__()
        self.register_buffer("scale", torch.ones(()))  # what one event stands for

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums, at most `MOST`, times the scale."""
        return x.sum(dim=0, keepdim=True).clamp(max=MOST) * self.scale


class QuantisedLayer(nn.Module):
    """Weights of 8 bits, and for a hidden layer a ReLU that gives values of 8 bits."""

    largest: Tensor

    def __init__(self, connection: nn.Module, hidden: bool) -> None:
        """Put a ReLU behind `connection` where the layer is hidden."""
        super().__init__()
        self.connection = connection
        self.hidden = hidden
        self.register_buffer("largest", torch.zeros(()))  # what 255 stands for

    @property
    def scale(self) -> float:
        """What a value of 1 behind the layer stands for."""
        return float(self.largest) / MOST

    def forward(self, x: Tensor) -> Tensor:
        """Return what leaves the layer, (batch, ...): whole multiples of `scale` if hidden."""
        connection: Any = self.connection
        weight = connection.weight
        rounded = _quantised(weight, weight.detach().abs().max() / 127, -127, 127)
        parameters = dict(connection.named_parameters())
        sums: Tensor = torch.func.functional_call(
            connection, parameters | {"weight": rounded}, (x,)
        )
        if not self.hidden:
            return sums
        positive = torch.relu(sums.float())
        if self.training:
            top = positive.detach().max()
            self.largest += (top - self.largest) * (_NEW if self.largest > 0 else 1.0)
        return _quantised(positive, self.largest / MOST, 0, MOST)


class QuantisedNetwork(LayeredModel):
    """A quantised ANN of a structure in the paper's notation, on frames summed over time.

    structure: as in `layers.py`, such as "512FC-10": 512 units with a ReLU and 10 scores.
    input_shape: (polarities, height, width).
    bias: whether the layers have one.

    Takes frames of event counts (batch, steps, ...) and gives scores (batch, 1, classes). Weights
    are drawn by torch from its global generator, biases too, as its layers do by default. Raises
    `StructureError` for a structure that cannot be read or does not fit `input_shape`.
    """

    def __init__(self, structure: str, input_shape: InputShape, *, bias: bool = True) -> None:
        """Build the layers."""
        super().__init__(input_shape)
        modules = build_modules(structure, input_shape, bias)
        self.layers.append(FrameSum())
        for number, (kind, module) in enumerate(modules):
            if isinstance(module, nn.Upsample):
                raise StructureError(
                    f"structure {structure!r}: expected no U in an ANN, whose operations behind it "
                    f"are not counted"
                )
            if kind.has_neurons:
                module = QuantisedLayer(module, hidden=number < len(modules) - 1)
            self.layers.append(module)


def scale_input(model: QuantisedNetwork, batches: Iterable[Tensor]) -> None:
    """Let an event stand for what makes the mean square of the inputs 1, but for no more than 1.

    Torch draws initial weights for inputs of about that size, and an event of a binary frame is 1.
    batches: frames of event counts, (batch, steps, ...), of all recordings to train on.
    """
    frame_sum: Any = model.layers[0]
    frame_sum.scale.fill_(1.0)
    squares, inputs = 0.0, 0
    for frames in batches:
        counts = frame_sum(frames.transpose(0, 1))
        squares += float(counts.double().square().sum())
        inputs += counts.numel()
    if squares > inputs:
        frame_sum.scale.fill_(math.sqrt(inputs / squares))


def _quantised(x: Tensor, scale: Tensor, least: int, most: int) -> Tensor:
    """Round x to whole multiples of the scale; gradients pass within the range."""
    zero = torch.zeros((), dtype=torch.int32, device=x.device)
    y: Tensor = torch.fake_quantize_per_tensor_affine(x, scale, zero, least, most)
    return y
