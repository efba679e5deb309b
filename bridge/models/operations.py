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

POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)


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

    That is the gradient of all sums by it, where weights are one and means and maxima are sums;
    without a connection, of all that leaves the pools. All channels reach as many: (1, 1, ...).
    `zeros`: only by weights of 0, (1, channels, ...).
    """
    channels = x.shape[1] if zeros else 1
    with torch.enable_grad():
        seed = x.new_zeros((1, channels, *x.shape[2:]), dtype=torch.float64).requires_grad_()
        y: Tensor = seed
        for pool in pools:
            y = _window_sums(pool, y)
        each = 1
        if isinstance(connection, nn.Conv1d | nn.Conv2d):
            each = 1 if zeros else connection.out_channels // connection.groups
            ones = seed.new_ones((1, 1, *connection.kernel_size))
            weight = (connection.weight == 0).double() if zeros else ones
            y = _convolved(connection, y, weight, connection.groups if zeros else 1)
        elif isinstance(connection, nn.Linear) and zeros:
            y = nn.functional.linear(y.flatten(1), (connection.weight == 0).double())
        elif isinstance(connection, nn.Linear):
            each = connection.out_features
        (found,) = torch.autograd.grad(y.sum(), seed)
    return found * each


def _convolved(connection: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
    padding = connection.padding
    if connection.padding_mode != "zeros":  # a value that is repeated at a border reaches more
        around = connection._reversed_padding_repeated_twice
        x, padding = nn.functional.pad(x, around, connection.padding_mode), 0
    convolve = nn.functional.conv1d if x.ndim == 3 else nn.functional.conv2d
    y: Tensor = convolve(x, weight, None, connection.stride, padding, connection.dilation, groups)
    return y


def _window_sums(pool: Any, x: Tensor) -> Tensor:
    """Return the sums of a pool's windows, also of one that takes maxima."""
    if not isinstance(pool, POOLS):
        y: Tensor = pool(x)
        return y
    sizes = (pool.kernel_size, pool.stride, pool.padding)
    if x.ndim == 4:
        return nn.functional.avg_pool2d(x, *sizes, pool.ceil_mode, divisor_override=1)
    kernel, stride, padding = ((1, s if isinstance(s, int) else s[0]) for s in sizes)
    return nn.functional.avg_pool2d(
        x.unsqueeze(-2), kernel, stride, (0, padding[1]), pool.ceil_mode, divisor_override=1
    ).squeeze(-2)


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
