"""The time of each layer: the outcome stays what it is, and a clock runs for each layer."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, recordings

import eventsim as es
from eventsim.clocked import times


@given(data=st.data())
@settings(max_examples=30)
def test_the_outcome_is_the_same(data: Any) -> None:
    network = data.draw(networks(dyadic=True))
    events = data.draw(recordings(network))
    binned = es.bin_events(
        events, network.input_shape, network.dt_us, network.steps, encoding=network.input_encoding
    )
    plain = es.simulate(network, events)
    for given_events in (events, binned, [events[:3], events[3:]]):
        timed = es.simulate(network, given_events, times=True)
        assert timed.operations == plain.operations
        assert np.array_equal(timed.spike_counts, plain.spike_counts)
        assert np.array_equal(timed.scores, plain.scores)
        names = [network.layer_name(index) for index in network.neuron_layers]
        assert list(timed.times or ()) == ["input", *names]
    assert plain.times is None


def two_layers(wide: int = 512) -> es.Network:
    rng = np.random.default_rng(0)
    neuron = es.LIF(decay=0.9, threshold=50.0)
    layers = [es.Flatten(), es.Dense(rng.normal(size=(wide, 2312)), neuron=neuron)]
    layers.append(es.Dense(rng.normal(size=(2, wide)), neuron=neuron))
    return es.Network((2, 34, 34), 1000, layers, steps=300)


EVENTS = es.make_events(
    np.repeat(np.arange(300), 50) * 1000,
    *np.random.default_rng(1).integers(0, [[34], [34], [2]], (3, 300 * 50)),
)


def test_each_layer_has_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that strikes whenever it is read gives the number of stretches."""
    ticks = count()
    monkeypatch.setattr(times, "perf_counter_ns", lambda: next(ticks))
    network = two_layers(4)
    binned = es.bin_events(EVENTS, (2, 34, 34), 1000, 300)
    found = es.simulate(network, binned, times=True).times
    assert found is not None
    of_input, first, second = (round(seconds * 1e9) for seconds in found.values())
    assert of_input == first == second >= 1
    assert next(ticks) == 2 * (of_input + first + second)


def test_the_layer_that_does_most_takes_longest() -> None:
    network = two_layers()
    es.simulate(network, EVENTS, times=True)
    results = es.simulate_batch(network, [EVENTS] * 4, times=True, threads=1)
    for result in results:
        assert result.times is not None
        _, wide, narrow = result.times.values()
        assert wide > 3 * narrow > 0


def test_times_are_of_the_clocked_engine_on_the_cpu() -> None:
    for more in ({"mode": "async"}, {"device": "auto"}):
        with pytest.raises(es.EventsimError, match="times is set with mode"):
            es.simulate(two_layers(4), EVENTS, times=True, **more)  # type: ignore[arg-type]
