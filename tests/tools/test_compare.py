"""`eventsim compare`: what it trains, tests and counts, and that it goes on after a kill."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_command
from comparisons import arguments, results_of

import eventsim as es
from eventsim_bridge.counting.frames import FrameOperations, count_operations
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.models import export_network
from eventsim_bridge.training.model_files import load_model
from eventsim_tools.compare import cells as cells_module
from eventsim_tools.compare.plan import (
    COMBINATIONS,
    Cell,
    Plan,
    Point,
    parameters_of,
    same_parameters,
    scaled,
)
from eventsim_tools.compare.store import Store

SHAPE = (2, 34, 34)


def test_every_cell_of_the_grid_is_there(comparison: Path) -> None:
    results = results_of(comparison)
    points = {(10_000, 2), (20_000, 2), (10_000, 4)}
    assert {(cell["dt_us"], cell["steps"]) for cell in results["cells"]} == points
    assert len(results["cells"]) == 6 * 3 * 2 + 4 * 2
    assert len(results["summary"]["rows"]) == 18
    for cell in results["cells"]:
        assert {(test["dt_us"], test["steps"]) for test in cell["tests"]} == points
        for test in cell["tests"]:
            hits = np.mean(np.equal(test["predictions"], results["labels"]))
            assert test["accuracy"] == hits
    with (comparison / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results["cells"])
    for row, cell in zip(rows, results["cells"], strict=True):
        assert row["model"] == cell["model"]
        assert float(row["test_accuracy"]) == cell["test_accuracy"]
        total, samples = cell["operations"]["total"], cell["operations"]["samples"]
        assert float(row["sops"]) == total["sops"] / samples


def test_the_operations_of_an_snn_are_those_of_the_engine(comparison: Path, stripes: Path) -> None:
    cell = next(
        c for c in results_of(comparison)["cells"] if c["model"] == "snn" and c["seed"] == 1
    )
    loaded: Any = load_model(comparison / "cells" / "snn-rate-dt10000us-T2-seed1.pt")
    network = export_network(loaded.model, dt_us=10_000, steps=2)
    test = open_dataset("nmnist", stripes).test
    results = [es.simulate(network, events) for events, _ in test]
    total = es.Operations.sum(result.operations for result in results)
    assert cell["operations"]["total"] == total.total.as_dict()
    own = next(t for t in cell["tests"] if (t["dt_us"], t["steps"]) == (10_000, 2))
    assert own["predictions"] == [result.prediction for result in results]


def test_both_readings_of_pools_are_reported(stripes: Path, tmp_path: Path) -> None:
    """Behind an average pool: rows of each spike, and what a machine takes that pools first."""
    command = ("compare", "--data", "nmnist", "--root", stripes, "--structure", "AP2-10", "--out")
    grid = ("--dt-us", 20_000, "--steps", 2, "--epochs", 1, "--learning-rate", 0.001)
    assert run_command(*command, tmp_path, *grid) == 0
    row = next(r for r in results_of(tmp_path)["summary"]["rows"] if r["model"] == "snn")
    pooled = row["pools_first"]
    assert pooled["pool_adds"] == row["total"]["input_events"]  # windows that do not overlap
    assert 0 < pooled["sops"] == pooled["acs"] + pooled["macs"] < row["total"]["acs"]
    assert pooled["compares"] == row["total"]["compares"]
    ratio = pooled["energy_nj"]["45nm-gather"] / row["total"]["energy_nj"]["45nm-gather"]
    assert ratio < 1  # fewer weights are read
    low, high = pooled["energy_ratio_range"]
    assert low <= ratio <= high
    assert "pools first: ACs, MACs, additions" in (tmp_path / "report.html").read_text()


class Killed(BaseException):
    pass


def kill_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    method, left = getattr(owner, name), iter(range(calls))

    def dying(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, dying)


def test_a_killed_run_goes_on_to_the_same_results(
    comparison: Path, stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventsim_bridge.training import loop as training

    command = arguments(stripes, tmp_path)
    for owner, name, calls in (
        (Store, "save", 3),  # between cells
        (training, "error_of", 27),  # in the middle of an epoch of the sixth
        (cells_module, "_test", 2),  # when trained and not yet tested
    ):
        with monkeypatch.context() as patch:
            kill_after(patch, owner, name, calls)
            with pytest.raises(Killed):
                run_command(*command)
    assert not (tmp_path / "results.json").exists()
    assert run_command(*command) == 0
    for name in ("results.json", "results.csv", "report.html"):
        assert (tmp_path / name).read_bytes() == (comparison / name).read_bytes(), name
    assert not list((tmp_path / "cells").glob("*-training-*"))
    with monkeypatch.context() as patch:  # nothing is trained again
        kill_after(patch, cells_module, "run_cell", 0)
        assert run_command(*command) == 0
    assert (tmp_path / "results.json").read_bytes() == (comparison / "results.json").read_bytes()


def test_further_grid_points_are_tested_without_training_what_is_trained(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("compare", "--data", "nmnist", "--root", stripes, "--structure", "10", "--epochs", 1)
    rates = ("--learning-rate", 0.001, "--learning-rate", 0.003)
    command = (*data, *rates, "--steps", 2, "--out", tmp_path, "--dt-us", 10_000)
    assert run_command(*command) == 0
    before = {(tmp_path / "cells" / f"rnn-last-dt10000us-T2-seed0{end}") for end in (".pt",)}
    models = [path.read_bytes() for path in before]
    from eventsim_bridge.training import loop as training

    trained = []
    train = training.train

    def noted(dataset: Any, settings: Any, **more: Any) -> Any:
        trained.append((settings.dt_us, settings.learning_rate))
        return train(dataset, settings, **more)

    monkeypatch.setattr(training, "train", noted)
    assert run_command(*command, "--dt-us", 20_000) == 0
    assert trained == [(20_000, rate) for _ in range(6) for rate in (0.001, 0.003)]  # its own
    assert [path.read_bytes() for path in before] == models
    results = results_of(tmp_path)
    assert all(len(cell["tests"]) == 2 for cell in results["cells"])
    sentence = run_command(*command, "--epochs", 2)
    assert isinstance(sentence, str)
    assert "plan.json: epochs is 1, expected 2 to go on" in sentence
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"version": 3, "new": 1}))
    sentence = run_command(*command)
    assert isinstance(sentence, str)
    assert "plan.json: version is 3, expected 4 to go on; begin again in another" in sentence


def test_each_model_chooses_its_learning_rate_at_each_grid_point_by_validation(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("compare", "--data", "nmnist", "--root", stripes, "--structure", "10", "--epochs", 1)
    grid = ("--dt-us", 10_000, "--dt-us", 20_000, "--steps", 2, "--seeds", 2)
    rates = ("--learning-rate", 0.03, "--learning-rate", 0.01, "--learning-rate", 0.003)
    assert run_command(*data, *grid, *rates, "--out", tmp_path) == 0
    printed = capsys.readouterr().err
    assert "24 models, 48 trainings: with seed 0 each tries 3 learning rates" in printed
    results = results_of(tmp_path)
    lines = results["summary"]["learning_rates"]
    assert [(line["dt_us"], line["model"], line["loss"]) for line in lines] == [
        (dt_us, *combination) for dt_us in (10_000, 20_000) for combination in COMBINATIONS
    ]
    for line in lines:
        assert (line["steps"], line["seed"]) == (2, 0)
        tried = line["tried"]
        assert [one["learning_rate"] for one in tried] == [0.03, 0.01, 0.003]
        best = max(tried, key=lambda one: (one["validation_accuracy"], -one["validation_loss"]))
        assert line["learning_rate"] == best["learning_rate"]
        of = ("model", "loss", "dt_us")
        cells = [c for c in results["cells"] if all(c[name] == line[name] for name in of)]
        assert [c["training"]["learning_rate"] for c in cells] == [best["learning_rate"]] * 2
        assert [bool(c["training"]["tried"]) for c in cells] == [True, False]
    by_kind = [{line["learning_rate"] for line in lines[kind::6]} for kind in range(6)]
    assert any(len(rates) > 1 for rates in by_kind)  # not one for all grid points
    second = load_model(tmp_path / "cells" / "snn-rate-dt20000us-T2-seed1.pt")
    assert second.settings.learning_rate == lines[6]["learning_rate"]


def test_rnn_and_lstm_have_the_parameters_of_the_snn(comparison: Path) -> None:
    """Wherever nothing else is asked for; the ANN has them by its structure."""
    summary = results_of(comparison)["summary"]
    wanted = summary["rows"][0]["parameters"]
    for row in summary["rows"]:
        if row["model"] in ("snn", "ann"):
            assert (row["structure"], row["parameters"]) == ("6FC-10", wanted)
        else:  # one unit of an LSTM is a third of them: the nearest of 1, 2, ...
            assert row["structure"] == same_parameters("6FC-10", SHAPE, row["model"])
            assert abs(row["parameters"] - wanted) <= row["parameters"] // 3
    same = summary["same_structure"]
    assert [(row["model"], row["loss"]) for row in same] == list(COMBINATIONS[1:5])
    assert all(row["structure"] == "6FC-10" and row["parameters"] > wanted for row in same)


def test_the_ann_sees_one_frame_of_all_events_of_the_window(
    comparison: Path, stripes: Path
) -> None:
    cell = next(
        c for c in results_of(comparison)["cells"] if c["model"] == "ann" and c["seed"] == 1
    )
    loaded: Any = load_model(comparison / "cells" / "ann-last-dt10000us-T2-seed1.pt")
    predicted, counted = [], []
    for events, _ in open_dataset("nmnist", stripes).test:
        events = events[events["t"] - events["t"][0] < 20_000]
        frame = torch.zeros(1, 1, *SHAPE)
        for _, x, y, on in events.tolist():
            frame[0, 0, int(on), y, x] += 1
        predicted.append(int(loaded.model(frame).argmax()))
        counted += count_operations(loaded.model, frame)
    assert (cell["dt_us"], cell["steps"]) == (10_000, 2)
    own = next(t for t in cell["tests"] if (t["dt_us"], t["steps"]) == (10_000, 2))
    assert own["predictions"] == predicted
    total = FrameOperations.sum(counted).total
    assert cell["operations"]["total"] == total.as_dict()
    assert total.acs > 0
    assert total.macs > 0
    row = next(row for row in results_of(comparison)["summary"]["rows"] if row["model"] == "ann")
    assert row["total"]["energy_nj"]["loihi"] is None


def test_two_workers_of_a_cluster_find_the_same(
    comparison: Path, stripes: Path, tmp_path: Path
) -> None:
    assert run_command(*arguments(stripes, tmp_path, "--cluster", 2)) == 0
    assert (tmp_path / "results.json").read_bytes() == (comparison / "results.json").read_bytes()


def test_a_folder_of_recordings_in_a_comparison(stripes: Path, tmp_path: Path) -> None:
    """The training part of the digits as somebody's own, every other pixel, half for testing."""
    data = ("--data", "folder", "--root", stripes / "Train", "--test-share", 0.5)
    sizes = ("--structure", "10", "--steps", 2, "--epochs", 1, "--learning-rate", 1e-3)
    more = ("--sensor", "34x34", "--downscale", 2, "--out", tmp_path)
    assert run_command("compare", *data, *sizes, *more) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["plan"]["parting"]["test_share"] == 0.5
    assert sorted(results["labels"]) == sorted([*range(10)] * 2)
    assert results["cells"][0]["operations"]["layers"][0]["dense_macs"] == 20 * 2 * 578 * 10
    assert "--test-share is set with --data nmnist, expected none" in str(
        run_command("compare", "--data", "nmnist", *data[2:], *sizes, "--out", tmp_path / "x")
    )


