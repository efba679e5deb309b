"""Layers position by position through time: every position looks up what reaches it.

A layer whose inputs do not depend on its own outputs runs through a chunk of timesteps at once:

    for some sites at a time:
        note the visits of each: timesteps in which spikes reach it, and the rows that they bring
        for group of blocks of channels:        their weights stay in the second-level cache
            for site:
                for visit:
                    catch up, add the rows, compare, reset; the spikes as a word of bits
    words of bits -> spikes of each timestep, ascending

`visits.py` notes them; `wiring/runs.py` says what brings rows. A group is one block where nothing
that a block does concerns another. Where a neuron may fire again without input, its site is visited
in the next timestep: then a group has all blocks of a site. A layer with recurrence has chunks of
one timestep.
"""

from __future__ import annotations

from ...jit import Int64s, kernel_glue
from ...operations import ACS, INPUT_EVENTS, MACS, OUTPUT_SPIKES, RESETS
from ...wiring.program import Connection, Population, Program
from .emission import emit_noted
from .state import Outcome, State
from .team import Team, share
from .updates import read_out
from .visits import note_positions


@kernel_glue
def run_gathered(
    program: Program, number: int, state: State, team: Team | None, first: int, stop: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Run one layer through the timesteps first .. stop - 1, as `layer.run_layer` does."""
    population, starts = program.populations[number], state.starts
    counters, chunk = outcome.counters[number], population[Population.chunk]
    slot = population[Population.start] + population[Population.remembered] - first
    words = (population[Population.sites] + 63) >> 6
    reads = number == len(program.populations) - 1
    for begin in range(first, stop, chunk):
        end = min(begin + chunk, stop)
        state.visited[: words * (end - begin)] = 0
        state.pending[number] = run_chunk(
            program, number, state, team, begin - first, begin, end, counters
        )
        spikes = emit_noted(population, state, end - begin, slot + begin)
        counters[RESETS] += starts[slot + end] - starts[slot + begin]
        counters[OUTPUT_SPIKES] += spikes
        # Without spikes there is something to read only where membranes are read.
        if reads and (spikes > 0 or population[Population.awake]):
            read_out(program, population, state, slot, begin, end, outcome)


@kernel_glue
def run_chunk(
    program: Program, number: int, state: State, team: Team | None, before: int, begin: int,
    end: int, counters: Int64s,
) -> bool:  # fmt: skip
    """Run every site through a chunk, which begins `before` timesteps after the stretch.

    Returns whether a neuron may fire again without input.
    """
    population, ways, steps = program.populations[number], program.connections, end - begin
    first_way = population[Population.connection]
    for way in range(first_way, first_way + population[Population.connections]):
        at = ways[way, Connection.arriving] + before
        counters[INPUT_EVENTS] += state.starts[at + steps] - state.starts[at]
        if population[Population.looks_up]:
            reached, multiplied = note_positions(
                state.position_words, program, population, way, state, before, steps
            )
            counters[ACS] += (reached - multiplied) * population[Population.channels]
            counters[MACS] += multiplied * population[Population.channels]
    return share(team, program, number, state, before, begin, end, counters)
