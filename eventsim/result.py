"""What a simulation gives back, in clocked and in asynchronous time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .network.graph import Network, Readout
from .operations import Operations

Mode = Literal["clocked", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)
Device = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[Device, ...] = get_args(Device)


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


def channel_first(values: NDArray[Any], network: Network) -> NDArray[Any]:
    """Return what there is of each output neuron, (..., outputs) in the engine's order, as PyTorch
    flattens it."""
    sites = values.reshape(*values.shape[:-1], -1, network.shapes[-1][0])
    return sites.swapaxes(-1, -2).reshape(values.shape)


def operations_of(network: Network, counters: list[list[int]], steps: int) -> Operations:
    """Wrap what the kernels counted in so many timesteps, of each layer in turn."""
    layers = network.counted_layers
    return Operations.from_counters(
        (name for name, _ in layers), counters, (macs * steps for _, macs in layers)
    )
