"""Picks the engine, runs one recording or a batch, returns a `Result` for each."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from .clocked import cpu
from .clocked.state import Outcome, Recording, State, clear, new_outcome, new_state
from .errors import EventsimError, RecordingError
from .events import BinnedEvents, Events, bin_events
from .network import Network, Readout
from .operations import Operations
from .program import P, Program
from .wiring import wire

Mode = Literal["clocked", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)

# Samples in memory at a time: enough to keep the threads busy, few enough for little memory
# and a progress bar that moves.
BATCH = 64
# At most so many are handed to a thread at a time: one by one, a batch on one thread took 0.1 to
# 0.4 ms a sample longer than a loop; by eight, no longer.
TASK = 8


@dataclass(frozen=True, eq=False)
class Result:
    """What a network made of one recording."""

    # Of each output neuron, channel-first, (outputs,):
    spike_counts: NDArray[np.int64]
    # timestep of the first spike, or microseconds since the start in asynchronous time; -1 for none
    first_spikes: NDArray[np.int64]
    membranes: NDArray[np.float64] | None  # at the end, or the mean, if read out
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
        from .asynchronous.run import recording_runner  # which imports this file

        run = recording_runner(
            network, steps=steps, start_us=start_us, refractory_us=refractory_us, delay_us=delay_us
        )
    else:
        run = _clocked_runner(network, steps, start_us, threads)
    return _spread(run, recordings, threads, progress)


def _clocked_runner(
    network: Network, steps: int | None, start_us: int | None, threads: int
) -> Callable[[Events], Result]:
    """Return what runs one recording, on as many threads at a time; each borrows a state."""
    program = _program(network)
    states: SimpleQueue[State] = SimpleQueue()
    for _ in range(threads):
        states.put(new_state(program))

    def run(events: Events) -> Result:
        binned = _bin(network, events, steps, start_us)
        state = states.get()
        try:
            return _run(network, program, state, binned)
        finally:
            states.put(state)

    return run


def _spread(
    run: Callable[[Events], Result],
    recordings: Iterable[Events],
    threads: int,
    progress: Callable[[int], None] | None,
) -> list[Result]:
    """Run recordings on plain threads, which will do as the kernels run without Python's lock."""

    def run_several(several: list[tuple[int, Events]]) -> list[Result]:
        results = []
        for index, events in several:
            try:
                results.append(run(events))
            except RecordingError as error:
                raise RecordingError(f"recording {index}: {error}") from None
        return results

    results: list[Result] = []
    numbered = enumerate(recordings)
    with ThreadPoolExecutor(threads) as pool:
        while group := list(islice(numbered, BATCH)):
            size = min(TASK, -(-len(group) // threads))
            tasks = [group[first : first + size] for first in range(0, len(group), size)]
            for several in pool.map(run_several, tasks):
                results += several
                if progress is not None:
                    progress(len(several))
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
    return _run(network, program, new_state(program), binned, record_spikes)


def _run(
    network: Network,
    program: Program,
    state: State,
    binned: BinnedEvents,
    record_spikes: bool = False,
) -> Result:
    """Run a recording from silence to its end, stretch by stretch."""
    outcome = new_outcome(program)
    recording = Recording(binned.pointers, binned.cells, binned.values)
    clear(program, state)
    emitted = []
    for first in range(0, binned.steps, program.stretch):
        stop = min(first + program.stretch, binned.steps)
        cpu.run(program, state, recording, first, stop, min(first, program.stretch), outcome)
        if record_spikes:
            emitted.append(_emitted(program, state, first, stop))
    spikes = _spikes_by_layer(network, emitted) if record_spikes else None
    return _result(network, binned, outcome, spikes)


def _emitted(
    program: Program, state: State, first: int, stop: int
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return what each layer emitted in a stretch: (timesteps, neurons), a row for each spike."""
    emitted = []
    for population in program.populations:
        slot = population[P.start] + population[P.remembered]
        starts = state.starts[slot : slot + stop - first + 1]
        listed = slice(starts[0], starts[-1])
        steps = np.repeat(np.arange(first, stop), np.diff(starts))
        neurons = state.spikes[listed]
        if not population[P.plain]:
            times = state.spike_values[listed].astype(np.int64)
            steps, neurons = np.repeat(steps, times), np.repeat(neurons, times)
        emitted.append((steps, neurons.copy()))
    return emitted


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


def _spikes_by_layer(
    network: Network, emitted: list[list[tuple[NDArray[Any], NDArray[Any]]]]
) -> tuple[NDArray[np.int32], ...]:
    """Join what the layers emitted stretch by stretch: per layer (timestep, channel, y, x)."""
    spikes = []
    for number, index in enumerate(network.neuron_layers):
        shape = network.shapes[index + 1]
        step = np.concatenate([layers[number][0] for layers in emitted] or [np.zeros(0, int)])
        neuron = np.concatenate([layers[number][1] for layers in emitted] or [np.zeros(0, int)])
        site, channel = np.divmod(neuron, shape[0])
        y, x = np.divmod(site, shape[2] if len(shape) == 3 else 1)
        spikes.append(np.stack([step, channel, y, x], axis=1).astype(np.int32))
    return tuple(spikes)
