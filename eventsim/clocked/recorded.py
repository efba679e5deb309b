"""The spikes of each layer, taken from the engine stretch by stretch where they are recorded.

In: the state after a stretch. Out: `Fired`. Called by `sample.py`.
"""

from __future__ import annotations

import numpy as np

from ..result import Fired
from ..wiring.program import Population, Program
from .cpu.state import State


def fired(program: Program, state: State, number: int, first: int, stop: int) -> Fired:
    """Return what a layer emitted in a stretch."""
    population = program.populations[number]
    slot = population[Population.start] + population[Population.remembered]
    starts = state.starts[slot : slot + stop - first + 1]
    listed = slice(starts[0], starts[-1])
    times = np.repeat(np.arange(first, stop, dtype=np.int32), np.diff(starts))
    neurons = state.spikes[listed].copy()
    if not population[Population.many]:
        return Fired(times, neurons, np.ones(len(neurons), np.int32))
    return Fired(times, neurons, state.spike_values[listed].astype(np.int32))
