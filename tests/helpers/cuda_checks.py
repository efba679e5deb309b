"""The CUDA kernels against the CPU engine, wherever they run.

Not collected by itself. `test_ptx.py` runs it on a machine for PTX, and
`python -m eventsim_tools.bench.gpu` on a GPU.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, recordings, simulate_recorded

from eventsim.clocked.cuda import run as cuda_run
from eventsim.clocked.cuda.layout import lay_out
from eventsim.clocked.cuda.run import device_program
from eventsim.errors import EventsimError, NetworkError, RecordingError
from eventsim.events.arrays import make_events
from eventsim.events.spikes import from_spikes
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Delay, Flatten
from eventsim.network.pools import AvgPool2d, MaxPool2d
from eventsim.network.rounding import round_weights
from eventsim.result import Result
from eventsim.simulator import simulate, simulate_batch
from eventsim.wiring.wire import program_of

NETWORKS = int(os.environ.get("EVENTSIM_CHECKED_NETWORKS", "600"))


def check_same(found: Result, expected: Result) -> None:
    assert found.operations == expected.operations
    np.testing.assert_array_equal(found.spike_counts, expected.spike_counts)
    np.testing.assert_array_equal(found.first_spikes, expected.first_spikes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.steps == expected.steps
    assert found.spikes is not None
    assert expected.spikes is not None
    for mine, other in zip(found.spikes, expected.spikes, strict=True):
        np.testing.assert_array_equal(mine, other)


def compare(network: Network, events: Any) -> Result:
    """Run a recording on a GPU and on the CPU; return what both had."""
    found = simulate(network, events, record_spikes=True, device="cuda")
    check_same(found, simulate(network, events, record_spikes=True))
    return found


@given(data=st.data())
@settings(max_examples=NETWORKS)
def test_spikes_and_counts_are_those_of_the_cpu(data: Any) -> None:
    """Any network with any weights, in stretches of any length: every bit of what comes out."""
    options = st.fixed_dictionaries({"plain": st.booleans(), "by_four": st.booleans()})
    network = data.draw(networks(dyadic=False, **data.draw(options)))
    count = data.draw(st.integers(1, 3))
    several = [data.draw(recordings(network, max_steps=5)) for _ in range(count)]
    expected = [simulate_recorded(network, events) for events in several]
    with patch.object(cuda_run, "LONGEST_STRETCH", data.draw(st.sampled_from([1, 3, 4096]))):
        (results,) = cuda_run.run_on_gpu(network, several, record_spikes=True)
    for found, wanted in zip(results, expected, strict=True):
        check_same(found, wanted)


@given(data=st.data())
@settings(max_examples=NETWORKS // 20)
def test_fixed_point(data: Any) -> None:
    """Whole numbers that saturate; where a current overflows, the error of the CPU's run."""
    network = data.draw(networks(dyadic=True, fixed=True, plain=data.draw(st.booleans())))
    events = data.draw(recordings(network, max_steps=5))
    sentence, expected = "", None
    try:
        expected = simulate(network, events, record_spikes=True)
    except EventsimError as error:
        sentence = str(error)
    if expected is None:
        with pytest.raises(EventsimError, match=f"^{re.escape(sentence)}$"):
            simulate(network, events, device="cuda")
    else:
        check_same(simulate(network, events, record_spikes=True, device="cuda"), expected)


def small(readout: Any = "spike-count") -> Network:
    rng = np.random.default_rng(3)
    layers = [
        MaxPool2d(2),
        Conv2d(
            rng.normal(0.3, 0.4, (8, 2, 3, 3)),
            bias=rng.normal(0, 0.1, 8),
            padding=1,
            neuron=LIF(0.5, 0.4, "subtract"),
        ),
        AvgPool2d(2),
        Flatten(),
        Dense(rng.normal(0.1, 0.3, (70, 32)), neuron=LIF(0.5, 0.4), bias=rng.normal(0, 0.2, 70)),
        Dense(rng.normal(0.1, 0.3, (3, 70)), neuron=LIF(0.5, 0.4)),
    ]
    return Network((2, 8, 8), 1000, layers, readout=readout)


