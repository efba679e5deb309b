"""The clocked engine on the CPU: a layer at a time through a stretch of timesteps.

A layer of plain neurons gathers what arrives, position by position through time (`gather.py`). Any
other, and a narrow one that few spikes reach, goes timestep by timestep:

arrive      each spike that gets past max pools and delays (`admission.py`) puts its weight row on
            the lists of the sites that it reaches, or adds it at once (`routing.py`)
accumulate  each site with work catches up with the silent timesteps, then adds its rows
fire        each site with work compares, resets, and emits the spikes for the layers behind
            (both in `updates.py`; `integrate` is the two for neurons that are not plain)

Nothing looks at a site that no spike reached, except in layers that may fire without input (their
bias carries a neuron over threshold) and in the last one where membranes are read out; and sites
stay on the list while a neuron of theirs may still fire.

Spikes only go forward in the list of layers, so a layer runs through a stretch before the layer
behind it follows, and its arrays are cut out of the tuples once a stretch. They are emitted in
ascending order of neurons, so the order of additions, and with it every bit of the result, depends
on nothing but network and input.

Called by `run.py`, stretch by stretch. Arrays are flat; `program.py` says what each offset means.
"""

from __future__ import annotations

from ...jit import kernel
from ...wiring.program import Connection, Population, Program
from .admission import admit
from .gather import run_gathered
from .routing import arrive, collect
from .state import InputSpikes, Outcome, State
from .updates import accumulate, fire, integrate, read_out


@kernel
def begin_stretch(program: Program, state: State, before: int) -> None:
    """Move the spikes that delays will still ask for to the front of each list."""
    starts, spikes, values = state.starts, state.spikes, state.spike_values
    populations = program.populations
    for number in range(-1, len(populations)):
        start, remembered = program.input_start, program.input_remembered
        if number >= 0:
            start, remembered = (
                populations[number, Population.start],
                populations[number, Population.remembered],
            )
        shift = starts[start + before] - starts[start]
        for i in range(starts[start + before], starts[start + before + remembered]):
            spikes[i - shift] = spikes[i]
            if len(values) > 0:
                values[i - shift] = values[i]
        for k in range(start, start + remembered + 1):
            starts[k] = starts[k + before] - shift


@kernel
def take_in(program: Program, state: State, inputs: InputSpikes, first: int, stop: int) -> None:
    """Append the input cells of the timesteps first .. stop - 1 to their list."""
    starts, spikes, values = state.starts, state.spikes, state.spike_values
    pointers, cells, cell_values = inputs.pointers, inputs.cells, inputs.values
    slot = program.input_start + program.input_remembered
    shift = starts[slot] - pointers[first]
    for t in range(first, stop):
        starts[slot + t - first + 1] = pointers[t + 1] + shift
    begin, end = pointers[first], pointers[stop]
    spikes[begin + shift : end + shift] = cells[begin:end]
    if len(values) > 0:
        values[begin + shift : end + shift] = cell_values[begin:end]


@kernel
def arriving(program: Program, number: int, state: State, steps: int) -> int:
    """Return how many spikes come to a layer in a stretch, before max pools and delays.

    Of its own those that it has emitted before, which is all that it gets where nothing else comes.
    """
    population, ways, spikes = program.populations[number], program.connections, 0
    first_way = population[Population.connection]
    for way in range(first_way, first_way + population[Population.connections]):
        delay = ways[way, Connection.delay]
        known = min(delay, steps) if ways[way, Connection.source] == number else steps
        at = ways[way, Connection.start] - delay
        spikes += state.starts[at + known] - state.starts[at]
    return spikes


