"""In which timesteps of a chunk spikes reach which sites, and with which rows.

For `gather.py` and `sites.py`.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel_part
from ...operations import ACS, MACS
from ...vectors import LANES, lowest_bit, shift_8
from ...wiring.program import NOTED, Connection, Population, Program
from .emission import note_visit
from .state import State


@kernel_part
def note_positions(
    words: Words | None, program: Program, connection: Int64s, state: State, before: int, steps: int
) -> tuple[np.int64, np.int64]:  # fmt: skip
    """Note where the spikes of each position begin: of p in timestep t at index[t positions + p],
    with one position more, where they end.

    Counted from the first of the chunk, since the list itself may be longer than 2^31. Bit t of a
    position's word says whether there are any. The chunk begins `before` timesteps after the
    stretch. Returns how many sites they reach in all, and how many of these with a value other
    than 1.
    """
    reached, multiplied = np.int64(0), np.int64(0)
    if words is None:
        return reached, multiplied
    first, spikes = connection[Connection.index], state.spikes
    own, index = words[first:], state.begins[first * steps :]
    starts = state.starts[connection[Connection.arriving] + before :]
    fan_outs = program.fan_outs[connection[Connection.fan_out] :]
    in_channels = np.uint32(connection[Connection.in_channels])
    graded = connection[Connection.graded] > 0
    positions, one = np.uintp(connection[Connection.positions]), np.uintp(1)
    own[:positions] = 0
    at = np.uintp(0)
    for t in range(np.uintp(steps)):
        i, stop, p = np.uintp(starts[t]), np.uintp(starts[t + one]), np.uintp(0)
        while i < stop:
            position, begin = np.uintp(np.uint32(spikes[i]) // in_channels), i
            beyond = np.int64(position + one) * np.int64(in_channels)
            while i < stop and spikes[i] < beyond:
                i += one
            p = fill_index(index, at, p, position, np.int64(begin) - starts[0])
            own[position] |= np.uint64(1) << np.uint64(t)
            reached += np.int64(i - begin) * fan_outs[position]
            if graded:
                for k in range(begin, i):
                    other = state.spike_values[k] != np.float32(1.0)
                    multiplied += fan_outs[position] * np.int64(other)
        fill_index(index, at, p, positions, np.int64(stop) - starts[0])
        at += positions + one
    return reached, multiplied


@inner_kernel
def fill_index(
    index: Int32s, row: np.uintp, p: np.uintp, last: np.uintp, value: np.int64
) -> np.uintp:
    """Fill a row from p up to and with `last`; return what follows."""
    for k in range(row + p, row + last + np.uintp(1)):
        index[k] = value
    return last + np.uintp(1)


@kernel_part
def note_visits(
    words: Words | None, program: Program, population: Int64s, state: State, first: int,
    stop: int, before: int, steps: int,
) -> tuple[int, np.int64]:  # fmt: skip
    """Note in which timesteps spikes reach the sites first .. stop - 1, and with which rows.

    Until `NOTED` rows or visits are noted. The chunk of `steps` timesteps begins `before` after
    the stretch. Returns the next site, and how many visits were noted.
    """
    if words is None:
        return first, np.int64(0)
    ways, runs, run_pointers = program.connections, program.runs, program.run_pointers
    starts, spikes, index = state.starts, state.spikes, state.begins
    noted, graded = state.noted, population[Population.graded] > 0
    first_way = population[Population.connection]
    end_of_ways = first_way + population[Population.connections]
    visits, rows, one, site = np.uintp(0), np.uintp(0), np.uintp(1), first
    sites = population[Population.sites]
    while site < stop and rows < NOTED and visits < NOTED:
        noted.pointers[site - first] = visits
        reached = seen(words, program, population, site)
        while reached != 0:
            t = np.int64(lowest_bit(reached))
            reached &= reached - np.uint64(1)
            noted.timesteps[visits], noted.row_pointers[visits] = t, rows
            note_visit(state.visited, t, site, sites)
            visits += one
            for way in range(first_way, end_of_ways):
                pointer = ways[way, Connection.runs] + site
                base = ways[way, Connection.index] * steps
                base += t * (ways[way, Connection.positions] + 1)
                origin = starts[ways[way, Connection.arriving] + before]
                for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
                    low = np.uintp(origin + index[np.uintp(base + runs[run, 0])])
                    high = np.uintp(origin + index[np.uintp(base + runs[run, 1])])
                    copy_rows(noted.rows, rows, spikes, low, high, runs[run, 2])
                    if graded:
                        copy_values(noted.values, rows, ways[way], state, low, high)
                    rows += high - low
        site += 1
    noted.pointers[site - first], noted.row_pointers[visits] = visits, rows
    return site, np.int64(visits)


@inner_kernel
def seen(words: Words, program: Program, population: Int64s, site: int) -> np.uint64:
    """Return bits of the timesteps in which spikes reach a site."""
    ways, runs, run_pointers = program.connections, program.runs, program.run_pointers
    first_way, reached = population[Population.connection], np.uint64(0)
    for way in range(first_way, first_way + population[Population.connections]):
        pointer, base = ways[way, Connection.runs] + site, ways[way, Connection.index]
        for run in range(run_pointers[pointer], run_pointers[pointer + 1]):
            for p in range(np.uintp(base + runs[run, 0]), np.uintp(base + runs[run, 1])):
                reached |= words[p]
    return reached


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
) -> None:  # fmt: skip
    """Note what the rows of spikes[low:high] are multiplied by."""
    if values is None:
        return
    if connection[Connection.graded]:
        for i in range(high - low):
            values[to + i] = state.spike_values[low + i]
    else:
        for i in range(high - low):
            values[to + i] = 1.0


@kernel_part
def note_timesteps(
    program: Program, population: Int64s, state: State, before: int, steps: int, counters: Int64s
) -> np.int64:
    """Do as `note_visits` for a layer of one site, which every spike reaches; count the rows."""
    ways, starts, noted = program.connections, state.starts, state.noted
    first_way, graded = population[Population.connection], population[Population.graded] > 0
    end_of_ways = first_way + population[Population.connections]
    visits, rows, multiplied = np.uintp(0), np.uintp(0), np.uintp(0)
    for t in range(steps):
        begin = rows
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.arriving] + before + t
            low, high = np.uintp(starts[at]), np.uintp(starts[at + 1])
            if high > low:
                constant = program.runs[program.run_pointers[ways[way, Connection.runs]], 2]
                copy_rows(noted.rows, rows, state.spikes, low, high, constant)
                if graded:
                    copy_values(noted.values, rows, ways[way], state, low, high)
                    multiplied += count_multiplied(noted.values, rows, rows + high - low)
                rows += high - low
        if rows > begin:
            noted.timesteps[visits], noted.row_pointers[visits] = t, begin
            note_visit(state.visited, t, 0, 1)
            visits += np.uintp(1)
    noted.pointers[0], noted.pointers[1], noted.row_pointers[visits] = 0, visits, rows
    channels = population[Population.channels]
    counters[ACS] += np.int64(rows - multiplied) * channels
    counters[MACS] += np.int64(multiplied) * channels
    return np.int64(visits)


@inner_kernel
def count_multiplied(values: Float32s | None, first: np.uintp, stop: np.uintp) -> np.uintp:
    """Return how many of some values are not 1."""
    multiplied = np.uintp(0)
    if values is not None:
        for i in range(first, stop):
            multiplied += np.uintp(values[i] != np.float32(1.0))
    return multiplied
