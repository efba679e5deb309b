"""Random spiking models in torch with inputs, for the sparse kernels against the dense path."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import plain_neurons
from torch import Tensor, nn

from eventsim.network.neurons import IF
from eventsim_bridge.models import SpikingLayer, SpikingNetwork
from eventsim_bridge.models.layers import SumPool2d
from eventsim_bridge.models.neurons import SURROGATES
from eventsim_bridge.sparse.lists import BinnedBatch


@dataclass(repr=False)
class Case:
    """A model with an input, and how much the loss is for each of its spikes and operations."""

    model: SpikingNetwork
    frames: Tensor  # (samples, steps, polarities, height, width)
    cost: Tensor  # (samples, steps, outputs)
    price: Tensor  # (samples, layers)
    graded: bool

    def batch(self) -> BinnedBatch:
        """Return the frames as binned events."""
        return binned(self.frames.numpy(), self.graded)


def binned(frames: NDArray[Any], graded: bool) -> BinnedBatch:
    """Return frames (samples, steps, polarities, height, width) as binned events."""
    flat = frames.reshape(frames.shape[0] * frames.shape[1], -1)
    rows, cells = np.nonzero(flat)
    pointers = np.concatenate([[0], np.bincount(rows, minlength=len(flat)).cumsum()])
    values = flat[rows, cells] if graded else None
    return BinnedBatch(
        frames.shape[0], frames.shape[1], frames.shape[2:], pointers, cells.astype(np.int32), values
    )


def dense_layers(
    draw: st.DrawFn, rng: np.random.Generator, inputs: int, dyadic: bool
) -> list[nn.Module]:
    """Fully connected layers of random sizes, each with neurons and a surrogate of its own."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        outputs = draw(st.integers(1, 20) | st.sampled_from([32, 64, 70, 130]))
        linear = nn.Linear(inputs, outputs, bias=draw(st.booleans()))
        fill(linear, rng, dyadic)
        layers.append(spiking(draw, linear, dyadic))
        inputs = outputs
    return layers


@st.composite
def map_cases(draw: st.DrawFn, dyadic: bool) -> Case:
    """A model that begins with convolutions and pools."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, height, width = shape = draw(st.sampled_from([(1, 5, 6), (2, 9, 7), (3, 8, 8)]))
    layers: list[nn.Module] = []
    graded = False  # sums of a pool, whose maximum the engine refuses
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()) and min(height, width) > 3:
            pool, graded = draw(pools(graded))
            layers.append(pool)
            height, width = height // 2, width // pool.kernel_size[1]
        conv, channels = convolution(draw, channels)
        fill(conv, rng, dyadic)
        layers.append(spiking(draw, conv, dyadic))
        height, width = conv(torch.zeros(1, conv.in_channels, height, width)).shape[2:]
        graded = False
    if draw(st.booleans()) and min(height, width) > 1:
        pool, _ = draw(pools(graded))
        layers.append(pool)
        height, width = height // 2, width // pool.kernel_size[1]
    layers += [nn.Flatten(), *dense_layers(draw, rng, channels * height * width, dyadic)]
    return case_of(draw, layers, shape, rng)


@st.composite
def pools(draw: st.DrawFn, graded: bool) -> Any:
    """A pool of two lines, and whether it gives sums."""
    kinds = [nn.AvgPool2d, SumPool2d] if graded else [nn.AvgPool2d, SumPool2d, nn.MaxPool2d]
    kind = draw(st.sampled_from(kinds))
    pool: Any = kind((2, draw(st.sampled_from([1, 2]))))
    return pool, kind is not nn.MaxPool2d


def convolution(draw: st.DrawFn, channels: int) -> tuple[nn.Conv2d, int]:
    """A convolution that leaves no map empty, and its channels."""
    outputs = draw(st.integers(1, 9) | st.sampled_from([16, 40, 70]))
    kernel = (draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 2, 3])))
    conv = nn.Conv2d(
        channels, outputs, kernel, stride=draw(st.sampled_from([1, 1, 2])), padding=(2, 2),
        dilation=draw(st.sampled_from([1, 1, 2])), bias=draw(st.booleans()),
    )  # fmt: skip
    return conv, outputs


def fill(module: nn.Module, rng: np.random.Generator, dyadic: bool) -> None:
    """Draw weights and biases; dyadic: sums of them are exact in float32."""
    fan_in = module.get_parameter("weight")[0].numel()
    for parameter in module.parameters():
        shape = tuple(parameter.shape)
        if dyadic:
            drawn = rng.integers(-6, 9, shape) / 16.0
        else:
            drawn = rng.normal(0.3 / fan_in**0.5, 1 / fan_in**0.5, shape)
        parameter.data[...] = torch.from_numpy(drawn)


def spiking(draw: st.DrawFn, connection: nn.Module, dyadic: bool) -> SpikingLayer:
    """Put random neurons behind weights.

    A rectangle has edges, where rounding decides; no dyadic membrane is as far from its threshold
    as a third. Of learned numbers a decay of 0.5 and a threshold of 1 are exact (`learned.py`).
    """
    surrogates = SURROGATES if dyadic else SURROGATES[1:]
    width = draw(st.sampled_from([1 / 12, 1 / 3, 1.7]))
    surrogate = draw(st.sampled_from(surrogates))
    neuron: Any = draw(plain_neurons(dyadic))
    channels = len(connection.get_parameter("weight"))
    kinds: list[Any] = ["threshold"] if isinstance(neuron, IF) else ["decay", "threshold"]
    learn = draw(st.lists(st.sampled_from(kinds), unique=True))
    if not learn and draw(st.booleans()):  # fixed, but not the same in all channels
        steps = st.sampled_from([0.5, 1.0, 2.0])
        factors = draw(st.lists(steps, min_size=channels, max_size=channels))
        neuron = replace(neuron, threshold=tuple(neuron.threshold * one for one in factors))
    if "decay" in learn:
        neuron = replace(neuron, decay=0.5 if dyadic else draw(st.floats(0.05, 0.95)))
    if "threshold" in learn and dyadic:
        neuron = replace(neuron, threshold=1.0)
    per = draw(st.sampled_from(["layer", "channel"])) if learn else "layer"
    layer = SpikingLayer(connection, neuron, surrogate, width, learn, per)
    if per == "channel" and not dyadic:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        for raw in layer.learned.parameters():
            raw.data += torch.from_numpy(rng.normal(0, 0.3, channels).astype(np.float32))
    return layer


def case_of(
    draw: st.DrawFn, layers: list[nn.Module], shape: tuple[int, int, int], rng: np.random.Generator
) -> Case:
    """Draw an input and a loss for layers."""
    model = SpikingNetwork.of_layers(layers, shape)
    samples, steps = draw(st.integers(1, 4)), draw(st.integers(1, 10))
    graded = draw(st.booleans())
    active = rng.random((samples, steps, *shape)) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    drawn = active * rng.integers(1, 4, active.shape) if graded else active
    frames = torch.from_numpy(drawn.astype(np.float32))
    with torch.no_grad():
        spikes, sops = model.counted(frames)
    cost = torch.from_numpy(rng.normal(0, 1, spikes.shape).astype(np.float32))
    price = torch.from_numpy(rng.normal(0, draw(st.sampled_from([0.0, 0.02])), sops.shape))
    return Case(model, frames, cost, price, graded)


@st.composite
def dense_cases(draw: st.DrawFn, dyadic: bool) -> Case:
    """A model of fully connected layers, and an input of binary or graded events."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1, 1), (2, 3, 4), (1, 5, 8), (2, 9, 9)]))
    layers = dense_layers(draw, rng, int(np.prod(shape)), dyadic)
    return case_of(draw, [nn.Flatten(), *layers], shape, rng)