def some(seed: int, count: int = 60) -> Any:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 6000, count))
    return make_events(t, *rng.integers(0, 8, (2, count)), rng.integers(0, 2, count))


def test_layers_of_every_kind_behind_each_other() -> None:
    assert compare(small(), some(1)).operations.total.output_spikes > 100


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
def test_rounded_weights(kind: Any) -> None:
    """Those that float16 holds are uploaded as such; a quarter of a small one it does not hold."""
    network, events = round_weights(small(), kind), some(3)
    held = device_program(program_of(network)).weights.dtype == np.float16
    assert held == (kind == "bfloat16")
    compare(network, events)


def test_max_pools_of_counts_groups_delays_and_loops() -> None:
    """What random networks seldom have together, with counts that differ within a pool's cell."""
    rng = np.random.default_rng(5)

    def neuron(**more: Any) -> LIF:
        return LIF(0.5, 0.4, comparison=">=", **more)

    layers = [
        MaxPool2d(2),
        Conv2d(rng.normal(0.2, 0.4, (6, 1, 3, 3)), padding=1, groups=2, neuron=neuron()),
        Delay((0, 2, 1, 0, 0, 1)),
        Conv2d(
            rng.normal(0.1, 0.4, (4, 3, 2, 2)), groups=2, recurrent=rng.normal(0, 0.4, 4),
            neuron=neuron(spikes="many", refractory=1),
        ),
        MaxPool2d(2),
        Flatten(),
        Dense(
            rng.normal(0.1, 0.4, (5, 4)), recurrent=rng.normal(0, 0.4, (5, 5)), neuron=neuron()
        ),
    ]  # fmt: skip
    network = Network((2, 8, 8), 1000, layers, input_encoding="counts", readout="last-membrane")
    found = compare(network, some(4, 300))
    assert all(layer.output_spikes > 3 for layer in found.operations.layers)


def test_a_layer_of_one_site_behind_a_pool_and_itself() -> None:
    """Inputs that reach it once, which could be listed, and others: none are listed."""
    rng = np.random.default_rng(6)
    layers = [
        AvgPool2d(3, stride=2),
        Flatten(),
        Dense(rng.normal(0.3, 0.3, (5, 18)), recurrent=np.eye(5) - 0.3, neuron=LIF(0.5, 0.4)),
        Dense(rng.normal(0.3, 0.3, (3, 5)), neuron=LIF(0.5, 0.4)),
    ]
    found = compare(Network((2, 8, 8), 1000, layers), some(7, 200))
    assert all(layer.output_spikes > 3 for layer in found.operations.layers)


@pytest.mark.parametrize("channels", [4, 5])
def test_positions_that_reach_a_site_with_several_rows(channels: int) -> None:
    """Spike by spike, as on the CPU, and not row by row: it shows in the last bits."""
    rng = np.random.default_rng(9)
    layers = [
        AvgPool2d(3, stride=1),
        Conv2d(rng.normal(0.1, 0.4, (channels, 2, 3, 3)), neuron=LIF(0.9, 1.5)),
    ]
    compare(Network((2, 8, 8), 1000, layers, readout="last-membrane"), some(11, 1000))


def test_spikes_do_not_stand_in_silent_timesteps() -> None:
    """A layer that has no work in a timestep leaves no spikes of an earlier one there."""
    relay = {"weight": np.ones((1, 1)), "neuron": LIF(0.0, 0.5)}
    layers = [Flatten(), Dense(**relay), Delay(1), Dense(**relay), Dense(**relay)]
    network = Network((1, 1, 1), 1000, layers)
    events = make_events([0, 5000, 6000], [0, 0, 0], [0, 0, 0], [1, 1, 1])
    found = compare(network, events)
    assert found.spike_counts.tolist() == [2]


