"""How long each layer takes: the same kernels, called from Python layer by layer, with a clock.

In: what `run_stretches` and `run_stretch` take. Out: seconds a layer. Called by `sample.py` where
times are asked for. A call costs some microseconds, which are part of the layer's time: next to
nothing where a stretch has many timesteps, but recurrence leaves it a single one.
"""

from __future__ import annotations

from time import perf_counter_ns

from ..events.stretches import Marked, Packet, Place, Stretch, next_stretch
from ..jit import Compiled, Int64s, compiled_for, kernel
from ..network.graph import Network
from ..wiring.program import Program
from .cpu.layer import open_stretch, run_layer
from .cpu.state import Outcome, State
from .cpu.team import Team

INPUT = "input"  # what its events take until they are spikes, listed for the layers


@kernel
def begin(
    program: Program, state: State, stretch: Stretch, first: int, stop: int, before: int
) -> None:
    """Do what comes before the layers, as `run_stretch` does."""
    open_stretch(program, state, stretch, first, stop, before)


@kernel
def run_one(
    program: Program, number: int, state: State, team: Team | None, first: int, stop: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Run one layer through a stretch."""
    run_layer(program, number, state, team, first, stop, outcome)


class LayerTimes:
    """A clock for each layer, and one for the input."""

    def __init__(self, layers: int) -> None:
        """Begin at zero."""
        self._ns = [0] * (layers + 1)  # the last: the input
        self._kernels: tuple[Compiled, Compiled] | None = None

    def seconds(self, network: Network) -> dict[str, float]:
        """Return what was measured, by the names of the layers."""
        names = [network.layer_name(index) for index in network.neuron_layers]
        *layers, of_input = (ns / 1e9 for ns in self._ns)
        return {INPUT: of_input, **dict(zip(names, layers, strict=True))}

    def run_stretches(
        self, program: Program, state: State, team: Team | None, packet: Packet, marked: Marked,
        numbers: Int64s, spikes: Stretch, before: int, most: int, outcome: Outcome,
    ) -> tuple[int, int, bool]:  # fmt: skip
        """Do as the kernel of this name."""
        steps = 0
        for _ in range(most):
            step = int(numbers[Place.step])
            begun = perf_counter_ns()
            closed = next_stretch(packet, marked, numbers, spikes)
            self._ns[-1] += perf_counter_ns() - begun
            if closed == 0:
                return steps, before, False
            self.run_stretch(program, state, team, spikes, step, step + closed, before, outcome)
            steps, before = steps + closed, closed
        return steps, before, True

    def run_stretch(
        self, program: Program, state: State, team: Team | None, stretch: Stretch, first: int,
        stop: int, before: int, outcome: Outcome,
    ) -> None:  # fmt: skip
        """Do as the kernel of this name."""
        opening = program, state, stretch, first, stop, before
        if self._kernels is None:  # compiled before a clock runs
            layer = program, 0, state, team, first, stop, outcome
            self._kernels = compiled_for(begin, *opening), compiled_for(run_one, *layer)
        begin_it, run_it = self._kernels
        begun = perf_counter_ns()
        begin_it(*opening)
        self._ns[-1] += perf_counter_ns() - begun
        for number in range(len(program.populations)):
            begun = perf_counter_ns()
            run_it(program, number, state, team, first, stop, outcome)
            self._ns[number] += perf_counter_ns() - begun