def differentiated(
    model: SpikingNetwork, x: Tensor | BinnedBatch, cost: Tensor, price: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Return the spikes of a model, and the gradient of each parameter."""
    model.zero_grad()
    spikes, sops = model.counted(x)
    loss = (spikes * cost).sum()
    if price is not None:
        loss = loss + (sops * price).sum()
    loss.backward()
    return spikes.detach(), [p.grad.clone() for p in model.parameters()]


def in_float64(case: Case) -> tuple[Tensor, list[Tensor]]:
    """Return what torch's autograd makes of a case in float64, on dense frames."""
    model = copy.deepcopy(case.model).double()
    return differentiated(model, case.frames.double(), case.cost.double(), case.price)


def is_steady(case: Case) -> bool:
    """Tell whether no spike hangs on rounding: thresholds a little off change none."""
    spikes = []
    for factor in (1 - 1e-4, 1.0, 1 + 1e-4):
        model = copy.deepcopy(case.model).double()
        for index, layer in enumerate(model.layers):
            if isinstance(layer, SpikingLayer):
                neuron: Any = layer.neuron
                moved = replace(neuron, threshold=np.asarray(neuron.threshold) * factor)
                model.layers[index] = SpikingLayer(
                    layer.connection, moved, layer.surrogate, layer.surrogate_width
                )
        with torch.no_grad():
            spikes.append(model.layer_spikes(case.frames.double()))
    return all(
        torch.equal(lower, exact) and torch.equal(exact, higher)
        for lower, exact, higher in zip(*spikes, strict=True)
    )


def rounding_of(case: Case, expected: list[Tensor], costs_only: bool = False) -> float:
    """Return how far gradients move where each parameter, cost and price is off by 8 units of its
    last place in float32: about as much as a sum of a thousand terms, one after the other, rounds.

    `costs_only`: parameters, on which spikes may hang, are not; gradients are sums over costs.
    """
    found = []
    for seed in range(4):
        random = torch.Generator().manual_seed(seed)
        model, cost = copy.deepcopy(case.model).double(), case.cost.double()
        price = case.price.clone()
        with torch.no_grad():
            for values in (cost, price) if costs_only else (*model.parameters(), cost, price):
                values *= 1 + 2**-20 * (torch.randint(0, 2, values.shape, generator=random) * 2 - 1)
        moved = replace(case, model=model, cost=cost, price=price)
        found.append(largest_error(in_float64(moved)[1], expected))
    return max(found)


def largest_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest error of a gradient, relative to the largest number of its tensor."""
    return max(
        float((one.double() - other).abs().max() / other.abs().max().clamp_min(1e-3))
        for one, other in zip(found, expected, strict=True)
    )
