"""What reaches each site, as runs: neighbouring inputs whose rows of weights follow each other.

In: a layer, a projection that reaches it, and where each input lies. Out: `Runs`, or None for a
layer that runs do not serve. Called by `connections.py`.

The spikes of a timestep are numbered by position, then by channel. With the rows of a kernel line
laid out in that order, the row of spike s is s plus a constant of (site, kernel line): a fully
connected layer has one run, a 3x3 convolution three a site. A block of channels has its rows to
itself, one after the other, so that they lie in the second-level cache together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..network.geometry import Reach
from ..network.layers import WeightLayer
from ..network.projections import Projection
from ..vectors import WIDTHS

# A site with more runs looks up more of them than spikes come: pools that are folded in.
MOST_RUNS = 16


class Runs(NamedTuple):
    """The runs of a connection."""

    pointers: NDArray[np.int64]  # (sites + 1,): the runs of each site
    table: NDArray[np.int32]  # (runs, 3): first position, the one after the last, and the constant
    blocks: NDArray[np.float32]  # (blocks, rows, width): the weights


def width_of(channels: int) -> int:
    """Return how many lanes are added at a time, 0 where that leaves some over."""
    return next((width for width in WIDTHS if channels % width == 0), 0)


def runs_of(
    layer: WeightLayer,
    source: Projection,
    near: Reach,
    channels: int,
    stored: int,
    sites: int,
) -> Runs | None:
    """Return the runs of a connection, on a layer without groups, behind the max pool if any.

    `near`: the layer's own reach, without pools. `channels` arrive in all; `stored` is the length
    of a row.
    """
    reach = near.behind(source.linear)
    width = width_of(stored)
    if not width or not len(reach.targets):
        return None
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    order = np.lexsort((positions, reach.targets))
    site, position, tap = reach.targets[order], positions[order], reach.taps[order]
    if (np.diff(position)[np.diff(site) == 0] == 0).any():
        return None  # a position that reaches a site twice: its spikes are added one by one
    begins = _lines(site, position)
    if np.bincount(site[begins]).max() > MOST_RUNS and sites > 1:
        return None
    taps, kind = np.unique(tap, return_inverse=True)
    row, stride = layer.addresses(taps, source, channels)
    weights = layer.rows()[row[:, None] + np.arange(source.channels) * stride]
    weights = weights * np.float32(source.scale)
    weights = np.pad(weights, ((0, 0), (0, 0), (0, stored - weights.shape[2])))
    if sites == 1 and len(weights) < len(kind):
        begins = np.arange(len(kind))  # behind an average pool: no weights twice, they may be many
    starts = np.zeros(1, np.int64)
    if len(begins) > 1:
        kind, starts = _laid_out(kind, begins)
    return Runs(
        np.concatenate([[0], np.cumsum(np.bincount(site[begins], minlength=sites))]),
        _table(begins, position, (starts - position[begins]) * source.channels),
        weights[kind].reshape(len(kind) * source.channels, -1, width).swapaxes(0, 1),
    )


def _lines(site: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where runs begin among pairs of a site and a position that reaches it, in order."""
    return np.flatnonzero(np.append(True, (np.diff(site) != 0) | (np.diff(position) != 1)))


def _table(
    begins: NDArray[np.int64], position: NDArray[np.int64], constants: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return of each run the first position, the one after the last, and its constant."""
    last = position[np.append(begins[1:], len(position)) - 1]
    return np.stack([position[begins], last + 1, constants], axis=1).astype(np.int32)


def _laid_out(
    kind: NDArray[np.int64], begins: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lay kinds out so that those of every run stand somewhere; return where each does.

    A line is the kinds of a run, as characters. Those that a border cuts are parts of whole ones.
    Behind an average pool a tap stands in a line as often as the pool is wide.
    """
    lines = ["".join(map(chr, line)) for line in np.split(kind, begins[1:])]
    laid, where = "", {}
    for line in sorted(set(lines), key=len, reverse=True):
        where[line] = laid.find(line)
        if where[line] < 0:
            where[line], laid = len(laid), laid + line
    return np.array(list(map(ord, laid)), np.int64), np.array([where[line] for line in lines])