def test_structures_are_scaled_to_the_parameters_of_the_snn() -> None:
    assert scaled("MP4-64C3s2-AP2-256FC-11", 0.5) == "MP4-32C3s2-AP2-128FC-11"
    assert scaled("3FC-10", 0.01) == "1FC-10"
    for structure in ("512FC-10", "16C3-AP2-64FC-10"):
        wanted = parameters_of(structure, SHAPE, "snn")
        for model in ("rnn", "lstm"):
            found = parameters_of(same_parameters(structure, SHAPE, model), SHAPE, model)
            assert abs(found / wanted - 1) < 0.05


def test_bad_plans_are_one_sentence(stripes: Path, tmp_path: Path) -> None:
    data = ("--data", "nmnist", "--root", stripes)
    good = ("compare", *data, "--structure", "10", "--out", tmp_path)
    for options, expected in (
        (("--dt-us", 0), "--dt-us is 0, expected a whole number >= 1"),
        (("--dt-us", 5000, "--dt-us", 5000), "expected one or more different numbers"),
        (("--seeds", 0), "seeds is 0, expected 1 or more"),
        (("--dt-us", 5000, "--duration-us", 4000), "--duration-us is 4000, expected at least one"),
        (("--learning-rate", -1), "--learning-rate is -1.0, expected more than 0"),
        (("--structure", "7"), "ends with 7 classes, expected the 10"),
        (("--energy", tmp_path / "no.toml"), "no.toml"),
    ):
        sentence = run_command(*good, *options)
        assert isinstance(sentence, str), options
        assert expected in sentence
        assert "\n" not in sentence
    plan = Plan("nmnist", "10", (20_000,), 15)
    assert Cell("snn", "rate", Point(20_000, 15), 0, "10") in plan.cells(SHAPE)
