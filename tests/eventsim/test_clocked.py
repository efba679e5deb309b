"""The clocked engine against the dense reference, and its counts against brute force."""

from __future__ import annotations

from dataclasses import replace
from threading import active_count
from typing import Any

import numpy as np
import pytest
from brute_force import count_operations
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import (
    DT_US,
    dense_spikes,
    networks,
    recordings,
    simulate_recorded,
    some_layout,
)

from eventsim.errors import RecordingError
from eventsim.events.arrays import EVENT_DTYPE, make_events
from eventsim.events.binning import bin_events
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense, WeightLayer
from eventsim.network.neurons import ALIF, IF, LI, LIF
from eventsim.network.neurons.lif import POWERS
from eventsim.network.pathways import Add, Concatenate, Delay, Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d
from eventsim.reference import LayerTrace, run_layer, run_reference
from eventsim.result import Result
from eventsim.simulator import available_threads, simulate, simulate_batch


def frames_of(network: Network, events: Any, steps: int | None = None) -> Any:
    binned = bin_events(
        events, network.input_shape, network.dt_us, steps, encoding=network.input_encoding
    )
    return binned.frames(np.float64)


def spike_counts(traces: Any) -> Any:
    return traces[-1].spikes.sum(axis=0).reshape(-1)


def check_readout(network: Network, result: Result, traces: Any) -> None:
    spikes = traces[-1].spikes.reshape(len(traces[-1].spikes), network.outputs)
    first = np.array([next(iter(np.flatnonzero(s)), -1) for s in spikes.T])
    np.testing.assert_array_equal(result.first_spikes, first)
    layer: Any = network.layers[-1]
    rest = np.broadcast_to(np.float32(layer.neuron.rest), network.shapes[-1][:1]).reshape(
        -1, *[1] * (len(network.shapes[-1]) - 1)
    )
    membranes = [(state.u + rest).reshape(-1) for state in traces[-1].states]
    start = (np.zeros(network.shapes[-1]) + rest).reshape(-1)  # where no timestep is run
    scores = {
        "spike-count": spikes.sum(axis=0),
        "first-spike": np.where(first < 0, -np.inf, -first),
        "last-membrane": membranes[-1] if membranes else start,
        "mean-membrane": np.mean(membranes, axis=0) if membranes else start,
    }[network.readout]
    np.testing.assert_array_equal(result.scores, scores)
    assert result.prediction == int(np.argmax(scores))


@given(data=st.data())
@settings(max_examples=400)
def test_spikes_and_counts_equal_the_reference_where_arithmetic_is_exact(data: Any) -> None:
    """Dyadic networks: no rounding anywhere, so every spike must be the float64 reference's."""
    network = data.draw(networks(dyadic=True))
    events = data.draw(recordings(network))
    steps = data.draw(st.none() | st.integers(0, 14))
    frames = frames_of(network, events, steps)
    traces = run_reference(network, frames)
    for trace in traces:
        for state in trace.states:
            for exact in (state.u, state.second):
                assume((exact == exact.astype(np.float32)).all())
        assume((trace.membranes == trace.membranes.astype(np.float32)).all())
    with some_layout(data):
        result = simulate_recorded(network, events, steps=steps)
    for spikes, trace in zip(dense_spikes(network, result), traces, strict=True):
        np.testing.assert_array_equal(spikes, trace.spikes)
    np.testing.assert_array_equal(result.spike_counts, spike_counts(traces))
    check_readout(network, result, traces)
    expected = count_operations(network, frames, traces)
    for layer, counts in zip(result.operations.layers, expected, strict=True):
        assert {name: getattr(layer, name) for name in counts} == counts


