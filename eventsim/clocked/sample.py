"""A network on its way through the timesteps of a recording, and the memory that it does it in.

In: what is on the grid of a recording, in stretches of timesteps. Out: a `Result`. Called by
`run.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events.arrays import Events
from ..events.binning import BinnedEvents, Binner, Grid
from ..events.stretches import Stretch
from ..jit import Compiled, compiled_for
from ..network.graph import Network
from ..result import Fired, Result, Seen, channel_first, check_recorded, result_of
from ..wiring.program import Population
from ..wiring.wire import program_of
from .cpu.layer import begin_stretch, run_stretch, run_stretches
from .cpu.state import Outcome, State, clear, keep, kept, new_outcome, new_state, renewed
from .cpu.team import Team, helping, new_team
from .overflow import check_currents, is_fixed
from .probes import Probes
from .recorded import fired
from .times import LayerTimes

STRETCHES = 64  # in one call of the kernels, which nothing can interrupt
_NOBODY = nullcontext()  # helps


# Kernels for the arguments of a network, which are of the same types each time: to find the types
# of 60 arrays took 9 us a call. And memory that no recording is using, for as many as ran at the
# same time. Both for as long as the network lives.
_COMPILED: weakref.WeakKeyDictionary[Network, dict[tuple[Compiled, bool], Compiled]]
_COMPILED = weakref.WeakKeyDictionary()
_IDLE: weakref.WeakKeyDictionary[Network, list[Memory]] = weakref.WeakKeyDictionary()


class Memory:
    """What recordings of a network run in, one after the other, and what is the same for all.

    It holds no reference to the network, so it goes when the network goes.
    """

    def __init__(self, network: Network) -> None:
        """Allocate it; the network is wired once."""
        self.program = program_of(network)
        self.state = new_state(self.program)  # of any content
        self.grid = Grid(network.input_shape, network.dt_us)
        self.binner = Binner(self.grid, network.input_encoding)
        self.nothing = new_outcome(self.program)  # of no timesteps
        self.fixed = is_fixed(network)
        self.compiled = _COMPILED.setdefault(network, {})  # kernels with a team and without
        _IDLE.setdefault(network, [])


def borrow(network: Network) -> Memory:
    """Return memory for one recording, made only where all of a network's is in use.

    What is borrowed and not given back, as after an error, is not used again.
    """
    try:
        return _IDLE[network].pop()
    except LookupError:
        return Memory(network)


def give_back(network: Network, memory: Memory) -> None:
    """Leave memory, in which a recording was run to its end, to the next one."""
    _IDLE[network].append(memory)


class Sample:
    """A network on its way through the timesteps of one recording, from silence."""

    def __init__(
        self, network: Network, memory: Memory, record_spikes: bool, threads: int = 1,
        probes: Probes | None = None, times: bool = False,
    ) -> None:  # fmt: skip
        """Take memory of any content: the first stretch silences its state."""
        self._network, self._memory, program = network, memory, memory.program
        self._program, self._state = program, memory.state
        self._team: Team | None = None
        self._views: list[State] = []
        if threads > 1 and (program.populations[:, Population.looks_up] > 0).any():
            self._team, self._views = new_team(memory.state, threads)
        counters, counts, firsts, membranes = memory.nothing
        self._outcome = Outcome(counters.copy(), counts.copy(), firsts.copy(), membranes.copy())
        self._probes, self._times = probes, LayerTimes(len(program.populations)) if times else None
        self.stretch = program.stretch if probes is None else 1  # timesteps at a time, at most
        self._steps = 0  # run so far,
        self._before = 0  # and how many of these by the last call
        self._recorded: list[list[Fired]] | None = None
        if record_spikes:
            self._recorded = [[] for _ in program.populations]
            self._spikes = [0] * len(program.populations)  # recorded

    def run_packet(self, events: Events, until: int = 0) -> None:
        """Run the timesteps that a packet closes, and those before `until`."""
        binner = self._memory.binner
        packet, spikes = binner.take(events, self.stretch, until)
        stretches = STRETCHES if self._recorded is None and self._probes is None else 1
        more = True
        with self._helped():
            while more:
                steps, before, more = self._call(
                    run_stretches, self._program, self._state, self._team, packet, binner.marked,
                    binner.numbers, spikes, self._before, stretches, self._outcome,
                )  # fmt: skip
                if steps > 0:
                    self._ran(steps, before)

    def run_binned(self, binned: BinnedEvents) -> None:
        """Run all timesteps of a recording that is on the grid already."""
        pointers = np.ascontiguousarray(binned.pointers, np.int64)
        cells = np.ascontiguousarray(binned.cells, np.int32)
        values = np.ascontiguousarray(binned.values, np.float32)
        with self._helped():
            for first in range(0, binned.steps, self.stretch):
                stop = min(first + self.stretch, binned.steps)
                spikes = Stretch(pointers[first : stop + 1], cells, values)
                self._call(
                    run_stretch, self._program, self._state, self._team, spikes, first, stop,
                    self._before, self._outcome,
                )  # fmt: skip
                self._ran(stop - first, stop - first)

    def _helped(self) -> AbstractContextManager[None]:
        if self._team is None:
            return _NOBODY
        return helping(self._program, self._team, self._views)

    def _call(self, kernel: Compiled, *arguments: Any) -> Any:
        if self._times is not None:
            return getattr(self._times, kernel.__name__)(*arguments)
        compiled, which = self._memory.compiled, (kernel, self._team is not None)
        if which not in compiled:
            compiled[which] = compiled_for(kernel, *arguments)
        return compiled[which](*arguments)

    def _ran(self, steps: int, before: int) -> None:
        """Note so many more timesteps, and that the last stretch of them had `before`."""
        first, stop = self._steps, self._steps + steps
        self._steps, self._before = stop, before
        if self._memory.fixed:
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
