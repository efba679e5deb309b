"""`eventsim convert`: a torch module becomes a network file, compared with what it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command, write_nmnist

import eventsim as es

BUILDS = """
import torch
from torch import nn
from spikingjelly.activation_based import neuron


def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 5, 2), nn.BatchNorm2d(4), neuron.IFNode(v_threshold=0.2), nn.AvgPool2d(3),
        nn.Flatten(), nn.Linear(100, 10), neuron.LIFNode(v_threshold=0.001),
    ).eval()


def refused():
    return nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(2312, 10), neuron.IFNode())


def number():
    return 7
"""
GRID = ("--input-shape", "2,34,34", "--dt-us", 5000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "builds_a_net.py").write_text(BUILDS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("builds_a_net", None)


def test_a_module_becomes_a_file_and_is_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        write_nmnist(folder / "data" / "Test" / "3" / f"{number:05d}.bin", 3 * number, seed=number)
    check = ("--check", "nmnist", "--root", folder / "data", "--steps", 8)
    assert run_command("convert", "builds_a_net:build", "net.h5", *GRID, *check) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(
        line.startswith("0, 1, 2 Conv2d, IFNode layer 0 (Conv2d), 4x15x15") for line in lines
    )
    assert any(line.startswith("3 AvgPool2d layer 1 (AvgPool2d), 4x5x5") for line in lines)
    compared = out[out.index("Spikes of torch and engine (2 recordings)") :].splitlines()
    rows = [line.split() for line in compared if line.split()[:1] == ["layer"] and "(" in line]
    assert [(row[3], row[4], row[5]) for row in rows] == [(row[3], row[3], "0") for row in rows], (
        compared
    )
    assert all(int(row[3].replace(",", "")) > 10 for row in rows)
    network = es.load_network(folder / "net.h5")
    assert (network.dt_us, network.steps) == (5000, 8)
    assert network.provenance["source"] == "builds_a_net:build"
    assert network.provenance["modules"] == ["0, 1, 2", "3", "4", "5, 6"]
    assert es.simulate(network, es.make_events([0], [3], [3], [1])).spike_counts.shape == (10,)


def test_bench_times_it_beside_the_engine(folder: Path) -> None:
    for number in (1, 2):
        write_nmnist(folder / "data" / "Test" / "3" / f"{number:05d}.bin", 3 * number, seed=number)
    own = ("bench", "--workload", "builds_a_net:build", "--root", folder / "data", *GRID)
    few = ("--steps", 8, "--repeats", 1, "--json", folder / "out.json")
    assert run_command(*own, *few) == 0
    found = json.loads((folder / "out.json").read_text())["workloads"]["builds_a_net:build"]
    assert (found["samples"], found["steps"]) == (2, 8)
    (beside,) = found["agreement"]
    assert (beside["peer"], beside["verdict"]) == ("spikingjelly", "equal")
    assert beside["differing"] == [0, 0]
    assert min(beside["engine_spikes"]) > 10
    ratios = {row["name"]: row["times_the_engine"] for row in found["timings"]}
    assert ratios["spikingjelly"] > 1
    assert "--steps is missing, expected the timesteps" in str(run_command(*own))
    named = ("bench", "--workload", "mlp", "--steps", 8)
    assert "--steps is 8 with --workload mlp, expected it with" in str(run_command(*named))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("builds_a_net:build", "--dt-us", 5), "--input-shape is missing, expected that of"),
        (("builds_a_net:build", "--input-shape", "2,34,34"), "--dt-us is missing, expected the"),
        (("builds_a_net:build", "--input-shape", "2x34", "--dt-us", 5), "--input-shape is '2x34',"),
        (("builds_a_net:refused", *GRID), "1: ReLU cannot run in the engine, expected Linear,"),
        (("builds_a_net:number", *GRID), "builds_a_net:number returns int, expected a torch.nn."),
        (("builds_a_net:none", *GRID), "SOURCE is 'builds_a_net:none': builds_a_net has no func"),
        (("no_such:build", *GRID), "SOURCE is 'no_such:build': there is no module no_such in"),
        (("net.onnx", *GRID), "SOURCE is 'net.onnx', expected module:function"),
    ],
)
def test_what_cannot_be_converted_ends_in_a_sentence_and_no_file(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = run_command("convert", arguments[0], "net.h5", *arguments[1:])
    assert str(found).startswith(f"eventsim: {sentence}")
    assert not (folder / "net.h5").exists()


def test_the_weights_are_those_of_the_module(folder: Path) -> None:
    assert run_command("convert", "builds_a_net:build", "net.h5", *GRID) == 0
    from builds_a_net import build  # type: ignore[import-not-found]

    layer = es.load_network(folder / "net.h5").layers[3]
    assert isinstance(layer, es.Dense)
    weight = build()[5].weight.detach().numpy()
    np.testing.assert_array_equal(layer.weight, weight * np.float32(0.5))  # 1 / tau
