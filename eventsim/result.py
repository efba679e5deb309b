"""What a simulation gives back, in clocked and in asynchronous time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from .checks import is_whole
from .errors import EventsimError
from .network.graph import Network, Readout
from .operations import RESETS, Operations
from .tables import Table, frame_of

if TYPE_CHECKING:
    from pandas import DataFrame

Mode = Literal["clocked", "async"]
MODES: tuple[Mode, ...] = get_args(Mode)
Device = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[Device, ...] = get_args(Device)
MOST_RECORDED = 2**28  # spikes of a layer: 4 GiB


Value = TypeVar("Value")


class PerLayer(Sequence[Value]):
    """What there is of each layer with neurons: `[1]` is that of `network.layers[1]`.

    A layer is named by its number in `network.layers`, or as `network.layer_name` calls it. What
    has no neurons has no entry; iteration goes through those that have, and -1 is the last layer.
    """

    def __init__(self, network: Network, numbers: Sequence[int], values: Iterable[Value]) -> None:
        """Keep one value for each of these numbers of layers."""
        self.numbers = tuple(numbers)
        self.names = tuple(network.layer_name(number) for number in numbers)
        self._values = tuple(values)
        self._last = len(network.layers)

    def __len__(self) -> int:
        """Return the number of layers that have an entry."""
        return len(self._values)

    def __iter__(self) -> Iterator[Value]:
        """Go through the entries in order."""
        return iter(self._values)

    def __getitem__(self, layer: Any) -> Any:
        """Return the entry of a layer, by number or name; raises `EventsimError` for no such."""
        known: Sequence[Any] = self.names
        if is_whole(layer):
            known, layer = self.numbers, layer + (self._last if layer < 0 else 0)
        if layer not in known:
            raise EventsimError(f"layer is {layer!r}, expected one that has an entry: {self.names}")
        return self._values[known.index(layer)]

    def items(self) -> Iterator[tuple[str, Value]]:
        """Go through (name, entry) in order."""
        return zip(self.names, self._values, strict=True)

    def __repr__(self) -> str:
        """Name the layers, and what each has."""
        shown = (f"{name}: {_shown(value)}" for name, value in self.items())
        return f"PerLayer({', '.join(shown)})"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) + "}"
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a network made of one recording.

    spikes: of each layer with neurons every spike, (spikes, 4), columns (timestep, channel, y, x),
        int32; with `record_spikes` only, else None. `spikes[1]` is those of `network.layers[1]`. A
        neuron that spikes several times in a timestep has as many rows. In asynchronous time the
        first column has microseconds since the start, and all are int64.
    prediction: the output neuron with the highest of `scores`.
    spike_counts: of each output neuron, (outputs,), channel-first as all that follow.
    first_spikes: (outputs,) timestep of the first spike, or microseconds since the start in
        asynchronous time; -1 for none.
    membranes: (outputs,) at the end, or their mean, where the network is read by them; else None.
    readout: what `scores` are, as `Network` has it.
    operations: what was executed, layer by layer: `operations.total.sops`, `operations[1].acs`.
    steps, dt_us: timesteps simulated, and the length of each in microseconds.
    events: how many were handed in, and of these:
    events_early, events_late: before the start of the grid and past its last timestep; the network
        has not seen them.
    events_merged: in a cell and timestep that already had one; with binary input they count once.
    mode: "clocked" or "async".
    probes: with `probe` only, else None: `probes[1]["membranes"]` is what the neurons of
        `network.layers[1]` have after each timestep, resets included: (steps, *layer shape),
        float32. Or "currents", or "adaptations".
    times: with `times` only, else None: the seconds that each layer took, by its name, and that
        "input" took, events binned and listed.
    """

    spike_counts: NDArray[np.int64]
    first_spikes: NDArray[np.int64]
    membranes: NDArray[np.float64] | None
    readout: Readout
    operations: Operations
    steps: int
    dt_us: int
    events: int
    events_early: int
    events_late: int
    events_merged: int
    spikes: PerLayer[NDArray[Any]] | None = None
    mode: Mode = "clocked"
    probes: PerLayer[Mapping[str, NDArray[np.float32]]] | None = None
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

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts of each layer with neurons, one dict a layer, as a CSV file has them.

        What is the same for the whole recording (prediction, steps, events) stands in every row.
        """
        whole = {
            "prediction": self.prediction,
            "output_spike_count": int(self.spike_counts.sum()),
            **{name: getattr(self, name) for name in _OF_RECORDING},
        }
        return [whole | row for row in self.operations.rows()]

    def to_frame(self) -> DataFrame:
        """Return `rows` as a `pandas.DataFrame`; raises `EventsimError` where pandas is missing."""
        return frame_of(self.rows())

    def _table(self) -> Table:
        found = "no output spike"
        if self.membranes is not None or self.spike_counts.any():
            score = f"{self.scores[self.prediction]:g} by {self.readout}"
            found = f"output {self.prediction} ({score})"
        return self.operations._table()._replace(
            title=f"Result: {found}, of {self.events:,} events in {self.steps:,} timesteps of "
            f"{self.dt_us:,} us ({self.mode})"
        )

    def __repr__(self) -> str:
        """Return the answer, and a table of what each layer executed."""
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


_OF_RECORDING = ("steps", "dt_us", "events", "events_early", "events_late", "events_merged", "mode")


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
    probes: PerLayer[Mapping[str, NDArray[np.float32]]] | None = None,
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


def _spikes(network: Network, recorded: Sequence[Fired], mode: Mode) -> PerLayer[NDArray[Any]]:
    """Return the spikes of each layer, (spikes, 4): time, channel, y, x; a row for each spike."""
    spikes = []
    for index, fired in zip(network.neuron_layers, recorded, strict=True):
        channels, _, width = (*network.shapes[index + 1], 1, 1)[:3]
        rows = np.empty((int(fired.counts.sum()), 4), np.int32 if mode == "clocked" else np.int64)
        position, channel = np.divmod(np.repeat(fired.neurons, fired.counts), channels)
        rows[:, 0], rows[:, 1] = np.repeat(fired.times, fired.counts), channel
        rows[:, 2], rows[:, 3] = np.divmod(position, width)
        spikes.append(rows)
    return PerLayer(network, network.neuron_layers, spikes)


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
    for number in network.never_reset:
        counters[number][RESETS] = 0
    names, macs, neurons = network.counted_layers
    return Operations.from_counters(names, counters, macs, neurons, steps)
