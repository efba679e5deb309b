"""`eventsim compare`: what it finds, that it goes on after a kill, and the page."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recording_files
import torch
from command_line import run_command
from rich.console import Console
from scipy.stats import binomtest

import eventsim as es
from eventsim_bridge.counting.frames import FrameOperations, count_operations
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.models import export_network
from eventsim_bridge.training.model_files import load_model
from eventsim_tools import report
from eventsim_tools.compare import cells as cells_module
from eventsim_tools.compare import command
from eventsim_tools.compare.contrast import temporal_contrast
from eventsim_tools.compare.figures import against_dt, contrast_plot, curves, matrices
from eventsim_tools.compare.page import events_of
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
from eventsim_tools.compare.summary import equal_accuracy, wilson

SHAPE = (2, 34, 34)


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in N-MNIST's layout whose digits are stripes at places of their own."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("Train", 4), ("Test", 2)):
        for digit in range(10):
            for i in range(count):
                path = root / split / str(digit) / f"{10 * i + digit + 1:05d}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                t, x, y, on = rng.integers(
                    [[0], [3 * digit], [0], [0]], [[40_000], [3 * digit + 4], [34], [2]], (4, 400)
                )
                path.write_bytes(recording_files.nmnist(es.make_events(np.sort(t), x, y, on)))
    return root


def arguments(root: Path, out: Path, *more: Any) -> tuple[Any, ...]:
    data = ("--data", "nmnist", "--root", root, "--structure", "6FC-10")
    grid = ("--dt-us", 20_000, "--dt-us", 10_000, "--steps", 2, "--duration-us", 40_000)
    training = ("--epochs", 2, "--seeds", 2, "--batch-size", 8, "--learning-rate", 0.005)
    return ("compare", *data, *grid, *training, "--same-structure", "--out", out, *more)


@pytest.fixture(scope="module")
def finished(nmnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert run_command(*arguments(nmnist, out)) == 0
    return out


def results_of(out: Path) -> Any:
    return json.loads((out / "results.json").read_text())


def test_every_cell_of_the_grid_is_there(finished: Path) -> None:
    results = results_of(finished)
    points = {(10_000, 2), (20_000, 2), (10_000, 4)}
    assert {(cell["dt_us"], cell["steps"]) for cell in results["cells"]} == points
    assert len(results["cells"]) == 6 * 3 * 2 + 4 * 2
    assert len(results["summary"]["rows"]) == 18
    for cell in results["cells"]:
        assert {(test["dt_us"], test["steps"]) for test in cell["tests"]} == points
        for test in cell["tests"]:
            hits = np.mean(np.equal(test["predictions"], results["labels"]))
            assert test["accuracy"] == hits
    with (finished / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results["cells"])
    for row, cell in zip(rows, results["cells"], strict=True):
        assert row["model"] == cell["model"]
        assert float(row["test_accuracy"]) == cell["test_accuracy"]
        total, samples = cell["operations"]["total"], cell["operations"]["samples"]
        assert float(row["sops"]) == total["sops"] / samples


def test_the_operations_of_an_snn_are_those_of_the_engine(finished: Path, nmnist: Path) -> None:
    cell = next(c for c in results_of(finished)["cells"] if c["model"] == "snn" and c["seed"] == 1)
    loaded: Any = load_model(finished / "cells" / "snn-rate-dt10000us-T2-seed1.pt")
    network = export_network(loaded.model, dt_us=10_000, steps=2)
    test = open_dataset("nmnist", nmnist).test
    results = [es.simulate(network, events) for events, _ in test]
    total = es.Operations.sum(result.operations for result in results)
    assert cell["operations"]["total"] == total.total.as_dict()
    own = next(t for t in cell["tests"] if (t["dt_us"], t["steps"]) == (10_000, 2))
    assert own["predictions"] == [result.prediction for result in results]


def test_means_and_intervals_are_those_of_the_seeds(finished: Path) -> None:
    results = results_of(finished)
    row = results["summary"]["rows"][0]
    group = [
        cell
        for cell in results["cells"]
        if (cell["model"], cell["dt_us"], cell["steps"]) == ("snn", 10_000, 2)
    ]
    assert row["accuracies"] == [cell["test_accuracy"] for cell in group]
    assert row["accuracy"] == pytest.approx(np.mean(row["accuracies"]))
    samples = sum(cell["operations"]["samples"] for cell in group)
    sops = sum(cell["operations"]["total"]["sops"] for cell in group)
    assert row["total"]["sops"] == pytest.approx(sops / samples)
    energies = row["total"]["energy_nj"]
    assert list(energies) == list(es.energy_model_names())
    assert 0 < energies["45nm-arithmetic"] < energies["45nm-gather"] < energies["45nm-scatter"]
    assert set(row["energy_ratios"].values()) == {1.0}
    recurrent = next(row for row in results["summary"]["rows"] if row["model"] == "rnn")
    assert recurrent["total"]["energy_nj"]["loihi"] is None
    assert "loihi" not in recurrent["energy_ratios"]
    assert recurrent["energy_ratios"]["45nm-gather"] == pytest.approx(
        recurrent["total"]["energy_nj"]["45nm-gather"] / energies["45nm-gather"]
    )
    spikes = sum(cell["operations"]["total"]["output_spikes"] for cell in group)
    assert row["firing_rate"] == pytest.approx(spikes / samples / (16 * 2))
    assert row["usual_estimate"] == pytest.approx(row["total"]["dense_macs"] * row["firing_rate"])


def test_both_readings_of_pools_are_reported(nmnist: Path, tmp_path: Path) -> None:
    """Behind an average pool: rows of each spike, and what a machine takes that pools first."""
    command = ("compare", "--data", "nmnist", "--root", nmnist, "--structure", "AP2-10", "--out")
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
    finished: Path, nmnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventsim_bridge.training import loop as training

    command = arguments(nmnist, tmp_path)
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
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name
    assert not list((tmp_path / "cells").glob("*-training-*"))
    with monkeypatch.context() as patch:  # nothing is trained again
        kill_after(patch, cells_module, "run_cell", 0)
        assert run_command(*command) == 0
    assert (tmp_path / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_further_grid_points_are_tested_without_training_what_is_trained(
    nmnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("compare", "--data", "nmnist", "--root", nmnist, "--structure", "10", "--epochs", 1)
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
    nmnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("compare", "--data", "nmnist", "--root", nmnist, "--structure", "10", "--epochs", 1)
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


def test_rnn_and_lstm_have_the_parameters_of_the_snn(finished: Path) -> None:
    """Wherever nothing else is asked for; the ANN has them by its structure."""
    summary = results_of(finished)["summary"]
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


def test_the_ann_sees_one_frame_of_all_events_of_the_window(finished: Path, nmnist: Path) -> None:
    cell = next(c for c in results_of(finished)["cells"] if c["model"] == "ann" and c["seed"] == 1)
    loaded: Any = load_model(finished / "cells" / "ann-last-dt10000us-T2-seed1.pt")
    predicted, counted = [], []
    for events, _ in open_dataset("nmnist", nmnist).test:
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
    row = next(row for row in results_of(finished)["summary"]["rows"] if row["model"] == "ann")
    assert row["total"]["energy_nj"]["loihi"] is None


def test_ratios_of_energies_are_of_models_of_the_same_width_as_well(finished: Path) -> None:
    """All as 32-bit floats, and all as integers of 8 bits; the ANN is trained as the latter."""
    rows = results_of(finished)["summary"]["rows"]
    page = (finished / "report.html").read_text()
    for row in rows:
        snn = next(r for r in rows if r["model"] == "snn" and r["dt_us"] == row["dt_us"])
        if row["steps"] != snn["steps"]:
            continue
        total, at = row["total"], row["total"]["energy_nj_at"]
        assert total["energy_nj"] == at["int8" if row["model"] == "ann" else "float32"]
        add, product, multiply = 0.1, 0.2, 3.1
        macs, get = total["macs"] + total.get("recurrent_macs", 0), total.get
        activations = get("sigmoids", 0) + get("tanhs", 0)
        adds = total["sops"] + sum(
            get(name, 0) for name in ("bias_adds", "compares", "adds", "pool_adds", "pool_compares")
        )
        multiplies = get("decays", 0) + get("multiplies", 0)
        expected = (adds + activations) * add + macs * product
        expected += (multiplies + activations) * multiply
        assert at["int8"]["45nm-arithmetic"] == pytest.approx(expected / 1e3)
        assert at["int8"]["45nm-gather"] < at["float32"]["45nm-gather"]
        low, high = row["energy_ratio_range"]
        for width in ("float32", "int8"):
            ends = row["energy_ratio_range_at"][width]
            ratio = at[width]["45nm-gather"] / snn["total"]["energy_nj_at"][width]["45nm-gather"]
            assert low <= ends[0] <= ratio <= ends[1] <= high
        assert low <= min(row["energy_ratios"].values())
        assert high >= max(row["energy_ratios"].values())
    assert "ANN, as float32" in page
    assert "SNN, as int8" in page


def test_events_and_merged_ones_stand_beside_the_counts(finished: Path, nmnist: Path) -> None:
    results, recordings = results_of(finished), open_dataset("nmnist", nmnist).test
    for row in results["summary"]["rows"]:
        seen = cells = 0
        for events, _ in recordings:
            t = (events["t"] - events["t"][0]) // row["dt_us"]
            keys = np.stack([t, events["x"], events["y"], events["on"]])[:, t < row["steps"]]
            seen += keys.shape[1]
            cells += np.unique(keys, axis=1).shape[1]
        assert row["events"] == seen / len(recordings)
        assert row["events_merged"] == (seen - cells) / len(recordings) > 0
        first = row["layers"][0]
        if row["model"] in ("snn", "rnn", "lstm"):
            assert first["input_events"] == pytest.approx(cells / len(recordings))
    with (finished / "results.csv").open() as file:
        row, cell = next(csv.DictReader(file)), results["cells"][0]
    at = next(e for e in results["events"] if e["dt_us"] == cell["dt_us"] and e["steps"] == 2)
    assert float(row["events_merged"]) == at["events_merged"]
    at_middle = next(r for r in results["summary"]["rows"] if r["dt_us"] == 20_000)
    assert f"<td>{events_of(at_middle)}</td>" in (finished / "report.html").read_text()


def test_every_plot_of_accuracies_shows_their_interval(finished: Path) -> None:
    results = results_of(finished)
    summary, points = results["summary"], [Point(10_000, 2), Point(20_000, 2)]
    wider = [row | {"wilson_95": [0.0, 1.0]} for row in summary["rows"]]
    panel = (("accuracy", lambda row: row["accuracies"], False),)
    drawn = [against_dt("a", rows, points, panel) for rows in (wider, summary["rows"])]
    assert drawn[0] != drawn[1]
    plots = [contrast_plot(results["contrast"], rows, points) for rows in (wider, summary["rows"])]
    assert plots[0] != plots[1]
    grid = [Point(10_000, 2), Point(20_000, 2), Point(10_000, 4)]
    assert matrices(summary["generalisation"], grid, 10) != matrices(
        summary["generalisation"], grid, 1000
    )
    fewer = [
        cell | {"training": cell["training"] | {"validation_recordings": 1}}
        for cell in results["cells"]
    ]
    assert curves(fewer, points[0]) != curves(results["cells"], points[0])


def test_two_workers_of_a_cluster_find_the_same(
    finished: Path, nmnist: Path, tmp_path: Path
) -> None:
    assert run_command(*arguments(nmnist, tmp_path, "--cluster", 2)) == 0
    assert (tmp_path / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_a_folder_of_recordings_in_a_comparison(nmnist: Path, tmp_path: Path) -> None:
    """The training part of the digits as somebody's own, every other pixel, half for testing."""
    data = ("--data", "folder", "--root", nmnist / "Train", "--test-share", 0.5)
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


