"""Trained networks in fixed point: what their numbers become, and how scales are chosen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, train_quickly, write_nmnist_set

import eventsim as es
from eventsim.network.fixed_point import Scale, to_fixed_point
from eventsim_bridge.training.fixed_point import choose_fixed_point, judge


def spikes_of(network: es.Network, events: Any) -> list[list[list[int]]]:
    result = es.simulate(network, events, record_spikes=True)
    assert result.spikes is not None
    return [layer.tolist() for layer in result.spikes]


def some_events(seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 12_000, 160))
    return es.make_events(t, *rng.integers(0, 8, (2, 160)), rng.integers(0, 2, 160))


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_where_nothing_is_rounded_every_spike_is_the_same(decay: float) -> None:
    """Weights, biases and thresholds that are whole steps, behind an average pool too."""
    rng = np.random.default_rng(2)
    neuron = es.LIF(decay, 0.75)
    conv = rng.integers(-30, 100, (4, 2, 3, 3))
    dense = rng.integers(-60, 100, (5, 36))
    conv.flat[0], dense.flat[0] = 127, 127  # the largest, so that a step is 1/64 and 1/32
    layers = [
        es.Conv2d(conv / 64, rng.integers(-9, 9, 4) / 64, neuron=neuron),
        es.AvgPool2d(2),
        es.Flatten(),
        es.Dense(dense / 32, rng.integers(-3, 3, 5) / 32, neuron=neuron),
    ]
    network = es.Network((2, 8, 8), 1000, layers, steps=14)
    fixed = to_fixed_point(network)
    first, last = (fixed.layers[index] for index in fixed.neuron_layers)
    np.testing.assert_array_equal(first.weight, conv)
    np.testing.assert_array_equal(last.weight, dense)
    # A step of 1/32, of which each spike behind the pool brings a quarter.
    assert (first.neuron.threshold, last.neuron.threshold) == (48, 96)
    assert isinstance(fixed.layers[1], es.SumPool2d)
    for seed in range(3):
        found = spikes_of(fixed, some_events(seed))
        assert found == spikes_of(network, some_events(seed))
        assert all(len(layer) > 20 for layer in found)


def test_int8_weights_become_their_whole_numbers() -> None:
    weight = np.random.default_rng(3).normal(0, 0.2, (6, 9)).astype(np.float32)
    layer = es.Dense(weight, recurrent=weight[:, :6], neuron=es.CUBALIF(0.25, 0.5, (0.3,) * 6))
    network = es.Network((9,), 1000, [layer])
    rounded = es.round_weights(network, "int8")
    fixed: Any = to_fixed_point(rounded).layers[0]
    step = np.abs(weight).max() / 127
    np.testing.assert_array_equal(fixed.weight * step, rounded.layers[0].weight)
    assert fixed.neuron.current_decay == 3072
    assert fixed.neuron.decay == 2048
    assert fixed.neuron.threshold == (round(0.3 / step),) * 6
    half: Any = to_fixed_point(network, [Scale(0.5, -2)]).layers[0]
    assert np.abs(half.weight).max() == 127
    assert (half.neuron.weight_exponent, half.neuron.threshold[0]) == (-2, round(0.3 / step / 2))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (es.Dense([[1.0]], neuron=es.LIF(0.3, 0.3, "subtract")), "neuron is LIF(0.3"),
        (es.Dense([[1.0]], neuron=es.ALIF(0.5, 0.3, 0.7, 0.2)), "neuron is ALIF("),
        (es.Dense([[1.0]], [0.5], neuron=es.CUBALIF(0.5, 0.3, 0.3)), "train with --no-bias"),
        (es.Dense([[1e-3]], neuron=es.IF(1e9)), "threshold is"),
    ],
)
def test_networks_without_a_counterpart_are_refused(layer: Any, sentence: str) -> None:
    network = es.Network((1,), 1000, [layer])
    with pytest.raises(es.NetworkError, match=f"^{re.escape('layer 0 (Dense): ')}"):
        to_fixed_point(network)
    with pytest.raises(es.NetworkError, match=re.escape(sentence.split("(0.3")[0])):
        to_fixed_point(network)


def test_scales_are_chosen_by_their_loss() -> None:
    """One weight that no input uses takes all the range: half of it is a better step."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0, 0.004, (2, 128)).astype(np.float32)
    weight[0, :64] += 0.004
    weight[1, 64:] += 0.004
    weight[0, 127] = 1.0  # its step is twice what the others are
    layers = [es.Flatten(), es.Dense(weight, neuron=es.LIF(0.5, 0.01))]
    network = es.Network((2, 8, 8), 1000, layers, steps=12)
    recordings, labels = [], []
    for seed in range(12):
        events = some_events(seed)
        events["on"] = seed % 2
        recordings.append(events[events["x"] < 7])
        labels.append(seed % 2)
    plain = judge(to_fixed_point(network), recordings, labels)
    tried: list[int] = []
    found = choose_fixed_point(network, recordings, labels, lambda: tried.append(1))
    assert len(tried) == 4
    assert found.before == judge(network, recordings, labels)
    assert found.after == judge(found.network, recordings, labels)
    assert found.after.loss < plain.loss
    assert found.scales[0].step < 1


def test_exponents_give_way_to_currents_that_would_wrap() -> None:
    network = es.Network((2000,), 1000, [es.Dense(np.ones((1, 2000)), neuron=es.LIF(0.0, 0.5))])
    with pytest.raises(es.EventsimError, match="left its 24 bits"):
        es.simulate(to_fixed_point(network), es.from_frames(np.ones((2, 2000)), 1000))
    found = choose_fixed_point(network, [es.from_frames(np.ones((2, 2000)), 1000)], [0])
    assert found.scales[0].exponent == -3  # 254,000 << 3 is the first below 2^21
    assert found.after.accuracy == 1


def test_train_writes_a_network_in_fixed_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_nmnist_set(tmp_path / "data"), tmp_path / "net.h5"
    assert train_quickly(data, out, "--weights", "int8", "--fixed-point", "loihi") == 0
    network = es.load_network(out)
    for index in network.neuron_layers:
        assert isinstance(network.layers[index].neuron, es.FixedCUBALIF)  # type: ignore[union-attr]
    noted = network.provenance["fixed_point"]
    assert noted["arithmetic"] == "loihi"
    assert len(noted["scales"]) == 2
    assert noted["test"]["after"]["accuracy"] == network.provenance["test_accuracy"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "In fixed point, test: accuracy" in printed
    assert "--fixed-point is set with --model rnn" in str(
        train_quickly(data, tmp_path / "rnn.pt", "--model", "rnn", "--fixed-point", "loihi")
    )
    asked = ("--data", "nmnist", "--root", data, "--energy", "loihi")
    assert run_command("run", out, *asked) == 0
    assert "pJ a SOP" in capsys.readouterr().out
