"""Lists of what is not 0, timestep by timestep: spikes, and gradients of membranes.

In: bits or numbers of a layer, as `dense.py` leaves them. Out: `Arrivals` for the layer behind or
before. Called by `stack.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.errors import EventsimError
from eventsim.events.arrays import InputShape
from eventsim.events.binning import BinnedEvents
from eventsim.jit import Float32s, Int32s, Int64s, Words, kernel
from eventsim.vectors import lowest_bit

from .neurons import Arrivals


class BinnedBatch(NamedTuple):
    """Recordings on a grid of timesteps as a batch for `SpikingNetwork`, without dense frames.

    Timestep t of sample i has the cells[p[t]:p[t + 1]] with p = pointers[i * steps:], which are
    numbered as in a frame: (polarity * height + y) * width + x.
    """

    samples: int
    steps: int
    input_shape: InputShape  # (polarities or channels, height, width), or (units,)
    pointers: Int64s  # (samples * steps + 1,)
    cells: Int32s
    values: Float32s | None  # the value of each cell; None: all 1

    @staticmethod
    def of(several: Sequence[BinnedEvents]) -> BinnedBatch:
        """Return binned events of one shape and length as a batch.

        Raises `EventsimError` where they have several, or there are none.
        """
        kinds = {(one.input_shape, one.steps) for one in several}
        if len(kinds) != 1:
            raise EventsimError(
                f"binned events have (input_shape, steps) {sorted(kinds)}, expected one for all"
            )
        ((shape, steps),) = kinds
        counts = [np.diff(one.pointers) for one in several]
        return BinnedBatch(
            len(several), steps, shape, np.concatenate([[0], *counts]).cumsum(),
            np.concatenate([channel_first(one) for one in several]).astype(np.int32),
            np.concatenate([one.values for one in several]),
        )  # fmt: skip


def channel_first(binned: BinnedEvents) -> Int32s:
    """Return the numbers of the cells in the order (channel, y, x)."""
    channels, height, width = (*binned.input_shape, 1, 1)[:3]
    pixel, channel = np.divmod(binned.cells, channels)
    return channel * (height * width) + pixel


def list_spikes(words: Words, blocks: int, width: int) -> Arrivals:
    """Return the spikes of words (samples * steps, blocks), ascending in each timestep."""
    counts = np.bitwise_count(words).reshape(-1, blocks).sum(1, dtype=np.int64)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    rows = np.empty(pointers[-1], np.int32)
    fill_spikes(words, blocks, width, rows)
    return Arrivals(pointers, rows, None)


@kernel
def fill_spikes(words: Words, blocks: int, width: int, rows: Int32s) -> None:
    """Write the numbers of all channels whose bits are 1, word by word."""
    to = np.uintp(0)
    for at in range(np.uintp(len(words))):
        bits = words[at]
        if bits != 0:
            channel = np.int64(at) % blocks * width
            while bits != 0:
                rows[to] = channel + np.int64(lowest_bit(bits))
                bits &= bits - np.uint64(1)
                to += np.uintp(1)


def dense_spikes(words: Words, blocks: int, width: int, channels: int) -> NDArray[np.float32]:
    """Return words (..., blocks) as numbers 0 and 1, (words / blocks, channels)."""
    spikes = np.empty((len(words) // blocks, channels), np.float32)
    fill_dense(words, blocks, width, spikes)
    return spikes


@kernel
def fill_dense(words: Words, blocks: int, width: int, spikes: NDArray[np.float32]) -> None:
    """Write each bit as a number."""
    for row in range(spikes.shape[0]):
        for channel in range(spikes.shape[1]):
            word = words[row * blocks + channel // width]
            spikes[row, channel] = np.float32((word >> np.uint64(channel % width)) & np.uint64(1))


def list_gradients(membranes: Float32s, channels: int) -> Arrivals:
    """Return the numbers of (samples * steps, channels) that are not 0."""
    pointers = np.zeros(len(membranes) // channels + 1, np.int64)
    # As large as may be: what is not written to takes no memory.
    rows, values = np.empty(len(membranes), np.int32), np.empty(len(membranes), np.float32)
    filled = fill_gradients(membranes, channels, pointers, rows, values)
    return Arrivals(pointers, rows[:filled], values[:filled])


@kernel
def fill_gradients(
    membranes: Float32s, channels: int, pointers: Int64s, rows: Int32s, values: Float32s
) -> np.int64:
    """Write what is not 0, and where each timestep begins; return how many there are."""
    to, at = np.uintp(0), np.uintp(0)
    for row in range(np.uintp(len(pointers) - 1)):
        for channel in range(np.uintp(channels)):
            value = membranes[at]
            if value != 0:
                rows[to], values[to] = channel, value
                to += np.uintp(1)
            at += np.uintp(1)
        pointers[row + np.uintp(1)] = to
    return np.int64(to)
