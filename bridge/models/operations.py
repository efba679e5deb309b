"""The synaptic operations that the engine counts for a spiking model's spikes, differentiable.

In: the layers and what enters them, as dense frames. Out: SOPs of each sample and layer, by the
rules of `eventsim/operations.py`: pools of sums are folded into the weights, so each spike costs
its fan-out. Called by `spiking.py`; the sparse kernels count by themselves (`sparse/stack.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Counted(NamedTuple):
    """What a model gives, and what the engine would execute for it.

    spikes: of the last layer, (batch, steps, outputs).
    sops: synaptic operations of each sample and layer with weights, (batch, layers), whole numbers
        in float64. The first layer's follow from the input. The others are linear in the spikes
        (behind max pools, in what leaves these), and so differentiable where spikes are.
    """

    spikes: Tensor
    sops: Tensor


def sops_of(entering: Tensor, pools: Sequence[nn.Module], connection: nn.Module) -> Tensor:
    """Return the operations of a layer in each sample, (batch,).

    entering: how often each neuron spikes, or each cell has events, (batch, ...), in front of
    `pools`: average and sum pools, upsampling and flattens. connection: weights, or these and a
    batch normalisation.
    """
    weights = connection[0] if isinstance(connection, nn.Sequential) else connection
    return (entering.double() * fan_out(pools, weights, entering)).flatten(1).sum(dim=1)


def fan_out(
    pools: Sequence[nn.Module], connection: nn.Module | None, x: Tensor, *, zeros: bool = False
) -> Tensor:
    """Return how many sums each value of x (batch, channels, ...) reaches, by every way.

    That is the gradient of all sums by it, where weights are one and means are sums; without a
    connection, of all that leaves the pools. All channels reach as many: (1, 1, ...). `zeros`: only
    by weights of 0, (1, channels, ...).
    """
    channels = x.shape[1] if zeros else 1
    with torch.enable_grad():
        seed = x.new_zeros((1, channels, *x.shape[2:]), dtype=torch.float64).requires_grad_()
        y: Tensor = seed
        for pool in pools:
            y = as_sums(pool, y)
        each = 1
        if isinstance(connection, nn.Conv2d):
            each = 1 if zeros else connection.out_channels // connection.groups
            ones = seed.new_ones((1, 1, *connection.kernel_size))
            weight = (connection.weight == 0).double() if zeros else ones
            groups = connection.groups if zeros else 1
            sizes: Any = (connection.stride, connection.padding, connection.dilation, groups)
            y = nn.functional.conv2d(y, weight, None, *sizes)
        elif isinstance(connection, nn.Linear) and zeros:
            y = nn.functional.linear(y.flatten(1), (connection.weight == 0).double())
        elif isinstance(connection, nn.Linear):
            each = connection.out_features
        (found,) = torch.autograd.grad(y.sum(), seed)
    return found * each


def as_sums(pool: nn.Module, x: Tensor) -> Tensor:
    """Return what leaves a pool, means as sums."""
    y: Tensor = pool(x)
    if isinstance(pool, nn.AvgPool2d) and pool.divisor_override is None:
        y = torch.round(y * area(pool)) if not y.requires_grad else y * area(pool)
    return y


def area(pool: nn.AvgPool2d) -> int:
    """Return how many values a window has."""
    size = pool.kernel_size
    return size**2 if isinstance(size, int) else math.prod(size)
