"""One recording on several threads: the same spikes, counts and membranes, bit for bit."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, recordings, some_layout

import eventsim as es
from eventsim.clocked import run, sample
from eventsim.clocked.cpu import team
from eventsim.wiring import populations


def assert_same(one: es.Result, other: es.Result) -> None:
    assert one.operations == other.operations
    for name in ("spike_counts", "first_spikes", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.spikes is None) == (other.spikes is None)
    for mine, theirs in zip(one.spikes or (), other.spikes or (), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(data=st.data())
@settings(max_examples=60)
def test_threads_change_nothing(data: Any) -> None:
    network = data.draw(networks(dyadic=False))
    events = data.draw(recordings(network))
    given: Any = events
    if data.draw(st.booleans()):
        given = on_the_grid(network, events)
    with some_layout(data):
        one, three = (run.run_recording(network, given, threads=threads) for threads in (1, 3))
    assert_same(one, three)


def on_the_grid(network: es.Network, events: Any) -> es.BinnedEvents:
    return es.bin_events(
        events, network.input_shape, network.dt_us, network.steps, encoding=network.input_encoding
    )


NEURONS = {
    "LIF": es.LIF(0.8, 0.4),
    "LIF that subtracts": es.LIF(0.9, 0.3, "subtract"),
}


@pytest.mark.parametrize(
    ("neuron", "binned"), [("LIF", False), ("LIF that subtracts", False), ("LIF", True)]
)
def test_threads_that_do_help_change_nothing(neuron: str, binned: bool) -> None:
    """Repeated until a helper was there in time to run some sites."""
    rng = np.random.default_rng(0)

    def conv(inputs: int) -> es.Conv2d:
        return es.Conv2d(
            rng.normal(0.02, 0.2, (16, inputs, 3, 3)), rng.normal(0, 0.02, 16), padding=1,
            neuron=NEURONS[neuron],
        )  # fmt: skip

    count, size = 40_000, 24
    events = es.make_events(
        np.sort(rng.integers(0, 200_000, count)), rng.integers(0, size, count),
        rng.integers(0, size, count), rng.integers(0, 2, count),
    )  # fmt: skip
    network = es.Network((2, size, size), 1000, [conv(2), conv(16), conv(16)])
    given = on_the_grid(network, events) if binned else events
    teams: list[team.Team] = []

    def new_team(*arguments: Any) -> Any:
        made = team.new_team(*arguments)
        teams.append(made[0])
        return made

    with (
        patch.dict(populations.ROWS_A_RUN, changes=0, stays=0),
        patch.object(populations, "MAP_WIDTH", 16),
        patch.object(sample, "new_team", new_team),
    ):
        one = es.simulate(network, given, record_spikes=True)
        for _ in range(100):
            several = run.run_recording(network, given, record_spikes=True, threads=3)
            assert_same(one, several)
            if teams[-1].visited.any():  # of a helper, in the last layer's last timesteps
                return
    pytest.fail("no helper took any site in 100 runs")


def test_more_threads_than_the_machine_has_are_refused() -> None:
    network = es.Network((1, 1, 1), 1000, [es.Flatten(), es.Dense([[1.0]], neuron=es.IF(0.5))])
    threads = es.available_threads() + 1
    with pytest.raises(es.EventsimError, match=f"threads is {threads}, expected 1 to"):
        es.simulate(network, es.make_events([0], [0], [0], [1]), threads=threads)
