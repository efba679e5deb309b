"""The kernel that puts events on a grid of timesteps, a stretch of these at a time.

In: a packet of events. Out: the cells of each timestep that is closed, ascending. Called by
`binning.py`, and by the clocked engine.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ..jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel, kernel_part
from ..vectors import lowest_bit, sort_16, sort_32, sort_64
from .arrays import Events


class Marked(NamedTuple):
    """A timestep that stays open, has many events, or several in a cell: its cells are bits.

    A second level has a bit for each word of these that is not 0: reading them out gives the cells
    sorted, each once.
    """

    words: Words
    level: Words
    number: Float32s  # events in each cell; empty for "binary"


# Up to so many events of a timestep are sorted as they are (`vectors.sort_64`), more are marked. On
# N-MNIST at 1 ms `next_stretch` takes 16 us so, and took 27 with all of them marked; from 64 on, as
# in DVS Gesture at 20 ms, there is no difference.
FEW = 64


class Place(IntEnum):
    """Where a binner is: columns of its `numbers`. `Binner.state` has those before `event`."""

    waiting = 0  # events in the open timestep
    step = 1  # timesteps handed out; the next one is open
    early = 2
    late = 3
    filled = 4  # cells handed out
    event = 5  # number of the next event of the packet


class Packet(NamedTuple):
    """A packet on its grid, for `next_stretch`."""

    events: Events
    start_us: int
    dt_us: int
    width: int
    polarities: int
    limit: int  # the grid has no timestep after it
    until: int  # timesteps before it are closed at the end of the packet
    longest: int  # timesteps in a stretch


class Stretch(NamedTuple):
    """Timesteps that were closed, as in `BinnedEvents`; the next ones overwrite them."""

    pointers: Int64s
    cells: Int32s  # with room at the end for a packet's cells as they come, see `Binner.take`
    values: Float32s


@kernel
def next_stretch(packet: Packet, marked: Marked, numbers: Int64s, stretch: Stretch) -> int:
    """Bin the next events of a packet up to the end of a stretch; return its timesteps.

    No timesteps are the end of the packet.
    """
    events, (pointers, cells, values) = packet.events, stretch
    n, j, first = len(events), numbers[Place.event], numbers[Place.step]
    end = min(first + packet.longest, packet.limit)
    while j < n and events[j].t < np.uint64(packet.start_us):
        j += 1
        numbers[Place.early] += 1
    # In passes, each a function: all of it in one has more variables than registers, and took
    # 25 us where these take 16.
    listed = j
    j, step = _list_cells(packet, listed, first, end, pointers, cells)
    filled = _sort_timesteps(marked, numbers, step - first, j - listed, pointers, cells, values)
    if j == n and step < min(packet.until, end):
        filled = _read_out(marked, cells, values, filled)
        numbers[Place.waiting] = 0
        while step < min(packet.until, end):
            step += 1
            pointers[step - first] = filled
    if step == packet.limit:
        numbers[Place.late] += n - j
        j = n
    numbers[Place.step], numbers[Place.event] = step, j
    numbers[Place.filled] += filled
    return step - first


@kernel_part
def _list_cells(
    packet: Packet, event: int, first: int, end: int, pointers: Int64s, cells: Int32s
) -> tuple[int, int]:
    """List the cells of events at the end of `cells`, and where in it each timestep ends.

    Returns the next event, and the timestep that is open.
    """
    events, start, dt = packet.events, np.uint64(packet.start_us), np.uint64(packet.dt_us)
    width, polarities = np.uint64(packet.width), np.uint64(packet.polarities)
    # Unsigned, so that no index is tested for counting from the end: with these tests `bin_events`
    # took 8 % longer on N-MNIST.
    n, one, j = np.uintp(len(events)), np.uintp(1), np.uintp(event)
    ahead = np.uintp(len(cells) - FEW) - n - j
    pointers[0], step = ahead + j, first
    while j < n and step < end:
        closes = start + np.uint64(step + 1) * dt
        while j < n and events[j].t < closes:
            pixel = np.uint64(events[j].y) * width + np.uint64(events[j].x)
            cells[ahead + j] = pixel * polarities + (np.uint64(events[j].on) & (polarities - one))
            j += one
        if j == n:
            break
        step += 1
        pointers[step - first] = ahead + j
        if events[j].t - closes >= dt:  # silent timesteps
            reached = int(np.int64((events[j].t - start) // dt))
            while step < min(reached, end):
                step += 1
                pointers[step - first] = ahead + j
    return int(np.int64(j)), step


@kernel_part
def _sort_timesteps(
    marked: Marked,
    numbers: Int64s,
    steps: int,
    listed: int,
    pointers: Int64s,
    cells: Int32s,
    values: Float32s,
) -> np.int64:
    """Put the listed cells in order at the front, timestep by timestep; mark those of no timestep.

    What a timestep has at the front ends before what it has in the list begins.
    """
    waiting, filled, begin = numbers[Place.waiting], np.uintp(0), np.uintp(pointers[0])
    last = begin + np.uintp(listed)
    pointers[0] = 0
    for step in range(1, steps + 1):
        stop = np.uintp(pointers[step])
        if waiting == 0 and _sort(cells, values, begin, stop - begin, filled):
            filled += stop - begin
        else:
            _mark(marked, cells, begin, stop)
            filled, waiting = np.uintp(_read_out(marked, cells, values, filled)), 0
        pointers[step], begin = filled, stop
    _mark(marked, cells, begin, last)
    numbers[Place.waiting] = waiting + np.int64(last - begin)
    return np.int64(filled)


@inner_kernel
def _sort(cells: Int32s, values: Float32s, begin: int, count: int, end: int) -> bool:
    """Put so many cells in order at `end`; tell whether they are few, and none is there twice."""
    if count == 0:
        return True
    if count > FEW:
        return False
    if count <= 16:
        pairs = sort_16(cells, begin, count, end, values)
    elif count <= 32:
        pairs = sort_32(cells, begin, count, end, values)
    else:
        pairs = sort_64(cells, begin, count, end, values)
    return pairs + pairs == count * (count - np.uintp(1))


@inner_kernel
def _mark(marked: Marked, cells: Int32s, begin: int, stop: int) -> None:
    """Set the bits of listed cells, and count them."""
    words, level, number = marked.words, marked.level, marked.number
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    for k in range(begin, stop):
        cell = np.uint64(cells[k])
        word = cell >> six
        words[word] |= one << (cell & low)
        level[word >> six] |= one << (word & low)
        if len(number) > 0:
            number[cell] += np.float32(1)


@kernel_part
def _read_out(marked: Marked, cells: Int32s, values: Float32s, filled: int) -> np.int64:
    """Append the cells whose bits are set, ascending, and clear them; return the new end."""
    words, level, number = marked.words, marked.level, marked.number
    end = np.uintp(filled)
    one, six = np.uint64(1), np.uint64(6)
    for part in range(np.uintp(len(level))):
        left = level[part]
        level[part] = 0
        while left != 0:
            word = (np.uint64(part) << six) + lowest_bit(left)
            left &= left - one
            bits = words[word]
            words[word] = 0
            while bits != 0:
                cell = (word << six) + lowest_bit(bits)
                bits &= bits - one
                cells[end] = cell
                values[end] = 1
                if len(number) > 0:
                    values[end] = number[cell]
                    number[cell] = 0
                end += np.uintp(1)
    return np.int64(end)
