"""The command line from end to end: what it prints, writes, and says about bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, write_nmnist, write_nmnist_set

import eventsim as es
from eventsim.events.recordings import read_packets
from eventsim_bridge.datasets import open_dataset
from eventsim_tools import inputs
from eventsim_tools.compare_time import at_dt, compare_time


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network that answers with the half of the sensor, left or right, that has more events."""
    weight = np.zeros((2, 2, 34, 34))
    weight[0, :, :, :17] = weight[1, :, :, 17:] = 1.0
    dense = es.Dense(weight.reshape(2, -1), neuron=es.LIF(0.5, 0.5))
    net = es.Network((2, 34, 34), 1000, [es.Flatten(), dense], class_names=["left", "right"])
    es.save_network(net, tmp_path / "net.h5")
    return tmp_path / "net.h5"


@pytest.fixture
def nmnist(tmp_path: Path) -> Path:
    return write_nmnist_set(tmp_path / "data")


def test_run_on_recordings_writes_what_the_engine_gives(network: Path, tmp_path: Path) -> None:
    files = [write_nmnist(tmp_path / f"{n}.bin", x, n) for n, x in enumerate((0, 20, 3))]
    out = tmp_path / "out.json"
    assert run_command("run", network, *files, "--json", out) == 0
    document = json.loads(out.read_text())
    net = es.load_network(network)
    results = [es.simulate(net, es.read_recording(file).events) for file in files]
    assert document["samples"] == 3
    assert document["names"] == [str(file) for file in files]
    assert document["predictions"] == [r.prediction for r in results] == [0, 1, 0]
    assert document["labels"] is None
    assert document["accuracy"] is None
    assert document["seconds"] > 0
    assert document["spike_counts"] == [r.spike_counts.tolist() for r in results]
    assert document["layers"][0]["acs"] == [r.operations.total.acs for r in results]
    assert document["layers"][0]["state_bytes_read"] == [
        r.operations.total.state_bytes_read for r in results
    ]


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_run_on_long_files_gives_the_same(
    mode: str, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is read in packets, here of 100 events, and named in errors as a short one."""
    files: list[Any] = [write_nmnist(tmp_path / f"{n}.bin", x, n) for n, x in enumerate((0, 20))]
    wide, cut = tmp_path / "wide.npy", tmp_path / "cut.bin"
    np.save(wide, es.make_events(range(300), [0] * 250 + [40] * 50, [0] * 300, [1] * 300))
    cut.write_bytes(files[0].read_bytes()[:-2])
    out = tmp_path / "out.json"
    documents, sentences = [], []
    for long_file in (inputs.LONG_FILE, 1):
        monkeypatch.setattr(inputs, "LONG_FILE", long_file)
        monkeypatch.setattr(es, "read_packets", partial(read_packets, size=100))
        assert run_command("run", network, *files, "--mode", mode, "--json", out) == 0
        documents.append(json.loads(out.read_text()))
        assert documents[-1].pop("seconds") > 0
        bad = (wide, cut, tmp_path / "none.bin", tmp_path)
        sentences.append([run_command("run", network, *files, file) for file in bad])
    assert documents[0] == documents[1]
    assert sentences[0] == sentences[1]
    assert "wide.npy: event 250: x is 40" in sentences[0][0]


def test_sorting_and_torch_take_a_recording_whole(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LONG_FILE", 1)
    backwards = tmp_path / "backwards.npy"
    np.save(backwards, es.make_events([5, 9], [1, 2], [1, 2], [1, 0])[::-1])
    assert "backwards.npy: event 1: time runs" in str(run_command("run", network, backwards))
    assert run_command("run", network, backwards, "--sort") == 0
    assert run_command("run", network, write_nmnist(tmp_path / "a.bin", 0), "--against-torch") == 0


def test_run_on_a_data_set_gives_the_accuracy(network: Path, nmnist: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = ("run", network, "--data", "nmnist", "--root", nmnist, "--json", out)
    assert run_command(*run) == 0
    assert json.loads(out.read_text())["accuracy"] == 1.0
    assert run_command(*run, "--split", "train", "--limit", 5, "--threads", 1, "--steps", 7) == 0
    document = json.loads(out.read_text())
    assert (document["samples"], document["steps"]) == (5, [7] * 5)
    assert all(late > 0 for late in document["events_late"])


def test_json_to_stdout_is_nothing_but_json(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    assert run_command("run", network, file, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == [0]
    assert run_command("inspect", network, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 2 * 2312
    assert run_command("inspect", file, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["events"] == 1500


def test_inspect_prints_networks_and_recordings(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("inspect", network) == 0
    shown = capsys.readouterr().out
    assert "layer 1 (Dense)" in shown
    assert "4,624" in shown
    assert run_command("inspect", write_nmnist(tmp_path / "a.bin", 0)) == 0
    assert "guessed: the smallest that holds the events" in capsys.readouterr().out


def test_bad_input_is_one_sentence(network: Path, nmnist: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes(b"\0" * 7)
    outside = tmp_path / "wide.npy"
    np.save(outside, es.make_events([0], [40], [0], [1]))
    data = ("--data", "nmnist", "--root", nmnist)
    for arguments, expected in (
        (("run", network), "nothing to run"),
        (("run", network, cut), "cut.bin: cut short"),
        (("run", network, outside), "wide.npy: event 0: x is 40, expected 0 to 33"),
        (("run", cut, cut), "cut.bin: "),
        (("run", network, tmp_path / "none.bin"), "none.bin: there is no such file"),
        (("run", network, *data, "--split", "half"), "--split is 'half'"),
        (("run", network, *data, "--threads", 999), "threads is 999"),
        (("inspect", tmp_path / "none.h5"), "none.h5: there is no such file"),
        (("train", *data, "--structure", "4FC-3", "--out", tmp_path / "n.h5"), "3 classes"),
        (("train", *data, "--structure", "x", "--out", tmp_path / "n.h5"), "structure 'x'"),
        (
            ("train", *data, "--structure", "10", "--out", tmp_path / "no" / "n.h5"),
            "does not exist",
        ),
        (("run", network, cut, "--json", tmp_path / "no" / "a.json"), "does not exist"),
    ):
        sentence = run_command(*arguments)
        assert isinstance(sentence, str), arguments
        assert expected in sentence
        assert sentence.startswith("eventsim: ")
        assert "\n" not in sentence
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["cut.bin", "data", "net.h5", "wide.npy"]


def test_a_json_that_cannot_be_written_is_one_sentence(network: Path, tmp_path: Path) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    sentence = run_command("run", network, file, "--json", tmp_path / "no" / "a.json")
    assert isinstance(sentence, str)
    folder = tmp_path / "no"
    assert sentence == f"eventsim: {folder / 'a.json'}: the folder {folder} does not exist"


def test_the_installed_command_ends_without_a_traceback(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("eventsim")
    done = subprocess.run(
        [command, "inspect", tmp_path / "none.bin"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"eventsim: {tmp_path}/none.bin: there is no such file\n"
    assert done.stdout == ""


def test_kernels_are_compiled_once_and_said_to_be(network: Path, tmp_path: Path) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    command = [Path(sys.executable).with_name("eventsim"), "run", network, file]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr
        for _ in range(2)
    ]
    assert [text.startswith("compiling kernels, once\n") for text in said] == [True, False]
    assert "compiling" not in said[1]


def test_demo_shows_the_main_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("demo", "--epochs", 1, "--out", tmp_path / "demo") == 0
    document = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert document["samples"] == 355
    assert document["accuracy"] > 0.9
    assert document["agreement"]["recordings"] == 355
    assert all(layer["largest_origin_distance"] < 1e-5 for layer in document["agreement"]["layers"])
    first, second = document["layers"]
    assert first["acs"] == [512 * events for events in first["input_events"]]
    assert second["input_events"] == first["output_spikes"]
    net = es.load_network(tmp_path / "demo" / "network.h5")
    assert net.provenance["test_accuracy"] == document["accuracy"]
    assert (tmp_path / "demo" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert "5. Count" in capsys.readouterr().out


def test_run_in_asynchronous_time(network: Path, tmp_path: Path) -> None:
    files = [write_nmnist(tmp_path / f"{n}.bin", x, n) for n, x in enumerate((0, 20, 3))]
    out = tmp_path / "out.json"
    assert run_command("run", network, *files, "--mode", "async", "--json", out) == 0
    document = json.loads(out.read_text())
    events = [es.read_recording(file).events for file in files]
    results = [es.simulate(es.load_network(network), one, mode="async") for one in events]
    assert document["engine"] == "async"
    assert document["predictions"] == [0, 1, 0]
    assert document["spike_counts"] == [r.spike_counts.tolist() for r in results]
    assert document["layers"][0]["acs"] == [2 * len(one) for one in events]
    for arguments, sentence in (
        (("--mode", "async", "--against-torch"), "--against-torch is set with --mode async"),
        (("--mode", "fast"), "mode is 'fast', expected one of"),
    ):
        assert sentence in str(run_command("run", network, *files, *arguments))


def test_a_silent_network_is_marked(network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", es.make_events([], [], [], []))
    file, out = write_nmnist(tmp_path / "a.bin", 20), tmp_path / "out.json"
    assert run_command("run", network, tmp_path / "none.npy", file, "--json", out) == 0
    document = json.loads(out.read_text())
    assert document["silent"] == [True, False]
    assert document["predictions"][1] == 1


def test_compare_time_runs_one_network_on_several_grids(nmnist: Path, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 0.2, (10, 2 * 34 * 34))
    layers = [es.Flatten(), es.Dense(weight, np.ones(10) * 0.01, neuron=es.LIF(0.5, 1.0))]
    net = es.Network((2, 34, 34), 2000, layers, steps=20)
    es.save_network(net, tmp_path / "net.h5")
    compare_time([tmp_path / "net.h5"], "nmnist", tmp_path / "t.json", nmnist, dt="1000,2000")
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert [(row["time"], row["samples"]) for row in rows] == [
        ("1 ms", 6), ("2 ms", 6), ("async", 6),
    ]  # fmt: skip
    part = open_dataset("nmnist", nmnist).test
    for row, mode in zip(rows[1:], ("clocked", "async"), strict=True):
        results = [es.simulate(net, part[i][0], mode=mode) for i in range(6)]  # type: ignore[arg-type]
        assert row["sops"] == sum(r.operations.total.sops for r in results) / 6
        assert row["spikes"] == [sum(r.spike_counts.sum() for r in results) / 6]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_a_network_at_another_dt_has_the_same_time_constants() -> None:
    neuron = es.CUBALIF(current_decay=(0.25, 1.0), decay=0.5, threshold=1.0)
    layers = [es.Flatten(), es.Dense(np.ones((2, 1)), neuron=neuron)]
    layers.append(es.Dense(np.ones((1, 2)), [0.3], neuron=es.LIF(0.5, 1.0)))
    fine = at_dt(es.Network((1, 1, 1), 2000, layers, steps=9), 1000)
    assert (fine.dt_us, fine.steps) == (1000, 18)
    first, second = fine.layers[1], fine.layers[2]
    assert first.neuron.current_decay == (0.5, 1.0)
    assert first.neuron.decay == pytest.approx(0.5**0.5)
    # two timesteps of the fine grid do what one of the coarse one did
    assert second.bias[0] * (1 + second.neuron.decay) == pytest.approx(0.3)
    with pytest.raises(es.EventsimError, match=r"layer 1 .* delay"):
        at_dt(es.Network((1, 1, 1), 10, [es.Flatten(), es.Delay(1), layers[1]]), 5)
