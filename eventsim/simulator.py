"""Picks the engine, runs one recording or a batch, returns a `Result` for each."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from .clocked import cpu
from .clocked.state import State, clear, new_states
from .errors import EventsimError, RecordingError
from .events import BinnedEvents, Events, bin_events
from .network import Network
from .operations import COUNTERS, Operations
from .wiring import Program, wire

# Samples binned and run at a time: enough to keep the threads busy, few enough for little memory
# and a progress bar that moves.
BATCH = 64


@dataclass(frozen=True, eq=False)
class Result:
    """What a network made of one recording."""

    spike_counts: NDArray[np.int64]  # (outputs,): spikes of each output neuron, channel-first
    operations: Operations
    steps: int  # timesteps simulated
    dt_us: int
    events: int  # events handed in, and of these:
    events_early: int  # before the start of the grid, not seen by the network
    events_late: int  # past the last timestep, not seen by the network
    events_merged: int  # in a cell and timestep that already had one
    # On request: for each layer with neurons (spikes, 4), columns (timestep, channel, y, x).
    spikes: tuple[NDArray[np.int32], ...] | None = None

    @property
    def prediction(self) -> int:
        """The output neuron that spiked most, the lowest of equals (as argmax in torch)."""
        return int(np.argmax(self.spike_counts))


def simulate(
    network: Network,
    events: Events,
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
) -> Result:
    """Run one recording through a network, clocked at the network's own dt.

    `events`: an array of `EVENT_DTYPE` in time order. The grid begins at `start_us` (by default
    with the first event) and has `steps` timesteps (by default the network's `steps`, and without
    those up to the last event); `Result` says how many events lie outside. `record_spikes` keeps
    the spikes of every layer.

    Raises `RecordingError` for events that do not fit the network's input, `EventsimError` for
    `steps` or `start_us` that no grid can have.
    """
    binned = _bin(network, events, steps, start_us)
    return run_binned(network, binned, record_spikes=record_spikes)


def simulate_batch(
    network: Network,
    recordings: Iterable[Events],
    *,
    steps: int | None = None,
    start_us: int | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """Run many recordings, spread over `threads` (by default all cores); as `simulate` otherwise.

    The results are the same whatever the number of threads. `progress` is called with the number
    of recordings done since its last call. Recordings are drawn from the iterable in groups, so a
    generator that reads files keeps only a group of them in memory.

    Raises as `simulate`, naming the recording, and `EventsimError` for a number of threads that
    the machine does not have.
    """
    threads = available_threads() if threads is None else threads
    if not 1 <= threads <= available_threads():
        raise EventsimError(f"threads is {threads}, expected 1 to {available_threads()}")
    program = _program(network)
    states = new_states(program, threads, network.input_encoding == "counts")
    results: list[Result] = []
    group: list[BinnedEvents] = []

    def finish_group() -> None:
        results.extend(_run_group(network, program, states, group))
        if progress is not None:
            progress(len(group))
        group.clear()

    for index, events in enumerate(recordings):
        try:
            group.append(_bin(network, events, steps, start_us))
        except RecordingError as error:
            raise RecordingError(f"recording {index}: {error}") from None
        if len(group) == BATCH:
            finish_group()
    if group:
        finish_group()
    return results


def available_threads() -> int:
    """Return how many threads a batch may use."""
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def run_binned(network: Network, binned: BinnedEvents, *, record_spikes: bool = False) -> Result:
    """Run events that are on a grid already; as `simulate` otherwise.

    Raises `RecordingError` where the grid is not the one that the network was made for.
    """
    expected = (network.input_shape, network.dt_us, network.input_encoding)
    if (binned.input_shape, binned.dt_us, binned.encoding) != expected:
        raise RecordingError(
            f"binned events have (input_shape, dt_us, encoding) "
            f"{(binned.input_shape, binned.dt_us, binned.encoding)}, expected {expected}"
        )
    program = _program(network)
    states = new_states(program, 1, network.input_encoding == "counts")
    state = State._make(array[0] for array in states)
    clear(state)
    counters, spike_counts = _zero_counts(program, 1)
    trace = np.empty((max(2**14, 2 * program.neurons) if record_spikes else 0, 3), np.int32)
    step, traced = 0, 0
    while step < binned.steps:
        if traced + program.neurons > len(trace) > 0:
            trace = np.concatenate([trace, np.empty_like(trace)])
        step, traced = cpu.run(
            program, state, binned.pointers, binned.cells, binned.values, step, binned.steps,
            counters[0], spike_counts[0], trace, traced,
        )  # fmt: skip
    spikes = _spikes_by_layer(network, trace[:traced]) if record_spikes else None
    return _result(network, binned, counters[0], spike_counts[0], spikes)


# Wiring takes milliseconds, and callers run one network on many recordings. The programs hold no
# reference to their network, so each goes when its network goes.
_PROGRAMS: weakref.WeakKeyDictionary[Network, Program] = weakref.WeakKeyDictionary()


def _program(network: Network) -> Program:
    program = _PROGRAMS.get(network)
    if program is None:
        program = _PROGRAMS[network] = wire(network)
    return program


def _bin(network: Network, events: Events, steps: int | None, start_us: int | None) -> BinnedEvents:
    return bin_events(
        events,
        network.input_shape,
        network.dt_us,
        network.steps if steps is None else steps,
        encoding=network.input_encoding,
        start_us=start_us,
    )


def _run_group(
    network: Network, program: Program, states: State, group: list[BinnedEvents]
) -> list[Result]:
    """Run a group of recordings on as many threads as `states` has rows and the group can use."""
    workers = min(len(states.membranes), len(group))
    first_cell = np.cumsum([0, *(len(binned.cells) for binned in group)])
    grid = [binned.pointers + first for binned, first in zip(group, first_cell, strict=False)]
    offsets = np.cumsum([0, *(len(pointers) for pointers in grid)])
    counters, spike_counts = _zero_counts(program, len(group))
    threads_before = numba.get_num_threads()
    numba.set_num_threads(workers)
    try:
        cpu.run_batch(
            program, State._make(array[:workers] for array in states),
            np.concatenate(grid), offsets,
            np.concatenate([binned.cells for binned in group]),
            np.concatenate([binned.values for binned in group]),
            counters, spike_counts,
        )  # fmt: skip
    finally:
        numba.set_num_threads(threads_before)
    return [
        _result(network, binned, counters[i], spike_counts[i]) for i, binned in enumerate(group)
    ]


def _zero_counts(program: Program, samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (
        np.zeros((samples, len(program.layers), len(COUNTERS)), np.int64),
        np.zeros((samples, program.outputs), np.int64),
    )


def _result(
    network: Network,
    binned: BinnedEvents,
    counters: NDArray[np.int64],
    spike_counts: NDArray[np.int64],
    spikes: tuple[NDArray[np.int32], ...] | None = None,
) -> Result:
    indices = network.neuron_layers
    names = tuple(network.layer_name(index) for index in indices)
    dense = tuple(network.dense_macs(index) * binned.steps for index in indices)
    channels = network.shapes[-1][0]
    return Result(
        spike_counts=spike_counts.reshape(-1, channels).T.reshape(-1),
        operations=Operations.from_counters(names, counters, dense),
        steps=binned.steps,
        dt_us=binned.dt_us,
        events=binned.events,
        events_early=binned.early,
        events_late=binned.late,
        events_merged=binned.merged,
        spikes=spikes,
    )


def _spikes_by_layer(network: Network, trace: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """Split a trace of (timestep, layer, neuron) into (timestep, channel, y, x) for each layer."""
    spikes = []
    for number, index in enumerate(network.neuron_layers):
        shape = network.shapes[index + 1]
        step, _, neuron = trace[trace[:, 1] == number].T
        site, channel = np.divmod(neuron, shape[0])
        y, x = np.divmod(site, shape[2] if len(shape) == 3 else 1)
        spikes.append(np.stack([step, channel, y, x], axis=1))
    return tuple(spikes)
