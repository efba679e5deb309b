"""A network that follows a live event stream: packets in, answers out.

In: event arrays of any size, as they come, with the faults that live clocks have. Out: `Answer`s,
made from the output spikes in `answers.py`. `clock.py` says what becomes of time that goes wrong;
the network itself runs in `ClockedRun` or `AsynchronousRun`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..asynchronous.run import AsynchronousRun
from ..checks import is_whole
from ..clocked.run import ClockedRun
from ..errors import EventsimError
from ..events.arrays import EVENT_DTYPE, Events
from ..jit import Int64s
from ..network.graph import Network, check_network
from ..operations import COUNTERS, Operations
from ..result import MODES, Mode, operations_of
from .answers import Answer, Windows
from .clock import AFTER_GAP, GOES_ON, StreamClock
from .session_file import load_session, save_session

AnswerKind = Literal["window", "leaky", "spike"]
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
GAP_US, LATE_US = 10_000_000, 100_000
SETTINGS = (
    "mode", "answer", "window_us", "hop_us", "leak_us", "gap_us", "late_us", "clock_us",
)  # fmt: skip
NO_EVENTS = np.empty(0, EVENT_DTYPE)


class Session:
    """A network and its state between the packets of a stream.

    mode: "async", event by event, or "clocked", on the network's timesteps.

    answer: "window", the output spikes of the last `window_us`, every `hop_us`; "leaky", a score
    that each output spike raises by 1 and that falls by exp(-hop/leak_us) from one answer to the
    next, every `hop_us`; "spike", whenever an output neuron spikes (clocked: at the end of the
    timestep; async: in every instant, of which events at one time are several), with the window
    that ends there. Answers stand at whole hops after the first event,
    and come when an event or a tick (`advance`) shows that their time has passed.

    gap_us: after a silence longer than this the network begins again, at rest, and the hops count
    from the next event; answers come until `gap_us` after the last one. late_us: an event earlier
    than the one before by up to this is late and left out; by more, it is taken to come from a
    clock that was restarted, and the network begins again at once. clock_us: the period of a clock
    that wraps, 2^32 for cameras that count microseconds in 32 bits.

    record_spikes: keep how often each neuron of each layer spikes, for `take_spikes`.

    How a stream is cut into packets changes nothing. Memory does not grow with it. Raises
    `EventsimError` for settings that do not fit, and for a readout of membranes.
    """

    def __init__(
        self,
        network: Network,
        *,
        mode: Mode = "async",
        answer: AnswerKind = "window",
        window_us: int = 100_000,
        hop_us: int | None = None,
        leak_us: int | None = None,
        gap_us: int = GAP_US,
        late_us: int = LATE_US,
        clock_us: int | None = None,
        record_spikes: bool = False,
    ) -> None:
        """Begin before the first event, every membrane at rest."""
        check_network(network)
        if mode not in MODES:
            raise EventsimError(f"mode is {mode!r}, expected one of {MODES}")
        if answer not in ANSWER_KINDS:
            raise EventsimError(f"answer is {answer!r}, expected one of {ANSWER_KINDS}")
        if network.readout.endswith("membrane"):
            raise EventsimError(
                f"readout is {network.readout!r}, expected one of spikes: a session answers by them"
            )
        self.network, self.mode, self.answer = network, mode, answer
        self.window_us = _time("window_us", window_us)
        self.hop_us = _time("hop_us", window_us if hop_us is None else hop_us)
        if answer == "spike" and mode == "clocked":
            self.hop_us = network.dt_us
        if mode == "clocked" and self.hop_us % network.dt_us:
            raise EventsimError(
                f"hop_us is {self.hop_us}, expected a multiple of the network's dt_us, "
                f"{network.dt_us}"
            )
        if answer != "spike" and self.window_us % self.hop_us:
            raise EventsimError(
                f"window_us is {self.window_us} with hop_us {self.hop_us}, expected a multiple of "
                f"it: windows are made of whole hops"
            )
        if (leak_us is None) == (answer == "leaky"):
            raise EventsimError(
                f"leak_us is {leak_us!r}, expected a time with the answer 'leaky' and None without"
            )
        self.leak_us, self.clock_us = leak_us, clock_us
        self._leak = None if leak_us is None else math.exp(-self.hop_us / _time("leak_us", leak_us))
        self.gap_us = _time("gap_us", gap_us)
        self.late_us = _time("late_us", late_us)
        self._clock = StreamClock(network.input_shape, self.gap_us, self.late_us, clock_us)
        self._counted = np.zeros((len(network.neuron_layers), len(COUNTERS)), np.int64)
        self.record_spikes = record_spikes
        self._spiked = self._no_spikes()
        self._steps = 0  # timesteps of the runs that are over: what a dense network would do
        # So that no packet waits for the compiler.
        self._new_run(0).advance(network.dt_us)
        list(self._clock.in_order(NO_EVENTS))
        self._run: AsynchronousRun | ClockedRun | None = None
        self._begin(None)

    @property
    def counters(self) -> dict[str, int]:
        """Events received, of these processed, and dropped because of their time; and resets."""
        return self._clock.counters

    @property
    def latest_us(self) -> int:
        """Time of the last event on the stream's clock; 0 before the first, and after a reset."""
        return self._latest_us

    @property
    def operations(self) -> Operations:
        """What was executed since the session began, and its dense equivalent."""
        counted = self._counted if self._run is None else self._counted + self._run.counters
        return operations_of(self.network, counted.tolist(), self._steps + self._steps_of_run())

    def feed(self, events: Events) -> list[Answer]:
        """Run a packet, an array of `EVENT_DTYPE`; return the answers whose time has passed.

        Events that come too late are left out and counted. Raises `RecordingError`, with nothing
        done, for an array of another type and for events outside of the network's input.
        """
        answers: list[Answer] = []
        for part, begins in self._clock.in_order(events):
            if begins == AFTER_GAP:
                answers += self._end()
            if begins != GOES_ON:
                self._begin(None)
            if self._run is None:
                self._begin(int(part["t"][0]))
            last_us = int(part["t"][-1])
            answers += self._run_on(part, last_us)
            self._latest_us = last_us
        return answers

    def advance(self, until_us: int) -> list[Answer]:
        """Tell that no event before `until_us` will come; return the answers up to there.

        Without a tick a session that gets no events cannot know that time goes on. Events before
        `until_us` that come all the same are late. Nothing happens before the first event.
        """
        if not is_whole(until_us, 0):
            raise EventsimError(
                f"until_us is {until_us!r}, expected a whole number of microseconds"
            )
        if self._run is None:
            return []
        until = min(int(until_us), self._latest_us + self.gap_us)
        answers = self._run_on(NO_EVENTS, until)
        self._clock.advance(until)
        return answers

    def take_spikes(self) -> tuple[NDArray[np.int64], ...]:
        """Return how often each neuron has spiked since the last call, of each layer its shape.

        Raises `EventsimError` for a session that does not record spikes.
        """
        if not self.record_spikes:
            raise EventsimError("record_spikes is False, expected True to take spikes")
        if self._run is not None:
            self._note_spikes(self._run)
            self._run.forget()
        taken, self._spiked = self._spiked, self._no_spikes()
        shapes = [self.network.shapes[index + 1] for index in self.network.neuron_layers]
        return tuple(
            counts.reshape(-1, shape[0]).T.reshape(shape)  # the engine has channels last
            for counts, shape in zip(taken, shapes, strict=True)
        )

    def reset(self) -> None:
        """Silence the network; the next event begins again. Counters go on."""
        self._begin(None)

    def save(self, path: str | Path) -> None:
        """Write the state to an HDF5 file, in one go; see `session_file.py`.

        Raises `EventsimError` naming the file, where it cannot be written.
        """
        settings = {name: getattr(self, name) for name in SETTINGS}
        save_session(path, self.network, settings, self._state())

    @classmethod
    def restore(cls, path: str | Path, network: Network) -> Self:
        """Return a session that goes on exactly where the saved one was.

        Raises `EventsimError`, one sentence, for a file that is damaged or something else, was
        written by another version of eventsim, or for another network.
        """
        settings, state = load_session(path, network)
        session = cls(network, **settings)
        session._restore(state)
        return session

    def _state(self) -> dict[str, NDArray[Any]]:
        found = {f"clock/{name}": array for name, array in self._clock.state._asdict().items()}
        found["times"] = np.array([self._start_us, self._latest_us, self._done_us, self._steps])
        found |= {"counted": self._counted, "before": self._before, **self._windows.state()}
        if self._run is not None:
            found |= {f"run/{name}": array for name, array in self._run.state().items()}
        return found

    def _restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name, array in self._clock.state._asdict().items():
            array[:] = state[f"clock/{name}"]
        times: list[int] = state["times"].tolist()
        self._start_us, self._latest_us, self._done_us, self._steps = times
        self._counted, self._before = state["counted"], state["before"]
        self._windows.restore(state)
        of_run = {name[4:]: array for name, array in state.items() if name[:4] == "run/"}
        if of_run:
            self._run = self._new_run(self._start_us)
            self._run.restore(of_run)

    def _begin(self, start_us: int | None) -> None:
        """Put the run that is over away, and begin one at a time, or wait for the first event."""
        if self._run is not None:
            if isinstance(self._run, ClockedRun):  # the timestep that is still open
                self._run.advance(self._latest_us + self.network.dt_us)
            self._note_spikes(self._run)
            self._counted += self._run.counters
            self._steps += self._steps_of_run()
        self._run = None
        outputs = self.network.outputs
        self._windows = Windows(outputs, self.window_us, self._leak)
        self._start_us = self._latest_us = start_us or 0
        self._done_us = self._start_us  # up to here the run has gone on without events
        self._before = np.zeros(outputs, np.int64)  # output spikes up to the last moment
        if start_us is not None:
            self._run = self._new_run(start_us)

    def _new_run(self, start_us: int) -> AsynchronousRun | ClockedRun:
        if self.mode == "clocked":
            return ClockedRun(self.network, start_us=start_us, record_spikes=self.record_spikes)
        record = self.record_spikes or self.answer == "spike"
        return AsynchronousRun(self.network, start_us=start_us, record_spikes=record)

    def _steps_of_run(self) -> int:
        if self._run is None:
            return 0
        return -(-(max(self._latest_us + 1, self._done_us) - self._start_us) // self.network.dt_us)

    def _no_spikes(self) -> list[NDArray[np.int64]]:
        network = self.network
        sizes = [math.prod(network.shapes[index + 1]) for index in network.neuron_layers]
        return [np.zeros(size if self.record_spikes else 0, np.int64) for size in sizes]

    def _note_spikes(self, run: AsynchronousRun | ClockedRun) -> None:
        """Count what a run has recorded, before it is forgotten."""
        if self.record_spikes:
            for counts, fired in zip(self._spiked, run.fired(), strict=True):
                np.add.at(counts, fired.neurons, fired.counts)

    def _end(self) -> list[Answer]:
        """Return the answers that a silence of `gap_us` still brings."""
        if self._run is None:  # it was reset
            return []
        return self._run_on(NO_EVENTS, self._latest_us + self.gap_us)

    def _run_on(self, events: Events, until_us: int) -> list[Answer]:
        """Run events, and go on to `until_us`, the time of the last one or later."""
        if self.answer == "spike" and self.mode == "async":
            return self._windows.answers(*self._instants(events, until_us))
        ends = np.arange(self._done_us + self.hop_us, until_us + 1, self.hop_us)
        assert self._run is not None
        if isinstance(self._run, AsynchronousRun):
            counts = self._run.feed_in_hops(
                events, self._done_us + self.hop_us, self.hop_us, until_us
            )
        else:
            counts = _clocked_hops(self._run, events, ends, self.network.outputs)
        if len(ends) == 0:
            return []
        spikes = np.diff(counts, axis=0, prepend=self._before[None])
        self._done_us, self._before = int(ends[-1]), counts[-1]
        if self.answer == "spike":
            spiking = spikes.any(axis=1)
            ends, spikes = ends[spiking], spikes[spiking]
        return self._windows.answers(ends, spikes)

    def _instants(self, events: Events, until_us: int) -> tuple[Int64s, Int64s]:
        """Run on; return each instant in which outputs spiked, and how often each did."""
        assert isinstance(self._run, AsynchronousRun)
        self._run.feed(events)
        if len(events) == 0:
            self._run.advance(until_us)
            self._done_us = max(self._done_us, until_us)
        self._note_spikes(self._run)
        told = list(self._run.take_output_spikes())
        times = np.array([self._start_us + t for t, _ in told], np.int64)
        return times, np.array([spikes for _, spikes in told]).reshape(-1, self.network.outputs)


def _clocked_hops(run: ClockedRun, events: Events, ends: Int64s, outputs: int) -> Int64s:
    """Run events on the grid; return the output spikes up to the end of each hop."""
    counts = np.empty((len(ends), outputs), np.int64)
    first = 0
    for number, end in enumerate(ends.tolist()):
        stop = int(np.searchsorted(events["t"], np.uint64(end)))
        if stop > first:
            run.feed(events[first:stop])
        run.advance(end)
        counts[number] = run.spike_counts
        first = stop
    if first < len(events):
        run.feed(events[first:])
    return counts


def _time(name: str, value: int) -> int:
    if not is_whole(value, 1, 2**62 - 1):
        raise EventsimError(
            f"{name} is {value!r}, expected a whole number of microseconds, 1 or more"
        )
    return int(value)
