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
from .map_stack import MapStack, MapWeights
from .neurons import Rules
from .stack import Stack, Weights, run_backward, run_forward
from .wiring import Pool, Wires


class TrainableLayer(NamedTuple):
    """A layer's parameters, float32 on the CPU, its neurons, and of a convolution its wires.

    weight: (outputs, inputs) or (outputs, inputs, height, width). bias: (outputs,).
    pool: in front of a convolution.
    """

    weight: Tensor
    bias: Tensor | None
    rules: Rules
    wires: Wires | None = None
    pool: Pool | None = None


class Trainable(NamedTuple):
    """A network: convolutions first, then a pool, then fully connected layers."""

    layers: list[TrainableLayer]
    pool: Pool | None

    def with_parameters(self, parameters: Sequence[Tensor | None]) -> Stack:
        """Return the network with parameters, two a layer, as arrays in the same memory."""
        arrays: Any = [None if one is None else one.detach().numpy() for one in parameters]
        maps, dense = [], []
        for layer, weight, bias in zip(self.layers, arrays[::2], arrays[1::2], strict=True):
            if layer.wires is None:
                dense.append(Weights(weight, bias, layer.rules))
            else:
                maps.append(MapWeights(weight, bias, layer.rules, layer.pool, layer.wires))
        on_maps = bool(maps) or self.pool is not None
        return Stack(MapStack(maps, self.pool) if on_maps else None, dense)


def run_stack(network: Trainable, batch: BinnedBatch) -> tuple[Tensor, Tensor]:
    """Return the last layer's spikes, 0 or 1, (samples, timesteps, outputs), and what they took.

    That are the SOPs of each sample and layer, (samples, layers), whole numbers in float64. Both
    are differentiable. As many threads take part as torch has on the CPU; the result does not
    depend on how many.
    """
    parameters = [tensor for layer in network.layers for tensor in (layer.weight, layer.bias)]
    found: tuple[Tensor, Tensor] = _SparseStack.apply(  # type: ignore[no-untyped-call]
        network, batch, *parameters
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
        """Return the gradients of weights and biases."""
        parameters: Sequence[Tensor | None] = ctx.saved_tensors
        gradients = [None if one is None else torch.empty(one.shape) for one in parameters]
        found = [None if one is None else one.numpy() for one in gradients]
        pairs: Any = list(zip(found[::2], found[1::2], strict=True))
        stack = ctx.network.with_parameters(parameters)
        by_spikes, by_operations = (one.float().numpy() for one in by_outputs)
        run_backward(stack, ctx.kept, by_spikes, by_operations, pairs, torch.get_num_threads())
        return None, None, *gradients
