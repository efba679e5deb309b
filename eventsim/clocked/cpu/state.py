"""What one running sample changes, and what comes out of it, for the kernels of this folder.

`new_state` allocates everything before the first timestep; nothing is allocated after that. Where
an array is None, the network has no use for it, and the kernels that need it are not compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...jit import Flags, Float32s, Int32s, Int64s, Words, kernel_glue, kernel_part
from ...operations import ACS, COUNTERS, INPUT_EVENTS, MACS
from ...vectors import new_array
from ...wiring.program import Connection, Population, Program


class Noted(NamedTuple):
    """In which timesteps spikes reach the sites that are noted, and with which rows."""

    timesteps: Int32s  # (visits,)
    pointers: Int32s  # (most_sites + 1,) where the visits of each site begin,
    row_pointers: Int32s  # (visits + 1,) and where the rows of each visit:
    rows: Int32s  # (visit_rows,)
    values: Float32s  # likewise, what they are multiplied by; None if all are 1
    powers: Float32s  # (visits,) what membranes are multiplied by before
    gains: Float32s  # and biases, to be added


class State(NamedTuple):
    """The state of one running sample."""

    membranes: Float32s  # (neurons,)
    seconds: Float32s  # (neurons,) currents or adaptations; empty if no layer has them
    free_from: Int32s  # (neurons,) first timestep that is not refractory; empty likewise
    returned: Float32s  # (neurons,) own spikes of the timestep before; empty likewise
    last: Int32s  # (sites,) timestep of the last update
    flags: Flags  # (sites,) 1 where a site has work in the next timestep
    pending: Flags  # (populations,) 1 where a site has
    spikes: Int32s  # neurons that spiked in the stretch, at each layer's offset
    spike_values: Float32s  # how many spikes each stands for; empty if all are 1
    starts: Int64s  # where in `spikes` each timestep begins, at each layer's offset
    begins: Int32s  # (begins,) where the spikes of each position and timestep of a chunk begin
    position_words: Words  # (words,) the timesteps of a chunk in which it spikes
    noted: Noted
    visited: Words  # (visited,) a bit for each site and timestep of a gathered layer's chunk
    masks: Words  # (masks,) the spikes of these, as bits
    multiples: Float32s  # (multiples,) how many spikes each of these is, where that may be many
    touched: Int32s  # (sites,) the sites that have work in a timestep, ascending
    inputs: Float32s  # (inputs,) what arrives at neurons that are not plain, 0 else
    pooled: Float32s  # (pooled_cells,) maxima in the cells of a max pool, 0 between timesteps
    pooled_words: Words  # a bit for each of them, where it is not 0


class Outcome(NamedTuple):
    """What the kernels add up for one sample."""

    counters: NDArray[np.int64]  # (layers, COUNTERS)
    spike_counts: Int64s  # (outputs,)
    first_spikes: Int64s  # (outputs,) timestep, -1 where none
    membranes: NDArray[np.float64]  # (outputs,) of the last timestep, or their sum over all


# Two threads that write to one cache line (or to two that are fetched together) wait for each
# other: with their small arrays side by side, two threads took longer than one.
_APART = 256  # bytes


def new_state(program: Program) -> State:
    """Allocate the state of one sample at a time; `clear` it before each.

    Lists are as long as they can get; what is never touched takes no memory. Nor is it filled with
    zeros, which took 2.5 ms for the 25 MB of a network of 512-512-512.
    """

    def rows(size: int, dtype: DTypeLike, used: bool = True) -> NDArray[Any]:
        item = np.dtype(dtype).itemsize
        padded = (-(-size * item // _APART) + 1) * _APART // item
        return new_array(padded if used else 0, dtype)

    general = not program.populations[:, Population.plain].all()
    valued = program.graded or bool(program.populations[:, Population.many].any())
    # Where an array is None, what needs it is not compiled: ways to scatter, where all layers have
    # one site and gather; neurons that are not plain, and values of spikes; and what plain neurons
    # do without input, where they only fire with it. With loops for each model of neurons left out
    # like that a first run took a third less, but nearly every network compiled again.
    plain = not general and not valued
    flat = gathers_always(program)
    calm = (
        plain and flat and not program.populations[:, [Population.subtract, Population.awake]].any()
    )
    return State(
        membranes=rows(program.neurons, np.float32),
        seconds=rows(program.neurons, np.float32, general),
        free_from=rows(program.neurons, np.int32, general),
        returned=rows(program.neurons, np.float32, general),
        last=rows(program.sites, np.int32),
        flags=None if calm else rows(program.sites, np.uint8),  # type: ignore[arg-type]
        pending=rows(len(program.populations), np.uint8),
        spikes=rows(program.spikes, np.int32),
        spike_values=rows(program.spikes, np.float32, valued),
        starts=rows(program.starts, np.int64),
        begins=rows(program.begins, np.int32),
        position_words=None if flat else rows(program.words, np.uint64),  # type: ignore[arg-type]
        noted=Noted(
            timesteps=rows(program.visits, np.int32),
            pointers=rows(program.most_sites + 1, np.int32),
            row_pointers=rows(program.visits + 1, np.int32),
            rows=rows(program.visit_rows, np.int32),
            values=None if plain else rows(program.visit_rows, np.float32),  # type: ignore[arg-type]
            powers=rows(program.visits, np.float32),
            gains=rows(program.visits, np.float32),
        ),
        visited=rows(program.visited, np.uint64),
        masks=rows(program.masks, np.uint64),
        multiples=rows(program.multiples, np.float32),
        touched=None if flat else rows(program.sites, np.int32),  # type: ignore[arg-type]
        inputs=None if plain else rows(program.inputs, np.float32),  # type: ignore[arg-type]
        pooled=None if flat else rows(program.pooled_cells, np.float32),  # type: ignore[arg-type]
        pooled_words=rows(-(-program.pooled_cells // 64), np.uint64),
    )


def gathers_always(program: Program) -> bool:
    """Tell whether all layers gather whatever comes, straight from layers, at their one site."""
    layers, ways = program.populations, program.connections
    least = layers[:, [Population.gather_from, Population.gather_least]]
    return bool(
        (layers[:, Population.looks_up] == 0).all()
        and (layers[:, Population.width] > 0).all()
        and (least == 0).all()
        and (ways[:, Connection.admitted] < 0).all()
    )


def new_outcome(program: Program) -> Outcome:
    """Allocate what the kernels add up."""
    return Outcome(
        np.zeros((len(program.populations), len(COUNTERS)), np.int64),
        np.zeros(program.outputs, np.int64),
        np.full(program.outputs, -1, np.int64),
        np.zeros(program.outputs),
    )


@kernel_glue
def clear(program: Program, state: State) -> None:
    """Silence a state, before each sample."""
    state.membranes[:] = 0
    state.seconds[:] = 0
    state.free_from[:] = 0
    state.returned[:] = 0
    state.last[:] = -1
    silence(state.flags)
    state.pending[:] = 0
    silence(state.inputs)
    silence(state.pooled)
    state.pooled_words[:] = 0
    # Nobody spiked before the first timestep.
    for k in range(program.input_remembered + 1):
        state.starts[program.input_start + k] = program.input_spike
    for number in range(len(program.populations)):
        population = program.populations[number]
        for k in range(population[Population.remembered] + 1):
            state.starts[population[Population.start] + k] = population[Population.spike]


@kernel_part
def silence(array: Flags | Float32s | None) -> None:
    """Fill an array with zeros, if it is there."""
    if array is None:
        return
    array[:] = 0


# What lives from one timestep to the next; the rest is empty between them.
_OF_NEURONS = ("membranes", "seconds", "free_from", "returned")


def kept(program: Program, state: State) -> dict[str, NDArray[Any]]:
    """Return what a state holds between stretches, when `begin_stretch` has moved the spikes.

    Of the spikes these are the ones that delays will still ask for.
    """
    flags = np.zeros(program.sites, np.uint8) if state.flags is None else state.flags
    found: dict[str, NDArray[Any]] = {"last": state.last[: program.sites]}
    found["flags"] = flags[: program.sites]
    found |= {name: getattr(state, name)[: program.neurons] for name in _OF_NEURONS}
    found["pending"] = state.pending[: len(program.populations)]
    spans = _remembered(program)
    starts = np.concatenate([state.starts[span] for span in spans])
    listed = [slice(state.starts[span][0], state.starts[span][-1]) for span in spans]
    found["starts"] = starts
    for name in ("spikes", "spike_values"):
        values = getattr(state, name)
        found[name] = np.concatenate([values[part] for part in listed]) if len(values) else values
    return found


def keep(program: Program, state: State, found: Mapping[str, NDArray[Any]]) -> None:
    """Put what `kept` returned into a state that has been cleared."""
    for name in ("last", "flags", *_OF_NEURONS, "pending"):
        if getattr(state, name) is not None:
            getattr(state, name)[: len(found[name])] = found[name]
    first = taken = 0
    for span in _remembered(program):
        starts = found["starts"][first : first + span.stop - span.start]
        state.starts[span] = starts
        count = starts[-1] - starts[0]
        for name in ("spikes", "spike_values"):
            if len(getattr(state, name)):
                part = found[name][taken : taken + count]
                getattr(state, name)[starts[0] : starts[-1]] = part
        first, taken = first + len(starts), taken + count


def renewed(program: Program, found: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """Return what `kept` and a sample's counters are now, for what they once were.

    Of neurons that recur to themselves, spikes on their way back were kept weighted, and had been
    counted already.
    """
    if "returning" not in found:
        return found
    returning, counters = found["returning"], found["outcome/counters"].copy()
    returned = np.zeros_like(returning)
    for number, population in enumerate(program.populations):
        if population[Population.recurrent] >= 0:
            channels = int(population[Population.groups] * population[Population.channels])
            sites = int(population[Population.sites] // population[Population.groups])
            own = slice(
                population[Population.neuron], population[Population.neuron] + sites * channels
            )
            weights = np.tile(
                program.recurrent[population[Population.recurrent] :][:channels], sites
            )
            known = weights != 0
            returned[own][known] = np.rint(returning[own][known] / weights[known])
            sops = MACS if program.parameters[population[Population.parameters]]["many"] else ACS
            counters[number, [INPUT_EVENTS, sops]] -= np.count_nonzero(returned[own])
    return {**found, "returned": returned, "outcome/counters": counters}


def _remembered(program: Program) -> list[slice]:
    """Return where in `starts` the pointers of remembered timesteps stand: of the input, layers."""
    firsts = [(program.input_start, program.input_remembered)]
    firsts += [(row[Population.start], row[Population.remembered]) for row in program.populations]
    return [slice(int(first), int(first + remembered) + 1) for first, remembered in firsts]
