"""In which timesteps of a chunk spikes reach which sites, and with which rows.

For `gather.py` and `sites.py`.

Arguments are the arrays of `Program` and `State`.
"""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel_part
from ...operations import ACS, MACS
from ...vectors import LANES, lowest_bit, shift_8
from ...wiring.program import NOTED, Connection, Population, Program, Run
from .emission import note_visit
from .state import State


@kernel_part
def note_positions(
    words: Words | None, program: Program, population: Int64s, way: int, state: State, before: int,
    steps: int,
) -> tuple[np.int64, np.int64]:  # fmt: skip
    """Note where the spikes of each position begin in `state.spikes`, with one position more, where
    they end: a row for each timestep, in which the positions of all connections follow each other.

    Bit t of a position's word says whether there are any. The chunk begins `before` timesteps after
    the stretch. Returns how many sites they reach in all, and how many of these with a value other
    than 1.
    """
    reached, multiplied = np.int64(0), np.int64(0)
    if words is None:
        return reached, multiplied
    connection = program.connections[way]
    first, spikes, index = connection[Connection.index], state.spikes, state.begins
    own = words[first:]
    starts = state.starts[connection[Connection.arriving] + before :]
    fan_outs = program.fan_outs[connection[Connection.fan_out] :]
    in_channels = np.uint32(connection[Connection.in_channels])
    graded = connection[Connection.graded] > 0
    positions, one = np.uintp(connection[Connection.positions]), np.uintp(1)
    own[:positions] = 0
    at = np.uintp(first)
    for t in range(np.uintp(steps)):
        i, stop, p = np.uintp(starts[t]), np.uintp(starts[t + one]), np.uintp(0)
        while i < stop:
            position, begin = np.uintp(np.uint32(spikes[i]) // in_channels), i
            beyond = np.int64(position + one) * np.int64(in_channels)
            while i < stop and spikes[i] < beyond:
                i += one
            p = fill_index(index, at, p, position, begin)
            own[position] |= np.uint64(1) << np.uint64(t)
            reached += np.int64(i - begin) * fan_outs[position]
            if graded:
                for k in range(begin, i):
                    other = state.spike_values[k] != np.float32(1.0)
                    multiplied += fan_outs[position] * np.int64(other)
        fill_index(index, at, p, positions, stop)
        at += np.uintp(population[Population.index])
    return reached, multiplied


@inner_kernel
def fill_index(
    index: Int32s, row: np.uintp, p: np.uintp, last: np.uintp, value: np.uintp
) -> np.uintp:
    """Fill a row from p up to and with `last`; return what follows."""
    for k in range(row + p, row + last + np.uintp(1)):
        index[k] = value
    return last + np.uintp(1)


@kernel_part
def note_visits(
    words: Words | None, program: Program, population: Int64s, state: State, first: int, stop: int
) -> tuple[np.int64, np.int64]:
    """Note in which timesteps of a chunk spikes reach the sites first .. stop - 1, with which rows.

    Until `NOTED` rows or visits are noted. Returns the next site, and how many visits were noted.
    """
    if words is None:
        return np.int64(first), np.int64(0)
    runs, pointers = program.runs, program.run_pointers[population[Population.runs] :]
    spikes, index, noted = state.spikes, state.begins, state.noted
    length, sites = np.uintp(population[Population.index]), population[Population.sites]
    graded = population[Population.graded] > 0
    begins, ends, constant = np.uintp(Run.first), np.uintp(Run.beyond), np.uintp(Run.constant)
    visits, rows, one, site = np.uintp(0), np.uintp(0), np.uintp(1), np.uintp(first)
    while site < np.uintp(stop) and rows < NOTED and visits < NOTED:
        noted.pointers[site - np.uintp(first)] = visits
        of_site = np.uintp(pointers[site]), np.uintp(pointers[site + one])
        reached = np.uint64(0)
        for run in range(*of_site):
            for p in range(np.uintp(runs[run, begins]), np.uintp(runs[run, ends])):
                reached |= words[p]
        while reached != 0:
            t = lowest_bit(reached)
            reached &= reached - np.uint64(1)
            noted.timesteps[visits], noted.row_pointers[visits] = t, rows
            note_visit(state.visited, np.int64(t), np.int64(site), sites)
            visits += one
            of_step = t * length
            for run in range(*of_site):
                low = np.uintp(index[of_step + np.uintp(runs[run, begins])])
                high = np.uintp(index[of_step + np.uintp(runs[run, ends])])
                copy_rows(noted.rows, rows, spikes, low, high, runs[run, constant])
                if graded:
                    valued = runs[run, np.uintp(Run.graded)] > 0
                    copy_values(noted.values, rows, valued, state, low, high)
                rows += high - low
        site += one
    noted.pointers[site - np.uintp(first)], noted.row_pointers[visits] = visits, rows
    return np.int64(site), np.int64(visits)


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
    values: Float32s | None, to: np.uintp, graded: bool, state: State, low: np.uintp, high: np.uintp
) -> None:  # fmt: skip
    """Note what the rows of spikes[low:high] are multiplied by."""
    if values is None:
        return
    if graded:
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
    run = program.run_pointers[population[Population.runs]]  # that of the first connection
    for t in range(steps):
        begin = rows
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.arriving] + before + t
            low, high = np.uintp(starts[at]), np.uintp(starts[at + 1])
            if high > low:
                constant = program.runs[run + way - first_way, np.uintp(Run.constant)]
                copy_rows(noted.rows, rows, state.spikes, low, high, constant)
                if graded:
                    valued = ways[way, Connection.graded] > 0
                    copy_values(noted.values, rows, valued, state, low, high)
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
