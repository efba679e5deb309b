"""A `Program` -> the few flat arrays that the asynchronous kernels walk, and their state.

A call of a compiled function from Python costs more with every array that it takes, as much in all
as an event needs; so there are four: `tables` and `weights`, shared by all runs of a network, and
`ints` and `floats`, the state of one run. `tables` begins with a header of offsets into all four
(`Header`); `ints` with single numbers (`Scalar`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..events.arrays import addressing_of
from ..jit import Float32s, Int64s
from ..network.graph import Network
from ..network.layers import WeightLayer
from ..network.neurons.rules import RESET_SUBTRACT
from ..operations import COUNTERS
from ..vectors import LINE
from ..wiring.arrays import Arrays, widened
from ..wiring.program import Columns, Connection, Program
from ..wiring.program import Population as Wired
from ..wiring.wire import program_of
from .tables import (
    LEVELS,
    MEMO,
    MOST_ROWS,
    NEVER,
    Header,
    Population,
    Queue,
    Scalar,
    Trace,
    Way,
)

LONGEST = 2**52  # microseconds: what delays and refractory times are cut to
MOST_DT = 2**32
TRACE_ROWS = 2**13
HOP_COUNTS = 2**10  # spike counts that are kept before they are fetched: 8 KB, and at least a row


class Layout(NamedTuple):
    """What all runs of a network share, and the state that each starts from."""

    tables: Int64s
    weights: Float32s
    ints: Int64s
    floats: Float32s
    rests: Float32s  # of the channels of the last layer


def lay_out(network: Network, refractory_us: int | None, delay_us: int) -> Layout:
    """Lay a network out; the arguments are those of `AsynchronousRun`.

    Raises `NetworkError` for a network that has no asynchronous form.
    """
    _check(network)
    program = program_of(network)
    arrays = Arrays()
    _, bias, recurrent, levels = (
        arrays.add("weights", part, LINE)
        for part in (widened(program.weights), program.biases, program.recurrent, _levels(program))
    )
    populations = _populations(network, program, refractory_us, bias, levels)
    ways = _ways(network, program, populations, delay_us, recurrent)
    header, ints, floats = _state(program, populations, ways)
    sensor = addressing_of(network.input_shape)
    alone = any(one["alone"] for one in populations)
    header |= {
        "populations": len(populations), "ways": len(ways), "dt": network.dt_us,
        "width": sensor.width, "height": sensor.height, "polarities": sensor.polarities,
        "outputs": network.outputs,
        "mean": network.readout == "mean-membrane", "alone": alone,
        "waits": alone or any(way["delay"] > 0 for way in ways),
    }  # fmt: skip
    return Layout(
        _tables(program, header, populations, ways),
        arrays.joined("weights", np.float32),
        ints, floats, program.rests,
    )  # fmt: skip


def _check(network: Network) -> None:
    if network.dt_us > MOST_DT:
        raise NetworkError(
            f"dt_us is {network.dt_us}, expected at most {MOST_DT} in asynchronous time"
        )
    for index in network.neuron_layers:
        layer = network.layers[index]
        assert isinstance(layer, WeightLayer)
        channels = network.shapes[index + 1][0]
        bias = np.zeros(channels, np.float32) if layer.bias is None else layer.bias
        if fault := layer.neuron.asynchronous_fault(bias):
            raise NetworkError(f"{network.layer_name(index)}: {fault}")


def _populations(
    network: Network, program: Program, refractory_us: int | None, biases: int, levels: int
) -> list[dict[str, int]]:
    """Say what the kernels know of each population; offsets of ways are still numbers of ways."""
    populations = []
    for number, index in enumerate(network.neuron_layers):
        layer, p = network.layers[index], program.populations[number]
        assert isinstance(layer, WeightLayer)
        channels = int(p[Wired.channels] * p[Wired.groups])
        one = program.parameters[p[Wired.parameters]]
        refractory = int(one["refractory"]) * network.dt_us
        refractory = min(LONGEST, refractory if refractory_us is None else refractory_us)
        integrates = number == len(network.neuron_layers) - 1 and network.readout == "mean-membrane"
        bias = np.zeros(channels, np.float32)
        if p[Wired.bias] >= 0:
            bias = program.biases[p[Wired.bias] : p[Wired.bias] + channels]
        held_over = refractory > 0 and one["reset"] == RESET_SUBTRACT
        alone = held_over or layer.neuron.fires_alone(bias)
        populations.append({
            "sites": p[Wired.sites], "channels": p[Wired.channels],
            "groups": p[Wired.groups],
            "site": p[Wired.site], "neuron": p[Wired.neuron],
            "way": p[Wired.connection], "ways": p[Wired.connections],
            "plain": p[Wired.plain] and refractory == 0 and not integrates,
            "alone": alone and np.isfinite(one["threshold"]),
            "kind": one["kind"], "at_threshold": one["at_threshold"], "many": one["many"],
            "reset": one["reset"], "refractory": refractory,
            "bias": biases + p[Wired.bias] if p[Wired.bias] >= 0 else -1,
            "levels": levels + p[Wired.parameters] * len(LEVELS),
            "variables": 1 + layer.neuron.has_second + (refractory > 0),
            "leaks": p[Wired.leaks], "spikes": -1, "queue": -1, "rows": -1,
            "stored": p[Wired.stored],
            "recurrent": p[Wired.recurrent],
        })  # fmt: skip
    return populations


def _levels(program: Program) -> Float32s:
    """Return a row of LEVELS for each record of parameters; above `limit` a membrane fires."""
    p = program.parameters
    limit = np.where(
        p["at_threshold"] == 1,
        np.nextafter(p["threshold"], np.float32(-np.inf)),
        p["threshold"],
    )
    return np.stack([limit if name == "limit" else p[name] for name in LEVELS], axis=1).reshape(-1)


def _ways(
    network: Network,
    program: Program,
    populations: list[dict[str, int]],
    delay_us: int,
    recurrent: int,
) -> list[dict[str, int]]:
    """List the ways of all populations in order; set where each population's begin."""
    ways: list[dict[str, int]] = []
    for number, population in enumerate(populations):
        first = len(ways)
        for row in program.connections[population["way"] :][: population["ways"]]:
            source = int(row[Connection.source])
            between = delay_us if 0 <= source != number else 0
            ways.append({
                "source": source,
                "delay": min(LONGEST, int(row[Connection.delay]) * network.dt_us + between),
                "channels_delayed": row[Connection.delayed],
                "graded": source >= 0 and populations[source]["many"],
                "in_channels": row[Connection.in_channels], "offset": row[Connection.offset],
                "in_group": row[Connection.in_group], "reach": row[Connection.reach],
                "stride": row[Connection.stride], "pooled": row[Connection.pooled],
                "direct": row[Connection.direct], "to_itself": -1, "queue": -1,
            })  # fmt: skip
        if population["recurrent"] >= 0:
            ways.append(dict.fromkeys((column.name for column in Way), -1) | {
                "source": number, "delay": network.dt_us, "graded": population["many"],
                "to_itself": recurrent + population["recurrent"],
            })  # fmt: skip
        population["way"], population["ways"] = first, len(ways) - first
        direct = all(way["direct"] >= 0 for way in ways[first:])
        population["dense"] = population["plain"] and population["sites"] == 1 and direct
    return ways


