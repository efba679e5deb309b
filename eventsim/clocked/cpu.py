"""The clocked engine on the CPU: for every timestep and layer route, accumulate, fire.

route       each spike that arrives looks up the sites it reaches and puts its weight row on their
            lists
accumulate  each touched site catches up with the silent timesteps, then adds its rows
fire        each touched site compares, resets, and emits the spikes for the layers behind

The first is in `routing.py`, the others are in `updates.py`. Nothing there looks at a site that no
spike reached, except in layers that may fire without input (their bias carries a neuron over
threshold) and in the last one where membranes are read out; and sites stay on the list while a
neuron of theirs may still fire.
Spikes are emitted in ascending order of neurons, so the order of additions, and with it every bit
of the result, depends on nothing but network and input.

Called by `simulator.py`. Arrays are flat; `program.py` says what each offset means.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Int32s, Int64s, kernel, parallel_kernel
from ..network import READOUTS
from ..program import C, P, Program
from .routing import arrive, collect
from .state import Outcome, Recording, State, clear, outcome_of, state_of
from .updates import accumulate, fire, integrate

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
    # Out of the tuples before the loop: inside it Numba counts a reference for each (10.1 ms a
    # sample instead of 6.4 on a convolutional network).
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
