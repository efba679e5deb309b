"""`eventsim bench --workload counts`: other counters beside ours, every integer explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import Printed
from torch import nn

import eventsim as es
from eventsim_bridge.readings import dense_spikes
from eventsim_tools.bench import counts, tables
from eventsim_tools.bench.counters import COUNTERS, Counter
from eventsim_tools.bench.networks import (
    random_cnn,
    random_events,
    random_network,
    random_recurrent_network,
)

SHAPE = (2, 14, 14)
STRUCTURE = "4C3-AP2-6C3-SP2-8FC-5"


class WrongByOne(Counter):
    name, package = "wrong", "torch"

    def count(self, pools: Any, connection: nn.Module, entering: torch.Tensor) -> int:
        return 1


def spiking_case(encoding: Any, recordings: int = 2) -> tuple[es.Network, list[list[counts.Line]]]:
    network = random_network(
        STRUCTURE, SHAPE, es.IF(1.0), dt_us=1000, steps=8, input_encoding=encoding
    )
    events = [random_events(SHAPE, 0.1, 8, 1000, seed=seed) for seed in range(recordings)]
    return network, [list(counts.spiking_lines(network, one)) for one in events]


@pytest.mark.parametrize("encoding", ["binary", "counts"])
def test_the_engine_counts_each_spike(encoding: Any) -> None:
    """Beside torch's gradients of sums, which know nothing of the engine's wiring."""
    network, lines = spiking_case(encoding)
    result = counts.measure_counts([("conv", lines)])
    assert [row["layer"] for row in result["rows"]] == [
        network.layer_name(index) for index in network.neuron_layers
    ]
    for row in result["rows"]:
        assert row["eventsim"]["count"] > 0
        assert row["eventsim"]["reading"] == counts.SAME
        assert row["dense_macs"] > row["eventsim"]["count"]
        for name, other in row["others"].items():
            assert other["reading"] != "unexplained", name
    assert result["left_out"] == [counter.name for counter in COUNTERS if not counter.installed()]


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("structure", ["6FC-5", "AP2-4C3-AP2-6FC-5", "MP2-4C3-5"])
def test_rnn_and_lstm_are_counted_alike(structure: str, cell: Any) -> None:
    model = random_recurrent_network(structure, SHAPE, cell)
    frames = (torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    result = counts.measure_counts([(cell, [list(counts.recurrent_lines(model, frames))])])
    of_layers = len([name for name in structure.split("-") if "P" not in name])
    assert len(result["rows"]) == 2 * of_layers - 1  # the readout has no W2
    for row in result["rows"]:
        assert row["eventsim"]["reading"] == counts.SAME, row["layer"]
        for name, other in row["others"].items():
            assert other["reading"] != "unexplained", name


def test_torch_modules_are_counted_alike() -> None:
    """Events, then what ReLUs give, averaged or not, with borders of zeros."""
    model, _ = random_cnn(SHAPE)
    frames = (torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    result = counts.measure_counts([("cnn", [list(counts.module_lines(model, frames))])])
    assert [row["layer"] for row in result["rows"]] == [
        "0 (Conv2d)", "3 (Conv2d)", "7 (Linear)", "9 (Linear)",
    ]  # fmt: skip
    for row in result["rows"]:
        assert 0 < row["eventsim"]["count"] < row["dense_macs"]
        assert row["eventsim"]["reading"] == counts.SAME, row["layer"]
        for name, other in row["others"].items():
            assert other["reading"] != "unexplained", name


def test_what_pools_first_would_count() -> None:
    """Two spikes in one window are two rows for the engine, and one pooled value."""
    conv = nn.Conv2d(1, 3, 1)
    entering = torch.zeros(1, 1, 2, 2)
    entering[0, 0, 0] = 1
    line = counts.Line("", 6, 3, [nn.AvgPool2d(2)], conv, entering)
    assert counts.readings_of(line) == {
        "each spike": 6,
        "pools first": 3,
        "as often as a value says": 6,
        "that, times the area of sum pools": 6,
        "only inputs of 0 and 1": 0,
        "input rate x dense": 3,
    }


def test_a_number_without_a_reading_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "COUNTERS", (WrongByOne,))
    _, lines = spiking_case("binary", 1)
    result = counts.measure_counts([("conv", lines)])
    assert {row["others"]["wrong"]["reading"] for row in result["rows"]} == {"unexplained"}
    printed = Printed()
    machine: Any = {"processor": "x", "cores": 1, "versions": {}}
    monkeypatch.setattr(tables, "machine_line", lambda machine: "a machine")
    tables.print_workload("counts", result, machine, printed)  # type: ignore[arg-type]
    first = result["rows"][0]
    assert printed.rows[0] == [
        first["layer"], f"{first['eventsim']['count']:,}", "1 (1)",
        f"{first['input_rate_x_dense']:,}", f"{first['dense_macs']:,}",
    ]  # fmt: skip
    assert "(1) unexplained" in printed.sentences


def test_recorded_spikes_become_frames() -> None:
    network, _ = spiking_case("binary", 0)
    events = random_events(SHAPE, 0.1, 8, 1000)
    result = es.simulate(network, events, record_spikes=True)
    assert result.spikes is not None
    for number, index in enumerate(network.neuron_layers):
        frames = dense_spikes(network, result, index)
        assert frames.shape == (8, *network.shapes[index + 1])
        assert int(frames.sum()) == result.operations.layers[number].output_spikes
        t, *place = result.spikes[index][0]
        assert frames[(int(t), *map(int, place))[: frames.ndim]] == 1
        np.testing.assert_array_equal(np.unique(frames.numpy()), [0, 1])
