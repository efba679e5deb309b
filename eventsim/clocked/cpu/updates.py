"""Membranes, apart from what reaches them: catching up, comparing, resetting, reading out.

A plain neuron is LIF or IF, one like all others of its layer: `sites.py` and `scatter.py` add to
its membrane as spikes come, and compare it, in loops over contiguous channels. For all others
`update` takes what has arrived in a timestep, with the rules of their model.

The innermost loops index with unsigned integers: for a signed index Numba tests whether it counts
from the end, and with that test in the way the compiler did not vectorise (3.0 instead of 23
billion SOP/s, 512-channel rows in the nearest caches).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...events.arrays import MAX_STEPS
from ...jit import Float32s, Int32s, Int64s, inner_kernel, kernel_part
from ...network.graph import READOUTS
from ...network.neurons import (
    ALIF_KIND,
    CUBALIF_KIND,
    FIXED_KIND,
    LIF_KIND,
    Parameters,
    catch_up,
    factors,
    fixed,
    is_late,
    may_fire,
    relax,
    step,
)
from ...network.neurons.lif import add_product, catch_up_plain, factors_of
from ...network.neurons.rules import RESET_VALUE
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
from ...vectors import LANES, scale_lanes
from ...wiring.program import Population, Program, Value
from .state import Outcome, State

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))


@inner_kernel
def catch_up_site(program: Program, population: Int64s, state: State, site: int, t: int) -> None:
    """Apply the decay and bias of the timesteps since the last update of a site at once."""
    u = state.membranes[population[Population.neuron] :]
    last, powers = state.last[population[Population.site] :], population[Population.powers]
    n, lanes = np.uintp(population[Population.channels]), np.uintp(LANES)
    b = np.uintp(site) * n
    silent = t - last[np.uintp(site)]
    power, gain = factors_of(silent, program.powers[powers:], program.gains[powers:])
    last[np.uintp(site)] = t
    if population[Population.bias] < 0:
        for c in range(np.uintp(0), n // lanes * lanes, lanes):
            scale_lanes(u, b + c, power)
        for c in range(n // lanes * lanes, n):
            u[b + c] *= power
        return
    biases = program.biases[population[Population.biases] :]
    first = np.uintp(site % population[Population.groups]) * n
    for c in range(n):
        u[b + c] = catch_up_plain(u[b + c], power, biases[first + c], gain)


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
    at: int, t: int, silent: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Bring n neighbouring neurons of any model to timestep t, with the inputs from `at` on.

    They are brought through the `silent` timesteps before it first. In place of its input stands
    afterwards how often each spiked. Returns whether one may fire again without input.
    """
    first = population[Population.neuron] + neuron
    u, seconds = state.membranes[first:], state.seconds[first:]
    free_from, returned = state.free_from[first:], state.returned[first:]
    x, biases = state.inputs[at:], program.biases[population[Population.biases] + channel :]
    own = population[Population.parameters] + channel
    parameters, loop = program.parameters[own:], population[Population.recurrent]
    p, alike = parameters[0], population[Population.alike] > 0
    if loop >= 0:
        back, multiplied = add_returned(x, program.recurrent[loop + channel :], returned, n)
        counters[INPUT_EVENTS] += back
        counters[ACS] += back - multiplied
        counters[MACS] += multiplied
    if silent > 0:
        if alike and (p.refractory == 0 or not is_held(free_from, n, t - silent)):
            if p.kind != FIXED_KIND:
                relax_alike(p, n, silent, u, seconds, biases)
            elif p.second_decay > 0:
                pass_over_all(p, p.second_decay, n, silent, u, seconds, biases)
            else:
                pass_over_all(p, np.float32(0.0), n, silent, u, seconds, biases)
        else:
            for k in range(n):
                unheld = min(silent, max(0, t - free_from[k]))
                u[k], seconds[k] = catch_up(
                    parameters[k], biases[k], u[k], seconds[k], silent, unheld
                )
    free = n
    if is_late(p):
        again, free = step_each(
            True, p, program.values, own, n, t, u, seconds, free_from, x, biases
        )  # fmt: skip
    elif not alike or p.refractory > 0:
        again, free = step_each(
            False, p, program.values, own, n, t, u, seconds, free_from, x, biases
        )  # fmt: skip
    elif p.kind == CUBALIF_KIND:
        again = step_alike(CUBALIF_KIND, p, p.second_decay, n, u, seconds, x, biases)
    elif p.kind == ALIF_KIND:
        again = step_alike(ALIF_KIND, p, p.second_decay, n, u, seconds, x, biases)
    elif p.kind == FIXED_KIND and p.second_decay > 0:
        again = step_alike(FIXED_KIND, p, p.second_decay, n, u, seconds, x, biases)
    elif p.kind == FIXED_KIND:
        again = step_alike(FIXED_KIND, p, np.float32(0.0), n, u, seconds, x, biases)
    else:
        again = step_alike(LIF_KIND, p, p.second_decay, n, u, seconds, x, biases)
    counters[COMPARES] += free
    if loop >= 0:
        for k in range(np.uintp(n)):
            returned[k] = x[k]
            again |= x[k] > 0
    return again


