"""A fully connected layer through a batch, forwards and backwards, block by block of its channels.

In: the spikes that arrive. Out: its own as bits, and of the backward pass the gradients of weights,
biases and membranes. Called by `stack.py`, whose threads take some of the blocks each.

Where membranes would take more memory than the weights, they are not kept for the backward pass but
run again, block by block (2312-512-10 at 300 timesteps: 12 MB for a batch of 20, and a tenth of the
time of a step).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, Words, inner_kernel, kernel

from .blocks import turn_into_block, turn_out_of_block
from .neurons import (
    Arrivals,
    Rules,
    RuleSums,
    add_cost,
    counts,
    differentiate,
    gather_values,
    integrate,
    spread_gradient,
)


class DenseLayer(NamedTuple):
    """Weights and neurons of a layer, as kernels read them."""

    rules: Rules
    weight: NDArray[np.float32]  # (outputs, inputs), contiguous
    bias: Float32s  # of all channels of all blocks
    width: int  # channels of a block


class Above(NamedTuple):
    """What the backward pass comes from: the membranes of the layer behind, and its weights."""

    gradients: Arrivals  # those that are not 0; a row is a channel of the layer behind
    blocks: Float32s  # [block of this layer][channel of the layer behind][channel of the block]
    outputs: int  # channels of the layer behind
    by_operations: Float32s  # of each sample: the gradient of the operations of the layer behind


class Room(NamedTuple):
    """What a thread writes to meanwhile."""

    u: Float32s  # (timesteps, width)
    by_spikes: Float32s  # the same
    by_next: Float32s  # (width,)
    bits: Words  # (timesteps,)
    block: Float32s  # weights: [input][channel of the block]
    gradient: Float32s  # of these


class Gradients(NamedTuple):
    """What comes of the backward pass."""

    weight: NDArray[Any]  # (outputs, inputs)
    bias: Float32s  # of all channels of all blocks
    rules: RuleSums
    membranes: Float32s  # (samples, timesteps, channels of all blocks); or none is kept: empty


@kernel
def run_blocks(
    layer: DenseLayer, arrivals: Arrivals, samples: int, steps: int, first: int, stop: int,
    room: Room, words: Words, membranes: Float32s,
) -> None:  # fmt: skip
    """Run blocks first .. stop - 1 through all samples; spikes to words (samples, steps, blocks).

    Bit k of a word is channel k of its block. Keeps the `membranes` (blocks, samples, steps,
    width), unless that has no room.
    """
    width, blocks = layer.width, np.uintp(len(layer.bias) // layer.width)
    for block in range(first, stop):
        turn_into_block(layer.weight, width, block, room.block)
        for sample in range(samples):
            u = room.u
            if len(membranes):
                u = membranes[(block * samples + sample) * steps * width :]
            integrate(
                layer.rules, block, room.block, 0, width, layer.bias, arrivals, arrivals.values,
                sample * steps, steps, u, room.bits,
            )  # fmt: skip
            at = np.uintp(sample * steps) * blocks + np.uintp(block)
            for t in range(np.uintp(steps)):
                words[at] = room.bits[t]
                at += blocks


@kernel
def differentiate_blocks(
    layer: DenseLayer, arrivals: Arrivals, by_outputs: Float32s, above: Above | None,
    samples: int, steps: int, first: int, stop: int, room: Room, kept: Float32s,
    gradients: Gradients,
) -> None:  # fmt: skip
    """Run blocks first .. stop - 1 back through all samples.

    `kept`: the membranes, as `run_blocks` has them; without, they are run again. The gradient
    of the spikes comes from the layer `above`, or without one from `by_outputs`
    (samples, steps, channels of all blocks).
    """
    width, channels, u, bits = layer.width, len(layer.bias), room.u, room.bits
    for block in range(first, stop):
        by_bias, gradient = gradients.bias[block * width :], room.gradient
        if not len(kept):
            turn_into_block(layer.weight, width, block, room.block)
        gradient[:] = 0
        for sample in range(samples):
            pointer = sample * steps
            if len(kept):
                copy_rows(
                    kept, (block * samples + sample) * steps * width, width, steps, width, u, 0,
                    width,
                )  # fmt: skip
            else:
                integrate(
                    layer.rules, block, room.block, 0, width, layer.bias, arrivals,
                    arrivals.values, pointer, steps, u, bits,
                )  # fmt: skip
            at = pointer * channels + block * width
            if above is not None:
                # Each spike costs an operation for each channel of the layer behind.
                cost = above.by_operations[sample] * np.float32(above.outputs)
                collect(
                    layer.rules, above, block, width, len(layer.weight) - block * width, cost,
                    pointer, steps, u, room.by_spikes,
                )  # fmt: skip
            else:
                copy_rows(by_outputs, at, channels, steps, width, room.by_spikes, 0, width)
            differentiate(
                layer.rules, block, width, steps, u, room.by_spikes, room.by_next, bits,
                gradients.rules,
            )  # fmt: skip
            for t in range(steps):
                if bits[t] != 0:
                    spread_gradient(
                        gradient, 0, width, by_bias, arrivals, arrivals.values, pointer + t, u,
                        t * width,
                    )  # fmt: skip
            if len(gradients.membranes):
                copy_rows(u, 0, width, steps, width, gradients.membranes, at, channels)
        turn_out_of_block(gradient, width, block, gradients.weight)


@inner_kernel
def collect(
    rules: Rules, above: Above, block: int, width: int, channels: int, cost: np.float32,
    pointer: int, steps: int, u: Float32s, by_spikes: Float32s,
) -> None:  # fmt: skip
    """Sum up the gradients of a block's spikes over the layer above; where they count for nothing,
    leave 0.

    `cost`: what a spike of any of the `channels` adds to the loss by the operations it causes.
    """
    base = block * above.outputs * width
    for t in range(steps):
        if counts(rules, block, u, t * width, width):
            gather_values(
                by_spikes, t * width, above.blocks, base, width, above.gradients,
                above.gradients.values, pointer + t,
            )  # fmt: skip
            add_cost(by_spikes, t * width, min(width, channels), cost)
        else:
            by_spikes[t * width : (t + 1) * width] = 0


@inner_kernel
def copy_rows(
    source: Float32s, first: int, stride: int, steps: int, width: int, to: Float32s, at: int,
    to_stride: int,
) -> None:  # fmt: skip
    """Copy a row of `width` numbers of each timestep."""
    i, j = np.uintp(first), np.uintp(at)
    for _ in range(steps):
        for k in range(np.uintp(width)):
            to[j + k] = source[i + k]
        i += np.uintp(stride)
        j += np.uintp(to_stride)
