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

WIDTHS = (8, 16, 32, 64)
_TILE = 64  # inputs: a tile is in the first-level cache while it is turned


def width_of(channels: int) -> int:
    """Return how many channels a block of a layer has: not more than it takes, 64 at most."""
    return next((width for width in WIDTHS if channels <= width), WIDTHS[-1])


def blocks_of(channels: int) -> int:
    """Return how many blocks a layer has."""
    return -(-channels // width_of(channels))


def padded(numbers: NDArray[Any] | None, channels: int) -> Float32s:
    """Return numbers of each channel with zeros behind, up to the end of the last block."""
    whole = np.zeros(blocks_of(channels) * width_of(channels), np.float32)
    if numbers is not None:
        whole[:channels] = numbers
    return whole


def new_blocks(outputs: int, inputs: int) -> Float32s:
    """Allocate room for a weight in blocks of outputs, [block][input][output]."""
    return new_array(blocks_of(outputs) * inputs * width_of(outputs), np.float32)


def to_blocks(weight: NDArray[Any]) -> Float32s:
    """Return a weight (outputs, inputs) in blocks of outputs."""
    outputs, inputs = weight.shape
    blocks = new_blocks(outputs, inputs)
    turn_into_blocks(weight, width_of(outputs), 0, blocks_of(outputs), blocks)
    return blocks


@kernel
def turn_into_blocks(
    weight: NDArray[Any], width: int, first: int, stop: int, blocks: Float32s
) -> None:
    """Fill blocks first .. stop - 1 from a weight (outputs, inputs)."""
    for block in range(first, stop):
        turn_into_block(weight, width, block, blocks)


@inner_kernel
def turn_into_block(weight: NDArray[Any], width: int, block: int, blocks: Float32s) -> None:
    """Fill a block from a weight (outputs, inputs), tile by tile; 0 where there is no output."""
    outputs, inputs = weight.shape
    n, lanes, channel = min(width, outputs - block * width), np.uintp(width), block * width
    base = np.uintp(channel * inputs)
    for tile in range(0, inputs, _TILE):
        begin, stop = np.uintp(tile), np.uintp(min(tile + _TILE, inputs))
        for k in range(np.uintp(n)):
            for i in range(begin, stop):
                blocks[base + i * lanes + k] = weight[np.uintp(channel) + k, i]
        for k in range(np.uintp(n), lanes):
            for i in range(begin, stop):
                blocks[base + i * lanes + k] = 0.0


@inner_kernel
def turn_out_of_block(
    block: Float32s, width: int, first: int, gradient: NDArray[np.float32]
) -> None:
    """Write the outputs of a block, from `first` on, to a gradient (outputs, inputs)."""
    outputs, inputs = gradient.shape
    n = min(width, outputs - first)
    for tile in range(0, inputs, _TILE):
        stop = np.uintp(min(tile + _TILE, inputs))
        for k in range(np.uintp(n)):
            for i in range(np.uintp(tile), stop):
                gradient[np.uintp(first) + k, i] = block[i * np.uintp(width) + k]
