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
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..network.geometry import Reach
from ..network.graph import INPUT, READOUTS, Network
from ..network.layers import WeightLayer
from ..network.neurons.lif import POWERS
from ..network.neurons.neuron import NEURON_DTYPE, RESET_SUBTRACT
from ..network.pathways import Add, Projection, Projections
from ..vectors import LINE
from .arrays import Arrays, narrowed
from .program import A, C, Columns, L, P, Program, S

# From this length on, rows of a plain layer are listed by site and added eight at a time, with an
# eighth of the traffic over the membranes; shorter ones are added as the spikes come. Rows of 64
# were never slower listed, and up to 1.5 times faster (maps of 17x17 and 32x32, kernels of 3 and 5,
# 2 to 64 input channels, activities of 0.2 to 20 %); rows of 32 were slower behind few input
# channels (0.8 to 0.95), rows of 16 always (0.8).
GATHER_FROM = 64

# Where more spikes than these arrive for each position of the input, on average, they are listed
# site by site. 64-to-128-channel 3x3 on 32x32: 52 ms instead of 74 at 26 spikes a position, 14.6
# instead of 17.2 at 6.4, but 5.3 instead of 4.7 at 1.3.
BUSY_FROM = 4

# Where more than this part of a map's inputs spike, all are added (`clocked/sweep.py`): for short
# rows and for listed ones, and more for few input channels, since membranes are read and written
# once for all those of a position. 3x3 on 24x24, as long as without at an input activity of: 45 %
# at 4 to 16 channels, 22 at 16 to 16, 18 at 64 to 16; listed, 50 at 16 to 128, 35 to 45 at 64 to
# 128; at 64 to 64 about 36, from the time at 20 %.
FULL_FROM, FULL_FROM_LISTED = 0.2, 0.36
FEW_CHANNELS = 4
NEVER = 2**62  # more spikes than there are

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
    ways: list[Projections] = [
        (Projection(INPUT, network.input_shape[0], network.input_shape[1:]),)
    ]
    arrays = Arrays()
    wired: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
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
            wired.append(_lay_out(layer, before[0], own, arriving, many, arrays))
            ways.append((own,))
        else:
            shapes = [network.shapes[source + 1] for source in network.sources(index)]
            passed = layer.pass_on(before, shapes)
            if not isinstance(layer, Add):
                passed = tuple(p._replace(through=(*p.through, index)) for p in passed)
            ways.append(passed)
    return _program(network, wired, arrays)