@pytest.mark.parametrize("channels", [160, 130])
def test_sites_of_several_blocks_of_channels(channels: int) -> None:
    """More than a team adds up: whether one of them may fire again concerns all."""
    rng = np.random.default_rng(12)
    neuron, bias = LIF(0.9, 0.5, "subtract"), rng.normal(0, 0.04, channels)
    layers = [
        Conv2d(rng.normal(0.2, 0.4, (channels, 2, 5, 5)), stride=3, neuron=neuron, bias=bias),
        Flatten(),
        Dense(
            rng.normal(0, 0.1, (channels, 4 * channels)),
            recurrent=rng.normal(0, 0.1, (channels, channels)), neuron=LIF(0.5, 0.4),
        ),
    ]  # fmt: skip
    found = compare(Network((2, 8, 8), 1000, layers, readout="mean-membrane"), some(13, 200))
    assert all(layer.output_spikes > 100 for layer in found.operations.layers)


def test_more_rows_than_a_list_has_room_for() -> None:
    """A thread has room for 12; a full timestep brings 18 to 24 to sites at the border, and 50."""
    rng = np.random.default_rng(14)
    layers = [
        Conv2d(rng.normal(0.05, 0.1, (3, 2, 5, 5)), padding=2, neuron=LIF(0.5, 0.4)),
        Flatten(),
        Dense(
            rng.normal(0.05, 0.1, (5, 192)), neuron=LIF(0.5, 0.4, spikes="many", comparison=">=")
        ),
    ]
    grid = np.indices((2, 8, 8)).reshape(3, -1)
    events = make_events(np.zeros(128), grid[2], grid[1], grid[0])
    for encoding in ("binary", "counts"):
        compare(Network((2, 8, 8), 1000, layers, input_encoding=encoding), events)


@pytest.mark.parametrize("readout", ["mean-membrane", "last-membrane"])
def test_batches_packets_and_progress(readout: Any) -> None:
    """Seven recordings in batches of three: an empty one, one in packets, all in their order."""
    network = small(readout)
    recordings = [some(seed, 10 * seed) for seed in range(6)]
    expected = simulate_batch(network, [*recordings, some(9)], steps=5)
    done: list[int] = []
    with patch.object(cuda_run, "BATCH", 3):
        found = simulate_batch(
            network, [*recordings, np.split(some(9), [7, 20])], steps=5, device="cuda",
            progress=done.append,
        )  # fmt: skip
    assert done == [3, 3, 1]
    assert len(cuda_run.runner_of(network)._idle) == 2  # the lane of the first is that of the third
    for mine, other in zip(found, expected, strict=True):
        assert mine.operations == other.operations
        np.testing.assert_array_equal(mine.scores, other.scores)
        np.testing.assert_array_equal(mine.spike_counts, other.spike_counts)
        np.testing.assert_array_equal(mine.first_spikes, other.first_spikes)
        assert (mine.steps, mine.events, mine.events_late) == (
            other.steps, other.events, other.events_late,
        )  # fmt: skip
    assert simulate_batch(network, [], device="cuda") == []
    nothing: Any = iter(())
    assert simulate(network, nothing, device="cuda").events == 0


def test_long_recordings_share_a_batch_with_fewer() -> None:
    """The memory of 20 timesteps: of two recordings of ten, or of one in stretches."""
    network = small()
    recordings = [some(seed, 50) for seed in range(4)]
    runner = cuda_run.runner_of(network)
    for rows, steps, batches in ((20, 10, [2, 2]), (2, 10, [1, 1, 1, 1])):
        runner._of_sample, runner._memory = 0, rows * runner._of_timestep
        done: list[int] = []
        found = simulate_batch(
            network, recordings, steps=steps, device="cuda", progress=done.append
        )  # fmt: skip
        assert done == batches
        expected = simulate_batch(network, recordings, steps=steps)
        assert [f.operations for f in found] == [e.operations for e in expected]


def test_networks_beyond_32_bits_are_refused() -> None:
    """Spikes that a delay remembers: a row of bits for each timestep."""
    neuron = LIF(0.5, 0.5)
    first, last = (Dense(np.ones(s), neuron=neuron) for s in ((2**17, 1), (1, 2**17)))
    network = Network((1, 1, 1), 1000, [Flatten(), first, Delay(2**20), last])
    with pytest.raises(NetworkError, match="expected fewer than 2\\^31 on a GPU"):
        lay_out(program_of(network), 1)


