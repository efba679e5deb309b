"""The CUDA kernels against the CPU engine, wherever they run.

Not collected by itself. `test_ptx.py` runs it on a machine for PTX; `test_cuda.py` in Numba's
simulator, with NUMBA_ENABLE_CUDASIM set, which must be before numba is imported; and
`python -m eventsim_tools.bench.gpu` on a GPU.
"""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, recordings, simulate_recorded

from eventsim.clocked.cuda import run as cuda_run
from eventsim.clocked.cuda.layout import lay_out
from eventsim.clocked.cuda.run import CudaRunner, device_program
from eventsim.errors import NetworkError, RecordingError
from eventsim.events.arrays import make_events
from eventsim.events.binning import BinnedEvents, bin_events
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


def binned(network: Network, events: Any) -> BinnedEvents:
    return bin_events(events, network.input_shape, network.dt_us, encoding=network.input_encoding)


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


@given(data=st.data())
@settings(max_examples=NETWORKS)
def test_spikes_and_counts_are_those_of_the_cpu(data: Any) -> None:
    """Any network with any weights: every spike, count and membrane, bit for bit."""
    options = st.fixed_dictionaries({"plain": st.booleans(), "by_four": st.booleans()})
    network = data.draw(networks(dyadic=False, **data.draw(options)))
    count = data.draw(st.integers(1, 2))
    several = [data.draw(recordings(network, max_steps=5)) for _ in range(count)]
    runner = CudaRunner(
        program_of(network),
        threads=data.draw(st.sampled_from([1, 3, 8])),
        shared_bytes=data.draw(st.sampled_from([0, 600, 48 * 1024])),
        blocks=data.draw(st.integers(1, 2)),
    )
    expected = [simulate_recorded(network, events) for events in several]
    batch = [binned(network, events) for events in several]
    (results,) = runner.run(network, [batch], record_spikes=True)
    for found, wanted in zip(results, expected, strict=True):
        check_same(found, wanted)


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


@pytest.mark.parametrize("threads", [33, 64])
def test_blocks_of_more_than_a_warp(threads: int) -> None:
    network, events = small(), some(1)
    runner = CudaRunner(program_of(network), threads=threads)
    ((found,),) = runner.run(network, [[binned(network, events)]], record_spikes=True)
    check_same(found, simulate(network, events, record_spikes=True))
    assert found.operations.total.output_spikes > 100


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
def test_rounded_weights(kind: Any) -> None:
    """Those that float16 holds are uploaded as such; a quarter of a small one it does not hold."""
    network, events = round_weights(small(), kind), some(3)
    held = device_program(program_of(network)).weights.dtype == np.float16
    assert held == (kind == "bfloat16")
    ((found,),) = CudaRunner(program_of(network), threads=6).run(
        network, [[binned(network, events)]], record_spikes=True
    )
    check_same(found, simulate(network, events, record_spikes=True))


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
    events = some(4, 300)
    for threads in (1, 5):
        runner = CudaRunner(program_of(network), threads=threads)
        ((found,),) = runner.run(network, [[binned(network, events)]], record_spikes=True)
        check_same(found, simulate(network, events, record_spikes=True))
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
    network, events = Network((2, 8, 8), 1000, layers), some(7, 200)
    ((found,),) = CudaRunner(program_of(network), threads=4).run(
        network, [[binned(network, events)]], record_spikes=True
    )
    check_same(found, simulate(network, events, record_spikes=True))
    assert all(layer.output_spikes > 3 for layer in found.operations.layers)


@pytest.mark.parametrize("channels", [4, 5])
def test_positions_that_reach_a_site_with_several_rows(channels: int) -> None:
    """Spike by spike, as on the CPU, and not row by row: it shows in the last bits."""
    rng = np.random.default_rng(9)
    layers = [
        AvgPool2d(3, stride=1),
        Conv2d(rng.normal(0.1, 0.4, (channels, 2, 3, 3)), neuron=LIF(0.9, 1.5)),
    ]
    network = Network((2, 8, 8), 1000, layers, readout="last-membrane")
    events = some(11, 1000)
    ((found,),) = CudaRunner(program_of(network), threads=8).run(
        network, [[binned(network, events)]], record_spikes=True
    )
    check_same(found, simulate(network, events, record_spikes=True))


def test_spikes_do_not_stand_in_silent_timesteps() -> None:
    """A layer that has no work in a timestep leaves no spikes of an earlier one there."""
    relay = {"weight": np.ones((1, 1)), "neuron": LIF(0.0, 0.5)}
    layers = [Flatten(), Dense(**relay), Delay(1), Dense(**relay), Dense(**relay)]
    network = Network((1, 1, 1), 1000, layers)
    events = make_events([0, 5000, 6000], [0, 0, 0], [0, 0, 0], [1, 1, 1])
    ((found,),) = CudaRunner(program_of(network), threads=2).run(
        network, [[binned(network, events)]], record_spikes=True
    )
    check_same(found, simulate(network, events, record_spikes=True))
    assert found.spike_counts.tolist() == [2]


def test_spikes_that_find_no_room_are_recorded_in_a_second_run() -> None:
    network, events = small(), some(2)
    with patch.object(cuda_run, "ROOM", 3):
        found = simulate(network, events, record_spikes=True, device="cuda")
    check_same(found, simulate(network, events, record_spikes=True))
    for _ in range(3):  # memory of the lane is for one sample still
        simulate(network, events, device="cuda")
        simulate(network, events, record_spikes=True, device="cuda")
    assert len(cuda_run.runner_of(network)._idle[0]._spikes.host) == 1


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
    """Timesteps count as well as events: these have hardly any."""
    network = small()
    recordings = [some(seed, 5) for seed in range(4)]
    done: list[int] = []
    with patch.object(cuda_run, "BATCH_SIZE", 35):
        found = simulate_batch(
            network, recordings, steps=10, device="cuda", progress=done.append
        )  # fmt: skip
    assert done == [2, 2]
    expected = simulate_batch(network, recordings, steps=10)
    assert [f.operations for f in found] == [e.operations for e in expected]


def test_networks_beyond_32_bits_are_refused() -> None:
    """Spikes that a delay remembers: a list for each timestep."""
    neuron = LIF(0.5, 0.5)
    first, last = Dense(np.ones((2100, 1)), neuron=neuron), Dense(np.ones((1, 2100)), neuron=neuron)
    network = Network((1, 1, 1), 1000, [Flatten(), first, Delay(2**20), last])
    with pytest.raises(NetworkError, match="expected fewer than 2\\^31 on a GPU"):
        lay_out(program_of(network), 32, 2**15)


def test_a_bad_recording_is_named() -> None:
    bad = make_events([0], [8], [0], [0])
    with pytest.raises(RecordingError, match="recording 1: event 0: x is 8"):
        simulate_batch(small(), [some(1), bad], device="cuda")


def test_the_benchmark_of_the_gpu_finds_equal_counts() -> None:
    pytest.importorskip("torch")
    from eventsim_tools.bench.gpu import time_workload

    defaults: Any = CudaRunner.__init__.__kwdefaults__
    with patch.dict(defaults, threads=4):
        found = time_workload("digits", "10", (20_000, 15), 2, repeats=1, rate=0.02)
    assert found["same_as_cpu"]
    assert found["sops"] > 1000
    assert 0 <= found["spikes_changed_by_float16"] < 0.1
    assert {"eventsim, CPU, from raw events", "eventsim, GPU, 1 binned samples"} <= set(
        found["seconds_a_sample"]
    )
