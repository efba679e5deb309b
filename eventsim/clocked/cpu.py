"""The clocked engine on the CPU: for every timestep and layer route, accumulate, fire.

route       each input spike looks up the sites it reaches and puts its weight row on their lists
accumulate  each touched site catches up with the silent timesteps, then adds its rows
fire        each touched site compares, resets, and emits the spikes for the next layer

Nothing here looks at a site that no spike reached, except `drive` (neurons that their bias can
carry over threshold alone). Spikes are emitted in ascending order of neurons, so the order of
additions, and with it every bit of the result, depends on nothing but network and input.

The innermost loops index with unsigned integers: for a signed index Numba tests whether it counts
from the end, and with that test in the way the compiler did not vectorise (3.0 instead of 23
billion SOP/s, 512-channel rows in the nearest caches).

Called by `simulator.py`. Arrays are flat; `wiring.LAYER_DTYPE` says what each offset means.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int32s, Int64s, kernel, parallel_kernel
from ..neurons import advance, fires, reset
from ..operations import (
    ACS,
    BIAS_ADDS,
    COMPARES,
    DECAYS,
    INPUT_EVENTS,
    MACS,
    OUTPUT_SPIKES,
    RESETS,
    SITE_UPDATES,
    UPDATES,
)
from ..wiring import POWERS, Program
from .state import State, clear, state_of


@kernel
def run(
    program: Program,
    state: State,
    pointers: Int64s,
    cells: Int32s,
    values: Float32s,
    first: int,
    stop: int,
    counters: NDArray[np.int64],
    spike_counts: Int64s,
    trace: NDArray[np.int32],
    traced: int,
) -> tuple[int, int]:
    """Run the timesteps first .. stop - 1; return the next timestep and the length of the trace.

    `counters` (layers, COUNTERS) and `spike_counts` (outputs,) are added to. `trace` (n, 3) takes
    (timestep, layer, neuron) of every spike unless it is empty; when it might overflow, the run
    stops early, and the caller continues it with a longer one.
    """
    for t in range(first, stop):
        if len(trace) > 0 and len(trace) - traced < program.neurons:
            return t, traced
        source, begin, end = cells, pointers[t], pointers[t + 1]
        for number in range(len(program.layers)):
            graded = number == 0 and len(state.row_values) > 0
            if program.layers[number].pooled >= 0 and end > begin:
                end = pool(program, number, state, source, values, begin, end, graded)
                source, begin = state.pooled, 0
            route(program, number, state, source, values, begin, end, graded, counters)
            if program.layers[number].driven_count > 0:
                drive(program, number, state, counters)
            touched = collect(program, number, state)
            accumulate(program, number, state, touched, t, graded, counters)
            spikes = fire(program, number, state, touched, counters)
            source = state.spikes
            begin = program.layers[number].neuron
            end = begin + spikes
            if len(trace) > 0:
                for i in range(begin, end):
                    trace[traced, 0] = t
                    trace[traced, 1] = number
                    trace[traced, 2] = source[i]
                    traced += 1
        for i in range(begin, end):
            spike_counts[source[i]] += 1
    return stop, traced


@kernel
def pool(
    program: Program,
    number: int,
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    graded: bool,
) -> int:
    """Merge the spikes source[begin:end] in the cells of a max pool; return how many are active.

    The maxima stand in `state.pooled_values` until `route` takes them out again.
    """
    layer = program.layers[number]
    active = 0
    for i in range(begin, end):
        position = source[i] // layer.in_channels
        channel = source[i] - position * layer.in_channels
        value = values[i] if graded else np.float32(1.0)
        pointer = layer.pooled + position
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
    state: State,
    source: Int32s,
    values: Float32s,
    begin: int,
    end: int,
    graded: bool,
    counters: NDArray[np.int64],
) -> None:
    """Put the weight row of each spike in source[begin:end] on the list of each site it reaches."""
    # Into locals: for all the compiler knows, a store below might change the record.
    layer = program.layers[number]
    in_channels, in_group, groups = layer.in_channels, layer.in_group, layer.groups
    channels, rows_per_site = layer.channels, layer.rows_per_site
    reach, first_site, first_list, pooled = layer.reach, layer.site, layer.row, layer.pooled >= 0
    for i in range(begin, end):
        spike = source[i]
        position = spike // in_channels
        channel = spike - position * in_channels
        group = channel // in_group
        value = np.float32(1.0)
        if pooled:
            value = state.pooled_values[spike]
            state.pooled_values[spike] = 0
        elif graded:
            value = values[i]
        pointer = reach + position
        for entry in range(program.pointers[pointer], program.pointers[pointer + 1]):
            site = program.targets[entry] * groups + group
            index = first_site + site
            slot = first_list + site * rows_per_site + state.fills[index]
            state.rows[slot] = program.first_rows[entry] + channel * channels
            if graded:
                state.row_values[slot] = value
            state.fills[index] += 1
            state.flags[index] = 1
    counters[number, INPUT_EVENTS] += end - begin


@kernel
def drive(program: Program, number: int, state: State, counters: NDArray[np.int64]) -> None:
    """Advance the neurons that may fire without input; flag the sites where one is about to."""
    layer = program.layers[number]
    positions = layer.sites // layer.groups
    channels = layer.channels * layer.groups
    decay = program.powers[layer.powers + 1]
    for position in range(positions):
        for i in range(layer.driven, layer.driven + layer.driven_count):
            channel = program.driven[i]
            neuron = position * channels + channel
            index = layer.neuron + neuron
            bias = program.biases[layer.bias + channel]
            u = advance(state.membranes[index], decay, bias, np.float32(1.0))
            state.membranes[index] = u
            if fires(u, layer.threshold):
                state.flags[layer.site + neuron // layer.channels] = 1
    updates = positions * layer.driven_count
    counters[number, UPDATES] += updates
    counters[number, DECAYS] += updates * layer.leaks
    counters[number, BIAS_ADDS] += updates
    counters[number, COMPARES] += updates


@kernel
def collect(program: Program, number: int, state: State) -> int:
    """List the flagged sites in ascending order and clear their flags; return how many."""
    layer = program.layers[number]
    touched = 0
    first_word = layer.site // 8
    for word in range(first_word, first_word + (layer.sites + 7) // 8):
        if state.words[word] != 0:
            for index in range(8 * word, 8 * word + 8):
                if state.flags[index] != 0:
                    state.touched[touched] = index - layer.site
                    touched += 1
            state.words[word] = 0
    return touched


@kernel
def accumulate(
    program: Program,
    number: int,
    state: State,
    touched: int,
    t: int,
    graded: bool,
    counters: NDArray[np.int64],
) -> None:
    """Bring the touched sites up to date, then add their rows, in the order of the spikes."""
    layer = program.layers[number]
    rows_added = 0
    caught_up = 0
    for i in range(touched):
        site = state.touched[i]
        index = layer.site + site
        base = layer.neuron + site * layer.channels
        caught_up += catch_up(program, number, state, site, base, t - state.last[index])
        state.last[index] = t
        first = layer.row + site * layer.rows_per_site
        stop = first + state.fills[index]
        if graded:
            add_graded_rows(state, base, layer.channels, program.weights, first, stop)
        else:
            add_rows(state, base, layer.channels, program.weights, first, stop)
        rows_added += stop - first
        state.fills[index] = 0
    counters[number, MACS if graded else ACS] += rows_added * layer.channels
    counters[number, SITE_UPDATES] += touched
    counters[number, UPDATES] += touched * layer.channels
    counters[number, DECAYS] += caught_up * layer.leaks
    if layer.bias >= 0:
        counters[number, BIAS_ADDS] += caught_up


@kernel
def catch_up(
    program: Program,
    number: int,
    state: State,
    site: int,
    base: int,
    silent: int,
) -> int:
    """Apply the decay and bias of `silent` timesteps at once to the membranes of a site.

    Leaves out the neurons that `drive` has advanced already; returns how many it advanced.
    """
    layer = program.layers[number]
    if layer.bias < 0 and layer.leaks == 0:
        return 0
    u, b, channels = state.membranes, np.uintp(base), np.uintp(layer.channels)
    power, gain = np.float32(1.0), np.float32(0.0)
    while silent > 0:
        k = min(silent, POWERS)
        gain = gain * program.powers[layer.powers + k] + program.gains[layer.powers + k]
        power = power * program.powers[layer.powers + k]
        silent -= k
    if layer.bias < 0:
        for c in range(channels):
            u[b + c] *= power
        return layer.channels
    first = np.uintp(layer.bias + (site % layer.groups) * layer.channels)
    if layer.driven_count == 0:
        for c in range(channels):
            u[b + c] = advance(u[b + c], power, program.biases[first + c], gain)
        return layer.channels
    advanced = 0
    for c in range(channels):
        if program.lazy[first + c]:
            u[b + c] = advance(u[b + c], power, program.biases[first + c], gain)
            advanced += 1
    return advanced


@kernel
def add_rows(state: State, base: int, channels: int, w: Float32s, first: int, stop: int) -> None:
    """Add the rows on the list first .. stop - 1 to the membranes of one site.

    Eight rows a pass, added strictly left to right: the same float32 result as one by one, with an
    eighth of the traffic over the membranes.
    """
    u, rows, b = state.membranes, state.rows, np.uintp(base)
    while stop - first >= 8:
        r0, r1 = np.uintp(rows[first]), np.uintp(rows[first + 1])
        r2, r3 = np.uintp(rows[first + 2]), np.uintp(rows[first + 3])
        r4, r5 = np.uintp(rows[first + 4]), np.uintp(rows[first + 5])
        r6, r7 = np.uintp(rows[first + 6]), np.uintp(rows[first + 7])
        for c in range(np.uintp(channels)):
            four = u[b + c] + w[r0 + c] + w[r1 + c] + w[r2 + c] + w[r3 + c]
            u[b + c] = four + w[r4 + c] + w[r5 + c] + w[r6 + c] + w[r7 + c]
        first += 8
    while stop - first >= 2:
        r0, r1 = np.uintp(rows[first]), np.uintp(rows[first + 1])
        for c in range(np.uintp(channels)):
            u[b + c] = u[b + c] + w[r0 + c] + w[r1 + c]
        first += 2
    if stop > first:
        r0 = np.uintp(rows[first])
        for c in range(np.uintp(channels)):
            u[b + c] = u[b + c] + w[r0 + c]


@kernel
def add_graded_rows(
    state: State, base: int, channels: int, w: Float32s, first: int, stop: int
) -> None:
    """Add rows as `add_rows` does, each multiplied by its graded input."""
    u, b = state.membranes, np.uintp(base)
    for slot in range(first, stop):
        row = np.uintp(state.rows[slot])
        value = state.row_values[slot]
        for c in range(np.uintp(channels)):
            u[b + c] = u[b + c] + w[row + c] * value


@kernel
def fire(
    program: Program,
    number: int,
    state: State,
    touched: int,
    counters: NDArray[np.int64],
) -> int:
    """Compare and reset the touched sites; emit their spikes, ascending; return how many."""
    layer = program.layers[number]
    channels, threshold, subtract = layer.channels, layer.threshold, layer.subtract
    u = state.membranes
    spikes = 0
    for i in range(touched):
        site = state.touched[i]
        base = np.uintp(layer.neuron + site * channels)
        crossed = False
        for c in range(np.uintp(channels)):
            crossed |= fires(u[base + c], threshold)
        if not crossed:
            continue
        # Writing every neuron and keeping those that fired, to spare the branch, was slower: 0.43
        # instead of 0.37 ms a sample (2312-512-10, 24 hidden spikes a timestep).
        for c in range(channels):
            membrane = base + np.uintp(c)
            if fires(u[membrane], threshold):
                state.spikes[layer.neuron + spikes] = site * channels + c
                spikes += 1
                u[membrane] = reset(u[membrane], threshold, subtract)
                if subtract and fires_again(program, number, site, c, u[membrane]):
                    state.flags[layer.site + site] = 1
    counters[number, COMPARES] += touched * channels
    counters[number, RESETS] += spikes
    counters[number, OUTPUT_SPIKES] += spikes
    return spikes


@kernel
def fires_again(program: Program, number: int, site: int, c: int, u: np.float32) -> bool:
    """Tell whether a membrane will cross the threshold in the next timestep without input."""
    layer = program.layers[number]
    bias = np.float32(0.0)
    if layer.bias >= 0:
        bias = program.biases[layer.bias + (site % layer.groups) * layer.channels + c]
    power = program.powers[layer.powers + 1]
    return fires(advance(u, power, bias, np.float32(1.0)), layer.threshold)


@parallel_kernel
def run_batch(
    program: Program,
    states: State,
    grid: Int64s,
    offsets: NDArray[np.int64],
    cells: Int32s,
    values: Float32s,
    counters: NDArray[np.int64],
    spike_counts: NDArray[np.int64],
) -> None:
    """Run samples on as many threads as `states` has rows; each sample is one thread's work.

    `grid` holds the pointers of all samples, those of sample i from offsets[i] to offsets[i + 1].
    Results go to row i of `counters` and `spike_counts`, so they do not depend on the threads.
    """
    samples = len(offsets) - 1
    workers = len(states.membranes)
    no_trace = np.empty((0, 3), np.int32)
    for worker in numba.prange(workers):
        state = state_of(states, worker)
        # One stretch of samples each: neighbours share cache lines of the counters.
        for i in range(worker * samples // workers, (worker + 1) * samples // workers):
            clear(state)
            pointers = grid[offsets[i] : offsets[i + 1]]
            run(
                program, state, pointers, cells, values, 0, len(pointers) - 1,
                counters[i], spike_counts[i], no_trace, 0,
            )  # fmt: skip
