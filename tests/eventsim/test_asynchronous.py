"""Asynchronous time against its dense reference, and its counts against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asynchronous_networks import (
    assume_exact,
    assume_tame,
    asynchronous,
    check_readout,
    lively_networks,
    options,
    recordings,
    rests_of,
    run_all,
    trace_of,
)
from brute_force_async import count_operations
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import networks

from eventsim.asynchronous.membranes import Model, catch_up_us, due_after, is_over_at
from eventsim.asynchronous.reference import Instant, run_reference
from eventsim.asynchronous.tables import NEVER, Trace
from eventsim.jit import kernel
from eventsim.network.graph import Network
from eventsim.network.neurons import ALIF, ALIF_KIND, CUBALIF_KIND
from eventsim.network.neurons.lif import KIND as LIF_KIND
from eventsim.simulator import available_threads, simulate, simulate_batch


@pytest.mark.parametrize("lively", [False, True])
@pytest.mark.parametrize(("dt_us", "decays"), [(1, (0.0, 0.5, 1.0)), (16, (0.0, 1.0))])
@given(data=st.data())
@settings(max_examples=200)
def test_everything_equals_the_reference_where_arithmetic_is_exact(
    dt_us: int, decays: Any, lively: bool, data: Any
) -> None:
    """Every spike with its time and instant, every score, every count, in packets of any size."""
    if lively:
        network = data.draw(lively_networks(dt_us, decays))
    else:
        network = asynchronous(data.draw(networks(dyadic=True)), dt_us, decays)
    duration = data.draw(st.integers(1, 14 if dt_us == 1 else 70))
    events = data.draw(recordings(network, duration))
    chosen = data.draw(options(dt_us))
    assume_tame(network, events, duration, **chosen)
    reference = run_reference(network, events, 0, duration, **chosen)
    assume_exact(reference)
    packets = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    result, trace = run_all(network, events, duration, packets, **chosen)
    np.testing.assert_array_equal(trace, trace_of(network, reference))
    check_readout(network, result, reference)
    expected = count_operations(network, reference, duration, chosen["refractory_us"])
    for layer, counts in zip(result.operations.layers, expected, strict=True):
        assert {name: getattr(layer, name) for name in counts} == counts


@pytest.mark.parametrize("lively", [False, True])
@given(data=st.data())
@settings(max_examples=120)
def test_spikes_differ_from_float64_only_at_the_threshold(lively: bool, data: Any) -> None:
    """Any network: fed the engine's own spikes, a neuron's first difference is one of rounding."""
    dt_us = data.draw(st.sampled_from([7, 50]))
    if lively:
        network = data.draw(lively_networks(dt_us, None))
    else:
        network = asynchronous(data.draw(networks(dyadic=False)), dt_us)
    duration = data.draw(st.integers(1, 250))
    events = data.draw(recordings(network, duration))
    chosen = data.draw(options(dt_us))
    result, trace = run_all(network, events, duration, **chosen)
    # Each of a neuron's resets in an instant rounds again.
    often = np.unique(trace[trace[:, Trace.count] > 64, Trace.population])
    layers = [network.layers[network.neuron_layers[number]] for number in often]
    assume(all(layer.neuron.spikes == "many" for layer in layers))
    passed_on = spikes_in(network, trace)
    run = run_reference(network, events, 0, duration, **chosen, passed_on=passed_on)
    same = True
    for index, instants in zip(network.neuron_layers, run.layers, strict=True):
        differed = np.zeros(network.shapes[index + 1], np.bool_)
        for one in instants:
            mine = passed_on(index, one.t, one.event)
            for neuron in map(tuple, np.argwhere((one.spikes != mine) & ~differed)):
                resets = min(one.spikes[neuron], mine[neuron])
                distance = from_threshold(network.layers[index], one, neuron, resets)
                assert distance < 1e-5 * max(1.0, abs(one.membranes[neuron]))
            differed |= one.spikes != mine
        same &= not differed.any()
    if same and network.readout.endswith("membrane"):
        membranes = run.mean if network.readout == "mean-membrane" else run.last
        expected = membranes.reshape(-1) + rests_of(network)
        np.testing.assert_allclose(result.scores, expected, rtol=1e-5, atol=1e-5)


def spikes_in(network: Network, trace: NDArray[np.int64]) -> Any:
    """A function that gives the spikes of a layer in an instant, as the trace has them."""
    fired: dict[tuple[int, int, int], NDArray[np.int64]] = {}
    for t, event, number, neuron, count in trace.tolist():
        index = network.neuron_layers[number]
        shape = network.shapes[index + 1]
        spikes = fired.setdefault((index, t, event), np.zeros(shape, np.int64))
        position, channel = divmod(neuron, shape[0])
        spikes.reshape(shape[0], -1)[channel, position] = count
    return lambda index, t, event: fired.get(
        (index, t, event), np.zeros(network.shapes[index + 1], np.int64)
    )


def from_threshold(layer: Any, one: Instant, neuron: Any, resets: int) -> float:
    """How far a membrane is from its threshold after so many resets in an instant."""
    u, threshold = one.membranes[neuron], one.thresholds[neuron]
    if layer.neuron.spikes == "many":
        return abs(u - max(1.0, np.rint(u / threshold)) * threshold)
    p = layer.neuron.parameters(len(one.spikes))[neuron[0]]
    raised = p["coupling"] * resets if isinstance(layer.neuron, ALIF) else 0.0
    return abs(u - resets * p["threshold"] - threshold - raised)


@given(data=st.data())
@settings(max_examples=25)
def test_batch_equals_single_runs_whatever_the_threads(data: Any) -> None:
    network = asynchronous(data.draw(networks(dyadic=False)), 100)
    samples = [data.draw(recordings(network, 800)) for _ in range(5)]
    for events in samples:
        assume_tame(network, events, 800)
    single = [simulate(network, events, steps=8, mode="async") for events in samples]
    for threads in range(1, available_threads() + 1):
        batch = simulate_batch(network, samples, steps=8, threads=threads, mode="async")
        for one, other in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one.spike_counts, other.spike_counts)
            np.testing.assert_array_equal(one.first_spikes, other.first_spikes)
            np.testing.assert_array_equal(one.scores, other.scores)
            assert one.operations == other.operations


@kernel
def first_over(p: Any, bias: Any, u: Any, second: Any, held: int, dt: float, stop: int) -> int:
    """`due_after` by trying every microsecond before `stop`."""
    for k in range(max(1, held), stop):
        if is_over_at(p, bias, u, second, k, held, dt):
            return k
    return NEVER


@given(data=st.data())
@settings(max_examples=1500)
def test_crossings_are_found_where_trying_every_microsecond_finds_them(data: Any) -> None:
    def draw(least: float, most: float) -> np.float32:
        return np.float32(data.draw(st.floats(least, most, width=32)))

    kind = data.draw(st.sampled_from([LIF_KIND, CUBALIF_KIND, ALIF_KIND]))
    ends = st.sampled_from([0.0, 0.5, 1.0])
    a, b = (np.float32(data.draw(ends | st.floats(0, 1, width=32))) for _ in range(2))
    if data.draw(st.booleans()):
        a = b
    threshold = draw(0.25, 2.0)
    second = (
        draw(0, 4) if kind == ALIF_KIND else draw(-1, 4) if kind == CUBALIF_KIND else draw(0, 0)
    )
    bias = np.float32(0) if kind == CUBALIF_KIND else draw(-0.5, 1)
    lower = np.float32(-np.inf) if kind == CUBALIF_KIND else draw(-1, -0.5)
    at_threshold, zero = data.draw(st.integers(0, 1)), np.float32(0)
    p = Model(kind, at_threshold, 0, 0, b, threshold, zero, lower, a, draw(0, 2), zero)
    u, held = draw(-0.5, 4), data.draw(st.integers(0, 1) | st.integers(0, 60))
    dt, stop = data.draw(st.sampled_from([1.0, 10.0, 60.0])), 1000
    assume(held > 0 or not is_over_at(p, bias, u, second, 0, 0, dt))
    found = due_after(p, bias, u, second, held, dt)
    expected = first_over(p, bias, u, second, held, dt, stop)
    if found != expected and min(found, expected) < stop:
        # Only rounding may lift a membrane over its threshold for a microsecond.
        u, second = catch_up_us(p, bias, u, second, min(found, expected), held, dt)
        limit = threshold + (p.coupling * second if kind == ALIF_KIND else 0)
        assert u == pytest.approx(limit, rel=1e-6)
