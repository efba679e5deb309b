"""A network -> the flat arrays that the kernels of every engine walk.

In: a `Network`. Out: a `Program`: one record per layer with neurons, and the arrays of all layers
laid end to end, so that one compiled kernel runs any network. Pools have no record of their own:
a sum or average pool is a change of address (and a constant folded into the weight rows behind it),
a max pool a list of cells in which the spikes of a timestep are merged before they are routed.

The neurons of a map of C channels are numbered (y * width + x) * C + channel. A convolution with
groups is laid out as `sites * groups` sites of `channels / groups` channels each; the numbering of
its neurons stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .jit import Float32s, Int32s, Int64s
from .layers import Flatten, MaxPool2d, Pool, Reach, WeightLayer
from .network import Network

# Silent timesteps that one table lookup can catch up with; longer silences take several lookups.
POWERS = 1024

LAYER_DTYPE = np.dtype(
    [
        ("in_channels", "i8"),
        ("in_group", "i8"),  # input channels that share a group of output channels
        ("groups", "i8"),
        ("reach", "i8"),  # offset of this layer's pointers: first entry of each input position
        ("pooled", "i8"),  # offset of the max pool's pointers, -1 without one
        ("pooled_cells", "i8"),  # cells x channels of the max pool
        ("sites", "i8"),  # groups included
        ("channels", "i8"),  # per site: the length of a weight row
        ("rows_per_site", "i8"),  # the most rows that one timestep can bring to a site
        ("neuron", "i8"),  # offset of the layer's membranes
        ("site", "i8"),  # offset of what is kept per site
        ("row", "i8"),  # offset of the row lists
        ("bias", "i8"),  # offset of the biases, -1 without
        ("powers", "i8"),  # offset of the table of decay powers, and of their sums
        ("driven", "i8"),  # offset of the channels that may fire without input
        ("driven_count", "i8"),
        ("leaks", "i8"),  # 0 where the decay is 1 and no multiplication is due
        ("subtract", "i8"),
        ("threshold", "f4"),
    ],
    align=True,
)


class Program(NamedTuple):
    """A network as the kernels see it; see `LAYER_DTYPE` for the offsets into the arrays."""

    layers: NDArray[Any]
    pointers: Int64s  # reach: entries of input position p are pointers[reach + p : reach + p + 2]
    targets: Int32s  # site (before groups) that each entry reaches; cells for max pools
    first_rows: Int32s  # offset in `weights` of the row of channel 0 for each entry; for a max
    # pool the number of the cell's channel 0
    weights: Float32s
    biases: Float32s
    powers: Float32s  # decay^k, k = 0 .. POWERS
    gains: Float32s  # 1 + decay + ... + decay^(k-1)
    driven: Int32s  # channels that may fire without input
    lazy: NDArray[np.uint8]  # per channel: 0 where it is driven (aligned with biases)
    neurons: int  # of all layers
    sites: int
    row_lists: int
    pooled_cells: int  # of the largest max pool
    outputs: int


class Connection(NamedTuple):
    """A layer with neurons, and the pools between it and the neurons (or events) before it."""

    layer: WeightLayer
    channels: int  # of the source
    max_pool: Reach | None
    reach: Reach
    sites: int
    scale: float  # of the pools, folded into the weights


def connections(network: Network) -> Iterator[Connection]:
    """Walk the network from weights to weights."""
    source = network.input_shape
    pools: list[Pool] = []
    for index, layer in enumerate(network.layers):
        if isinstance(layer, WeightLayer):
            yield _connect(layer, source, pools)
            shape = network.shapes[index + 1]
            source = (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
            pools = []
        elif not isinstance(layer, Flatten):
            pools.append(layer)


def _connect(layer: WeightLayer, source: tuple[int, int, int], pools: list[Pool]) -> Connection:
    channels, *_ = shape = source
    max_pool: Reach | None = None
    linear: Reach | None = None
    scale = 1.0
    for pool in pools:
        reach = pool.reach(*shape[1:])
        if isinstance(pool, MaxPool2d):
            max_pool = reach if max_pool is None else reach.through(max_pool)
        else:
            linear = reach if linear is None else reach.through(linear)
            scale *= pool.scale
        _, pooled_height, pooled_width = pool.output_shape(shape)
        shape = (channels, pooled_height, pooled_width)
    reach, sites = layer.reach(*shape[1:])
    if linear is not None:
        reach = reach.through(linear)
    return Connection(layer, channels, max_pool, reach, sites, scale)


def wire(network: Network) -> Program:
    """Lay a network out for the kernels."""
    arrays = _Arrays()
    records = [_lay_out(connection, arrays) for connection in connections(network)]
    layers = np.array(records, LAYER_DTYPE)
    if arrays.sizes["weights"] >= 2**31:
        raise NetworkError(f"{arrays.sizes['weights']} weights, expected fewer than 2^31")
    return Program(
        layers=layers,
        pointers=arrays.joined("pointers", np.int64),
        targets=arrays.joined("targets", np.int32),
        first_rows=arrays.joined("first_rows", np.int32),
        weights=arrays.joined("weights", np.float32),
        biases=arrays.joined("biases", np.float32),
        powers=arrays.joined("powers", np.float32),
        gains=arrays.joined("gains", np.float32),
        driven=arrays.joined("driven", np.int32),
        lazy=arrays.joined("lazy", np.uint8),
        neurons=arrays.sizes["neurons"],
        sites=arrays.sizes["sites"],
        row_lists=arrays.sizes["rows"],
        pooled_cells=int(layers["pooled_cells"].max()),
        outputs=network.outputs,
    )


class _Arrays:
    """Arrays of all layers laid end to end, by name."""

    def __init__(self) -> None:
        self.parts: dict[str, list[NDArray[Any]]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, name: str, part: NDArray[Any]) -> int:
        """Append to an array; return the offset."""
        offset = self.sizes.get(name, 0)
        self.parts.setdefault(name, []).append(part.reshape(-1))
        self.sizes[name] = offset + part.size
        return offset

    def reserve(self, name: str, size: int) -> int:
        """Take a stretch of an array that the kernels allocate; return the offset."""
        offset = self.sizes.get(name, 0)
        self.sizes[name] = offset + size
        return offset

    def joined(self, name: str, dtype: Any) -> NDArray[Any]:
        """Return one contiguous array."""
        parts = self.parts.get(name, [])
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)


def _lay_out(connection: Connection, arrays: _Arrays) -> tuple[Any, ...]:
    layer, channels = connection.layer, connection.channels
    groups = layer.groups
    rows = layer.rows(channels) * np.float32(connection.scale)
    row_length = rows.shape[1]
    sites = connection.sites * groups
    pooled = -1
    if connection.max_pool is not None:
        pooled = _add_reach(arrays, connection.max_pool, connection.max_pool.targets * channels)
    first_row = arrays.add("weights", rows)
    reach = _add_reach(
        arrays, connection.reach, first_row + connection.reach.taps * channels * row_length
    )
    per_site = np.bincount(connection.reach.targets, minlength=1).max() * (channels // groups)
    decay, threshold, subtract = layer.neuron.parameters()
    bias, driven = _add_biases(arrays, layer)
    return (
        channels,
        channels // groups,
        groups,
        reach,
        pooled,
        0 if connection.max_pool is None else _cells(connection.max_pool) * channels,
        sites,
        row_length,
        per_site,
        arrays.reserve("neurons", sites * row_length),
        arrays.reserve("sites", -(-sites // 8) * 8),  # whole words, for the scan of touched sites
        arrays.reserve("rows", sites * int(per_site)),
        bias,
        _add_powers(arrays, decay),
        arrays.add("driven", driven),
        len(driven),
        decay != 1,
        subtract,
        threshold,
    )


def _add_reach(arrays: _Arrays, reach: Reach, first_rows: NDArray[np.int64]) -> int:
    entries = arrays.add("targets", reach.targets)
    arrays.add("first_rows", first_rows)
    return arrays.add("pointers", reach.pointers + entries)


def _cells(reach: Reach) -> int:
    return int(reach.targets.max()) + 1 if reach.targets.size else 0


def _add_powers(arrays: _Arrays, decay: np.float32) -> int:
    powers = np.float64(decay) ** np.arange(POWERS + 1)
    # Both tables have POWERS + 1 entries a layer, so one offset serves both.
    arrays.add("gains", np.concatenate([[0.0], np.cumsum(powers[:-1])]))
    return arrays.add("powers", powers)


def _add_biases(arrays: _Arrays, layer: WeightLayer) -> tuple[int, NDArray[np.int64]]:
    if layer.bias is None:
        return -1, np.zeros(0, np.int64)
    rises = layer.neuron.parameters().rises_over_threshold(layer.bias)
    arrays.add("lazy", ~rises)
    return arrays.add("biases", layer.bias), np.flatnonzero(rises)
