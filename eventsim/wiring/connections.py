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
from ..scattered_rows import PIECES, VECTORS
from ..vectors import LANES, LINE
from .arrays import Arrays
from .program import Patch, Span
from .runs import Runs, runs_of


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
    patches: int
    stride: int
    twice: bool
    direct: int
    positions: int
    pooled: int
    pooled_cells: int
    rows_per_site: int  # the most that one timestep can bring
    found: Runs | None  # where rows may be gathered
    fan_out: int
    index: int = -1
    start: int = -1  # of the source's spikes: see `wire.py`
    arriving: int = -1
    admitted: int = -1


def connect(
    layer: WeightLayer,
    source: Projection,
    delay: int,
    channels: int,
    graded: bool,
    gathers: bool,
    stored: dict[float, int],
    arrays: Arrays,
) -> WiredConnection:
    """Lay out one way on which spikes reach a layer, those of one delay.

    `channels` arrive in all. `gathers`: whether to look for runs. `stored`: where the layer's
    weights lie already, by the scale that is folded into them.
    """
    own, sites = layer.reach(*source.shape)
    rows = layer.rows() * np.float32(source.scale)
    if layer.groups == 1:
        rows = np.pad(rows, ((0, 0), (0, stored_length(rows.shape[1], sites) - rows.shape[1])))
    row, stride = layer.addresses(own.taps, source, channels)
    if source.scale not in stored:
        stored[source.scale] = arrays.add("weights", rows, LINE)
    near = own._replace(taps=stored[source.scale] + row * rows.shape[1])
    reach = near.behind(source.linear)
    pooled, cells = -1, 0
    if source.max_pool is not None:
        first_cells = source.max_pool.targets * source.channels
        pooled = _add_spans(arrays, *_spans(source.max_pool, first_cells, 0))
        cells = (len(reach.pointers) - 1) * source.channels
    in_group = channels // layer.groups
    some_delayed = len(set(source.delays)) > 1
    found = None
    if layer.groups == 1 and gathers:
        length = stored_length(rows.shape[1], sites)
        found = runs_of(layer, source, own, channels, length, sites)
    arrive = np.asarray(source.delays or (0,)) == delay
    fan_in = int(np.bincount(reach.targets, minlength=1).max())
    direct = -1
    if sites == 1 and layer.groups == 1:
        direct = _add_direct(arrays, reach, source.channels, stride * rows.shape[1])
    spans = _spans(reach, reach.taps, rows.shape[1] if layer.groups == 1 else 0)
    twice = _reaches_twice(reach)
    return WiredConnection(
        source=source.population,
        delay=delay,
        delayed=arrays.add("delayed", arrive.astype(np.uint8)) if some_delayed else -1,
        graded=graded,
        in_channels=source.channels,
        offset=0 if source.flat else source.offset,
        in_group=in_group,
        reach=_add_spans(arrays, *spans),
        patches=_add_patches(
            arrays, *spans, layer.groups, 0 if twice else _most_sites(rows.shape[1])
        ),
        stride=stride * rows.shape[1],
        twice=twice,
        direct=direct,
        positions=len(reach.pointers) - 1,
        pooled=pooled,
        pooled_cells=cells,
        found=found,
        rows_per_site=fan_in * min(in_group, source.channels),
        fan_out=arrays.add("fan_outs", np.diff(reach.pointers)),
    )


def _reaches_twice(reach: Reach) -> bool:
    """Tell whether a position reaches a site more than once."""
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    pairs = np.sort(positions * (reach.targets.max(initial=0) + 1) + reach.targets)
    return bool((np.diff(pairs) == 0).any())


def stored_length(channels: int, sites: int) -> int:
    """Return the length of a stored weight row. That of a fully connected layer fills its cache
    lines, and its membranes have the room for it; rows of several sites follow each other."""
    return -(-channels // LINE) * LINE if sites == 1 else channels


def _add_direct(arrays: Arrays, reach: Reach, channels: int, stride: int) -> int:
    """Add the row of each input, where each reaches the one site once; -1 where not."""
    if (np.diff(reach.pointers) != 1).any():
        return -1  # a pool leaves positions out, or its windows overlap
    return arrays.add("direct", reach.taps[:, None] + np.arange(channels) * stride)


def _spans(
    reach: Reach, first_rows: NDArray[np.int64], row_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pointers to the spans of each position, and these: entries that follow each other.

    Sites of groups do not lie side by side: with a `row_length` of 0 each entry is a span.
    """
    starts = np.ones(len(reach.targets), np.bool_)
    if row_length > 0:
        starts[1:] = (np.diff(reach.targets) != 1) | (np.diff(first_rows) != row_length)
    starts[reach.pointers[:-1][np.diff(reach.pointers) > 0]] = True
    spans = np.concatenate([[0], np.cumsum(starts)])
    first = np.flatnonzero(starts)
    sites = np.diff(np.append(first, len(starts)))
    return spans[reach.pointers], np.stack(
        [reach.targets[first], sites, first_rows[first]],
        axis=1,  # columns of `Span`
    )


def _add_spans(arrays: Arrays, pointers: NDArray[np.int64], spans: NDArray[np.int64]) -> int:
    return arrays.add("pointers", pointers + arrays.add("spans", spans) // len(Span))


def _most_sites(row_length: int) -> int:
    """Return how many sites a piece of membranes that rows are added to at once may have."""
    lanes = next((lanes for lanes in (LINE, LANES) if row_length % lanes == 0), 0)
    return VECTORS * lanes // row_length


def _add_patches(
    arrays: Arrays,
    pointers: NDArray[np.int64],
    spans: NDArray[np.int64],
    groups: int,
    most_sites: int,
) -> int:
    """Add the spans again, a few together where they are alike, of at most so many sites each."""
    count = len(spans)
    nth = np.arange(count) - np.repeat(pointers[:-1], np.diff(pointers))
    first = nth % PIECES == 0
    begins = np.append(np.flatnonzero(first), count)
    steps = np.diff(spans, axis=0, prepend=0)
    second = np.append(steps, steps[:1], axis=0)[begins[:-1] + 1]
    lengths = np.diff(begins)
    alike = first | (steps == np.repeat(second, lengths, axis=0)).all(axis=1)
    alike &= first | (steps[:, Span.sites] == 0)
    alike &= spans[:, Span.sites] <= most_sites
    apart = np.add.reduceat(~alike, begins[:-1]) if count else lengths
    starts = np.flatnonzero(first | (np.repeat(apart, lengths) > 0))
    pieces = np.diff(np.append(starts, count))
    pitch = np.append(steps, steps[:1], axis=0)[starts + 1] * (pieces > 1)[:, None]
    table = np.column_stack(
        [spans[starts], pieces, pitch[:, Span.site], pitch[:, Span.row]]  # columns of `Patch`
    )
    table[:, [Patch.site, Patch.site_pitch]] *= groups
    offset = arrays.add("patches", table) // len(Patch)
    return arrays.add("patch_pointers", np.searchsorted(starts, pointers) + offset)