@pytest.mark.parametrize(
    ("reset", "fires", "last"),
    [
        # 3.5, then 1.75 - 1: the threshold leaves once, in the timestep after the spike
        ("subtract-next", [1, 0, 0], 0.1875),
        # 3.5 leaves 2.5, over threshold: 1.25 does not reach 2; then 0.625
        ("subtract-doubled", [1, 0, 0], 0.3125),
        ("subtract", [1, 1, 0], 0.0625),
        ("none", [1, 1, 0], 0.4375),
    ],
)
@pytest.mark.parametrize("outputs", [1, 8])
def test_resets_that_reach_into_the_next_timestep(
    reset: Any, fires: list[int], last: float, outputs: int
) -> None:
    layer = Dense([[3.5]] * outputs, neuron=LIF(0.5, 1.0, reset))
    network = Network((1, 1, 1), DT_US, [Flatten(), layer], readout="last-membrane", steps=4)
    events = make_events([0], [0], [0], [True])
    result = simulate(network, events, record_spikes=True)
    (spikes,) = dense_spikes(network, result)
    np.testing.assert_array_equal(spikes[:, 0], [*fires, 0])
    np.testing.assert_array_equal(result.scores, [last] * outputs)
    resets = 0 if reset == "none" else outputs * sum(fires)
    assert result.operations.total.resets == resets


@given(data=st.data())
@settings(max_examples=150)
def test_spikes_equal_the_float32_reference_with_the_same_order_of_additions(data: Any) -> None:
    """Any weights; decays whose powers float32 holds; no pools, which regroup the additions."""
    network = data.draw(networks(dyadic=False, pooled=False, plain=True))
    decay = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    layers = [
        replace(layer, bias=None, neuron=LIF(decay, 0.4, layer.neuron.reset))
        if isinstance(layer, WeightLayer)
        else layer
        for layer in network.layers
    ]
    network = Network(network.input_shape, DT_US, layers, input_encoding=network.input_encoding)
    events = data.draw(recordings(network))
    traces = run_reference(network, frames_of(network, events), np.float32)
    with some_layout(data):
        result = simulate_recorded(network, events)
    for spikes, trace in zip(dense_spikes(network, result), traces, strict=True):
        np.testing.assert_array_equal(spikes, trace.spikes)


@given(data=st.data())
@settings(max_examples=150)
def test_spikes_differ_from_float64_only_at_the_threshold(data: Any) -> None:
    """Any network: fed the engine's own spikes, a neuron's first difference is one of rounding."""
    network = data.draw(networks(dyadic=False))
    events = data.draw(recordings(network, max_steps=40))
    result = simulate_recorded(network, events)
    spikes = iter(dense_spikes(network, result))
    outputs = [frames_of(network, events)]
    for index, layer in enumerate(network.layers):
        arriving = [outputs[source + 1] for source in network.sources(index)]
        if not isinstance(layer, WeightLayer):
            outputs.append(layer.run(arriving))
            continue
        mine = next(spikes)
        trace = run_layer(layer, arriving[0], network.shapes[index + 1])
        differs = mine != trace.spikes
        # Recurrent neurons of a layer follow each other: only the first difference tells.
        first_of_all = min(np.argwhere(differs)[:, 0], default=0)
        for neuron in np.argwhere(differs.any(axis=0)):
            first = int(np.argmax(differs[:, *neuron]))
            if layer.recurrent is None or first == first_of_all:
                u, distance = from_threshold(layer, trace, first, tuple(neuron))
                assert distance < 1e-5 * max(1.0, abs(u))
        outputs.append(mine.astype(np.float64))


def from_threshold(layer: Any, trace: LayerTrace, t: int, neuron: Any) -> tuple[float, float]:
    """A membrane, and its distance from what it is compared with (or from a multiple of it)."""
    u = trace.membranes[t, *neuron]
    p = layer.neuron.parameters(trace.spikes.shape[1])[neuron[0]]
    threshold = float(p["threshold"])
    if isinstance(layer.neuron, ALIF) and t > 0:
        threshold += float(p["coupling"]) * trace.states[t - 1].second[neuron]
    multiple = max(1.0, np.rint(u / threshold)) if layer.neuron.spikes == "many" else 1.0
    return u, abs(u - multiple * threshold)


