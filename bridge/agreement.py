"""The spikes of a torch model against those of the engine, layer by layer.

In: a model, the network it was exported to, and recordings. Out: `Agreement`: how many spikes
differ, and where the differences come from. Both sides add the same float32 numbers, but not in
the same order, so a membrane that comes within rounding of the threshold may cross it on only
one side. Everything after that, in the neuron and behind it, follows from that one difference.

A difference is an *origin* where it is the first of its neuron in a recording, and where the input
of its layer was the same on both sides up to then, in a recurrent layer its own spikes too. Its
distance is that of the membrane from the threshold, in float64 (`eventsim.reference.run_layer` on
the input of the layer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from eventsim.clocked.run import run_binned
from eventsim.errors import EventsimError
from eventsim.events.arrays import Events
from eventsim.events.binning import BinnedEvents, bin_events, check_own_grid
from eventsim.network.geometry import Shape
from eventsim.network.graph import INPUT, Network
from eventsim.network.layers import WeightLayer
from eventsim.network.neurons import Neuron
from eventsim.reference import LayerTrace, run_layer
from eventsim.result import Result

from .importing import Original


class SpikingModel(Protocol):
    """What is compared: a `SpikingNetwork`, or anything else that tells its spikes."""

    def layer_spikes(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Return the spikes of each layer with neurons, (batch, steps, *layer shape)."""


@dataclass(frozen=True)
class LayerAgreement:
    """The differences of one layer with neurons over all recordings."""

    name: str  # as in the engine's messages and tables, such as "layer 2 (Conv2d)"
    torch_spikes: int
    engine_spikes: int
    differing: int  # spikes that only one side has
    origins: int  # differences that do not follow from another one
    largest_origin_distance: float  # |membrane - threshold| of the origins; 0 without any


