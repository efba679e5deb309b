"""A layer with weights and neurons -> its row among the populations, its level, its connections.

In: a layer, the projections that reach it, and `Arrays` to add to. Out: a `WiredPopulation`. Called
by `wire.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..network.layers import WeightLayer
from ..network.neurons import FIXED_KIND, LIF_KIND
from ..network.neurons.fixed import MOST_INPUT
from ..network.neurons.lif import POWERS
from ..network.neurons.rules import RESET_SUBTRACT
from ..network.projections import Projection, Projections
from ..vectors import BLOCK, LINE
from .arrays import Arrays
from .connections import WiredConnection, connect, stored_length
from .program import Run, Value
from .runs import width_of

# Maps of plain neurons gather where a timestep brings so many rows to a site, for each run that it
# looks up; below it spikes scatter. Scatter beside gather, 64 channels to 64, 3x3 on 32x32, at 0.1,
# 0.3, 0.6, 1.2, 2.9 and 5.8 rows a site, spikes at random: LIF 1.1, 1.5, 1.6, 1.7, 1.5, 1.7; IF
# 0.9, 1.1, 1.1, 1.3, 1.1, 1.3. Of other neurons only layers of one site gather.
ROWS_A_RUN = {"changes": 0.05, "stays": 0.1}
# Narrower maps always scatter. The same to 32 channels: LIF 1.0 to 1.4, IF 0.6 to 0.8; to 96: LIF
# 1.0 to 1.5, IF 0.8 to 1.0; to 16 and 80: LIF 0.7 to 1.4, IF 0.5 to 0.7.
MAP_WIDTH = BLOCK

# Of a fully connected layer with so many weights, a block of a row comes from memory by itself,
# where a scattered row comes whole: it gathers where a stretch uses each row once, on average.
# Measured with lists of rows, which took as long as to scatter or a little less. n to n, 100
# timesteps, at 0.1, 0.5, 1 and 5 %: 4096 listed 1.2, 4.6, 10.5 and 45 ms, gathered 1.8, 6.2, 9.9
# and 21; 1024 listed 0.33, 0.40, 0.49 and 1.4, gathered 0.36, 0.41, 0.49 and 1.2.
BEYOND_CACHES = 2**22

# A gathered layer runs through so many timesteps at a time that what it notes of them stays in the
# second-level cache: a bit for each in a word of each position, and its own spikes as bits.
MOST_CHUNK, MOST_MASKS = 64, 2**16
MOST_INPUTS = 2**15  # of neurons that are not plain, for all timesteps of a chunk


@dataclass
class WiredPopulation:
    """The fields of `program.Population` and `program.Level`, and the connections."""

    groups: int
    sites: int
    channels: int
    stored: int
    rows_per_site: int
    graded: bool
    awake: bool
    settles: bool
    plain: bool
    alike: bool
    many: bool
    neuron: int
    site: int
    bias: int
    biases: int
    recurrent: int
    parameters: int
    powers: int
    variables: int
    leaks: int
    changes: bool
    subtract: bool
    limit: np.float32
    threshold: np.float32
    reset_value: np.float32
    ways: list[WiredConnection]
    together: int
    # Among those of all populations: see `wire.py`.
    width: int = 0  # see `_gather`
    gather_from: int = 0
    gather_least: int = 0
    chunk: int = 0
    looks_up: bool = False
    blocks: int = -1
    block: int = 0
    connection: int = -1
    spike: int = -1
    start: int = -1
    remembered: int = 0
    runs: int = 0
    index: int = 0

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self.ways)

    @property
    def inputs(self) -> int:
        """How much comes to neurons that are not plain: in a timestep, to one site in a chunk.

        With a timestep more in which nothing does.
        """
        return 0 if self.plain else max(self.sites, self.chunk + 1) * self.stored


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
    _check_fixed(layer, arriving)
    sites = own.shape[0] * own.shape[1] * layer.groups
    row_length = own.channels // layer.groups
    neuron, p = layer.neuron, layer.neuron.parameters(own.channels)
    plain = neuron.plain and (layer.recurrent is None or layer.recurrent.ndim > 1)
    subtract = bool(p[0]["reset"] == RESET_SUBTRACT)
    gathers = sites == 1 or (plain and row_length % MAP_WIDTH == 0)
    # Neighbours that are not plain are updated together, up to a block of channels.
    together = 1
    if not plain and layer.groups == 1 and sites > 1:
        together = max(1, BLOCK // row_length)
    stored: dict[float, int] = {}
    ways = [
        connect(
            layer,
            source,
            delay,
            channels,
            many[source.population + 1],
            gathers,
            stored,
            arrays,
        )
        for source in arriving
        for delay in sorted(set(source.delays or (0,)))
    ]
    loop = -1
    if layer.recurrent is not None:
        if layer.recurrent.ndim == 1:
            loop = arrays.add("recurrent", np.tile(layer.recurrent, together))
        else:
            each = replace(layer, weight=layer.recurrent, bias=None, recurrent=None)
            ways.append(connect(each, own, 1, own.channels, many[-1], gathers, {}, arrays))
    per_site = sum(way.rows_per_site for way in ways)
    _check_sum(layer, per_site, max(source.scale for source in arriving))
    limit = p[0]["threshold"]
    if p[0]["at_threshold"]:  # u >= threshold is u > the number before it
        limit = np.nextafter(limit, np.float32(-np.inf))
    # What each channel has, is there for each of the sites that are updated together.
    bias, biases = -1, 0
    if layer.bias is not None or not plain:
        given = np.zeros(own.channels) if layer.bias is None else layer.bias
        rest = stored_length(row_length, sites) - row_length  # of a block, read with it
        biases = arrays.add("biases", np.pad(np.tile(given, together), (0, rest)), LINE)
    if layer.bias is not None:
        bias = biases
    population = WiredPopulation(
        groups=layer.groups,
        sites=sites,
        channels=row_length,
        stored=stored_length(row_length, sites),
        rows_per_site=per_site,
        graded=any(way.graded for way in ways),
        awake=layer.bias is not None and bool(neuron.rises_over_threshold(layer.bias).any()),
        settles=neuron.settles and loop < 0 and not any(way.graded for way in ways),
        plain=plain,
        alike=bool((p == p[0]).all()),
        many=neuron.spikes == "many",
        neuron=arrays.reserve("neurons", sites * stored_length(row_length, sites), LINE),
        site=arrays.reserve("sites", -(-sites // 8) * 8),  # as saved sessions have it
        bias=bias,
        biases=biases,
        recurrent=loop,
        parameters=_add_parameters(arrays, np.tile(p, together)),
        powers=_add_powers(arrays, p[0]["decay"]) if plain else -1,
        variables=neuron.variables,
        leaks=neuron.leaks,
        changes=bias >= 0 or neuron.leaks > 0 or p[0]["kind"] != LIF_KIND,
        subtract=subtract,
        limit=limit,
        threshold=p[0]["threshold"],
        reset_value=p[0]["reset_value"],
        ways=ways,
        together=together,
    )
    _gather(population, own.population, arrays)
    return population


def _gather(population: WiredPopulation, number: int, arrays: Arrays) -> None:
    """Let a layer gather its rows, if every way to it has runs."""
    found = [way.found for way in population.ways if way.found is not None]
    if len(found) < len(population.ways):
        return
    sites, width = population.sites, width_of(population.stored)
    population.width = width
    looked_up = sum(int(np.diff(runs.pointers).max()) for runs in found)
    population.looks_up = sites > 1 or any(
        len(runs.table) > 1 or runs.table[0, 1] - runs.table[0, 0] < way.positions
        for way, runs in zip(population.ways, found, strict=True)
    )
    if population.looks_up:
        rows = ROWS_A_RUN["changes" if population.changes else "stays"]
        inputs = sum(way.positions * way.in_channels for way in population.ways)
        population.gather_from = int(rows * looked_up * inputs / population.rows_per_site)
    population.chunk = max(1, MOST_MASKS // (sites * -(-population.channels // width)))
    if population.looks_up:
        population.chunk = min(population.chunk, MOST_CHUNK)
    if not population.plain:
        population.chunk = min(population.chunk, max(1, MOST_INPUTS // population.stored))
    if any(way.source == number for way in population.ways):
        population.chunk = 1
    weights = np.concatenate([runs.blocks for runs in found], axis=1)
    if sites == 1 and weights.size >= BEYOND_CACHES:
        population.gather_least = sum(way.positions * way.in_channels for way in population.ways)
    population.blocks = arrays.add("blocks", weights, BLOCK)
    population.block = weights[0].size
    tables, row = [], 0
    for way, runs in zip(population.ways, found, strict=True):
        way.index = population.index
        offsets = np.array([way.index, way.index, row], np.int32)
        graded = np.full((len(runs.table), 1), way.graded, np.int32)
        tables.append(np.hstack([runs.table + offsets, graded]))
        row += runs.blocks.shape[1]
        population.index += way.positions + 1
    of_sites = [np.repeat(np.arange(sites), np.diff(runs.pointers)) for runs in found]
    order = np.argsort(np.concatenate(of_sites), kind="stable")
    first = arrays.add("runs", np.concatenate(tables)[order]) // len(Run)
    pointers = np.sum([runs.pointers for runs in found], axis=0)
    population.runs = arrays.add("run_pointers", first + pointers)


def _with_gain(layer: WeightLayer) -> WeightLayer:
    """Fold the neurons' input gain into the weights."""
    gain = layer.neuron.gain()
    scaled: dict[str, Any] = {}
    for name in ("weight", "bias", "recurrent"):
        values = getattr(layer, name)
        if values is not None and (gain != 1).any():
            scaled[name] = values * gain.reshape(-1, *[1] * (values.ndim - 1))
    return replace(layer, **scaled) if scaled else layer


