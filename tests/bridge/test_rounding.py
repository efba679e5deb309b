"""Weights rounded to int8 while they are trained, beside rounding afterwards."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from quadrants import SHAPE, changed, quadrant_split, quadrants
from sparse_models import Case, dense_cases, differentiated, map_cases
from torch import nn

from eventsim.network.fixed_point import to_fixed_point
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import CUBALIF, IF
from eventsim.network.pathways import Flatten
from eventsim.network.pools import AvgPool2d
from eventsim.network.rounding import round_weights
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.models import SpikingLayer, SpikingNetwork, export_network
from eventsim_bridge.models.rounding import TrainedWeights, rounded
from eventsim_bridge.training.loop import train


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]),
    odd=st.booleans(),
)
def test_the_numbers_are_those_of_the_engine(seed: int, scale: float, odd: bool) -> None:
    """Ties too: whole halves of a step."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-254, 255, (7, 12)) / 2 if odd else rng.normal(0, 1, (7, 12))
    weight = (scale * drawn).astype(np.float32)
    network = Network((1, 3, 4), 1000, [Flatten(), Dense(weight, neuron=IF(1.0))])
    expected: Any = round_weights(network, "int8").layers[1]
    assert_array_equal(rounded(torch.from_numpy(weight)).numpy(), expected.weight)


def test_zeros_stay() -> None:
    assert torch.equal(rounded(torch.zeros(2, 3)), torch.zeros(2, 3))


def check(case: Case, weights: TrainedWeights) -> None:
    """The gradients are those of a model that has the rounded numbers, on both kernels."""
    model = case.model
    plain = copy.deepcopy(model)
    for layer, same in zip(model.layers, plain.layers, strict=True):
        if isinstance(layer, SpikingLayer):
            learns = bool(list(layer.learned.parameters()))
            layer.weights = "int8" if learns else weights
            acting, exact = layer.acting(), cast("Any", same)
            exact.connection.weight.data = acting.weight.detach()
            if acting.bias is not None:
                exact.connection.bias.data = acting.bias.detach()
            exact.given_neuron = exact.given_neuron if learns else layer.neuron
    for x in (case.frames, case.batch()):
        spikes, gradients = differentiated(model, x, case.cost)
        expected_spikes, expected = differentiated(plain, x, case.cost)
        assert torch.equal(spikes, expected_spikes)
        assert all(map(torch.equal, gradients, expected))


@given(case=dense_cases(dyadic=False), weights=st.sampled_from(["int8", "loihi"]))
def test_gradients_go_straight_through(case: Case, weights: TrainedWeights) -> None:
    check(case, weights)


@given(case=map_cases(dyadic=False))
def test_gradients_of_convolutions_go_straight_through(case: Case) -> None:
    check(case, "int8")


@pytest.mark.parametrize(
    ("kernels", "structure", "weights"),
    [
        ("sparse", "12FC-4", "int8"), ("dense", "6C3-AP2-8FC-4", "int8"),
        ("sparse", "6C3-AP2-8FC-4", "loihi"), ("dense", "12FC-4", "loihi"),
    ],
)  # fmt: skip
def test_what_is_trained_is_exported(kernels: Any, structure: str, weights: Any) -> None:
    settings = changed(structure=structure, epochs=8, weights=weights)
    trained = train(quadrants(), settings, progress=False, kernels=kernels)
    assert trained.best.validation_accuracy >= 0.8
    network = trained.network()
    again = round_weights(network, "int8")
    for layer, same in zip(network.layers, again.layers, strict=True):
        weight = getattr(layer, "weight", None)
        if weight is not None:
            assert_array_equal(weight, same.weight)  # type: ignore[union-attr]
            assert len(np.unique(np.abs(weight))) <= 128
    if weights == "loihi":
        check_whole(network)
    events = [recording for recording, _ in quadrant_split(40, seed=9)]
    agreement = compare_spikes(trained.model, network, events)
    assert all(layer.torch_spikes > 50 for layer in agreement.layers)
    assert agreement.all_origins_within(1e-5)


def check_whole(network: Network) -> None:
    """Nothing is left to round: the numbers in fixed point are those that were trained."""
    fixed = to_fixed_point(network)
    share = 1.0
    for before, after in zip(network.layers, fixed.layers, strict=True):
        layer, same = cast("Any", before), cast("Any", after)
        if isinstance(before, AvgPool2d):
            share *= before.scale
        if not hasattr(layer, "weight"):
            continue
        unit = np.abs(layer.weight).max() / 127
        assert_allclose(same.weight * unit, layer.weight, rtol=1e-6)
        unit, share = unit * share, 1.0
        assert_allclose(same.bias * unit, layer.bias, rtol=1e-6)
        assert_allclose(same.neuron.threshold * unit, layer.neuron.threshold, rtol=1e-6)
        assert layer.neuron.decay == 1 - same.neuron.decay / 4096 != 0.3


def test_weights_keep_what_is_less_than_a_step() -> None:
    """What is trained is not the rounded number, which small gradients could not move."""
    torch.manual_seed(0)
    model = SpikingNetwork("9FC-4", SHAPE, weights="int8")
    layer: Any = model.layers[1]
    weight = layer.connection.weight.detach()  # the same memory
    step = float(weight.abs().max()) / 127
    weight[0, :2] = torch.tensor([5 * step, 5.3 * step])
    exported: Any = export_network(model, dt_us=1000).layers[1]
    assert exported.weight[0, 0] == exported.weight[0, 1] == pytest.approx(5 * step)
    assert float(weight[0, 1]) == pytest.approx(5.3 * step)


def test_learned_numbers_are_whole_as_well() -> None:
    """The gradient goes straight to the exact ones."""
    neuron = CUBALIF(0.3, 0.7, 0.31)
    layer = SpikingLayer(nn.Linear(5, 3), neuron, "arctan", 0.3, ["decay", "threshold"])
    layer.weights, layer.share = "loihi", 0.25
    exact, acting = layer.learned(), layer.acting()
    unit = float(layer.connection.get_parameter("weight").abs().max()) / 127 / 4
    assert set(acting.numbers) == set(exact) == {"decay", "current_decay", "threshold"}
    for name, number in acting.numbers.items():
        steps = float(number.detach()) / (unit if name == "threshold" else 1 / 4096)
        assert steps == pytest.approx(round(steps), abs=1e-3)
        assert float(number) != pytest.approx(float(exact[name]), abs=1e-9)
        raw = layer.learned.get_parameter(name)
        assert torch.autograd.grad(number, raw) == torch.autograd.grad(exact[name], raw)
    assert layer.neuron == replace(neuron, **{k: float(v) for k, v in acting.numbers.items()})
