"""Narrower weights: the nearest number that the type holds, nothing else changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from random_networks import networks

import eventsim as es
from eventsim.network.rounding import WEIGHT_TYPES
from eventsim.vectors import widens_float16
from eventsim.wiring.wire import wire

FLOATS = st.floats(-60000, 60000, width=32)


def dense(weight: Any, recurrent: Any = None) -> es.Network:
    layer = es.Dense(weight, recurrent=recurrent, neuron=es.LIF(0.5, 1.0))
    return es.Network((1, 1, np.shape(weight)[1]), 1000, [es.Flatten(), layer])


def weight_of(network: es.Network) -> Any:
    layer: Any = network.layers[-1]
    return layer.weight


@given(hnp.arrays(np.float32, (3, 4), elements=FLOATS))
def test_float16_and_bfloat16_are_rounded_as_torch_rounds_them(weight: Any) -> None:
    network = dense(weight)
    for to in ("float16", "bfloat16"):
        expected = torch.tensor(weight).to(getattr(torch, to)).float().numpy()
        np.testing.assert_array_equal(weight_of(es.round_weights(network, to)), expected)


@given(hnp.arrays(np.float32, (3, 4), elements=FLOATS))
def test_int8_is_the_nearest_of_255_multiples_of_one_step(weight: Any) -> None:
    rounded = weight_of(es.round_weights(dense(weight), "int8")).astype(np.float64)
    step = np.abs(weight).max().astype(np.float64) / 127
    assert len(np.unique(rounded)) <= 255
    assert np.abs(rounded - weight).max() <= step * (0.5 + 1e-5)
    if step > 1e-30:
        np.testing.assert_allclose(rounded / step, np.rint(rounded / step), atol=1e-4)


def test_all_else_stays() -> None:
    rng = np.random.default_rng(0)
    network = dense(rng.normal(size=(3, 4)), rng.normal(size=(3, 3)))
    for to in WEIGHT_TYPES:
        rounded: Any = es.round_weights(network, to)
        before: Any = network.layers[-1]
        assert rounded.layers[-1].neuron == before.neuron
        assert (rounded.layers[-1].recurrent != before.recurrent).any()
        assert (rounded.input_shape, rounded.dt_us) == (network.input_shape, network.dt_us)
        again = es.round_weights(rounded, to)
        np.testing.assert_allclose(weight_of(again), weight_of(rounded), rtol=1e-6)


@given(networks(dyadic=False))
def test_rounding_fits_any_network(network: es.Network) -> None:
    for to in WEIGHT_TYPES:
        assert es.round_weights(network, to).shapes == network.shapes


def test_weights_that_float16_holds_are_stored_in_it() -> None:
    network = dense(np.random.default_rng(0).normal(size=(3, 4)))
    assert wire(network).weights.dtype == np.float32
    narrow = wire(es.round_weights(network, "float16")).weights
    assert narrow.dtype == (np.uint16 if widens_float16() else np.float32)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(es.EventsimError, match="weight has 70000, expected numbers that float16"):
        es.round_weights(dense([[70000.0]]), "float16")
    with pytest.raises(es.EventsimError, match="'int4', expected one of"):
        es.round_weights(dense([[1.0]]), "int4")  # type: ignore[arg-type]
