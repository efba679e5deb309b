"""SHD and SSC as they are published: what is read, what tonic reads, training and both times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run_command

from eventsim.errors import RecordingError
from eventsim.events.arrays import Sensor
from eventsim_bridge.data.own import from_mappings
from eventsim_bridge.datasets import DataSetError, open_dataset

CLASSES = ("null", "eins", "zwei")


def fill(folder: Path, name: str = "shd", count: int = 18, **changed: Any) -> Path:
    """Write both parts: spikes of seconds as float16, in the third of the channels of the label."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        rng = np.random.default_rng(len(part))
        labels = changed.get("labels", np.arange(count) % 3)
        with h5py.File(folder / f"{name}_{part}.h5", "w") as file:
            file["labels"] = np.array(labels, "u2")
            file["extra/keys"] = changed.get("keys", [key.encode() for key in CLASSES])
            file["extra/speaker"] = np.arange(count, dtype="u2") % 4
            for field, kind in (("times", "f2"), ("units", "u2")):
                file.create_dataset(f"spikes/{field}", count, h5py.vlen_dtype(np.dtype(kind)))
            for index, label in enumerate(np.arange(count) % 3):
                spikes = changed.get("spikes", 40)
                file["spikes/times"][index] = np.sort(rng.random(spikes)).astype("f2")
                units = rng.integers(230 * label, 230 * label + 230, spikes)
                file["spikes/units"][index] = np.array(changed.get("units", units), "u2")
    return folder


@pytest.mark.parametrize("place", [".", "SSC"])
def test_recordings_are_events_of_a_line(place: str, tmp_path: Path) -> None:
    fill(tmp_path / place, "ssc")
    dataset = open_dataset("ssc", tmp_path)
    assert (dataset.name, dataset.sensor) == ("ssc", Sensor(700, 1, 1))
    assert dataset.class_names == CLASSES
    assert (len(dataset.train), len(dataset.test)) == (18, 18)
    assert dataset.test.users is not None
    assert dataset.test.users[:5] == ("speaker0", "speaker1", "speaker2", "speaker3", "speaker0")
    with h5py.File(tmp_path / place / "ssc_test.h5") as file:
        for index, (events, label) in enumerate(dataset.test):
            assert label == file["labels"][index]
            seconds = file["spikes/times"][index].astype(float)
            assert np.array_equal(events["t"], np.rint(seconds * 1e6))
            assert np.array_equal(events["x"], file["spikes/units"][index])
    assert dataset.train.identity is not None
    assert dataset.test.identity is not None
    assert dataset.train.identity() != dataset.test.identity()


def test_tonic_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tonic = pytest.importorskip("tonic")
    fill(tmp_path / "SHD")
    monkeypatch.setattr(tonic.datasets.SHD, "_check_exists", lambda _: True)  # asks for the archive
    theirs = from_mappings(tonic.datasets.SHD(str(tmp_path), train=True))
    ours = open_dataset("shd", tmp_path)
    assert theirs.sensor == ours.sensor
    for (their_events, their_label), (events, label) in zip(theirs.train, ours.train, strict=True):
        assert their_label == label
        assert np.array_equal(their_events["x"], events["x"])
        assert (events["t"] - their_events["t"] <= 1).all()  # tonic cuts what is past a microsecond


def test_train_inspect_and_run_in_both_times(tmp_path: Path) -> None:
    data = ("--data", "shd", "--root", fill(tmp_path / "SHD").parent)
    out = tmp_path / "net.h5"
    more = ("--epochs", 12, "--dt-us", 20_000, "--steps", 50, "--learning-rate", 0.02,
            "--batch-size", 6)  # fmt: skip
    assert run_command("train", *data, "--structure", "12FC-3", "--out", out, *more) == 0
    assert run_command("inspect", out, "--json", tmp_path / "net.json") == 0
    assert json.loads((tmp_path / "net.json").read_text())["input_shape"] == [1, 1, 700]
    for mode in ("clocked", "async"):
        given = ("run", out, *data, "--mode", mode, "--json", tmp_path / "run.json")
        assert run_command(*given) == 0
        found = json.loads((tmp_path / "run.json").read_text())
        assert found["class_names"] == list(CLASSES)
        assert found["events"] == [40] * 18
        assert found["accuracy"] > 0.8
    one = (tmp_path / "SHD" / "shd_test.h5", "--stream", 4, "--time-unit", "s")
    assert run_command("run", out, *one, "--json", tmp_path / "one.json") == 0
    assert json.loads((tmp_path / "one.json").read_text())["events"] == [40]


def test_what_is_not_laid_out_so_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="data set shd: root is missing"):
        open_dataset("shd")
    with pytest.raises(DataSetError, match=r"has none of shd_train\.h5, shd_test\.h5, expected"):
        open_dataset("shd", tmp_path)
    for changed, sentence in (
        ({"labels": [3] * 18}, "label 0 is 3, expected 0 to 2"),
        ({"labels": [0]}, r"has labels of shape \(1,\), expected one for each of 18 recordings"),
    ):
        with pytest.raises(DataSetError, match=sentence):
            open_dataset("shd", fill(tmp_path, **changed))
    (tmp_path / "shd_test.h5").write_bytes(b"PK")
    fill(tmp_path / "other")
    (tmp_path / "shd_train.h5").write_bytes((tmp_path / "other" / "shd_train.h5").read_bytes())
    with pytest.raises(DataSetError, match=r"shd_test\.h5 cannot be read \("):
        open_dataset("shd", tmp_path)
    fill(tmp_path, units=[700] * 40)
    with pytest.raises(RecordingError, match=r"recording 2 of .*event 0: x is 700, expected 0 to"):
        open_dataset("shd", tmp_path).train[2]
    fill(tmp_path, spikes=0)
    with pytest.raises(RecordingError, match="there are no spikes, expected at least one"):
        open_dataset("shd", tmp_path).train[0]


def test_a_partial_copy_has_an_empty_part(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "shd_train.h5").unlink()
    dataset = open_dataset("shd", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (0, 18)
    assert dataset.class_names == CLASSES
