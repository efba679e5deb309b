"""Which rows the spikes of a timestep bring to a site, for `gather.py`: a list in shared memory.

The threads of a team look at the words of bits that reach the site, one each, and each lists the
rows of its own behind those of the threads before it: in the order of the spikes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import cuda, float32, int32, uint32

from ...jit import address, device_part, four, one
from ...network.neurons import MAX_SPIKES
from .layout import Item, Population, Way

ROOM = 16  # rows that a list has room for, for each thread of the team
NONE = uint32(0xFFFFFFFF)


class Team(NamedTuple):
    """Threads of a warp that share a block of channels of a site, and their list."""

    lane: Any  # which of them this thread is
    lanes: Any  # how many there are: a power of two
    mask: Any  # of them among the warp's
    rows: Any  # shared memory of the block of threads
    own: Any  # where in it the list begins


class Cursor(NamedTuple):
    """How far the rows of a site in a timestep are listed."""

    way: Any  # connection,
    item: Any  # the first of a round of items, one a thread,
    skip: Any  # and rows of it that have been listed


@device_part
def team_of(lanes, rows, narrow):
    """Return the team of this thread; `lanes` threads are one.

    Without `narrow` they are a whole warp, and the compiler may know it: with a mask that it does
    not know each vote and shuffle asks first who is there.
    """
    lane, mask = uint32(uint32(cuda.threadIdx.x) & uint32(31)), uint32(0xFFFFFFFF)
    lanes_known, first = uint32(32), uint32(uint32(cuda.threadIdx.x) - lane)
    if narrow is not None:
        own = uint32(lane & uint32(lanes - uint32(1)))
        mask = uint32(uint32(mask >> uint32(uint32(32) - lanes)) << uint32(lane - own))
        lanes_known, first, lane = lanes, uint32(uint32(cuda.threadIdx.x) - own), own
    return Team(lane, lanes_known, mask, rows, uint32(first * uint32(ROOM)))


@device_part
def begin_rows(layout, population, site):
    """Return the cursor before anything is listed."""
    way = uint32(population[Population.connection])
    pointer = uint32(uint32(layout.ways[way, Way.items]) + site)
    return Cursor(way, uint32(layout.pointers[pointer]), uint32(0))


@device_part
def note_rows(program, layout, end, bits, counts, site, t, team, values, cursor):
    """List rows that reach a site in timestep t of the stretch until the list is full.

    `end`: the connection after the last. `values`: shared memory for what rows are multiplied by;
    None where all are binary. Returns how many, how many of those of this thread are multiplied,
    and the cursor, which is at `end` when everything is listed.
    """
    way, at, skip = cursor
    filled, multiplied, room = uint32(0), uint32(0), uint32(team.lanes * uint32(ROOM))
    ways, items = address(layout.ways, uint32(0)), address(layout.items, uint32(0))
    spikes = address(bits, uint32(0))
    while way < end:
        # Two loads for a row of the table: nothing of it stays, since the compiler has to think
        # that a spike changes it.
        place, numbers, _, delay = four(layout.ways, ways, uint32(uint32(8) * way))
        _, pointers, stride, direct = four(layout.ways, ways, uint32(uint32(8) * way + uint32(4)))
        stop = uint32(layout.pointers[uint32(uint32(uint32(pointers) + site) + uint32(1))])
        row = uint32(t + uint32(layout.remembered) - uint32(delay))
        first = uint32(uint32(row * uint32(layout.words)) + uint32(place))
        number = uint32(uint32(row * uint32(layout.numbers)) + uint32(numbers))
        while at < stop:
            item, word, base, count, found = uint32(at + team.lane), 0, 0, 1, uint32(0)
            if item < stop:
                word, mask, base, count = four(layout.items, items, uint32(uint32(4) * item))
                found = uint32(one(bits, spikes, uint32(first + uint32(word))) & uint32(mask))
            own = uint32(uint32(cuda.popc(found)) * uint32(count))
            if cuda.any_sync(team.mask, own > uint32(0)):
                before, total = share(team, own)
                value_at = uint32(number + uint32(uint32(word) << uint32(5)))
                if numbers < 0:
                    value_at = NONE
                several = list_rows(
                    program, layout, counts, value_at, item, found, uint32(base), uint32(count),
                    uint32(stride), direct, uint32(uint32(filled + before) - skip), team, values,
                )  # fmt: skip
                rest = uint32(total - skip)
                more = uint32(min(rest, uint32(room - filled)))
                filled = uint32(filled + more)
                multiplied = uint32(multiplied + several)
                if more < rest:
                    return filled, multiplied, Cursor(way, at, uint32(skip + more))
                skip = uint32(0)
            at = uint32(at + team.lanes)
        way = uint32(way + uint32(1))
        if way < end:
            at = uint32(layout.pointers[uint32(uint32(layout.ways[way, Way.items]) + site)])
    return filled, multiplied, Cursor(way, at, skip)


@device_part
def share(team, own):
    """Return how many rows the threads of the team before this one have, and all of them."""
    through = add_from(team, own, 1)
    through = add_from(team, through, 2)
    through = add_from(team, through, 4)
    through = add_from(team, through, 8)
    through = add_from(team, through, 16)
    last = int32((cuda.threadIdx.x | (team.lanes - uint32(1))) & 31)
    return uint32(through - own), uint32(cuda.shfl_sync(team.mask, int32(through), last))


@device_part
def add_from(team, through, distance):
    """Add what the thread so far before this one has, if there is one in the team."""
    other = uint32(cuda.shfl_up_sync(team.mask, int32(through), distance))
    if team.lane >= uint32(distance):
        through = uint32(through + other)
    return through


@device_part
def list_rows(
    program, layout, counts, value_at, item, found, base, count, stride, direct, place, team, values
):
    """List the rows of a word's bits from `place` on, which may come round 0, as far as there is
    room; return how many of them are multiplied."""
    room, at = uint32(team.lanes * uint32(ROOM)), uint32(team.own + place)
    fits = place < room and uint32(place + uint32(32)) <= room
    if values is None and fits and count == uint32(1):
        while found != uint32(0):
            row = uint32(base + uint32(lowest_bit(found) * stride))
            if direct >= 0:
                row = uint32(program.direct[uint32(uint32(direct) + row)])
            team.rows[at] = row
            found, at = uint32(found & uint32(found - uint32(1))), uint32(at + uint32(1))
    multiplied = uint32(0)
    while found != uint32(0):
        bit = lowest_bit(found)
        found, again = uint32(found & uint32(found - uint32(1))), uint32(item * uint32(4))
        row, end = uint32(base + uint32(bit * stride)), uint32(again + uint32(uint32(4) * count))
        if direct >= 0:
            row = uint32(program.direct[uint32(uint32(direct) + row)])
        while again < end:
            if place < room:
                team.rows[uint32(team.own + place)] = row
                if values is not None:
                    value = float32(1)
                    if value_at != NONE:
                        value = float32(min(counts[uint32(value_at + bit)], int32(MAX_SPIKES)))
                    values[uint32(team.own + place)] = value
                    if value != float32(1):
                        multiplied = uint32(multiplied + uint32(1))
            place, again = uint32(place + uint32(1)), uint32(again + uint32(4))
            if again < end:
                row = uint32(layout.items[uint32(again + uint32(Item.row))])
                row = uint32(row + uint32(bit * stride))
    return multiplied


@device_part
def lowest_bit(bits):
    """Return the position of the lowest 1 in a number other than 0."""
    return uint32(cuda.ffs(int32(bits)) - 1)
