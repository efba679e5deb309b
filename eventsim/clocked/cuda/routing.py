"""Spikes on their way to a layer, on a GPU: see `layer.py`; the twin of `cpu/routing.py`.

Numbers that index are unsigned. For a signed index Numba tests whether it counts from the end, and
then the length of every array stands in registers, too: the kernel for fully connected networks
took 202 of them.
"""

from __future__ import annotations

from numba import cuda, float32, int32, int64, uint32

from ...jit import device_part
from ...operations import ACS, INPUT_EVENTS, MACS
from .layout import KINDS, Connection, Lists, Population, Ring, Span


@device_part
def rank(found, words, turn):
    """Return how many threads before one that found something did, how many in all, and the next
    turn; a barrier.

    All threads call it together. It notes them in `words`, of which there are three times as many
    as warps, from `turn` on: one third is written and read, and the one before it cleared.
    """
    thread, warps = uint32(cuda.threadIdx.x), uint32((cuda.blockDim.x + 31) // 32)
    warp, bit = uint32(thread >> uint32(5)), uint32(uint32(1) << uint32(thread & uint32(31)))
    if found:
        cuda.atomic.or_(words, uint32(turn + warp), bit)
    total = uint32(cuda.syncthreads_count(int32(1 if found else 0)))
    before, other = uint32(0), uint32(turn)
    if found:
        while other < uint32(turn + warp):
            before = uint32(before + uint32(cuda.popc(words[other])))
            other = uint32(other + uint32(1))
        lower = uint32(words[other] & uint32(bit - uint32(1)))
        before = uint32(before + uint32(cuda.popc(lower)))
    following = uint32(turn + warps) if turn < uint32(warps + warps) else uint32(0)
    if thread < warps:
        last = uint32(turn - warps) if turn > uint32(0) else uint32(warps + warps)
        words[uint32(last + thread)] = uint32(0)
    return before, total, following


@device_part
def waiting(program, layout, batch, block, sample, way, t):
    """Return begin and end of the spikes that come to a connection in timestep t."""
    source, delay = (
        program.connections[way, Connection.source],
        uint32(program.connections[way, Connection.delay]),
    )
    if delay > t:
        return uint32(0), uint32(0)
    then = uint32(t - delay)
    if source < 0:
        at = uint32(uint32(batch.ints[sample]) + then)
        return uint32(batch.ints[at]), uint32(batch.ints[uint32(at + uint32(1))])
    ring = uint32(source)
    slot = uint32(then & uint32(layout.rings[ring, Ring.last]))
    begin = uint32(
        uint32(layout.rings[ring, Ring.spikes]) + slot * uint32(layout.rings[ring, Ring.size])
    )
    count = uint32(block.ends[uint32(uint32(layout.rings[ring, Ring.ends]) + slot)])
    return begin, uint32(begin + count)


@device_part
def admit(program, way, to, source, values, begin, end, block, turn):
    """List from `to` on what of source[begin:end] gets past a max pool and delays, ascending.

    Returns how many, and the next turn of `rank`. A cell of the pool is listed once, with the
    largest value in it; `pooled` is left all 0.
    """
    ways, thread, threads = program.connections, uint32(cuda.threadIdx.x), uint32(cuda.blockDim.x)
    in_channels, reach = uint32(ways[way, Connection.in_channels]), ways[way, Connection.pooled]
    delay_flags, graded = ways[way, Connection.delayed], ways[way, Connection.graded] > 0
    most = uint32(end - begin)
    if reach >= 0:
        most = uint32(ways[way, Connection.pooled_cells])
        mark(program, way, source, values, begin, end, block.pooled)
        cuda.syncthreads()
    active, first = uint32(0), uint32(0)
    while first < most:
        i, cell, value, passes = uint32(first + thread), uint32(0), float32(1), False
        if i < most:
            if reach >= 0:
                cell, passes = i, block.pooled[i] > 0
                value = float32(block.pooled[i])
                block.pooled[i] = 0
            else:
                cell = uint32(source[uint32(begin + i)])
                channel = uint32(cell % in_channels)
                passes = program.delayed[uint32(uint32(delay_flags) + channel)] > 0
                if graded:
                    value = values[uint32(begin + i)]
        before, total, turn = rank(passes, block.words, turn)
        if passes:
            place = uint32(to + active + before)
            block.arrived[place] = cell
            block.arrived_values[place] = value
        active, first = uint32(active + total), uint32(first + threads)
    cuda.syncthreads()
    return active, turn


@device_part
def mark(program, way, source, values, begin, end, pooled):
    """Note in each cell of a max pool the largest value that arrives."""
    ways, i = program.connections, uint32(begin + uint32(cuda.threadIdx.x))
    in_channels, reach = (
        uint32(ways[way, Connection.in_channels]),
        uint32(ways[way, Connection.pooled]),
    )
    delay_flags, graded = ways[way, Connection.delayed], ways[way, Connection.graded] > 0
    while i < end:
        spike = uint32(source[i])
        position = uint32(spike // in_channels)
        channel = uint32(spike - position * in_channels)
        if delay_flags < 0 or program.delayed[uint32(uint32(delay_flags) + channel)] > 0:
            value = int32(values[i]) if graded else int32(1)
            at = uint32(reach + position)
            entry, stop = uint32(program.pointers[at]), uint32(program.pointers[at + uint32(1)])
            while entry < stop:
                cell = uint32(uint32(program.spans[entry, Span.row]) + channel)
                cuda.atomic.max(pooled, cell, value)
                entry = uint32(entry + uint32(1))
        i = uint32(i + uint32(cuda.blockDim.x))


@device_part
def list_rows(program, way, graded, source, values, begin, end, block, filled):
    """Append the weight row of each spike to the list of a layer of one site; return its length."""
    first = uint32(program.connections[way, Connection.direct])
    in_values = program.connections[way, Connection.graded] > 0
    k = uint32(cuda.threadIdx.x)
    while k < uint32(end - begin):
        i, slot = uint32(begin + k), uint32(filled + k)
        block.rows[slot] = program.direct[uint32(first + uint32(source[i]))]
        if graded:
            block.row_values[slot] = values[i] if in_values else float32(1)
        k = uint32(k + uint32(cuda.blockDim.x))
    return uint32(filled + (end - begin))


@device_part
def route(program, layout, way, population, source, begin, end, block):
    """Flag the sites that spikes reach, and note where in the list those of a position begin."""
    flag(program, way, population, source, begin, end, block.flags)
    ways, one, position = program.connections, uint32(1), uint32(cuda.threadIdx.x)
    in_channels, first = (
        uint32(ways[way, Connection.in_channels]),
        uint32(layout.lists[way, Lists.begins]),
    )
    while position <= uint32(ways[way, Connection.positions]):
        low, high = begin, end  # the first spike whose neuron is at least that of the position
        least = uint32(position * in_channels)
        while low < high:
            middle = uint32((low + high) >> one)
            if uint32(source[middle]) < least:
                low = uint32(middle + one)
            else:
                high = middle
        block.begins[uint32(first + position)] = low
        position = uint32(position + uint32(cuda.blockDim.x))


@device_part
def flag(program, way, population, source, begin, end, flags):
    """Flag the sites that spikes reach."""
    ways, one, i = program.connections, uint32(1), uint32(begin + uint32(cuda.threadIdx.x))
    in_channels, reach = (
        uint32(ways[way, Connection.in_channels]),
        uint32(ways[way, Connection.reach]),
    )
    groups, in_group = uint32(population[Population.groups]), uint32(ways[way, Connection.in_group])
    offset, sites = uint32(ways[way, Connection.offset]), uint32(population[Population.site])
    while i < end:
        spike, group = uint32(source[i]), uint32(0)
        position = uint32(spike // in_channels)
        if groups > one:
            group = uint32(uint32(offset + spike - position * in_channels) // in_group)
        at = uint32(reach + position)
        span, stop = uint32(program.pointers[at]), uint32(program.pointers[uint32(at + one)])
        while span < stop:
            site = uint32(program.spans[span, Span.site])
            beyond = uint32(site + uint32(program.spans[span, Span.sites]))
            while site < beyond:
                flags[uint32(sites + site * groups + group)] = 1
                site = uint32(site + one)
            span = uint32(span + one)
        i = uint32(i + uint32(cuda.blockDim.x))


@device_part
def sops_of(ways, way):
    """Return what a weight that a spike of a connection brings is counted as."""
    return uint32(MACS) if ways[way, Connection.graded] > 0 else uint32(ACS)


@device_part
def route_all(program, layout, batch, block, sample, number, t, turn, maps):
    """Route the spikes of every connection to a layer; a barrier.

    Returns how many rows are listed, whether anything came, and the next turn of `rank`.
    """
    population, ways, one = program.populations[number], program.connections, uint32(1)
    way, filled, head = uint32(population[Population.connection]), uint32(0), uint32(0)
    arrived = False
    beyond = uint32(way + uint32(population[Population.connections]))
    while way < beyond:
        begin, end = waiting(program, layout, batch, block, sample, way, t)
        arrived = arrived or end > begin
        source, values = block.spikes, block.values
        if ways[way, Connection.source] < 0:
            source, values = batch.ints, batch.values
        if layout.lists[way, Lists.arrived] >= 0 and end > begin:
            to = uint32(layout.lists[way, Lists.arrived])
            active, turn = admit(program, way, to, source, values, begin, end, block, turn)
            source, values = block.arrived, block.arrived_values
            begin, end = to, uint32(to + active)
        listed = maps is None or layout.rings[number, Ring.listed] > 0
        if cuda.threadIdx.x == 0:
            block.heads[head], block.heads[uint32(head + one)] = begin, end
            if end > begin:
                counter, rows = uint32(number * uint32(KINDS)), int64(end - begin)
                cuda.atomic.add(block.counters, uint32(counter + uint32(INPUT_EVENTS)), rows)
                if listed:
                    counter = uint32(counter + sops_of(ways, way))
                    rows = rows * int64(population[Population.channels])
                    cuda.atomic.add(block.counters, counter, rows)
        if end > begin:
            if listed:
                graded = population[Population.graded] > 0
                filled = list_rows(program, way, graded, source, values, begin, end, block, filled)
            else:
                route(program, layout, way, population, source, begin, end, block)
        way, head = uint32(way + one), uint32(head + uint32(2))
    cuda.syncthreads()
    return filled, arrived, turn


@device_part
def touch(layout, population, block, number, filled, pending, turn, maps):
    """List the sites with work, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags. Where all or the only one have work nothing is listed.
    """
    sites, threads = uint32(population[Population.sites]), uint32(cuda.blockDim.x)
    if population[Population.awake]:
        return sites, turn
    if maps is None or layout.rings[number, Ring.listed]:
        return uint32(1 if filled > uint32(0) or pending else 0), turn
    found, first = uint32(0), uint32(0)
    while first < sites:
        site, flagged = uint32(first + uint32(cuda.threadIdx.x)), False
        if site < sites:
            at = uint32(uint32(population[Population.site]) + site)
            flagged = block.flags[at] > 0
            block.flags[at] = 0
        before, total, turn = rank(flagged, block.words, turn)
        if flagged:
            block.touched[uint32(found + before)] = site
        found, first = uint32(found + total), uint32(first + threads)
    cuda.syncthreads()
    return found, turn
