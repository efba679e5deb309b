"""One way on which spikes reach a layer -> its row among the connections, and its tables.

In: a layer with weights, a `Projection`, and `Arrays` to add to. Out: a `WiredConnection`. Called
by `populations.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..network.geometry import Reach
from ..network.layers import WeightLayer
from ..network.projections import Projection
from ..vectors import LINE
from .arrays import Arrays
from .program import Entry, Span

# Where more spikes than these arrive for each position of the input, on average, they are listed
# site by site. 64-to-128-channel 3x3 on 32x32: 52 ms instead of 74 at 26 spikes a position, 14.6
# instead of 17.2 at 6.4, but 5.3 instead of 4.7 at 1.3.
BUSY_FROM = 4

# Where more than this part of a map's inputs spike, all are added (`clocked/cpu/sweep.py`): for
# short rows and for listed ones, and more for few input channels, since membranes are read and
# written once for all those of a position. 3x3 on 24x24, as long as without at an input activity
# of: 45 % at 4 to 16 channels, 22 at 16 to 16, 18 at 64 to 16; listed, 50 at 16 to 128, 35 to 45 at
# 64 to 128; at 64 to 64 about 36, from the time at 20 %.
FULL_FROM, FULL_FROM_LISTED = 0.2, 0.36
FEW_CHANNELS = 4
UNREACHED = 2**62  # more spikes than there are


@dataclass
class WiredConnection:
    """The fields of `program.Connection`, and what only the wiring must know."""

    source: int
    delay: int
    delayed: int
    graded: bool
    in_channels: int
    offset: int
    in_group: int
    reach: int
    stride: int
    direct: int
    incoming: int
    fan_in: int
    positions: int
    pooled: int
    pooled_cells: int
    rows_per_site: int  # the most that one timestep can bring
    by_site: bool  # whether rows may be listed site by site, or all inputs added
    start: int = -1  # of the source's spikes: see `wire.py`
    busy: int = UNREACHED
    full: float = UNREACHED

    def set_limits(self, plain: bool, gathers: bool, graded: bool, only: bool) -> None:
        """Set how many spikes of a timestep are listed site by site, and with how many all inputs
        are added. The latter keeps the order of additions on the only way to a layer alone."""
        if not self.by_site or graded:
            return
        if gathers:
            self.busy = BUSY_FROM * self.positions
        if plain and only:
            share = FULL_FROM_LISTED if gathers else FULL_FROM
            self.full = self.positions * (self.in_channels + FEW_CHANNELS) * share


def connect(
    layer: WeightLayer,
    source: Projection,
    delay: int,
    channels: int,
    graded: bool,
    stored: dict[float, int],
    arrays: Arrays,
) -> WiredConnection:
    """Lay out one way on which spikes reach a layer, those of one delay.

    `channels` arrive in all. `stored`: where the layer's weights lie already, by the scale that is
    folded into them.
    """
    near, sites = layer.reach(*source.shape)
    rows = layer.rows() * np.float32(source.scale)
    if layer.groups == 1:
        rows = np.pad(rows, ((0, 0), (0, stored_length(rows.shape[1], sites) - rows.shape[1])))
    row, stride = layer.addresses(near.taps, source, channels)
    if source.scale not in stored:
        stored[source.scale] = arrays.add("weights", rows, LINE)
    near = near._replace(taps=stored[source.scale] + row * rows.shape[1])
    reach = near.behind(source.linear)
    pooled, cells = -1, 0
    if source.max_pool is not None:
        pooled = _add_reach(arrays, source.max_pool, source.max_pool.targets * source.channels, 0)
        cells = _cells(source.max_pool) * source.channels
    in_group = channels // layer.groups
    some_delayed = len(set(source.delays)) > 1
    arrive = np.asarray(source.delays or (0,)) == delay
    fan_in = int(np.bincount(reach.targets, minlength=1).max())
    direct = -1
    if sites == 1 and layer.groups == 1:
        direct = _add_direct(arrays, reach, source.channels, stride * rows.shape[1])
    return WiredConnection(
        source=source.population,
        delay=delay,
        delayed=arrays.add("delayed", arrive.astype(np.uint8)) if some_delayed else -1,
        graded=graded,
        in_channels=source.channels,
        offset=0 if source.flat else source.offset,
        in_group=in_group,
        reach=_add_reach(arrays, reach, reach.taps, rows.shape[1] if layer.groups == 1 else 0),
        stride=stride * rows.shape[1],
        direct=direct,
        incoming=_add_incoming(arrays, reach, sites),
        fan_in=fan_in,
        positions=len(reach.pointers) - 1,
        pooled=pooled,
        pooled_cells=cells,
        rows_per_site=fan_in * min(in_group, source.channels),
        # The spikes of a position must follow each other, no value come with them, and no position
        # reach a site twice, as through an average pool whose windows overlap.
        by_site=(
            (sites > 1 and layer.groups == 1 and not graded)
            and not (some_delayed or pooled >= 0)
            and _reaches_once(reach)
        ),
    )


def stored_length(channels: int, sites: int) -> int:
    """Return the length of a stored weight row. That of a fully connected layer fills its cache
    lines, and its membranes have the room for it; rows of several sites follow each other."""
    return -(-channels // LINE) * LINE if sites == 1 else channels


def _add_direct(arrays: Arrays, reach: Reach, channels: int, stride: int) -> int:
    """Add the row of each input, where each reaches the one site once; -1 where not."""
    if (np.diff(reach.pointers) != 1).any():
        return -1  # a pool leaves positions out, or its windows overlap
    return arrays.add("direct", reach.taps[:, None] + np.arange(channels) * stride)


def _add_reach(arrays: Arrays, reach: Reach, first_rows: NDArray[np.int64], row_length: int) -> int:
    """Add the spans that each position reaches: entries whose sites and rows follow each other.

    Sites of groups do not lie side by side: with a `row_length` of 0 each entry is a span.
    """
    starts = np.ones(len(reach.targets), np.bool_)
    if row_length > 0:
        starts[1:] = (np.diff(reach.targets) != 1) | (np.diff(first_rows) != row_length)
    starts[reach.pointers[:-1][np.diff(reach.pointers) > 0]] = True
    spans = np.concatenate([[0], np.cumsum(starts)])
    first = np.flatnonzero(starts)
    sites = np.diff(np.append(first, len(starts)))
    table = np.stack([reach.targets[first], sites, first_rows[first]], axis=1)  # columns of S
    offset = arrays.add("spans", table) // len(Span)
    return arrays.add("pointers", spans[reach.pointers] + offset)


def _add_incoming(arrays: Arrays, reach: Reach, sites: int) -> int:
    """Add the reach the other way round: for each site the positions that reach it, ascending."""
    order = np.argsort(reach.targets, kind="stable")
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    entries = np.stack([positions, reach.taps], axis=1)[order]  # columns of A
    first = np.concatenate([[0], np.cumsum(np.bincount(reach.targets, minlength=sites))])
    return arrays.add("incoming_pointers", first + arrays.add("incoming", entries) // len(Entry))


def _reaches_once(reach: Reach) -> bool:
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    pairs = positions * _cells(reach) + reach.targets
    return len(np.unique(pairs)) == len(pairs)


def _cells(reach: Reach) -> int:
    return int(reach.targets.max()) + 1 if reach.targets.size else 0