def _check_fixed(layer: WeightLayer, arriving: Projections) -> None:
    """Refuse fractions of spikes where neurons compute in whole numbers."""
    for source in arriving:
        if layer.neuron.kind == FIXED_KIND and source.scale != round(source.scale):
            raise NetworkError(
                f"a pool scales by {source.scale:g} what comes to {type(layer.neuron).__name__}, "
                f"expected whole numbers: a SumPool2d, or an AvgPool2d with divisor 1"
            )


def _check_sum(layer: WeightLayer, rows: int, scale: float) -> None:
    """Refuse whole numbers whose sum float32 may not hold, if all inputs spike at once."""
    if layer.neuron.kind != FIXED_KIND:
        return
    parts = [values for values in (layer.weight, layer.recurrent) if values is not None]
    largest = scale * max(float(np.abs(values).max()) for values in parts)
    if largest * (rows + 1) > MOST_INPUT:
        raise NetworkError(
            f"{rows} inputs with weights up to {largest:g} come to a neuron, expected a sum below "
            f"2^24 with {type(layer.neuron).__name__}"
        )


def _add_parameters(arrays: Arrays, p: NDArray[Any]) -> int:
    for value in Value:
        arrays.add(value.name, p[value.name])
    return arrays.add("parameters", p)


def _add_powers(arrays: Arrays, decay: np.float32) -> int:
    powers = np.float64(decay) ** np.arange(POWERS + 1)
    # Both tables have POWERS + 1 entries a layer, so one offset serves both.
    arrays.add("gains", np.concatenate([[0.0], np.cumsum(powers[:-1])]))
    return arrays.add("powers", powers)