def _program(
    network: Network,
    wired: list[tuple[dict[str, Any], list[dict[str, Any]]]],
    arrays: Arrays,
) -> Program:
    connections = [connection for _, several in wired for connection in several]
    populations = [population for population, _ in wired]
    first = 0
    sizes = [math.prod(network.input_shape)]  # of the input, then of each population
    sizes += [population["sites"] * population["channels"] for population in populations]
    stretch = max(1, min(LONGEST_STRETCH, STRETCH_SPIKES // sum(sizes)))
    lists = [_spike_list(connections, i - 1, n, stretch, arrays) for i, n in enumerate(sizes)]
    for number, (population, several) in enumerate(wired):
        population["connection"], population["connections"] = first, len(several)
        first += len(several)
        population |= lists[number + 1]
    for connection in connections:
        own = lists[connection["source"] + 1]
        connection["start"] = own["start"] + own["remembered"]
    if network.reads_membranes:
        populations[-1]["awake"] = 1
    if arrays.sizes["weights"] >= 2**31:
        raise NetworkError(f"{arrays.sizes['weights']} weights, expected fewer than 2^31")
    pooled_cells = max(connection["pooled_cells"] for connection in connections)
    return Program(
        populations=_table(populations, P, np.int64),
        levels=_table(populations, L, np.float32),
        connections=_table(connections, C, np.int64),
        pointers=arrays.joined("pointers", np.int64),
        spans=arrays.joined("spans", np.int32).reshape(-1, len(S)),
        incoming_pointers=arrays.joined("incoming_pointers", np.int64),
        incoming=arrays.joined("incoming", np.int32).reshape(-1, len(A)),
        direct=arrays.joined("direct", np.int32),
        weights=narrowed(arrays.joined("weights", np.float32)),
        biases=arrays.joined("biases", np.float32),
        recurrent=arrays.joined("recurrent", np.float32),
        parameters=arrays.joined("parameters", NEURON_DTYPE),
        powers=arrays.joined("powers", np.float32),
        gains=arrays.joined("gains", np.float32),
        delayed=arrays.joined("delayed", np.uint8),
        rests=network.rests.copy(),
        neurons=arrays.sizes["neurons"],
        sites=arrays.sizes["sites"],
        row_lists=arrays.sizes["rows"],
        row_length=max(population["stored"] for population in populations),
        input_spike=lists[0]["spike"],
        input_start=lists[0]["start"],
        input_remembered=lists[0]["remembered"],
        stretch=stretch,
        spikes=arrays.sizes["spikes"],
        starts=arrays.sizes["starts"],
        positions=max(connection["positions"] for connection in connections),
        arrivals=max(*sizes, pooled_cells),
        frame=max(
            connection["positions"] * connection["in_channels"] * (connection["full"] < NEVER)
            for connection in connections
        ),
        pooled_cells=pooled_cells,
        outputs=network.outputs,
        readout=READOUTS.index(network.readout),
        graded=any(population["graded"] for population in populations),
    )


def _spike_list(
    connections: list[dict[str, Any]], source: int, size: int, stretch: int, arrays: Arrays
) -> dict[str, int]:
    """Reserve the list of the spikes of a stretch, and of those that delays still ask for."""
    delays = [connection["delay"] for connection in connections if connection["source"] == source]
    remembered = max(delays, default=0)
    return {
        "spike": arrays.reserve("spikes", size * (remembered + stretch)),
        "start": arrays.reserve("starts", remembered + stretch + 1),
        "remembered": remembered,
    }


def _table(rows: list[dict[str, Any]], columns: type[Columns], dtype: Any) -> NDArray[Any]:
    return np.array([[row[column.name] for column in columns] for row in rows], dtype)


def _lay_out(
    layer: WeightLayer,
    arriving: Projections,
    own: Projection,
    channels: int,
    many: list[bool],
    arrays: Arrays,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Lay out a population and its connections; `channels` arrive, `own` are its own spikes."""
    layer = _with_gain(layer)
    stored: dict[float, int] = {}
    connections = [
        _connect(layer, source, delay, channels, many[source.population + 1], stored, arrays)
        for source in arriving
        for delay in sorted(set(source.delays or (0,)))
    ]
    loop = -1
    if layer.recurrent is not None:
        if layer.recurrent.ndim == 1:
            loop = arrays.add("recurrent", layer.recurrent)
        else:
            each = replace(layer, weight=layer.recurrent, bias=None, recurrent=None)
            connections.append(_connect(each, own, 1, own.channels, many[-1], {}, arrays))
    sites = own.shape[0] * own.shape[1] * layer.groups
    row_length = own.channels // layer.groups
    per_site = sum(connection.pop("rows_per_site") for connection in connections)
    population = {
        "groups": layer.groups,
        "sites": sites,
        "channels": row_length,
        "stored": _stored(row_length, sites),
        "rows_per_site": per_site,
        "graded": any(connection["graded"] for connection in connections),
        "neuron": arrays.reserve("neurons", sites * row_length, LINE),
        "site": arrays.reserve("sites", -(-sites // 8) * 8),  # whole words, for `collect`
        "row": arrays.reserve("rows", sites * per_site),
        "bias": -1 if layer.bias is None else arrays.add("biases", layer.bias),
        "recurrent": loop,
        **_neuron_fields(layer, own.channels, sites, arrays),
    }
    for connection in connections:
        by_site = connection.pop("by_site") and not population["graded"]
        connection |= _many_from(connection, population, by_site, len(connections) == 1)
    return population, connections


def _many_from(
    connection: dict[str, Any], population: dict[str, Any], by_site: bool, alone: bool
) -> dict[str, Any]:
    """Return how many spikes of a timestep are listed site by site, and with how many all inputs
    are added. The latter keeps the order of additions on the only way to a layer alone."""
    positions, channels = connection["positions"], connection["in_channels"]
    listed, full = population["gathers"], positions * (channels + FEW_CHANNELS)
    return {
        "busy": BUSY_FROM * positions if by_site and listed else NEVER,
        "full": full * (FULL_FROM_LISTED if listed else FULL_FROM)
        if by_site and alone and population["plain"]
        else NEVER,
    }


def _stored(channels: int, sites: int) -> int:
    """Return the length of a stored weight row. That of a fully connected layer fills its cache
    lines, and its membranes have the room for it; rows of several sites follow each other."""
    return -(-channels // LINE) * LINE if sites == 1 else channels


def _with_gain(layer: WeightLayer) -> WeightLayer:
    """Fold the neurons' input gain into the weights."""
    gain = layer.neuron.gain()
    scaled: dict[str, Any] = {}
    for name in ("weight", "bias", "recurrent"):
        values = getattr(layer, name)
        if values is not None and (gain != 1).any():
            scaled[name] = values * gain.reshape(-1, *[1] * (values.ndim - 1))
    return replace(layer, **scaled) if scaled else layer


def _connect(
    layer: WeightLayer,
    source: Projection,
    delay: int,
    channels: int,
    graded: bool,
    stored: dict[float, int],
    arrays: Arrays,
) -> dict[str, Any]:
    """Lay out one way on which spikes reach a layer, those of one delay.

    `stored`: where the layer's weights lie already, by the scale that is folded into them.
    """
    near, sites = layer.reach(*source.shape)
    rows = layer.rows() * np.float32(source.scale)
    if layer.groups == 1:
        rows = np.pad(rows, ((0, 0), (0, _stored(rows.shape[1], sites) - rows.shape[1])))
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
    # The spikes of a position must follow each other, no value come with them, and no position
    # reach a site twice, as through an average pool whose windows overlap.
    by_site = (
        (sites > 1 and layer.groups == 1 and not graded)
        and not (some_delayed or pooled >= 0)
        and _reaches_once(reach)
    )
    positions = len(reach.pointers) - 1
    direct = -1
    if sites == 1 and layer.groups == 1:
        direct = _add_direct(arrays, reach, source.channels, stride * rows.shape[1])
    return {
        "source": source.population,
        "delay": delay,
        "delayed": arrays.add("delayed", arrive.astype(np.uint8)) if some_delayed else -1,
        "graded": graded,
        "in_channels": source.channels,
        "offset": 0 if source.flat else source.offset,
        "in_group": in_group,
        "reach": _add_reach(arrays, reach, reach.taps, rows.shape[1] if layer.groups == 1 else 0),
        "stride": stride * rows.shape[1],
        "direct": direct,
        "incoming": _add_incoming(arrays, reach, sites),
        "fan_in": int(np.bincount(reach.targets, minlength=1).max()),
        "positions": positions,
        "by_site": by_site,
        "pooled": pooled,
        "pooled_cells": cells,
        "rows_per_site": int(np.bincount(reach.targets, minlength=1).max())
        * min(in_group, source.channels),
    }


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
    offset = arrays.add("spans", table) // len(S)
    return arrays.add("pointers", spans[reach.pointers] + offset)


def _add_incoming(arrays: Arrays, reach: Reach, sites: int) -> int:
    """Add the reach the other way round: for each site the positions that reach it, ascending."""
    order = np.argsort(reach.targets, kind="stable")
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    entries = np.stack([positions, reach.taps], axis=1)[order]  # columns of A
    first = np.concatenate([[0], np.cumsum(np.bincount(reach.targets, minlength=sites))])
    return arrays.add("incoming_pointers", first + arrays.add("incoming", entries) // len(A))


def _reaches_once(reach: Reach) -> bool:
    positions = np.repeat(np.arange(len(reach.pointers) - 1), np.diff(reach.pointers))
    pairs = positions * _cells(reach) + reach.targets
    return len(np.unique(pairs)) == len(pairs)


def _cells(reach: Reach) -> int:
    return int(reach.targets.max()) + 1 if reach.targets.size else 0


def _neuron_fields(layer: WeightLayer, channels: int, sites: int, arrays: Arrays) -> dict[str, Any]:
    """Lay out the neurons' parameters, for the plain loop and for the general one."""
    p = layer.neuron.parameters(channels)
    one = p[0]
    rises = layer.bias is not None and layer.neuron.rises_over_threshold(layer.bias).any()
    to_itself = layer.recurrent is not None and layer.recurrent.ndim == 1
    plain = layer.neuron.plain and not to_itself
    limit = one["threshold"]
    if one["at_threshold"]:  # u >= threshold is u > the number before it
        limit = np.nextafter(limit, np.float32(-np.inf))
    return {
        "awake": rises,
        "plain": plain,
        "gathers": not plain or sites == 1 or channels // layer.groups >= GATHER_FROM,
        "parameters": arrays.add("parameters", p),
        "powers": _add_powers(arrays, one["decay"]) if plain else -1,
        "variables": layer.neuron.variables,
        "leaks": layer.neuron.leaks,
        "subtract": one["reset"] == RESET_SUBTRACT,
        "limit": limit,
        "threshold": one["threshold"],
        "reset_value": one["reset_value"],
    }


def _add_powers(arrays: Arrays, decay: np.float32) -> int:
    powers = np.float64(decay) ** np.arange(POWERS + 1)
    # Both tables have POWERS + 1 entries a layer, so one offset serves both.
    arrays.add("gains", np.concatenate([[0.0], np.cumsum(powers[:-1])]))
    return arrays.add("powers", powers)
