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

# From this length on, rows of a plain layer are listed by site and added eight at a time, with an
# eighth of the traffic over the membranes; shorter ones are added as the spikes come. Rows of 64
# were never slower listed, and up to 1.5 times faster (maps of 17x17 and 32x32, kernels of 3 and 5,
# 2 to 64 input channels, activities of 0.2 to 20 %); rows of 32 were slower behind few input
# channels (0.8 to 0.95), rows of 16 always (0.8).
GATHER_FROM = 64


@dataclass
class WiredPopulation:
    """The fields of `program.Population` and `program.Level`, and the connections."""

    groups: int
    sites: int
    channels: int
    stored: int
    rows_per_site: int
    graded: bool
    gathers: bool
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
    connection: int = -1
    spike: int = -1
    start: int = -1
    remembered: int = 0

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
        gathers=not plain or sites == 1 or row_length >= GATHER_FROM,
        awake=layer.bias is not None and bool(neuron.rises_over_threshold(layer.bias).any()),
        plain=plain,
        neuron=arrays.reserve("neurons", sites * row_length, LINE),
        site=arrays.reserve("sites", -(-sites // 8) * 8),  # whole words, for `collect`
        row=arrays.reserve("rows", sites * per_site),
        bias=-1 if layer.bias is None else arrays.add("biases", layer.bias),
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
    for way in ways:
        way.set_limits(plain, population.gathers, population.graded, only=len(ways) == 1)
    return population


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