def _state(
    program: Program, populations: list[dict[str, int]], ways: list[dict[str, int]]
) -> tuple[dict[str, int], Int64s, Float32s]:
    """Lay out the state; return the header's offsets, and the state at the start."""
    ints, header = _Ints(), {}
    ints.add(len(Scalar))
    alone = any(one["alone"] for one in populations)
    plain = all(one["plain"] for one in populations)
    neurons, sites, outputs = -(-program.neurons // LINE) * LINE, program.sites, program.outputs
    hop_room = max(1, HOP_COUNTS // outputs)
    sizes = {
        "counters": len(populations) * len(COUNTERS), "spike_counts": outputs,
        "first_spikes": outputs, "integrals": outputs, "lengths": len(populations),
        "last": sites, "marks": sites, "touched": sites, "due": sites * alone,
        "places": sites * alone, "heap": sites * alone, "ready": sites * alone,
        "free_from": 0 if plain else neurons, "pooled": program.pooled_cells, "heads": len(ways),
        "memo": len(populations) * MEMO, "hop_counts": hop_room * outputs,
    }  # fmt: skip
    header = {name: ints.add(size) for name, size in sizes.items()} | {"hop_room": hop_room}
    for population in populations:
        population["spikes"] = ints.add(2 * population["sites"] * population["channels"])
        if population["dense"]:
            population["rows"] = ints.add(1 + MOST_ROWS + 64)
    queues = {source: ints.add(len(Queue)) for source in sorted(_waiting(ways))}
    header["input_queue"] = queues.get(-1, -1)
    for number, population in enumerate(populations):
        population["queue"] = queues.get(number, -1)
    for way in ways:
        way["queue"] = queues[way["source"]] if way["delay"] > 0 else -1
    header["queues"], header["queue_rows"] = min(queues.values(), default=0), len(queues)
    state = np.zeros(ints.size, np.int64)
    for source, queue in queues.items():
        sizes_of = populations[source]
        burst = 1 if source < 0 else sizes_of["sites"] * sizes_of["channels"]
        state[queue : queue + len(Queue)] = (0, -1, 0, burst)
    state[[Scalar.hop_end, Scalar.hops_until]] = NEVER, -1
    state[header["first_spikes"] :][:outputs] = -1
    state[header["places"] :][: sites * alone] = -1
    kept = 0 if plain else neurons
    header |= {"seconds": neurons, "inputs": neurons + kept, "pooled_values": neurons + 2 * kept}
    header["powers"] = neurons + 2 * kept + program.pooled_cells
    return header, state, np.zeros(header["powers"] + 2 * len(populations) * MEMO, np.float32)


def _waiting(ways: list[dict[str, int]]) -> set[int]:
    """Return the populations (-1: the input) whose spikes wait somewhere."""
    return {way["source"] for way in ways if way["delay"] > 0}


class _Ints:
    """How many numbers the state holds so far."""

    size = 0

    def add(self, size: int) -> int:
        """Take a stretch; return its offset."""
        self.size += size
        return self.size - size


def _tables(
    program: Program,
    header: dict[str, int],
    populations: list[dict[str, int]],
    ways: list[dict[str, int]],
) -> Int64s:
    """Lay everything that does not change end to end; turn numbers into offsets."""
    spans = program.spans
    header["population"] = len(Header)
    header["way"] = header["population"] + len(populations) * len(Population)
    first_span = header["way"] + len(ways) * len(Way)
    pointers = first_span + spans.size
    flags = pointers + len(program.pointers)
    direct = flags + len(program.delayed)
    for population in populations:
        population["way"] = header["way"] + population["way"] * len(Way)
    for way in ways:
        for name, base in (
            ("reach", pointers), ("pooled", pointers), ("channels_delayed", flags),
            ("direct", direct),
        ):  # fmt: skip
            if way[name] >= 0:
                way[name] += base
    parts = (
        _table([header], Header), _table(populations, Population), _table(ways, Way), spans,
        first_span + 3 * program.pointers, program.delayed, program.direct,
    )  # fmt: skip
    return np.concatenate([np.asarray(part, np.int64).reshape(-1) for part in parts])


def _table(rows: list[dict[str, int]], columns: type[Columns]) -> NDArray[np.int64]:
    return np.array([[row[column.name] for column in columns] for row in rows], np.int64)


def with_room(layout: Layout, ints: Int64s, trace: bool) -> Int64s:
    """Return a state with a trace where asked for, and room in every queue for twice what waits.

    The rings of the queues lie behind everything else.
    """
    tables, fixed = layout.tables, len(layout.ints)
    busiest = sum(
        int(tables[row + Population.sites] * tables[row + Population.channels])
        for row in _rows(tables, Header.population, Header.populations, Population)
    )
    trace_rows = max(TRACE_ROWS, 2 * busiest) if trace else 0
    parts = [ints[:fixed].copy(), np.zeros(trace_rows * len(Trace), np.int64)]
    parts[0][[Scalar.trace, Scalar.trace_rows]] = fixed, trace_rows
    size = fixed + len(parts[1])
    for queue in range(tables[Header.queue_rows]):
        row = tables[Header.queues] + queue * len(Queue)
        offset, mask, tail, burst = ints[row : row + len(Queue)]
        heads = [
            ints[tables[Header.heads] + number]
            for number, way in enumerate(_rows(tables, Header.way, Header.ways, Way))
            if tables[way + Way.queue] == row
        ]
        first = min(heads)
        room = 1 << int(2 * (tail - first + burst)).bit_length()
        waiting = np.arange(first, tail)
        ring = np.zeros((room, 3), np.int64)
        ring[waiting & (room - 1)] = ints[offset + 3 * (waiting & mask)[:, None] + np.arange(3)]
        parts[0][row : row + len(Queue)] = (size, room - 1, tail, burst)
        parts.append(ring.reshape(-1))
        size += ring.size
    return np.concatenate(parts)


def _rows(tables: Int64s, first: int, count: int, columns: type[Columns]) -> range:
    start = int(tables[first])
    return range(start, start + int(tables[count]) * len(columns), len(columns))