@kernel
def run_layer(
    program: Program, number: int, state: State, first: int, stop: int, outcome: Outcome
) -> None:
    """Run one layer through the timesteps first .. stop - 1."""
    population, levels = program.populations[number], program.levels[number]
    steps, slot = stop - first, population[Population.start] + population[Population.remembered]
    spikes_arriving = arriving(program, number, state, steps)
    if spikes_arriving == 0 and not population[Population.awake] and not state.pending[number]:
        for t in range(steps):
            state.starts[slot + t + 1] = state.starts[slot]
        return
    enough = population[Population.gather_from] * steps + population[Population.gather_least]
    if population[Population.width] > 0 and spikes_arriving >= enough:
        run_gathered(program, number, state, first, stop, outcome)
        return
    ways, pointers, spans, weights = (
        program.connections, program.pointers, program.spans, program.weights
    )  # fmt: skip
    delayed, readout = program.delayed, program.readout
    counters = outcome.counters[number]
    # This layer's part of what is laid end to end.
    neuron, site, channel = (
        population[Population.neuron],
        population[Population.site],
        population[Population.parameters],
    )
    parameters = program.parameters[channel:]
    recurrent = program.recurrent[max(0, population[Population.recurrent]) :]
    powers, gains = (
        program.powers[population[Population.powers] :],
        program.gains[population[Population.powers] :],
    )
    biases = program.biases[:0]
    if population[Population.bias] >= 0:
        bias = population[Population.bias]
        biases = program.biases[
            bias : bias + population[Population.groups] * population[Population.channels]
        ]
    u, seconds = state.membranes[neuron:], state.seconds[neuron:]
    free_from, returned = state.free_from[neuron:], state.returned[neuron:]
    last, flags, words = state.last[site:], state.flags[site:], state.words[site // 8 :]
    fills, touched, inputs = state.fills[site:], state.touched, state.inputs
    rows, row_values = (
        state.rows[population[Population.row] :],
        state.row_values[population[Population.row] :],
    )
    starts, spikes, spike_values = state.starts, state.spikes, state.spike_values
    arrived, arrived_values = state.arrived, state.arrived_values
    pooled, pooled_words = state.pooled, state.pooled_words

    first_way = population[Population.connection]
    end_of_ways = first_way + population[Population.connections]
    slot -= first
    reads = number == len(program.populations) - 1
    pending = state.pending[number] > 0
    for t in range(first, stop):
        emitted = starts[slot + t]
        busy = pending or population[Population.awake] > 0
        for way in range(first_way, end_of_ways):
            at = ways[way, Connection.start] + t - first - ways[way, Connection.delay]
            begin, end = starts[at], starts[at + 1]
            if end == begin:
                continue
            busy = True
            if ways[way, Connection.pooled] < 0 and ways[way, Connection.delayed] < 0:
                arrive(
                    way, ways, population, pointers, spans, spikes, spike_values, begin, end, t,
                    weights, u, last, flags, fills, rows, row_values, powers, gains, biases,
                    counters,
                )  # fmt: skip
            else:
                end = admit(
                    way, ways, pointers, spans, delayed, spikes, spike_values, begin, end,
                    pooled, pooled_words, arrived, arrived_values,
                )  # fmt: skip
                arrive(
                    way, ways, population, pointers, spans, arrived, arrived_values, 0, end, t,
                    weights, u, last, flags, fills, rows, row_values, powers, gains, biases,
                    counters,
                )  # fmt: skip
        if busy:
            sites = collect(population, flags, words, touched)
            if population[Population.plain]:
                accumulate(
                    population, touched, sites, t, u, last, fills, rows, row_values, weights,
                    powers, gains, biases, counters,
                )  # fmt: skip
                emitted, pending = fire(
                    population, levels, touched, sites, u, powers, biases, flags, spikes, emitted,
                    counters,
                )  # fmt: skip
            else:
                emitted, pending = integrate(
                    population, touched, sites, t, u, seconds, free_from, returned, inputs, last,
                    fills, rows, row_values, weights, biases, parameters, recurrent, flags, spikes,
                    spike_values, emitted, counters,
                )  # fmt: skip
            if reads:
                read_out(
                    population, readout, program.rests, t, u, spikes, spike_values,
                    starts[slot + t], emitted, outcome.spike_counts, outcome.first_spikes,
                    outcome.membranes,
                )  # fmt: skip
        starts[slot + t + 1] = emitted
    state.pending[number] = pending
