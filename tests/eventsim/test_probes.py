"""Membranes, currents and adaptations of the engine against the dense reference, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import DT_US, MOST_RECORDED, networks, recordings, some_layout

from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.events.binning import bin_events
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import ALIF_KIND, CUBALIF, CUBALIF_KIND, IF, LIF
from eventsim.network.pathways import Flatten
from eventsim.reference import run_reference
from eventsim.simulator import simulate

ALL = ("membranes", "currents", "adaptations")


def rest_of(layer: Any, dimensions: int) -> Any:
    return np.asarray(layer.neuron.rest, np.float32).reshape(-1, *[1] * (dimensions - 1))


@given(data=st.data())
@settings(max_examples=100)
def test_what_is_read_is_what_the_reference_has(data: Any) -> None:
    """Numbers that float32 holds: every neuron, timestep by timestep; and nothing else changes."""
    network = data.draw(networks(dyadic=True))
    events = data.draw(recordings(network))
    steps = data.draw(st.sampled_from([None, 1, 15]))
    binned = bin_events(
        events, network.input_shape, network.dt_us, steps, encoding=network.input_encoding
    )
    traces = run_reference(network, binned.frames(np.float64))
    for trace in traces:
        for exact in (trace.membranes, *(part for s in trace.states for part in s[:2])):
            assume((exact == exact.astype(np.float32)).all())
    kinds = [network.layers[i].neuron.kind for i in network.neuron_layers]  # type: ignore[union-attr]
    has = {"membranes": True, "currents": CUBALIF_KIND in kinds, "adaptations": ALIF_KIND in kinds}
    probe = [quantity for quantity in ALL if has[quantity]]
    with some_layout(data):
        plain = simulate(network, events, steps=steps)
        assume(plain.operations.total.output_spikes <= MOST_RECORDED)
        result = simulate(network, events, steps=steps, probe=probe, record_spikes=True)
    assert result.operations == plain.operations
    np.testing.assert_array_equal(result.scores, plain.scores)
    again = simulate(network, binned, probe=probe)
    assert again.operations == plain.operations
    assert result.probes is not None
    assert again.probes is not None
    assert plain.probes is None
    for index, kind, trace in zip(network.neuron_layers, kinds, traces, strict=True):
        found, shape = result.probes[network.layer_name(index)], network.shapes[index + 1]
        rest = rest_of(network.layers[index], len(shape))
        expected = {"membranes": [state.u + rest for state in trace.states]}
        for quantity, of_kind in (("currents", CUBALIF_KIND), ("adaptations", ALIF_KIND)):
            if kind == of_kind:
                expected[quantity] = [state.second for state in trace.states]
        assert found.keys() == expected.keys()
        for quantity, states in expected.items():
            assert found[quantity].dtype == np.float32
            np.testing.assert_array_equal(found[quantity], np.reshape(states, (-1, *shape)))
            of_binned = again.probes[network.layer_name(index)][quantity]
            np.testing.assert_array_equal(of_binned, found[quantity])


def test_binned_events_are_probed_as_events_are() -> None:
    network = mixed()
    events = make_events([0, 1500, 2500, 3500], [0] * 4, [0] * 4, [1] * 4)
    binned = bin_events(events, (1, 1, 1), DT_US, 4)
    whole, ready = (simulate(network, one, probe=["membranes"]).probes for one in (events, binned))
    assert whole is not None
    assert ready is not None
    assert whole["layer 1 (Dense)"]["membranes"].any()
    for name, found in whole.items():
        np.testing.assert_array_equal(ready[name]["membranes"], found["membranes"])


def mixed() -> Network:
    layers = [
        Flatten(), Dense(np.ones((3, 1)), neuron=LIF(0.5, 2.0)),
        Dense(np.ones((2, 3)), neuron=CUBALIF(0.5, 0.5, 1.0)),
        Dense(np.ones((2, 2)), neuron=IF(1.0)),
    ]  # fmt: skip
    return Network((1, 1, 1), DT_US, layers, steps=4)


EVENTS = make_events([0], [0], [0], [True])


def test_layers_are_chosen() -> None:
    result = simulate(mixed(), EVENTS, probe=["membranes"], layers=[3, 1])
    assert result.probes is not None
    assert result.probes.names == ("layer 3 (Dense)", "layer 1 (Dense)")
    membranes = result.probes["layer 1 (Dense)"]["membranes"]
    assert result.probes[1]["membranes"] is membranes
    np.testing.assert_array_equal(membranes, [[one] * 3 for one in (1.0, 0.5, 0.25, 0.125)])
    currents = simulate(mixed(), EVENTS, probe=["currents"]).probes
    assert currents is not None
    assert {name: list(found) for name, found in currents.items() if found} == {
        "layer 2 (Dense)": ["currents"]
    }


def test_packets_change_nothing() -> None:
    times = np.arange(0, 4 * DT_US, DT_US // 2)
    zeros = np.zeros(len(times), int)
    events = make_events(times, zeros, zeros, zeros + 1)
    whole = simulate(mixed(), events, probe=["membranes"]).probes
    parts = simulate(mixed(), iter([events[:3], events[3:]]), probe=["membranes"]).probes
    assert whole is not None
    assert parts is not None
    for name, found in whole.items():
        np.testing.assert_array_equal(found["membranes"], parts[name]["membranes"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"probe": ["spikes"]}, "probe has 'spikes', expected some of"),
        ({"probe": "membranes"}, "probe has 'membranes', expected some of"),
        ({"probe": ["adaptations"]}, "no layer has adaptations"),
        ({"probe": ["currents"], "layers": [1]}, r"layer 1 \(Dense\) has no currents"),
        ({"probe": ["membranes"], "layers": [0]}, r"layers has 0, expected .*: \[1, 2, 3\]"),
        (  # at once, not when memory is full
            {"probe": ["membranes"], "steps": 2**31 - 2},
            r"layer 1 \(Dense\): 2147483646 timesteps of 3 neurons to read, expected at most",
        ),
        ({"layers": [1]}, r"layers is \[1\] without probe"),
        ({"probe": ["membranes"], "mode": "async"}, "with mode 'async'"),
        ({"probe": ["membranes"], "device": "auto"}, "device 'auto'"),
    ],
)
def test_what_cannot_be_read(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(EventsimError, match=expected):
        simulate(mixed(), EVENTS, **options)
