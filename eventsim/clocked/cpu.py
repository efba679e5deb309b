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
from ..wiring import C, P, Program
from .state import Outcome, Recording, State, clear, outcome_of, state_of
from .updates import accumulate, fade, fade_of, fire, integrate

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
    # Out of the tuples: each array taken from one inside the loop costs two atomic counts.
    populations, connections = program.populations, program.connections
    lengths, pending, pointers = state.list_lengths, state.pending, recording.pointers
    last = len(populations) - 1
    for t in range(first, stop):
        if len(trace) > 0 and len(trace) - traced < program.neurons:
            return t, traced
        for number in range(len(populations)):
            population = populations[number]
            busy = population[P.awake] > 0 or pending[number] > 0
            start = population[P.connection]
            for i in range(start, start + population[P.connections]):
                then = t - connections[i, C.delay]
                source = connections[i, C.source]
                if then < 0:
                    continue
                if source < 0:
                    begin, end = pointers[then], pointers[then + 1]
                else:
                    begin, end = emitted(populations[source], lengths, then)
                if end > begin:
                    busy = True
                    arrive(program, number, i, state, recording, t, begin, end, outcome.counters)
            slot = population[P.list] + t % population[P.remembered]
            lengths[slot] = 0
            if busy:
                lengths[slot] = update_sites(program, number, state, t, outcome.counters)
                if len(trace) > 0:
                    traced = note(program, number, state, t, trace, traced)
                if number == last:
                    read_out(program, state, t, outcome)
    return stop, traced


@kernel
def emitted(population: Int64s, lengths: Int32s, t: int) -> tuple[int, int]:
    """Return where in `state.spikes` those of a population in timestep t begin and end."""
    slot = t % population[P.remembered]
    begin = population[P.spike] + slot * population[P.sites] * population[P.channels]
    return begin, begin + lengths[population[P.list] + slot]


@kernel
def update_sites(
    program: Program, number: int, state: State, t: int, counters: NDArray[np.int64]
) -> int:
    """Bring the sites with work to timestep t and emit their spikes; return how many spiked."""
    population = program.populations[number]
    begin, _ = emitted(population, state.list_lengths, t)
    touched = collect(program, number, state)
    if population[P.plain]:
        accumulate(program, number, state, touched, t, counters)
        return fire(program, number, state, touched, begin, counters)
    return integrate(program, number, state, touched, t, begin, counters)


@kernel
def note(
    program: Program, number: int, state: State, t: int, trace: NDArray[np.int32], traced: int
) -> int:
    """Append the spikes of a population in timestep t to the trace; return its length."""
    population = program.populations[number]
    begin, end = emitted(population, state.list_lengths, t)
    for i in range(begin, end):
        trace[traced, 0] = t
        trace[traced, 1] = number
        trace[traced, 2] = state.spikes[i]
        trace[traced, 3] = 1 if population[P.plain] else int(state.spike_values[i])
        traced += 1
    return traced


