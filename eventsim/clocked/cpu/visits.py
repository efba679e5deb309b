"""In which timesteps of a chunk spikes reach which sites, and with which rows; for `sites.py`.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel_part
from ...vectors import LANES, lowest_bit, shift_8
from ...wiring.program import NOTED, Connection, Population, Program
from .state import State


@kernel_part
def note_positions(
    words: Words | None, first: int, connection: Int64s, spikes: Int32s, starts: Int64s,
    steps: int, index: Int32s,
) -> None:  # fmt: skip
    """Note where the spikes of each position begin: of p in timestep t at index[p steps + t].

    Counted from the first of the chunk, since the list itself may be longer than 2^31. Bit t of
    words[first + p] says whether there are any.
    """
    if words is None:
        return
    own = words[first:]
    in_channels = np.int64(connection[Connection.in_channels])
    positions, one = np.uintp(connection[Connection.positions]), np.uintp(1)
    own[:positions] = 0
    for t in range(np.uintp(steps)):
        i, stop, at, beyond = starts[t], starts[t + one], np.uintp(t), in_channels
        for p in range(positions):
            index[at] = i - starts[0]
            at += np.uintp(steps)
            begin = i
            while i < stop and spikes[np.uintp(i)] < beyond:
                i += 1
            own[p] |= np.uint64(i > begin) << np.uint64(t)
            beyond += in_channels
        index[at] = i - starts[0]


@kernel_part
def note_visits(
    words: Words | None, program: Program, population: Int64s, state: State, first: int,
    stop: int, before: int, steps: int,
) -> tuple[int, np.int64, np.int64]:  # fmt: skip
    """Note in which timesteps spikes reach the sites first .. stop - 1, and with which rows.

    Until `NOTED` rows or visits are noted. The chunk of `steps` timesteps begins `before` after
    the stretch. Returns the next site, how many rows, and how many of them are multiplied.
    """
    if words is None:
        return first, np.int64(0), np.int64(0)
    ways, runs, run_pointers = program.connections, program.runs, program.run_pointers
    starts, spikes, index = state.starts, state.spikes, state.begins
    noted, graded = state.noted, population[Population.graded] > 0
    first_way = population[Population.connection]
    end_of_ways = first_way + population[Population.connections]
    visited, rows, multiplied, one = np.uintp(0), np.uintp(0), np.uintp(0), np.uintp(1)
    site = first
    while site < stop and rows < NOTED and visited < NOTED:
        noted.pointers[site - first] = visited
        reached = np.uint64(0)
        for way in range(first_way, end_of_ways):
            pointer, base = ways[way, Connection.runs] + site, ways[way, Connection.index]
            for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
                for p in range(np.uintp(base + runs[run, 0]), np.uintp(base + runs[run, 1])):
                    reached |= words[p]
        while reached != 0:
            t = np.int64(lowest_bit(reached))
            reached &= reached - np.uint64(1)
            noted.timesteps[visited], noted.row_pointers[visited] = t, rows
            visited += one
            for way in range(first_way, end_of_ways):
                pointer, base = ways[way, Connection.runs] + site, ways[way, Connection.index]
                origin = starts[ways[way, Connection.arriving] + before]
                for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
                    low = np.uintp(origin + index[np.uintp((base + runs[run, 0]) * steps + t)])
                    high = np.uintp(origin + index[np.uintp((base + runs[run, 1]) * steps + t)])
                    copy_rows(noted.rows, rows, spikes, low, high, runs[run, 2])
                    if graded:
                        multiplied += copy_values(noted.values, rows, ways[way], state, low, high)
                    rows += high - low
        site += 1
    noted.pointers[site - first], noted.row_pointers[visited] = visited, rows
    return site, np.int64(rows), np.int64(multiplied)


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


@inner_kernel
def copy_values(
    values: Float32s | None, to: np.uintp, connection: Int64s, state: State, low: np.uintp,
    high: np.uintp,
) -> np.uintp:  # fmt: skip
    """Note what the rows of spikes[low:high] are multiplied by; return for how many it is not 1."""
    if values is None:
        return np.uintp(0)
    if connection[Connection.graded]:
        multiplied = np.uintp(0)
        for i in range(high - low):
            value = state.spike_values[low + i]
            values[to + i] = value
            multiplied += np.uintp(value != np.float32(1.0))
        return multiplied
    for i in range(high - low):
        values[to + i] = 1.0
    return np.uintp(0)


@kernel_part
def note_timesteps(
    program: Program, population: Int64s, state: State, before: int, steps: int
) -> tuple[np.int64, np.int64]:
    """Do as `note_visits` for a layer of one site, which every spike reaches."""
    ways, starts, noted = program.connections, state.starts, state.noted
    first_way, graded = population[Population.connection], population[Population.graded] > 0
    end_of_ways = first_way + population[Population.connections]
    visited, rows, multiplied = np.uintp(0), np.uintp(0), np.uintp(0)
    for t in range(steps):
        begin = rows
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.arriving] + before + t
            low, high = np.uintp(starts[at]), np.uintp(starts[at + 1])
            if high > low:
                constant = program.runs[program.run_pointers[ways[way, Connection.runs]], 2]
                copy_rows(noted.rows, rows, state.spikes, low, high, constant)
                if graded:
                    multiplied += copy_values(noted.values, rows, ways[way], state, low, high)
                rows += high - low
        if rows > begin:
            noted.timesteps[visited], noted.row_pointers[visited] = t, begin
            visited += np.uintp(1)
    noted.pointers[0], noted.pointers[1], noted.row_pointers[visited] = 0, visited, rows
    return np.int64(rows), np.int64(multiplied)
