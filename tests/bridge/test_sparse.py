"""Spikes and gradients of the sparse kernels against torch's autograd in float64, densely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sparse_models import (
    Case,
    binned,
    dense_cases,
    differentiated,
    fill,
    in_float64,
    is_steady,
    largest_error,
    map_cases,
    rounding_of,
)
from torch import nn

from eventsim.errors import EventsimError
from eventsim.network.neurons import IF
from eventsim_bridge.models import PAPER_NEURON, SpikingLayer, SpikingNetwork
from eventsim_bridge.models.sparse_pass import uncovered


def check_gradients(case: Case, steady: bool) -> None:
    """As near as float32 allows: as sums of parameters a little off, where no spike hangs on that
    (`steady`), and else as torch's own in float32, or sums of costs a little off: neither is nearer
    where terms cancel, as they do most in the one decay of a layer."""
    spikes, gradients = differentiated(case.model, case.batch(), case.cost, case.price)
    expected_spikes, expected = in_float64(case)
    assert torch.equal(spikes.double(), expected_spikes)
    if steady:
        rounding = rounding_of(case, expected)
    else:
        of_torch = differentiated(case.model, case.frames, case.cost, case.price)[1]
        rounding = 3 * largest_error(of_torch, expected)
        rounding = max(rounding, rounding_of(case, expected, costs_only=True))
    assert largest_error(gradients, expected) < 1e-5 + rounding


@settings(max_examples=200)
@given(case=dense_cases(dyadic=True))
def test_gradients_are_those_of_autograd(case: Case) -> None:
    """Weights without rounding, so that every spike must be the same."""
    check_gradients(case, steady=False)


@given(case=dense_cases(dyadic=False))
def test_gradients_with_rounding_are_those_of_autograd(case: Case) -> None:
    assume(is_steady(case))
    check_gradients(case, steady=True)


@given(case=map_cases(dyadic=True))
def test_gradients_of_convolutions_are_those_of_autograd(case: Case) -> None:
    check_gradients(case, steady=False)


@settings(max_examples=30)
@given(case=map_cases(dyadic=False))
def test_gradients_of_convolutions_with_rounding_are_those_of_autograd(case: Case) -> None:
    assume(is_steady(case))
    check_gradients(case, steady=True)


def wide_model(structure: str) -> tuple[SpikingNetwork, torch.Tensor]:
    torch.manual_seed(3)
    model = SpikingNetwork(structure, (2, 12, 12))
    for layer in model.layers:
        if isinstance(layer, SpikingLayer):
            layer.connection.get_parameter("weight").data.mul_(2)
    return model, (torch.rand(5, 20, 2, 12, 12) < 0.1).float()


@pytest.mark.parametrize("structure", ["200FC-70FC-10", "6C3-MP2-70C3-AP2-80FC-10"])
def test_results_do_not_depend_on_the_number_of_threads(structure: str) -> None:
    model, frames = wide_model(structure)
    batch, cost = binned(frames.numpy(), False), torch.randn(5, 20, 10)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            found.append(differentiated(model, batch, cost))
    finally:
        torch.set_num_threads(before)
    spikes, gradients = found[0]
    assert spikes.sum() > 0
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    for others, other_gradients in found[1:]:
        assert torch.equal(spikes, others)
        assert all(map(torch.equal, gradients, other_gradients))


def test_frozen_parameters_get_no_gradient_and_the_others_the_same() -> None:
    model, frames = wide_model("4C3-20FC-10")
    batch, cost = binned(frames.numpy(), False), torch.randn(5, 20, 10)
    _, gradients = differentiated(model, batch, cost)
    names = [name for name, _ in model.named_parameters()]
    model.zero_grad()
    for parameter in list(model.parameters())[1::2]:
        parameter.requires_grad_(False)
    (model(batch) * cost).sum().backward()
    for name, parameter, gradient in zip(names, model.parameters(), gradients, strict=True):
        if name.endswith("weight"):
            assert torch.equal(parameter.grad, gradient)
        else:
            assert parameter.grad is None


def test_without_gradients_the_spikes_are_the_same() -> None:
    model, frames = wide_model("4C3-20FC-10")
    batch = binned(frames.numpy(), False)
    with torch.no_grad():
        spikes = model(batch)
    assert not spikes.requires_grad
    assert torch.equal(spikes, model(batch))


def test_weights_that_change_between_the_passes_are_refused() -> None:
    model, frames = wide_model("4C3-20FC-10")
    loss = model(binned(frames.numpy(), False)).sum()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def layers(*modules: nn.Module) -> SpikingNetwork:
    """Build a network of modules, with neurons behind those that have weights."""
    spiking = [
        SpikingLayer(module, PAPER_NEURON, "arctan", 0.5) if list(module.parameters()) else module
        for module in modules
    ]
    return SpikingNetwork.of_layers(spiking, (1, 4, 4))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (SpikingNetwork("U2-10", (1, 4, 4)), "layer 0 is Upsample"),
        (SpikingNetwork("AP2-AP2-10", (1, 4, 4)), "layer 1 is a pool behind a pool"),
        (layers(nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(9, 2)), "layer 0 is a pool whose win"),
        (layers(nn.AvgPool2d(2, 2, 1), nn.Flatten(), nn.Linear(9, 2)), "layer 0 is a pool whose"),
        (layers(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 2)), "layer 0 has 2 gr"),
        (layers(nn.Conv2d(1, 4, 3, padding="same")), "layer 0 has padding 'same' of zeros"),
        (layers(nn.Conv2d(1, 4, 3)), "the last layer is not fully connected"),
        (layers(nn.Flatten()), "the last layer is not fully connected"),
        (layers(nn.Linear(4, 2)), "layer 0 has Linear on a map"),
        (SpikingNetwork("5FC-10", (1, 4, 4), batch_norm=True), "layer 1 has Sequential"),
        (SpikingNetwork("5FC-10", (1, 4, 4)).double(), "layer 1 has weights of torch.float64"),
    ],
)
def test_what_is_not_covered_is_said(model: SpikingNetwork, reason: str) -> None:
    assert (uncovered(model.layers) or "").startswith(reason)
    with pytest.raises(EventsimError, match="frames run every model"):
        model(binned(np.zeros((1, 2, 1, 4, 4), np.float32), False))


def test_events_of_another_sensor_are_refused() -> None:
    model = SpikingNetwork("5FC-10", (1, 4, 4))
    with pytest.raises(EventsimError, match=r"input_shape \(1, 4, 5\), expected \(1, 4, 4\)"):
        model(binned(np.zeros((1, 2, 1, 4, 5), np.float32), False))


@given(seed=st.integers(0, 2**32 - 1), reset=st.sampled_from(["zero", "subtract"]))
def test_gradients_through_many_timesteps_are_as_exact(seed: int, reset: Any) -> None:
    """Neurons that forget nothing, over hundreds of timesteps."""
    rng = np.random.default_rng(seed)
    linear = nn.Linear(6, 9)
    fill(linear, rng, dyadic=True)
    layer = SpikingLayer(linear, IF(2.0, reset), "arctan", 1.0)
    model = SpikingNetwork.of_layers([nn.Flatten(), layer], (1, 2, 3))
    frames = torch.from_numpy((rng.random((2, 400, 1, 2, 3)) < 0.2).astype(np.float32))
    cost = torch.from_numpy(rng.normal(0, 1, (2, 400, 9)).astype(np.float32))
    price = torch.zeros(2, 1)
    check_gradients(Case(model, frames, cost, price, False), steady=False)
