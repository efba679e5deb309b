"""Where on a GPU everything stands that a block changes, for the kernels of `layer.py`.

In: a `Program`. Out: a `DeviceLayout`: rings for the spikes that delays may still ask for, and
regions, each of which lies in the block's shared memory if it fits there and in global memory if
not.
"""

from __future__ import annotations

from collections import namedtuple
from enum import auto
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...jit import Float32s, Int32s
from ...operations import COUNTERS
from ...wiring import program as columns
from ...wiring.program import Columns, Program


class RingColumns(Columns):
    """Where the spikes of a population stand: `DeviceLayout.rings[population, Ring...]`."""

    size = auto()  # neurons: the room for one timestep
    last = auto()  # of the slots, one less than a power of two: timestep t is in slot t & last
    spikes = auto()  # offset of the first slot in SPIKES
    ends = auto()  # offset in ENDS: how many spikes are in each slot
    listed = auto()  # 1 where all rows of the one site are listed before they are added
    quads = auto()  # 1 where four channels are added at a time: see `quads.py`


class ListColumns(Columns):
    """Where the lists of a connection stand: `DeviceLayout.lists[connection, Lists...]`."""

    begins = auto()  # offset in BEGINS: where the spikes of each position begin
    arrived = auto()  # offset in ARRIVED: what gets past a max pool or delays; -1: everything does
    simple = auto()  # 1 where spikes have no value, and their position reaches a site with one row


class RegionColumns(Columns):
    """What a block changes: `DeviceLayout.regions[Region...]`, the first to be shared first.

    All items are of four bytes, but for the counters. Those before `membranes` are int32.
    """

    pending = auto()  # (populations, 2) 1 where a site has work without input, by t % 2
    heads = auto()  # (connections, 2) begin and end of the spikes that arrive
    ends = auto()  # spikes in each slot of each ring
    rows = auto()  # the rows of a layer of one site
    spikes = auto()  # neurons, slot by slot
    begins = auto()
    last = auto()  # (sites,) timestep of the last update
    flags = auto()  # (sites,) 1 where a site has work in this timestep
    touched = auto()  # the sites of one layer with work
    pooled = auto()  # maxima in the cells of a max pool
    arrived = auto()
    free_from = auto()  # (neurons,)
    membranes = auto()  # (neurons,)
    row_values = auto()
    values = auto()  # how many spikes each entry of `spikes` stands for
    arrived_values = auto()
    seconds = auto()  # (neurons,) currents or adaptations
    returned = auto()  # (neurons,) own spikes of the timestep before


def _constants(columns: type[Columns]) -> Any:
    """Return columns as a tuple with names: numba-cuda takes no enum for an index."""
    make: Any = namedtuple
    kind = make(columns.__name__, [column.name for column in columns])
    return kind(*map(int, columns))


Population, Level = _constants(columns.Population), _constants(columns.Level)
Connection, Span = _constants(columns.Connection), _constants(columns.Span)
Entry, Ring = _constants(columns.Entry), _constants(RingColumns)
Lists, Region = _constants(ListColumns), _constants(RegionColumns)
KINDS = len(COUNTERS)


class DeviceLayout(NamedTuple):
    """Offsets for the kernels; see the columns above."""

    rings: NDArray[np.int32]  # (populations, Ring)
    lists: NDArray[np.int32]  # (connections, Lists)
    regions: Int32s  # (Region,) in shared memory, or -1 - the offset in the block's own
    words: int  # offset in shared memory of the words of `rank`
    general: int  # 1 where a layer is not plain
    listed: int  # 1 where every layer is plain and its rows are listed
    counts: int  # counters of all layers
    counted: int  # 1 where the counters are at the beginning of shared memory, 0 where not
    ints: int  # of a block in global memory
    floats: int
    shared: int  # bytes of a block


class Memory(NamedTuple):
    """Global memory of the blocks: a row each."""

    ints: NDArray[np.int32]
    floats: NDArray[np.float32]


class Batch(NamedTuple):
    """Binned recordings one after the other, in one array that may be longer.

    First where in it the pointers of each sample begin, then how many timesteps each has, then
    the pointers of all, then the cells of all. With p = ints[sample] timestep t has the cells
    ints[ints[p + t] : ints[p + t + 1]].
    """

    samples: int
    ints: Int32s
    values: Float32s  # of each cell, where it stands in `ints`; empty where all are 1


class Outcomes(NamedTuple):
    """What the kernels add up, a row for each sample; they begin with nothing that stands there."""

    # (samples, ...): counters of each layer, spikes that there would be with room for all,
    # spike counts of the outputs, timesteps of their first spikes.
    numbers: NDArray[np.int64]
    membranes: NDArray[np.float64]  # (samples, outputs), or (samples, 0) where not read out
    spikes: NDArray[np.int32]  # (samples, room, 4): population, timestep, neuron, how many