@dataclass(frozen=True)
class Agreement:
    """The differences of a model and its network over `recordings`; `layers` has those of each.

    predictions_differ: recordings that are told to be of another class. largest_score_difference:
    of membranes that are read out; 0 where spikes are.
    """

    recordings: int
    predictions_differ: int
    largest_score_difference: float
    layers: tuple[LayerAgreement, ...]

    @property
    def differing(self) -> int:
        """Spikes that only one side has, in all layers."""
        return sum(layer.differing for layer in self.layers)

    @property
    def origins(self) -> int:
        """Differences that do not follow from another one, in all layers."""
        return sum(layer.origins for layer in self.layers)

    def all_origins_within(self, distance: float = 1e-5) -> bool:
        """Tell whether every origin lies within `distance` of the threshold (membrane units)."""
        return all(layer.largest_origin_distance <= distance for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def compare(
    module: torch.nn.Module,
    network: Network,
    recordings: Iterable[Events | BinnedEvents],
    *,
    input_shape: Shape | None = None,
    steps: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Agreement:
    """Run recordings through a module in its own framework and through the network made of it.

    `network` is what `importing.from_torch` or `export_network` returned for `module`, which is
    left as it is; `input_shape` the module's, by default the network's. The rest is as in
    `compare_spikes`, and so is what is raised.
    """
    if hasattr(module, "layer_spikes"):
        model: Any = module
    else:
        model = Original(module, network.input_shape if input_shape is None else input_shape)
    return compare_spikes(model, network, recordings, steps=steps, progress=progress)


def compare_spikes(
    model: SpikingModel,
    network: Network,
    recordings: Iterable[Events | BinnedEvents],
    *,
    steps: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Agreement:
    """Run recordings through both and compare every spike of every layer.

    `network` has the layers of `model`, as `export_network` makes it; `steps` timesteps (by default
    the network's own, and without those the whole recording) are compared. Recordings may also be
    `BinnedEvents` (`eventsim.from_spikes`, `from_frames`). `progress` is called
    with 1 after each recording; one is in memory at a time. The model is put into eval mode.

    Raises `EventsimError` where model and network have other layers, `RecordingError` for events
    that do not fit the network.
    """
    if isinstance(model, torch.nn.Module):
        model.eval()
    tallies = [_Tally(network, index) for index in network.neuron_layers]
    count, predictions_differ, largest = 0, 0, 0.0
    for events in recordings:
        binned = _on_grid(network, events, steps)
        frames = binned.frames()
        result = run_binned(network, binned, record_spikes=True)
        of_torch = _spikes_of_torch(model, frames)
        of_engine = _spikes_of_engine(network, result)
        if [spikes.shape for spikes in of_torch] != [spikes.shape for spikes in of_engine]:
            raise EventsimError(
                f"the model's layers have shapes {[spikes.shape[1:] for spikes in of_torch]}, "
                f"expected the network's {[spikes.shape[1:] for spikes in of_engine]}"
            )
        given, agreed = {INPUT: frames}, {INPUT: len(frames)}
        for tally, left, right in zip(tallies, of_torch, of_engine, strict=True):
            agreed[tally.index] = tally.add(left, right, given, agreed)
            given[tally.index] = left
        count += 1
        scores = _scores_of_torch(model, network, of_torch[-1])
        if scores is not None:
            predictions_differ += int(np.argmax(scores)) != result.prediction
            if network.reads_membranes:
                largest = max(largest, float(np.abs(scores - result.scores).max()))
        if progress is not None:
            progress(1)
    layers = tuple(tally.result() for tally in tallies)
    return Agreement(count, predictions_differ, largest, layers)


def _on_grid(network: Network, events: Events | BinnedEvents, steps: int | None) -> BinnedEvents:
    """Return a recording on the network's grid; binned events bring their own."""
    if isinstance(events, BinnedEvents):
        check_own_grid(events, steps, None)
        return events
    return bin_events(
        events, network.input_shape, network.dt_us, network.steps if steps is None else steps,
        encoding=network.input_encoding,
    )  # fmt: skip


class _Tally:
    """The running counts of one layer with neurons."""

    def __init__(self, network: Network, index: int) -> None:
        self.network = network
        self.index = index
        self.torch_spikes = self.engine_spikes = self.differing = self.origins = 0
        self.largest_origin_distance = 0.0

    def add(
        self,
        of_torch: NDArray[np.float32],
        of_engine: NDArray[np.float32],
        given: dict[int, NDArray[Any]],
        agreed_in: dict[int, int],
    ) -> int:
        """Add the spikes (steps, *shape) of a recording; return in how many first steps they agree.

        `given`: what the layers with neurons before, and the input (-1), gave in torch; the same on
        both sides in so many first timesteps as `agreed_in` says.
        """
        differs = of_torch != of_engine
        self.torch_spikes += int(of_torch.sum(dtype=np.float64))
        self.engine_spikes += int(of_engine.sum(dtype=np.float64))
        if not differs.any():
            return len(differs)
        self.differing += int(np.abs(of_torch - of_engine).sum(dtype=np.float64))
        first = int(np.argmax(differs.any(axis=tuple(range(1, differs.ndim)))))
        agreed = min(agreed_in[source] for source in self._feeders(self.index - 1))
        if self.network.layers[self.index].recurrent is not None:  # type: ignore[union-attr]
            agreed = min(agreed, first + 1)
        origins = differs[:agreed] & (np.cumsum(differs[:agreed], axis=0) == 1)
        if origins.any():
            distances = self._distances(self._arriving(self.index - 1, given)[:agreed])[origins]
            self.origins += len(distances)
            self.largest_origin_distance = max(self.largest_origin_distance, float(distances.max()))
        return first

    def _feeders(self, node: int) -> set[int]:
        """Return the layers with neurons, and the input, whose spikes leave layer `node`."""
        if node == INPUT or isinstance(self.network.layers[node], WeightLayer):
            return {node}
        return set().union(*(self._feeders(source) for source in self.network.sources(node)))

    def _arriving(self, node: int, given: dict[int, NDArray[Any]]) -> NDArray[np.float64]:
        """Return what leaves layer `node`, (steps, *shape)."""
        if node in given:
            return given[node].astype(np.float64)
        pathway: Any = self.network.layers[node]
        sources = [self._arriving(source, given) for source in self.network.sources(node)]
        return np.asarray(pathway.run(sources))

    def _distances(self, arriving: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far from the threshold the membranes come (steps, *shape), in float64.

        Of neurons that spike several times in a timestep: from the nearest multiple of it.
        """
        layer: Any = self.network.layers[self.index]
        shape = self.network.shapes[self.index + 1]
        trace = run_layer(layer, arriving, shape)
        membranes = trace.membranes
        limit = _limits(layer.neuron, trace)
        if layer.neuron.spikes == "many":
            limit = limit * np.maximum(1, np.round(membranes / limit))
        distances: NDArray[np.float64] = np.abs(membranes - limit)
        return distances

    def result(self) -> LayerAgreement:
        """Return the counts."""
        counts = {f.name: getattr(self, f.name) for f in fields(LayerAgreement) if f.name != "name"}
        return LayerAgreement(self.network.layer_name(self.index), **counts)


def _scores_of_torch(
    model: SpikingModel, network: Network, last: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Return what the readout compares, as `Result.scores`; None for membranes that nobody tells.

    A model that ends in membranes has them as `membranes`, (steps, outputs).
    """
    spikes = last.reshape(len(last), network.outputs)
    if network.readout == "first-spike":
        return np.where(spikes.any(axis=0), -1.0 * np.argmax(spikes > 0, axis=0), -np.inf)
    if not network.reads_membranes:
        return np.asarray(spikes.sum(axis=0, dtype=np.float64))
    membranes: NDArray[np.float64] | None = getattr(model, "membranes", None)
    if membranes is None:
        return None
    found = membranes[-1] if network.readout == "last-membrane" else membranes.mean(axis=0)
    return np.asarray(found.reshape(-1))


def _limits(neuron: Neuron, trace: LayerTrace) -> NDArray[np.float64]:
    """Return what the membranes (steps, *shape) are compared with, raised as it may be."""
    second = np.zeros_like(trace.membranes)
    for t, state in enumerate(trace.states[:-1], start=1):
        second[t] = state.second
    limits: NDArray[np.float64] = neuron.thresholds(
        neuron.shaped_parameters(trace.membranes[0]), second
    )
    return limits


def _spikes_of_torch(model: SpikingModel, frames: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return how often each neuron spiked (steps, *shape), of each layer with neurons."""
    with torch.no_grad():
        layers = model.layer_spikes(torch.from_numpy(frames)[None])
    return [spikes[0].numpy() for spikes in layers]


def _spikes_of_engine(network: Network, result: Result) -> list[NDArray[np.float32]]:
    """Return how often each neuron spiked (steps, *shape), of each layer with neurons."""
    assert result.spikes is not None
    shapes = [network.shapes[index + 1] for index in network.neuron_layers]
    layers = []
    for shape, spikes in zip(shapes, result.spikes, strict=True):
        dense = np.zeros((result.steps, *shape, *(1,) * (3 - len(shape))), np.float32)
        np.add.at(dense, tuple(spikes.T), 1)
        layers.append(dense.reshape(result.steps, *shape))
    return layers
