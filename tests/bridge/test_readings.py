"""Pools first, then weights: by hand, and beside brute force over pooled frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command

import eventsim as es
from eventsim_bridge.readings import ForNothing, PoolsFirst, for_nothing, pools_first


def events_of(frames: Any) -> Any:
    """A pixel's event for each 1 of (steps, height, width)."""
    t, y, x = np.nonzero(frames)
    return es.make_events(t * 1000, x, y, [0] * len(t))


@pytest.mark.parametrize("pool", [es.AvgPool2d(2), es.SumPool2d(2)])
def test_by_hand(pool: Any) -> None:
    """Four pixels in one window: one of three spikes, then of one."""
    frames = np.zeros((2, 2, 2), int)
    frames[0].flat[:3] = 1
    frames[1, 1, 1] = 1
    conv = es.Conv2d(np.full((5, 1, 1, 1), 0.01), neuron=es.IF(1.0))
    network = es.Network((1, 2, 2), 1000, [pool, conv])
    assert pools_first(network, events_of(frames)) == [PoolsFirst(acs=5, macs=5, pool_adds=4)]


def test_without_pools_it_is_what_the_engine_executes() -> None:
    rng = np.random.default_rng(0)
    conv = es.Conv2d(rng.normal(0, 0.5, (4, 1, 3, 3)), stride=2, padding=1, neuron=es.IF(0.5))
    dense = es.Dense(rng.normal(0, 0.5, (6, 36)), neuron=es.IF(0.5))
    network = es.Network((1, 6, 5), 1000, [conv, es.Flatten(), dense])
    events = events_of(rng.random((9, 6, 5)) < 0.3)
    layers = es.simulate(network, events).operations.layers
    assert layers[1].acs > 0
    assert pools_first(network, events) == [
        PoolsFirst(layer.acs, layer.macs, pool_adds=0) for layer in layers
    ]


@pytest.mark.parametrize("pools", [[es.AvgPool2d(2)], [es.SumPool2d(2, stride=1), es.AvgPool2d(2)]])
def test_values_are_added_up_window_by_window(pools: list[Any]) -> None:
    rng = np.random.default_rng(1)
    frames = (rng.random((7, 7, 7)) < 0.2).astype(int)
    x, adds = frames, 0
    for pool in pools:
        size, step = pool.kernel_size[0], pool.stride[0]
        places = range(0, x.shape[1] - size + 1, step)
        windows = np.array([
            [[x[:, i : i + size, j : j + size] for j in places] for i in places]
        ])[0].transpose(2, 0, 1, 3, 4)  # fmt: skip
        adds += int(np.count_nonzero(windows))
        x = windows.sum(axis=(3, 4))
    weight = np.full((3, x[0].size), 0.01)
    network = es.Network(
        (1, 7, 7), 1000, [*pools, es.Flatten(), es.Dense(weight, neuron=es.IF(1.0))]
    )
    expected = PoolsFirst(3 * int((x == 1).sum()), 3 * int((x > 1).sum()), adds)
    assert pools_first(network, events_of(frames)) == [expected]


def test_weights_of_0_and_events_that_reach_nothing_by_hand() -> None:
    """A 2 x 2 kernel with a 0, at a stride of 2 over 3 x 3 cells: the last of each are reached."""
    weight = np.array([[[[0.5, 0.0], [0.25, 0.25]]]])
    conv = es.Conv2d(weight, stride=2, neuron=es.IF(0.4))
    dense = es.Dense(np.array([[0.0], [1.0], [0.0]]), neuron=es.IF(0.5))
    network = es.Network((1, 3, 3), 1000, [conv, es.Flatten(), dense])
    events = events_of(np.ones((2, 3, 3), int))
    layers = es.simulate(network, events).operations.layers
    assert [layer.input_events for layer in layers] == [18, 2]
    assert [layer.sops for layer in layers] == [8, 6]
    assert for_nothing(network, events) == [ForNothing(10, 2), ForNothing(0, 4)]


@pytest.mark.parametrize("pools", [[], [es.SumPool2d(2, stride=1)]])
def test_without_its_zeros_a_network_counts_the_rest(pools: list[Any]) -> None:
    """Every operation has a weight of 0 or one of the others."""
    rng = np.random.default_rng(2)
    weight = rng.integers(0, 2, (4, 1, 3, 3)) * 0.3
    network = es.Network((1, 8, 8), 1000, [*pools, es.Conv2d(weight, neuron=es.IF(0.5))])
    inverted = es.Network((1, 8, 8), 1000, [*pools, es.Conv2d(0.3 - weight, neuron=es.IF(0.5))])
    events = events_of(rng.random((5, 8, 8)) < 0.2)
    (one,), (other,) = for_nothing(network, events), for_nothing(inverted, events)
    assert one.sops > 0
    assert one.sops + other.sops == es.simulate(network, events).operations.total.sops


def test_run_shows_the_readings_of_each_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    conv = es.Conv2d(np.array([[[[0.5, 0.0], [0.25, 0.25]]]]), stride=2, neuron=es.IF(0.4))
    dense = es.Dense(np.array([[0.0], [1.0], [0.5]]), neuron=es.IF(0.5))
    network = es.Network((1, 6, 6), 1000, [conv, es.AvgPool2d(3), es.Flatten(), dense])
    es.save_network(network, tmp_path / "net.h5")
    files, recordings = [tmp_path / "a.npy", tmp_path / "b.npy"], []
    for file, length in zip(files, (4, 9), strict=True):
        recordings.append(events_of(rng.random((length, 6, 6)) < 0.4))
        np.save(file, recordings[-1])
    out = tmp_path / "out.json"
    command = ("run", tmp_path / "net.h5", *files, "--steps", 5, "--json", out)
    assert run_command(*command) == 0
    assert json.loads(out.read_text())["readings"] is None
    assert "Other readings" not in capsys.readouterr().out
    assert run_command(*command, "--readings") == 0
    printed = capsys.readouterr().out
    layers = json.loads(out.read_text())["readings"]
    assert [layer["name"] for layer in layers] == ["layer 0 (Conv2d)", "layer 3 (Dense)"]
    nothing = [for_nothing(network, events, steps=5) for events in recordings]
    pooled = [pools_first(network, events, steps=5) for events in recordings]
    for number, layer in enumerate(layers):
        assert layer["events_for_nothing"] == [each[number].input_events for each in nothing]
        assert layer["sops_for_nothing"] == [each[number].sops for each in nothing]
        assert layer["pools_first_acs"] == [each[number].acs for each in pooled]
        assert layer["pools_first_macs"] == [each[number].macs for each in pooled]
        assert layer["pools_first_pool_adds"] == [each[number].pool_adds for each in pooled]
        assert sum(layer["sops_for_nothing"]) > 0
        for name in ("sops_for_nothing", "pools_first_acs", "pools_first_pool_adds"):
            assert f" {sum(layer[name]) / 2:g} " in printed
    assert sum(layers[1]["pools_first_pool_adds"]) > 0
    merged = [es.simulate(network, events, steps=5).events_merged for events in recordings]
    assert merged == [0, 0]
    assert "events, 0 of them merged" in printed
    refused = str(run_command(*command, "--readings", "--mode", "async"))
    assert "--readings is set with --mode async, expected --mode clocked" in refused
