"""Weights in blocks of channels, and gradients out of them.

torch has a weight as (outputs, inputs). The loops through time want a block of 8 to 64 outputs at
a time, [block][input][output of the block], so that a spike's row is contiguous and a block's rows
lie in the second-level cache together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, inner_kernel, kernel
from eventsim.vectors import new_array

from .neurons import Rules
from .vectors import turn_8

WIDTHS = (8, 16, 32, 64)


def width_of(channels: int) -> int:
    """Return how many channels a block of a layer has: not more than it takes, 64 at most."""
    return next((width for width in WIDTHS if channels <= width), WIDTHS[-1])


def blocks_of(channels: int) -> int:
    """Return how many blocks a layer has."""
    return -(-channels // width_of(channels))


def padded(numbers: NDArray[Any] | None, channels: int, beyond: float = 0.0) -> Float32s:
    """Return numbers of each channel, zeros for None, and `beyond` up to the last block's end."""
    whole = np.full(blocks_of(channels) * width_of(channels), beyond, np.float32)
    whole[:channels] = 0 if numbers is None else numbers
    return whole


def rules_in_blocks(rules: Rules, channels: int) -> Rules:
    """Return rules of each channel with those of channels that never spike behind."""
    return rules._replace(
        decay=padded(rules.decay, channels), threshold=padded(rules.threshold, channels, beyond=1.0)
    )


def to_blocks(weight: NDArray[np.float32]) -> Float32s:
    """Return a weight (outputs, inputs), contiguous, in blocks of outputs."""
    outputs, inputs = weight.shape
    blocks = new_array(blocks_of(outputs) * inputs * width_of(outputs), np.float32)
    turn_into_blocks(weight, width_of(outputs), blocks)
    return blocks


def rows_in_blocks(weight: NDArray[np.float32]) -> Float32s:
    """Return a weight (outputs, inputs) in blocks of inputs, [block][output][input]."""
    outputs, inputs = weight.shape
    width, blocks = width_of(inputs), blocks_of(inputs)
    found = new_array(blocks * outputs * width, np.float32)
    whole = found.reshape(blocks, outputs, width)
    for block in range(blocks):
        part = weight[:, block * width : (block + 1) * width]
        whole[block, :, : part.shape[1]] = part
        whole[block, :, part.shape[1] :] = 0
    return found


@kernel
def turn_into_blocks(weight: NDArray[np.float32], width: int, blocks: Float32s) -> None:
    """Fill all blocks from a weight (outputs, inputs)."""
    outputs, inputs = weight.shape
    for block in range(-(-outputs // width)):
        turn_into_block(weight, width, block, blocks[block * inputs * width :])


@inner_kernel
def turn_into_block(weight: NDArray[np.float32], width: int, number: int, block: Float32s) -> None:
    """Fill a block from a weight (outputs, inputs), 8 x 8 at a time; 0 where there is no output."""
    outputs, inputs = weight.shape
    flat, lanes, eight = weight.reshape(-1), np.uintp(width), np.uintp(8)
    first, apart = number * width, np.uintp(inputs)
    n, whole = np.uintp(min(width, outputs - first)), np.uintp(inputs & ~7)
    base, eights = np.uintp(first) * apart, n & ~np.uintp(7)
    for i in range(np.uintp(0), whole, eight):
        for k in range(np.uintp(0), eights, eight):
            turn_8(flat, base + k * apart + i, apart, block, i * lanes + k, lanes)
        for k in range(eights, n):
            for j in range(i, i + eight):
                block[j * lanes + k] = flat[base + k * apart + j]
    for j in range(whole, apart):
        for k in range(n):
            block[j * lanes + k] = flat[base + k * apart + j]
    for j in range(apart):
        for k in range(n, lanes):
            block[j * lanes + k] = 0.0


@inner_kernel
def turn_out_of_block(
    block: Float32s, width: int, number: int, gradient: NDArray[np.float32]
) -> None:
    """Write a block's outputs to a gradient (outputs, inputs)."""
    outputs, inputs = gradient.shape
    flat, lanes, eight = gradient.reshape(-1), np.uintp(width), np.uintp(8)
    first, apart = number * width, np.uintp(inputs)
    n, whole = np.uintp(min(width, outputs - first)), np.uintp(inputs & ~7)
    base, eights = np.uintp(first) * apart, n & ~np.uintp(7)
    for i in range(np.uintp(0), whole, eight):
        for k in range(np.uintp(0), eights, eight):
            turn_8(block, i * lanes + k, lanes, flat, base + k * apart + i, apart)
        for k in range(eights, n):
            for j in range(i, i + eight):
                flat[base + k * apart + j] = block[j * lanes + k]
    for j in range(whole, apart):
        for k in range(n):
            flat[base + k * apart + j] = block[j * lanes + k]