@kernel
def read_out(program: Program, state: State, t: int, outcome: Outcome) -> None:
    """Note the spikes of the last layer, and its membranes where the readout asks for them."""
    population = program.populations[len(program.populations) - 1]
    begin, end = emitted(population, state.list_lengths, t)
    for i in range(begin, end):
        neuron = state.spikes[i]
        outcome.spike_counts[neuron] += 1 if population[P.plain] else int(state.spike_values[i])
        if outcome.first_spikes[neuron] < 0:
            outcome.first_spikes[neuron] = t
    if program.readout == LAST_MEMBRANE or program.readout == MEAN_MEMBRANE:
        for neuron in range(program.outputs):
            rest = program.rests[neuron % len(program.rests)]
            u = state.membranes[population[P.neuron] + neuron] + rest
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
    begin: int,
    end: int,
    counters: NDArray[np.int64],
) -> None:
    """Bring the spikes begin .. end - 1 of a connection's source to a layer, in timestep t."""
    way = program.connections[connection]
    source, values = recording.cells, recording.values
    if way[C.source] >= 0:
        source, values = state.spikes, state.spike_values
    if way[C.pooled] >= 0:
        end = pool(program, connection, state, source, values, begin, end)
        source, begin = state.pooled, 0
    if program.populations[number, P.gathers]:
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
    in_channels, reach, graded = way[C.in_channels], way[C.pooled], way[C.graded]
    pointers, first_rows = program.pointers, program.first_rows
    pooled, maxima = state.pooled, state.pooled_values
    active = 0
    for i in range(begin, end):
        position = source[i] // in_channels
        channel = source[i] - position * in_channels
        value = values[i] if graded else np.float32(1.0)
        for entry in range(pointers[reach + position], pointers[reach + position + 1]):
            cell = first_rows[entry] + channel
            if maxima[cell] == 0:
                pooled[active] = cell
                active += 1
            maxima[cell] = max(maxima[cell], value)
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
    in_channels, in_group, offset, stride = (
        way[C.in_channels],
        way[C.in_group],
        way[C.offset],
        way[C.stride],
    )
    reach, delayed, pooled, in_values = (
        way[C.reach],
        way[C.delayed],
        way[C.pooled] >= 0,
        way[C.graded],
    )
    groups, graded, rows_per_site = (
        population[P.groups],
        population[P.graded],
        population[P.rows_per_site],
    )
    first_site, first_list, channels = population[P.site], population[P.row], population[P.channels]
    flags, fills, rows, row_values = state.flags, state.fills, state.rows, state.row_values
    pooled_values, delay_flags = state.pooled_values, program.delayed
    pointers, targets, span_sites, first_rows = (
        program.pointers, program.targets, program.span_sites, program.first_rows
    )  # fmt: skip
    arrived = 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = pooled_values[spike]
            pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not delay_flags[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group if groups > 1 else 0
        pointer = reach + position
        for span in range(pointers[pointer], pointers[pointer + 1]):
            row = first_rows[span] + channel * stride
            for k in range(span_sites[span]):
                site = (targets[span] + k) * groups + group
                index = first_site + site
                slot = first_list + site * rows_per_site + fills[index]
                rows[slot] = row + k * channels
                if graded:
                    row_values[slot] = value
                fills[index] += 1
                flags[index] = 1
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
    in_channels, in_group, offset, stride = (
        way[C.in_channels],
        way[C.in_group],
        way[C.offset],
        way[C.stride],
    )
    reach, delayed, pooled, in_values = (
        way[C.reach],
        way[C.delayed],
        way[C.pooled] >= 0,
        way[C.graded],
    )
    groups, graded, channels = population[P.groups], population[P.graded], population[P.channels]
    first_site, first_neuron = population[P.site], population[P.neuron]
    fades = fade_of(program, number)
    changes = len(fades.biases) > 0 or fades.leaks
    u, w, flags, last = state.membranes, program.weights, state.flags, state.last
    pooled_values, delay_flags = state.pooled_values, program.delayed
    pointers, targets, span_sites, first_rows = (
        program.pointers, program.targets, program.span_sites, program.first_rows
    )  # fmt: skip
    arrived, sites_reached = 0, 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        value = np.float32(1.0)
        if pooled:
            value = pooled_values[spike]
            pooled_values[spike] = 0
        elif in_values:
            value = values[i]
        if delayed >= 0 and not delay_flags[delayed + channel]:
            continue
        arrived += 1
        group = (offset + channel) // in_group if groups > 1 else 0
        pointer = reach + position
        for span in range(pointers[pointer], pointers[pointer + 1]):
            sites = span_sites[span]
            first = targets[span] * groups + group
            for site in range(first, first + sites):
                index = first_site + site
                flags[index] = 1
                if changes and last[index] != t:
                    base = first_neuron + site * channels
                    fade(u, base, channels, fades, site, t - last[index])
                    last[index] = t
            row = np.uintp(first_rows[span] + channel * stride)
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
    first_site, sites = population[P.site], population[P.sites]
    flags, words, listed = state.flags, state.words, state.touched
    if population[P.awake]:
        flags[first_site : first_site + sites] = 1
    state.pending[number] = 0
    touched = 0
    first_word = first_site // 8
    for word in range(first_word, first_word + (sites + 7) // 8):
        if words[word] != 0:
            for index in range(8 * word, 8 * word + 8):
                if flags[index] != 0:
                    listed[touched] = index - first_site
                    touched += 1
            words[word] = 0
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