@given(data=st.data())
@settings(max_examples=25)
def test_batch_equals_single_runs_whatever_the_threads(data: Any) -> None:
    network = data.draw(networks(dyadic=False))
    samples = [data.draw(recordings(network)) for _ in range(5)]
    single = [simulate(network, events, steps=8) for events in samples]
    for threads in range(1, available_threads() + 1):
        batch = simulate_batch(network, samples, steps=8, threads=threads)
        for one, other in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one.spike_counts, other.spike_counts)
            assert one.operations == other.operations


@pytest.mark.parametrize("threads", range(1, available_threads() + 1))
def test_a_batch_keeps_its_order_and_ends_with_its_first_error(threads: int) -> None:
    network = Network((1, 1, 1), DT_US, [Flatten(), Dense([[1.0]], neuron=IF(0.5))])
    lengths = [int(n) for n in np.random.default_rng(0).integers(1, 2000, 100)]
    recordings = [np.concatenate([one_event(k * DT_US) for k in range(n)]) for n in lengths]
    done: list[int] = []
    batch = simulate_batch(network, iter(recordings), threads=threads, progress=done.append)
    assert [int(result.spike_counts[0]) for result in batch] == lengths
    assert sum(done) == len(recordings)

    before = active_count()
    recordings[30], recordings[33] = recordings[30][::-1], recordings[33][::-1]
    with pytest.raises(RecordingError, match=r"^recording 30: event 1: time runs backwards"):
        simulate_batch(network, iter(recordings), threads=threads)
    with pytest.raises(ZeroDivisionError):
        simulate_batch(network, (recordings[0 // (9 - k)] for k in range(20)), threads=threads)
    assert active_count() == before


def one_event(t: int = 0) -> Any:
    events = np.zeros(1, EVENT_DTYPE)
    events["t"] = t
    return events


def test_a_bias_above_rest_fires_without_input() -> None:
    weight = np.zeros((3, 2))
    network = Network(
        (2, 1, 1), DT_US, [Flatten(), Dense(weight, [0.0, 0.3, 0.6], neuron=LIF(0.5, 0.5))]
    )
    result = simulate(network, one_event(), steps=100)
    # 0.3: 0.3, 0.45, 0.525 > 0.5, so every third timestep. 0.6: every timestep.
    np.testing.assert_array_equal(result.spike_counts, [0, 33, 100])


def test_a_soft_reset_that_leaves_the_membrane_over_threshold_fires_on() -> None:
    network = Network(
        (1, 1, 1), DT_US, [Flatten(), Dense([[3.5]], neuron=IF(1.0, reset="subtract"))]
    )
    result = simulate(network, one_event(), steps=10, record_spikes=True)
    assert result.spikes is not None
    np.testing.assert_array_equal(result.spikes[-1][:, 0], [0, 1, 2])


def test_long_silence_is_caught_up_with_in_closed_form() -> None:
    """Longer than the table of powers, with a bias: rest is approached, not overshot."""
    gap = 3 * POWERS + 5
    network = Network(
        (1, 1, 1), DT_US, [Flatten(), Dense([[0.25]], [0.001], neuron=LIF(0.999, 1.5))]
    )
    events = np.concatenate([one_event(0), one_event(gap * DT_US), one_event((gap + 2) * DT_US)])
    result = simulate(network, events, record_spikes=True)
    trace = run_reference(network, frames_of(network, events))[0]
    np.testing.assert_array_equal(dense_spikes(network, result)[0], trace.spikes)
    # near rest: bias / (1 - decay) = 1, so two inputs of 0.25 stay at 1.5 or below
    assert trace.membranes[-1, 0] == pytest.approx(1.45, abs=0.05)


def test_a_delay_brings_spikes_later_and_no_others() -> None:
    network = Network(
        (2, 1, 1), DT_US, [Delay((1, 3)), Flatten(), Dense([[1.0, 1.0]], neuron=IF(0.5))]
    )
    events = np.zeros(2, EVENT_DTYPE)
    events["on"] = [0, 1]
    result = simulate(network, events, steps=6, record_spikes=True)
    assert result.spikes is not None
    np.testing.assert_array_equal(result.spikes[-1][:, 0], [1, 3])
    assert simulate(network, events, steps=3).operations.total.acs == 1


def test_a_skip_adds_the_weights_of_both_spikes() -> None:
    layers = [Conv2d(np.ones((1, 1, 1, 1)), neuron=IF(0.5)), Add((-1, 0)), Flatten()]
    network = Network((1, 1, 1), DT_US, [*layers, Dense([[0.75]], neuron=IF(1.0))])
    result = simulate(network, one_event())
    assert result.operations.layers[1].acs == 2
    assert result.spike_counts[0] == 1


def test_rows_go_on_where_the_spikes_of_another_layer_ended() -> None:
    """A convolution behind `Concatenate` gets rows from both layers."""
    rng = np.random.default_rng(0)

    def conv(inputs: int, outputs: int) -> Conv2d:
        weight = rng.integers(-4, 9, (outputs, inputs, 3, 3)) / 16.0
        return Conv2d(weight, padding=1, neuron=IF(1.0))

    layers = [conv(1, 3), Concatenate((0, -1)), conv(4, 5)]
    network = Network((1, 5, 5), DT_US, layers)
    events = np.zeros(75, EVENT_DTYPE)
    events["t"] = np.repeat([0, DT_US, 2 * DT_US], 25)
    events["y"], events["x"] = np.divmod(np.tile(np.arange(25), 3), 5)
    result = simulate(network, events, record_spikes=True)
    traces = run_reference(network, frames_of(network, events))
    for spikes, trace in zip(dense_spikes(network, result), traces, strict=True):
        np.testing.assert_array_equal(spikes, trace.spikes)
        assert trace.spikes.any()


def test_groups_that_meet_in_one_position() -> None:
    weight = np.reshape([-1.0, 1.0], (2, 1, 1, 1))
    unpack = Conv2d(np.ones((2, 1, 1, 1)), neuron=IF(0.5))
    network = Network((1, 1, 1), DT_US, [unpack, Conv2d(weight, groups=2, neuron=IF(0.5))])
    result = simulate(network, np.zeros(1, EVENT_DTYPE))
    np.testing.assert_array_equal(result.spike_counts, [0, 1])
    assert result.operations.layers[1].acs == 2


def test_readouts_of_one_membrane() -> None:
    for readout, score in (("last-membrane", 0.25), ("mean-membrane", 1.75 / 3)):
        layer = Dense([[1.0]], neuron=LI(0.5))
        network = Network((1, 1, 1), DT_US, [Flatten(), layer], readout=readout)
        assert simulate(network, one_event(), steps=3).scores[0] == pytest.approx(score)


@pytest.mark.parametrize(("weight", "counted"), [(1.25, (1, 0)), (3.25, (0, 1))])
def test_several_spikes_that_come_back_to_their_neuron_are_a_mac(
    weight: float, counted: tuple[int, int]
) -> None:
    neuron = IF(1.0, "zero", comparison=">=", spikes="many")
    layer = Dense([[weight]], neuron=neuron, recurrent=[0.125])
    network = Network((1, 1, 1), DT_US, [Flatten(), layer])
    (found,) = simulate(network, one_event(), steps=2).operations.layers
    assert found.output_spikes == int(weight)
    assert (found.input_events, found.acs - 1, found.macs) == (2, *counted)


def test_many_spikes_in_one_timestep_count_one_by_one() -> None:
    neuron = IF(1.0, "subtract", comparison=">=", spikes="many")
    layers = [Flatten(), Dense([[3.25]], neuron=neuron), Dense([[0.5]], neuron=IF(9.0))]
    result = simulate(Network((1, 1, 1), DT_US, layers), one_event(), record_spikes=True)
    first, second = result.operations.layers
    assert (first.output_spikes, first.resets) == (3, 1)
    assert (second.input_events, second.acs, second.macs) == (1, 0, 1)
    assert result.spikes is not None
    assert len(result.spikes[1]) == 3


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_what_arrives_decides_between_acs_and_macs(mode: Any) -> None:
    """One spike of neurons that may spike several times is an AC, three at once are a MAC."""
    neuron = IF(1.0, "subtract", comparison=">=", spikes="many")
    first = Dense([[1.25], [3.25]], neuron=neuron)
    behind = Dense(np.full((5, 2), 0.01), neuron=IF(9.0))
    network = Network((1, 1, 1), DT_US, [Flatten(), first, behind])
    layer = simulate(network, one_event(), mode=mode).operations.layers[1]
    assert (layer.input_events, layer.acs, layer.macs) == (2, 5, 5)


def test_counts_of_one_are_acs() -> None:
    conv = Conv2d(np.ones((3, 1, 1, 1)), neuron=IF(9.0))
    network = Network((1, 1, 2), DT_US, [conv], input_encoding="counts")
    events = np.zeros(3, EVENT_DTYPE)
    events["x"] = [0, 1, 1]
    layer = simulate(network, events).operations.layers[0]
    assert (layer.input_events, layer.acs, layer.macs) == (2, 3, 3)


def test_an_untouched_layer_costs_nothing() -> None:
    conv = Conv2d(np.ones((4, 2, 3, 3)), padding=1, neuron=LIF(0.5, 100.0))
    network = Network(
        (2, 16, 16),
        DT_US,
        [conv, AvgPool2d(2), Flatten(), Dense(np.ones((3, 256)), neuron=IF(1.0))],
    )
    result = simulate(network, one_event(), steps=1000)
    first, second = result.operations.layers
    assert (first.acs, first.site_updates) == (4 * 4, 4)  # a corner pixel reaches 2 x 2 sites
    assert second.sops == second.updates == second.input_events == 0


def test_max_pool_is_the_or_of_a_cell_within_a_timestep() -> None:
    network = Network((1, 2, 2), DT_US, [MaxPool2d(2), Flatten(), Dense([[0.6]], neuron=IF(1.0))])
    events = np.zeros(5, EVENT_DTYPE)
    events["x"], events["y"] = [0, 1, 0, 1, 1], [0, 0, 1, 1, 1]
    events["t"] = [0, 1, 2, 3, DT_US]
    result = simulate(network, events)
    assert result.operations.layers[0].acs == 2
    assert result.spike_counts[0] == 1  # 0.6, then 1.2


def test_events_outside_the_input_are_an_error_naming_the_recording() -> None:
    network = Network((2, 4, 4), DT_US, [Flatten(), Dense(np.ones((1, 32)), neuron=IF(1.0))])
    bad = one_event()
    bad["x"] = 4
    with pytest.raises(RecordingError, match=r"^event 0: x is 4, expected 0 to 3"):
        simulate(network, bad)
    with pytest.raises(RecordingError, match=r"^recording 1: event 0: x is 4"):
        simulate_batch(network, [one_event(), bad])


def test_events_past_the_grid_are_reported() -> None:
    network = Network((1, 1, 1), DT_US, [Flatten(), Dense([[1.0]], neuron=IF(0.5))], steps=2)
    events = np.concatenate([one_event(t) for t in (500, 600, 1600, 2600, 9000)])
    result = simulate(network, events, start_us=550)
    assert (result.events, result.events_early, result.events_late) == (5, 1, 2)
    assert result.spike_counts[0] == 2
    assert result.steps == 2


def test_growing_trace_keeps_every_spike() -> None:
    network = Network(
        (1, 1, 1), DT_US, [Flatten(), Dense(np.ones((50, 1)), np.ones(50), neuron=IF(0.5))]
    )
    result = simulate(network, one_event(), steps=5000, record_spikes=True)
    assert result.spikes is not None
    assert len(result.spikes[-1]) == 50 * 5000 == result.operations.total.output_spikes
