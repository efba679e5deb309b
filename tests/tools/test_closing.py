"""What commands say at their end and on their way: meanings, next steps, progress; and --csv."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, train_quickly, write_nmnist, write_nmnist_set
from rich.console import Console

import eventsim as es
from eventsim.operations import LayerOperations
from eventsim_bridge import progress
from eventsim_tools import closing, report
from eventsim_tools.energies import Energies, chosen_models, dense_counts


@pytest.fixture
def network(tmp_path: Path) -> Path:
    layers = [es.Flatten(), es.Dense(np.ones((2, 2312)), np.ones(2), neuron=es.LIF(0.5, 0.5))]
    es.save_network(es.Network((2, 34, 34), 1000, layers), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_csv_has_a_row_for_each_sample_and_layer(network: Path, tmp_path: Path) -> None:
    files = [write_nmnist(tmp_path / f"{n}.bin", x, n) for n, x in enumerate((0, 20))]
    out = tmp_path / "counts.csv"
    assert run_command("run", network, *files, "--csv", out, "--energy", "default") == 0
    rows = list(csv.DictReader(out.open()))
    results = [es.simulate(es.load_network(network), es.read_recording(one)) for one in files]
    assert [row["recording"] for row in rows] == list(map(str, files))
    for row, result in zip(rows, results, strict=True):
        expected = result.to_frame().iloc[0].to_dict()
        assert {name: row[name] for name in expected} == {n: str(v) for n, v in expected.items()}
        assert float(row["energy_pj_45nm-gather"]) > 0
    data = ("--data", "nmnist", "--root", write_nmnist_set(tmp_path / "set"))
    assert run_command("run", network, *data, "--csv", out) == 0
    assert [row["label"] for row in csv.DictReader(out.open())] == ["0", "1"] * 3


def test_csv_to_stdout_is_nothing_but_csv(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    assert run_command("run", network, file, "--csv", "-") == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["layer"] == "layer 1 (Dense)"


def test_run_says_what_its_numbers_mean_and_what_is_next(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    assert run_command("run", network, file) == 0
    said = " ".join(capsys.readouterr().err.split())
    result = es.simulate(es.load_network(network), es.read_recording(file))
    assert result.events_merged > 0
    assert f"{result.events_merged:,} of 1,500 events" in said
    assert "they count as one" in said
    assert re.search(r"[\d.]+% were added: [\d.e+]+ times fewer", said)
    assert f"eventsim run {network} {file} --energy default" in said
    assert run_command("run", network, file, "--energy", "default") == 0
    printed = capsys.readouterr()
    assert "nJ if" in printed.out
    assert "--csv counts.csv" in printed.err


def test_next_steps_are_typed_as_this_command_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "env" / "bin" / "eventsim"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(own), "demo"])
    closing.say_next(what_it_is="inspect demo/network.h5")
    assert "  env/bin/eventsim inspect demo/network.h5" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(own.parent))
    assert closing.called() == "eventsim"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    monkeypatch.setenv("PATH", "/nowhere")
    assert closing.called() == str(own)


def test_training_leaves_its_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.h5"
    assert train_quickly(write_nmnist_set(tmp_path / "data"), out, "--epochs", 3) == 0
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        pattern = rf"epoch {number} of 3: loss [\d.]+, validation [\d.]+%, [\d.]+ s"
        assert re.fullmatch(pattern, line), line
    assert f"eventsim run {out} --data nmnist --root" in printed.err
    assert "epoch 1 of" not in printed.out


def test_a_log_hears_of_long_work_and_stays_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not report.notes.is_terminal
    with report.progress_bar("reading", 5) as advance:
        advance(1)
        time.sleep(2.3)
    with report.waiting("loading torch"):
        pass
    assert capsys.readouterr().err == "reading: 1 of 5, 2 s\n"


def test_a_long_epoch_is_heard_of_where_no_terminal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 0.001)
    assert train_quickly(write_nmnist_set(tmp_path / "data"), tmp_path / "n.h5", "--epochs", 9) == 0
    told = re.findall(r"^training, batches: (\d+) of (\d+), \d+ s$", capsys.readouterr().err, re.M)
    done = [int(done) for done, _ in told]
    assert done
    assert done == sorted(done)
    assert {int(total) for _, total in told} == {18}
    assert max(done) <= 18


def test_what_is_said_itself_is_no_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 0.5)
    with report.progress_bar("training", 5) as work:
        for number in range(1, 6):
            time.sleep(0.2)
            work(1)
            work.say(f"epoch {number}")
    assert capsys.readouterr().err == "".join(f"epoch {number}\n" for number in range(1, 6))


def layer(name: str, scale: int) -> LayerOperations:
    counts = (71_024_640, 981_844_386, 981_844_386, 30_199_000, 0, 0, 0, 0, 8_453_123, 0)
    return LayerOperations(name, *(one * scale for one in (*counts, 71_024_640, 3_000_000)))


@pytest.mark.parametrize("scale", [1, 1000])
def test_tables_fit_80_columns(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = es.Operations((layer("layer 11 (Conv2d)", scale), layer("layer 12 (Dense)", 1)))
    models = chosen_models("all")
    energies = Energies(models, es.Footprint(1000, 100))
    screen = Console(width=80)
    monkeypatch.setattr(report, "console", screen)
    conv = es.Conv2d(np.ones((1, 2, 3, 3)), neuron=es.IF(1.0))
    result = es.simulate(es.Network((2, 8, 8), 1000, [conv]), es.make_events([0], [0], [0], [1]))
    for table in (
        report.operations_table(operations, [result]),
        report.energy_table(operations, 1, energies),
    ):
        with screen.capture() as captured:
            screen.print(table)
        assert max(map(len, captured.get().splitlines())) <= 80
        assert "…" not in captured.get()


def test_dense_counts_are_every_weight_and_every_neuron(network: Path) -> None:
    """Those of a network in which every input spikes, every neuron is updated, nothing skipped."""
    net = es.load_network(network)
    frames = np.ones((3, 2, 34, 34))
    full = es.simulate(net, es.from_frames(frames, 1000)).operations[1]
    dense = dense_counts(full)
    assert dense.macs == full.acs == 3 * 2 * 2312
    assert (dense.updates, dense.decays, dense.bias_adds) == (6, 6, 6)
    assert (full.updates, full.bias_adds, full.compares) == (6, 6, 6)
    silent = es.simulate(net, es.from_frames(0 * frames, 1000)).operations[1]
    assert silent.acs == 0
    assert dense_counts(silent).macs == dense.macs


def test_help_and_errors_leave_stdout_to_those_who_read_it(network: Path) -> None:
    script = "import sys; from eventsim_tools.main import main; main()"
    run: Any = [sys.executable, "-c", script, "inspect", network, "--json", "-"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("{")
    assert "Next:" in done.stderr