def lay_out(program: Program, threads: int, shared_bytes: int) -> DeviceLayout:
    """Place what a block of so many threads changes, with so much shared memory at most.

    Raises `NetworkError` for a network whose numbers 32 bits cannot count.
    """
    lists, begins, arrived = _lists(program)
    rings, spikes, ends = _rings(program, lists)
    populations = program.populations
    general = not populations[:, Population.plain].all()
    valued = general or program.graded
    rows = max(
        int(populations[n, Population.rows_per_site]) if ring[Ring.listed] else 0
        for n, ring in enumerate(rings)
    )
    sizes = {
        Region.pending: 2 * len(populations),
        Region.heads: 2 * len(program.connections),
        Region.ends: ends,
        Region.rows: rows,
        Region.spikes: spikes,
        Region.begins: begins,
        Region.last: program.sites,
        Region.flags: program.sites,
        Region.touched: int(populations[:, Population.sites].max()),
        Region.pooled: program.pooled_cells,
        Region.arrived: arrived,
        Region.free_from: program.neurons * general,
        Region.membranes: program.neurons,
        Region.row_values: rows * program.graded,
        Region.values: spikes * valued,
        Region.arrived_values: arrived,
        Region.seconds: program.neurons * general,
        Region.returned: program.neurons * general,
    }
    counters = 2 * len(populations) * KINDS  # of eight bytes
    words = 3 * -(-threads // 32)
    counted = 4 * (counters + words) <= shared_bytes
    used = counters * counted + words
    regions, own = np.zeros(len(Region), np.int64), [0, 0]
    for region in range(len(Region)):
        if 4 * (used + sizes[region]) <= shared_bytes:
            regions[region] = used
            used += sizes[region]
        else:
            kind = int(region >= Region.membranes)
            regions[region] = -1 - own[kind]
            own[kind] += sizes[region]
    if max(own) >= 2**31:
        raise NetworkError(f"{max(own)} numbers a sample change, expected fewer than 2^31 on a GPU")
    return DeviceLayout(
        rings=rings.astype(np.int32),
        lists=lists,
        regions=regions.astype(np.int32),
        words=counters * counted,
        general=int(general),
        listed=int(not general and rings[:, Ring.listed].all()),
        counts=len(populations) * KINDS,
        counted=int(counted),
        ints=own[0],
        floats=own[1],
        shared=4 * used,
    )


def _rings(program: Program, lists: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
    """Return the rings of the spikes, and the length of the lists that they take."""
    rings = np.zeros((len(program.populations), len(Ring)), np.int64)
    spikes = ends = 0
    for number, population in enumerate(program.populations):
        size = population[Population.sites] * population[Population.channels]
        slots = 1 << int(population[Population.remembered]).bit_length()
        first = population[Population.connection]
        ways = slice(first, first + population[Population.connections])
        direct = program.connections[ways, Connection.direct] >= 0
        listed = population[Population.sites] == 1 and direct.all()
        # Rows begin at multiples of their length.
        by_four = population[Population.plain] and population[Population.channels] % 4 == 0
        quads = by_four and not listed and lists[ways, Lists.simple].all()
        rings[number] = size, slots - 1, spikes, ends, listed, quads
        spikes += int(size * slots)
        ends += int(slots)
    return rings, spikes, ends


def _lists(program: Program) -> tuple[NDArray[Any], int, int]:
    """Return the lists of the connections; those of different layers take the same memory."""
    lists = np.full((len(program.connections), len(Lists)), -1, np.int32)
    most_begins = most_arrived = 0
    for population in program.populations:
        begins = arrived = 0
        first = population[Population.connection]
        for way in range(first, first + population[Population.connections]):
            connection = program.connections[way]
            lists[way, Lists.begins] = begins
            lists[way, Lists.simple] = _is_simple(program, population, connection)
            begins += int(connection[Connection.positions]) + 1
            if connection[Connection.pooled] >= 0 or connection[Connection.delayed] >= 0:
                lists[way, Lists.arrived] = arrived
                arrived += int(
                    connection[Connection.positions] * connection[Connection.in_channels]
                )
        most_begins, most_arrived = max(most_begins, begins), max(most_arrived, arrived)
    return lists, most_begins, most_arrived


def _is_simple(program: Program, population: Any, connection: Any) -> bool:
    if population[Population.groups] > 1 or connection[Connection.graded]:
        return False
    first = connection[Connection.incoming]
    pointers = program.incoming_pointers[first : first + population[Population.sites] + 1]
    positions = program.incoming[pointers[0] : pointers[-1], Entry.position]
    sites = np.repeat(np.arange(population[Population.sites]), np.diff(pointers))
    again = (np.diff(positions) == 0) & (np.diff(sites) == 0)
    return not again.any()
