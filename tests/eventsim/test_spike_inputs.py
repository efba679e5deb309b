"""Inputs that no camera made: binning by brute force, every engine against the reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asynchronous_networks import assume_exact, check_readout
from command_line import run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import eventsim as es
from eventsim.asynchronous.reference import run_reference as run_async_reference
from eventsim.events.arrays import addressing_of
from eventsim.events.spikes import events_of

DT_US = 100
HALVES = es.LIF(0.5, 0.75)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
ENCODINGS = st.sampled_from(["binary", "counts"])


def whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


@st.composite
def spike_lists(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any], tuple[int, ...]]:
    shape = draw(SHAPES)
    spike = st.tuples(st.integers(0, 900), st.integers(0, int(np.prod(shape)) - 1))
    spikes = sorted(draw(st.lists(spike, max_size=40)), key=lambda one: one[0])
    pairs = np.array(spikes, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], shape


def network_for(
    shape: tuple[int, ...], encoding: str, seed: int, neuron: Any = HALVES, **more: Any
) -> es.Network:
    """A convolution where there is a map, and Dense; weights in sixteenths."""
    rng = np.random.default_rng(seed)
    layers: list[Any] = []
    channels, cells = whole(shape)[0], int(np.prod(shape))
    if len(shape) > 1:
        weight = rng.integers(-8, 17, (3, channels, 1, 1)) / 16
        layers = [es.Conv2d(weight, neuron=neuron), es.Flatten()]
        cells = 3 * cells // channels
    layers.append(es.Dense(rng.integers(-8, 17, (4, cells)) / 16, neuron=neuron))
    return es.Network(shape, DT_US, layers, input_encoding=encoding, **more)


def dense_spikes(result: es.Result, traces: Any) -> list[NDArray[Any]]:
    """Return the recorded spikes as arrays like those of the reference."""
    found = []
    for rows, trace in zip(result.spikes, traces, strict=True):
        shape = (*trace.spikes.shape, 1, 1)[:4]
        dense = np.zeros(shape, np.int64)
        np.add.at(dense, tuple(rows.T), 1)
        found.append(dense.reshape(trace.spikes.shape))
    return found


@settings(deadline=None, max_examples=60)
@given(spike_lists(), ENCODINGS, st.none() | st.integers(0, 12), st.none() | st.integers(0, 500))
def test_spikes_on_a_grid_are_counted_one_by_one(
    spikes: Any, encoding: Any, steps: int | None, start_us: int | None
) -> None:
    times, units, shape = spikes
    binned = es.from_spikes(times, units, shape, DT_US, steps, encoding=encoding, start_us=start_us)
    start = (times[0] if len(times) else 0) if start_us is None else start_us
    expected = np.zeros((binned.steps, int(np.prod(shape))), np.float32)
    early = late = 0
    for t, unit in zip(times, units, strict=True):
        step = (t - start) // DT_US
        early += step < 0
        late += step >= binned.steps
        if 0 <= step < binned.steps:
            expected[step, unit] += 1
    merged = int(np.maximum(expected - 1, 0).sum())
    if encoding == "binary":
        expected = np.minimum(expected, 1)
    if steps is not None:
        assert binned.steps == steps
    assert np.array_equal(binned.frames(), expected.reshape(-1, *whole(shape)))
    assert (binned.early, binned.late, binned.merged) == (early, late, merged)
    assert binned.events == len(times)


@settings(deadline=None, max_examples=40)
@given(spike_lists(), ENCODINGS)
def test_frames_and_spikes_give_the_same(spikes: Any, encoding: Any) -> None:
    times, units, shape = spikes
    binned = es.from_spikes(times, units, shape, DT_US, 10, encoding=encoding, start_us=0)
    counted = es.from_spikes(times, units, shape, DT_US, 10, encoding="counts", start_us=0)
    frames = counted.frames(np.int32).reshape(10, *shape)
    again = es.from_frames(frames, DT_US, encoding=encoding)
    for field, value in vars(binned).items():
        assert np.array_equal(getattr(again, field), value), field


@settings(deadline=None, max_examples=25)
@given(spike_lists(), ENCODINGS, st.integers(0, 2**16))
def test_engines_agree_with_the_reference(spikes: Any, encoding: Any, seed: int) -> None:
    times, units, shape = spikes
    network = network_for(shape, encoding, seed)
    binned = es.from_spikes(times, units, shape, DT_US, encoding=encoding)
    result = es.simulate(network, binned, record_spikes=True)
    traces = es.run_reference(network, binned.frames())
    for found, trace in zip(dense_spikes(result, traces), traces, strict=True):
        assert np.array_equal(found, trace.spikes)
    (batched,) = es.simulate_batch(network, [binned], threads=1)
    assert batched.operations == result.operations
    first = result.operations.layers[0]
    filled = int(np.count_nonzero(binned.frames()))
    assert first.sops == filled * (4 if len(shape) == 1 else 3)
    assert result.events_merged == binned.merged


@settings(deadline=None, max_examples=20)
@given(spike_lists(), st.integers(0, 2**16))
def test_asynchronous_time_takes_every_spike_at_its_own(spikes: Any, seed: int) -> None:
    times, units, shape = spikes
    network = network_for(shape, "counts", seed, es.IF(0.75, "subtract"))
    fine = es.from_spikes(times, units, shape, 1, encoding="counts", start_us=0)
    events = events_of(fine)
    assert sorted(zip(events["t"], units_of(events, shape), strict=True)) == sorted(
        zip(times, units, strict=True)
    )
    run = run_async_reference(network, events, 0, fine.steps)
    assume_exact(run)
    result = es.simulate(network, fine, mode="async")
    check_readout(network, result, run)
    assert (result.events, result.events_merged) == (len(times), 0)
    assert result.steps == -(-fine.steps // DT_US)
    assert result.operations.layers[0].sops == len(times) * (4 if len(shape) == 1 else 3)


def units_of(events: Any, shape: tuple[int, ...]) -> list[int]:
    """Return the units that addressed events are for."""
    sensor = addressing_of(whole(shape))
    cells = events["y"].astype(np.int64) * sensor.width + events["x"]
    cells = cells * sensor.polarities + events["on"] * (sensor.polarities == 2)
    channels = whole(shape)[0]
    return list(cells % channels * (int(np.prod(shape)) // channels) + cells // channels)


def test_more_units_than_a_coordinate_holds() -> None:
    """A unit past 65,536 in clocked and in asynchronous time, and in a file."""
    weight = np.zeros((1, 70_000), np.float32)
    weight[0, 69_999] = 1
    network = es.Network((70_000,), 1000, [es.Dense(weight, neuron=es.IF(0.5))])
    binned = es.from_spikes([0, 5, 1200], [69_999, 4463, 69_999], (70_000,), 1000)
    for mode in ("clocked", "async"):
        assert es.simulate(network, binned, mode=mode).spike_counts.tolist() == [2]


@pytest.mark.parametrize("shape", [(70_000,), (3, 4), (3, 2, 2), (1, 1, 70_000)])
def test_events_of_a_camera_are_refused_where_none_fits(shape: tuple[int, ...]) -> None:
    network = network_for(shape, "binary", 0)
    events = es.make_events([0], [0], [0], [1])
    sentence = re.escape(f"but input_shape is {network.input_shape}: give it spikes (eventsim.")
    for refused in (
        lambda: es.simulate(network, events),
        lambda: es.simulate(network, events, mode="async"),
        lambda: es.simulate_batch(network, [events]),
        lambda: es.ClockedRun(network),
        lambda: es.AsynchronousRun(network),
        lambda: es.bin_events(events, shape, DT_US),
        lambda: es.Session(network, window_us=1000),
    ):
        with pytest.raises(es.RecordingError, match=sentence):
            refused()


def test_commands_refuse_recordings_where_none_fits(tmp_path: Path) -> None:
    files = [tmp_path / "net.h5", tmp_path / "events.npy"]
    es.save_network(network_for((3, 4), "binary", 0), files[0])
    np.save(files[1], es.make_events([0], [0], [0], [1]))
    network, events = files
    for command in (("run", network, events), ("stream", network, "--from", events)):
        assert "input_shape is (3, 1, 4): give it spikes" in str(run_command(*command))


LIST = {"t_us": [0, 5], "units": [1, 2], "input_shape": (4,), "dt_us": 10}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"t_us": [5, 0]}, "spike 1: t_us is 0, expected times that never decrease"),
        ({"t_us": [-1, 0]}, "spike 0: t_us is -1, expected a whole number 0 to 2^63 - 1"),
        ({"t_us": [0, 5.5]}, "spike 1: t_us is 5.5, expected a whole number 0 to 2^63 - 1"),
        ({"t_us": [0, np.nan]}, "spike 1: t_us is nan, expected a whole number 0 to 2^63 - 1"),
        ({"t_us": [0, np.inf]}, "spike 1: t_us is inf, expected a whole number 0 to 2^63 - 1"),
        ({"t_us": [0]}, "units has dtype int64 and shape (2,), expected numbers of shape (1,)"),
        ({"t_us": ["a", "b"]}, "t_us has dtype <U1 and shape (2,), expected numbers"),
        ({"units": [1, 4]}, "spike 1: unit is 4, expected a whole number 0 to 3"),
        ({"units": [-1, 2]}, "spike 0: unit is -1, expected a whole number 0 to 3"),
        ({"units": [1, 1.5]}, "spike 1: unit is 1.5, expected a whole number 0 to 3"),
        ({"units": [np.nan, 1]}, "spike 0: unit is nan, expected a whole number 0 to 3"),
        ({"input_shape": (1, 2, 3, 4)}, "input_shape is (1, 2, 3, 4), expected (units,)"),
        ({"dt_us": 0}, "dt_us is 0, expected a whole number 1 to"),
        ({"encoding": "rate"}, "encoding is 'rate', expected one of"),
    ],
)
def test_spike_lists_are_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(es.EventsimError, match=re.escape(sentence)):
        es.from_spikes(**LIST | changed)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (np.zeros(3), "frames have dtype float64 and shape (3,), expected numbers of shape"),
        (np.zeros((1, 2, 3, 4, 5)), "and shape (1, 2, 3, 4, 5), expected numbers of shape"),
        (np.full((2, 3), "a"), "frames have dtype <U1"),
        ([[0, 1], [0, -1]], "timestep 1: unit 1 has -1, expected a whole number of spikes"),
        ([[0, 0.5]], "timestep 0: unit 1 has 0.5, expected a whole number of spikes"),
        ([[0, np.nan]], "timestep 0: unit 1 has nan, expected a whole number of spikes"),
        ([[np.inf, 0]], "timestep 0: unit 0 has inf, expected a whole number of spikes"),
        ([[0, 2**25]], "has 33554432, expected a whole number of spikes, 0 to 16777216"),
        (np.zeros((2, 0)), "input_shape is (0,), expected (units,)"),
    ],
)
def test_frames_are_refused(frames: Any, sentence: str) -> None:
    with pytest.raises(es.EventsimError, match=re.escape(sentence)):
        es.from_frames(frames, DT_US)


def test_binned_events_bring_their_own_grid() -> None:
    network = network_for((4,), "binary", 0, steps=3)
    binned = es.from_frames(np.ones((5, 4)), DT_US, start_us=200)
    assert es.simulate(network, binned).steps == 5
    assert es.simulate(network, binned, steps=5, start_us=200).steps == 5
    for mode in ("clocked", "async"):
        for asked, own in (({"steps": 3}, 5), ({"start_us": 0}, 200)):
            with pytest.raises(es.EventsimError, match=f"expected None or the {own} that the"):
                es.simulate(network, binned, mode=mode, **asked)
    other = es.from_frames(np.ones((5, 3)), DT_US)
    with pytest.raises(es.RecordingError, match="binned events have"):
        es.simulate(network, other)
    with pytest.raises(es.RecordingError, match=r"input_shape \(3,\), expected \(4,\)"):
        es.simulate(network, other, mode="async")


@pytest.mark.parametrize("shape", [(12,), (3, 4), (3, 2, 2)])
def test_a_network_file_keeps_the_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    network = network_for(shape, "counts", 1)
    es.save_network(network, tmp_path / "net.h5")
    loaded = es.load_network(tmp_path / "net.h5")
    assert loaded.input_shape == network.input_shape == whole(shape)
    binned = es.from_frames(np.ones((5, *shape)), DT_US, encoding="counts")
    assert es.simulate(loaded, binned).operations == es.simulate(network, binned).operations
