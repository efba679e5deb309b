"""Models to the engine and back, and the account of the spikes that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import dense_spikes, networks, recordings

from eventsim.errors import EventsimError, NetworkError
from eventsim.events.arrays import make_events
from eventsim.events.binning import bin_events
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import ALIF, IF, LIF
from eventsim.network.pathways import Flatten
from eventsim.reference import run_reference
from eventsim.simulator import simulate
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.models import SpikingLayer, SpikingNetwork, export_network, import_network


def noise(shape: tuple[int, int, int], count: int, span_us: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return make_events(
        np.sort(rng.integers(0, span_us, count)),
        rng.integers(0, shape[2], count),
        rng.integers(0, shape[1], count),
        rng.integers(0, 2, count),
    )


def assert_same_network(left: Network, right: Network) -> None:
    assert left.input_shape == right.input_shape
    for a, b in zip(left.layers, right.layers, strict=True):
        assert type(a) is type(b)
        for name, value in vars(a).items():
            np.testing.assert_array_equal(value, getattr(b, name), strict=True)


@given(data=st.data())
@settings(max_examples=150)
def test_a_network_of_the_engine_spikes_alike_in_torch(data: Any) -> None:
    """Dyadic networks of every geometry: no rounding, so every spike must be the engine's."""
    network = data.draw(networks(dyadic=True, trainable=True))
    events = data.draw(recordings(network))
    binned = bin_events(
        events, network.input_shape, network.dt_us, 12, encoding=network.input_encoding
    )
    frames = binned.frames()
    for trace in run_reference(network, frames):
        assume((trace.membranes == trace.membranes.astype(np.float32)).all())
    model = import_network(network)
    with torch.no_grad():
        of_torch = model.layer_spikes(torch.from_numpy(frames)[None])
    result = simulate(network, events, steps=12, record_spikes=True)
    for spikes, expected in zip(of_torch, dense_spikes(network, result), strict=True):
        np.testing.assert_array_equal(spikes[0].numpy(), expected)
    back = export_network(model, dt_us=network.dt_us, input_encoding=network.input_encoding)
    assert_same_network(back, network)


@pytest.mark.parametrize(
    "structure", ["20FC-10", "MP2-6C3-AP2-8C3s2-12FC-10", "4C5-SP2-10", "4C3s2-U2-4C3-10"]
)
@pytest.mark.parametrize(
    ("neuron", "bias"),
    [(LIF(0.3, 0.3), True), (LIF(0.9, 0.4, "subtract"), False), (IF(0.5, "subtract"), True)],
)
def test_an_exported_model_gives_its_own_spikes(structure: str, neuron: Any, bias: bool) -> None:
    shape = (2, 14, 13)
    torch.manual_seed(3)
    model = SpikingNetwork(structure, shape, neuron=neuron, bias=bias)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
        else:
            parameter.data.mul_(2.0)  # so that the last layer fires too
    network = export_network(
        model, dt_us=1000, steps=20, class_names=list("abcdefghij"), provenance={"seed": 3}
    )
    assert (network.steps, network.class_names[1], network.provenance) == (20, "b", {"seed": 3})
    batch = [noise(shape, 900, 20_000, seed) for seed in range(6)]
    agreement = compare_spikes(model, network, batch)
    assert agreement.recordings == 6
    assert all(layer.torch_spikes > 50 for layer in agreement.layers)
    # A rounding on the verge of a spike may differ, but then every origin must be one.
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing <= 2
    binned = bin_events(batch[0], shape, 1000, 20)
    with torch.no_grad():
        output = model(torch.from_numpy(binned.frames())[None])[0]
    counts = simulate(network, batch[0]).spike_counts
    assert np.abs(output.sum(dim=0).numpy() - counts).sum() <= agreement.differing


