"""Gathering: the same membranes and counts as by every other way, bit for bit."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import eventsim as es
from eventsim.clocked.cpu import layer as cpu
from eventsim.clocked.cpu.state import clear, new_outcome, new_state
from eventsim.events.stretches import Stretch
from eventsim.wiring import populations, runs, wire
from eventsim.wiring.program import Population

STEPS = 4


def run(
    network: es.Network, binned: es.BinnedEvents, expected: list[bool], gathering: bool = True
) -> tuple[Any, Any]:
    """Return membranes and counts after all timesteps; `expected` says which layers gather.

    Without `gathering` none does.
    """
    with (
        patch.object(runs, "WIDTHS", runs.WIDTHS if gathering else ()),
        patch.object(populations, "MAP_WIDTH", 16),
        patch.dict(populations.ROWS_A_RUN, changes=0, stays=0),
    ):
        program = wire.wire(network)
    assert [bool(row[Population.width] > 0) for row in program.populations] == expected
    state, outcome = new_state(program), new_outcome(program)
    clear(program, state)
    cpu.begin_stretch(program, state, 0)
    recording = Stretch(binned.pointers, binned.cells, binned.values)
    cpu.take_in(program, state, recording, 0, binned.steps)
    for number in range(len(program.populations)):
        cpu.run_layer(program, number, state, None, 0, binned.steps, outcome)
    return state.membranes[: program.neurons].copy(), outcome.counters


def binned_events(activity: float, seed: int, size: int) -> es.BinnedEvents:
    rng = np.random.default_rng(seed)
    events = np.zeros(int(activity * STEPS * 2 * size**2), es.EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, STEPS * 1000, len(events)))
    for field, below in (("x", size), ("y", size), ("on", 2)):
        events[field] = rng.integers(0, below, len(events))
    return es.bin_events(events, (2, size, size), 1000, STEPS, start_us=0)


def normal(rng: np.random.Generator, *shape: int) -> NDArray[Any]:
    weights: NDArray[Any] = rng.normal(0.02, 0.2, shape).astype(np.float32)
    return weights


NEURONS = [
    es.LIF(0.7, 0.3),
    es.LIF(0.7, 0.3, "subtract"),
    es.IF(0.3),
    es.IF(0.3, "subtract", spikes="many", comparison=">="),
    es.LIF(0.7, 0.3, refractory=1),
    es.CUBALIF(0.6, 0.7, 0.3),
    es.ALIF(0.7, 0.3, 0.5, 0.1, "subtract"),
]


@given(
    channels=st.sampled_from([1, 7, 16, 24, 32, 48, 60, 64, 128, 135]),
    activity=st.sampled_from([0.0, 0.05, 0.5, 3.0]),
    neuron=st.sampled_from(NEURONS),
    biased=st.sampled_from([0.0, 0.02, 1.0]),  # the small ones carry nobody over the threshold
    pooled=st.sampled_from([0, 1, 2]),
    stride=st.integers(1, 2),
    half=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_same_bits_with_and_without(
    channels: int, activity: float, neuron: Any, biased: float, pooled: int, stride: int,
    half: bool, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    first = es.Conv2d(normal(rng, 16, 2, 3, 3), padding=1, neuron=neuron)
    bias = biased * normal(rng, channels) if biased else None
    second = es.Conv2d(normal(rng, channels, 16, 3, 3), bias, stride=stride, neuron=neuron)
    pools = [es.AvgPool2d(2, stride=pooled)] if pooled else []
    network = es.Network((2, 9, 9), 1000, [first, *pools, second])
    if half:
        network = es.round_weights(network, "float16")
    binned = binned_events(activity, seed, 9)
    of_runs = pooled != 1  # not where windows overlap: a position would reach a site twice
    one_site = pooled == 2 and stride == 2  # its rows are filled up
    plain = neuron.plain
    gathers = [plain, ((channels % 16 == 0 and plain) or one_site) and of_runs]
    listed, counts = run(network, binned, [False, False], gathering=False)
    gathered, gathered_counts = run(network, binned, gathers)
    np.testing.assert_array_equal(gathered, listed)
    np.testing.assert_array_equal(gathered_counts, counts)


def test_what_a_layer_sends_itself_is_not_missed_at_the_turn_of_a_stretch() -> None:
    """Its own spikes of a stretch are not there yet when that begins."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        dense = es.Dense(
            rng.normal(0.4, 0.6, (8, 4)), recurrent=rng.normal(-0.1, 0.4, (8, 8)),
            neuron=es.LIF(0.5, 0.5),
        )  # fmt: skip
        count = int(rng.integers(1, 40))
        events = es.make_events(
            np.sort(rng.integers(0, 30_000, count)), rng.integers(0, 4, count), [0] * count,
            [1] * count,
        )  # fmt: skip
        found = []
        for stretch in (wire.LONGEST_STRETCH, 3, 1):
            with patch.object(wire, "LONGEST_STRETCH", stretch):
                network = es.Network((1, 1, 4), 1000, [es.Flatten(), dense])
                found.append(es.simulate(network, events).operations)
        assert found[0] == found[1] == found[2]


