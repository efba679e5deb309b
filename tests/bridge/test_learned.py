"""Decays and thresholds that training moves, and CUBALIF and ALIF: gradients, range, export."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quadrants import changed, quadrant_split, quadrants
from random_networks import trainable_neurons
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.network.neurons import ALIF, CUBALIF, IF, LIF
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.models import SpikingLayer, SpikingNetwork, export_network, import_network
from eventsim_bridge.models.neurons import DERIVATIVES, SURROGATES, spike_trains
from eventsim_bridge.models.spiking import wake_silent_layers
from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingError

BOTH: Any = ("decay", "threshold")
NEURONS = [LIF(0.5, 0.4), IF(0.5, "subtract"), CUBALIF(0.6, 0.4, 0.5), ALIF(0.6, 0.4, 0.8, 0.2)]


class StepWithSurrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, derivative: Tensor) -> Tensor:
        ctx.save_for_backward(derivative)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.saved_tensors[0], None


def unrolled(currents: Tensor, neuron: Any, slope: Any, numbers: dict[str, Tensor]) -> Tensor:
    """The formulas of the engine's docstrings, one autograd node an operation."""
    n = {name: value.reshape(-1, 1) if value.dim() else value for name, value in numbers.items()}
    rest, current, adapted = (torch.zeros_like(currents[0]) for _ in range(3))
    trains = []
    for arriving in currents:
        if isinstance(neuron, CUBALIF):
            arriving = current = n["current_decay"] * current + arriving
        u = n["decay"] * rest + arriving
        limit = n["threshold"]
        if isinstance(neuron, ALIF):
            limit = limit + n["adaptation"] * adapted
        spikes = StepWithSurrogate.apply(u - limit, slope((u - limit).detach()))
        if isinstance(neuron, ALIF):
            adapted = n["adaptation_decay"] * adapted + spikes
        rest = u - n["threshold"] * spikes if neuron.reset == "subtract" else u * (1 - spikes)
        trains.append(spikes)
    return torch.stack(trains)


@given(
    neuron=trainable_neurons(dyadic=False, channels=3),
    surrogate=st.sampled_from(SURROGATES),
    learns=st.booleans(),
    steps=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradients_are_those_of_the_unrolled_formulas(
    neuron: Any, surrogate: Any, learns: bool, steps: int, seed: int
) -> None:
    """Of currents and of every decay and threshold, one for the layer or one for each channel."""
    generator = torch.Generator().manual_seed(seed)
    currents, cost = torch.randn(2, steps, 2, 3, 4, generator=generator, dtype=torch.float64)
    names = [name for name in ("current_decay", "decay", "threshold") if hasattr(neuron, name)]
    if isinstance(neuron, ALIF):
        names += ["adaptation_decay", "adaptation"]
    numbers = {
        name: torch.tensor(np.float32(getattr(neuron, name)), dtype=torch.float64) for name in names
    }
    found = []
    for run in (0, 1):
        leaf = currents.clone().requires_grad_()
        learned = {
            name: value.clone().requires_grad_()
            for name, value in numbers.items()
            if learns and name != "adaptation"
        }
        if run == 0:
            spikes = spike_trains(leaf, neuron, surrogate, 0.4, learned)
        else:
            spikes = unrolled(
                leaf, neuron, lambda x: DERIVATIVES[surrogate](x, 0.4), numbers | learned
            )
        (spikes * cost).sum().backward()
        asked = (leaf, *learned.values())  # without a gradient where nothing depends on it
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in asked]
        found.append([spikes, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def moved(structure: str, shape: Any, neuron: Any, learn: Any, per: Any, seed: int) -> Any:
    """A model that spikes, whose learned numbers are not those that it began with."""
    torch.manual_seed(seed)
    model = SpikingNetwork(structure, shape, neuron=neuron, learn=learn, learn_per=per)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "learned" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.5)
            else:
                parameter.mul_(3.0)
    wake_silent_layers(model, (torch.rand(2, 20, *shape) < 0.03).float())
    return model


def learnable(neuron: Any) -> Any:
    return ("threshold",) if isinstance(neuron, IF) else BOTH


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_learned_numbers_are_exported_and_spike_alike(neuron: Any, per: Any) -> None:
    shape = (2, 14, 13)
    model = moved("MP2-6C3-AP2-8C3s2-12FC-10", shape, neuron, learnable(neuron), per, 3)
    network = export_network(model, dt_us=1000, steps=20)
    layers = [layer for layer in model.layers if isinstance(layer, SpikingLayer)]
    exported = [network.layers[index].neuron for index in network.neuron_layers]  # type: ignore[union-attr]
    for layer, found in zip(layers, exported, strict=True):
        assert found == layer.neuron != neuron
        for name, value in layer.learned().items():
            np.testing.assert_array_equal(np.float32(getattr(found, name)), value.detach().numpy())
            assert value.shape == (() if per == "layer" else (len(layer.connection.weight),))
    batch = [noise(shape, seed) for seed in range(4)]
    agreement = compare_spikes(model, network, batch)
    assert all(layer.torch_spikes > 30 for layer in agreement.layers)
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing <= 2
    again = import_network(network, learn=learnable(neuron), learn_per=per)
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-5, atol=1e-6)


