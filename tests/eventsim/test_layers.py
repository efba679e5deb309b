"""Layers against torch's own, and their sparse form against their dense one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eventsim.errors import NetworkError
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d, SumPool2d
from eventsim.network.projections import Projection

NEURON = LIF(0.5, 1.0)
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 9)


def numbers(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed, it comes with [train]")


def in_torch(torch: Any, array: NDArray[Any] | None) -> Any:
    return None if array is None else torch.tensor(array, dtype=torch.float64)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv2d, NDArray[np.float64]]:
    """A convolution and an input whose size it fits."""
    groups = draw(st.integers(1, 3))
    outputs, inputs = groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    seed = draw(SEEDS)
    layer = Conv2d(
        numbers(seed, outputs, inputs, *draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))),
        numbers(seed + 1, outputs) if draw(st.booleans()) else None,
        stride=draw(pair),
        padding=draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        dilation=draw(pair),
        groups=groups,
        neuron=NEURON,
    )
    x = numbers(seed + 2, groups * inputs, draw(SIZES), draw(SIZES)).astype(np.float64)
    try:
        layer.output_shape(x.shape)
    except NetworkError:
        assume(False)
    return layer, x


def dense_input(layer: Conv2d | Dense, x: NDArray[np.float64]) -> NDArray[np.float64]:
    u = np.zeros(layer.output_shape(x.shape))
    layer.add_bias(u)
    layer.add_input(u, x)
    return u


# --- the same as torch ----------------------------------------------------------------------------


@given(example=convolutions())
def test_conv2d_is_that_of_torch(torch: Any, example: tuple[Conv2d, NDArray[Any]]) -> None:
    layer, x = example
    expected = torch.nn.functional.conv2d(
        in_torch(torch, x)[None],
        in_torch(torch, layer.weight),
        in_torch(torch, layer.bias),
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    )[0]
    np.testing.assert_allclose(dense_input(layer, x), expected.numpy(), rtol=0, atol=1e-12)


@given(seed=SEEDS, shape=st.tuples(SIZES, SIZES, SIZES), outputs=SIZES, biased=st.booleans())
def test_flatten_and_dense_are_those_of_torch(
    torch: Any, seed: int, shape: tuple[int, int, int], outputs: int, biased: bool
) -> None:
    x = numbers(seed, *shape).astype(np.float64)
    weight = numbers(seed + 1, outputs, x.size)
    layer = Dense(weight, numbers(seed + 2, outputs) if biased else None, neuron=NEURON)
    flat = Flatten().forward(x)
    assert flat.shape == Flatten().output_shape(shape)
    expected = torch.nn.functional.linear(
        torch.flatten(in_torch(torch, x)),
        in_torch(torch, layer.weight),
        in_torch(torch, layer.bias),
    )
    np.testing.assert_allclose(dense_input(layer, flat), expected.numpy(), rtol=0, atol=1e-11)


@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 3), SIZES, SIZES),
    kernel=st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.none() | st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_pools_are_those_of_torch(
    torch: Any, seed: int, shape: tuple[int, int, int], kernel: Any, stride: Any
) -> None:
    """Rows and columns that no window covers are cut, as torch cuts them."""
    height, width = np.broadcast_to(kernel, 2)
    assume(height <= shape[1] and width <= shape[2])
    x = numbers(seed, *shape).astype(np.float64)
    functional, dense = torch.nn.functional, in_torch(torch, x)[None]
    average = functional.avg_pool2d(dense, kernel, stride)[0].numpy()
    for pool, expected in (
        (AvgPool2d(kernel, stride), average),
        (SumPool2d(kernel, stride), average * (height * width)),
        (MaxPool2d(kernel, stride), functional.max_pool2d(dense, kernel, stride)[0].numpy()),
    ):
        assert pool.output_shape(shape) == expected.shape
        np.testing.assert_allclose(pool.forward(x), expected, rtol=0, atol=1e-13)


# --- the sparse form and the dense one ------------------------------------------------------------


def scatter(layer: Conv2d | Dense, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum weight rows input by input, by `reach` and `rows`; (channels, sites)."""
    channels, height, width = x.shape
    (pointers, targets, taps), sites = layer.reach(height, width)
    rows = layer.rows()
    first, stride = layer.addresses(taps, Projection(-1, channels, (height, width)), channels)
    per_group = channels // layer.groups
    u = np.zeros((sites, layer.groups, rows.shape[1]))
    for position, column in enumerate(x.reshape(channels, -1).T):
        for entry in range(pointers[position], pointers[position + 1]):
            for channel, value in enumerate(column):
                row = rows[first[entry] + channel * stride]
                u[targets[entry], channel // per_group] += value * row
    return u.reshape(sites, -1).T


@given(example=convolutions())
@settings(max_examples=60)
def test_reach_and_rows_of_conv2d_sum_to_its_dense_form(
    example: tuple[Conv2d, NDArray[Any]],
) -> None:
    layer, x = example
    unbiased = Conv2d(**{**vars(layer), "bias": None})
    dense = dense_input(unbiased, x)
    np.testing.assert_allclose(scatter(layer, x), dense.reshape(len(dense), -1), atol=1e-12)


@given(seed=SEEDS, shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=30)
def test_reach_and_rows_of_dense_sum_to_its_dense_form(
    seed: int, shape: tuple[int, int, int]
) -> None:
    x = numbers(seed, *shape).astype(np.float64)
    layer = Dense(numbers(seed + 1, 4, x.size), neuron=NEURON)
    expected = dense_input(layer, Flatten().forward(x))
    np.testing.assert_allclose(scatter(layer, x)[:, 0], expected, atol=1e-12)


@given(
    shape=st.tuples(st.integers(1, 2), SIZES, SIZES),
    first=st.integers(1, 3),
    second=st.integers(1, 3),
    stride=st.integers(1, 3),
    seed=SEEDS,
)
def test_a_chain_of_reaches_is_one_pool_after_the_other(
    shape: tuple[int, int, int], first: int, second: int, stride: int, seed: int
) -> None:
    near, far = SumPool2d(first, stride), SumPool2d(second)
    try:
        between = near.output_shape(shape)
        outcome = far.output_shape(between)
    except NetworkError:
        assume(False)
    x = numbers(seed, *shape).astype(np.float64)
    source = Projection(-1, shape[0], shape[1:])
    for pool, into in ((near, shape), (far, between)):
        (source,) = pool.pass_on([(source,)], [into], 0)
    pointers, targets, _ = source.linear
    summed = np.zeros((shape[0], outcome[1] * outcome[2]))
    for position, column in enumerate(x.reshape(shape[0], -1).T):
        for target in targets[pointers[position] : pointers[position + 1]]:
            summed[:, target] += column
    np.testing.assert_allclose(
        summed.reshape(outcome), far.forward(near.forward(x)), rtol=0, atol=1e-12
    )
