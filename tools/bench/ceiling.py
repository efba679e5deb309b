"""How near the engine's hot loop comes to only reading the weights it adds (workload ceiling).

`gather_rows` adds lists of weight rows to a block of membranes, block by block, position by
position through time. Nothing that adds them can be faster than reading them, in the same order,
from the same place. `read_lists` does just that: it sums all rows into one number. It sums their
bits, as integers, because only then may the compiler keep many partial sums in vector registers
(four and more of eight lanes) under the strict floating-point rules of `eventsim/jit.py`; a float
sum in order would wait for each addition.

The lists are those of the mlp's first layer on recordings, and of the convolution of layer-conv.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import eventsim as es
from eventsim.gathered_rows import gather_rows
from eventsim.jit import Float32s, Int32s, Int64s, kernel
from eventsim.vectors import LINE, new_array
from eventsim.wiring.runs import width_of

from ..report import progress_bar
from .timing import Contestant, take_turns

CONV_ACTIVITIES = (0.005, 0.02, 0.1)


class RowLists(NamedTuple):
    """Lists of weight rows, each for one site in one timestep."""

    name: str
    channels: int
    blocks: Float32s  # (blocks, rows, width): the weights, block by block of channels
    rows: Int32s
    pointers: Int64s  # rows[pointers[i] : pointers[i + 1]] is list i
    steps: int  # list i goes to site i // steps


@kernel
def add_lists(
    u: Float32s, channels: int, blocks: Float32s, rows: Int32s, pointers: Int64s, steps: int
) -> None:
    """Add every list to the membranes of its site."""
    width, w = np.uintp(blocks.shape[2]), blocks.reshape(-1)
    still, none, never = np.float32(1.0), np.float32(0.0), np.float32(np.inf)
    for block in range(np.uintp(len(blocks))):
        base = block * np.uintp(blocks.shape[1]) * width
        for i in range(len(pointers) - 1):
            at = np.uintp(i // steps * channels) + block * width
            gather_rows(
                width, u, at, still, False, u, at, none, w, base, rows, False, None,
                np.uintp(pointers[i]), np.uintp(pointers[i + 1]), never, False, none,
            )  # fmt: skip


@kernel
def read_lists(blocks: Int64s, rows: Int32s) -> int:
    """Read every row of every block in the same order; `blocks` are the weights two by two."""
    total, pairs, w = 0, np.uintp(blocks.shape[2]), blocks.reshape(-1)
    for block in range(len(blocks)):
        base = np.uintp(block * blocks.shape[1]) * pairs
        for slot in range(len(rows)):
            first = base + np.uintp(rows[slot]) * pairs
            for c in range(pairs):
                total += w[first + c]
    return total


def in_blocks(weights: Float32s) -> Float32s:
    """Return rows of weights (rows, channels) as (blocks, rows, width), aligned, filled up to whole
    lines as the engine does it.
    """
    weights = np.pad(weights, ((0, 0), (0, -weights.shape[1] % LINE)))
    width = width_of(weights.shape[1])
    parts = weights.reshape(len(weights), -1, width).swapaxes(0, 1)
    blocks = new_array(weights.size, np.float32).reshape(parts.shape)
    blocks[:] = parts
    return blocks


def rows_of_dense(network: es.Network, recordings: Sequence[Any]) -> RowLists:
    """Return the rows that recordings add in the fully connected first layer of a network."""
    layer: Any = network.layers[network.neuron_layers[0]]
    polarities = network.input_shape[0]
    channels = len(layer.weight)
    rows, lengths = [], []
    for events in recordings:
        binned = es.bin_events(
            events, network.input_shape, network.dt_us, network.steps,
            encoding=network.input_encoding,
        )  # fmt: skip
        pixel, polarity = np.divmod(binned.cells, polarities)
        rows.append(polarity * (layer.weight.shape[1] // polarities) + pixel)
        lengths.append(np.diff(binned.pointers))
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return RowLists(
        f"mlp, rows of {channels}", channels, in_blocks(layer.weight.T),
        np.concatenate(rows).astype(np.int32), pointers, steps=len(pointers) - 1,
    )  # fmt: skip


def rows_of_convolution(
    activity: float, steps: int = 10, side: int = 32, inputs: int = 64, channels: int = 128
) -> RowLists:
    """Return the rows that a 3 x 3 convolution, padding 1, adds for random input."""
    rng = np.random.default_rng(0)
    active = rng.random((steps, inputs, side, side)) < activity
    padded = np.pad(active, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    # (y, x, step, ky, kx, input channel): to each site the spikes come in this order
    flat = windows.transpose(2, 3, 0, 4, 5, 1).reshape(side * side * steps, -1)
    lists, taps = np.nonzero(flat)
    weights = rng.standard_normal((flat.shape[1], channels)).astype(np.float32)
    return RowLists(
        f"convolution at {activity:.1%}, rows of {channels}", channels, in_blocks(weights),
        taps.astype(np.int32), np.searchsorted(lists, np.arange(len(flat) + 1)), steps=steps,
    )  # fmt: skip


def measure_ceiling(all_lists: Sequence[RowLists], repeats: int) -> dict[str, Any]:
    """Time adding and only reading, in turn, for each set of lists, on one thread."""
    cases = []
    with progress_bar("ceiling", len(all_lists)) as advance:
        for lists in all_lists:
            cases.append(_measure(lists, repeats))
            advance(1)
    return {"cases": cases}


def _measure(lists: RowLists, repeats: int) -> dict[str, Any]:
    sites = (len(lists.pointers) - 1) // lists.steps
    membranes = new_array(sites * lists.channels + LINE, np.float32)
    membranes[:] = 0
    add = partial(
        add_lists, membranes, lists.channels, lists.blocks, lists.rows, lists.pointers, lists.steps
    )
    read = partial(read_lists, lists.blocks.view(np.int64), lists.rows)
    timings = take_turns(
        [Contestant("add_rows", 1, add), Contestant("only reading", 1, read)],
        repeats, 1, lambda done: None,
    )  # fmt: skip
    adding, reading = (timing.median for timing in timings)
    shares = [r / a for a, r in zip(timings[0].seconds, timings[1].seconds, strict=True)]
    sops = len(lists.rows) * lists.channels
    return {
        "name": lists.name,
        "lists": len(lists.pointers) - 1,
        "rows": len(lists.rows),
        "weight_bytes": lists.blocks.nbytes,
        "add_rows_seconds": adding,
        "only_reading_seconds": reading,
        "add_rows_sops_a_second": sops / adding,
        "only_reading_weights_a_second": sops / reading,
        "share": statistics.median(shares),
    }
