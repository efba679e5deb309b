"""A run on the grid of timesteps, and its `Result`; the way in for `simulator.py`.

In: a network, and events on its grid: packets as they come, or a recording that is binned already.
Out: a `Result`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..events.arrays import EVENT_DTYPE, MAX_STEPS, Events, camera_of, packets_of
from ..events.binning import BinnedEvents, check_own_grid, check_until
from ..network.graph import Network, check_network
from ..result import Fired, Result, Seen
from .probes import probes_of
from .sample import Memory, Sample, borrow, give_back


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
        _memory: Memory | None = None,  # recordings borrow the same one after the other
        _threads: int = 1,
        _times: bool = False,
    ) -> None:
        """Allocate the state, every membrane at rest."""
        check_network(network)
        camera_of(network.input_shape)
        memory = Memory(network) if _memory is None else _memory
        self._grid, self._binner = memory.grid, memory.binner
        self._grid.begin(steps, start_us)
        self._binner.begin()
        probes = probes_of(network, probe, layers, steps)
        self._sample = Sample(network, memory, record_spikes, _threads, probes, _times)
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
        self._sample.run_packet(self._grid.admit(events))

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
        self._sample.run_packet(np.empty(0, EVENT_DTYPE), until=steps)

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
        self._sample.run_packet(events, until=steps)
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
    if isinstance(recording, BinnedEvents):
        check_own_grid(recording, steps, start_us)
        return run_binned(
            network, recording, record_spikes=record_spikes, probe=probe, layers=layers,
            times=times, _threads=threads,
        )  # fmt: skip
    memory = borrow(network)
    run = ClockedRun(
        network, start_us=start_us, steps=network.steps if steps is None else steps,
        record_spikes=record_spikes, probe=probe, layers=layers,
        _memory=memory, _threads=threads, _times=times,
    )  # fmt: skip
    if isinstance(recording, np.ndarray):
        # Together with the timestep that it leaves open: another call of the kernels for that
        # took 40 us a recording.
        result = run._end(run._grid.admit(recording))
    else:
        for events in packets_of(recording):
            run.feed(events)
        result = run.finish()
    give_back(network, memory)
    return result


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
    probes = probes_of(network, probe, layers, binned.steps)
    memory = borrow(network)
    sample = Sample(network, memory, record_spikes, _threads, probes, times)
    sample.run_binned(binned)
    seen = Seen(binned.steps, binned.events, binned.early, binned.late, binned.merged)
    result = sample.result(seen)
    give_back(network, memory)
    return result
