"""Weights times binned events, without neurons: the first product of an RNN or LSTM.

In: a `BinnedBatch`, a weight and a bias of torch on the CPU. Out: the sums of every timestep,
differentiable by weight and bias. Called by `models/recurrent.py`.

The loops are those of a layer with neurons that keep nothing and never spike: their membranes are
the sums.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from eventsim.jit import Float32s, Words, kernel
from eventsim.vectors import new_array

from .blocks import padded, turn_into_block, turn_out_of_block, width_of
from .dense import copy_rows
from .lists import BinnedBatch
from .neurons import Arrivals, Rules, integrate, spread_gradient
from .threads import share


def product(weight: Tensor, bias: Tensor | None, batch: BinnedBatch) -> Tensor:
    """Return the sums of every timestep, (timesteps, samples, outputs).

    weight: (outputs, inputs), bias: (outputs,), float32 on the CPU. As many threads take part as
    torch has there; the result does not depend on how many.
    """
    sums: Tensor = _Product.apply(weight, bias, batch)  # type: ignore[no-untyped-call]
    return sums


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, batch: BinnedBatch) -> Tensor:
        """Sum up the rows that arrive."""
        outputs = len(weight)
        biases = padded(None if bias is None else bias.detach().numpy(), outputs)
        sums = new_array(batch.steps * batch.samples * len(biases), np.float32)
        arrivals = Arrivals(batch.pointers, batch.cells, batch.values)
        work = partial(_sum_part, weight.detach().numpy(), biases, arrivals, batch, sums)
        share(len(biases) // width_of(outputs), torch.get_num_threads(), work)
        ctx.batch, ctx.shape, ctx.has_bias = batch, weight.shape, bias is not None
        whole = torch.from_numpy(sums).reshape(batch.steps, batch.samples, -1)
        return whole[..., :outputs]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_sums: Tensor) -> tuple[Tensor | None, ...]:
        """Add each timestep's gradient to the rows that arrived in it."""
        batch, outputs = ctx.batch, ctx.shape[0]
        gradient, by_bias = torch.empty(ctx.shape), padded(None, outputs)
        missing = len(by_bias) - outputs
        whole = torch.nn.functional.pad(by_sums[0], (0, missing)).contiguous().numpy().reshape(-1)
        arrivals = Arrivals(batch.pointers, batch.cells, batch.values)
        work = partial(_spread_part, whole, arrivals, batch, gradient.numpy(), by_bias)
        share(len(by_bias) // width_of(outputs), torch.get_num_threads(), work)
        return gradient, torch.from_numpy(by_bias[:outputs]) if ctx.has_bias else None, None


def _sum_part(
    weight: NDArray[np.float32], bias: Float32s, arrivals: Arrivals, batch: BinnedBatch,
    sums: Float32s, first: int, stop: int,
) -> None:  # fmt: skip
    width = width_of(len(weight))
    u, block = (new_array(n * width, np.float32) for n in (batch.steps, weight.shape[1]))
    bits = new_array(batch.steps, np.uint64)
    sum_blocks(
        _without_memory(len(bias)), np.ascontiguousarray(weight), width, bias, arrivals,
        batch.samples, batch.steps, first, stop, u, bits, block, sums,
    )  # fmt: skip


def _without_memory(channels: int) -> Rules:
    """Return the rules of neurons that keep nothing and never spike."""
    never = np.full(channels, np.inf, np.float32)
    return Rules(np.zeros_like(never), never, False, 0, np.float32(1), False)


@kernel
def sum_blocks(
    rules: Rules, weight: NDArray[np.float32], width: int, bias: Float32s, arrivals: Arrivals,
    samples: int, steps: int, first: int, stop: int, u: Float32s, bits: Words, block: Float32s,
    sums: Float32s,
) -> None:  # fmt: skip
    """Fill the channels of blocks first .. stop - 1 in sums (steps, samples, channels)."""
    channels = len(bias)
    for number in range(first, stop):
        turn_into_block(weight, width, number, block)
        for sample in range(samples):
            integrate(
                rules, number, block, 0, width, bias, arrivals, arrivals.values, sample * steps,
                steps, u, bits,
            )  # fmt: skip
            at = sample * channels + number * width
            copy_rows(u, 0, width, steps, width, sums, at, samples * channels)


def _spread_part(
    by_sums: Float32s, arrivals: Arrivals, batch: BinnedBatch, gradient: NDArray[np.float32],
    by_bias: Float32s, first: int, stop: int,
) -> None:  # fmt: skip
    width = width_of(len(gradient))
    block = new_array(gradient.shape[1] * width, np.float32)
    spread_blocks(
        by_sums, width, arrivals, batch.samples, batch.steps, first, stop, block, gradient, by_bias
    )


@kernel
def spread_blocks(
    by_sums: Float32s, width: int, arrivals: Arrivals, samples: int, steps: int, first: int,
    stop: int, block: Float32s, gradient: NDArray[np.float32], by_bias: Float32s,
) -> None:  # fmt: skip
    """Fill the gradients of blocks first .. stop - 1, of the weight and of the biases."""
    channels = len(by_bias)
    for number in range(first, stop):
        block[:] = 0
        for sample in range(samples):
            at = sample * channels + number * width
            for t in range(steps):
                spread_gradient(
                    block, 0, width, by_bias[number * width :], arrivals, arrivals.values,
                    sample * steps + t, by_sums, at,
                )  # fmt: skip
                at += samples * channels
        turn_out_of_block(block, width, number, gradient)
