"""Layers without weights: ways that an `Add` doubles, and maps that grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_networks import dense_spikes

from eventsim.events.arrays import make_events
from eventsim.events.binning import bin_events
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import IF, LI, LIF
from eventsim.network.pathways import Add, Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d, SumPool2d, Upsample
from eventsim.reference import run_reference
from eventsim.result import MODES
from eventsim.simulator import simulate
from eventsim.wiring.wire import program_of

RNG = np.random.default_rng(0)


def sixteenths(*shape: int) -> NDArray[Any]:
    return RNG.integers(-8, 17, shape) / 16.0


def some_events(height: int, width: int, count: int = 60) -> Any:
    x, y, on = (RNG.integers(0, size, count) for size in (width, height, 2))
    return make_events(np.sort(RNG.integers(0, 9000, count)), x, y, on)


@pytest.mark.parametrize("doublings", [1, 3, 40])
@pytest.mark.parametrize("mode", MODES)
def test_a_way_that_is_doubled_is_one_way_of_twice_the_weight(doublings: int, mode: Any) -> None:
    sums = [Add((number, number)) for number in range(doublings)]
    dense = Dense(np.full((1, 2), 2.0**-10), neuron=LI(1.0))
    net = Network((1, 1, 2), 1000, [Flatten(), *sums, dense], readout="last-membrane")
    result = simulate(net, make_events([0, 10], [0, 1], [0, 0], [1, 1]), mode=mode)
    assert len(program_of(net).connections) == 1
    assert result.scores.tolist() == [2.0 * 2.0 ** (doublings - 10)]
    assert result.operations.total.acs == 2


def test_ways_that_meet_again_and_again_do_not_multiply() -> None:
    """Each sum takes the two before it: the ways to the last are Fibonacci's numbers."""
    sums: list[Any] = [Add((number, max(0, number - 1))) for number in range(30)]
    dense = Dense(np.ones((1, 2)), neuron=LI(1.0))
    net = Network((1, 1, 2), 1000, [Flatten(), *sums, dense], readout="last-membrane")
    assert len(program_of(net).connections) == 1
    scores = simulate(net, make_events([0], [0], [0], [1])).scores
    weights = [1, 2]
    while len(weights) <= 30:
        weights.append(weights[-1] + weights[-2])
    assert scores.tolist() == [weights[30]]


def test_a_decoder_grows_its_maps_again() -> None:
    """Down by pools and strides, up by `Upsample`, as autoencoders and segmentation do."""
    neuron = LIF(0.5, 1.0)
    net = Network(
        (2, 8, 8),
        1000,
        [
            Conv2d(sixteenths(4, 2, 3, 3), stride=2, padding=1, neuron=neuron),
            MaxPool2d(2),
            Conv2d(sixteenths(8, 4, 3, 3), padding=1, neuron=neuron),
            Upsample(2),
            Conv2d(sixteenths(4, 8, 3, 3), padding=1, neuron=neuron),
            Upsample((2, 2)),
            Conv2d(sixteenths(1, 4, 3, 3), padding=1, neuron=IF(1.0)),
        ],
    )
    assert net.shapes[-1] == (1, 8, 8)
    events = some_events(8, 8, 400)
    frames = bin_events(events, net.input_shape, 1000).frames()
    traces = run_reference(net, frames)
    result = simulate(net, events, record_spikes=True)
    assert result.operations.total.output_spikes > 100
    for found, trace in zip(dense_spikes(net, result), traces, strict=True):
        np.testing.assert_array_equal(found, trace.spikes)


@pytest.mark.parametrize("pool", [MaxPool2d(3, 2), AvgPool2d(2), SumPool2d(3, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_pools_behind_a_map_that_has_grown(pool: Any, mode: Any) -> None:
    layers = [MaxPool2d(2), Upsample((2, 3)), pool, Flatten()]
    shape: Any = (1, 6, 6)
    for layer in layers:
        shape = layer.output_shape(shape)
    weights = sixteenths(3, shape[0])
    net = Network(
        (1, 6, 6), 1000, [*layers, Dense(weights, neuron=LI(1.0))], readout="last-membrane"
    )
    # One event a timestep, so that both times see the same.
    events = make_events(np.arange(8) * 1000, RNG.integers(0, 6, 8), RNG.integers(0, 6, 8), [1] * 8)
    frames = bin_events(events, net.input_shape, 1000).frames()
    (trace,) = run_reference(net, frames)
    found = simulate(net, events, mode=mode).scores
    np.testing.assert_allclose(found, trace.membranes[-1], rtol=1e-6)
