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

from typing import NamedTuple

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
from ..program import POWERS, L, P, Program
from ..rules import advance, fires, may_fire, silence, step
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
    channels, graded, gathers = population[P.channels], population[P.graded], population[P.gathers]
    first_site, first_neuron, first_list = (
        population[P.site],
        population[P.neuron],
        population[P.row],
    )
    rows_per_site, fades = population[P.rows_per_site], fade_of(program, number)
    # Out of the tuples before the loop: inside it Numba counts a reference for each (10.1 ms a
    # sample instead of 6.4 on a convolutional network).
    membranes, weights, rows, row_values = (
        state.membranes, program.weights, state.rows, state.row_values
    )  # fmt: skip
    sites, last, fills = state.touched, state.last, state.fills
    rows_added = 0
    for i in range(touched):
        site = sites[i]
        index = first_site + site
        base = first_neuron + site * channels
        if last[index] != t:  # otherwise `scatter` has been here
            fade(membranes, base, channels, fades, site, t - last[index])
            last[index] = t
        if gathers:
            first = first_list + site * rows_per_site
            stop = first + fills[index]
            if graded:
                add_graded_rows(membranes, base, channels, weights, rows, row_values, first, stop)
            else:
                add_rows(membranes, base, channels, weights, rows, first, stop)
            rows_added += stop - first
            fills[index] = 0
    count_updates(program, number, touched, rows_added, counters)
    counters[number, COMPARES] += touched * channels


@kernel
def count_updates(
    program: Program, number: int, touched: int, rows_added: int, counters: NDArray[np.int64]
) -> None:
    """Count what bringing sites up to date takes."""
    population = program.populations[number]
    neurons = touched * population[P.channels]
    counters[number, MACS if population[P.graded] else ACS] += rows_added * population[P.channels]
    counters[number, SITE_UPDATES] += touched
    counters[number, UPDATES] += neurons * population[P.variables]
    counters[number, DECAYS] += neurons * population[P.leaks]
    if population[P.bias] >= 0:
        counters[number, BIAS_ADDS] += neurons


class Fade(NamedTuple):
    """What happens to the membranes of a plain layer in silence."""

    powers: Float32s  # decay^k, k = 0 .. POWERS
    gains: Float32s  # 1 + decay + ... + decay^(k-1)
    biases: Float32s  # (channels of all groups,), empty without
    groups: int
    leaks: bool


@kernel
def fade_of(program: Program, number: int) -> Fade:
    """Cut what concerns one population out of the program's tables."""
    population = program.populations[number]
    first, bias = population[P.powers], population[P.bias]
    biases = program.biases[:0]
    if bias >= 0:
        biases = program.biases[bias : bias + population[P.groups] * population[P.channels]]
    return Fade(
        program.powers[first : first + POWERS + 1],
        program.gains[first : first + POWERS + 1],
        biases,
        population[P.groups],
        population[P.leaks] > 0,
    )


@kernel
def fade(u: Float32s, base: int, channels: int, fades: Fade, site: int, silent: int) -> None:
    """Apply the decay and bias of `silent` timesteps at once to the membranes of a site."""
    if len(fades.biases) == 0 and not fades.leaks:
        return
    b, n = np.uintp(base), np.uintp(channels)
    power, gain = np.float32(1.0), np.float32(0.0)
    while silent > 0:
        k = min(silent, POWERS)
        gain = gain * fades.powers[k] + fades.gains[k]
        power = power * fades.powers[k]
        silent -= k
    if len(fades.biases) == 0:
        for c in range(n):
            u[b + c] *= power
        return
    biases, first = fades.biases, np.uintp((site % fades.groups) * channels)
    for c in range(n):
        u[b + c] = advance(u[b + c], power, biases[first + c], gain)


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
    u: Float32s,
    base: int,
    channels: int,
    w: Float32s,
    rows: Int32s,
    row_values: Float32s,
    first: int,
    stop: int,
) -> None:
    """Add rows as `add_rows` does, each multiplied by its graded input."""
    b = np.uintp(base)
    for slot in range(first, stop):
        row = np.uintp(rows[slot])
        value = row_values[slot]
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
    channels, subtract = population[P.channels], population[P.subtract]
    limit, threshold = program.levels[number, L.limit], program.levels[number, L.threshold]
    reset_value, first_neuron = program.levels[number, L.reset_value], population[P.neuron]
    first_site, fades = population[P.site], fade_of(program, number)
    u, sites, flags, emitted = state.membranes, state.touched, state.flags, state.spikes
    pending = state.pending
    spikes = 0
    for i in range(touched):
        site = sites[i]
        base = np.uintp(first_neuron + site * channels)
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
                emitted[first + spikes] = site * channels + c
                spikes += 1
                if subtract:
                    u[membrane] -= threshold
                    if fires_again(u[membrane], fades, site, c, channels, limit):
                        flags[first_site + site] = 1
                        pending[number] = 1
                else:
                    u[membrane] = reset_value
    counters[number, RESETS] += spikes
    counters[number, OUTPUT_SPIKES] += spikes
    return spikes


@kernel
def fires_again(
    u: np.float32, fades: Fade, site: int, c: int, channels: int, limit: np.float32
) -> bool:
    """Tell whether a membrane will cross the threshold in the next timestep without input."""
    bias = np.float32(0.0)
    if len(fades.biases) > 0:
        bias = fades.biases[(site % fades.groups) * channels + c]
    return fires(advance(u, fades.powers[1], bias, np.float32(1.0)), limit)


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
    channels, x = population[P.channels], state.inputs
    rows_added, spiked, compares = 0, 0, 0
    for i in range(touched):
        site = state.touched[i]
        index = population[P.site] + site
        x[:channels] = 0
        start = population[P.row] + site * population[P.rows_per_site]
        stop = start + state.fills[index]
        if population[P.graded]:
            add_graded_rows(
                x, 0, channels, program.weights, state.rows, state.row_values, start, stop
            )
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
    channel = (site % population[P.groups]) * population[P.channels] + c
    neuron = population[P.neuron] + site * population[P.channels] + c
    p = program.parameters[population[P.parameters] + channel]
    bias = np.float32(0.0)
    if population[P.bias] >= 0:
        bias = program.biases[population[P.bias] + channel]
    free_from = state.free_from[neuron]
    free = t >= free_from
    unheld = min(silent, max(0, t - free_from))
    u, second = silence(p, bias, state.membranes[neuron], state.seconds[neuron], silent, unheld)
    x = state.inputs[c] + state.returning[neuron]
    state.returning[neuron] = 0
    u, second, spikes = step(p, bias, u, second, x, free)
    state.membranes[neuron], state.seconds[neuron] = u, second
    flag = population[P.site] + site
    if spikes > 0:
        counters[number, OUTPUT_SPIKES] += spikes
        state.free_from[neuron] = t + 1 + p.refractory
        if population[P.recurrent] >= 0:
            weight = program.recurrent[population[P.recurrent] + channel]
            state.returning[neuron] = weight * np.float32(spikes)
            state.flags[flag] = state.pending[number] = 1
            counters[number, INPUT_EVENTS] += 1
            counters[number, MACS if p.many else ACS] += 1
    if may_fire(p, bias, u, second):
        state.flags[flag] = state.pending[number] = 1
    return spikes, free
