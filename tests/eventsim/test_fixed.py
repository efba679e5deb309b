"""Fixed-point neurons: the engine against the int64 reference, bit for bit, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from brute_force import count_operations
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import dense_spikes, networks, recordings, simulate_recorded, some_layout

import eventsim as es
from eventsim.jit import kernel
from eventsim.network.neurons.fixed import MOST, left_of, shrunk
from eventsim.reference import LayerTrace

DT_US = 1000


def reference(network: es.Network, events: Any) -> tuple[Any, list[LayerTrace] | None]:
    """Frames, and what the reference makes of them; None where a current overflows."""
    binned = es.bin_events(
        events, network.input_shape, network.dt_us, encoding=network.input_encoding
    )
    frames = binned.frames(np.float64)
    try:
        return frames, es.run_reference(network, frames)
    except es.EventsimError:
        return frames, None


@given(data=st.data())
@settings(max_examples=30)
def test_spikes_states_and_counts_are_those_of_the_reference(data: Any) -> None:
    network = data.draw(networks(dyadic=True, fixed=True, plain=data.draw(st.booleans())))
    events = data.draw(recordings(network))
    frames, traces = reference(network, events)
    with some_layout(data):
        if traces is None:
            with pytest.raises(es.EventsimError, match="left its 24 bits"):
                es.simulate(network, events)
            return
        result = simulate_recorded(network, events)
        probed = es.simulate(network, events, probe=["membranes", "currents"])
    for index, spikes, trace in zip(
        network.neuron_layers, dense_spikes(network, result), traces, strict=True
    ):
        np.testing.assert_array_equal(spikes, trace.spikes)
        found = probed.probes[network.layer_name(index)]
        if len(trace.states):
            for name, of in (("membranes", "u"), ("currents", "second")):
                expected = np.stack([getattr(state, of) for state in trace.states])
                assert expected.dtype == np.int64
                np.testing.assert_array_equal(found[name], expected)
    counted = count_operations(network, frames, traces)
    for layer, counts in zip(result.operations.layers, counted, strict=True):
        assert {name: getattr(layer, name) for name in counts} == counts


@kernel
def compiled(x: np.float32, part: np.float32) -> np.float32:
    return left_of(x, part)


@given(x=st.integers(-(2**24), 2**24), kept=st.integers(0, 4096))
def test_a_decay_in_float32_is_that_of_int64(x: int, kept: int) -> None:
    sign = (x > 0) - (x < 0)
    assert compiled(np.float32(x), np.float32(kept / 4096)) == sign * (abs(x) * kept >> 12)
    assert shrunk(x, kept) == sign * (abs(x) * kept >> 12)


def dense(weight: Any, neuron: es.FixedCUBALIF, bias: Any = None, **more: Any) -> es.Network:
    layers = [es.Flatten(), es.Dense(weight, bias, neuron=neuron)]
    return es.Network((1, 1, len(weight[0])), DT_US, layers, **more)


@pytest.mark.parametrize("outputs", [1, 8, 64])
def test_silences_are_run_timestep_by_timestep(outputs: int) -> None:
    """Two spikes far apart: what is left of current and membrane in between, cut off each time."""
    neuron = es.FixedCUBALIF(300, 170, 20_000)
    network = dense([[200]] * outputs, neuron, [7] * outputs, readout="last-membrane")
    last = 40_000
    events = es.make_events([0, last * DT_US], [0, 0], [0, 0], [1, 1])
    u = i = 0
    for t in range(last + 1):
        i = shrunk(i, 4096 - 300) + (200 << 6) * (t in (0, last))
        u = shrunk(u, 4096 - 170) + i + (7 << 6)
    (seen,) = es.simulate(network, events, probe=["membranes"]).probes
    assert seen["membranes"][-1].tolist() == [u] * outputs
    lazy = dense([[200]] * outputs, neuron, [7] * outputs)
    assert es.simulate(lazy, events).operations.total.site_updates < 200
    assert es.simulate(network, events).scores.tolist() == [u] * outputs


@pytest.mark.parametrize("outputs", [8, 75, 96, 128])
@pytest.mark.parametrize("current_decay", [4096, 3000])
def test_sums_of_many_rows_of_int8(outputs: int, current_decay: int) -> None:
    """More of the largest weights at once than 16 bits hold; blocks of all widths; silences."""
    rng = np.random.default_rng(outputs)
    weight = rng.integers(-40, 45, (outputs, 700))
    weight[0], weight[1] = -128, 127
    neuron = es.FixedCUBALIF(current_decay, 700, 2, weight_exponent=-6)
    network = dense(weight, neuron, rng.integers(-3, 1, outputs))
    frames = rng.random((40, 1, 1, 700)) < 0.05
    frames[3], frames[10:30] = True, False
    events = es.from_frames(frames, DT_US)
    (trace,) = es.run_reference(network, frames.astype(np.float64))
    result = es.simulate(network, events, record_spikes=True, probe=["membranes", "currents"])
    np.testing.assert_array_equal(dense_spikes(network, result)[0], trace.spikes)
    assert trace.spikes[:10].any(axis=0).sum() > 2
    (probed,) = result.probes
    for name, of in (("membranes", "u"), ("currents", "second")):
        expected = np.stack([getattr(state, of) for state in trace.states])
        np.testing.assert_array_equal(probed[name], expected)


def test_membranes_saturate_and_currents_that_would_wrap_end_the_run() -> None:
    held = es.FixedCUBALIF(4096, 0, 2**17 - 1, weight_exponent=7)
    events = es.make_events(np.arange(50) * DT_US, [0] * 50, [0] * 50, [1] * 50)
    network = dense([[-255]], held, readout="last-membrane")
    assert es.simulate(network, events).scores.tolist() == [-MOST]
    kept = es.FixedCUBALIF(0, 4096, 2**17 - 1, weight_exponent=7)
    for weight in (-250, 250):
        network = dense([[weight]], kept)
        assert es.simulate(network, events[:4]).spike_counts.tolist() == [0]
        with pytest.raises(es.EventsimError, match=re.escape("layer 1 (Dense): the current")):
            es.simulate(network, events)
        with pytest.raises(es.EventsimError, match="left its 24 bits"):
            es.run_reference(network, np.ones((50, 1, 1, 1)))
    # The input of one timestep has 21 bits and a sign: here 2 * 200 << 13.
    wide = dense([[200, 200]], es.FixedCUBALIF(4096, 4096, 5, weight_exponent=7))
    both = es.make_events([0, 0], [0, 1], [0, 0], [1, 1])
    assert es.simulate(wide, both[:1]).spike_counts.tolist() == [1]
    with pytest.raises(es.EventsimError, match="the input of one timestep 22"):
        es.simulate(wide, both)


def test_what_neurons_execute_grows_with_the_timesteps_that_are_passed_over() -> None:
    network = dense([[200]], es.FixedCUBALIF(300, 170, 20_000))
    work = []
    for gap in (10, 10_000):
        events = es.make_events([0, gap * DT_US], [0, 0], [0, 0], [1, 1])
        operations = es.simulate(network, events).operations
        work += es.energy.neuron_work(network, operations)
    assert work[1].multiplies - work[0].multiplies > 2 * 9_000


def test_a_run_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(2)
    network = dense(rng.integers(-40, 60, (9, 4)), es.FixedCUBALIF(900, 400, 300), [3] * 9)
    t = np.sort(rng.integers(0, 90 * DT_US, 200))
    events = es.make_events(t, rng.integers(0, 4, 200), [0] * 200, [1] * 200)
    whole = es.simulate(network, events)
    first, second = es.ClockedRun(network), es.ClockedRun(network)
    first.feed(events[:120])
    second.restore(first.state())
    second.feed(events[120:])
    result = second.finish()
    assert result.spike_counts.tolist() == whole.spike_counts.tolist()
    assert result.operations == whole.operations


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"current_decay": 0.5}, "current_decay is 0.5, expected a whole number, 0 to 4096"),
        ({"decay": 4097}, "decay is 4097.0, expected a whole number, 0 to 4096"),
        ({"threshold": 2**17}, "threshold is 131072.0, expected a whole number, 0 to 131071"),
        ({"weight_exponent": 8}, "weight_exponent is 8, expected whole, -6 to 7"),
        ({"weight_exponent": 1.0}, "weight_exponent is 1.0, expected whole, -6 to 7"),
        ({"rest": 1}, "rest is 1.0, expected 0.0"),
        ({"spikes": "many"}, "spikes is 'many', expected 'one'"),
    ],
)
def test_parameters_that_the_chip_has_not_are_refused(change: Any, sentence: str) -> None:
    good: dict[str, Any] = {"current_decay": 1, "decay": 2, "threshold": 3}
    with pytest.raises(es.NetworkError, match=f"^FixedCUBALIF: {re.escape(sentence)}$"):
        es.FixedCUBALIF(**good | change)


def test_layers_that_are_not_whole_numbers_are_refused(tmp_path: Any) -> None:
    neuron = es.FixedCUBALIF(1, 2, 3)
    for weight, bias, sentence in (
        ([[0.5]], None, "Dense: weight has 0.5, expected whole numbers, -256 to 255 with"),
        ([[256]], None, "weight has 256, expected"),
        ([[1]], [1.5], "bias has 1.5, expected whole numbers, -131071 to 131071"),
    ):
        with pytest.raises(es.NetworkError, match=re.escape(sentence)):
            es.Dense(weight, bias, neuron=neuron)
    events = es.make_events([0], [0], [0], [1])
    pooled = [es.AvgPool2d(2), es.Flatten(), es.Dense([[1]], neuron=neuron)]
    with pytest.raises(es.NetworkError, match=re.escape("a pool scales by 0.25")):
        es.simulate(es.Network((1, 2, 2), DT_US, pooled), events)
    wide = es.Dense(np.full((1, 2**17), 255), neuron=neuron)
    with pytest.raises(es.NetworkError, match="expected a sum below 2\\^24"):
        es.simulate(es.Network((2**17,), DT_US, [wide]), es.from_spikes([0], [0], (2**17,), DT_US))
    with pytest.raises(es.EventsimError, match="FixedCUBALIF takes whole timesteps"):
        es.simulate(dense([[1]], neuron), events, mode="async")


def test_a_file_gives_back_what_went_in(tmp_path: Any) -> None:
    neuron = es.FixedCUBALIF((1, 2), 4096, 9, weight_exponent=-3, refractory=2)
    network = dense([[3], [-256]], neuron, [-7, 2**17 - 1])
    es.save_network(network, tmp_path / "net.h5")
    loaded: Any = es.load_network(tmp_path / "net.h5").layers[1]
    assert loaded.neuron == neuron
    assert repr(loaded.neuron) == repr(neuron)
    assert loaded.weight.tolist() == [[3], [-256]]
