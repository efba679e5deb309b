"""Energy models of the package, and what they make of counts."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import eventsim as es
from eventsim.energy.model import ARITHMETIC
from eventsim.errors import EventsimError
from eventsim.operations import CountedLayer
from eventsim_bridge.counting import RecurrentLayerOperations, count_operations, footprint
from eventsim_bridge.models import RecurrentNetwork

GATHER, SCATTER, BOUND = (
    es.load_energy_model(f"45nm-{name}") for name in ("gather", "scatter", "arithmetic")
)
SMALL = es.Footprint(weights=2048, state=2048)  # 8 kB each: 5 pJ an access


def counts(kind: type[CountedLayer], **given: int) -> Any:
    """A layer in which everything is 0 but what is given."""
    zeros = {field.name: 0 for field in fields(kind) if field.name != "name"}
    return kind("layer", **zeros | given)  # type: ignore[arg-type]


def test_machines_are_those_of_horowitz() -> None:
    assert BOUND.prices["acs"] == pytest.approx(0.9)
    assert BOUND.prices["macs"] == pytest.approx(0.9 + 3.7)
    assert BOUND.integer_prices["acs"] == pytest.approx(0.1)
    assert BOUND.integer_prices["macs"] == pytest.approx(0.1 + 0.2)
    assert GATHER.integer_prices == SCATTER.integer_prices == BOUND.integer_prices
    assert BOUND.memory is None
    assert GATHER.prices == SCATTER.prices == BOUND.prices
    assert GATHER.memory == replace(SCATTER.memory, membranes="update")  # type: ignore[type-var]
    dram = es.load_energy_model("45nm-gather-dram")
    assert dram.memory == replace(GATHER.memory, weights="dram")  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("size", "pj"),
    [
        (2**13, 5.0), (2**15, 10.0), (2**20, 50.0),  # the points themselves
        (2**14, 5 * 2**0.5),  # from 5 to 10 over four times the bytes: a square root
        (2**11, 2.5),
        (2**25, 50 * 5.0),  # 32 times 1 MB, as 1 MB is 32 times 32 kB
    ],
)  # fmt: skip
def test_memory_costs_more_the_more_it_holds(size: int, pj: float) -> None:
    assert GATHER.memory is not None
    assert GATHER.memory.access(size) == pytest.approx(pj)


@given(st.integers(0, 2**40), st.floats(1.0, 1.1))
def test_memory_has_no_steps(size: int, factor: float) -> None:
    assert GATHER.memory is not None
    before, after = GATHER.memory.access(size), GATHER.memory.access(size * factor)
    assert before <= after <= 1.1 * before


@pytest.mark.parametrize(
    ("count", "arithmetic", "of_integers", "traffic"),
    [
        ("acs", 0.9, 0.1, 5.0),  # each reads a weight of 32 bits
        ("macs", 0.9 + 3.7, 0.1 + 0.2, 5.0),
        ("bias_adds", 0.9, 0.1, 5.0),
        ("updates", 0.0, 0.0, 10.0),  # a variable read and written
        ("site_updates", 0.0, 0.0, 10.0),
        ("decays", 3.7, 3.1, 0.0),
        ("compares", 0.9, 0.1, 0.0),
        ("resets", 0.0, 0.0, 0.0),
        ("input_events", 0.0, 0.0, 0.0),
        ("output_spikes", 0.0, 0.0, 0.0),
        ("dense_macs", 0.0, 0.0, 0.0),
        ("dense_updates", 0.0, 0.0, 0.0),
        ("recurrent_macs", 0.9 + 3.7, 0.1 + 0.2, 5.0),
        ("sigmoids", 0.9 + 3.7, 0.1 + 3.1, 10.0),
        ("tanhs", 0.9 + 3.7, 0.1 + 3.1, 10.0),
        ("multiplies", 3.7, 3.1, 0.0),
        ("adds", 0.9, 0.1, 0.0),
        ("pool_adds", 0.9, 0.1, 0.0),
        ("pool_compares", 0.9, 0.1, 0.0),
        ("recurrent_dense_macs", 0.0, 0.0, 0.0),
    ],
)
def test_what_one_of_each_count_takes(
    count: str, arithmetic: float, of_integers: float, traffic: float
) -> None:
    """Every count of both kinds of layer, with all memory in 8 kB."""
    kinds = [
        kind
        for kind in (es.LayerOperations, RecurrentLayerOperations)
        if count in {field.name for field in fields(kind)}
    ]
    assert kinds
    # Event by event, a synaptic operation reads and writes its membrane as well.
    membrane = 10.0 if count in ("acs", "macs", "recurrent_macs") else 0.0
    for kind in kinds:
        layer = counts(kind, **{count: 1000})
        assert es.energy_of(layer, SMALL, BOUND) == pytest.approx(1000 * arithmetic)
        narrow = replace(SMALL, weight_bits=8, integers=True)
        assert es.energy_of(layer, narrow, BOUND) == pytest.approx(1000 * of_integers)
        gathered = es.energy_of(layer, SMALL, GATHER)
        assert gathered == pytest.approx(1000 * (arithmetic + traffic))
        scattered = es.energy_of(layer, SMALL, SCATTER)
        assert scattered == pytest.approx(1000 * (arithmetic + traffic + membrane))


def test_no_count_is_forgotten() -> None:
    both = {f.name for kind in (es.LayerOperations, RecurrentLayerOperations) for f in fields(kind)}
    free = {
        "name", "input_events", "output_spikes", "resets", "updates", "site_updates", "dense_macs",
        "dense_updates", "recurrent_dense_macs",
    }  # fmt: skip
    assert set(ARITHMETIC) == both - free


def test_weights_are_charged_at_their_width() -> None:
    layer = counts(es.LayerOperations, acs=1000)
    narrow = es.energy_of(layer, es.Footprint(8192, 1, weight_bits=8), GATHER)  # 8 kB again
    assert narrow == pytest.approx(1000 * (0.9 + 5.0 / 4))


def test_narrow_weights_in_float32_membranes_change_no_arithmetic() -> None:
    layer, narrow = counts(es.LayerOperations, acs=1000, macs=10), replace(SMALL, weight_bits=8)
    assert es.energy_of(layer, narrow, BOUND) == es.energy_of(layer, SMALL, BOUND)


@pytest.mark.parametrize("name", [n for n in es.energy_model_names() if "45nm" not in n])
def test_a_chip_has_the_width_that_it_has(name: str) -> None:
    model, layer = es.load_energy_model(name), counts(es.LayerOperations, acs=1000)
    narrow = replace(SMALL, weight_bits=8, integers=True)
    assert es.energy_of(layer, narrow, model) == es.energy_of(layer, SMALL, model)


def test_weights_beside_the_chip() -> None:
    dram = es.load_energy_model("45nm-gather-dram")
    layer = counts(es.LayerOperations, acs=1000, updates=10)
    expected = 1000 * (0.9 + 650.0) + 2 * 10 * 5.0
    assert es.energy_of(layer, SMALL, dram) == pytest.approx(expected)


def test_loihi_charges_every_neuron_in_every_timestep() -> None:
    layer = counts(
        es.LayerOperations, acs=1000, compares=100, decays=100, output_spikes=7, dense_updates=400
    )
    assert layer.idle_updates == 300
    expected = 1000 * 23.6 + 100 * 81 + 300 * 52 + 7 * 1.7
    assert es.energy_of(layer, SMALL, es.load_energy_model("loihi")) == pytest.approx(expected)


@pytest.mark.parametrize("name", [n for n in es.energy_model_names() if "45nm" not in n])
def test_no_chip_says_what_it_does_not_do(name: str) -> None:
    model = es.load_energy_model(name)
    assert es.energy_of(counts(es.LayerOperations, acs=1), SMALL, model) > 0
    with pytest.raises(
        EventsimError, match=f"{name} has no price for macs, of which 'layer' has 3"
    ):
        es.energy_of(counts(es.LayerOperations, macs=3), SMALL, model)
    with pytest.raises(EventsimError, match="has no price for tanhs"):
        es.energy_of(counts(RecurrentLayerOperations, tanhs=1), SMALL, model)


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=12, max_size=12), min_size=1, max_size=4))
def test_the_total_is_the_sum_of_the_layers(rows: list[list[int]]) -> None:
    operations = es.Operations(tuple(es.LayerOperations("layer", *row) for row in rows))
    for model in (BOUND, GATHER, SCATTER):
        total = es.energy_of(operations.total, SMALL, model)
        layers = [es.energy_of(layer, SMALL, model) for layer in operations.layers]
        assert total == pytest.approx(math.fsum(layers))


def test_an_lstm_by_hand() -> None:
    """One unit, one input, two timesteps: every operation written out."""
    model = RecurrentNetwork("1FC-1", (1, 1, 1), cell="lstm")
    (counted,) = count_operations(model, torch.ones(1, 2, 1, 1, 1), loss="last")
    acs, macs, bias_adds = 2 * 4, 4 + 1, 2 * 4 + 1
    activations, multiplies, adds = 2 * 5, 2 * 3, 2
    bound = 0.9 * (acs + macs + bias_adds + activations + adds)
    bound += 3.7 * (macs + activations + multiplies)
    assert es.energy_of(counted.total, footprint(model), BOUND) == pytest.approx(bound)
    size = footprint(model)
    assert GATHER.memory is not None
    weight, state = (GATHER.memory.access(4 * words) for words in (size.weights, size.state))
    moved = (acs + macs + bias_adds) * weight + 2 * 2 * 2 * state  # h and c, read and written
    expected = bound + moved + 5.0 * 2 * activations
    assert es.energy_of(counted.total, size, GATHER) == pytest.approx(expected)


def test_footprint_of_a_network() -> None:
    rng = np.random.default_rng(0)
    current = es.CUBALIF(decay=0.5, current_decay=0.5, threshold=1.0, refractory=2)
    layers = [
        es.Conv2d(
            rng.normal(size=(6, 1, 3, 3)), bias=np.zeros(6), groups=2, neuron=es.LIF(0.5, 1.0)
        ),
        es.AvgPool2d(2),
        es.Flatten(),
        es.Dense(rng.normal(size=(5, 24)), recurrent=np.ones((5, 5)), neuron=current),
    ]
    found = es.footprint(es.Network((2, 6, 6), 1000, layers))
    assert found.weights == 6 * 9 + 6 + 5 * 24 + 5 * 5
    # membranes and sites of both groups; membrane, current, held time of 5 neurons, and their site
    assert found.state == 6 * 16 + 2 * 16 + 3 * 5 + 1
