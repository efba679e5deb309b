"""Asynchronous time in plain dense NumPy: slow, obvious, the truth that the kernels are tested by.

Every neuron of every layer is brought from each microsecond to the next in float64, then the
instants of that microsecond run in their order: what is due first, then event by event. None of the
engine's wiring, queues or searches for crossings is used. For runs of a few hundred microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..events.arrays import Events, addressing_of
from ..network.graph import INPUT, Network
from ..network.layers import WeightLayer
from ..network.pathways import Add, Concatenate, Delay
from ..network.pools import MaxPool2d

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)


class Volley(NamedTuple):
    """Spikes of one instant: how many of each neuron."""

    values: NDArray[np.float64]
    graded: bool  # one spike of that value each, and not as many spikes


class Way(NamedTuple):
    """How spikes of the input or of a layer with neurons come to a layer."""

    feeder: int  # INPUT, or the index of the layer
    through: tuple[tuple[int, int], ...]  # (layer, which of its sources) up to the last max pool
    behind: tuple[tuple[int, int], ...]  # and after it
    delays: NDArray[np.int64]  # microseconds, of each channel of the feeder


class Instant(NamedTuple):
    """What one layer did in one instant; arrays of the layer's shape."""

    t: int
    event: int  # number of the event, -1 where nothing but what was due happened
    arrived: list[tuple[int, Volley]]  # number of the way, and what came behind its max pool
    returned: list[Volley]  # recurrent: own spikes of dt_us before
    due: NDArray[np.bool_]  # over threshold before anything arrived
    free: NDArray[np.bool_]  # not refractory
    membranes: NDArray[np.float64]  # as compared with the thresholds
    thresholds: NDArray[np.float64]
    spikes: NDArray[np.int64]
    u: NDArray[np.float64]  # after the resets
    second: NDArray[np.float64]


class ReferenceRun(NamedTuple):
    """What a network did: all instants of each layer, and the last layer's membranes from rest."""

    layers: list[list[Instant]]
    last: NDArray[np.float64]  # at the stop
    mean: NDArray[np.float64]


def run_reference(
    network: Network,
    events: Events,
    start_us: int,
    duration_us: int,
    refractory_us: int | None = None,
    delay_us: int = 0,
    passed_on: Callable[[int, int, int], NDArray[np.int64]] | None = None,
) -> ReferenceRun:
    """Run events from `start_us` on for `duration_us`.

    `passed_on(layer, t, event)` gives the spikes that a layer passes on in an instant in place of
    its own, if given.
    """
    run = _Running(network, refractory_us, delay_us, passed_on)
    pending = [
        (int(e["t"]) - start_us, e) for e in events if 0 <= int(e["t"]) - start_us < duration_us
    ]
    number = 0
    for t in range(duration_us):
        run.instant(t, -1, None)
        while number < len(pending) and pending[number][0] == t:
            run.instant(t, number, pending[number][1])
            number += 1
        run.relax(t)
    last = run.neurons[network.neuron_layers[-1]]
    mean = last.integral / duration_us if duration_us else last.u
    return ReferenceRun([run.instants[index] for index in network.neuron_layers], last.u, mean)


def ways_to(network: Network, index: int, delay_us: int) -> list[Way]:
    """Return the ways to a layer with neurons, in no particular order."""
    ways = []
    for feeder, path in _paths(network, index - 1):
        channels = network.shapes[feeder + 1][0]
        delays = np.full(channels, 0 if feeder == INPUT else delay_us)
        channel, pooled = np.arange(channels), 0
        for position, (node, slot) in enumerate(path):
            layer = network.layers[node]
            if isinstance(layer, Delay):
                steps = np.broadcast_to(layer.steps, network.shapes[node][0])
                delays = delays + steps[channel] * network.dt_us
            elif isinstance(layer, Concatenate):
                channel = channel + sum(_sizes(network, layer)[:slot])
            elif isinstance(layer, MaxPool2d):
                pooled = position + 1
        ways.append(Way(feeder, path[:pooled], path[pooled:], delays))
    return ways


def _paths(network: Network, node: int) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    if node == INPUT or isinstance(network.layers[node], WeightLayer):
        yield node, ()
        return
    for slot, source in enumerate(network.sources(node)):
        for feeder, path in _paths(network, source):
            yield feeder, (*path, (node, slot))


def _sizes(network: Network, layer: Concatenate) -> list[int]:
    return [network.shapes[source + 1][0] for source in layer.sources]


