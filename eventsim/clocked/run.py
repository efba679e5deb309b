"""A run on the grid of timesteps, and its `Result`; the way in for `simulator.py`.

In: a network, and events on its grid: packets as they come, or a recording that is binned already.
Out: a `Result`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..events.arrays import EVENT_DTYPE, MAX_STEPS, Events, camera_of, packets_of
from ..events.binning import BinnedEvents, Binner, Grid, check_own_grid, check_until
from ..jit import Compiled, compiled_for
from ..network.graph import Network, check_network
from ..result import Fired, Result, Seen, channel_first, check_recorded, result_of
from ..wiring.program import Population, Program
from ..wiring.wire import program_of
from .cpu.layer import begin_stretch, run_stretch, run_stretches
from .cpu.state import (
    InputSpikes,
    State,
    clear,
    keep,
    kept,
    new_outcome,
    new_state,
    renewed,
)
from .cpu.team import helping, new_team
from .overflow import check_currents, is_fixed
from .probes import Probes, probes_of
from .recorded import fired
from .times import LayerTimes

STRETCHES = 64  # in one call of the kernels, which nothing can interrupt


class ClockedRun:
    """A network that takes events as they come; its state lives between calls.

    start_us: start of the grid on the recording's clock, by default the time of the first event.
    steps: length of the grid in timesteps; events after it are counted, not seen. Without it the
    grid goes on as long as events come, whatever `network.steps` says: a stream has no length.
    record_spikes: keep every spike of every layer.
    probe, layers: as for `simulate`.

    Memory does not grow with the events, but for recorded spikes: what is kept is the state of the
    network and the timestep that is being filled. Timesteps are numbered in 31 bits, so a run ends
    after 24 days at 1 ms, or 35 minutes at 1 us. Raises `EventsimError` for bad numbers.
    """

    def __init__(
        self,
        network: Network,
        *,
        start_us: int | None = None,
        steps: int | None = None,
        record_spikes: bool = False,
        probe: Sequence[str] = (),
        layers: Sequence[int] | None = None,
        _state: State | None = None,  # recordings borrow the same memory one after the other
        _threads: int = 1,
        _times: bool = False,
    ) -> None:
        """Allocate the state, every membrane at rest."""
        check_network(network)
        camera_of(network.input_shape)
        self._grid = Grid(network.input_shape, network.dt_us, steps, start_us)
        self._binner = Binner(self._grid, network.input_encoding)
        program = program_of(network)
        state = new_state(program) if _state is None else _state
        probes = probes_of(network, probe, layers, self._grid.steps)
        self._sample = Sample(network, program, state, record_spikes, _threads, probes, _times)
        self._finished = False

    def feed(self, events: Events) -> None:
        """Run a packet of events, an array of `EVENT_DTYPE` in time order.

        The timesteps before that of the last event are run; that one stays open. However a
        recording is cut into packets, the outcome is the same. Raises `RecordingError`, with
        nothing done, for events that do not fit the network's input, are earlier than those
        before, or are too late to be numbered; it numbers events from the first of all packets.
        """
        if self._finished:
            raise EventsimError("the run is finished, expected no more events")
        self._sample.run_packet(self._binner, self._grid.admit(events))

    def advance(self, until_us: int) -> None:
        """Run the timesteps that end at `until_us` on the recording's clock, or before.

        Events before that time must not come any more; they are refused. Nothing happens before
        the start is known. Raises `EventsimError` for a time that is no whole number up to
        2^63 - 1, or too late to be numbered.
        """
        grid = self._grid
        check_until(until_us)
        if grid.start_us is None or until_us <= grid.closed_us:
            return
        steps = (int(until_us) - grid.start_us) // grid.dt_us
        if steps > MAX_STEPS:
            raise EventsimError(
                f"until_us is {until_us}, {steps} timesteps of {grid.dt_us} us after the start, "
                f"expected at most {MAX_STEPS} timesteps"
            )
        grid.closed_us = grid.start_us + steps * grid.dt_us
        self._sample.run_packet(self._binner, np.empty(0, EVENT_DTYPE), until=steps)

    @property
    def spike_counts(self) -> NDArray[np.int64]:
        """Output spikes so far, channel-first, (outputs,)."""
        return self._sample.spike_counts

    @property
    def counters(self) -> NDArray[np.int64]:
        """What was counted so far, (layers, counts): columns as `operations.COUNTERS`."""
        return self._sample.counters

    def fired(self) -> list[Fired]:
        """Return the spikes recorded so far, of each layer."""
        return self._sample.fired()

    def forget(self) -> None:
        """Forget the spikes recorded so far."""
        self._sample.forget()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that a run is between two calls but what it recorded, for `restore`."""
        binned = {f"binner/{name}": array for name, array in self._binner.state().items()}
        grid = np.array(self._grid.state(), np.int64)
        return binned | {"grid": grid} | self._sample.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another run of the same network, with the same arguments, was."""
        self._grid.restore(state["grid"].tolist())
        binned = {name[7:]: array for name, array in state.items() if name[:7] == "binner/"}
        self._binner.restore(binned)
        self._sample.restore(state)

    def finish(self, stop_us: int | None = None) -> Result:
        """Run the timesteps that are left, and end there.

        The grid ends after its `steps`; where it has none, with the timestep that holds the
        microsecond before `stop_us` on the recording's clock, by default with that of the last
        event. Raises `EventsimError` for a `stop_us` beside `steps`, before the start, or not
        after the last event.
        """
        if self._finished:
            raise EventsimError("the run is finished, expected one call of finish")
        grid = self._grid
        if stop_us is not None:
            grid.steps = self._steps_until(stop_us)
        return self._end(np.empty(0, EVENT_DTYPE))

    def _steps_until(self, stop_us: int) -> int:
        """Return the length of a grid that ends at a time."""
        grid = self._grid
        if grid.steps is not None:
            raise EventsimError(f"stop_us is {stop_us!r}, expected None with {grid.steps} steps")
        if not is_whole(stop_us):
            raise EventsimError(f"stop_us is {stop_us!r}, expected whole microseconds")
        start = int(stop_us) if grid.start_us is None else grid.start_us
        least = max(start, grid.latest_us + 1) if grid.events else start
        most = start + MAX_STEPS * grid.dt_us
        if not least <= stop_us <= most:
            raise EventsimError(
                f"stop_us is {stop_us}, expected {least} to {most}: after the last event, and at "
                f"most {MAX_STEPS} timesteps of {grid.dt_us} us"
            )
        return -((start - int(stop_us)) // grid.dt_us)

    def _end(self, events: Events) -> Result:
        """Run the last packet and all timesteps that are left."""
        grid = self._grid
        steps = grid.length()
        self._sample.run_packet(self._binner, events, until=steps)
        self._finished = True
        return self._sample.result(Seen(steps, grid.events, *self._binner.seen()))


def run_recording(
    network: Network,
    recording: Events | Iterable[Events] | BinnedEvents,
    *,
    steps: int | None = None,
    start_us: int | None = None,
    record_spikes: bool = False,
    probe: Sequence[str] = (),
    layers: Sequence[int] | None = None,
    threads: int = 1,
    times: bool = False,
) -> Result:
    """Run one recording from beginning to end; as `simulate`."""
    seen: Any = {"record_spikes": record_spikes, "probe": probe, "layers": layers}
    if isinstance(recording, BinnedEvents):
        check_own_grid(recording, steps, start_us)
        return run_binned(network, recording, times=times, _threads=threads, **seen)
    with _borrowed_state(network) as state:
        run = ClockedRun(
            network, start_us=start_us, steps=network.steps if steps is None else steps,
            _state=state, _threads=threads, _times=times, **seen,
        )  # fmt: skip
        if isinstance(recording, np.ndarray):
            # Together with the timestep that it leaves open: another call of the kernels for that
            # took 40 us a recording.
            return run._end(run._grid.admit(recording))
        for events in packets_of(recording):
            run.feed(events)
        return run.finish()


def check_grid_of(network: Network, binned: BinnedEvents) -> None:
    """Raise `RecordingError` where a grid is not the one that the network was made for."""
    expected = (network.input_shape, network.dt_us, network.input_encoding)
    found = (binned.input_shape, binned.dt_us, binned.encoding)
    if found != expected:
        raise RecordingError(
            f"binned events have (input_shape, dt_us, encoding) {found}, expected {expected}"
        )


def run_binned(
    network: Network, binned: BinnedEvents, *, record_spikes: bool = False,
    probe: Sequence[str] = (), layers: Sequence[int] | None = None, times: bool = False,
    _threads: int = 1,
) -> Result:  # fmt: skip
    """Run events that are on a grid already; as `simulate` otherwise.

    Raises `RecordingError` where the grid is not the one that the network was made for.
    """
    check_network(network)
    check_grid_of(network, binned)
    program = program_of(network)
    probes = probes_of(network, probe, layers, binned.steps)
    with _borrowed_state(network) as state:
        sample = Sample(network, program, state, record_spikes, _threads, probes, times)
        sample.run_binned(binned)
        seen = Seen(binned.steps, binned.events, binned.early, binned.late, binned.merged)
        return sample.result(seen)


# States of any content that no recording is using: as many for a network as recordings ran at the
# same time, for as long as the network lives.
_IDLE_STATES: weakref.WeakKeyDictionary[Network, list[State]] = weakref.WeakKeyDictionary()


@contextmanager
def _borrowed_state(network: Network) -> Iterator[State]:
    """Lend memory for one recording, allocated only where all of a network's is lent already."""
    idle = _IDLE_STATES.setdefault(network, [])
    try:
        state = idle.pop()
    except IndexError:
        state = new_state(program_of(network))
    try:
        yield state
    finally:
        idle.append(state)


