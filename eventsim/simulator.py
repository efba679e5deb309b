"""Picks the engine, runs one recording or a batch, returns a `Result` for each."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from .clocked import cpu
from .clocked.state import Outcome, Recording, State, clear, new_outcome, new_states, outcome_of
from .errors import EventsimError, RecordingError
from .events import BinnedEvents, Events, bin_events
from .network import Network, Readout
from .operations import Operations
from .program import Program
from .wiring import wire

Mode = Literal["clocked", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)

# Samples binned and run at a time: enough to keep the threads busy, few enough for little memory
# and a progress bar that moves.
BATCH = 64


@dataclass(frozen=True, eq=False)
class Result:
    """What a network made of one recording."""

    # Of each output neuron, channel-first, (outputs,):
    spike_counts: NDArray[np.int64]
    first_spikes: NDArray[np.int64]  # timestep of the first spike, -1 without one; in asynchronous
    # time, microseconds since the start
    membranes: (
        NDArray[np.float64] | None
    )  # of the last timestep (or the end), or the mean, if asked
    readout: Readout
    operations: Operations
    steps: int  # timesteps simulated
    dt_us: int
    events: int  # events handed in, and of these:
    events_early: int  # before the start of the grid, not seen by the network
    events_late: int  # past the last timestep, not seen by the network
    events_merged: int  # in a cell and timestep that already had one
    # On request: for each layer with neurons (spikes, 4), columns (timestep, channel, y, x); a
    # neuron that spikes several times in a timestep has as many rows. In asynchronous time the
    # first column has microseconds since the start, and all are int64.
    spikes: tuple[NDArray[Any], ...] | None = None
    mode: Mode = "clocked"

    @property
    def scores(self) -> NDArray[np.float64]:
        """What the readout compares, (outputs,): the highest wins.

        Spike counts, membranes, or for "first-spike" the negative timestep (-inf without a spike).
        """
        if self.membranes is not None:
            return self.membranes
        if self.readout == "first-spike":
            return np.where(self.first_spikes < 0, -np.inf, -self.first_spikes.astype(np.float64))
        return self.spike_counts.astype(np.float64)

    @property
    def prediction(self) -> int:
        """The output neuron with the highest score, the lowest of equals (as argmax in torch)."""
        return int(np.argmax(self.scores))


def simulate(
    network: Network,
    events: Events,
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    mode: Mode = "clocked",
    refractory_us: int | None = None,
    delay_us: int = 0,
) -> Result:
    """Run one recording through a network, clocked at the network's own dt or asynchronously.

    `events`: an array of `EVENT_DTYPE` in time order. The grid begins at `start_us` (by default
    with the first event) and has `steps` timesteps (by default the network's `steps`, and without
    those up to the last event); `Result` says how many events lie outside. `record_spikes` keeps
    the spikes of every layer.

    `mode`: "clocked", or "async" for event by event at microsecond times (`asynchronous/`), over
    the same stretch of time. With "async" only, `refractory_us` is the refractory time of every
    layer instead of its own, and `delay_us` what spikes take from each layer to the next.

    Raises `RecordingError` for events that do not fit the network's input, `EventsimError` for
    `steps` or `start_us` that no grid can have, and for a network that cannot run in the mode.
    """
    _check_mode(mode, refractory_us, delay_us)
    if mode == "async":
        from .asynchronous.run import run_recording  # which imports this file

        return run_recording(
            network, events, steps=steps, start_us=start_us, record_spikes=record_spikes,
            refractory_us=refractory_us, delay_us=delay_us,
        )  # fmt: skip
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
    mode: Mode = "clocked",
    refractory_us: int | None = None,
    delay_us: int = 0,
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
    _check_mode(mode, refractory_us, delay_us)
    if mode == "async":
        from .asynchronous.run import run_recordings  # which imports this file

        return run_recordings(
            network, recordings, threads, progress, steps=steps, start_us=start_us,
            refractory_us=refractory_us, delay_us=delay_us,
        )  # fmt: skip
    program = _program(network)
    states = new_states(program, threads)
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


def _check_mode(mode: Mode, refractory_us: int | None, delay_us: int) -> None:
    if mode not in MODES:
        raise EventsimError(f"mode is {mode!r}, expected one of {MODES}")
    for name, value, unset in (("refractory_us", refractory_us, None), ("delay_us", delay_us, 0)):
        if mode == "clocked" and value != unset:
            raise EventsimError(f"{name} is {value!r}, expected {unset} in clocked time")


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
    states = new_states(program, 1)
    state = State._make(array[0] for array in states)
    clear(state)
    outcomes = new_outcome(program, 1)
    recording = Recording(binned.pointers, binned.cells, binned.values)
    trace = np.empty((max(2**14, 2 * program.neurons) if record_spikes else 0, 4), np.int32)
    step, traced = 0, 0
    while step < binned.steps:
        if traced + program.neurons > len(trace) > 0:
            trace = np.concatenate([trace, np.empty_like(trace)])
        step, traced = cpu.run(
            program, state, recording, step, binned.steps, outcome_of(outcomes, 0), trace, traced
        )
    spikes = _spikes_by_layer(network, trace[:traced]) if record_spikes else None
    return _result(network, binned, outcome_of(outcomes, 0), spikes)


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
    outcomes = new_outcome(program, len(group))
    threads_before = numba.get_num_threads()
    numba.set_num_threads(workers)
    try:
        cpu.run_batch(
            program, State._make(array[:workers] for array in states),
            np.concatenate(grid), offsets,
            np.concatenate([binned.cells for binned in group]),
            np.concatenate([binned.values for binned in group]),
            outcomes,
        )  # fmt: skip
    finally:
        numba.set_num_threads(threads_before)
    return [_result(network, binned, outcome_of(outcomes, i)) for i, binned in enumerate(group)]


def _result(
    network: Network,
    binned: BinnedEvents,
    outcome: Outcome,
    spikes: tuple[NDArray[np.int32], ...] | None = None,
) -> Result:
    indices = network.neuron_layers
    names = tuple(network.layer_name(index) for index in indices)
    dense = tuple(network.dense_macs(index) * binned.steps for index in indices)
    membranes = None
    if network.readout.endswith("membrane"):
        membranes = outcome.membranes
        if network.readout == "mean-membrane":
            membranes = membranes / max(1, binned.steps)

    def channel_first(values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, network.shapes[-1][0]).T.reshape(-1)

    return Result(
        spike_counts=channel_first(outcome.spike_counts),
        first_spikes=channel_first(outcome.first_spikes),
        membranes=None if membranes is None else channel_first(membranes),
        readout=network.readout,
        operations=Operations.from_counters(names, outcome.counters, dense),
        steps=binned.steps,
        dt_us=binned.dt_us,
        events=binned.events,
        events_early=binned.early,
        events_late=binned.late,
        events_merged=binned.merged,
        spikes=spikes,
    )


def _spikes_by_layer(network: Network, trace: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """Split a trace of (timestep, layer, neuron, spikes): per layer (timestep, channel, y, x)."""
    spikes = []
    for number, index in enumerate(network.neuron_layers):
        shape = network.shapes[index + 1]
        rows = trace[trace[:, 1] == number]
        step, _, neuron, _ = np.repeat(rows, rows[:, 3], axis=0).T
        site, channel = np.divmod(neuron, shape[0])
        y, x = np.divmod(site, shape[2] if len(shape) == 3 else 1)
        spikes.append(np.stack([step, channel, y, x], axis=1))
    return tuple(spikes)