class Page(HTMLParser):
    """Headings, table cells, plots, and whatever would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.rows = self.plots = 0
        self.loaded: list[str] = []
        self.within = ""

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.within = tag
        self.rows += tag == "tr"
        self.plots += tag == "svg"
        for name, value in attributes:
            outside = name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:"))
            if outside or tag in ("script", "link", "iframe"):
                self.loaded.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self.within in ("h1", "h2"):
            self.headings.append(data)
            self.within = ""


def test_the_page_is_whole_and_loads_nothing(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.headings == [
        "SNN, RNN, LSTM and ANN on nmnist: 6FC-10", "In short", "Settings", "Accuracy",
        "Temporal resolution",
        "Temporal contrast", "Generalisation", "Features", "Computation", "On equal terms",
        "Parameters and memory",
    ]  # fmt: skip
    assert page.loaded == []
    assert page.plots == 7
    assert page.rows > 50
    assert "#010203" not in text
    assert "lower bound" in text


def test_every_table_and_plot_is_a_file_for_a_paper(finished: Path) -> None:
    folder, page = finished / "paper", (finished / "report.html").read_text()
    files = {path.name for path in folder.iterdir()}
    plots = ("computation", "contrast", "features", "generalisation", "resolution", "training")
    for name in (*plots, "resolution-same-duration"):
        files -= {f"{name}.pdf", f"{name}.svg"}
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert b"/CIDFontType2" in (folder / f"{name}.pdf").read_bytes()  # text that is text
        assert "<text " in (folder / f"{name}.svg").read_text()
    words = (folder / "resolution.svg").read_text()
    for label in ("timestep (ms)", "synaptic operations a sample", "SNN", "RNN, rate-inspired"):
        assert f">{label}</text>" in words
    tables = sorted({name.partition(".")[0] for name in files})
    assert files == {f"{name}{end}" for name in tables for end in (".csv", ".tex")}
    assert len(tables) == page.count("<table>") == 9
    with (folder / "accuracy.csv").open() as file:
        rows = list(csv.DictReader(file))
    summary = results_of(finished)["summary"]["rows"]
    for row, expected in zip(rows, summary, strict=True):
        found = float(row["test accuracy, mean (%)"])
        assert found == pytest.approx(100 * expected["accuracy"], abs=0.005)
        assert float(row["parameters"]) == expected["parameters"]
    text = (folder / "accuracy.tex").read_text()
    assert sum(line.endswith(r" \\") for line in text.splitlines()) == 1 + len(rows)
    assert r"95 \%" in text


def test_the_table_at_the_end_fits_80_columns(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(width=80)
    monkeypatch.setattr(report, "console", screen)
    with screen.capture() as captured:
        screen.print(command._table(results_of(finished)))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in captured.get()
    rows = results_of(finished)["summary"]["rows"]
    assert sum(" ANN " in line for line in lines) == sum(row["model"] == "ann" for row in rows)


def test_the_report_begins_with_what_came_out(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    snn = next(
        row
        for row in results_of(finished)["summary"]["rows"]
        if (row["model"], row["dt_us"], row["steps"]) == ("snn", 20_000, 2)
    )
    short = page[page.index("In short") : page.index("Settings")]
    assert f"SNN: accuracy {100 * snn['accuracy']:.2f} %" in short
    assert short.count("<li>") == 7
    assert len(snn["sops"]) == len(snn["accuracies"]) == snn["seeds"] == 2
    assert np.mean(snn["sops"]) == pytest.approx(snn["total"]["sops"])
    assert np.mean(snn["seed_rates"]) == pytest.approx(snn["firing_rate"])


def test_wilson_is_that_of_scipy() -> None:
    for correct, samples in ((0, 10), (7, 10), (10, 10), (930, 1000)):
        interval = binomtest(correct, samples).proportion_ci(method="wilson")
        assert wilson(correct, samples) == pytest.approx((interval.low, interval.high))


def test_structures_are_scaled_to_the_parameters_of_the_snn() -> None:
    assert scaled("MP4-64C3s2-AP2-256FC-11", 0.5) == "MP4-32C3s2-AP2-128FC-11"
    assert scaled("3FC-10", 0.01) == "1FC-10"
    for structure in ("512FC-10", "16C3-AP2-64FC-10"):
        wanted = parameters_of(structure, SHAPE, "snn")
        for model in ("rnn", "lstm"):
            found = parameters_of(same_parameters(structure, SHAPE, model), SHAPE, model)
            assert abs(found / wanted - 1) < 0.05


def test_contrast_by_hand() -> None:
    class Frames:
        def __len__(self) -> int:
            return 2

        def frames(self, indices: Any) -> Any:
            frames = torch.zeros(2, 4, 1, 1, 3)
            frames[0, 0, 0, 0, :2] = 1
            frames[0, 1, 0, 0, 1:] = 1  # one of three stays: 2/3
            frames[0, 2, 0, 0, 1:] = 1  # 0
            frames[0, 3] = 0  # 1
            return frames[indices]  # the other recording is silent

    found = temporal_contrast(Frames())  # type: ignore[arg-type]
    assert found["contrast"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["activity"] == pytest.approx(6 / 24)


def test_equal_accuracy_takes_the_cheapest_that_is_good_enough() -> None:
    def row(model: str, loss: str, accuracy: float, joules: float) -> Any:
        total = {"energy_nj": {"mine": joules}}
        return {"model": model, "loss": loss, "validation_accuracy": accuracy, "total": total}

    rows = [
        *(row("snn", "rate", a, e) for a, e in ((0.9, 5), (0.8, 1), (0.85, 2))),
        *(row(m, k, 0.85, 9) for m, k in (("rnn", "last"), ("rnn", "rate-inspired"))),
        *(row("lstm", k, 0.99, 9) for k in ("last", "rate-inspired")),
        row("ann", "last", 0.95, 3),
    ]
    found = equal_accuracy(rows, "mine")
    assert found["validation_accuracy"] == 0.85
    assert [r["total"]["energy_nj"]["mine"] for r in found["rows"]] == [2, 9, 9, 9, 9, 3]


def test_bad_plans_are_one_sentence(nmnist: Path, tmp_path: Path) -> None:
    good = ("compare", "--data", "nmnist", "--root", nmnist, "--structure", "10", "--out", tmp_path)
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
