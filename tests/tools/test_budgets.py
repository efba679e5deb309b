"""`eventsim train` within a budget or with integers, and the workloads that measure both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command, train_quickly, write_nmnist_set
from matplotlib.figure import Figure

import eventsim as es
from eventsim_bridge.training.settings import TrainingSettings
from eventsim_tools.bench import budgets, plots
from eventsim_tools.compare.summary import wilson


@pytest.fixture
def nmnist(tmp_path: Path) -> Path:
    return write_nmnist_set(tmp_path / "data")


def test_train_keeps_a_budget_or_says_that_it_did_not(
    nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, free = tmp_path / "net.h5", tmp_path / "free.json"
    assert train_quickly(nmnist, out, "--json", free) == 0
    assert "SOPs a sample" in capsys.readouterr().out
    first, behind = json.loads(free.read_text())["history"][0]["validation_sops"]
    assert behind > 100
    assert train_quickly(nmnist, out, "--sop-budget", int(first + 2 * behind)) == 0
    sentence = train_quickly(nmnist, out, "--sop-budget", int(first + 1))
    assert f"SOPs a sample on validation, expected at most {int(first + 1):,}" in str(sentence)
    settings = es.load_network(out).provenance["settings"]
    assert settings["sop_budget"] == int(first + 1)  # written all the same
    sentence = train_quickly(nmnist, out, "--sop-budget", int(first) - 1)
    assert f"expected at least {first:,.1f}" in str(sentence)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_train_writes_the_integers_that_it_trained(nmnist: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.h5"
    assert train_quickly(nmnist, out, "--weights", "int8") == 0
    net = es.load_network(out)
    assert net.provenance["settings"]["weights"] == "int8"
    for layer, same in zip(net.layers, es.round_weights(net, "int8").layers, strict=True):
        if isinstance(layer, es.Conv2d | es.Dense):
            assert np.array_equal(layer.weight, same.weight)  # type: ignore[union-attr]
    said = train_quickly(nmnist, out, "--weights", "int8", "--batch-norm")
    assert "weights are 'int8' with batch_norm, expected float32" in str(said)


SETTINGS = TrainingSettings("16FC-12FC-10", 10_000, 4, epochs=2, learning_rate=5e-3)


def test_budgets_are_measured_and_drawn(
    nmnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(budgets, "BUDGET_CASES", (budgets.Case("nmnist", SETTINGS),))
    monkeypatch.setattr(budgets, "SEEDS", (0, 1))
    out = tmp_path / "budgets.json"
    options = ("--workload", "budgets", "--root", nmnist, "--json", out, "--plots", tmp_path)
    assert run_command("bench", *options) == 0
    assert "16FC-12FC-10" in capsys.readouterr().out
    assert (tmp_path / "budgets.png").stat().st_size > 10_000
    (case,) = json.loads(out.read_text())["workloads"]["budgets"]["cases"]
    assert case["test_recordings"] == 6
    shares = [run["share"] for run in case["runs"]]
    assert shares == 2 * [None, *budgets.SHARES]
    free = case["runs"][0]
    first, *behind = free["validation_sops"]
    assert len(free["test_sops"]) == 3
    for run in case["runs"][1:5]:
        assert run["budget"] == int(first + run["share"] * sum(behind))
        assert run["within"] == (sum(run["validation_sops"]) <= run["budget"])
    figure = Figure()
    plots._draw_budgets(figure, {"cases": [case]})
    (axes,) = figure.axes
    intervals = [line.get_ydata() for line in axes.lines if len(set(line.get_xdata())) == 1]
    free_ones = [run["test_accuracy"] for run in case["runs"] if run["share"] is None]
    expected = [100 * end for end in wilson(sum(free_ones) / 2 * 6, 6)]
    assert any(np.allclose(found, expected) for found in intervals if len(found) == 2)


def test_integers_are_measured(
    nmnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = replace(SETTINGS, structure="64FC-10", dt_us=2000, steps=20, neuron=es.IF(0.3))
    cases = (budgets.Case("nmnist", settings),)
    monkeypatch.setattr(budgets, "INT8_CASES", cases)
    monkeypatch.setattr(budgets, "SEEDS", (0,))
    out = tmp_path / "int8.json"
    options = ("--workload", "int8", "--root", nmnist, "--json", out)
    assert run_command("bench", *options) == 0
    assert "trained for int8" in capsys.readouterr().out
    (case,) = json.loads(out.read_text())["workloads"]["int8"]["cases"]
    rounded, trained = case["runs"]
    assert (rounded["trained_for"], trained["trained_for"]) == ("float32", "int8")
    assert trained["spikes_moved"] == trained["predictions_changed"] == 0
    assert trained["test_loss_int8"] == trained["test_loss"]
    assert rounded["spikes_moved"] > 0


def test_without_recordings_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(budgets, "BUDGET_CASES", budgets.BUDGET_CASES[:1])
    said = run_command("bench", "--workload", "budgets", "--root", tmp_path / "nowhere")
    assert "there are recordings for none of the cases" in str(said)
