"""In which timesteps of a chunk spikes reach which sites, and with which rows; for `gather.py`.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...jit import Int32s, Int64s, Words, inner_kernel, kernel
from ...vectors import LANES, lowest_bit, shift_8
from ...wiring.program import NOTED, Connection


@kernel
def note_positions(
    connection: Int64s, spikes: Int32s, starts: Int64s, steps: int, index: Int32s, words: Words
) -> None:
    """Note where the spikes of each position begin: of p in timestep t at index[p steps + t].

    Counted from the first of the chunk, since the list itself may be longer than 2^31. Bit t of
    words[p] says whether there are any.
    """
    in_channels = np.int64(connection[Connection.in_channels])
    positions, one = np.uintp(connection[Connection.positions]), np.uintp(1)
    words[:positions] = 0
    for t in range(np.uintp(steps)):
        i, stop, at, beyond = starts[t], starts[t + one], np.uintp(t), in_channels
        for p in range(positions):
            index[at] = i - starts[0]
            at += np.uintp(steps)
            first = i
            while i < stop and spikes[np.uintp(i)] < beyond:
                i += 1
            words[p] |= np.uint64(i > first) << np.uint64(t)
            beyond += in_channels
        index[at] = i - starts[0]


@kernel
def note_visits(
    first_way: int,
    end_of_ways: int,
    ways: NDArray[np.int64],
    run_pointers: Int64s,
    runs: NDArray[np.int32],
    first: int,
    sites: int,
    before: int,
    steps: int,
    starts: Int64s,
    index: Int32s,
    words: Words,
    spikes: Int32s,
    visits: Int32s,
    visit_pointers: Int32s,
    row_pointers: Int32s,
    rows: Int32s,
) -> tuple[int, np.int64]:
    """Note in which timesteps spikes reach the sites from `first` on, and with which rows.

    Until `NOTED` rows or visits are noted. Returns the next site, and how many rows.
    """
    visited, noted, site, one = np.uintp(0), np.uintp(0), first, np.uintp(1)
    while site < sites and noted < NOTED and visited < NOTED:
        visit_pointers[site - first] = visited
        reached = np.uint64(0)
        for way in range(first_way, end_of_ways):
            pointer, base = ways[way, Connection.runs] + site, ways[way, Connection.index]
            for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
                for p in range(np.uintp(base + runs[run, 0]), np.uintp(base + runs[run, 1])):
                    reached |= words[p]
        while reached != 0:
            t = np.int64(lowest_bit(reached))
            reached &= reached - np.uint64(1)
            visits[visited], row_pointers[visited] = t, noted
            visited += one
            for way in range(first_way, end_of_ways):
                pointer, base = ways[way, Connection.runs] + site, ways[way, Connection.index]
                origin = starts[ways[way, Connection.start] + before - ways[way, Connection.delay]]
                for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
                    low = np.uintp(origin + index[np.uintp((base + runs[run, 0]) * steps + t)])
                    high = np.uintp(origin + index[np.uintp((base + runs[run, 1]) * steps + t)])
                    copy_rows(rows, noted, spikes, low, high, runs[run, 2])
                    noted += high - low
        site += 1
    visit_pointers[site - first], row_pointers[visited] = visited, noted
    return site, np.int64(noted)


@inner_kernel
def copy_rows(
    rows: Int32s, to: np.uintp, spikes: Int32s, low: np.uintp, high: np.uintp, constant: np.int32
) -> None:
    """Note the rows of spikes[low:high], eight at a time: most runs have fewer spikes."""
    lanes = np.uintp(LANES)
    shift_8(rows, to, spikes, low, constant)
    while low + lanes < high:
        low, to = low + lanes, to + lanes
        shift_8(rows, to, spikes, low, constant)


@kernel
def note_timesteps(
    first_way: int,
    end_of_ways: int,
    ways: NDArray[np.int64],
    run_pointers: Int64s,
    runs: NDArray[np.int32],
    before: int,
    steps: int,
    starts: Int64s,
    spikes: Int32s,
    visits: Int32s,
    visit_pointers: Int32s,
    row_pointers: Int32s,
    rows: Int32s,
) -> np.int64:
    """Do as `note_visits` for a layer of one site, which every spike reaches."""
    visited, noted = np.uintp(0), np.uintp(0)
    for t in range(steps):
        begin = noted
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.start] + before + t - ways[way, Connection.delay]
            low, high = np.uintp(starts[at]), np.uintp(starts[at + 1])
            if high > low:
                constant = runs[run_pointers[ways[way, Connection.runs]], 2]
                copy_rows(rows, noted, spikes, low, high, constant)
                noted += high - low
        if noted > begin:
            visits[visited], row_pointers[visited] = t, begin
            visited += np.uintp(1)
    visit_pointers[0], visit_pointers[1], row_pointers[visited] = 0, visited, noted
    return np.int64(noted)