def test_export_takes_a_copy_and_import_leaves_the_network_alone() -> None:
    model = SpikingNetwork("4C3-10", (1, 6, 6))
    network = export_network(model, dt_us=1000)
    again = import_network(network, surrogate="arctan", surrogate_width=0.5)
    before = [np.array(layer.weight) for layer in network.layers if hasattr(layer, "weight")]
    with torch.no_grad():
        for parameter in [*model.parameters(), *again.parameters()]:
            parameter.add_(1.0)
    after = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.layers[0].surrogate == "arctan"


def test_a_model_with_a_weight_that_is_no_number_is_refused() -> None:
    model = SpikingNetwork("4FC-10", (1, 2, 2))
    with torch.no_grad():
        model.layers[1].connection.weight[2, 1] = float("nan")
    with pytest.raises(NetworkError, match=r"weight at \(2, 1\) is nan"):
        export_network(model, dt_us=1000)


def test_a_layer_that_the_engine_does_not_have_is_named() -> None:
    dense = SpikingLayer(torch.nn.Linear(4, 2), LIF(0.3, 0.3), "rectangle", 0.25)
    layers = [torch.nn.Flatten(), torch.nn.ReLU(), dense]
    model = SpikingNetwork.of_layers(layers, (1, 2, 2))
    sentence = r"layer 1 \(ReLU\): ReLU cannot run in the engine, expected Linear, Conv2d"
    with pytest.raises(NetworkError, match=sentence):
        export_network(model, dt_us=1000)


class Pool(torch.nn.AvgPool2d):
    """A subclass is what it computes."""


