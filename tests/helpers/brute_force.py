"""Counts of operations by brute force over the dense reference, for comparison with the engine.

Written from the definitions in `eventsim/operations.py`, with none of the engine's wiring: which
weights an input reaches is found by sending it alone through the layers between, and then through a
copy of the layer whose weights are all one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.network.graph import INPUT, Network
from eventsim.network.layers import WeightLayer
from eventsim.network.pathways import Add, Concatenate, Delay
from eventsim.network.pools import MaxPool2d
from eventsim.reference import LayerTrace

NAMES = (
    "input_events", "acs", "macs", "updates", "decays", "bias_adds", "compares", "resets",
    "output_spikes", "site_updates",
)  # fmt: skip


class Path(NamedTuple):
    """How the outputs of a layer (or the input) come to a layer with weights."""

    feeder: int
    through: tuple[tuple[int, int], ...]  # (layer, which of its sources), in the spikes' direction


def count_operations(
    network: Network, frames: NDArray[Any], traces: list[LayerTrace]
) -> list[dict[str, int]]:
    """One dictionary of counts for each layer with neurons."""
    outputs = _outputs(network, frames, traces)
    return [
        _Counting(network, index, trace, outputs).run()
        for index, trace in zip(network.neuron_layers, traces, strict=True)
    ]


def _outputs(network: Network, frames: Any, traces: list[LayerTrace]) -> list[NDArray[Any]]:
    """What leaves the input and each layer, (steps, *shape)."""
    outputs = [np.asarray(frames, np.float64)]
    of_neurons = iter(traces)
    for index, layer in enumerate(network.layers):
        if isinstance(layer, WeightLayer):
            outputs.append(next(of_neurons).spikes.astype(np.float64))
        else:
            outputs.append(layer.run([outputs[source + 1] for source in network.sources(index)]))
    return outputs


def _paths(network: Network, node: int) -> Iterator[Path]:
    """All ways to the output of `node` from neurons, from the input, or from a max pool."""
    if node == INPUT or isinstance(network.layers[node], WeightLayer | MaxPool2d):
        yield Path(node, ())
        return
    for slot, source in enumerate(network.sources(node)):
        for path in _paths(network, source):
            # An `Add` changes nothing on the way; a way that it doubles is one way.
            step = () if isinstance(network.layers[node], Add) else ((node, slot),)
            yield Path(path.feeder, (*path.through, *step))


class _Counting:
    """The counts of one layer."""

    def __init__(
        self, network: Network, index: int, trace: LayerTrace, outputs: list[NDArray[Any]]
    ) -> None:
        layer = network.layers[index]
        assert isinstance(layer, WeightLayer)
        self.network, self.layer, self.trace, self.outputs = network, layer, trace, outputs
        self.shape = network.shapes[index + 1]
        self.groups, self.per_group = layer.groups, self.shape[0] // layer.groups
        self.paths = list(dict.fromkeys(_paths(network, index - 1)))
        self.fan_outs: dict[tuple[int, int], tuple[int, NDArray[Any]]] = {}
        self.bias = np.zeros(self.shape)
        self.always = index == len(network.layers) - 1 and network.readout.endswith("membrane")
        if layer.bias is not None:
            bias = layer.bias * layer.neuron.gain()
            self.always |= bool(layer.neuron.rises_over_threshold(bias).any())
            self.bias = self.bias + bias.reshape(-1, *[1] * (len(self.shape) - 1))
        self.count = dict.fromkeys(NAMES, 0)

    def run(self) -> dict[str, int]:
        p = self.layer.neuron.parameters(self.shape[0])
        two = self.layer.neuron.has_second
        variables = 1 + two + (self.layer.neuron.refractory > 0)
        leaks = int((p["decay"] != 1).any()) + int(two and (p["second_decay"] != 1).any())
        count, again = self.count, np.zeros(self._sites(np.zeros(self.shape)).shape, np.bool_)
        held = np.zeros(self.shape, np.int64)
        for t, spikes in enumerate(self.trace.spikes):
            touched = again | self._arrive(t) | self.always
            neurons = int(touched.sum()) * self.per_group
            count["site_updates"] += int(touched.sum())
            count["updates"] += neurons * variables
            count["decays"] += neurons * leaks
            count["bias_adds"] += neurons if self.layer.bias is not None else 0
            count["compares"] += int((self._neurons(touched) & (held == 0)).sum())
            count["output_spikes"] += int(spikes.sum())
            if self.layer.neuron.reset != "none":
                count["resets"] += int((spikes > 0).sum())
            state = self.trace.states[t]
            held = state.refractory
            stays = self.layer.neuron.may_fire(state, self.bias)
            if self.layer.recurrent is not None and self.layer.recurrent.ndim == 1:
                stays = stays | (spikes > 0)
            again = touched & self._sites(stays)
        return count

    def _sites(self, neurons: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether any neuron of a site is set: (groups, *map)."""
        return neurons.reshape(self.groups, self.per_group, *self.shape[1:]).any(axis=1)

    def _neurons(self, sites: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.repeat(sites[:, None], self.per_group, axis=1).reshape(self.shape)

    def _arrive(self, t: int) -> NDArray[np.bool_]:
        """Count what arrives at timestep t; return the sites that it reaches."""
        touched = self._sites(np.zeros(self.shape))
        for number, path in enumerate(self.paths):
            values = self.outputs[path.feeder + 1]
            for flat in np.flatnonzero(values.any(axis=0)) if len(values) else ():
                if (number, flat) not in self.fan_outs:
                    self.fan_outs[number, flat] = self._fan_out(path, values.shape[1:], flat)
                delay, reached = self.fan_outs[number, flat]
                value = values[t - delay].reshape(-1)[flat] if t >= delay else 0
                if value > 0:
                    self.count["input_events"] += 1
                    self.count["acs" if value == 1 else "macs"] += int(reached.sum())
                    touched |= self._sites(reached > 0)
        if self.layer.recurrent is not None and t > 0:
            before = self.trace.spikes[t - 1]
            each_to_each = self.layer.recurrent.ndim == 2
            fan_out = self.shape[0] if each_to_each else 1
            self.count["input_events"] += int((before > 0).sum())
            self.count["acs"] += int((before == 1).sum()) * fan_out
            self.count["macs"] += int((before > 1).sum()) * fan_out
            touched |= each_to_each and bool((before > 0).any())
        return touched

    def _fan_out(self, path: Path, shape: tuple[int, ...], flat: int) -> tuple[int, NDArray[Any]]:
        """The delay of one input, and how many weights it adds to each membrane."""
        x = np.zeros(int(np.prod(shape)))
        x[flat] = 1.0
        x, delay, channel = x.reshape(shape), 0, int(np.unravel_index(flat, shape)[0])
        for node, slot in path.through:
            layer: Any = self.network.layers[node]
            if isinstance(layer, Delay):
                delay += int(np.broadcast_to(layer.steps, len(x))[channel])
            elif isinstance(layer, Concatenate):
                sizes = [self.network.shapes[source + 1][0] for source in layer.sources]
                channel += sum(sizes[:slot])
                before = np.zeros((sum(sizes[:slot]), *x.shape[1:]))
                after = np.zeros((sum(sizes[slot + 1 :]), *x.shape[1:]))
                x = np.concatenate([before, x, after])
            else:
                x = np.rint(layer.forward(x) / getattr(layer, "scale", 1.0))
        reached = np.zeros(self.shape)
        replace(self.layer, weight=np.ones_like(self.layer.weight)).add_input(reached, x)
        return delay, reached.astype(np.int64)
