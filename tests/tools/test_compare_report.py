"""What `eventsim compare` makes of its cells: means, intervals, ratios, the page and its files."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparisons import results_of
from rich.console import Console
from scipy.stats import binomtest

import eventsim as es
from eventsim_bridge.datasets import open_dataset
from eventsim_tools import report
from eventsim_tools.compare import command
from eventsim_tools.compare.contrast import temporal_contrast
from eventsim_tools.compare.figures import against_dt, contrast_plot, curves, matrices
from eventsim_tools.compare.page import events_of
from eventsim_tools.compare.plan import Point
from eventsim_tools.compare.summary import equal_accuracy, wilson


def test_means_and_intervals_are_those_of_the_seeds(comparison: Path) -> None:
    results = results_of(comparison)
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


def test_ratios_of_energies_are_of_models_of_the_same_width_as_well(comparison: Path) -> None:
    """All as 32-bit floats, and all as integers of 8 bits; the ANN is trained as the latter."""
    rows = results_of(comparison)["summary"]["rows"]
    page = (comparison / "report.html").read_text()
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


def test_events_and_merged_ones_stand_beside_the_counts(comparison: Path, stripes: Path) -> None:
    results, recordings = results_of(comparison), open_dataset("nmnist", stripes).test
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
    with (comparison / "results.csv").open() as file:
        row, cell = next(csv.DictReader(file)), results["cells"][0]
    at = next(e for e in results["events"] if e["dt_us"] == cell["dt_us"] and e["steps"] == 2)
    assert float(row["events_merged"]) == at["events_merged"]
    at_middle = next(r for r in results["summary"]["rows"] if r["dt_us"] == 20_000)
    assert f"<td>{events_of(at_middle)}</td>" in (comparison / "report.html").read_text()


def test_every_plot_of_accuracies_shows_their_interval(comparison: Path) -> None:
    results = results_of(comparison)
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


def test_the_page_is_whole_and_loads_nothing(comparison: Path) -> None:
    text = (comparison / "report.html").read_text()
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


def test_every_table_and_plot_is_a_file_for_a_paper(comparison: Path) -> None:
    folder, page = comparison / "paper", (comparison / "report.html").read_text()
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
    summary = results_of(comparison)["summary"]["rows"]
    for row, expected in zip(rows, summary, strict=True):
        found = float(row["test accuracy, mean (%)"])
        assert found == pytest.approx(100 * expected["accuracy"], abs=0.005)
        assert float(row["parameters"]) == expected["parameters"]
    text = (folder / "accuracy.tex").read_text()
    assert sum(line.endswith(r" \\") for line in text.splitlines()) == 1 + len(rows)
    assert r"95 \%" in text


def test_the_table_at_the_end_fits_80_columns(
    comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(width=80)
    monkeypatch.setattr(report, "console", screen)
    with screen.capture() as captured:
        screen.print(command._table(results_of(comparison)))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in captured.get()
    rows = results_of(comparison)["summary"]["rows"]
    assert sum(" ANN " in line for line in lines) == sum(row["model"] == "ann" for row in rows)


def test_the_report_begins_with_what_came_out(comparison: Path) -> None:
    page = (comparison / "report.html").read_text()
    snn = next(
        row
        for row in results_of(comparison)["summary"]["rows"]
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
