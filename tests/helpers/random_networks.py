"""Random networks and recordings for hypothesis, and dense arrays from what the engine returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from eventsim.errors import NetworkError
from eventsim.events.arrays import EVENT_DTYPE
from eventsim.network.graph import READOUTS, Network, leaving
from eventsim.network.layers import Conv1d, Conv2d, Dense, Layer, WeightLayer
from eventsim.network.neurons import ALIF, CUBALI, CUBALIF, IF, LI, LIF, FixedCUBALIF, Neuron
from eventsim.network.neurons.neuron import LATE, Reset
from eventsim.network.pathways import Add, Concatenate, Delay, Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d, SumPool2d, Upsample
from eventsim.network.projections import Signal
from eventsim.result import Result
from eventsim.simulator import simulate
from eventsim.wiring import arrays, populations, runs

DT_US = 1000


def _weights(rng: np.random.Generator, shape: tuple[int, ...], dyadic: bool) -> NDArray[Any]:
    """Dyadic: multiples of 1/16, whose sums and halves float32 holds exactly."""
    if dyadic:
        return rng.integers(-12, 17, shape) / 16.0
    return rng.normal(0.1, 0.4, shape)


@st.composite
def plain_neurons(draw: st.DrawFn, dyadic: bool) -> Neuron:
    """LIF and IF with a decay, a threshold and a reset."""
    threshold = draw(st.integers(1, 24)) / 16.0 if dyadic else draw(st.floats(0.1, 1.5))
    reset = draw(st.sampled_from(["zero", "subtract"]))
    if draw(st.booleans()):
        return IF(threshold, reset)
    decay = draw(st.sampled_from([0.0, 0.5, 1.0]) if dyadic else st.floats(0.0, 1.0))
    return LIF(decay, threshold, reset)


@st.composite
def trainable_neurons(draw: st.DrawFn, dyadic: bool, channels: int) -> Neuron:
    """What the bridge trains: each model, with numbers for the layer or for each channel."""

    def numbers(one: Any) -> Any:
        return draw(one | st.lists(one, min_size=channels, max_size=channels).map(tuple))

    kind = draw(st.sampled_from([LIF, IF, CUBALIF, ALIF]))
    levels = st.integers(1, 24).map(lambda n: n / 16.0) if dyadic else st.floats(0.1, 1.5)
    decays = st.sampled_from([0.0, 0.5, 1.0]) if dyadic else st.floats(0.0, 1.0)
    p = {"threshold": numbers(levels), "reset": draw(st.sampled_from(["zero", "subtract"]))}
    if kind is not IF:
        p["decay"] = numbers(decays)
    if kind is CUBALIF:
        p["current_decay"] = numbers(decays)
    if kind is ALIF:
        p |= {"adaptation_decay": numbers(decays), "adaptation": numbers(levels)}
    return kind(**p)


@st.composite
def neurons(draw: st.DrawFn, dyadic: bool, channels: int) -> Neuron:
    """Every model with every parameter, for the layer or for each channel."""
    if draw(st.booleans()):
        return draw(plain_neurons(dyadic))

    def values(least: int, most: int) -> Any:
        """Sixteenths from `least` to `most`."""
        one = st.integers(least, most).map(lambda n: n / 16.0)
        if not dyadic:
            one = st.floats(least / 16.0, most / 16.0, width=32)
        return draw(one | st.lists(one, min_size=channels, max_size=channels).map(tuple))

    def decays() -> Any:
        one = st.sampled_from([0.0, 0.5, 1.0]) if dyadic else st.floats(0.0, 1.0, width=32)
        return draw(one | st.lists(one, min_size=channels, max_size=channels).map(tuple))

    kind = draw(st.sampled_from([LIF, IF, CUBALIF, ALIF]))
    resets = ["zero", "value", "subtract"] if kind is ALIF else get_args(Reset)
    reset = draw(st.sampled_from(resets))
    p: dict[str, Any] = {
        "threshold": values(5, 24),
        "reset": reset,
        "rest": values(-8, 4) if draw(st.booleans()) else 0.0,
        "reset_value": values(-16, 4) if reset == "value" else 0.0,
        "refractory": 0 if reset in LATE else draw(st.sampled_from([0, 0, 1, 2, 5])),
        "comparison": draw(st.sampled_from([">", ">="])),
    }
    if kind is not IF:
        p["decay"] = decays()
        p["input_gain"] = draw(st.sampled_from(["one", "one-minus-decay"]))
    if kind is CUBALIF:
        p["current_decay"] = decays()
    elif reset not in LATE and draw(st.booleans()):
        p["lower_bound"] = values(-30, -17)
    if kind is ALIF:
        p |= {"adaptation_decay": decays(), "adaptation": values(0, 16)}
    elif p["comparison"] == ">=" and reset not in LATE and draw(st.booleans()):
        p["spikes"] = "many"
    return kind(**p)


@st.composite
def fixed_neurons(draw: st.DrawFn, channels: int) -> FixedCUBALIF:
    """Whole numbers, for the layer or for each channel; some reach the bounds of 24 bits."""

    def values(one: Any) -> Any:
        return draw(one | st.lists(one, min_size=channels, max_size=channels).map(tuple))

    decays = st.sampled_from([0, 4096]) | st.integers(0, 4096)
    thresholds = st.integers(0, 120) | st.integers(0, 2**17 - 1)
    exponent = draw(st.sampled_from([0, 0, 0, -6, 3, 7]))
    if draw(st.booleans()):  # all alike, and no current that flows on
        return FixedCUBALIF(4096, draw(decays), draw(thresholds), weight_exponent=exponent)
    return FixedCUBALIF(
        values(decays), values(decays), values(thresholds), weight_exponent=exponent,
        refractory=draw(st.sampled_from([0, 0, 1, 2, 5])),
    )  # fmt: skip


@st.composite
def pools(draw: st.DrawFn, kinds: list[type], dyadic: bool, padded: bool) -> Layer:
    kind = draw(st.sampled_from(kinds))
    size = st.sampled_from([1, 2, 4]) if dyadic and kind is AvgPool2d else st.integers(1, 3)
    kernel = draw(st.tuples(size, size) | size)
    more: dict[str, Any] = {"padding": draw(st.none() | st.integers(0, 2))} if padded else {}
    if kind is AvgPool2d and padded:
        more["divisor"] = draw(st.sampled_from([None, None, 1, 2, 8]))
    return kind(kernel, draw(st.none() | st.integers(1, 3)), **more)


class _Building:
    """A list of layers that grows while they fit."""

    def __init__(
        self, draw: st.DrawFn, dyadic: bool, pooled: bool, plain: bool, trainable: bool,
        by_four: bool, fixed: bool,
    ) -> None:  # fmt: skip
        self.fixed = fixed
        self.draw, self.dyadic, self.pooled, self.plain = draw, dyadic, pooled, plain
        self.trainable, self.by_four = trainable, by_four
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        size = st.integers(1, 8)
        self.input_shape: tuple[int, int, int] = (draw(st.integers(1, 2)), draw(size), draw(size))
        self.encoding = "binary" if by_four else draw(st.sampled_from(["binary", "counts"]))
        self.layers: list[Layer] = []
        self.signals = [Signal(self.input_shape)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.signals[-1].shape

    def add(self, layer: Layer) -> None:
        try:
            self.signals.append(leaving(len(self.layers), layer, self.signals))
        except NetworkError:
            return  # it does not fit this map: leave the layer out
        self.layers.append(layer)

    def weights(self, *shape: int) -> NDArray[Any]:
        if self.fixed:
            return self.rng.integers(*self.draw(st.sampled_from([(-40, 61), (-256, 256)])), shape)
        return _weights(self.rng, shape, self.dyadic)

    def parameters(self, outputs: int, square: bool) -> dict[str, Any]:
        """Bias, recurrence and neuron of a layer of so many outputs."""
        if self.fixed:
            neuron: Neuron = self.draw(fixed_neurons(outputs))
        elif self.trainable:
            neuron = self.draw(trainable_neurons(self.dyadic, outputs))
        elif self.plain:
            neuron = self.draw(plain_neurons(self.dyadic))
        else:
            neuron = self.draw(neurons(self.dyadic, outputs))
        p: dict[str, Any] = {"neuron": neuron}
        if self.draw(st.booleans()):
            p["bias"] = self.weights(outputs)
        if not self.plain and self.draw(st.integers(0, 3)) == 0:
            shapes = [(outputs,), (outputs, outputs)][: 1 + square]
            p["recurrent"] = self.weights(*self.draw(st.sampled_from(shapes)))
        return p

    def pools(self) -> None:
        sums = [SumPool2d] if self.fixed else [SumPool2d, AvgPool2d]
        for kinds in ([MaxPool2d], sums):
            for _ in range(self.draw(st.integers(0, 2)) if self.pooled else 0):
                if self.shape[-1] < 8 and self.draw(st.integers(0, 7)) == 0:
                    self.add(Upsample(self.draw(st.integers(1, 2) | st.just((1, 3)))))
                self.add(self.draw(pools(kinds, self.dyadic, not self.plain)))

    def ways(self) -> None:
        """Delays, and skip connections from layers before."""
        if self.plain:
            return
        here = len(self.layers) - 1
        kind = self.draw(st.sampled_from(["none", "none", "delay", "add", "concatenate"]))
        if kind == "delay":
            steps = st.integers(0, 4)
            channels = self.shape[0]
            each = st.lists(steps, min_size=channels, max_size=channels).map(tuple)
            self.add(Delay(self.draw(steps | each if channels < 20 else steps)))
        elif kind != "none" and here >= 0:
            other = self.draw(st.integers(-1, here))
            merge = Add if kind == "add" else Concatenate
            self.add(merge((here, other) if self.draw(st.booleans()) else (other, here)))

    def convolution(self) -> None:
        draw, (inputs, height, _) = self.draw, self.shape
        groups, outputs = 1, 4 * draw(st.integers(1, 3)) if self.by_four else 0
        if not self.by_four:
            groups = draw(st.sampled_from([g for g in (1, 2, 3, inputs) if inputs % g == 0]))
            outputs = groups * draw(st.integers(1, 9 if groups < 4 else 2))
            outputs = draw(st.just(outputs) | st.just(16)) if groups == 1 else outputs
        kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        geometry: dict[str, Any] = {
            "stride": draw(st.integers(1, 3)),
            "padding": (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
            "dilation": draw(st.integers(1, 2)),
        }
        if height == 1 and not self.plain and draw(st.booleans()):
            geometry["padding"] = geometry["padding"][1]
            weight = self.weights(outputs, inputs // groups, kernel[1])
            kind: Any = Conv1d
        else:
            weight, kind = self.weights(outputs, inputs // groups, *kernel), Conv2d
        self.add(kind(weight, **geometry, groups=groups, **self.parameters(outputs, False)))

    def dense(self) -> None:
        wide = st.sampled_from([64, 75, 130])  # a block of 64 at least, and what is left of it
        outputs = self.draw(st.integers(1, 20) | wide)
        weight = self.weights(outputs, self.shape[0])
        self.add(Dense(weight, **self.parameters(outputs, True)))


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    dyadic: bool,
    pooled: bool = True,
    plain: bool = False,
    trainable: bool = False,
    by_four: bool = False,
    fixed: bool = False,
) -> Network:
    """A few layers that fit: shapes, strides, paddings, groups, biases, neurons, pools, graphs.

    plain: a list without recurrence, delays and skips, of LIF and IF with numbers for the layer.
    trainable: such a list, with every neuron that the bridge trains.
    by_four: convolutions without groups, of 4, 8 or 12 channels, on binary input.
    fixed: every neuron and weight in fixed point.
    """
    plain = plain or trainable
    building = _Building(draw, dyadic, pooled, plain, trainable, by_four, fixed)
    for _ in range(draw(st.integers(0, 2))):
        building.ways()
        building.pools()
        building.convolution()
    layers = building.layers
    if not layers or not isinstance(layers[-1], WeightLayer) or draw(st.booleans()):
        building.pools()
        building.add(Flatten())
        for _ in range(draw(st.integers(1, 2))):
            building.ways()
            building.dense()
    readout = "spike-count" if plain else draw(st.sampled_from(READOUTS))
    if readout.endswith("membrane") and not fixed and draw(st.booleans()):
        decay, rest = draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.integers(-8, 8)) / 16.0
        current_decay = draw(st.sampled_from([None, 0.0, 0.5]))
        neuron = LI(decay, rest=rest)
        if current_decay is not None:
            neuron = CUBALI(current_decay, decay, rest=rest)
        layers[-1] = replace(layers[-1], neuron=neuron)
    try:
        return Network(
            building.input_shape, DT_US, layers, input_encoding=building.encoding, readout=readout
        )
    except NetworkError as error:
        assume("goes nowhere" not in str(error))  # a skip that leaves out the layer before it
        raise


@contextmanager
def some_layout(data: Any) -> Iterator[None]:
    """Lay networks out in one of the ways that must not matter.

    Weights that float16 holds are stored in it, or not; rows are gathered, many channels at a time
    or few, or only where much comes.
    """
    narrow = data.draw(st.booleans())
    rows = data.draw(st.sampled_from([0.0, 1.7]))
    widths = data.draw(st.sampled_from([(), runs.WIDTHS, (16,)]))
    of_maps = data.draw(st.sampled_from([16, populations.MAP_WIDTH]))
    beyond = data.draw(st.sampled_from([0, populations.BEYOND_CACHES]))
    chunk = data.draw(st.sampled_from([1, 3, populations.MOST_CHUNK]))
    with (
        patch.object(arrays, "widens_float16", lambda: narrow),
        patch.object(populations, "BEYOND_CACHES", beyond),
        patch.dict(populations.ROWS_A_RUN, changes=rows, stays=rows),
        patch.object(populations, "MOST_CHUNK", chunk),
        patch.object(populations, "MAP_WIDTH", of_maps),
        patch.object(runs, "WIDTHS", widths),
    ):
        yield


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


# Graded spikes that come back (`recurrent`, spikes "many") can grow a millionfold in ten timesteps.
# A recording has a row for each spike, and a test no room for 2^24 of a neuron in every timestep.
MOST_RECORDED = 10**6


def simulate_recorded(network: Network, events: NDArray[Any], **options: Any) -> Result:
    """Simulate and keep every spike; the example is left out where they are too many to keep."""
    result = simulate(network, events, **options)
    assume(result.operations.total.output_spikes <= MOST_RECORDED)
    return simulate(network, events, record_spikes=True, **options)


def dense_spikes(network: Network, result: Result) -> list[NDArray[np.int64]]:
    """The recorded spikes of each layer as (steps, *layer shape), as the reference gives them."""
    assert result.spikes is not None
    dense = []
    for index, spikes in zip(network.neuron_layers, result.spikes, strict=True):
        shape = network.shapes[index + 1]
        layer = np.zeros((result.steps, *(*shape, 1, 1)[:3]), np.int64)
        np.add.at(layer, tuple(spikes.T), 1)
        if network.layers[index].neuron.spikes == "one":
            assert layer.max(initial=0) <= 1, "a neuron spiked twice in a timestep"
        dense.append(layer.reshape(result.steps, *shape))
    return dense
