"""Counts of operations in asynchronous time by brute force over its dense reference.

Written from the definitions in `eventsim/operations.py`, as `brute_force.py` is for clocked time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from brute_force import NAMES
from numpy.typing import NDArray

from eventsim.asynchronous.reference import Instant, ReferenceRun, Volley, carry, ways_to
from eventsim.network.graph import Network
from eventsim.network.layers import WeightLayer
from eventsim.network.pathways import Add


def count_operations(
    network: Network, run: ReferenceRun, duration: int, refractory_us: int | None
) -> list[dict[str, int]]:
    """One dictionary of counts for each layer with neurons."""
    return [
        _Counting(network, index, refractory_us).run(instants, duration)
        for index, instants in zip(network.neuron_layers, run.layers, strict=True)
    ]


class _Counting:
    """The counts of one layer."""

    def __init__(self, network: Network, index: int, refractory_us: int | None) -> None:
        layer = network.layers[index]
        assert isinstance(layer, WeightLayer)
        self.network, self.layer, self.shape = network, layer, network.shapes[index + 1]
        self.groups, self.per_group = layer.groups, self.shape[0] // layer.groups
        self.ways = ways_to(network, index, 0)
        # A way that an `Add` doubles is one way: its weights are doubled, and added once.
        alike = [(way.feeder, self.without_adds(way.through + way.behind)) for way in self.ways]
        self.counted = [number for number, way in enumerate(alike) if way not in alike[:number]]
        self.count = dict.fromkeys(NAMES, 0)
        self.fan_outs: dict[tuple[int, int], NDArray[np.int64]] = {}
        refractory = layer.neuron.refractory if refractory_us is None else refractory_us
        p = layer.neuron.parameters(self.shape[0])
        two = layer.neuron.has_second
        self.variables = 1 + two + (refractory > 0)
        self.leaks = int((p["decay"] != 1).any()) + int(two and (p["second_decay"] != 1).any())
        self.last = np.zeros(self.sites(np.zeros(self.shape)).shape, np.int64)
        self.read_out = index == network.neuron_layers[-1] and network.readout.endswith("membrane")

    def run(self, instants: list[Instant], duration: int) -> dict[str, int]:
        count = self.count
        for instant in instants:
            reached = self.arrive(instant) | instant.due
            touched = self.sites(reached)
            self.bring_up(touched, instant.t)
            count["compares"] += int((self.neurons(touched) & instant.free).sum())
            count["output_spikes"] += int(instant.spikes.sum())
            count["resets"] += int((instant.spikes > 0).sum())
        if self.read_out:
            self.bring_up(np.ones_like(self.last, np.bool_), duration)
        return count

    def bring_up(self, touched: NDArray[np.bool_], t: int) -> None:
        neurons = int(touched.sum()) * self.per_group
        moved = int((touched & (self.last < t)).sum()) * self.per_group
        self.count["site_updates"] += int(touched.sum())
        self.count["updates"] += neurons * self.variables
        self.count["decays"] += moved * self.leaks
        self.count["bias_adds"] += moved if self.layer.bias is not None else 0
        self.last = np.where(touched, t, self.last)

    def without_adds(self, path: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple(step for step in path if not isinstance(self.network.layers[step[0]], Add))

    def sites(self, neurons: NDArray[Any]) -> NDArray[np.bool_]:
        return neurons.reshape(self.groups, self.per_group, *self.shape[1:]).any(axis=1)

    def neurons(self, sites: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.repeat(sites[:, None], self.per_group, axis=1).reshape(self.shape)

    def arrive(self, instant: Instant) -> NDArray[np.bool_]:
        """Count what arrives in an instant; return the neurons that it reaches."""
        reached = np.zeros(self.shape, np.bool_)
        for number, volley in instant.arrived:
            for flat in np.flatnonzero(volley.values):
                if (number, flat) not in self.fan_outs:
                    self.fan_outs[number, flat] = self.fan_out(number, volley.values.shape, flat)
                fan_out = self.fan_outs[number, flat]
                if number in self.counted:
                    self.add(volley, flat, int(fan_out.sum()))
                reached |= fan_out > 0
        for volley in instant.returned:
            each_to_each = self.layer.recurrent is not None and self.layer.recurrent.ndim == 2
            for flat in np.flatnonzero(volley.values):
                self.add(volley, flat, self.shape[0] if each_to_each else 1)
            reached |= np.ones(self.shape, np.bool_) if each_to_each else volley.values > 0
        return reached

    def add(self, volley: Volley, flat: Any, weights: int) -> None:
        value = int(volley.values.reshape(-1)[flat])
        times = 1 if volley.graded else value
        self.count["input_events"] += times
        self.count["macs" if volley.graded and value > 1 else "acs"] += times * weights

    def fan_out(self, number: int, shape: Any, flat: Any) -> NDArray[np.int64]:
        """How many weights one input adds to each membrane."""
        x = np.zeros(shape)
        x.reshape(-1)[flat] = 1.0
        way, scale = self.ways[number], 1.0
        for node, _ in way.behind:
            scale *= getattr(self.network.layers[node], "scale", 1.0)
        x = np.rint(carry(self.network, way.behind, x) / scale)
        reached = np.zeros(self.shape)
        replace(self.layer, weight=np.ones_like(self.layer.weight)).add_input(reached, x)
        return reached.astype(np.int64)
