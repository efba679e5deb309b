"""Where torch's graph begins and ends: a stack of sparse layers as one node of it.

In: a `BinnedBatch`, parameters of torch on the CPU, whose memory NumPy reads in place. Out: the
spikes of the last layer, differentiable. Called by `models/sparse_pass.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .lists import BinnedBatch
from .map_stack import LayerGradients, MapStack, MapWeights
from .neurons import Rules
from .stack import Stack, Weights, run_backward, run_forward
from .wiring import Pool, Wires

EACH = 4  # parameters of a layer


class TrainableLayer(NamedTuple):
    """A layer's parameters, float32 on the CPU, its neurons, and of a convolution its wires.

    weight: (outputs, inputs) or (outputs, inputs, height, width). bias, decay, threshold:
    (outputs,). surrogate: its number in `vectors.py`. pool: in front of a convolution.
    """

    weight: Tensor
    bias: Tensor | None
    decay: Tensor
    threshold: Tensor
    subtract: bool
    surrogate: int
    width: float  # of the surrogate
    wires: Wires | None = None
    pool: Pool | None = None


class Trainable(NamedTuple):
    """A network: convolutions first, then a pool, then fully connected layers."""

    layers: list[TrainableLayer]
    pool: Pool | None

    def parameters(self) -> list[Tensor | None]:
        """Return the parameters, `EACH` a layer."""
        return [
            tensor
            for layer in self.layers
            for tensor in (layer.weight, layer.bias, layer.decay, layer.threshold)
        ]

    def with_parameters(self, parameters: Sequence[Tensor | None]) -> Stack:
        """Return the network with parameters as arrays in the same memory."""
        arrays = [None if one is None else one.detach().numpy() for one in parameters]
        maps, dense = [], []
        for layer, own in zip(self.layers, _by_layer(arrays), strict=True):
            weight, bias, decay, threshold = own
            learns = layer.decay.requires_grad or layer.threshold.requires_grad
            rules = Rules(
                decay, threshold, layer.subtract, layer.surrogate, np.float32(layer.width), learns
            )
            if layer.wires is None:
                dense.append(Weights(weight, bias, rules))
            else:
                maps.append(MapWeights(weight, bias, rules, layer.pool, layer.wires))
        on_maps = bool(maps) or self.pool is not None
        return Stack(MapStack(maps, self.pool) if on_maps else None, dense)


def _by_layer(values: list[Any]) -> list[list[Any]]:
    return [values[first : first + EACH] for first in range(0, len(values), EACH)]


def run_stack(network: Trainable, batch: BinnedBatch) -> tuple[Tensor, Tensor]:
    """Return the last layer's spikes, 0 or 1, (samples, timesteps, outputs), and what they took.

    That are the SOPs of each sample and layer, (samples, layers), whole numbers in float64. Both
    are differentiable. As many threads take part as torch has on the CPU; the result does not
    depend on how many.
    """
    found: tuple[Tensor, Tensor] = _SparseStack.apply(  # type: ignore[no-untyped-call]
        network, batch, *network.parameters()
    )
    return found


class _SparseStack(torch.autograd.Function):
    """All layers and timesteps in one node, so that between layers nothing is dense."""

    @staticmethod
    def forward(
        ctx: Any, network: Trainable, batch: BinnedBatch, *parameters: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return spikes and operations; keeps lists of the spikes of each layer."""
        stack = network.with_parameters(parameters)
        spikes, operations, ctx.kept = run_forward(stack, batch, torch.get_num_threads())
        ctx.network = network
        ctx.save_for_backward(*parameters)
        return torch.from_numpy(spikes), torch.from_numpy(operations.astype(np.float64))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the parameters."""
        parameters: Sequence[Tensor | None] = ctx.saved_tensors
        stack = ctx.network.with_parameters(parameters)
        gradients = [
            torch.empty(one.shape) if one is not None and (asked or number % EACH == 0) else None
            for number, (one, asked) in enumerate(
                zip(parameters, ctx.needs_input_grad[2:], strict=True)
            )
        ]
        arrays = [None if one is None else one.numpy() for one in gradients]
        found = [LayerGradients(*own) for own in _by_layer(arrays)]
        by_spikes, by_operations = (one.float().numpy() for one in by_outputs)
        run_backward(stack, ctx.kept, by_spikes, by_operations, found, torch.get_num_threads())
        return None, None, *gradients
