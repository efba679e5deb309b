"""Which rows the spikes of a timestep bring to a site, for `gather.py`: a list in shared memory.

The threads of a team look at the words of bits that reach the site, one each, and each lists the
rows of its own behind those of the threads before it: in the order of the spikes.

The teams of a warp keep in step, also those that have nothing to do: all threads come to every vote
and shuffle. With a mask that the compiler does not know, each of these asked first who is there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import cuda, float32, int32, uint32

from ...jit import address, address_shared, device_part, four, one, put_shared
from ...network.neurons import MAX_SPIKES
from .layout import QUAD, Item, Way

ROOM = 16  # rows that a list has room for, for each thread of the team, but for
SPARE = QUAD  # some of a team, so that it can be filled up to a multiple of four
ALL = 0xFFFFFFFF  # threads of a warp


class Team(NamedTuple):
    """Threads of a warp that share a block of channels of a site, and their list."""

    lane: Any  # which of them this thread is
    lanes: Any  # how many there are: a power of two
    rows: Any  # shared memory of the block of threads
    own: Any  # where in it the list begins


class Cursor(NamedTuple):
    """How far the rows of a site in a timestep are listed, and what is known of a connection."""

    way: Any  # connection,
    item: Any  # the first of a round of items, one a thread,
    skip: Any  # and rows of it that have been listed
    stop: Any  # the item after the last
    first: Any  # where the source's bits are in the first timestep of a stretch
    stride: Any  # from the row of a bit to that of the next,
    direct: Any  # or where rows are looked up, else -1


@device_part
def team_of(lanes, rows):
    """Return the team of this thread; `lanes` threads are one."""
    thread = uint32(cuda.threadIdx.x)
    own = uint32(thread & uint32(lanes - uint32(1)))
    return Team(own, lanes, rows, uint32(uint32(thread - own) * uint32(ROOM)))


@device_part
def begin_rows(layout, way, site):
    """Return the cursor before anything of a connection is listed.

    The site behind the last is one that nothing reaches.
    """
    pointer = uint32(uint32(layout.ways[way, Way.items]) + site)
    item, stop = layout.pointers[pointer], layout.pointers[uint32(pointer + uint32(1))]
    first = uint32(uint32(layout.remembered) - uint32(layout.ways[way, Way.delay]))
    first = uint32(uint32(first * uint32(layout.words)) + uint32(layout.ways[way, Way.bits]))
    stride = uint32(layout.ways[way, Way.stride])
    direct = int32(layout.ways[way, Way.direct])
    return Cursor(way, uint32(item), uint32(0), uint32(stop), first, stride, direct)


@device_part
def note_rows(program, layout, end, bits, counts, site, t, team, values, cursor):
    """List rows that reach a site in timestep t of the stretch until the list of a team is full.

    `end`: the connection after the last. `values`: shared memory for what rows are multiplied by;
    None where all are binary. Returns how many, how many of those of this thread are multiplied,
    and the cursor, which is at `end` when everything is listed for all teams of the warp.
    """
    way, at, skip, stop, first, stride, direct = cursor
    filled, multiplied = uint32(0), uint32(0)
    items, spikes = address(layout.items, uint32(0)), address(bits, uint32(0))
    row = uint32(t * uint32(layout.words))
    while way < end:
        while cuda.any_sync(ALL, at < stop):
            item, word, base, count, found = uint32(at + team.lane), 0, 0, 1, uint32(0)
            if item < stop:
                word, mask, base, count = four(layout.items, items, uint32(uint32(4) * item))
                place = uint32(uint32(first + row) + uint32(word))
                found = uint32(one(bits, spikes, place) & uint32(mask))
            if cuda.any_sync(ALL, found != uint32(0)):
                own = uint32(uint32(cuda.popc(found)) * uint32(count))
                before, total = share(team, own)
                place = uint32(uint32(filled + before) - skip)
                multiplied = uint32(multiplied + list_rows(
                    program, layout, counts, t, way, stride, direct, item, uint32(word),
                    found, uint32(base), uint32(count), place, own, team, values,
                ))  # fmt: skip
                rest, room = uint32(total - skip), uint32(room_of(team) - filled)
                more = uint32(min(rest, room))
                filled, left = uint32(filled + more), more < rest
                skip = uint32(skip + more) if left else uint32(0)
                if cuda.any_sync(ALL, left):
                    if not left:
                        at = uint32(at + team.lanes)
                    return filled, multiplied, Cursor(way, at, skip, stop, first, stride, direct)
            at = uint32(at + team.lanes)
        way = uint32(way + uint32(1))
        if way < end:
            _, at, skip, stop, first, stride, direct = begin_rows(layout, way, site)
    return filled, multiplied, Cursor(way, at, skip, stop, first, stride, direct)


@device_part
def room_of(team):
    """Return how many rows a list has room for."""
    return uint32(uint32(team.lanes * uint32(ROOM)) - uint32(SPARE))


@device_part
def counted_at(layout, way, t, word):
    """Return where it stands how many spikes the bits of a word are; -1: one each."""
    numbers = int32(layout.ways[way, Way.counts])
    if numbers < 0:
        return int32(-1)
    row = uint32(t + uint32(uint32(layout.remembered) - uint32(layout.ways[way, Way.delay])))
    number = uint32(uint32(row * uint32(layout.numbers)) + uint32(numbers))
    return int32(number + uint32(word << uint32(5)))


@device_part
def share(team, own):
    """Return how many rows the threads of the team before this one have, and all of them."""
    through = add_from(team, own, 1)
    through = add_from(team, through, 2)
    through = add_from(team, through, 4)
    through = add_from(team, through, 8)
    through = add_from(team, through, 16)
    last = int32((cuda.threadIdx.x | (team.lanes - uint32(1))) & 31)
    return uint32(through - own), uint32(cuda.shfl_sync(ALL, int32(through), last))


@device_part
def add_from(team, through, distance):
    """Add what the thread so far before this one has, if there is one in the team."""
    other = uint32(cuda.shfl_up_sync(ALL, int32(through), distance))
    if team.lane >= uint32(distance):
        through = uint32(through + other)
    return through


@device_part
def list_rows(
    program, layout, counts, t, way, stride, direct, item, word, found, base, count, place, own,
    team, values,
):  # fmt: skip
    """List the `own` rows of a word's bits from `place` on, which may come round 0, as far as there
    is room; return how many of them are multiplied."""
    room, multiplied, numbers = room_of(team), uint32(0), int32(-1)
    if values is None and count == uint32(1) and place < room and uint32(place + own) <= room:
        at = address_shared(team.rows, uint32(team.own + place))
        if direct >= 0:
            first = address(program.direct, uint32(uint32(direct) + base))
            while found != uint32(0):
                put_shared(at, uint32(one(program.direct, first, lowest_bit(found))))
                found, at = uint32(found & uint32(found - uint32(1))), uint32(at + uint32(4))
        while found != uint32(0):
            put_shared(at, uint32(base + uint32(lowest_bit(found) * stride)))
            found, at = uint32(found & uint32(found - uint32(1))), uint32(at + uint32(4))
    if values is not None:
        numbers = counted_at(layout, way, t, word)
    while found != uint32(0):
        bit, nth, value = lowest_bit(found), uint32(0), float32(1)
        found = uint32(found & uint32(found - uint32(1)))
        if numbers >= 0:
            value = float32(min(counts[uint32(uint32(numbers) + bit)], int32(MAX_SPIKES)))
        while nth < count:
            if place < room:
                row = row_of(program, layout, item, nth, bit, stride, direct)
                team.rows[uint32(team.own + place)] = row
                if values is not None:
                    values[uint32(team.own + place)] = value
                if value != float32(1):
                    multiplied = uint32(multiplied + uint32(1))
            place, nth = uint32(place + uint32(1)), uint32(nth + uint32(1))
    return multiplied


@device_part
def row_of(program, layout, item, nth, bit, stride, direct):
    """Return the nth of the rows that a bit of an item's word brings."""
    at = uint32(uint32(uint32(4) * uint32(item + nth)) + uint32(Item.row))
    row = uint32(uint32(layout.items[at]) + uint32(bit * stride))
    return uint32(program.direct[uint32(uint32(direct) + row)]) if direct >= 0 else row


@device_part
def fill_up(layout, team, filled):
    """List rows that change nothing, up to a multiple of four."""
    beyond = uint32(filled + team.lane)
    while beyond < uint32(uint32(filled + uint32(3)) & uint32(0xFFFFFFFC)):
        team.rows[uint32(team.own + beyond)] = uint32(layout.nothing)
        beyond = uint32(beyond + team.lanes)


@device_part
def lowest_bit(bits):
    """Return the position of the lowest 1 in a number other than 0."""
    return uint32(cuda.ffs(int32(bits)) - 1)
