"""Structure strings, the neurons in torch against the reference, surrogates and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_networks import trainable_neurons
from torch import nn

from eventsim.errors import EventsimError, NetworkError
from eventsim.network.layers import Dense
from eventsim.network.neurons import IF, LIF, Neuron
from eventsim.reference import run_layer
from eventsim_bridge import models
from eventsim_bridge.models import SpikingLayer, SpikingNetwork
from eventsim_bridge.models.layers import StructureError, SumPool2d, parse_structure
from eventsim_bridge.models.neurons import DERIVATIVES, SURROGATES, Surrogate, spike_trains
from eventsim_bridge.models.spiking import AWAKE, wake_silent_layers


def parts(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(type(spec.type).__name__.strip("_"), spec.numbers) for spec in parse_structure(text)]


def test_what_is_promised_can_be_imported() -> None:
    promised = {
        "PAPER_NEURON", "QuantisedNetwork", "RecurrentNetwork", "SpikingLayer", "SpikingNetwork",
        "export_network", "import_network",
    }  # fmt: skip
    assert set(models.__all__) == promised
    assert all(hasattr(models, name) for name in promised)


def test_structures_of_the_paper() -> None:
    dense = [("Flatten", ()), ("Dense", (512,)), ("Dense", (10,))]
    assert parts("512FC-10") == parts("Input-512FC-10") == dense
    assert parts("MP4-64C3-128C3-AP2-256FC-11") == [
        ("Pool", (4,)),
        ("Conv2d", (64, 3)),
        ("Conv2d", (128, 3)),
        ("Pool", (2,)),
        ("Flatten", ()),
        ("Dense", (256,)),
        ("Dense", (11,)),
    ]
    assert parts("10") == [("Flatten", ()), ("Dense", (10,))]
    assert parts("16C5s2-SP2-10")[:2] == [("Conv2d", (16, 5, 2)), ("Pool", (2,))]


@pytest.mark.parametrize(
    ("text", "wrong", "expected"),
    [
        ("", "''", "the number of classes"),
        ("512FC", "'512FC'", "the number of classes"),
        ("512FC-0", "'0'", "the number of classes"),
        ("Input", "''", "the number of classes"),
        ("512-10", "'512'", "expected one of nFC, nCk, MPk, APk, SPk, Uk"),
        ("512fc-10", "'512fc'", "expected one of"),
        ("64C-10", "'64C'", "expected one of"),
        ("64C3s-10", "'64C3s'", "expected one of"),
        ("MP-10", "'MP'", "expected one of"),
        ("512FC--10", "''", "expected one of"),
        (" 512FC-10", "' 512FC'", "expected one of"),
        ("64C3-Input-10", "'Input'", "expected one of"),
        ("0FC-10", "'0FC'", "expected 1 or more"),
        ("64C3s0-10", "'64C3s0'", "expected 1 or more"),
        ("512FC-MP2-10", "'MP2'", "before the first"),
        ("512FC-64C3-10", "'64C3'", "before the first"),
    ],
)
def test_a_wrong_structure_is_told_where(text: str, wrong: str, expected: str) -> None:
    with pytest.raises(StructureError) as caught:
        parse_structure(text)
    assert wrong in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wrong", "expected"),
    [
        ("64C4-10", "'64C4'", "odd"),
        ("AP2-MP9-10", "'MP9'", "does not fit"),
        ("AP2-AP2-AP2-AP2-10", "'AP2'", "does not fit"),
    ],
)
def test_a_structure_that_does_not_fit_is_told_where(text: str, wrong: str, expected: str) -> None:
    with pytest.raises(StructureError) as caught:
        SpikingNetwork(text, (2, 10, 8))
    assert wrong in str(caught.value)
    assert expected in str(caught.value)


def test_what_the_engine_cannot_run_is_refused_before_training() -> None:
    with pytest.raises(NetworkError, match="maximum of pooled sums"):
        SpikingNetwork("AP2-MP2-10", (2, 8, 8))


def test_modules_of_a_structure() -> None:
    model = SpikingNetwork("MP2-6C3-8C5s2-SP2-AP2-20FC-4", (2, 33, 34), bias=False)
    kinds = [
        type(layer.connection if isinstance(layer, SpikingLayer) else layer)
        for layer in model.layers
    ]
    pools = [SumPool2d, nn.AvgPool2d]
    assert kinds == [
        *[nn.MaxPool2d, nn.Conv2d, nn.Conv2d], *pools, *[nn.Flatten, nn.Linear, nn.Linear],
    ]  # fmt: skip
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes == [(6, 2, 3, 3), (8, 6, 5, 5), (20, 8 * 2 * 2), (4, 20)]
    frames = torch.rand(3, 5, 2, 33, 34)
    spikes = model.layer_spikes(frames)
    layer_shapes = [tuple(layer.shape) for layer in spikes]
    assert layer_shapes == [(3, 5, 6, 16, 17), (3, 5, 8, 8, 9), (3, 5, 20), (3, 5, 4)]
    assert torch.equal(model(frames), spikes[-1])


@given(neuron=trainable_neurons(dyadic=True, channels=5), seed=st.integers(0, 2**32 - 1))
def test_neurons_spike_as_those_of_the_reference(neuron: Neuron, seed: int) -> None:
    """Currents and parameters without rounding, so every spike must be the same."""
    rng = np.random.default_rng(seed)
    currents = rng.integers(-12, 25, (8, 5)) / 16.0
    layer = Dense(np.eye(5), neuron=neuron)
    expected = run_layer(layer, currents, (5,))
    assert (expected.membranes == expected.membranes.astype(np.float32)).all()
    spikes = spike_trains(torch.tensor(currents, dtype=torch.float32), neuron, "rectangle", 0.25)
    np.testing.assert_array_equal(spikes.numpy(), expected.spikes)


def test_a_membrane_at_the_threshold_does_not_fire() -> None:
    threshold = torch.tensor([[0.3], [math.nextafter(0.3, 1) + 1e-7]])
    assert spike_trains(threshold, LIF(0.0, 0.3), "rectangle", 0.25).flatten().tolist() == [0, 1]


SIGMOIDS: dict[Surrogate, Any] = {
    "rectangle": lambda x, w: min(max(x / (2 * w) + 0.5, 0.0), 1.0),
    "arctan": lambda x, w: math.atan(math.pi * x / (2 * w)) / math.pi + 0.5,
    "fast-sigmoid": lambda x, w: x / w / (1 + abs(x / w)) / 2 + 0.5,
}


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("width", [0.25, 0.5, 1.5])
def test_surrogates_are_derivatives_of_sigmoids(surrogate: Surrogate, width: float) -> None:
    """Central differences of the closed forms, at points away from the corners."""
    points = torch.tensor([-7.0, -1.6, -0.6, -0.3, -0.2, -0.01, 0.02, 0.1, 0.4, 1.0, 30.0]).double()
    sigmoid, h = SIGMOIDS[surrogate], 1e-6
    slopes = [(sigmoid(x + h, width) - sigmoid(x - h, width)) / (2 * h) for x in points.tolist()]
    derivative = DERIVATIVES[surrogate](points, width)
    np.testing.assert_allclose(derivative.numpy(), slopes, rtol=1e-6, atol=1e-9)
    peak = DERIVATIVES[surrogate](torch.zeros(1), width)
    assert peak.item() == pytest.approx(1 / (2 * width))


@pytest.mark.parametrize("option", [{"surrogate": "box"}, {"surrogate_width": 0.0}])
def test_a_wrong_surrogate_is_refused(option: Any) -> None:
    with pytest.raises(EventsimError, match="surrogate"):
        SpikingNetwork("10", (2, 4, 4), **option)


def test_a_silent_input_leaves_a_new_network_silent() -> None:
    model = SpikingNetwork("4C3-32FC-10", (2, 8, 8), neuron=IF(0.3))
    assert sum(name.endswith("bias") for name, _ in model.named_parameters()) == 3
    assert not any(spikes.any() for spikes in model.layer_spikes(torch.zeros(1, 50, 2, 8, 8)))


@pytest.mark.parametrize("option", [{"bias": False}, {"neuron": LIF(0.1, 0.3, refractory=1)}])
def test_a_normalisation_needs_a_bias_and_a_neuron_of_torch(option: Any) -> None:
    with pytest.raises(EventsimError, match=r"bias is False|neuron is LIF"):
        SpikingNetwork("2FC-2", (2, 4, 4), batch_norm=True, **option)


def test_silent_normalised_layers_are_woken_too() -> None:
    torch.manual_seed(0)
    network = SpikingNetwork("4C3-AP2-8FC-3", (2, 8, 8), neuron=LIF(0.3, 0.5), batch_norm=True)
    norms = [layer.connection[1] for layer in network.layers if isinstance(layer, SpikingLayer)]
    assert [type(norm) for norm in norms] == [nn.BatchNorm2d, nn.BatchNorm1d, nn.BatchNorm1d]
    assert all((norm.weight == 0.5).all() for norm in norms)
    frames = (torch.rand(4, 6, 2, 8, 8) < 0.1).float()
    with torch.no_grad():
        for norm in norms:
            norm.weight.mul_(0.01)
    assert not any(spikes.any() for spikes in network.layer_spikes(frames))
    wake_silent_layers(network, frames)
    assert all(spikes.mean() >= AWAKE for spikes in network.layer_spikes(frames))


def test_silent_layers_are_woken_and_awake_ones_left_alone() -> None:
    torch.manual_seed(0)
    network = SpikingNetwork("8C3-8C3-8C3-32FC-10", (2, 10, 10))
    frames = (torch.rand(4, 6, 2, 10, 10) < 0.1).float()
    before = [spikes.mean().item() for spikes in network.layer_spikes(frames)]
    assert before[-1] == 0.0
    wake_silent_layers(network, frames)
    after = [spikes.mean().item() for spikes in network.layer_spikes(frames)]
    assert all(AWAKE <= rate < 10 * AWAKE for rate in after)
    weights = [parameter.clone() for parameter in network.parameters()]
    wake_silent_layers(network, frames)
    for parameter, weight in zip(network.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight)


def test_nothing_wakes_a_network_without_input() -> None:
    network = SpikingNetwork("4FC-2", (1, 2, 2))
    wake_silent_layers(network, torch.zeros(1, 3, 1, 2, 2))
    assert all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