@pytest.mark.parametrize("stretch", [1, 4096])
def test_a_bad_recording_is_named(stretch: int) -> None:
    """The device finds it, wherever recordings are cut; the host says what the CPU's would."""
    network, good = small(), some(1)
    early = make_events([0, 2000, 1999, 4000], *np.zeros((3, 4)))
    early["t"][2] = 1999
    late = make_events([0, 9, 8000, 7000], *np.zeros((3, 4)))
    for bad, sentence in (
        (make_events([0], [8], [0], [0]), "event 0: x is 8"),
        (make_events([0], [0], [8], [0]), "event 0: y is 8"),
        (early, "event 2: time runs backwards, t is 1999 us after 2000"),
        (late, "event 3: time runs backwards"),
        (np.zeros(3), "events have dtype float64"),
    ):
        with patch.object(cuda_run, "LONGEST_STRETCH", stretch):
            with pytest.raises(RecordingError, match="recording 1: " + sentence):
                simulate_batch(network, [good, bad], device="cuda", steps=6)
            with pytest.raises(RecordingError, match="^" + sentence):
                simulate(network, bad, device="cuda")


def test_events_outside_of_the_grid_are_counted() -> None:
    network, events = small(), some(15, 300)
    first_in = int(events["t"][10])
    for steps, start in ((3, 1500), (4, 0), (0, 5), (2, 9000), (2, first_in), (2, first_in + 1)):
        given = {"steps": steps, "start_us": start}
        mine, other = (simulate(network, events, device=d, **given) for d in ("cuda", "cpu"))
        assert mine.operations == other.operations
        for name in ("steps", "events", "events_early", "events_late", "events_merged"):
            assert getattr(mine, name) == getattr(other, name), (name, given)


@pytest.mark.parametrize("encoding", ["binary", "counts"])
@pytest.mark.parametrize("shape", [(9,), (5, 2, 3), (2, 3, 3), (66_000,)])
def test_spike_lists_of_any_input(shape: tuple[int, ...], encoding: Any) -> None:
    rng = np.random.default_rng(3)
    units = int(np.prod(shape))
    dense = Dense(rng.normal(0.1, 0.4, (7, units)), neuron=LIF(0.5, 0.5))
    layers = [dense] if len(shape) == 1 else [Flatten(), dense]
    network = Network(shape, 1000, layers, input_encoding=encoding, steps=3)
    several = []
    for steps in (6, None, 2):
        times, which = np.sort(rng.integers(0, 8000, 60)), rng.integers(0, units, 60)
        several.append(from_spikes(times, which, shape, 1000, steps, encoding=encoding))
    mine, other = (simulate_batch(network, several, device=d, threads=1) for d in ("cuda", "cpu"))
    for one, two in zip(mine, other, strict=True):
        assert one.operations == two.operations
        assert one.spike_counts.tolist() == two.spike_counts.tolist()
        for name in ("steps", "events", "events_early", "events_late", "events_merged"):
            assert getattr(one, name) == getattr(two, name), name
    compare(network, several[0])
    with pytest.raises(RecordingError, match="recording 1: binned events have"):
        simulate_batch(network, [several[0], replace(several[0], dt_us=7)], device="cuda")
    if len(shape) == 1:
        said = "event 0: y is 4, expected 0 to 0" if units < 2**16 else "events come from a camera"
        with pytest.raises(RecordingError, match="recording 0: " + said):
            simulate_batch(network, [some(1)], device="cuda")


def test_the_benchmark_of_the_gpu_finds_equal_counts() -> None:
    pytest.importorskip("torch")
    from eventsim_tools.bench.gpu import time_workload

    found = time_workload("digits", "10", (20_000, 15), 2, repeats=1, rate=0.02)
    assert found["same_as_cpu"]
    assert found["sops"] > 1000
    assert 0 <= found["spikes_changed_by_float16"] < 0.1
    assert {"eventsim, CPU", "eventsim, GPU, 1 samples"} <= set(found["seconds_a_sample"])