@inner_kernel
def is_busy(program: Program, population: Int64s, state: State, site: int) -> bool:
    """Tell whether a neuron of a site may fire without input, or has spikes on their way back."""
    channels = population[Population.channels]
    first = population[Population.neuron] + site * channels
    biases = program.biases[population[Population.biases] :]
    parameters = program.parameters[population[Population.parameters] :]
    returns, busy = population[Population.recurrent] >= 0, False
    for k in range(channels):
        p = parameters[k]
        own = numbers_of(p.kind, p, p.second_decay)
        u, second = state.membranes[first + k], state.seconds[first + k]
        busy |= may_fire(own, biases[k], u, second, is_late(p))
        busy |= returns and state.returned[first + k] > 0
    return busy


@inner_kernel
def add_returned(x: Float32s, recurrent: Float32s, returned: Float32s, n: int) -> tuple[int, int]:
    """Add what n neurons' own spikes of the timestep before bring.

    Returns how many did spike, and how many of them more than once.
    """
    back = multiplied = 0
    for k in range(np.uintp(n)):
        if returned[k] > 0:
            x[k] = add_product(x[k], recurrent[k], returned[k])
            back += 1
            multiplied += returned[k] > 1
    return back, multiplied


@inner_kernel
def is_held(free_from: Int32s, n: int, t: int) -> bool:
    """Tell whether one of n neurons is held in timestep t, or after it."""
    held = np.int32(0)
    for k in range(np.uintp(n)):
        held |= np.int32(free_from[k] > np.int32(t))
    return bool(held > 0)


@inner_kernel
def numbers_of(kind: int, p: Any, second_decay: np.float32) -> Parameters:
    """Return the parameters of a record as numbers, of which the compiler may know these two.

    And of a kind that it knows what all neurons of that have in common.
    """
    if kind == FIXED_KIND:
        return Parameters(
            kind, p.decay, p.threshold, False, False,
            np.int32(RESET_VALUE),  # type: ignore[arg-type]
            np.float32(0.0), np.float32(-np.inf), second_decay, p.coupling, p.scale,
        )  # fmt: skip
    return Parameters(
        kind, p.decay, p.threshold, p.at_threshold > 0, p.many > 0, p.reset, p.reset_value,
        p.lower_bound, second_decay, p.coupling, p.scale,
    )  # fmt: skip


@inner_kernel
def relax_alike(
    p: Any, n: int, silent: int, u: Float32s, seconds: Float32s, biases: Float32s
) -> None:
    """Take n neurons that are not held through some silent timesteps."""
    own, usual = numbers_of(p.kind, p, p.second_decay), factors(p, silent, silent)
    for k in range(np.uintp(n)):
        u[k], seconds[k] = relax(own, biases[k], u[k], seconds[k], usual)


