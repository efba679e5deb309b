"""Networks to time, and inputs for them, where nothing trained or recorded is given.

Weights are random, and scaled so that every layer fires at a chosen rate: how fast a spiking
network runs depends on how much it spikes, and hardly on what it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import eventsim as es
from eventsim.events.arrays import InputEncoding, InputShape
from eventsim.network.neurons import Neuron

if TYPE_CHECKING:
    from eventsim_bridge.models import RecurrentNetwork

Events = NDArray[Any]

MLP = "512FC-10"
CONV = "16C5s2-16C3-SP2-8C3-SP2-256FC-10"
AVERAGED = "16C3-AP2-32C3-AP2-128FC-10"  # with average pools, as an RNN and LSTM can have them
GESTURE = "MP4-64C3-128C3-AP2-128C3-AP2-256FC-11"  # He et al. 2020, DVS Gesture

STEPS_OF_SEARCH = 40  # halvings and doublings of a factor on a layer's weights
NEAR_ENOUGH = 0.05  # of the rate that was asked for


def random_network(
    structure: str,
    input_shape: InputShape,
    neuron: Neuron,
    *,
    dt_us: int,
    steps: int,
    seed: int = 0,
    input_encoding: InputEncoding = "binary",
) -> es.Network:
    """Return a network of a structure (`bridge/models/layers.py`), no bias, torch's weights.

    torch draws them uniformly about 0. Those of IF neurons are moved up by a third of the largest:
    a membrane without leak that has wandered far below 0 does not come back, and about 0 no scale
    made the first layer of `CONV` fire at 2 % on N-MNIST (1.7 % was the nearest).
    """
    import torch

    from eventsim_bridge.models import SpikingNetwork, export_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SpikingNetwork(structure, input_shape, neuron=neuron, bias=False)
        if isinstance(neuron, es.IF):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(parameter.abs().max() / 3)
    return export_network(model, dt_us=dt_us, steps=steps, input_encoding=input_encoding)


def random_recurrent_network(
    structure: str, input_shape: InputShape, cell: Any, *, seed: int = 0
) -> RecurrentNetwork:
    """Return an RNN or LSTM of a structure with torch's weights."""
    import torch

    from eventsim_bridge.models import RecurrentNetwork

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentNetwork(structure, input_shape, cell=cell)


def random_cnn(input_shape: tuple[int, ...], *, seed: int = 0) -> tuple[Any, str]:
    """Return a plain torch network of ReLUs with torch's weights, and what it is called."""
    import torch
    from torch import nn

    channels = input_shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        below = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            features = below(torch.zeros(1, *input_shape)).shape[1]
        model = nn.Sequential(*below, nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 10))
    return model, "torch: 16C3-ReLU-AP2-32C3-ReLU-MP2-128FC-ReLU-10"


def scale_to_rate(network: es.Network, recordings: Sequence[Events], rate: float) -> es.Network:
    """Multiply the weights of each layer so that its neurons spike in `rate` of the timesteps.

    The mean over all neurons, timesteps and `recordings`, from the first layer to the last, to
    within 5 % of `rate`. Raises `EventsimError` for a rate that a layer cannot reach.
    """
    layers = list(network.layers)
    for index in network.neuron_layers:
        layers[index] = _scaled_layer(network, layers[: index + 1], recordings, rate)
    return _of_layers(network, layers)


def _scaled_layer(
    network: es.Network, layers: list[Any], recordings: Sequence[Events], rate: float
) -> Any:
    """Return the last of `layers` with scaled weights: a search on the logarithm of the factor."""
    layer, factor, step = layers[-1], 1.0, 4.0
    was_below = None
    found = 0.0
    for _ in range(STEPS_OF_SEARCH):
        scaled = replace(layer, weight=layer.weight * np.float32(factor))
        found = firing_rates(_of_layers(network, [*layers[:-1], scaled]), recordings)[-1]
        if abs(found / rate - 1) < NEAR_ENOUGH:
            return scaled
        below = found < rate
        if was_below is not None and below != was_below:
            step = step**0.5
        factor *= step if below else 1 / step
        was_below = below
    name = network.layer_name(len(layers) - 1)
    raise es.EventsimError(
        f"{name}: no scale of its random weights makes its neurons spike in {rate:.2%} of the "
        f"timesteps, the nearest found is {found:.2%}"
    )


def _of_layers(network: es.Network, layers: list[Any]) -> es.Network:
    return es.Network(
        network.input_shape, network.dt_us, layers,
        input_encoding=network.input_encoding, steps=network.steps,
    )  # fmt: skip


def firing_rates(network: es.Network, recordings: Sequence[Events]) -> list[float]:
    """Return the spikes of each layer with neurons, per neuron and timestep."""
    results = es.simulate_batch(network, recordings)
    steps = sum(result.steps for result in results)
    total = es.Operations.sum(result.operations for result in results)
    sizes = [int(np.prod(network.shapes[index + 1])) for index in network.neuron_layers]
    return [
        layer.output_spikes / (size * steps)
        for layer, size in zip(total.layers, sizes, strict=True)
    ]


def random_dense(
    inputs: int, outputs: int, rate_in: float, rate_out: float, neuron: es.LIF, seed: int
) -> es.Dense:
    """Return a dense layer whose neurons spike at about `rate_out` for inputs that do at `rate_in`.

    About: as if the membrane were normally distributed, with the variance of a sum of independent
    inputs and a leak, and never reset. Measure what it is.
    """
    decay, threshold = float(neuron.decay), float(neuron.threshold)  # type: ignore[arg-type]
    deviations = NormalDist().inv_cdf(1 - rate_out)
    variance = inputs * rate_in / (1 - decay**2)
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, inputs), np.float32)
    return es.Dense(weight * np.float32(threshold / (deviations * variance**0.5)), neuron=neuron)


def random_events(
    shape: tuple[int, int, int], rate: float, steps: int, dt_us: int, seed: int = 0
) -> Events:
    """Return events in which each cell of each timestep is active with probability `rate`."""
    rng = np.random.default_rng(seed)
    step, on, y, x = np.nonzero(rng.random((steps, *shape), np.float32) < rate)
    return es.make_events(step * dt_us, x, y, on)
