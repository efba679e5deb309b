"""What a simulation gives back, in clocked and in asynchronous time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import EventsimError
from .network.graph import Network, Readout
from .operations import COUNTERS, Operations

Mode = Literal["clocked", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)
Device = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[Device, ...] = get_args(Device)
MOST_RECORDED = 2**28  # spikes of a layer: 4 GiB


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
    # On request: by the name of a layer and "membranes", "currents" or "adaptations", what its
    # neurons have after each timestep, resets included: float32, (steps, *layer shape)
    probes: Mapping[str, Mapping[str, NDArray[np.float32]]] | None = None
    # On request: seconds, by the name of a layer, and of "input": events binned and listed
    times: Mapping[str, float] | None = None

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


class Seen(NamedTuple):
    """What a network has seen of a recording; see `Result`."""

    steps: int
    events: int
    early: int = 0
    late: int = 0
    merged: int = 0


class Fired(NamedTuple):
    """Neurons of a layer that fired, in the order of time: arrays of one length."""

    times: NDArray[Any]  # timesteps, or microseconds
    neurons: NDArray[Any]  # in the engine's order
    counts: NDArray[Any]  # how many spikes each is

    @classmethod
    def joined(cls, several: Sequence[Fired]) -> Fired:
        """Return what fired in several stretches, one after the other."""
        none = cls(*(np.zeros(0, np.int32) for _ in cls._fields))
        return cls(*map(np.concatenate, zip(none, *several, strict=True)))


def result_of(
    network: Network,
    counters: list[list[int]],
    spike_counts: NDArray[np.int64],
    first_spikes: NDArray[np.int64],
    membranes: NDArray[np.float64],
    seen: Seen,
    recorded: Sequence[Fired] | None,
    mode: Mode,
    probes: Mapping[str, Mapping[str, NDArray[np.float32]]] | None = None,
    times: Mapping[str, float] | None = None,
) -> Result:
    """Wrap what an engine found of one recording.

    `counters` as `Operations.from_counters` has them; `spike_counts`, `first_spikes` and
    `membranes` in the engine's order of output neurons; `recorded` of each layer, if asked for.
    Where no time passed, the membranes are where they start: at rest.
    """
    if seen.steps == 0:
        membranes = np.resize(network.rests, network.outputs).astype(np.float64)
    return Result(
        spike_counts=channel_first(spike_counts, network),
        first_spikes=channel_first(first_spikes, network),
        membranes=channel_first(membranes, network) if network.reads_membranes else None,
        readout=network.readout,
        operations=operations_of(network, counters, seen.steps),
        steps=seen.steps,
        dt_us=network.dt_us,
        events=seen.events,
        events_early=seen.early,
        events_late=seen.late,
        events_merged=seen.merged,
        spikes=None if recorded is None else _spikes(network, recorded, mode),
        mode=mode,
        probes=probes,
        times=times,
    )


def _spikes(network: Network, recorded: Sequence[Fired], mode: Mode) -> tuple[NDArray[Any], ...]:
    """Return the spikes of each layer, (spikes, 4): time, channel, y, x; a row for each spike."""
    spikes = []
    for index, fired in zip(network.neuron_layers, recorded, strict=True):
        channels, _, width = (*network.shapes[index + 1], 1, 1)[:3]
        rows = np.empty((int(fired.counts.sum()), 4), np.int32 if mode == "clocked" else np.int64)
        position, channel = np.divmod(np.repeat(fired.neurons, fired.counts), channels)
        rows[:, 0], rows[:, 1] = np.repeat(fired.times, fired.counts), channel
        rows[:, 2], rows[:, 3] = np.divmod(position, width)
        spikes.append(rows)
    return tuple(spikes)


def check_recorded(network: Network, number: int, spikes: int) -> None:
    """Raise `EventsimError` where a layer has spiked more often than can be recorded."""
    if spikes > MOST_RECORDED:
        name = network.layer_name(network.neuron_layers[number])
        raise EventsimError(
            f"{name}: {spikes} spikes to record, expected at most {MOST_RECORDED}; "
            f"without record_spikes any number is counted"
        )


def channel_first(values: NDArray[Any], network: Network) -> NDArray[Any]:
    """Return what there is of each output neuron, (..., outputs) in the engine's order, as PyTorch
    flattens it."""
    channels = network.shapes[-1][0]
    if values.shape[-1] == channels:
        return values
    sites = values.reshape(*values.shape[:-1], values.shape[-1] // channels, channels)
    return sites.swapaxes(-1, -2).reshape(values.shape)


def operations_of(network: Network, counters: list[list[int]], steps: int) -> Operations:
    """Wrap what the kernels counted in so many timesteps, of each layer in turn.

    They count a reset for each membrane that spiked; where the reset is "none" there was none.
    """
    layers = network.counted_layers
    resets = COUNTERS.index("resets")
    for index, counted in zip(network.neuron_layers, counters, strict=True):
        if network.layers[index].neuron.reset == "none":  # type: ignore[union-attr]
            counted[resets] = 0
    return Operations.from_counters(
        (name for name, _, _ in layers), counters, (macs * steps for _, macs, _ in layers),
        (neurons * steps for _, _, neurons in layers),
    )  # fmt: skip