def noise(shape: tuple[int, int, int], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, shape[2], 900), rng.integers(0, shape[1], 900)
    return make_events(np.sort(rng.integers(0, 20_000, 900)), x, y, rng.integers(0, 2, 900))


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_real_recordings_spike_alike(neuron: Any, per: Any, real_data: Any) -> None:
    recordings = open_dataset("nmnist", real_data / "NMNIST").test
    model = moved("64FC-10", (2, 34, 34), neuron, learnable(neuron), per, 1)
    network = export_network(model, dt_us=5000, steps=60)
    agreement = compare_spikes(model, network, [recordings[index][0] for index in (0, 17, 40)])
    assert all(layer.torch_spikes > 20 for layer in agreement.layers)
    assert agreement.all_origins_within(1e-5)


@pytest.mark.parametrize("value", [-200.0, -20.0, 0.0, 20.0, 80.0])
def test_numbers_stay_in_range_whatever_an_optimiser_does(value: float) -> None:
    layer = SpikingLayer(nn.Linear(2, 3), CUBALIF(0.5, 0.5, 0.5), "arctan", 0.5, BOTH, "channel")
    with torch.no_grad():
        for raw in layer.learned.parameters():
            raw.fill_(value)
    found: Any = layer.neuron  # the engine refuses what is out of range
    for decay in (found.decay, found.current_decay):
        assert all(0 <= one <= 1 for one in decay)
    assert all(0 < one < float("inf") for one in found.threshold)


def test_a_new_model_begins_with_the_numbers_given() -> None:
    for neuron in NEURONS:
        for per in ("layer", "channel"):
            learned = SpikingLayer(nn.Linear(2, 3), neuron, "arctan", 0.5, learnable(neuron), per)  # type: ignore[arg-type]
            begun = vars(learned.neuron)
            for name in dict(learned.learned.named_parameters()):
                np.testing.assert_allclose(begun[name], getattr(neuron, name), rtol=2e-7)
            assert len(list(learned.parameters())) - 2 == len(learned.learned())
    plain = SpikingNetwork("4FC-3", (1, 2, 2))
    assert [name for name, _ in plain.named_parameters() if "learned" in name] == []


@pytest.mark.parametrize(
    ("neuron", "learn", "per", "sentence"),
    [
        (LIF(0.5, 0.4), ("tau",), "layer", "learn has 'tau', expected decay or threshold"),
        (LIF(0.5, 0.4), BOTH, "map", "learn_per is 'map', expected one of"),
        (LIF(0.5, 0.4), (), "channel", "learn_per is 'channel', expected 'layer' where"),
        (IF(0.4), BOTH, "layer", "learn has 'decay', expected none with IF"),
        (LIF(1.0, 0.4), BOTH, "layer", "decay is 1.0, expected above 0 and below 1"),
        (ALIF(0.5, 0.4, 0.0, 1.0), ("decay",), "layer", "adaptation_decay is 0.0, expected ab"),
        (LIF((0.5,) * 4, 0.4), ("decay",), "layer", "decay is (0.5, 0.5, 0.5, 0.5), expected one"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    neuron: Any, learn: Any, per: Any, sentence: str
) -> None:
    for build in (
        lambda: SpikingNetwork("4FC-4", (1, 2, 2), neuron=neuron, learn=learn, learn_per=per),
        lambda: changed(neuron=neuron, learn=learn, learn_per=per),
    ):
        with pytest.raises(EventsimError) as refused:
            build()
        assert str(refused.value).startswith(sentence)


def test_other_models_have_no_neurons_to_learn() -> None:
    with pytest.raises(TrainingError, match=r"learn is .*, expected none for lstm"):
        changed(model="lstm", loss="last", learn=BOTH)


@pytest.mark.parametrize("neuron", NEURONS)
def test_training_moves_what_is_learned(neuron: Any) -> None:
    settings = changed(neuron=neuron, learn=learnable(neuron), learn_per="channel", epochs=12)
    trained = train(quadrants(), settings, progress=False)
    assert trained.best.validation_accuracy >= 0.9
    expected = None if isinstance(neuron, LIF | IF) else f"neurons of {type(neuron).__name__}"
    assert (trained.why_dense or "").endswith(expected or "")
    assert (trained.why_dense is None) == (expected is None)
    network = trained.network()
    for index in network.neuron_layers:
        found: Any = network.layers[index].neuron  # type: ignore[union-attr]
        for name in vars(neuron):
            if name == "threshold" or name.endswith("decay"):
                learned = np.array(getattr(found, name))
                assert (learned != np.float32(getattr(neuron, name))).mean() > 0.5
    events = [recording for recording, _ in quadrant_split(20, seed=9)]
    agreement = compare_spikes(trained.model, network, events)  # type: ignore[arg-type]
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing <= 2