_RUNNERS: weakref.WeakKeyDictionary[Network, Compiled] = weakref.WeakKeyDictionary()


def _stretches_runner(network: Network, arguments: tuple[object, ...]) -> Compiled:
    """Return `run_stretches` for the arguments of a network, which are of the same types each time.

    To find the types of 60 arrays took 9 us a call.
    """
    try:
        return _RUNNERS[network]
    except KeyError:
        _RUNNERS[network] = compiled_for(run_stretches, *arguments)
        return _RUNNERS[network]


class Sample:
    """A network on its way through the timesteps of one recording, from silence."""

    def __init__(
        self, network: Network, program: Program, state: State, record_spikes: bool,
        threads: int = 1, probes: Probes | None = None, times: bool = False,
    ) -> None:  # fmt: skip
        """Take a state of any content: the first stretch silences it."""
        self._team, self._views = None, list[State]()
        if threads > 1 and (program.populations[:, Population.looks_up] > 0).any():
            self._team, self._views = new_team(state, threads)
        self._network, self._program, self._state = network, program, state
        self._outcome, self._probes = new_outcome(program), probes
        self._times = LayerTimes(len(program.populations)) if times else None
        self._fixed = is_fixed(network)
        self.stretch = program.stretch if probes is None else 1  # timesteps at a time, at most
        self._steps = 0  # run so far,
        self._before = 0  # and how many of these by the last call
        self._recorded: list[list[Fired]] | None = None
        if record_spikes:
            self._recorded = [[] for _ in program.populations]
        self._spikes = [0] * len(program.populations)  # recorded

    def run_packet(self, binner: Binner, events: Events, until: int = 0) -> None:
        """Run the timesteps that a packet closes, and those before `until`."""
        packet, spikes = binner.take(events, self.stretch, until)
        stretches = STRETCHES if self._recorded is None and self._probes is None else 1
        more = True
        with helping(self._program, self._team, self._views):
            while more:
                arguments = (
                    self._program, self._state, self._team, packet, binner.marked, binner.numbers,
                    InputSpikes(*spikes), self._before, stretches, self._outcome,
                )  # fmt: skip
                steps, before, more = self._runner(arguments)(*arguments)
                if steps > 0:
                    self._ran(steps, before)

    def _runner(self, arguments: tuple[object, ...]) -> Compiled:
        if self._times is not None:
            return self._times.run_stretches
        return run_stretches if self._team else _stretches_runner(self._network, arguments)

    def run_binned(self, binned: BinnedEvents) -> None:
        """Run all timesteps of a recording that is on the grid already."""
        run = run_stretch if self._times is None else self._times.run_stretch
        program, state, team, outcome = self._program, self._state, self._team, self._outcome
        with helping(program, team, self._views):
            for first in range(0, binned.steps, self.stretch):
                stop = min(first + self.stretch, binned.steps)
                spikes = InputSpikes(binned.pointers[first : stop + 1], binned.cells, binned.values)
                run(program, state, team, spikes, first, stop, self._before, outcome)
                self._ran(stop - first, stop - first)

    def _ran(self, steps: int, before: int) -> None:
        """Note so many more timesteps, and that the last stretch of them had `before`."""
        first, stop = self._steps, self._steps + steps
        self._steps, self._before = stop, before
        if self._fixed:
            check_currents(self._network, self._program, self._state.seconds)
        if self._probes is not None:
            self._probes.read(self._state, first)
        for number, several in enumerate(self._recorded or ()):
            several.append(fired(self._program, self._state, number, first, stop))
            self._spikes[number] += int(several[-1].counts.sum(dtype=np.int64))
            check_recorded(self._network, number, self._spikes[number])

    @property
    def spike_counts(self) -> NDArray[np.int64]:
        """Output spikes so far, channel-first."""
        return channel_first(self._outcome.spike_counts, self._network).copy()

    @property
    def counters(self) -> NDArray[np.int64]:
        """What was counted so far, (layers, counts)."""
        return self._outcome.counters.copy()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return where the sample is, for `restore`."""
        found = {f"outcome/{name}": array for name, array in self._outcome._asdict().items()}
        found["steps"] = np.array(self._steps)
        if self._steps > 0:
            begin_stretch(self._program, self._state, self._before)
            self._before = 0  # it has been done
            found |= kept(self._program, self._state)
        return found

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another sample of the same network was."""
        state = renewed(self._program, state)
        self._steps, self._before = int(state["steps"]), 0
        for name, array in self._outcome._asdict().items():
            array[:] = state[f"outcome/{name}"]
        if self._steps > 0:
            clear(self._program, self._state)
            keep(self._program, self._state, state)

    def fired(self) -> list[Fired]:
        """Return what each layer has emitted and somebody recorded."""
        return [Fired.joined(several) for several in self._recorded or ()]

    def forget(self) -> None:
        """Forget what was recorded."""
        if self._recorded is not None:
            self._recorded, self._spikes = [[] for _ in self._recorded], [0] * len(self._spikes)

    def result(self, seen: Seen) -> Result:
        """Return the outcome."""
        recorded = None if self._recorded is None else self.fired()
        outcome, membranes = self._outcome, self._outcome.membranes
        if self._network.readout == "mean-membrane":
            membranes = membranes / max(1, seen.steps)
        return result_of(
            self._network, outcome.counters.tolist(), outcome.spike_counts, outcome.first_spikes,
            membranes, seen, recorded, "clocked", self._probes.arrays() if self._probes else None,
            self._times.seconds(self._network) if self._times else None,
        )  # fmt: skip
