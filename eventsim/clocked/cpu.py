"""The clocked engine on the CPU: for every timestep and layer route, accumulate, fire.

route       each spike that arrives looks up the sites it reaches and puts its weight row on their
            lists
accumulate  each touched site catches up with the silent timesteps, then adds its rows
fire        each touched site compares, resets, and emits the spikes for the layers behind

The last two are in `updates.py`. Nothing here looks at a site that no spike reached, except in
layers that may fire without input (their bias carries a neuron over threshold) and in the last one
where membranes are read out; and sites stay on the list while a neuron of theirs may still fire.
Spikes are emitted in ascending order of neurons, so the order of additions, and with it every bit
of the result, depends on nothing but network and input.

Called by `simulator.py`. Arrays are flat; `wiring.py` says what each offset means.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int32s, Int64s, kernel, parallel_kernel
from ..network import READOUTS
from ..operations import ACS, INPUT_EVENTS, MACS
from ..wiring import Program
from .state import Outcome, Recording, State, clear, outcome_of, state_of
from .updates import accumulate, fire, integrate, wake

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))


@kernel
def run(
    program: Program,
    state: State,
    recording: Recording,
    first: int,
    stop: int,
    outcome: Outcome,
    trace: NDArray[np.int32],
    traced: int,
) -> tuple[int, int]:
    """Run the timesteps first .. stop - 1; return the next timestep and the length of the trace.

    `outcome` is added to. `trace` (n, 4) takes (timestep, layer, neuron, spikes) of every neuron
    that spikes unless it is empty; when it might overflow, the run stops early, and the caller
    continues it with a longer one.
    """
    for t in range(first, stop):
        if len(trace) > 0 and len(trace) - traced < program.neurons:
            return t, traced
        begin = end = 0
        for number in range(len(program.populations)):
            population = program.populations[number]
            for i in range(population.connection, population.connection + population.connections):
                arrive(program, number, i, state, recording, t, outcome.counters)
            slot = t % population.remembered
            begin = population.spike + slot * population.sites * population.channels
            touched = collect(program, number, state)
            if population.plain:
                accumulate(program, number, state, touched, t, outcome.counters)
                end = begin + fire(program, number, state, touched, begin, outcome.counters)
            else:
                end = begin + integrate(program, number, state, touched, t, begin, outcome.counters)
            state.list_lengths[population.list + slot] = end - begin
            if len(trace) > 0:
                for i in range(begin, end):
                    trace[traced, 0] = t
                    trace[traced, 1] = number
                    trace[traced, 2] = state.spikes[i]
                    trace[traced, 3] = 1 if population.plain else int(state.spike_values[i])
                    traced += 1
        read_out(program, state, t, begin, end, outcome)
    return stop, traced


@kernel
def read_out(
    program: Program, state: State, t: int, begin: int, end: int, outcome: Outcome
) -> None:
    """Note the spikes of the last layer, and its membranes where the readout asks for them."""
    population = program.populations[len(program.populations) - 1]
    for i in range(begin, end):
        neuron = state.spikes[i]
        outcome.spike_counts[neuron] += 1 if population.plain else int(state.spike_values[i])
        if outcome.first_spikes[neuron] < 0:
            outcome.first_spikes[neuron] = t
    if program.readout == LAST_MEMBRANE or program.readout == MEAN_MEMBRANE:
        for neuron in range(program.outputs):
            rest = program.rests[neuron % len(program.rests)]
            u = state.membranes[population.neuron + neuron] + rest
            if program.readout == MEAN_MEMBRANE:
                u += outcome.membranes[neuron]
            outcome.membranes[neuron] = u


@kernel
def arrive(
    program: Program,
    number: int,
    connection: int,
    state: State,
    recording: Recording,
    t: int,
    counters: NDArray[np.int64],
) -> None:
    """Route the spikes that reach a layer on one connection in timestep t."""
    way = program.connections[connection]
    source, values = recording.cells, recording.values
    begin = end = 0
    then = t - way.delay
    if then < 0:
        return
    if way.source < 0:
        begin, end = recording.pointers[then], recording.pointers[then + 1]
    else:
        population = program.populations[way.source]
        slot = then % population.remembered
        source, values = state.spikes, state.spike_values
        begin = population.spike + slot * population.sites * population.channels
        end = begin + state.list_lengths[population.list + slot]
    if end == begin:
        return
    if way.pooled >= 0:
        end = pool(program, connection, state, source, values, begin, end)
        source, begin = state.pooled, 0
    if program.populations[number].gathers:
        route(program, number, connection, state, source, values, begin, end, counters)
    else:
        scatter(program, number, connection, state, source, values, begin, end, t, counters)


@kernel
def pool(
    program: Program,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
) -> int:
    """Merge the spikes source[begin:end] in the cells of a max pool; return how many are active.

    The maxima stand in `state.pooled_values` until `route` takes them out again.
    """
    way = program.connections[connection]
    active = 0
    for i in range(begin, end):
        position = source[i] // way.in_channels
        channel = source[i] - position * way.in_channels
        value = values[i] if way.graded else np.float32(1.0)
        pointer = way.pooled + position
        for entry in range(program.pointers[pointer], program.pointers[pointer + 1]):
            cell = program.first_rows[entry] + channel
            if state.pooled_values[cell] == 0:
                state.pooled[active] = cell
                active += 1
            state.pooled_values[cell] = max(state.pooled_values[cell], value)
    return active


@kernel
def route(
    program: Program,
    number: int,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    counters: NDArray[np.int64],
) -> None:
    """Put the weight row of each spike in source[begin:end] on the list of each site it reaches."""
    # Into locals: for all the compiler knows, a store below might change the record.
    way, population = program.connections[connection], program.populations[number]
    in_channels, in_group, offset, stride = way.in_channels, way.in_group, way.offset, way.stride
    reach, delayed, pooled, in_values = way.reach, way.delayed, way.pooled >= 0, way.graded
    groups, graded, rows_per_site = population.groups, population.graded, population.rows_per_site
    first_site, first_list, channels = population.site, population.row, population.channels
    arrived = 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = state.pooled_values[spike]
            state.pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not program.delayed[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group
        pointer = reach + position
        for span in range(program.pointers[pointer], program.pointers[pointer + 1]):
            row = program.first_rows[span] + channel * stride
            for k in range(program.span_sites[span]):
                site = (program.targets[span] + k) * groups + group
                index = first_site + site
                slot = first_list + site * rows_per_site + state.fills[index]
                state.rows[slot] = row + k * channels
                if graded:
                    state.row_values[slot] = value
                state.fills[index] += 1
                state.flags[index] = 1
    counters[number, INPUT_EVENTS] += arrived


@kernel
def scatter(
    program: Program,
    number: int,
    connection: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    t: int,
    counters: NDArray[np.int64],
) -> None:
    """Add the weight rows of each spike in source[begin:end] to the membranes that it reaches.

    `route` and `accumulate` in one, for short rows: the same additions in the same order.
    """
    way, population = program.connections[connection], program.populations[number]
    in_channels, in_group, offset, stride = way.in_channels, way.in_group, way.offset, way.stride
    reach, delayed, pooled, in_values = way.reach, way.delayed, way.pooled >= 0, way.graded
    groups, graded, channels = population.groups, population.graded, population.channels
    first_site, first_neuron = population.site, population.neuron
    fades = population.bias >= 0 or population.leaks > 0
    u, w = state.membranes, program.weights
    arrived, sites_reached = 0, 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = state.pooled_values[spike]
            state.pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not program.delayed[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group
        pointer = reach + position
        for span in range(program.pointers[pointer], program.pointers[pointer + 1]):
            sites = program.span_sites[span]
            first = program.targets[span] * groups + group
            for site in range(first, first + sites):
                state.flags[first_site + site] = 1
                if fades and state.last[first_site + site] != t:
                    wake(program, number, state, site, t)
            row = np.uintp(program.first_rows[span] + channel * stride)
            neuron = np.uintp(first_neuron + first * channels)
            if graded:
                for c in range(np.uintp(sites * channels)):
                    u[neuron + c] += w[row + c] * value
            else:
                for c in range(np.uintp(sites * channels)):
                    u[neuron + c] += w[row + c]
            sites_reached += sites
    counters[number, INPUT_EVENTS] += arrived
    counters[number, MACS if graded else ACS] += sites_reached * channels


@kernel
def collect(program: Program, number: int, state: State) -> int:
    """List the flagged sites, or all of a layer that is kept awake, ascending; return how many.

    Clears the flags.
    """
    population = program.populations[number]
    touched = 0
    if population.awake:
        state.flags[population.site : population.site + population.sites] = 1
    first_word = population.site // 8
    for word in range(first_word, first_word + (population.sites + 7) // 8):
        if state.words[word] != 0:
            for index in range(8 * word, 8 * word + 8):
                if state.flags[index] != 0:
                    state.touched[touched] = index - population.site
                    touched += 1
            state.words[word] = 0
    return touched


@parallel_kernel
def run_batch(
    program: Program,
    states: State,
    grid: Int64s,
    offsets: NDArray[np.int64],
    cells: Int32s,
    values: Float32s,
    outcomes: Outcome,
) -> None:
    """Run samples on as many threads as `states` has rows; each sample is one thread's work.

    `grid` holds the pointers of all samples, those of sample i from offsets[i] to offsets[i + 1].
    Results go to row i of `outcomes`, so they do not depend on the threads.
    """
    samples = len(offsets) - 1
    workers = len(states.membranes)
    no_trace = np.empty((0, 4), np.int32)
    for worker in numba.prange(workers):
        state = state_of(states, worker)
        # One stretch of samples each: neighbours share cache lines of the counters.
        for i in range(worker * samples // workers, (worker + 1) * samples // workers):
            clear(state)
            recording = Recording(grid[offsets[i] : offsets[i + 1]], cells, values)
            run(
                program, state, recording, 0, len(recording.pointers) - 1,
                outcome_of(outcomes, i), no_trace, 0,
            )  # fmt: skip
