"""The clocked engine on the CPU: a layer at a time through a stretch of timesteps.

What reaches a layer through max pools and delays is listed first (`admission.py`). Then the layer
gathers, position by position through time (`gather.py`), or spikes scatter, timestep by timestep
(`scatter.py`); `wiring/populations.py` says from how many spikes on it gathers. Both have the same
outcome, bit for bit.

Spikes only go forward in the list of layers, so a layer runs through a stretch before the layer
behind it follows. They are emitted in ascending order of neurons, so the order of additions, and
with it every bit of the result, depends on nothing but network and input.

Called by `sample.py`, stretch by stretch. Arrays are flat; `program.py` says what each offset is
for.
"""

from __future__ import annotations

from ...events.stretches import Marked, Packet, Place, Stretch, next_stretch
from ...jit import Int64s, kernel, kernel_glue
from ...wiring.program import Connection, Population, Program
from .admission import admit
from .gather import run_gathered
from .scatter import run_scattered
from .state import Outcome, State, clear
from .team import Team


@kernel_glue
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


@kernel_glue
def take_in(program: Program, state: State, inputs: Stretch, first: int, stop: int) -> None:
    """Append the input cells of the timesteps first .. stop - 1 to their list."""
    starts, spikes, values = state.starts, state.spikes, state.spike_values
    pointers, cells, cell_values = inputs.pointers, inputs.cells, inputs.values
    slot = program.input_start + program.input_remembered
    shift = starts[slot] - pointers[first]
    for t in range(first, stop):
        starts[slot + t - first + 1] = pointers[t + 1] + shift
    begin, end = pointers[first], pointers[stop]
    for i in range(begin, end):
        spikes[i + shift] = cells[i]
    if len(values) > 0:
        for i in range(begin, end):
            values[i + shift] = cell_values[i]


@kernel_glue
def open_stretch(
    program: Program, state: State, stretch: Stretch, first: int, stop: int, before: int
) -> None:
    """Do what comes before the layers of a stretch; as `run_stretch`.

    The first stretch of a recording silences the state: a kernel of its own for that took 13 us,
    most of it to take the arrays out of the tuples.
    """
    if first == 0:
        clear(program, state)
    begin_stretch(program, state, before)
    take_in(program, state, stretch, 0, stop - first)


@kernel_glue
def arriving(program: Program, number: int, state: State, steps: int) -> int:
    """Return how many spikes come to a layer in a stretch.

    Of its own those that it has emitted before, which is all that it gets where nothing else comes.
    """
    population, ways, spikes = program.populations[number], program.connections, 0
    first_way = population[Population.connection]
    for way in range(first_way, first_way + population[Population.connections]):
        known = steps
        if ways[way, Connection.source] == number:
            known = min(ways[way, Connection.delay], steps)
        at = ways[way, Connection.arriving]
        spikes += state.starts[at + known] - state.starts[at]
    return spikes


@kernel_glue
def run_layer(
    program: Program, number: int, state: State, team: Team | None, first: int, stop: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Run one layer through the timesteps first .. stop - 1."""
    population, steps = program.populations[number], stop - first
    first_way = population[Population.connection]
    for way in range(first_way, first_way + population[Population.connections]):
        if program.connections[way, Connection.admitted] >= 0:
            admit(state.pooled, program, way, state, steps)
    spikes = arriving(program, number, state, steps)
    if spikes == 0 and not population[Population.awake] and not state.pending[number]:
        slot = population[Population.start] + population[Population.remembered]
        for t in range(steps):
            state.starts[slot + t + 1] = state.starts[slot]
        return
    enough = population[Population.gather_from] * steps + population[Population.gather_least]
    if population[Population.width] > 0 and spikes >= enough:
        run_gathered(program, number, state, team, first, stop, outcome)
    else:
        run_scattered(state.touched, program, number, state, first, stop, outcome)


@kernel_glue
def run_stretch(
    program: Program,
    state: State,
    team: Team | None,
    stretch: Stretch,
    first: int,
    stop: int,
    before: int,
    outcome: Outcome,
) -> None:
    """Run the timesteps first .. stop - 1, which `stretch` has; add to `outcome`.

    `before` is the number of timesteps that the call before this one ran through. The spikes of
    each layer stand in `state.spikes` until the next call.
    """
    open_stretch(program, state, stretch, first, stop, before)
    for number in range(len(program.populations)):
        run_layer(program, number, state, team, first, stop, outcome)


@kernel
def run_stretches(
    program: Program,
    state: State,
    team: Team | None,
    packet: Packet,
    marked: Marked,
    numbers: Int64s,
    spikes: Stretch,
    before: int,
    most: int,
    outcome: Outcome,
) -> tuple[int, int, bool]:
    """Bin a packet and run the timesteps that it closes, at most so many stretches of them.

    `spikes` is memory for one stretch, `before` as in `run_stretch`. Returns how many timesteps
    were run, how many by the last stretch, and whether there may be more.

    One kernel for both: two threads that came back to Python in between did 1.2 times what one
    does (see `short_kernel`).
    """
    steps = 0
    for _ in range(most):
        step = numbers[Place.step]
        closed = next_stretch(packet, marked, numbers, spikes)
        if closed == 0:
            return steps, before, False
        run_stretch(program, state, team, spikes, step, step + closed, before, outcome)
        steps, before = steps + closed, closed
    return steps, before, True
