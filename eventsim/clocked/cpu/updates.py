"""Membranes: decay and add the rows that arrived (accumulate), compare and reset (fire).

Two ways with the same outcome, chosen layer by layer by `wiring/`: `accumulate` and `fire` for
layers of plain LIF or IF neurons with one set of parameters, in loops over contiguous channels that
compile to vector instructions; and `integrate` for every other neuron, one at a time, with the
rules of its model.

The innermost loops index with unsigned integers: for a signed index Numba tests whether it counts
from the end, and with that test in the way the compiler did not vectorise (3.0 instead of 23
billion SOP/s, 512-channel rows in the nearest caches).

Arguments are the arrays of `Program` and `State`, those of sites and neurons cut to the layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...events.arrays import MAX_STEPS
from ...jit import Flags, Float32s, Int32s, Int64s, Weights, inner_kernel, kernel
from ...network.graph import READOUTS
from ...network.neurons import catch_up, may_fire, step
from ...network.neurons.lif import add_product, catch_up_plain, factors_of, fires
from ...operations import (
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
from ...vectors import (
    BLOCK,
    LANES,
    above_in_block,
    above_in_lanes,
    add_rows_to_block,
    add_rows_to_lanes,
    lowest_bit,
    weight_at,
)
from ...wiring.program import Level, Population

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))


@inner_kernel
def accumulate(
    population: Int64s,
    touched: Int32s,
    sites: int,
    t: int,
    u: Float32s,
    last: Int32s,
    fills: Int32s,
    rows: Int32s,
    row_values: Float32s,
    weights: Weights,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
    counters: Int64s,
) -> None:
    """Bring the touched sites up to date, then add their rows, in the order of the spikes."""
    channels, graded, lists = (
        population[Population.channels],
        population[Population.graded],
        population[Population.lists],
    )
    rows_per_site, stored = population[Population.rows_per_site], population[Population.stored]
    changes = population[Population.leaks] > 0 or len(biases) > 0
    for i in range(sites if lists or changes else 0):
        site = touched[i]
        power = np.float32(1.0)
        if changes and last[site] != t:  # otherwise `scatter` has been here
            if lists and not graded and len(biases) == 0:
                power, _ = factors_of(t - last[site], powers, gains)
            else:
                catch_up_site(population, site, t - last[site], u, powers, gains, biases)
            last[site] = t
        if lists:
            base, first = site * channels, site * rows_per_site
            stop = first + fills[site]
            if graded:
                add_graded_rows(u, base, channels, weights, rows, row_values, first, stop)
            else:
                add_rows(u, base, stored, power, weights, rows, first, stop)
            fills[site] = 0
    count_updates(population, sites, counters)
    counters[COMPARES] += sites * channels


@inner_kernel
def count_updates(population: Int64s, sites: int, counters: Int64s) -> None:
    """Count what bringing sites up to date takes."""
    neurons = sites * population[Population.channels]
    counters[SITE_UPDATES] += sites
    counters[UPDATES] += neurons * population[Population.variables]
    counters[DECAYS] += neurons * population[Population.leaks]
    if population[Population.bias] >= 0:
        counters[BIAS_ADDS] += neurons


@kernel
def catch_up_site(
    population: Int64s,
    site: int,
    silent: int,
    u: Float32s,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
) -> None:
    """Apply the decay and bias of `silent` timesteps at once to the membranes of a site."""
    n = np.uintp(population[Population.channels])
    b = np.uintp(site) * n
    power, gain = factors_of(silent, powers, gains)
    if len(biases) == 0:
        for c in range(n):
            u[b + c] *= power
        return
    first = np.uintp(np.int64(site) % population[Population.groups]) * n
    for c in range(n):
        u[b + c] = catch_up_plain(u[b + c], power, biases[first + c], gain)


@inner_kernel
def add_rows(
    u: Float32s,
    base: int,
    channels: int,
    power: np.float32,
    w: Weights,
    rows: Int32s,
    first: int,
    stop: int,
) -> None:
    """Multiply the membranes `u` of one site by `power`, then add the rows first .. stop - 1.

    As many membranes as fit in the registers stay there for the whole list; the additions are
    strictly in the order of the list, the same float32 result as row by row.
    """
    begin, end, zero = np.uintp(first), np.uintp(stop), np.uintp(0)
    c, n, b = zero, np.uintp(channels), np.uintp(base)
    while c + np.uintp(BLOCK) <= n:
        ahead = min(c + np.uintp(BLOCK), n - np.uintp(BLOCK))
        add_rows_to_block(u, b + c, power, w, rows, begin, end, c, ahead)
        c += np.uintp(BLOCK)
    while c + np.uintp(LANES) <= n:
        add_rows_to_lanes(u, b + c, power, w, rows, begin, end, c, c)
        c += np.uintp(LANES)
    while c < n:
        membrane = u[b + c] * power
        for slot in range(begin, end):
            membrane += weight_at(w, np.uintp(rows[slot]) + c)
        u[b + c] = membrane
        c += np.uintp(1)


@kernel
def add_graded_rows(
    u: Float32s,
    base: int,
    channels: int,
    w: Weights,
    rows: Int32s,
    row_values: Float32s,
    first: int,
    stop: int,
) -> None:
    """Add rows as `add_rows` does, those with a graded input multiplied by it."""
    b = np.uintp(base)
    for slot in range(first, stop):
        row, value = np.uintp(rows[slot]), row_values[slot]
        if value == 1:
            for c in range(np.uintp(channels)):
                u[b + c] = u[b + c] + weight_at(w, row + c)
        else:
            for c in range(np.uintp(channels)):
                u[b + c] = u[b + c] + weight_at(w, row + c) * value


@inner_kernel
def fire(
    population: Int64s,
    levels: Float32s,
    touched: Int32s,
    sites: int,
    u: Float32s,
    powers: Float32s,
    biases: Float32s,
    flags: Flags,
    spikes: Int32s,
    emitted: int,
    counters: Int64s,
) -> tuple[np.int64, bool]:
    """Compare and reset the touched sites; append their spikes to spikes[:emitted], ascending.

    Returns the new end of the list, and whether a neuron may fire again without input. All sites
    are compared, then reset: site by site took a convolutional network 20 % longer. Nor is anything
    won by comparing 32 sites at a time, while they are in the nearest cache.
    """
    limit, threshold, reset_value = (
        levels[Level.limit],
        levels[Level.threshold],
        levels[Level.reset_value],
    )
    one = np.uintp(1)
    channels, lanes, block = (
        np.uintp(population[Population.channels]),
        np.uintp(LANES),
        np.uintp(BLOCK),
    )
    first, end, pending = np.uintp(emitted), np.uintp(emitted), False
    for i in range(sites):
        neuron = np.uintp(touched[i]) * channels
        stop = neuron + channels
        while neuron + block <= stop:
            end = emit(spikes, end, neuron, above_in_block(u, neuron, limit))
            neuron += block
        while neuron + lanes <= stop:
            end = emit(spikes, end, neuron, above_in_lanes(u, neuron, limit))
            neuron += lanes
        while neuron < stop:
            if fires(u[neuron], limit):
                spikes[end] = neuron
                end += one
            neuron += one
    for k in range(first, end):
        neuron = np.uintp(spikes[k])
        if not population[Population.subtract]:
            u[neuron] = reset_value
            continue
        u[neuron] -= threshold
        site, c = neuron // channels, neuron % channels
        bias = np.float32(0.0)
        if len(biases) > 0:
            bias = biases[site % np.uintp(population[Population.groups]) * channels + c]
        if fires(catch_up_plain(u[neuron], powers[1], bias, np.float32(1.0)), limit):
            flags[site] = 1
            pending = True
    spiked = np.int64(end - first)
    counters[RESETS] += spiked
    counters[OUTPUT_SPIKES] += spiked
    return emitted + spiked, pending


@inner_kernel
def emit(spikes: Int32s, end: np.uintp, neuron: np.uintp, crossed: np.uint64) -> np.uintp:
    """Append the neurons whose bits are set, bit 0 being `neuron`; return the new end."""
    while crossed != 0:
        spikes[end] = neuron + lowest_bit(crossed)
        end += np.uintp(1)
        crossed &= crossed - np.uint64(1)
    return end


@kernel
def integrate(
    population: Int64s,
    touched: Int32s,
    sites: int,
    t: int,
    u: Float32s,
    seconds: Float32s,
    free_from: Int32s,
    returned: Float32s,
    x: Float32s,
    last: Int32s,
    fills: Int32s,
    rows: Int32s,
    row_values: Float32s,
    weights: Weights,
    biases: Float32s,
    parameters: NDArray[Any],
    recurrent: Float32s,
    flags: Flags,
    spikes: Int32s,
    spike_values: Float32s,
    emitted: int,
    counters: Int64s,
) -> tuple[int, bool]:
    """Update the touched sites neuron by neuron: `accumulate` and `fire` for any neuron model.

    `spike_values` says how often each neuron in `spikes` spiked. Returns as `fire` does.
    """
    channels, groups, loops = (
        population[Population.channels],
        population[Population.groups],
        population[Population.recurrent],
    )
    stored = population[Population.stored]
    first, compares, output_spikes = emitted, 0, 0
    pending = False
    for i in range(sites):
        site = touched[i]
        x[:stored] = 0
        start = site * population[Population.rows_per_site]
        stop = start + fills[site]
        if population[Population.graded]:
            add_graded_rows(x, 0, channels, weights, rows, row_values, start, stop)
        else:
            add_rows(x, 0, stored, np.float32(1.0), weights, rows, start, stop)
        silent = t - 1 - last[site]
        last[site], fills[site] = t, 0
        for c in range(channels):
            neuron, channel = site * channels + c, (site % groups) * channels + c
            p = parameters[channel]
            bias = biases[channel] if len(biases) > 0 else np.float32(0.0)
            free = t >= free_from[neuron]
            unheld = min(silent, max(0, t - free_from[neuron]))
            membrane, second = catch_up(p, bias, u[neuron], seconds[neuron], silent, unheld)
            if returned[neuron] > 0:
                x[c] = add_product(x[c], recurrent[channel], returned[neuron])
                returned[neuron] = 0
                counters[INPUT_EVENTS] += 1
                counters[MACS if p.many else ACS] += 1
            membrane, second, fired = step(p, bias, membrane, second, x[c], free)
            u[neuron], seconds[neuron] = membrane, second
            compares += free
            if fired > 0:
                spikes[emitted], spike_values[emitted] = neuron, fired
                emitted += 1
                output_spikes += fired
                after = t + 1 + np.int64(p.refractory)
                free_from[neuron] = min(after, np.int64(MAX_STEPS + 1))
                if loops >= 0:
                    returned[neuron] = fired
                    flags[site], pending = 1, True
            if may_fire(p, bias, membrane, second):
                flags[site], pending = 1, True
    count_updates(population, sites, counters)
    counters[COMPARES] += compares
    counters[OUTPUT_SPIKES] += output_spikes
    counters[RESETS] += emitted - first
    return emitted, pending


@kernel
def read_out(
    population: Int64s,
    readout: int,
    rests: Float32s,
    t: int,
    u: Float32s,
    spikes: Int32s,
    spike_values: Float32s,
    begin: int,
    end: int,
    spike_counts: Int64s,
    first_spikes: Int64s,
    membranes: NDArray[np.float64],
) -> None:
    """Note the spikes of the last layer, and its membranes where the readout asks for them."""
    for i in range(begin, end):
        neuron = spikes[i]
        spike_counts[neuron] += 1 if population[Population.plain] else int(spike_values[i])
        if first_spikes[neuron] < 0:
            first_spikes[neuron] = t
    if readout in (LAST_MEMBRANE, MEAN_MEMBRANE):
        for neuron in range(len(membranes)):
            membrane = u[neuron] + rests[neuron % len(rests)]
            if readout == MEAN_MEMBRANE:
                membrane += membranes[neuron]
            membranes[neuron] = membrane
