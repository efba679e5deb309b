"""What will happen without an event: delayed spikes, and sites in which a neuron fires by itself.

Spikes that wait stand in one ring for each population, in the order of their emission; every way
with a delay reads it from its own head. Sites stand in a binary heap, each at most once, and move
in it when they are updated, so it holds no outdated entries and needs no more room than sites.
"""

from __future__ import annotations

from ..jit import Int64s, kernel
from .tables import NEVER, WAY, Header, Queue, Scalar, Way


@kernel
def next_due(tables: Int64s, ints: Int64s) -> int:
    """Return the time of the next instant that is no event's, NEVER if there is none."""
    time = NEVER
    if ints[Scalar.waiting] > 0:
        time = ints[tables[Header.due] + ints[tables[Header.heap]]]
    for number in range(tables[Header.ways]):
        way = tables[Header.way] + number * WAY
        if tables[way + Way.delay] > 0:
            queue, head = tables[way + Way.queue], ints[tables[Header.heads] + number]
            if head < ints[queue + Queue.tail]:
                entry = ints[queue + Queue.offset] + 3 * (head & ints[queue + Queue.mask])
                time = min(time, ints[entry] + tables[way + Way.delay])
    return time


@kernel
def crowded(tables: Int64s, ints: Int64s) -> bool:
    """Tell whether the next instant might overflow a queue."""
    for number in range(tables[Header.ways]):
        way = tables[Header.way] + number * WAY
        if tables[way + Way.delay] > 0:
            queue, head = tables[way + Way.queue], ints[tables[Header.heads] + number]
            waiting = ints[queue + Queue.tail] - head
            if waiting + ints[queue + Queue.burst] > ints[queue + Queue.mask] + 1:
                return True
    return False


@kernel
def enqueue(ints: Int64s, queue: int, t: int, neuron: int, count: int) -> None:
    """Let a spike wait."""
    tail = ints[queue + Queue.tail]
    entry = ints[queue + Queue.offset] + 3 * (tail & ints[queue + Queue.mask])
    ints[entry], ints[entry + 1], ints[entry + 2] = t, neuron, count
    ints[queue + Queue.tail] = tail + 1


@kernel
def sort(ints: Int64s, first: int, count: int) -> None:
    """Sort a stretch, ascending, with Shell's method: the sort of NumPy allocates."""
    gap = 1
    while gap < count:
        gap = 3 * gap + 1
    while gap > 1:
        gap //= 3
        for i in range(first + gap, first + count):
            value, place = ints[i], i
            while place >= first + gap and ints[place - gap] > value:
                ints[place] = ints[place - gap]
                place -= gap
            ints[place] = value


@kernel
def take_due(tables: Int64s, ints: Int64s, t: int) -> None:
    """Move the sites that are due at t from the heap to the list `ready`, ascending."""
    ready, due, heap = tables[Header.ready], tables[Header.due], tables[Header.heap]
    count = 0
    while ints[Scalar.waiting] > 0 and ints[due + ints[heap]] <= t:
        ints[ready + count] = ints[heap]
        count += 1
        set_due(tables, ints, ints[heap], NEVER)
    sort(ints, ready, count)
    ints[Scalar.ready] = count


@kernel
def set_due(tables: Int64s, ints: Int64s, site: int, t: int) -> None:
    """Note when a site fires by itself; NEVER takes it out of the heap."""
    due, places, heap = tables[Header.due], tables[Header.places], tables[Header.heap]
    place, last = ints[places + site], ints[Scalar.waiting] - 1
    ints[due + site] = t
    if t < NEVER:
        if place < 0:
            place = ints[Scalar.waiting]
            ints[Scalar.waiting] += 1
        put(tables, ints, place, site)
    elif place >= 0:
        ints[places + site] = -1
        ints[Scalar.waiting] = last
        if place < last:
            put(tables, ints, place, ints[heap + last])


@kernel
def put(tables: Int64s, ints: Int64s, place: int, site: int) -> None:
    """Put a site into the heap, in the place that is free, and then where it belongs."""
    due, places, heap = tables[Header.due], tables[Header.places], tables[Header.heap]
    t, waiting = ints[due + site], ints[Scalar.waiting]
    while place > 0:
        above = ints[heap + (place - 1) // 2]
        if ints[due + above] <= t:
            break
        ints[heap + place], ints[places + above] = above, place
        place = (place - 1) // 2
    while 2 * place + 1 < waiting:
        child = 2 * place + 1
        if child + 1 < waiting and (
            ints[due + ints[heap + child + 1]] < ints[due + ints[heap + child]]
        ):
            child += 1
        below = ints[heap + child]
        if ints[due + below] >= t:
            break
        ints[heap + place], ints[places + below] = below, place
        place = child
    ints[heap + place], ints[places + site] = site, place