OPTIONS = {
    "divisor_override": [torch.nn.AvgPool2d(2, divisor_override=3)],
    "a sum": [torch.nn.AvgPool2d(2, divisor_override=1)],
    "an average with padding": [torch.nn.AvgPool2d(2, padding=1)],
    "a maximum with padding": [torch.nn.MaxPool2d(3, 2, padding=1)],
    "ceil_mode that changes nothing": [torch.nn.MaxPool2d(2, ceil_mode=True)],
    "adaptive": [torch.nn.AdaptiveAvgPool2d(5)],
    "a subclass": [Pool(2)],
    "dropout": [torch.nn.Dropout(0.5), torch.nn.AvgPool2d(2), torch.nn.Identity()],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_a_pool_is_honoured(name: str) -> None:
    torch.manual_seed(0)
    shape, neuron = (2, 10, 10), LIF(0.5, 0.2)
    norm = torch.nn.utils.parametrizations.weight_norm
    convolution = norm(torch.nn.Conv2d(2, 3, 3, padding="same"))
    pooled = torch.nn.Sequential(*OPTIONS[name], torch.nn.Flatten())
    units = pooled(torch.zeros(1, 3, 10, 10)).shape[1]
    layers = [
        SpikingLayer(convolution, neuron, "rectangle", 0.25), *pooled,
        SpikingLayer(torch.nn.Linear(units, 10), neuron, "rectangle", 0.25),
    ]  # fmt: skip
    model = SpikingNetwork.of_layers(layers, shape).eval()
    network = export_network(model, dt_us=1000, steps=20)
    agreement = compare_spikes(model, network, [noise(shape, 800, 20_000, 3)])
    assert all(layer.torch_spikes > 20 for layer in agreement.layers)
    assert agreement.all_origins_within(1e-6)
    assert agreement.differing <= 1


# Two neurons that copy two pixels, and two outputs that copy those.
THRESHOLD = 0.5


def chain(first: float, second: float = 1.0) -> Network:
    hidden = Dense(np.diag([first, 1.0]), neuron=LIF(0.0, THRESHOLD))
    output = Dense(np.diag([second, 1.0]), neuron=LIF(0.0, THRESHOLD))
    return Network((1, 1, 2), 1000, [Flatten(), hidden, output])


def test_differences_are_counted_and_their_origins_told_from_their_consequences() -> None:
    """The engine's network fires where the model's membrane of 0.499 does not."""
    model = import_network(chain(0.499))
    events = make_events([0, 0, 1000, 3000], [0, 1, 0, 1], [0] * 4, [True] * 4)
    agreement = compare_spikes(model, chain(0.502), [events, events[3:]])
    hidden, output = agreement.layers
    assert (hidden.torch_spikes, hidden.engine_spikes) == (3, 5)
    # Neuron 0 differs in timesteps 0 and 1: the second one is not its first.
    assert (hidden.differing, hidden.origins) == (2, 1)
    assert hidden.largest_origin_distance == pytest.approx(0.002, rel=1e-4)
    # In the layer behind, every difference follows from that of its input.
    assert (output.differing, output.origins, output.largest_origin_distance) == (2, 0, 0.0)
    assert agreement.recordings == 2
    assert agreement.predictions_differ == 1  # torch: 2 spikes of neuron 1; engine: 2 and 2
    assert not agreement.all_origins_within(1e-5)
    assert agreement.all_origins_within(0.0021)
    assert (agreement.differing, agreement.origins) == (4, 1)
    assert agreement.as_dict()["layers"][0]["differing"] == 2


def test_a_difference_before_that_of_the_input_is_an_origin_of_its_own() -> None:
    """The output differs in timestep 0, where its input is the same; the hidden layer in 1."""
    hidden = np.array([[1.0, 0.0], [0.0, 1.0]])
    output = np.array([[0.499, 0.0], [0.0, 1.0]])

    def network(weight: float, out: float) -> Network:
        first, second = hidden.copy(), output.copy()
        first[1, 1], second[0, 0] = weight, out
        neuron = LIF(0.0, THRESHOLD)
        layers = [Dense(first, neuron=neuron), Dense(second, neuron=neuron)]
        return Network((1, 1, 2), 1000, [Flatten(), *layers])

    events = make_events([0, 1000, 2000], [0, 1, 0], [0] * 3, [True] * 3)
    agreement = compare_spikes(import_network(network(0.49, 0.499)), network(0.51, 0.501), [events])
    first, second = agreement.layers
    assert (first.differing, first.origins) == (1, 1)
    # Neuron 0 in timesteps 0 and 2, neuron 1 in timestep 1 because of its input.
    assert (second.differing, second.origins) == (3, 1)
    assert second.largest_origin_distance == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("steps", [None, 4])
def test_recordings_without_events_agree(steps: int | None) -> None:
    model = SpikingNetwork("MP2-4C3-AP2-SP2-6FC-10", (2, 9, 9))
    network = export_network(model, dt_us=1000)
    agreement = compare_spikes(model, network, [make_events([], [], [], [])] * 2, steps=steps)
    assert (agreement.recordings, agreement.differing, agreement.predictions_differ) == (2, 0, 0)


def test_layers_that_do_not_belong_together_are_refused() -> None:
    model = SpikingNetwork("4FC-2", (1, 1, 2))
    with pytest.raises(EventsimError, match=r"\(4,\).*expected"):
        compare_spikes(model, chain(1.0), [make_events([0], [0], [0], [True])])


def test_an_output_map_counts_channel_first() -> None:
    weight = np.zeros((2, 1, 1, 1))
    weight[1] = 1.0
    network = Network((1, 2, 2), 1000, [Conv2d(weight, neuron=IF(0.5))])
    events = make_events([0, 5], [1, 1], [0, 0], [True] * 2)
    model = import_network(network)
    frames = torch.from_numpy(bin_events(events, (1, 2, 2), 1000).frames())[None]
    assert model(frames)[0].sum(dim=0).tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert simulate(network, events).spike_counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert compare_spikes(model, network, [events]).predictions_differ == 0


@pytest.mark.parametrize(
    ("layer", "readout", "sentence"),
    [
        (
            Dense(np.ones((1, 2)), recurrent=[1.0], neuron=IF(1.0)),
            "spike-count",
            "layer 1 (Dense) cannot run in torch here, expected Dense, Conv2d,",
        ),
        (
            Dense(np.ones((1, 2)), neuron=IF(1.0)),
            "first-spike",
            "readout is 'first-spike', expected spike-count to run in torch",
        ),
        (
            Dense(np.ones((1, 2)), neuron=IF(1.0, refractory=1)),
            "spike-count",
            "layer 1 (Dense): neuron is IF(threshold=1.0, reset='zero', refractory=1), expected L",
        ),
        (
            Dense(np.ones((1, 2)), neuron=ALIF(0.5, 1.0, 0.5, 0.5, rest=-0.5)),
            "spike-count",
            "layer 1 (Dense): neuron is ALIF(decay=0.5, threshold=1.0, adaptation_decay=0.5, adapt",
        ),
    ],
)
def test_what_torch_cannot_run_is_refused(layer: Dense, readout: Any, sentence: str) -> None:
    network = Network((2, 1, 1), 1000, [Flatten(), layer], readout=readout)
    with pytest.raises(EventsimError) as refused:
        import_network(network)
    assert str(refused.value).startswith(sentence)


def normalised(weights: Any, norm: Any, seed: int) -> Any:
    """Dyadic weights and running statistics whose square roots are exact."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.copy_(torch.tensor(rng.integers(-8, 12, parameter.shape) / 16))
        channels = norm.num_features
        norm.running_var.copy_(torch.tensor(rng.choice([0.25, 1.0, 4.0], channels)))
        norm.running_mean.copy_(torch.tensor(rng.integers(-4, 5, channels) / 4))
        norm.weight.copy_(torch.tensor(rng.choice([0.5, 1.0, 2.0], channels)))
        norm.bias.copy_(torch.tensor(rng.integers(-4, 5, channels) / 8))
    return torch.nn.Sequential(weights, norm)


@pytest.mark.parametrize("biased", [False, True])
def test_batch_norm_folds_into_the_weights(biased: bool) -> None:
    """In eval mode, with numbers that nothing rounds: the engine gives torch's own spikes."""
    nn, neuron = torch.nn, LIF(0.5, 0.75)
    conv = normalised(nn.Conv2d(2, 6, 3, 2, 1, bias=biased), nn.BatchNorm2d(6, eps=0), 1)
    dense = normalised(nn.Linear(150, 4, bias=biased), nn.BatchNorm1d(4, eps=0), 2)
    layers = [
        SpikingLayer(conv, neuron, "rectangle", 0.25),
        nn.Flatten(),
        SpikingLayer(dense, neuron, "rectangle", 0.25),
    ]
    model = SpikingNetwork.of_layers(layers, (2, 10, 10)).eval()
    network = export_network(model, dt_us=1000, steps=20)
    events = noise((2, 10, 10), 600, 20_000, 3)
    binned = bin_events(events, network.input_shape, 1000, 20)
    with torch.no_grad():
        of_torch = model.layer_spikes(torch.from_numpy(binned.frames())[None])
    result = simulate(network, events, record_spikes=True)
    for spikes, expected in zip(of_torch, dense_spikes(network, result), strict=True):
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(spikes[0].numpy(), expected)


def test_what_cannot_be_folded_is_refused() -> None:
    nn = torch.nn
    for norm, sentence in (
        (nn.ReLU(), "a connection is (Linear, ReLU), expected weights and a BatchNorm behind"),
        (nn.BatchNorm1d(2, track_running_stats=False), "a BatchNorm has no running statistics"),
    ):
        layer = SpikingLayer(nn.Sequential(nn.Linear(2, 2), norm), IF(1.0), "rectangle", 0.25)
        model = SpikingNetwork.of_layers([nn.Flatten(), layer], (2, 1, 1))
        with pytest.raises(NetworkError) as refused:
            export_network(model, dt_us=1000)
        assert str(refused.value).startswith(f"layer 1 (SpikingLayer): {sentence}")
