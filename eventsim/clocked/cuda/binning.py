"""Raw events -> bits of the input, on a GPU: the same as `events/binning.py` makes of them."""

from __future__ import annotations

from numba import cuda, int32, int64, uint32, uint64

from ...jit import device_kernel, device_part
from ...operations import COUNTERS
from .layout import DeviceLayout
from .state import Outcome, State, Stretch

RECORD = 13  # bytes of an event: time (8), x (2), y (2), polarity
EARLY, LATE, MERGED, FAULTY = range(4)  # columns of `Outcome.numbers`, behind the counters
SEEN = 4


@device_kernel
def next_stretch(
    layout: DeviceLayout, stretch: Stretch, parts: int, layers: int, state: State, outcome: Outcome
) -> None:
    """Bin the events of a stretch; `parts` blocks of threads share those of a sample.

    Order does not matter: bits are set, and events of a cell counted, with atomics of integers.
    Where events do not fit, by place, time or order, it is noted, and the host finds out which.
    """
    block = uint32(cuda.blockIdx.x)
    sample, part = uint32(block // uint32(parts)), uint32(block % uint32(parts))
    first, stop = stretch.firsts[sample], stretch.firsts[uint32(sample + 1)]
    start, length = stretch.starts[sample], uint64(stretch.lengths[sample])
    begin, end = uint64(stretch.first), uint64(stretch.first + stretch.steps)
    numbers = outcome.numbers[sample]
    seen = uint32(layers * len(COUNTERS))
    i = int64(first + part * cuda.blockDim.x + cuda.threadIdx.x)
    while i < stop:
        at = uint64(i * RECORD)
        t = number_at(stretch.events, at, 8)
        x = uint32(number_at(stretch.events, uint64(at + uint64(8)), 2))
        y = uint32(number_at(stretch.events, uint64(at + uint64(10)), 2))
        faulty = x >= uint32(stretch.width) or y >= uint32(stretch.height)
        faulty = faulty or (t >> uint64(63)) != uint64(0)
        if i > first:
            faulty = faulty or t < number_at(stretch.events, uint64(at - uint64(RECORD)), 8)
        step, since = uint64(0), uint64(t - start)
        if t >= start:
            if (since | uint64(stretch.dt_us)) >> uint64(32) == uint64(
                0
            ):  # a fifth of the instructions
                step = uint64(uint32(since) // uint32(stretch.dt_us))
            else:
                step = since // uint64(stretch.dt_us)
        if faulty:
            numbers[uint32(seen + FAULTY)] = 1
        elif t < start:
            cuda.atomic.add(numbers, uint32(seen + EARLY), 1)
        elif step >= length:
            cuda.atomic.add(numbers, uint32(seen + LATE), 1)
        elif step < begin or step >= end:
            numbers[uint32(seen + FAULTY)] = 1  # the host cut them where they are out of order
        else:
            cell = uint32(uint32(y * uint32(stretch.width) + x) * uint32(stretch.polarities))
            if stretch.polarities == 2 and stretch.events[uint64(at + uint64(12))] > 0:
                cell = uint32(cell + uint32(1))
            if mark(layout, state, sample, uint32(step - begin), cell):
                cuda.atomic.add(numbers, uint32(seen + MERGED), 1)
        i = int64(i + parts * cuda.blockDim.x)


@device_part
def number_at(events, at, size):
    """Return an unsigned number of so many bytes, the lowest first."""
    number = uint64(0)
    for byte in range(size):
        number |= uint64(events[uint64(at + uint64(byte))]) << uint64(8 * byte)
    return number


@device_part
def mark(layout, state, sample, t, cell):
    """Set the bit of a cell in a timestep of the stretch, and tell whether it was set already.

    Counts the cell's events if that is due.
    """
    row = uint32(t + uint32(layout.remembered))
    word = uint32(row * uint32(layout.words) + (cell >> uint32(5)))
    bit = uint32(uint32(1) << (cell & uint32(31)))
    before = cuda.atomic.or_(state.bits[sample], word, bit)
    if layout.input_counted:
        number = uint32(row * uint32(layout.numbers) + cell)
        cuda.atomic.add(state.counts[sample], number, int32(1))
    return (before & bit) != uint32(0)
