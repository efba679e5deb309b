"""Which sites of a map reach which: kernels of convolutions, windows of pools, as flat tables.

In: sizes as torch's modules have them. Out: `Taps` and `Pool`. Called by `models/sparse_pass.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .maps import Taps

Pair = tuple[int, int]


class Pool(NamedTuple):
    """A pool whose windows do not overlap."""

    children: NDArray[np.int32]  # (windows, sites of a window), row by row
    maximum: bool  # or the sum, which is multiplied by:
    scale: np.float32


class Wires(NamedTuple):
    """A convolution's kernel over a map, from both of its ends."""

    forwards: Taps  # what reaches each site of its output
    backwards: Taps  # what each site of its input reaches
    sites: int  # of its output


@lru_cache(256)
def wire(
    inputs: Pair, outputs: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair,
    in_channels: int, out_channels: int,
) -> Wires:  # fmt: skip
    """Return the taps of a convolution from a map of `inputs` (height, width) to one of `outputs`.

    A tap has a row of weights for each channel that it looks at.
    """
    out_y, out_x, tap_y, tap_x = np.indices((*outputs, *kernel)).reshape(4, -1)
    y = out_y * stride[0] - padding[0] + tap_y * dilation[0]
    x = out_x * stride[1] - padding[1] + tap_x * dilation[1]
    inside = (y >= 0) & (y < inputs[0]) & (x >= 0) & (x < inputs[1])
    site, source = (out_y * outputs[1] + out_x)[inside], (y * inputs[1] + x)[inside]
    tap = (tap_y * kernel[1] + tap_x)[inside]
    sites = outputs[0] * outputs[1]
    return Wires(
        _taps(site, source, tap * in_channels, sites),
        _taps(source, site, tap * out_channels, inputs[0] * inputs[1]),
        sites,
    )


def _taps(
    site: NDArray[np.int64], source: NDArray[np.int64], row: NDArray[np.int64], sites: int
) -> Taps:
    order = np.lexsort((source, site))
    pointers = np.concatenate([[0], np.bincount(site, minlength=sites).cumsum()])
    return Taps(pointers, source[order].astype(np.int32), row[order].astype(np.int32))


@lru_cache(256)
def pool_of(inputs: Pair, window: Pair, maximum: bool, scale: float) -> Pool:
    """Return a pool over a map (height, width); what no whole window has is left out."""
    rows, columns = inputs[0] // window[0], inputs[1] // window[1]
    sites = np.arange(inputs[0] * inputs[1]).reshape(inputs)
    whole = sites[: rows * window[0], : columns * window[1]]
    tiles = whole.reshape(rows, window[0], columns, window[1]).swapaxes(1, 2)
    children = tiles.reshape(rows * columns, -1).astype(np.int32)
    return Pool(np.ascontiguousarray(children), maximum, np.float32(scale))


def each_by_itself(sites: int) -> Pool:
    """Return the pool that does nothing."""
    return pool_of((1, sites), (1, 1), False, 1.0)
