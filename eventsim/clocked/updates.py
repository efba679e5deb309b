"""Membranes: decay and add the rows that arrived (accumulate), compare and reset (fire).

Two ways with the same outcome, chosen layer by layer by `wiring.py`: `accumulate` and `fire` for
layers of plain LIF or IF neurons with one set of parameters, in loops over contiguous channels that
compile to vector instructions; and `integrate` for every other neuron, one at a time, with the
rules of `rules.py`.

The innermost loops index with unsigned integers: for a signed index Numba tests whether it counts
from the end, and with that test in the way the compiler did not vectorise (3.0 instead of 23
billion SOP/s, 512-channel rows in the nearest caches).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int32s, kernel
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
from ..rules import advance, fires, may_fire, silence, step
from ..wiring import POWERS, Program
from .state import State


@kernel
def accumulate(
    program: Program,
    number: int,
    state: State,
    touched: int,
    t: int,
    counters: NDArray[np.int64],
) -> None:
    """Bring the touched sites up to date, then add their rows, in the order of the spikes."""
    population = program.populations[number]
    channels, graded, gathers = population.channels, population.graded, population.gathers
    rows_added = 0
    for i in range(touched):
        site = state.touched[i]
        index = population.site + site
        if state.last[index] != t:  # otherwise `scatter` has been here
            wake(program, number, state, site, t)
        if gathers:
            base = population.neuron + site * channels
            first = population.row + site * population.rows_per_site
            stop = first + state.fills[index]
            if graded:
                add_graded_rows(
                    state.membranes, base, channels, program.weights, state, first, stop
                )
            else:
                add_rows(state.membranes, base, channels, program.weights, state.rows, first, stop)
            rows_added += stop - first
            state.fills[index] = 0
    count_updates(program, number, touched, rows_added, counters)
    counters[number, COMPARES] += touched * channels


@kernel
def count_updates(
    program: Program, number: int, touched: int, rows_added: int, counters: NDArray[np.int64]
) -> None:
    """Count what bringing sites up to date takes."""
    population = program.populations[number]
    neurons = touched * population.channels
    counters[number, MACS if population.graded else ACS] += rows_added * population.channels
    counters[number, SITE_UPDATES] += touched
    counters[number, UPDATES] += neurons * population.variables
    counters[number, DECAYS] += neurons * population.leaks
    if population.bias >= 0:
        counters[number, BIAS_ADDS] += neurons


@kernel
def wake(program: Program, number: int, state: State, site: int, t: int) -> None:
    """Apply the decay and bias of all timesteps since its last update to the membranes of a site."""
    population = program.populations[number]
    index = population.site + site
    silent = t - state.last[index]
    state.last[index] = t
    if population.bias < 0 and population.leaks == 0:
        return
    base = population.neuron + site * population.channels
    u, b, channels = state.membranes, np.uintp(base), np.uintp(population.channels)
    power, gain = np.float32(1.0), np.float32(0.0)
    while silent > 0:
        k = min(silent, POWERS)
        gain = gain * program.powers[population.powers + k] + program.gains[population.powers + k]
        power = power * program.powers[population.powers + k]
        silent -= k
    if population.bias < 0:
        for c in range(channels):
            u[b + c] *= power
        return
    first = np.uintp(population.bias + (site % population.groups) * population.channels)
    for c in range(channels):
        u[b + c] = advance(u[b + c], power, program.biases[first + c], gain)


@kernel
def add_rows(
    u: Float32s, base: int, channels: int, w: Float32s, rows: Int32s, first: int, stop: int
) -> None:
    """Add the rows on the list first .. stop - 1 to the membranes `u` of one site.

    Eight rows a pass, added strictly left to right: the same float32 result as one by one, with an
    eighth of the traffic over the membranes.
    """
    b = np.uintp(base)
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
    u: Float32s, base: int, channels: int, w: Float32s, state: State, first: int, stop: int
) -> None:
    """Add rows as `add_rows` does, each multiplied by its graded input."""
    b = np.uintp(base)
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
    first: int,
    counters: NDArray[np.int64],
) -> int:
    """Compare and reset the touched sites; write their spikes to state.spikes[first:], ascending.

    Returns how many spiked.
    """
    population = program.populations[number]
    channels, limit, subtract = population.channels, population.limit, population.subtract
    threshold, reset_value = population.threshold, population.reset_value
    u = state.membranes
    spikes = 0
    for i in range(touched):
        site = state.touched[i]
        base = np.uintp(population.neuron + site * channels)
        crossed = False
        for c in range(np.uintp(channels)):
            crossed |= fires(u[base + c], limit)
        if not crossed:
            continue
        # Writing every neuron and keeping those that fired, to spare the branch, was slower: 0.43
        # instead of 0.37 ms a sample (2312-512-10, 24 hidden spikes a timestep).
        for c in range(channels):
            membrane = base + np.uintp(c)
            if fires(u[membrane], limit):
                state.spikes[first + spikes] = site * channels + c
                spikes += 1
                if subtract:
                    u[membrane] -= threshold
                    if fires_again(program, number, site, c, u[membrane]):
                        state.flags[population.site + site] = 1
                else:
                    u[membrane] = reset_value
    counters[number, RESETS] += spikes
    counters[number, OUTPUT_SPIKES] += spikes
    return spikes


@kernel
def fires_again(program: Program, number: int, site: int, c: int, u: np.float32) -> bool:
    """Tell whether a membrane will cross the threshold in the next timestep without input."""
    population = program.populations[number]
    bias = np.float32(0.0)
    if population.bias >= 0:
        group = site % population.groups
        bias = program.biases[population.bias + group * population.channels + c]
    power = program.powers[population.powers + 1]
    return fires(advance(u, power, bias, np.float32(1.0)), population.limit)


@kernel
def integrate(
    program: Program,
    number: int,
    state: State,
    touched: int,
    t: int,
    first: int,
    counters: NDArray[np.int64],
) -> int:
    """Update the touched sites neuron by neuron: `accumulate` and `fire` for any neuron model.

    Returns how many spiked; `state.spike_values` says how often each did.
    """
    population = program.populations[number]
    channels, x = population.channels, state.inputs
    rows_added, spiked, compares = 0, 0, 0
    for i in range(touched):
        site = state.touched[i]
        index = population.site + site
        x[:channels] = 0
        start = population.row + site * population.rows_per_site
        stop = start + state.fills[index]
        if population.graded:
            add_graded_rows(x, 0, channels, program.weights, state, start, stop)
        else:
            add_rows(x, 0, channels, program.weights, state.rows, start, stop)
        rows_added += stop - start
        silent = t - 1 - state.last[index]
        state.last[index], state.fills[index] = t, 0
        for c in range(channels):
            spikes, free = update(program, number, state, site, c, t, silent, counters)
            compares += free
            if spikes > 0:
                state.spikes[first + spiked] = site * channels + c
                state.spike_values[first + spiked] = spikes
                spiked += 1
    count_updates(program, number, touched, rows_added, counters)
    counters[number, COMPARES] += compares
    counters[number, RESETS] += spiked
    return spiked


@kernel
def update(
    program: Program,
    number: int,
    state: State,
    site: int,
    c: int,
    t: int,
    silent: int,
    counters: NDArray[np.int64],
) -> tuple[int, bool]:
    """Run one neuron through `silent` timesteps and timestep t; return its spikes, and if free."""
    population = program.populations[number]
    channel = (site % population.groups) * population.channels + c
    neuron = population.neuron + site * population.channels + c
    p = program.parameters[population.parameters + channel]
    bias = np.float32(0.0)
    if population.bias >= 0:
        bias = program.biases[population.bias + channel]
    free_from = state.free_from[neuron]
    free = t >= free_from
    unheld = min(silent, max(0, t - free_from))
    u, second = silence(p, bias, state.membranes[neuron], state.seconds[neuron], silent, unheld)
    x = state.inputs[c] + state.returning[neuron]
    state.returning[neuron] = 0
    u, second, spikes = step(p, bias, u, second, x, free)
    state.membranes[neuron], state.seconds[neuron] = u, second
    flag = population.site + site
    if spikes > 0:
        counters[number, OUTPUT_SPIKES] += spikes
        state.free_from[neuron] = t + 1 + p.refractory
        if population.recurrent >= 0:
            weight = program.recurrent[population.recurrent + channel]
            state.returning[neuron] = weight * np.float32(spikes)
            state.flags[flag] = 1
            counters[number, INPUT_EVENTS] += 1
            counters[number, MACS if p.many else ACS] += 1
    if may_fire(p, bias, u, second):
        state.flags[flag] = 1
    return spikes, free