def carry(network: Network, path: tuple[tuple[int, int], ...], x: NDArray[Any]) -> NDArray[Any]:
    """Take a dense array through layers without neurons; delays are dealt with before."""
    for node, slot in path:
        layer: Any = network.layers[node]
        if isinstance(layer, Concatenate):
            sizes = _sizes(network, layer)
            whole = np.zeros((sum(sizes), *x.shape[1:]))
            first = sum(sizes[:slot])
            whole[first : first + sizes[slot]] = x
            x = whole
        elif not isinstance(layer, Delay | Add):
            x = layer.forward(x)
    return x


class _Neurons:
    """A layer with weights and neurons."""

    def __init__(self, layer: WeightLayer, shape: Any, dt_us: int, refractory_us: int | None):
        self.layer, self.neuron, self.shape, self.dt = layer, layer.neuron, shape, dt_us
        hold = layer.neuron.refractory * dt_us if refractory_us is None else refractory_us
        self.hold = hold
        self.u, self.second, self.integral = (np.zeros(shape) for _ in range(3))
        self.free_from = np.zeros(shape, np.int64)
        self.p = layer.neuron.shaped_parameters(self.u)
        self.bias = np.zeros(shape)
        layer.add_bias(self.bias)
        self.bias = self.bias * self.gained(1.0)

    def gained(self, x: Any) -> Any:
        """Apply the input gain."""
        return x * self.neuron.shaped(self.neuron.gain(), self.u)

    def moved(self, f: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return membrane and second variable `f` > 0 timesteps later, nothing held or clamped."""
        moved: tuple[NDArray[np.float64], NDArray[np.float64]] = self.neuron.relaxed(
            self.p, self.bias, self.u, self.second, f
        )
        return moved

    def relax(self, t: int) -> None:
        """Move from t to t + 1."""
        free = self.free_from <= t
        u, second = self.moved(1 / self.dt)
        self.integral += np.where(free, self._mean_until_next(), self.u)
        self.u = np.where(free, np.maximum(u, self.p["lower_bound"]), self.u)
        self.second = second

    def _mean_until_next(self) -> NDArray[np.float64]:
        """Return the mean of free membranes over a microsecond, by quadrature."""
        bound = np.maximum(self.p["lower_bound"], np.finfo(np.float64).min) + np.zeros(self.shape)
        low, high = np.zeros(self.shape), np.full(self.shape, 1 / self.dt)
        falls = self.moved(high)[0] < bound
        for _ in range(60 if falls.any() else 0):  # until it meets the lower bound
            middle = (low + high) / 2
            above = self.moved(middle)[0] > bound
            low, high = np.where(falls & above, middle, low), np.where(falls & ~above, middle, high)
        total = sum(
            weight / 2 * self.moved(high * (node + 1) / 2)[0]
            for node, weight in zip(NODES, NODE_WEIGHTS, strict=True)
        )
        return np.asarray(total * (high * self.dt) + bound * (1 - high * self.dt))

    def thresholds(self) -> NDArray[np.float64]:
        """Return what membranes are compared with."""
        return np.asarray(self.neuron.thresholds(self.p, self.second))

    def crosses(self, t: int) -> NDArray[np.bool_]:
        """Tell which neurons are free and over threshold."""
        return self.neuron.crosses(self.u, self.thresholds()) & (self.free_from <= t)

    def receive(self, t: int, x: NDArray[np.float64]) -> None:
        """Add input to what is not refractory."""
        u, self.second = self.neuron.receive(self.u, self.second, x)
        self.u = np.where(self.free_from <= t, np.maximum(u, self.p["lower_bound"]), self.u)

    def fire(self, t: int) -> NDArray[np.int64]:
        """Reset what is over threshold, until nothing is; return how many spikes each made."""
        spikes = np.zeros(self.shape, np.int64)
        while (fires := self.crosses(t)).any():
            each = fires.astype(np.int64)
            if self.neuron.spikes == "many":
                each *= np.floor(self.u / self.p["threshold"]).astype(np.int64)
            subtract = self.neuron.reset == "subtract"
            after = self.u - each * self.p["threshold"] if subtract else self.p["reset_value"]
            self.u = np.where(fires, after, self.u)
            self.second = self.neuron.adapt(self.second, each)
            spikes += each
            self.free_from = np.where(fires, t + self.hold, self.free_from)
        return spikes


class _Running:
    """A network in the middle of a run."""

    def __init__(
        self, network: Network, refractory_us: int | None, delay_us: int, passed_on: Any
    ) -> None:
        self.network, self.passed_on = network, passed_on
        self.neurons: dict[int, _Neurons] = {}
        self.ways: dict[int, list[Way]] = {}
        self.instants: dict[int, list[Instant]] = {}
        for index in network.neuron_layers:
            layer = network.layers[index]
            assert isinstance(layer, WeightLayer)
            shape = network.shapes[index + 1]
            self.neurons[index] = _Neurons(layer, shape, network.dt_us, refractory_us)
            self.ways[index] = ways_to(network, index, delay_us)
            self.instants[index] = []
        # (time of arrival, layer, number of the way or -1 for recurrence, what)
        self.waiting: list[tuple[int, int, int, Volley]] = []

    def relax(self, t: int) -> None:
        for neurons in self.neurons.values():
            neurons.relax(t)

    def instant(self, t: int, number: int, event: Any) -> None:
        """Sweep over the layers, with an event or with what is due."""
        due = {index: neurons.crosses(t) for index, neurons in self.neurons.items()}
        arriving: list[tuple[int, int, Volley]] = []
        if number < 0:
            arriving = [(index, way, v) for time, index, way, v in self.waiting if time == t]
            self.waiting = [one for one in self.waiting if one[0] != t]
        else:
            x = np.zeros(self.network.input_shape)
            sensor = addressing_of(x.shape)
            cell = int(event["y"]) * sensor.width + int(event["x"])
            if sensor.polarities == 2:
                cell = 2 * cell + int(event["on"])
            position, channel = divmod(cell, len(x))
            x.reshape(len(x), -1)[channel, position] = 1
            arriving += self._emit(INPUT, Volley(x, False), t)
        for index, neurons in self.neurons.items():
            mine = [(way, volley) for layer, way, volley in arriving if layer == index]
            arrived = self._pooled(index, mine)
            returned = [volley for way, volley in mine if way < 0]
            free = neurons.free_from <= t
            neurons.receive(t, self._weighted(index, arrived, returned))
            membranes, thresholds = neurons.u, neurons.thresholds()
            spikes = neurons.fire(t)
            self.instants[index].append(Instant(
                t, number, arrived, returned, due[index], free, membranes, thresholds, spikes,
                neurons.u, neurons.second,
            ))  # fmt: skip
            passed = spikes if self.passed_on is None else self.passed_on(index, t, number)
            volley = Volley(passed.astype(np.float64), neurons.neuron.spikes == "many")
            arriving += self._emit(index, volley, t)

    def _emit(self, feeder: int, volley: Volley, t: int) -> list[tuple[int, int, Volley]]:
        """Send spikes on their ways: return those that arrive in this instant, let others wait."""
        now = []
        if not volley.values.any():
            return []
        for index, ways in self.ways.items():
            for number, way in enumerate(ways):
                for delay in np.unique(way.delays) if way.feeder == feeder else ():
                    these = (way.delays == delay).reshape(-1, *[1] * (volley.values.ndim - 1))
                    part = volley._replace(values=volley.values * these)
                    if part.values.any() and delay == 0:
                        now.append((index, number, part))
                    elif part.values.any():
                        self.waiting.append((t + int(delay), index, number, part))
        if feeder != INPUT and self.neurons[feeder].layer.recurrent is not None:
            self.waiting.append((t + self.network.dt_us, feeder, -1, volley))
        return now

    def _pooled(self, index: int, mine: list[tuple[int, Volley]]) -> list[tuple[int, Volley]]:
        """Take what arrives on each way through its max pools, which merge all of an instant."""
        arrived = []
        for number, way in enumerate(self.ways[index]):
            volleys = [volley for which, volley in mine if which == number]
            if volleys and way.through:
                merged = np.max([v.values if v.graded else v.values > 0 for v in volleys], axis=0)
                pooled = carry(self.network, way.through, merged.astype(np.float64))
                volleys = [Volley(pooled, volleys[0].graded)] if pooled.any() else []
            arrived += [(number, volley) for volley in volleys]
        return arrived

    def _weighted(
        self, index: int, arrived: list[tuple[int, Volley]], returned: list[Volley]
    ) -> NDArray[np.float64]:
        neurons = self.neurons[index]
        x = np.zeros(neurons.shape)
        for number, volley in arrived:
            behind = carry(self.network, self.ways[index][number].behind, volley.values)
            neurons.layer.add_input(x, behind)
        recurrent = neurons.layer.recurrent
        for volley in returned:
            assert recurrent is not None
            if recurrent.ndim == 2:
                x += recurrent.astype(np.float64) @ volley.values
            else:
                x += recurrent.reshape(-1, *[1] * (x.ndim - 1)) * volley.values
        return np.asarray(neurons.gained(x))
