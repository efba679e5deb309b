"""Random networks and recordings for hypothesis, and dense arrays from what the engine returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from eventsim.errors import NetworkError
from eventsim.events import EVENT_DTYPE
from eventsim.layers import AvgPool2d, Conv2d, Dense, Flatten, Layer, MaxPool2d, SumPool2d
from eventsim.network import Network
from eventsim.neurons import IF, LIF, Neuron
from eventsim.simulator import Result

DT_US = 1000


def _weights(rng: np.random.Generator, shape: tuple[int, ...], dyadic: bool) -> NDArray[Any]:
    """Dyadic: multiples of 1/16, whose sums and halves float32 holds exactly."""
    if dyadic:
        return rng.integers(-12, 17, shape) / 16.0
    return rng.normal(0.1, 0.4, shape)


@st.composite
def neurons(draw: st.DrawFn, dyadic: bool) -> Neuron:
    threshold = draw(st.integers(1, 24)) / 16.0 if dyadic else draw(st.floats(0.1, 1.5))
    reset = draw(st.sampled_from(["zero", "subtract"]))
    if draw(st.booleans()):
        return IF(threshold, reset)
    decay = draw(st.sampled_from([0.0, 0.5, 1.0]) if dyadic else st.floats(0.0, 1.0))
    return LIF(decay, threshold, reset)


@st.composite
def pools(draw: st.DrawFn, kinds: list[type], dyadic: bool) -> Layer:
    kind = draw(st.sampled_from(kinds))
    size = st.sampled_from([1, 2, 4]) if dyadic and kind is AvgPool2d else st.integers(1, 3)
    kernel = draw(st.tuples(size, size) | size)
    return kind(kernel, draw(st.none() | st.integers(1, 3)))


@st.composite
def networks(draw: st.DrawFn, *, dyadic: bool, pooled: bool = True) -> Network:
    """A few layers that fit: shapes, strides, paddings, groups, biases, resets, pools."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape: tuple[int, ...] = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
    )
    encoding = draw(st.sampled_from(["binary", "counts"]))
    input_shape = shape
    layers: list[Layer] = []

    def add(layer: Layer) -> None:
        nonlocal shape
        try:
            shape = layer.output_shape(shape)
            layers.append(layer)
        except NetworkError:
            pass  # the window does not fit this map: leave the layer out

    def add_pools() -> None:
        for kinds in ([MaxPool2d], [SumPool2d, AvgPool2d]):
            for _ in range(draw(st.integers(0, 2)) if pooled else 0):
                if MaxPool2d in kinds and layers and isinstance(layers[-1], SumPool2d | AvgPool2d):
                    break  # no maximum of sums
                add(draw(pools(kinds, dyadic)))

    def bias(outputs: int) -> NDArray[Any] | None:
        return _weights(rng, (outputs,), dyadic) if draw(st.booleans()) else None

    for _ in range(draw(st.integers(0, 2))):
        add_pools()
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if shape[0] % g == 0]))
        outputs = groups * draw(st.integers(1, 9))
        kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        add(
            Conv2d(
                _weights(rng, (outputs, shape[0] // groups, *kernel), dyadic),
                bias(outputs),
                stride=draw(st.integers(1, 3)),
                padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
                dilation=draw(st.integers(1, 2)),
                groups=groups,
                neuron=draw(neurons(dyadic)),
            )
        )
    if not layers or not isinstance(layers[-1], Conv2d) or draw(st.booleans()):
        add_pools()
        add(Flatten())
        for outputs in draw(st.lists(st.integers(1, 20), min_size=1, max_size=2)):
            weight = _weights(rng, (outputs, shape[0]), dyadic)
            add(Dense(weight, bias(outputs), neuron=draw(neurons(dyadic))))
    return Network(input_shape, DT_US, layers, input_encoding=encoding)


@st.composite
def recordings(draw: st.DrawFn, network: Network, max_steps: int = 10) -> NDArray[Any]:
    """No event, one, a few, or every pixel at once; on a grid of at most `max_steps`."""
    _, height, width = network.input_shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["empty", "one", "sparse", "busy", "all at once"]))
    if kind == "all at once":
        grid = np.indices((2, height, width)).reshape(3, -1)
        events = np.zeros(grid.shape[1], EVENT_DTYPE)
        events["on"], events["y"], events["x"] = grid
        events["t"] = draw(st.integers(0, 10**6))
        return events
    most = {"empty": 0, "one": 1, "sparse": 8, "busy": 40 * max_steps}[kind]
    events = np.zeros(most, EVENT_DTYPE)
    events["x"] = rng.integers(0, width, most)
    events["y"] = rng.integers(0, height, most)
    events["on"] = rng.integers(0, 2, most)
    events["t"] = np.sort(rng.integers(0, max_steps * DT_US, most))
    return events


def dense_spikes(network: Network, result: Result) -> list[NDArray[np.bool_]]:
    """The recorded spikes of each layer as (steps, *layer shape), as the reference gives them."""
    assert result.spikes is not None
    shapes = [
        network.shapes[i + 1]
        for i, layer in enumerate(network.layers)
        if isinstance(layer, Dense | Conv2d)
    ]
    dense = []
    for shape, spikes in zip(shapes, result.spikes, strict=True):
        full = shape if len(shape) == 3 else (shape[0], 1, 1)
        layer = np.zeros((result.steps, *full), np.bool_)
        assert not layer[tuple(spikes.T)].any()
        layer[tuple(spikes.T)] = True
        assert layer.sum() == len(spikes), "a neuron spiked twice in a timestep"
        dense.append(layer.reshape(result.steps, *shape))
    return dense
