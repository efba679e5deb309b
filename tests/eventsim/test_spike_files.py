"""Files of times and units: read as events on a line, and run as `from_spikes` runs the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run_command
from numpy.typing import NDArray

import eventsim as es

UNITS = 300
RNG = np.random.default_rng(0)
T_US = np.sort(RNG.integers(0, 100_000, 80))
NUMBERS = RNG.integers(0, UNITS, 80)


def csv(path: Path) -> None:
    rows = [f"{t},{unit}\n" for t, unit in zip(T_US, NUMBERS, strict=True)]
    path.write_text("t_us,unit\n" + "".join(rows))


def tsv(path: Path) -> None:
    """Seconds, the other way round, and a column that is left alone."""
    rows = [f"{unit}\t7\t{t / 1e6:.6f}\n" for t, unit in zip(T_US, NUMBERS, strict=True)]
    path.write_text("Neuron\ttrial\ttime\n" + "".join(rows))


def npz(path: Path) -> None:
    np.savez(path, times=T_US, units=NUMBERS.astype("u2"))


def npy(path: Path) -> None:
    rows = np.zeros(len(T_US), [("t", "i8"), ("channel", "i4")])
    rows["t"], rows["channel"] = T_US, NUMBERS
    np.save(path, rows)


def h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["ear/t"], file["ear/units"] = T_US, NUMBERS


WRITERS = {"a.csv": csv, "a.tsv": tsv, "a.npz": npz, "a.npy": npy, "a.h5": h5}
written = pytest.mark.parametrize(("name", "write"), list(WRITERS.items()), ids=list(WRITERS))


@written
def test_spikes_are_events_on_a_line(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    found = es.read_recording(tmp_path / name)
    assert found.events["t"].tolist() == T_US.tolist()
    assert found.events["x"].tolist() == NUMBERS.tolist()
    assert not found.events["y"].any()
    assert not found.events["on"].any()
    assert (found.sensor.width, found.sensor.height) == (NUMBERS.max() + 1, 1)
    packets = list(es.read_packets(tmp_path / name, size=7))
    assert np.array_equal(np.concatenate(packets), found.events)


def network(shape: tuple[int, ...]) -> es.Network:
    weight = np.random.default_rng(1).integers(-4, 9, (5, UNITS)) / 16
    layers: list[Any] = [es.Dense(weight, neuron=es.LIF(0.5, 0.3))]
    return es.Network(shape, 1000, [es.Flatten(), *layers] if len(shape) > 1 else layers)


@written
@pytest.mark.parametrize("shape", [(UNITS,), (1, 1, UNITS)])
@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_commands_run_them(
    name: str, write: Callable[[Path], None], shape: tuple[int, ...], mode: Any, tmp_path: Path
) -> None:
    write(tmp_path / name)
    net = network(shape)
    es.save_network(net, tmp_path / "net.h5")
    out = tmp_path / "out.json"
    given = ("run", tmp_path / "net.h5", tmp_path / name, "--mode", mode, "--json", out)
    assert run_command(*given) == 0
    dt_us = 1 if mode == "async" else net.dt_us
    spikes = es.from_spikes(T_US, NUMBERS, shape, dt_us)
    expected = es.simulate(net, spikes, mode=mode).spike_counts
    assert json.loads(out.read_text())["spike_counts"] == [expected.tolist()]
    assert expected.sum() > 20


def lists(path: Path, times: Any, units: Any, kinds: Any = ("f2", "u2")) -> None:
    """Write a group whose datasets hold a list for each recording."""
    with h5py.File(path, "w") as file:
        for name, rows, kind in zip(("times", "units"), (times, units), kinds, strict=True):
            made = file.create_dataset(f"spikes/{name}", len(rows), h5py.vlen_dtype(np.dtype(kind)))
            for number, row in enumerate(rows):
                made[number] = row


def test_a_file_of_many_recordings_has_a_stream_each(tmp_path: Path) -> None:
    times = [[0.25, 0.5, 0.75], [0.125, 1.5]]
    lists(tmp_path / "a.h5", times, [[5, 9, 5], [299, 0]])
    found = es.read_recording(tmp_path / "a.h5", stream=1)
    assert found.events["t"].tolist() == [125_000, 1_500_000]
    assert found.events["x"].tolist() == [299, 0]
    assert found.about.facts["stream"] == "spikes 1"
    assert "the file holds 2 event streams (0, 1) and none was chosen" in refusal(tmp_path / "a.h5")
    assert "--stream is 2, expected --stream 0 to 1" in refusal(tmp_path / "a.h5", stream=2)
    lists(tmp_path / "a.h5", times, [[5, 9, 5], [299]])
    assert "expected numbers of shape (2,)" in refusal(tmp_path / "a.h5", stream=1)
    lists(tmp_path / "a.h5", times, [[5, 9, 5]])
    assert "expected a list of numbers for each of 2 recordings" in refusal(tmp_path / "a.h5")


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(es.RecordingError) as caught:
        es.read_recording(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("t,unit\n0,70000\n", "event 0: x is 70000, expected 0 to 65535"),
        ("t,unit\n0,1\n0,-1\n", "event 1: x is -1, expected 0 to 65535"),
        ("t,unit\n0,1\n0,1.5\n", "line 3 is '0,1.5', expected whole numbers in range"),
        ("t,x\n0,1\n", "the columns are t, x, expected t, x, y and on (or p), or t and unit"),
        ("t,unit\n5,1\n4,1\n", "event 1: time runs backwards"),
    ],
)
def test_what_is_no_list_of_spikes_is_refused(rows: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows)
    assert sentence in refusal(tmp_path / "a.csv")


def test_units_past_the_input_and_cameras_are_refused(tmp_path: Path) -> None:
    net = network((UNITS,))
    es.save_network(net, tmp_path / "net.h5")
    (tmp_path / "a.csv").write_text("t,unit\n0,1\n5,300\n")
    end = run_command("run", tmp_path / "net.h5", tmp_path / "a.csv")
    assert "a.csv: event 1: x is 300, expected 0 to 299 on a 300 x 1 sensor" in str(end)
    camera: NDArray[Any] = es.make_events([0], [0], [1], [1])
    with pytest.raises(es.RecordingError, match="y is 1, expected 0 to 0 on a 300 x 1 sensor"):
        es.simulate(net, camera)


def test_stream_takes_them(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv")
    es.save_network(network((UNITS,)), tmp_path / "net.h5")
    given = ("stream", tmp_path / "net.h5", "--from", tmp_path / "a.csv", "--pace", 0)
    assert run_command(*given, "--json", tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_text())["events"]["processed"] == len(T_US)