def test_behind_more_spikes_than_32_bits_can_number_a_map_scatters() -> None:
    """A delay may remember all neurons of millions of timesteps; what is not emitted is free."""
    for delay, width in ((2, 64), (2**20, 0)):
        first = es.Conv2d(np.ones((16, 2, 3, 3)), neuron=es.LIF(0.5, 0.5))
        second = es.Conv2d(np.ones((64, 16, 3, 3)), neuron=es.LIF(0.5, 0.5))
        network = es.Network((2, 14, 14), 1000, [first, es.Delay(delay), second])
        assert wire.wire(network).populations[1, Population.width] == width


def test_a_map_of_many_silent_sites_is_noted_at_once() -> None:
    """More sites than visits are noted at a time, hardly one of which a spike reaches."""
    conv = es.Conv2d(np.ones((16, 1, 1, 1)), neuron=es.LIF(0.5, 0.5))
    network = es.Network((1, 140, 140), 1000, [conv])
    events = es.make_events([0, 5000], [3, 139], [5, 139], [1, 1])
    binned = es.bin_events(events, network.input_shape, 1000)
    listed, counts = run(network, binned, [False], gathering=False)
    gathered, gathered_counts = run(network, binned, [True])
    np.testing.assert_array_equal(gathered, listed)
    np.testing.assert_array_equal(gathered_counts, counts)


def test_a_fully_connected_layer_behind_a_whole_sensor_takes_little_memory() -> None:
    weight = np.full((2, 2 * 480 * 640), 0.25, np.float32)
    network = es.Network((2, 480, 640), 1000, [es.Flatten(), es.Dense(weight, neuron=es.IF(1.0))])
    program = wire.program_of(network)
    assert 4 * program.visit_rows < 2**28
    result = es.simulate(network, es.make_events(range(8), range(8), range(8), [1] * 8))
    assert result.spike_counts.tolist() == [1, 1]


def test_a_network_has_arrays_for_what_it_needs() -> None:
    """What is None is not compiled for: see `new_state`."""

    def state_of(*layers: es.Dense | es.Conv2d | es.Flatten, encoding: Any = "binary") -> Any:
        return new_state(wire.wire(es.Network((2, 8, 8), 1000, layers, input_encoding=encoding)))

    rng = np.random.default_rng(0)
    plain = es.LIF(0.3, 0.3)
    conv = es.Conv2d(normal(rng, 8, 2, 3, 3), padding=1, neuron=plain)
    flat = state_of(es.Flatten(), es.Dense(normal(rng, 5, 128), neuron=plain))
    assert flat.touched is None
    assert flat.pooled is None
    assert flat.position_words is None
    for state in (flat, state_of(conv)):
        assert state.inputs is None
        assert state.noted.values is None
    assert state_of(conv).touched is not None
    adaptive = es.ALIF(0.3, 0.3, 0.5, 0.1)
    general = state_of(es.Conv2d(normal(rng, 8, 2, 3, 3), neuron=adaptive))
    graded = state_of(conv, encoding="counts")
    for state in (general, graded):
        assert state.inputs is not None
        assert state.noted.values is not None


def test_a_layer_that_scatters_behind_one_that_gathers_finds_its_inputs_empty() -> None:
    rng = np.random.default_rng(1)
    adaptive = es.ALIF(0.5, 0.3, 0.5, 0.1)
    layers = [
        es.Conv2d(normal(rng, 8, 2, 8, 8), neuron=adaptive),
        es.Conv2d(normal(rng, 6, 4, 1, 1), groups=2, neuron=adaptive),
    ]
    network = es.Network((2, 8, 8), 1000, layers, steps=STEPS)
    binned = binned_events(0.5, 0, 8)
    membranes, counters = run(network, binned, [True, False])
    expected, counted = run(network, binned, [False, False], gathering=False)
    np.testing.assert_array_equal(membranes, expected)
    np.testing.assert_array_equal(counters, counted)
