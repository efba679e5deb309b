"""A run in asynchronous time, and its `Result`; the way in for `simulator.py`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..events.arrays import (
    EVENT_DTYPE,
    Events,
    addressing_of,
    camera_of,
    check_events,
    packets_of,
)
from ..events.binning import BinnedEvents, Grid, check_own_grid, check_until
from ..events.spikes import events_of
from ..jit import Compiled, Float32s, Int64s, compiled_for
from ..network.graph import Network, check_network
from ..network.neurons import MAX_SPIKES
from ..operations import COUNTERS
from ..result import Fired, Result, Seen, channel_first, check_recorded, result_of
from ..vectors import new_array
from .kernels import FULL, RUNAWAY, advance_before, begin, feed, finish, remember
from .layout import Layout, lay_out, with_room
from .schedule import crowded
from .tables import NEVER, POPULATION, Header, Population, Scalar, Trace

MOST_US = 2**40  # for delays and refractory times that are given in microseconds: 12 days


class AsynchronousRun:
    """A network that takes events as they come; its state lives between calls.

    start_us: time of the start on the recording's clock, by default that of the first event.
    refractory_us: refractory time of every layer, instead of its own. delay_us: how long spikes
    take from each layer to the next (events enter without delay). record_spikes: keep them all.

    Memory does not grow with the events, but for recorded spikes: queues hold what is on its way.
    Raises `NetworkError` for a network that has no asynchronous form, `EventsimError` for bad
    numbers.
    """

    def __init__(
        self,
        network: Network,
        *,
        start_us: int | None = None,
        refractory_us: int | None = None,
        delay_us: int = 0,
        record_spikes: bool = False,
        _addressed: bool = False,  # events are those of `events_of`
    ) -> None:
        """Allocate the state, every membrane at rest."""
        check_network(network)
        for name, value, most in (
            ("start_us", start_us, 2**63 - 1),
            ("refractory_us", refractory_us, MOST_US),
            ("delay_us", delay_us, MOST_US),
        ):
            given = value is not None or name == "delay_us"
            if given and not is_whole(value, 0, most):
                raise EventsimError(f"{name} is {value!r}, expected a whole number 0 to {most}")
        if not _addressed:
            camera_of(network.input_shape)
        self._network = network
        self._layout = _layout(network, refractory_us, delay_us)
        self._tables, self._weights = self._layout.tables, self._layout.weights
        self._ints = with_room(self._layout, self._layout.ints, record_spikes)
        self._floats = _aligned(self._layout.floats)
        self._start = start_us
        self._until = 0  # up to here the run has gone on without events
        self._record = record_spikes
        self._traces: list[Int64s] = []
        self._hops: list[Int64s] = []  # of the call of `feed_in_hops` that is going on
        self._recorded = np.zeros(len(network.neuron_layers), np.int64)  # spikes in the traces
        self._finished = False
        self._feed = _compiled_feed()
        if self._tables[Header.alone]:
            begin(self._tables, self._weights, self._ints, self._floats)
        if start_us is not None:
            self._ints[Scalar.start] = start_us

    def feed(self, events: Events) -> None:
        """Run a packet of events, an array of `EVENT_DTYPE` in time order.

        However a recording is cut into packets, the outcome is the same. Raises `RecordingError`,
        with nothing done, for events that do not fit the network's input or are earlier than those
        before; and `EventsimError`, at which the run ends, where a layer spikes 2^24 times or more
        at one time.
        """
        if (
            type(events) is not ndarray
            or events.dtype != EVENT_DTYPE
            or events.ndim != 1
            or not events.flags.carray
        ):
            events = check_events(events).copy()
        if self._start is None or self._finished:
            if len(events) == 0:
                return
            if self._finished:
                raise EventsimError("the run is finished, expected no more events")
            self._start = int(events["t"][0])
            self._ints[Scalar.start] = min(self._start, 2**63 - 1)
        if self._until and len(events) and events["t"][0] < self._until:
            raise RecordingError(
                f"event 0: t is {events['t'][0]}, expected {self._until} us or later, up to where "
                f"the run has gone on"
            )
        done = self._feed(self._tables, self._weights, self._ints, self._floats, events, 0)
        if done == len(events):  # a comparison more took 20 ns an event, where they come one by one
            return
        if RUNAWAY // 2 < done < 0:
            self._refuse(events, -1 - done)
        while 0 <= done < len(events):
            self._make_room()
            done = self._feed(
                self._tables, self._weights, self._ints, self._floats, events, done
            )  # fmt: skip
        self._check_tame(done)

    def feed_in_hops(
        self, events: Events, end_us: int, hop_us: int, until_us: int
    ) -> NDArray[np.int64]:
        """Run a packet and go on to `until_us`; return `spike_counts` before the end of each hop.

        (hops, outputs): the first hop ends at `end_us`, each other `hop_us` after the one before,
        the last one at `until_us` or before. An event at the end of a hop comes after it. The
        start must be known. Raises as `feed` does.
        """
        assert self._start is not None
        until = min(until_us - self._start, NEVER - 1)
        self._ints[[Scalar.hop, Scalar.hop_end, Scalar.hops_until]] = (
            hop_us, end_us - self._start, until,
        )  # fmt: skip
        self._hops = []
        self.feed(events)
        while self._ints[Scalar.hop_end] <= until:
            self._make_room()
            self.feed(events[:0])
        self._keep_hops()
        self._until = max(self._until, int(self._ints[Scalar.hop_end]) - hop_us + self._start)
        self._ints[[Scalar.hop_end, Scalar.hops_until]] = NEVER, -1
        return channel_first(np.concatenate(self._hops), self._network)

    def advance(self, until_us: int) -> None:
        """Run everything that happens by itself before `until_us` on the recording's clock.

        Events before that time must not come any more; they are refused. Raises `EventsimError` for
        a time that is no whole number up to 2^63 - 1.
        """
        check_until(until_us)
        if self._start is None or until_us <= self._until:
            return
        self._until = int(until_us)
        self._advance_before(min(self._until - self._start, NEVER - 1))

    def _advance_before(self, stop: int) -> None:
        state = self._tables, self._weights, self._ints, self._floats
        while (waited := advance_before(*state, stop)) == FULL:
            self._make_room()
            state = self._tables, self._weights, self._ints, self._floats
        self._check_tame(waited)

    def _check_tame(self, code: int) -> None:
        if code <= RUNAWAY // 2:
            self._finished = True
            name = self._network.layer_name(self._network.neuron_layers[RUNAWAY - code])
            raise EventsimError(
                f"{name}: {MAX_SPIKES} spikes or more at one time, "
                f"{self._ints[Scalar.now]} us or later after the start; the network runs away"
            )

    @property
    def spike_counts(self) -> NDArray[np.int64]:
        """Output spikes so far, channel-first, (outputs,)."""
        return channel_first(self._outcome(Header.spike_counts), self._network)

    @property
    def counters(self) -> NDArray[np.int64]:
        """What was counted so far, (layers, counts): columns as `operations.COUNTERS`."""
        layers = len(self._network.neuron_layers)
        counters = self._ints[self._tables[Header.counters] :][: layers * len(COUNTERS)]
        return counters.reshape(layers, -1).copy()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that a run is between two calls but what it recorded, for `restore`."""
        times = [-1 if self._start is None else self._start, self._until]
        return {"ints": self._ints, "floats": self._floats, "times": np.array(times, np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where another run of the same network, with the same arguments, was."""
        start, until = state["times"].tolist()
        self._start, self._until = None if start < 0 else start, until
        self._ints, self._floats = state["ints"].copy(), _aligned(state["floats"])

    def take_output_spikes(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Forget the spikes recorded so far; yield those of the outputs, instant by instant.

        As microseconds since the start, and how often each output spiked, channel-first. Events at
        one time are instants of their own.
        """
        trace = self.trace()
        self.forget()
        trace = trace[trace[:, Trace.population] == len(self._network.neuron_layers) - 1]
        if len(trace) == 0:
            return
        instants = trace[:, [Trace.t, Trace.event]]
        borders = np.flatnonzero((instants[1:] != instants[:-1]).any(axis=1)) + 1
        for rows in np.split(trace, borders):
            counts = np.zeros(self._network.outputs, np.int64)
            np.add.at(counts, rows[:, Trace.neuron], rows[:, Trace.count])
            yield int(rows[0, Trace.t]), channel_first(counts, self._network)

    def finish(self, stop_us: int) -> Result:
        """Run on to the time `stop_us` (not included) on the recording's clock, and end there.

        Raises `EventsimError` where that is before the start, or not after the last event.
        """
        if self._finished:
            raise EventsimError("the run is finished, expected one call of finish")
        start = stop_us if self._start is None else self._start
        least = start + int(self._ints[Scalar.now]) + 1 if self._ints[Scalar.event] else start
        if not is_whole(stop_us, least, start + NEVER - 1):
            raise EventsimError(
                f"stop_us is {stop_us!r}, expected {least} to {start + NEVER - 1}, whole "
                f"microseconds after the last event"
            )
        duration = int(stop_us) - start
        self._advance_before(duration)
        if self._network.reads_membranes:
            finish(self._tables, self._weights, self._ints, self._floats, duration)
        self._finished = True
        return self._result(duration)

    def _refuse(self, events: Events, number: int) -> None:
        check_events(events, addressing_of(self._network.input_shape))
        t, before = events["t"][number], self._ints[Scalar.start] + self._ints[Scalar.now]
        if t < before:
            raise RecordingError(
                f"event {number}: time runs backwards, t is {t} us after {before} us in an earlier "
                f"packet; expected times that never decrease"
            )
        raise RecordingError(
            f"event {number}: t is {t}, expected less than 2^62 us after the start"
        )

    def _make_room(self) -> None:
        """Put trace and hops away; make longer queues where they are full."""
        self._keep_trace()
        self._keep_hops()
        if crowded(self._tables, self._ints):
            self._ints = with_room(self._layout, self._ints, self._record)

    def _keep_trace(self) -> None:
        first, rows = self._ints[Scalar.trace], self._ints[Scalar.traced]
        self._traces.append(
            self._ints[first : first + rows * len(Trace)].reshape(-1, len(Trace)).copy()
        )
        self._ints[Scalar.traced] = 0
        kept = self._traces[-1]
        np.add.at(self._recorded, kept[:, Trace.population], kept[:, Trace.count])
        for number, spikes in enumerate(self._recorded):
            check_recorded(self._network, number, int(spikes))

    def _keep_hops(self) -> None:
        first, outputs = self._tables[Header.hop_counts], self._network.outputs
        rows = self._ints[first : first + self._ints[Scalar.hops] * outputs]
        self._hops.append(rows.reshape(-1, outputs).copy())
        self._ints[Scalar.hops] = 0

    def trace(self) -> NDArray[np.int64]:
        """Return what was recorded, a row of `Trace` for each neuron that fired in an instant."""
        self._keep_trace()
        self._traces = [np.concatenate(self._traces)]
        return self._traces[0]

    def _outcome(self, name: Header) -> NDArray[np.int64]:
        first = self._tables[name]
        return self._ints[first : first + self._network.outputs].copy()

    def _membranes(self, duration: int) -> NDArray[np.float64]:
        """Return the last membranes or their means, in the order of neurons."""
        outputs = self._network.outputs
        rests = np.resize(self._layout.rests, outputs).astype(np.float64)
        if self._network.readout == "mean-membrane" and duration > 0:
            return np.asarray(rests + self._outcome(Header.integrals).view(np.float64) / duration)
        row = self._tables[Header.population] + (len(self._network.neuron_layers) - 1) * POPULATION
        last = self._tables[row + Population.neuron]
        return np.asarray(rests + self._floats[last : last + outputs])

    def _result(self, duration: int) -> Result:
        network, early = self._network, int(self._ints[Scalar.early])
        seen = Seen(-(-duration // network.dt_us), int(self._ints[Scalar.event]) + early, early)
        return result_of(
            network, self.counters.tolist(), self._outcome(Header.spike_counts),
            self._outcome(Header.first_spikes), self._membranes(duration), seen,
            self.fired() if self._record else None, "async",
        )  # fmt: skip

    def forget(self) -> None:
        """Forget the spikes recorded so far."""
        self._keep_trace()
        self._traces = []
        self._recorded[:] = 0

    def fired(self) -> list[Fired]:
        """Return the spikes recorded so far, of each layer."""
        trace, layers = self.trace(), range(len(self._network.neuron_layers))
        parts = [trace[trace[:, Trace.population] == number] for number in layers]
        columns = [Trace.t, Trace.neuron, Trace.count]
        return [Fired(*rows[:, columns].T) for rows in parts]


@cache
def _compiled_feed() -> Compiled:
    ints, floats = np.empty(1, np.int64), np.empty(1, np.float32)
    return compiled_for(feed, ints, floats, ints, floats, np.empty(1, EVENT_DTYPE), 0)


def _aligned(floats: Float32s) -> Float32s:
    copy = new_array(len(floats), np.float32)
    copy[:] = floats
    return copy


# As in simulator.py: callers run one network on many recordings.
_LAYOUTS: weakref.WeakKeyDictionary[Network, dict[tuple[int | None, int], Layout]]
_LAYOUTS = weakref.WeakKeyDictionary()


def _layout(network: Network, refractory_us: int | None, delay_us: int) -> Layout:
    layouts = _LAYOUTS.setdefault(network, {})
    key = (refractory_us, delay_us)
    if key not in layouts:
        layout = layouts[key] = lay_out(network, refractory_us, delay_us)
        remember(layout.tables, layout.weights, layout.ints, layout.floats)
    return layouts[key]


def run_recording(
    network: Network,
    recording: Events | Iterable[Events] | BinnedEvents,
    *,
    steps: int | None = None,
    start_us: int | None = None,
    **options: Any,
) -> Result:
    """Run one recording from beginning to end; as `simulate`, with the options of the class."""
    if isinstance(recording, BinnedEvents):
        check_own_grid(recording, steps, start_us)
        return _run_binned(network, recording, **options)
    steps = network.steps if steps is None else steps
    grid = Grid(network.input_shape, network.dt_us, steps, start_us)
    packets = filter(len, map(grid.admit, packets_of(recording)))
    first = next(packets, np.empty(0, EVENT_DTYPE))
    start = 0 if grid.start_us is None else grid.start_us
    run = AsynchronousRun(network, start_us=start, **options)
    most = NEVER - 1 if steps is None else min(steps * network.dt_us, NEVER - 1)
    late = 0
    for events in chain([first], packets):
        seen = int(np.searchsorted(events["t"], np.uint64(start + most)))
        run.feed(events[:seen])
        late += len(events) - seen
    result = run.finish(start + min(grid.length() * network.dt_us, NEVER - 1))
    return replace(result, events=grid.events, events_late=late, steps=grid.length())


def _run_binned(network: Network, binned: BinnedEvents, **options: Any) -> Result:
    """Run spikes at the times at which their timesteps begin."""
    if binned.input_shape != network.input_shape:
        raise RecordingError(
            f"binned events have input_shape {binned.input_shape}, expected {network.input_shape}"
        )
    run = AsynchronousRun(network, start_us=binned.start_us, _addressed=True, **options)
    run.feed(events_of(binned))
    result = run.finish(binned.start_us + binned.steps * binned.dt_us)
    return replace(
        result, events=binned.events, events_early=binned.early, events_late=binned.late,
        events_merged=binned.events - binned.early - binned.late - result.events,
    )  # fmt: skip


def recording_runner(
    network: Network, *, refractory_us: int | None, delay_us: int, **grid: Any
) -> Callable[[Events | Iterable[Events] | BinnedEvents], Result]:
    """Check the network and lay it out once; return `run_recording` with these options."""
    _layout(network, refractory_us, delay_us)
    return partial(run_recording, network, refractory_us=refractory_us, delay_us=delay_us, **grid)
