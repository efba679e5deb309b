"""Where torch's graph begins and ends: a stack of sparse layers as one node of it.

In: a `BinnedBatch`, parameters of torch on the CPU, whose memory NumPy reads in place. Out: the
spikes of the last layer, differentiable. Called by `models/sparse_pass.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .lists import BinnedBatch
from .neurons import Rules
from .stack import Weights, run_backward, run_forward


class TrainableLayer(NamedTuple):
    """A layer's parameters, float32 on the CPU: (outputs, inputs), (outputs,); its neurons."""

    weight: Tensor
    bias: Tensor | None
    rules: Rules


def spikes_of(layers: Sequence[TrainableLayer], batch: BinnedBatch) -> Tensor:
    """Return the last layer's spikes, 0 or 1, (samples, timesteps, outputs).

    As many threads take part as torch has on the CPU; the result does not depend on how many.
    """
    parameters = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    rules = [layer.rules for layer in layers]
    spikes: Tensor = _SparseStack.apply(rules, batch, *parameters)  # type: ignore[no-untyped-call]
    return spikes


class _SparseStack(torch.autograd.Function):
    """All layers and timesteps in one node, so that between layers nothing is dense."""

    @staticmethod
    def forward(
        ctx: Any, rules: Sequence[Rules], batch: BinnedBatch, *parameters: Tensor | None
    ) -> Tensor:
        """Return the spikes; keeps lists of those of each layer."""
        spikes, ctx.kept = run_forward(_stack(rules, parameters), batch, torch.get_num_threads())
        ctx.rules = rules
        ctx.save_for_backward(*parameters)
        return torch.from_numpy(spikes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_spikes: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of weights and biases."""
        parameters: Sequence[Tensor | None] = ctx.saved_tensors
        gradients = [None if one is None else torch.empty_like(one) for one in parameters]
        found = [None if one is None else one.numpy() for one in gradients]
        pairs: Any = list(zip(found[::2], found[1::2], strict=True))
        stack = _stack(ctx.rules, parameters)
        run_backward(stack, ctx.kept, by_spikes[0].numpy(), pairs, torch.get_num_threads())
        return None, None, *gradients


def _stack(rules: Sequence[Rules], parameters: Sequence[Tensor | None]) -> list[Weights]:
    """Return the parameters, two a layer, as arrays in the same memory."""
    arrays: Any = [None if one is None else one.detach().numpy() for one in parameters]
    return [
        Weights(weight, bias, own)
        for weight, bias, own in zip(arrays[::2], arrays[1::2], rules, strict=True)
    ]