@inner_kernel
def pass_over_all(
    p: Any, second_decay: np.float32, n: int, silent: int, u: Float32s, seconds: Float32s,
    biases: Float32s,
) -> None:  # fmt: skip
    """Take n neurons in fixed point through silent timesteps, until nothing changes any more.

    All of them together through each timestep, as vectors; neuron by neuron, to its own end, two
    convolutional networks took 3 and 4 times as long. `second_decay` as for `step_alike`.
    """
    own = numbers_of(FIXED_KIND, p, second_decay)
    for _ in range(silent):
        changed = np.int32(0)
        for k in range(np.uintp(n)):
            membrane, second = fixed.pass_over(own, biases[k], u[k], seconds[k])
            changed |= np.int32(membrane != u[k]) | np.int32(second != seconds[k])
            u[k], seconds[k] = membrane, second
        if changed == 0:
            break


@inner_kernel
def step_alike(
    kind: int, p: Any, second_decay: np.float32, n: int, u: Float32s, seconds: Float32s,
    x: Float32s, biases: Float32s,
) -> bool:  # fmt: skip
    """Run a timestep of n neurons that have all parameters in common and are never held.

    `kind`, and a `second_decay` of 0, are numbers that the compiler knows, so that each model has
    its loop of vectors: 0.34 ns a neuron; 0.75 with refractory times, and 1.1 with parameters of
    each channel, as in `step_each`; one by one, 7 ns. In fixed point 0.39 without a current that
    flows on. Returns whether one may fire again without input.
    """
    own, again = numbers_of(kind, p, second_decay), np.int32(0)
    for k in range(np.uintp(n)):
        membrane, second, fired = step(own, biases[k], u[k], seconds[k], x[k], True, False)
        u[k], seconds[k], x[k] = membrane, second, fired
        again |= np.int32(may_fire(own, biases[k], membrane, second, False))
    return bool(again > 0)


@inner_kernel
def step_each(
    late: bool, p: Any, values: NDArray[np.float32], first: int, n: int, t: int, u: Float32s,
    seconds: Float32s, free_from: Int32s, x: Float32s, biases: Float32s,
) -> tuple[bool, np.int64]:  # fmt: skip
    """Do as `step_alike` for n neurons of any kind; return as well how many were free.

    `late` is a number that the compiler knows; see `neurons.step`.
    """
    many, at_threshold, c = p.many > 0, p.at_threshold > 0, np.uintp(first)
    steps = np.int32(t)
    then = np.int32(min(t + 1 + np.int64(p.refractory), np.int64(MAX_STEPS + 1)))
    again, frees = np.int32(0), np.int32(0)
    for k in range(np.uintp(n)):
        own = Parameters(
            p.kind, values[Value.decay, c + k], values[Value.threshold, c + k], at_threshold, many,
            p.reset, values[Value.reset_value, c + k], values[Value.lower_bound, c + k],
            values[Value.second_decay, c + k], values[Value.coupling, c + k], p.scale,
        )  # fmt: skip
        free = steps >= free_from[k]
        membrane, second, fired = step(own, biases[k], u[k], seconds[k], x[k], free, late)
        u[k], seconds[k], x[k] = membrane, second, fired
        free_from[k] = then if fired > 0 else free_from[k]
        frees += np.int32(free)
        again |= np.int32(may_fire(own, biases[k], membrane, second, late))
    return bool(again > 0), np.int64(frees)


@kernel_part
def read_out(
    program: Program, population: Int64s, state: State, slot: int, first: int, stop: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Note the last layer's spikes of the timesteps first .. stop - 1, those of t from
    starts[slot + t] on; and its membranes, of the last of these, where the readout asks for them.
    """
    u, rests = state.membranes[population[Population.neuron] :], program.rests
    many, membranes, starts = population[Population.many] > 0, outcome.membranes, state.starts
    readout = program.readout
    for t in range(first, stop):
        for i in range(starts[slot + t], starts[slot + t + 1]):
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
