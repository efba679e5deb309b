"""A layer with weights and neurons -> its row among the populations, its level, its connections.

In: a layer, the projections that reach it, and `Arrays` to add to. Out: a `WiredPopulation`. Called
by `wire.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..network.layers import WeightLayer
from ..network.neurons.lif import POWERS
from ..network.neurons.neuron import RESET_SUBTRACT
from ..network.projections import Projection, Projections
from ..vectors import LINE
from .arrays import Arrays
from .connections import WiredConnection, connect, stored_length
from .runs import WIDTHS, width_of

# From this length on, rows of a plain layer that are not gathered are listed by site and added
# eight at a time, with an eighth of the traffic over the membranes; shorter ones are added as the
# spikes come. Rows of 64 were never slower listed, and up to 1.5 times faster (maps of 17x17 and
# 32x32, kernels of 3 and 5, 2 to 64 input channels, activities of 0.2 to 20 %); rows of 32 were
# slower behind few input channels (0.8 to 0.95), rows of 16 always (0.8).
LIST_FROM = 64

# Maps gather where more than a share of their inputs spikes; below it rows are listed, or added as
# the spikes come. Of 64 channels and more, and of fewer, for which the share is larger behind few
# input channels. 64 to 128 channels, 3x3 on 32x32: listed 0.47, 1.06, 1.57, 2.4 and 5.2 ms at 0.1,
# 0.5, 1, 2 and 5 %, gathered 0.79, 1.26, 1.44, 1.8 and 3.6.
WIDE, WIDE_SHARE, NARROW_SHARE, FEW_CHANNELS = 64, 0.008, 0.1, 4

# Of a fully connected layer with so many weights, a block of a row comes from memory by itself,
# where a listed row comes whole: it gathers where a stretch uses each row once, on average. n to
# n, 100 timesteps, at 0.1, 0.5, 1 and 5 %: 4096 listed 1.2, 4.6, 10.5 and 45 ms, gathered 1.8,
# 6.2, 9.9 and 21; 1024 listed 0.33, 0.40, 0.49 and 1.4, gathered 0.36, 0.41, 0.49 and 1.2.
BEYOND_CACHES = 2**22

# A gathered layer runs through so many timesteps at a time that what it notes of them stays in the
# second-level cache: a bit for each in a word of each position, and its own spikes as bits.
MOST_CHUNK, MOST_MASKS = 64, 2**16


@dataclass
class WiredPopulation:
    """The fields of `program.Population` and `program.Level`, and the connections."""

    groups: int
    sites: int
    channels: int
    stored: int
    rows_per_site: int
    graded: bool
    lists: bool
    awake: bool
    plain: bool
    neuron: int
    site: int
    row: int
    bias: int
    recurrent: int
    parameters: int
    powers: int
    variables: int
    leaks: int
    subtract: bool
    limit: np.float32
    threshold: np.float32
    reset_value: np.float32
    ways: list[WiredConnection]
    # Among those of all populations: see `wire.py`.
    width: int = 0  # see `_gather`
    gather_from: int = 0
    gather_least: int = 0
    chunk: int = 0
    blocks: int = -1
    block: int = 0
    connection: int = -1
    spike: int = -1
    start: int = -1
    remembered: int = 0
    index: int = 0  # entries of where the spikes of positions begin

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self.ways)


def lay_out(
    layer: WeightLayer,
    arriving: Projections,
    own: Projection,
    channels: int,
    many: list[bool],
    arrays: Arrays,
) -> WiredPopulation:
    """Lay out a population and its connections.

    `own` are its own spikes; `channels` arrive; `many` says of the input and of each population up
    to this one whether its spikes come with a value.
    """
    layer = _with_gain(layer)
    stored: dict[float, int] = {}
    ways = [
        connect(layer, source, delay, channels, many[source.population + 1], stored, arrays)
        for source in arriving
        for delay in sorted(set(source.delays or (0,)))
    ]
    loop = -1
    if layer.recurrent is not None:
        if layer.recurrent.ndim == 1:
            loop = arrays.add("recurrent", layer.recurrent)
        else:
            each = replace(layer, weight=layer.recurrent, bias=None, recurrent=None)
            ways.append(connect(each, own, 1, own.channels, many[-1], {}, arrays))
    sites = own.shape[0] * own.shape[1] * layer.groups
    row_length = own.channels // layer.groups
    per_site = sum(way.rows_per_site for way in ways)
    neuron, p = layer.neuron, layer.neuron.parameters(own.channels)
    plain = neuron.plain and loop < 0
    limit = p[0]["threshold"]
    if p[0]["at_threshold"]:  # u >= threshold is u > the number before it
        limit = np.nextafter(limit, np.float32(-np.inf))
    population = WiredPopulation(
        groups=layer.groups,
        sites=sites,
        channels=row_length,
        stored=stored_length(row_length, sites),
        rows_per_site=per_site,
        graded=any(way.graded for way in ways),
        lists=not plain or sites == 1 or row_length >= LIST_FROM,
        awake=layer.bias is not None and bool(neuron.rises_over_threshold(layer.bias).any()),
        plain=plain,
        neuron=arrays.reserve("neurons", sites * row_length, LINE),
        site=arrays.reserve("sites", -(-sites // 8) * 8),  # whole words, for `collect`
        row=arrays.reserve("rows", sites * per_site),
        bias=-1 if layer.bias is None else arrays.add("biases", layer.bias, LINE),
        recurrent=loop,
        parameters=arrays.add("parameters", p),
        powers=_add_powers(arrays, p[0]["decay"]) if plain else -1,
        variables=neuron.variables,
        leaks=neuron.leaks,
        subtract=p[0]["reset"] == RESET_SUBTRACT,
        limit=limit,
        threshold=p[0]["threshold"],
        reset_value=p[0]["reset_value"],
        ways=ways,
    )
    if plain:
        _gather(population, own.population, arrays)
    return population


def _gather(population: WiredPopulation, number: int, arrays: Arrays) -> None:
    """Let a plain layer gather its rows, if every way to it has runs."""
    found = [way.found for way in population.ways if way.found is not None]
    if len(found) < len(population.ways):
        return
    sites, width = population.sites, width_of(population.stored)
    population.width = width
    if sites > 1:
        share = WIDE_SHARE if population.channels >= WIDE else NARROW_SHARE
        inputs = sum(way.positions * (way.in_channels + FEW_CHANNELS) for way in population.ways)
        population.gather_from = int(share * inputs)
    population.chunk = max(1, MOST_MASKS // (sites * (population.stored // width)))
    if sites > 1:
        population.chunk = min(population.chunk, MOST_CHUNK)
    if any(way.source == number for way in population.ways):
        population.chunk = 1
    rows = np.concatenate([runs.blocks for runs in found], axis=1)
    if sites == 1 and rows.size >= BEYOND_CACHES:
        population.gather_least = sum(way.positions * way.in_channels for way in population.ways)
    population.blocks = arrays.add("blocks", rows, WIDTHS[0])
    population.block = rows[0].size
    row = index = 0
    for way, runs in zip(population.ways, found, strict=True):
        table = runs.table + np.array([0, 0, row], np.int32)
        way.runs = arrays.add("run_pointers", runs.pointers + arrays.add("runs", table) // 3)
        row += runs.blocks.shape[1]
        way.index, index = index, index + way.positions + 1
    population.index = index


def _with_gain(layer: WeightLayer) -> WeightLayer:
    """Fold the neurons' input gain into the weights."""
    gain = layer.neuron.gain()
    scaled: dict[str, Any] = {}
    for name in ("weight", "bias", "recurrent"):
        values = getattr(layer, name)
        if values is not None and (gain != 1).any():
            scaled[name] = values * gain.reshape(-1, *[1] * (values.ndim - 1))
    return replace(layer, **scaled) if scaled else layer


def _add_powers(arrays: Arrays, decay: np.float32) -> int:
    powers = np.float64(decay) ** np.arange(POWERS + 1)
    # Both tables have POWERS + 1 entries a layer, so one offset serves both.
    arrays.add("gains", np.concatenate([[0.0], np.cumsum(powers[:-1])]))
    return arrays.add("powers", powers)
