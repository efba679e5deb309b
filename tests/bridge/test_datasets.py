"""The layouts of recorded data sets, and statistics of recordings."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from recording_files import write_nmnist

from eventsim.errors import RecordingError
from eventsim.events.arrays import Sensor, make_events
from eventsim_bridge.datasets import DataSetError, open_dataset
from eventsim_bridge.statistics import event_statistics, statistics_table


def write_gesture(path: Path, rows: list[list[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(rows))


RECORDS = [(3, 33, 1, 10), (0, 7, 0, 70_000)]


@pytest.mark.parametrize("nested", [False, True])
def test_nmnist_layout(tmp_path: Path, nested: bool) -> None:
    folder = tmp_path / "NMNIST" if nested else tmp_path
    for name in ("Train/9/00001.bin", "Train/0/00003.bin", "Train/4/00002.bin", "Test/7/00001.bin"):
        write_nmnist(folder / name, RECORDS)
    (folder / "Train" / "9" / "._00001.bin").write_bytes(b"left by macOS")
    (folder / "Train" / "notes.txt").write_text("not a recording")
    nmnist = open_dataset("nmnist", tmp_path)
    assert (nmnist.name, nmnist.sensor) == ("nmnist", Sensor(34, 34))
    assert nmnist.class_names == tuple("0123456789")
    assert nmnist.train.names == ("Train/9/00001.bin", "Train/4/00002.bin", "Train/0/00003.bin")
    assert nmnist.train.labels.tolist() == [9, 4, 0]
    assert nmnist.test.names == ("Test/7/00001.bin",)
    events, label = nmnist.test[0]
    assert label == 7
    np.testing.assert_array_equal(events, make_events([10, 70_000], [3, 0], [33, 7], [1, 0]))


@pytest.mark.parametrize("nested", [False, True])
def test_dvsgesture_layout_with_the_train_half_only(tmp_path: Path, nested: bool) -> None:
    half = (tmp_path / "DVSGesture" if nested else tmp_path) / "ibmGestureTrain"
    for name in ("user02_led/0.npy", "user01_lab/10.npy", "user01_lab/2.npy"):
        write_gesture(half / name, [[127, 0, 1, 0.0], [5, 6, 0, 1450.0], [5, 6, 1, 1450.003]])
    gestures = open_dataset("dvsgesture", str(tmp_path))
    assert len(gestures.class_names) == 11
    assert gestures.train.labels.tolist() == [2, 10, 0]
    assert gestures.train.names[1] == "ibmGestureTrain/user01_lab/10.npy"
    assert len(gestures.test) == 0
    events, label = gestures.train[1]
    assert label == 10
    expected = make_events([0, 1_450_000, 1_450_003], [127, 5, 5], [0, 6, 6], [1, 0, 1])
    np.testing.assert_array_equal(events, expected)


def test_splits_pass_between_processes(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "Test/7/00001.bin", RECORDS)
    split = pickle.loads(pickle.dumps(open_dataset("nmnist", tmp_path).test))
    assert len(split[0][0]) == 2


@pytest.mark.parametrize(
    ("name", "root", "sentence"),
    [
        (
            "cifar",
            None,
            "data set 'cifar' is unknown, expected one of digits, gestures, nmnist, dvs",
        ),
        ("digits", "x", "data set digits: root is x, expected none"),
        ("nmnist", None, r"nmnist: root is missing, expected a folder with Train/\*/\*.bin"),
        ("nmnist", "absent", "absent does not exist, expected a folder with Train"),
        ("nmnist", "empty", "empty is empty, expected"),
        ("nmnist", "other", "other holds a, b, c, d, e and 2 more, expected"),
        ("nmnist", "bare", r"bare has no recordings \(Train holds 3, Test is empty\), expected"),
        ("nmnist", "strange", "00001.bin is of class '12', expected 0 to 9"),
        ("dvsgesture", "file", "file is a file, expected a folder with ibmGestureTrain"),
        ("dvsgesture", "strange", "wave.npy is of class 'wave', expected 0 to 10"),
    ],
)
def test_a_data_set_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, root: str | None, sentence: str
) -> None:
    for folder in ("empty", *(f"other/{letter}" for letter in "abcdefg")):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("bare/Train/3", "bare/Test"):
        (tmp_path / folder).mkdir(parents=True)
    write_nmnist(tmp_path / "strange/Train/12/00001.bin", RECORDS)
    write_gesture(tmp_path / "strange/ibmGestureTest/user01_lab/wave.npy", [[0, 0, 0, 0]])
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataSetError, match=sentence):
        open_dataset(name, root)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"the file is empty \(0 bytes\), expected N-MNIST"),
        (bytes([0, 240, 0, 0, 0]), "the file holds no events"),
        (bytes(12), "cut short: record 2 has 2 bytes, expected 5"),
        (bytes([0, 0, 0, 0, 5, 34, 0, 0, 0, 6]), "event 1: x is 34, expected 0 to 33"),
        (bytes([0, 0, 0, 0, 5, 0, 0, 0, 0, 4]), "event 1: time runs backwards"),
    ],
)
def test_a_damaged_nmnist_file_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "Train" / "7" / "00001.bin"
    write_nmnist(path, RECORDS)
    path.write_bytes(content)
    split = open_dataset("nmnist", tmp_path).train
    with pytest.raises(RecordingError, match=sentence) as caught:
        split[0]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\), expected .* or shape \(events, 4\)"),
        (np.zeros((0, 4)), "holds no events"),
        (np.array([[128, 0, 0, 0]]), "event 0: x is 128, expected 0 to 127"),
        (np.array([[0, 0, 0, 2.0], [0, 0, 0, 1.0]]), "event 1: time runs backwards"),
        (np.array([[0, 0, 0, np.nan]]), "event 0: t is nan, expected a finite number"),
        (np.array([[0, 0, 2, 0]]), "event 0: polarity is 2, expected 0 or 1"),
        (None, "cannot be decoded, numpy says: EOF: reading array data, expected 288 bytes"),
    ],
)
def test_a_damaged_gesture_file_is_named(
    tmp_path: Path, rows: np.ndarray | None, sentence: str
) -> None:
    path = tmp_path / "ibmGestureTest" / "user24_led" / "3.npy"
    path.parent.mkdir(parents=True)
    np.save(path, np.zeros((9, 4)) if rows is None else rows)
    if rows is None:
        path.write_bytes(path.read_bytes()[:-8])
    split = open_dataset("dvsgesture", tmp_path).test
    with pytest.raises(RecordingError, match=sentence) as caught:
        split[0]
    assert str(path) in str(caught.value)


# Real recordings


def test_real_nmnist(real_data: Path) -> None:
    nmnist = open_dataset("nmnist", real_data / "NMNIST")
    assert (len(nmnist.train), len(nmnist.test)) == (1000, 50)
    for split in (nmnist.train, nmnist.test):
        assert [int(name.split("/")[1]) for name in split.names] == split.labels.tolist()
        numbers = [int(name.split("/")[2][:-4]) for name in split.names]
        assert numbers == list(range(1, 1 + len(split)))
    assert 8 not in nmnist.test.labels
    lengths = [len(events) for events, _ in nmnist.train]
    assert np.mean(lengths) == pytest.approx(4133, abs=1)  # as in docs/digits.md
    assert open_dataset("nmnist", real_data).train.names == nmnist.train.names


def test_real_dvsgesture(real_data: Path) -> None:
    gestures = open_dataset("dvsgesture", real_data / "DVSGesture")
    assert gestures.train.users == ("user01",) * 5
    assert gestures.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(gestures.test) == 0
    lengths = [len(events) for events, _ in gestures.train]
    assert lengths == [63471, 84260, 113063, 151879, 181179]
    for events, _ in gestures.train:
        assert 1_449_000 < events["t"][-1] <= 1_450_000


# The statistics


def test_statistics_of_a_recording_counted_by_hand() -> None:
    sensor = Sensor(4, 3)
    times = [0, 4_999, 5_000, 12_000, 13_000]
    first = make_events(times, [0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 0, 0, 0])
    second = make_events([1_000], [3], [2], [0])
    found = event_statistics([first, second], sensor)
    assert found.events.tolist() == [5, 1]
    assert found.on_share.tolist() == [0.4, 0.0]
    assert found.last_us.tolist() == [13_000, 1_000]
    assert found.active_pixels.tolist() == [2, 1]
    assert found.busy_pixels.tolist() == [1, 0]
    assert found.border_share.tolist() == [0.2, 1.0]
    assert found.events_per_pixel.tolist() == [1, 4, 1]
    assert found.intervals_us.tolist() == [1, 7_000, 1_000]
    assert found.same_polarity == pytest.approx(2 / 3)
    assert found.rate[:4].tolist() == [[0.5, 1.0], [0.5, 0.0], [1.0, 0.0], [0.0, 0.0]]
    assert found.place[0].tolist() == pytest.approx([4 / 3, 1.0])
    table = statistics_table([("one", found), ("two", found)])
    assert "| | one | two |" in table
    assert "| events a recording | 3 (1, 3, 5) | 3 (1, 3, 5) |" in table
