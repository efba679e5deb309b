"""Models of other libraries as networks of the engine: the same spikes, or a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from imported_models import MODELS, SHAPE, STEPS, drawn, recordings
from torch import nn

import eventsim as es
from eventsim.network.neurons import READOUTS_ONLY
from eventsim_bridge.agreement import compare
from eventsim_bridge.importing import from_torch, read_torch
from eventsim_bridge.models import SpikingNetwork

CASES = [(library, name) for library, make in MODELS.items() for name in make()]
ROUNDING = 1e-6  # membranes, of thresholds between 0.2 and 2


@pytest.mark.parametrize(("library", "name"), CASES, ids=[": ".join(case) for case in CASES])
def test_every_option_gives_the_spikes_of_its_library(library: str, name: str) -> None:
    model = MODELS[library]()[name]()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    assert network.provenance["imported_from"].startswith(f"{library} ")
    agreement = compare(model, network, recordings())
    for index, layer in zip(network.neuron_layers, agreement.layers, strict=True):
        neuron: Any = network.layers[index].neuron  # type: ignore[union-attr]
        if not isinstance(neuron, READOUTS_ONLY):
            assert layer.torch_spikes > 20, f"{layer.name} hardly spikes, so this shows little"
    assert agreement.all_origins_within(ROUNDING), agreement
    assert agreement.differing <= 2, agreement
    assert agreement.largest_score_difference < 1e-4
    assert agreement.predictions_differ <= agreement.origins
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_another_reset_would_be_found() -> None:
    model = MODELS["snntorch"]()["Leaky subtract next"]()
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    for reset in ("subtract", "subtract-doubled", "zero"):
        layers = [
            replace(layer, neuron=replace(layer.neuron, reset=reset))
            if isinstance(layer, es.Dense)
            else layer
            for layer in network.layers
        ]
        agreement = compare(model, es.Network(SHAPE, 1000, layers, steps=STEPS), recordings())
        assert agreement.differing > 20
        assert not agreement.all_origins_within(1e-3)


def test_a_difference_is_followed_through_a_skip_connection() -> None:
    """The sum of two layers arrives at the last one; only the second of them differs."""
    model = MODELS["snntorch"]()["stepped"]()
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    layers = list(network.layers)
    changed: Any = layers[1]
    layers[1] = replace(changed, weight=changed.weight * np.float32(1.001))
    agreement = compare(model, es.Network(SHAPE, 1000, layers, steps=STEPS), recordings())
    first, second, last = agreement.layers
    assert (first.differing, last.origins) == (0, 0)
    assert second.differing >= second.origins > 0
    assert 0 < second.largest_origin_distance < 0.05


def test_weights_that_end_a_model_are_membranes_without_memory() -> None:
    import snntorch as snn

    model = drawn(nn.Sequential(
        nn.Linear(72, 24), snn.Leaky(0.5, init_hidden=True), nn.Linear(24, 10)
    ))  # fmt: skip
    reading = read_torch(model, SHAPE, 1000, steps=STEPS)
    assert reading.network.readout == "mean-membrane"
    assert [(step.path, step.was) for step in reading.steps] == [
        ("0", "input, flattened"),
        ("0, 1", "Linear, Leaky"),
        ("2", "Linear, no neurons"),
    ]
    agreement = compare(model, reading.network, recordings())
    assert (agreement.differing, agreement.predictions_differ) == (0, 0)
    assert 0 < agreement.largest_score_difference < 1e-5


def test_inputs_of_one_and_two_axes() -> None:
    import snntorch as snn

    line = drawn(nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1, stride=2), snn.Leaky(0.5, init_hidden=True), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(12, 10), snn.Leaky(0.5, init_hidden=True),
    ))  # fmt: skip
    flat = drawn(nn.Sequential(nn.Linear(12, 10), snn.Leaky(0.5, init_hidden=True)))
    rng = np.random.default_rng(0)
    for model, shape, full in ((line, (2, 12), (2, 1, 12)), (flat, (12,), (12,))):
        network = from_torch(model, shape, 1000, steps=STEPS)
        assert network.input_shape == full
        frames = es.from_frames(rng.random((STEPS, *full)) < 0.3, 1000)
        agreement = compare(model, network, [frames], input_shape=shape)
        assert agreement.layers[-1].torch_spikes > 20
        assert agreement.differing == 0


def test_neurons_without_weights_get_weights_of_one() -> None:
    from spikingjelly.activation_based import neuron

    model = drawn(nn.Sequential(
        nn.AvgPool2d(2), neuron.IFNode(v_threshold=0.5), nn.Flatten(), nn.Linear(18, 10),
        neuron.IFNode(),
    ))  # fmt: skip
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    agreement = compare(model, network, recordings())
    assert [layer.torch_spikes > 20 for layer in agreement.layers] == [True, True]
    assert agreement.differing == 0


@pytest.mark.parametrize("old", [False, True])
def test_weight_norm_is_resolved(old: bool) -> None:
    from spikingjelly.activation_based import neuron

    linear = nn.Linear(72, 10)
    if old:
        linear = torch.nn.utils.weight_norm(linear)
        with torch.no_grad():
            linear.weight_g.mul_(2.0)  # what `weight` will be only when it is called
    else:
        linear = torch.nn.utils.parametrizations.weight_norm(linear)
    model = nn.Sequential(nn.Flatten(), linear, neuron.IFNode(v_threshold=0.2)).eval()
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    agreement = compare(model, network, recordings())
    assert agreement.layers[0].torch_spikes > 20
    assert agreement.all_origins_within(ROUNDING)


def test_a_model_of_this_package_is_read_as_it_is() -> None:
    model = SpikingNetwork("4C3-10", SHAPE).eval()
    network = from_torch(model, SHAPE, 1000, steps=STEPS)
    assert compare(model, network, recordings()).differing == 0
