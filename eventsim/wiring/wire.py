"""A network -> the flat arrays that the kernels of every engine walk.

In: a `Network`. Out: a `Program`: one record per layer with neurons (a population), one per way on
which spikes reach it (a connection), and the arrays of all of them laid end to end, so that one
compiled kernel runs any network. Layers without neurons have no record of their own: sum and
average pools, Flatten, Concatenate and Add are changes of address (and a constant folded into the
weight rows behind them), a delay is a look at earlier spikes, a max pool a list of cells in which
the spikes of a timestep are merged before they are routed.

The neurons of a map of C channels are numbered (y * width + x) * C + channel. A convolution with
groups is laid out as `sites * groups` sites of `channels / groups` channels each; the numbering of
its neurons stays the same.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..network.graph import INPUT, READOUTS, Network
from ..network.layers import WeightLayer
from ..network.neurons import FIXED_KIND, NEURON_DTYPE
from ..network.projections import Projection, Projections
from ..vectors import LINE, WIDTHS
from .arrays import Arrays, narrowed
from .connections import WiredConnection
from .populations import WiredPopulation, lay_out
from .program import (
    NOTED,
    Columns,
    Connection,
    Level,
    Patch,
    Population,
    Program,
    Run,
    Span,
    Value,
)

# A layer runs through a stretch of timesteps before the layer behind it follows: what a layer needs
# is looked up once a stretch, and its weights stay in the nearest caches. Its length is bounded by
# the memory for the spikes of all neurons at once; what is not emitted takes none.
LONGEST_STRETCH = 4096
STRETCH_SPIKES = 2**24


# Wiring takes milliseconds, and callers run one network on many recordings. The programs hold no
# reference to their network, so each goes when its network goes.
_PROGRAMS: weakref.WeakKeyDictionary[Network, Program] = weakref.WeakKeyDictionary()


def program_of(network: Network) -> Program:
    """Return a network as the kernels of every engine see it, wired once."""
    program = _PROGRAMS.get(network)
    if program is None:
        program = _PROGRAMS[network] = wire(network)
    return program


def wire(network: Network) -> Program:
    """Lay a network out for the kernels.

    Raises `NetworkError` for a network of 2^31 or more weights, and for delays that do not fit.
    """
    channels, height, width = (*network.input_shape, 1, 1)[:3]
    flat = len(network.input_shape) == 1
    ways: list[Projections] = [(Projection(INPUT, channels, (height, width), flat=flat),)]
    arrays = Arrays()
    wired: list[WiredPopulation] = []
    many = [network.input_encoding == "counts"]  # of the input, then of each population
    for index, layer in enumerate(network.layers):
        before = [ways[source + 1] for source in network.sources(index)]
        if isinstance(layer, WeightLayer):
            number = len(wired)
            shape = network.shapes[index + 1]
            channels, height, width = (*shape, 1, 1)[:3]
            own = Projection(number, channels, (height, width), flat=len(shape) == 1)
            many.append(layer.neuron.spikes == "many")
            arriving = network.shapes[index][0]
            wired.append(lay_out(layer, before[0], own, arriving, many, arrays))
            ways.append((own,))
        else:
            shapes = [network.shapes[source + 1] for source in network.sources(index)]
            ways.append(layer.pass_on(before, shapes, index))
    return _program(network, wired, arrays)


class _SpikeList(NamedTuple):
    """Where the spikes of a stretch stand, and those that delays still ask for."""

    spike: int
    start: int
    remembered: int


def _program(network: Network, populations: list[WiredPopulation], arrays: Arrays) -> Program:
    connections = [way for population in populations for way in population.ways]
    sizes = [math.prod(network.input_shape)]  # of the input, then of each population
    sizes += [population.sites * population.channels for population in populations]
    admitted = [way for way in connections if way.pooled >= 0 or way.delayed >= 0]
    listed = sum(_admits(way, sizes) for way in admitted)
    stretch = max(1, min(LONGEST_STRETCH, STRETCH_SPIKES // (sum(sizes) + listed)))
    lists = []
    for number, size in enumerate(sizes):
        remembered = max((way.delay for way in connections if way.source == number - 1), default=0)
        # Behind the last spike a line is written to: see `vectors.fire_16`.
        spike = arrays.reserve("spikes", size * (remembered + stretch) + LINE)
        start = arrays.reserve("starts", remembered + stretch + 1)
        lists.append(_SpikeList(spike, start, remembered))
    first = 0
    for population, own in zip(populations, lists[1:], strict=True):
        population.connection, first = first, first + population.connections
        population.spike, population.start, population.remembered = own
    for way in connections:
        own = lists[way.source + 1]
        way.start = own.start + own.remembered
        way.arriving = way.start - way.delay
    for way in admitted:
        way.admitted = arrays.reserve("spikes", _admits(way, sizes) * stretch)
        way.arriving = arrays.reserve("starts", stretch + 1)
    for population in populations:
        population.chunk = min(population.chunk, stretch)
    last = populations[-1]
    last.awake |= network.reads_membranes
    if network.reads_membranes and last.width:
        last.chunk = 1  # they are read in every timestep
    if arrays.sizes["weights"] >= 2**31:
        raise NetworkError(f"{arrays.sizes['weights']} weights, expected fewer than 2^31")
    for population in populations:
        if population.looks_up and arrays.sizes["spikes"] >= 2**31:
            population.width = 0  # it scatters: where spikes begin is noted in 32 bits
    pooled_cells = max(way.pooled_cells for way in connections)
    whole = all(network.layers[i].neuron.kind == FIXED_KIND for i in network.neuron_layers)  # type: ignore[union-attr]
    weights = narrowed(arrays.joined("weights", np.float32), whole)
    blocks = arrays.joined("blocks", np.float32)
    return Program(
        populations=_table(populations, Population, np.int64),
        levels=_table(populations, Level, np.float32),
        connections=_table(connections, Connection, np.int64),
        pointers=arrays.joined("pointers", np.int64),
        spans=arrays.joined("spans", np.int32).reshape(-1, len(Span)),
        patch_pointers=arrays.joined("patch_pointers", np.int64),
        patches=arrays.joined("patches", np.int32).reshape(-1, len(Patch)),
        run_pointers=arrays.joined("run_pointers", np.int64),
        runs=arrays.joined("runs", np.int32).reshape(-1, len(Run)),
        fan_outs=arrays.joined("fan_outs", np.int32),
        blocks=blocks if weights.dtype == np.float32 else narrowed(blocks, whole),
        direct=arrays.joined("direct", np.int32),
        weights=weights,
        biases=arrays.joined("biases", np.float32),
        recurrent=arrays.joined("recurrent", np.float32),
        parameters=arrays.joined("parameters", NEURON_DTYPE),
        values=np.stack([arrays.joined(value.name, np.float32) for value in Value]),
        powers=arrays.joined("powers", np.float32),
        gains=arrays.joined("gains", np.float32),
        delayed=arrays.joined("delayed", np.uint8),
        rests=network.rests.copy(),
        neurons=arrays.sizes["neurons"],
        sites=arrays.sizes["sites"],
        input_spike=lists[0].spike,
        input_start=lists[0].start,
        input_remembered=lists[0].remembered,
        stretch=stretch,
        spikes=arrays.sizes["spikes"],
        starts=arrays.sizes["starts"],
        masks=max(
            one.chunk * one.sites * -(-one.channels // one.width) if one.width else 0
            for one in populations
        ),
        visited=max(one.chunk * -(-one.sites // 64) for one in populations),
        multiples=max(one.chunk * one.sites * one.stored * one.many for one in populations),
        inputs=max(one.inputs for one in populations) + WIDTHS[0],
        begins=max(one.index * one.chunk for one in populations),
        words=max(one.index for one in populations),
        visits=NOTED + max(one.chunk for one in populations),
        most_sites=max(one.sites for one in populations),
        # A site is noted whole, with the rows of every timestep of a chunk at most.
        visit_rows=NOTED + max(one.chunk * one.rows_per_site for one in populations),
        pooled_cells=pooled_cells,
        outputs=network.outputs,
        readout=READOUTS.index(network.readout),
        graded=any(population.graded for population in populations),
    )


def _admits(way: WiredConnection, sizes: list[int]) -> int:
    """Return how many cells or neurons can get past a max pool and delays in a timestep."""
    return way.pooled_cells if way.pooled >= 0 else sizes[way.source + 1]


def _table(rows: Sequence[Any], columns: type[Columns], dtype: Any) -> NDArray[Any]:
    return np.array([[getattr(row, column.name) for column in columns] for row in rows], dtype)
