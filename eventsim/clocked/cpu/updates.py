"""Membranes, apart from what reaches them: catching up, comparing, resetting, reading out.

A plain neuron is LIF or IF, one like all others of its layer: `gather.py` and `scatter.py` add to
its membrane as spikes come, and compare it, in loops over contiguous channels. For all others
`update` takes what has arrived in a timestep, with the rules of their model.

The innermost loops index with unsigned integers: for a signed index Numba tests whether it counts
from the end, and with that test in the way the compiler did not vectorise (3.0 instead of 23
billion SOP/s, 512-channel rows in the nearest caches).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...events.arrays import MAX_STEPS
from ...jit import Float32s, Int32s, Int64s, inner_kernel, kernel_part
from ...network.graph import READOUTS
from ...network.neurons import (
    ALIF_KIND,
    CUBALIF_KIND,
    LIF_KIND,
    Parameters,
    catch_up,
    may_fire,
    relax,
    step,
)
from ...network.neurons.lif import add_product
from ...operations import (
    ACS,
    BIAS_ADDS,
    COMPARES,
    DECAYS,
    INPUT_EVENTS,
    MACS,
    SITE_UPDATES,
    UPDATES,
)
from ...vectors import BLOCK, LANES, above_in_block, above_in_lanes, lowest_bit
from ...wiring.program import Population, Program, Value
from .state import Outcome, State

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))


@inner_kernel
def count_updates(population: Int64s, sites: int, counters: Int64s) -> None:
    """Count what bringing sites up to date takes."""
    neurons = sites * population[Population.channels]
    counters[SITE_UPDATES] += sites
    counters[UPDATES] += neurons * population[Population.variables]
    counters[DECAYS] += neurons * population[Population.leaks]
    if population[Population.bias] >= 0:
        counters[BIAS_ADDS] += neurons


@inner_kernel
def update(
    program: Program, population: Int64s, state: State, neuron: int, channel: int, n: int,
    at: int, t: int, silent: int, usual: tuple[np.float32, ...], counters: Int64s,
) -> bool:  # fmt: skip
    """Bring n neighbouring neurons of any model to timestep t, with the inputs from `at` on.

    `usual`: the factors of the `silent` timesteps before, where no parameter is a channel's own and
    no neuron is held. How often each spiked is in `state.spiked`. Returns whether one may fire
    again without input.
    """
    first = population[Population.neuron] + neuron
    u, seconds = state.membranes[first:], state.seconds[first:]
    free_from, returned = state.free_from[first:], state.returned[first:]
    x, biases = state.inputs[at:], program.biases[population[Population.biases] + channel :]
    parameters = program.parameters[population[Population.parameters] + channel :]
    loop = population[Population.recurrent]
    p = parameters[0]
    if loop >= 0:
        back = add_returned(x, program.recurrent[loop + channel :], returned, n)
        counters[INPUT_EVENTS] += back
        counters[MACS if p.many else ACS] += back
    if silent > 0 and (not population[Population.alike] or is_held(free_from, n, t - silent)):
        for k in range(n):
            unheld = min(silent, max(0, t - free_from[k]))
            u[k], seconds[k] = catch_up(
                parameters[k], biases[k], u[k], seconds[k], silent, unheld
            )  # fmt: skip
        silent = 0
    kind, values = p.kind, program.values
    c, after = population[Population.parameters] + channel, min(t + 1 + p.refractory, MAX_STEPS + 1)
    spiked = state.spiked
    if kind == CUBALIF_KIND:
        again, free = advance(
            CUBALIF_KIND,
            p,
            values,
            c,
            n,
            t,
            after,
            silent,
            usual,
            u,
            seconds,
            free_from,
            x,
            biases,
            spiked,
        )
    elif kind == ALIF_KIND:
        again, free = advance(
            ALIF_KIND,
            p,
            values,
            c,
            n,
            t,
            after,
            silent,
            usual,
            u,
            seconds,
            free_from,
            x,
            biases,
            spiked,
        )
    else:
        again, free = advance(
            LIF_KIND,
            p,
            values,
            c,
            n,
            t,
            after,
            silent,
            usual,
            u,
            seconds,
            free_from,
            x,
            biases,
            spiked,
        )
    counters[COMPARES] += free
    if loop >= 0:
        for k in range(np.uintp(n)):
            returned[k] = state.spiked[k]
            again |= state.spiked[k] > 0
    return again


@inner_kernel
def add_returned(x: Float32s, recurrent: Float32s, returned: Float32s, n: int) -> int:
    """Add what n neurons' own spikes of the timestep before bring; return how many did spike."""
    back = 0
    for k in range(np.uintp(n)):
        if returned[k] > 0:
            x[k] = add_product(x[k], recurrent[k], returned[k])
            back += 1
    return back


