"""Maps of plain neurons on a GPU, four channels a thread: accumulate, before `layer.py` fires.

A row of weights is read sixteen bytes (or four numbers of float16) at a time, and what it takes to
find the row is done once for four channels. Each membrane meets its weights in the same order.
"""

from __future__ import annotations

from numba import cuda, int64, uint32

from ...jit import device_part, four
from ...operations import ACS
from .layout import KINDS, Connection, Entry, Lists, Population
from .updates import catch_up_one, factors_of, site_of


@device_part
def accumulate_quads(program, layout, batch, block, number, population, touched, t, maps):
    """Let the touched sites of a layer catch up, and add everything that arrives."""
    channels, item = uint32(population[Population.channels]), uint32(cuda.threadIdx.x)
    quads, one = uint32(channels >> uint32(2)), uint32(1)
    while item < uint32(touched * quads):
        nth = uint32(item // quads)
        channel = uint32(uint32(item - nth * quads) << uint32(2))
        site = site_of(layout, population, block, number, nth, maps)
        last = block.last[uint32(uint32(population[Population.site]) + site)]
        power, gain = factors_of(program, population, t, last)
        at = uint32(uint32(population[Population.neuron]) + site * channels + channel)
        u = block.membranes
        a = catch_up_one(program, population, u[at], channel, power, gain)
        second, third, fourth = uint32(at + one), uint32(at + uint32(2)), uint32(at + uint32(3))
        b = catch_up_one(program, population, u[second], uint32(channel + one), power, gain)
        c = catch_up_one(program, population, u[third], uint32(channel + uint32(2)), power, gain)
        d = catch_up_one(program, population, u[fourth], uint32(channel + uint32(3)), power, gain)
        a, b, c, d, added = add_to_four(
            program, layout, batch, block, population, site, channel, a, b, c, d
        )  # fmt: skip
        u[at], u[second], u[third], u[fourth] = a, b, c, d
        if channel == uint32(0) and added > uint32(0):
            counter = uint32(number * uint32(KINDS) + uint32(ACS))
            cuda.atomic.add(block.counters, counter, int64(added) * int64(channels))
        item = uint32(item + uint32(cuda.blockDim.x))


@device_part
def add_to_four(program, layout, batch, block, population, site, channel, a, b, c, d):
    """Add to four membranes of a site what arrives; return them, and how many rows."""
    ways, one, added, head = program.connections, uint32(1), uint32(0), uint32(0)
    way = uint32(population[Population.connection])
    end = uint32(way + uint32(population[Population.connections]))
    while way < end:
        source = block.spikes
        if layout.lists[way, Lists.arrived] >= 0:
            source = block.arrived
        elif ways[way, Connection.source] < 0:
            source = batch.ints
        stride, in_channels = (
            uint32(ways[way, Connection.stride]),
            uint32(ways[way, Connection.in_channels]),
        )
        first = uint32(uint32(ways[way, Connection.incoming]) + site)
        entry = uint32(program.incoming_pointers[first])
        stop = uint32(program.incoming_pointers[uint32(first + one)])
        if block.heads[head] == block.heads[uint32(head + one)]:
            entry = stop
        while entry < stop:
            position = uint32(program.incoming[entry, Entry.position])
            at = uint32(uint32(layout.lists[way, Lists.begins]) + position)
            i, beyond = uint32(block.begins[at]), uint32(block.begins[uint32(at + one)])
            row = uint32(uint32(program.incoming[entry, Entry.row]) + channel)
            least, added = uint32(position * in_channels), uint32(added + beyond - i)
            while i < beyond:
                at = uint32(row + (uint32(source[i]) - least) * stride)
                e, f, g, h = four(program.weights, at)
                a, b, c, d = a + e, b + f, c + g, d + h
                i = uint32(i + one)
            entry = uint32(entry + one)
        way, head = uint32(way + one), uint32(head + uint32(2))
    return a, b, c, d, added