@inner_kernel
def is_held(free_from: Int32s, n: int, t: int) -> bool:
    """Tell whether one of n neurons is held in timestep t, or after it."""
    held = np.int32(0)
    for k in range(np.uintp(n)):
        held |= np.int32(free_from[k] > np.int32(t))
    return held > 0


@inner_kernel
def advance(
    kind: int, p: Any, values: Float32s, first: int, n: int, t: int, after: int,
    silent: int, usual: tuple[np.float32, ...], u: Float32s, seconds: Float32s, free_from: Int32s,
    x: Float32s, biases: Float32s, spiked: Float32s,
) -> tuple[bool, int]:  # fmt: skip
    """Run n neurons of one model through the silent timesteps, and then timestep t.

    `kind` is a number that the compiler knows, so that it makes loops of vectors of each model:
    0.6 ns a neuron; 1.0 where it finds out by itself; one by one, 7 ns. A neuron that spikes is
    free from timestep `after` on. Returns whether one may fire again without input, and how many
    were free.
    """
    many, at_threshold, reset = p.many > 0, p.at_threshold > 0, p.reset
    c, steps, then = np.uintp(first), np.int32(t), np.int32(after)
    for k in range(np.uintp(n) if silent > 0 else np.uintp(0)):
        own = Parameters(
            kind, np.float32(0), np.float32(0), at_threshold, many, reset, np.float32(0),
            values[Value.lower_bound, c + k], np.float32(0), np.float32(0),
        )  # fmt: skip
        u[k], seconds[k] = relax(own, biases[k], u[k], seconds[k], usual)
    again, frees = np.int32(0), np.int32(0)
    for k in range(np.uintp(n)):
        own = Parameters(
            kind, values[Value.decay, c + k], values[Value.threshold, c + k], at_threshold, many,
            reset, values[Value.reset_value, c + k], values[Value.lower_bound, c + k],
            values[Value.second_decay, c + k], values[Value.coupling, c + k],
        )  # fmt: skip
        free = steps >= free_from[k]
        membrane, second, fired = step(own, biases[k], u[k], seconds[k], x[k], free)
        u[k], seconds[k], x[k], spiked[k] = membrane, second, 0, fired
        free_from[k] = then if fired > 0 else free_from[k]
        frees += np.int32(free)
        again |= np.int32(may_fire(own, biases[k], membrane, second))
    return again > 0, np.int64(frees)


@inner_kernel
def bits_of(spiked: Float32s, width: int) -> np.uint64:
    """Return bits that say which of the first `width` neurons spiked."""
    if width == BLOCK:
        return above_in_block(spiked, np.uintp(0), np.float32(0))
    bits = np.uint64(0)
    for k in range(np.uintp(width // LANES)):
        some = above_in_lanes(spiked, k * np.uintp(LANES), np.float32(0))
        bits |= some << np.uint64(k * np.uintp(LANES))
    return bits


@inner_kernel
def emit(spikes: Int32s, end: np.uintp, neuron: np.uintp, crossed: np.uint64) -> np.uintp:
    """Append the neurons whose bits are set, bit 0 being `neuron`; return the new end."""
    while crossed != 0:
        spikes[end] = neuron + lowest_bit(crossed)
        end += np.uintp(1)
        crossed &= crossed - np.uint64(1)
    return end


@kernel_part
def read_out(
    program: Program, population: Int64s, state: State, t: int, starts: Int64s, outcome: Outcome
) -> None:
    """Note the spikes of the last layer, and its membranes where the readout asks for them."""
    u, rests, readout = (
        state.membranes[population[Population.neuron] :], program.rests, program.readout
    )  # fmt: skip
    many, membranes = population[Population.many] > 0, outcome.membranes
    for i in range(starts[0], starts[1]):
        neuron = state.spikes[i]
        outcome.spike_counts[neuron] += int(state.spike_values[i]) if many else 1
        if outcome.first_spikes[neuron] < 0:
            outcome.first_spikes[neuron] = t
    if readout in (LAST_MEMBRANE, MEAN_MEMBRANE):
        for neuron in range(len(membranes)):
            membrane = u[neuron] + rests[neuron % len(rests)]
            if readout == MEAN_MEMBRANE:
                membrane += membranes[neuron]
            membranes[neuron] = membrane
