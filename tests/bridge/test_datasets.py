"""The data sets: the simulated digits and their cache, and the layouts of the recorded ones."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recording_files import write_nmnist

from eventsim.errors import RecordingError
from eventsim.events.arrays import EVENT_DTYPE, Sensor, make_events
from eventsim_bridge.data import camera, digits
from eventsim_bridge.data.cache import Arrays
from eventsim_bridge.data.camera import CameraRecordings
from eventsim_bridge.data.digits import DigitsSettings, make_digits
from eventsim_bridge.datasets import DataSet, DataSetError, open_dataset
from eventsim_bridge.statistics import EventStatistics, event_statistics, statistics_table


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the cache of these tests away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENTSIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def recordings() -> CameraRecordings:
    return make_digits()


@pytest.fixture(scope="module")
def digits_set(recordings: CameraRecordings) -> DataSet:
    return open_dataset("digits")


@pytest.fixture(scope="module")
def statistics(digits_set: DataSet) -> EventStatistics:
    return event_statistics([events for events, _ in digits_set.train], digits_set.sensor)


# The simulated camera


def test_a_seed_gives_these_events_on_every_machine(recordings: CameraRecordings) -> None:
    # The camera is integer arithmetic throughout. A change of the camera changes this hash, and
    # then CAMERA_VERSION must change as well, or old caches would be taken for new ones.
    assert camera.CAMERA_VERSION == 1
    packed = recordings.times.astype("<u4") << 12 | recordings.cells
    words = packed.astype("<u4").tobytes() + recordings.offsets.astype("<i8").tobytes()
    assert hashlib.sha256(words).hexdigest()[:16] == "a501e2db6496a366"


def test_another_seed_gives_other_noise_and_another_pixel_mismatch(
    recordings: CameraRecordings,
) -> None:
    other = make_digits(DigitsSettings(seed=1))
    assert not np.array_equal(other.times[:100], recordings.times[:100])
    np.testing.assert_array_equal(other.labels, recordings.labels)
    assert len(other.times) == pytest.approx(len(recordings.times), rel=0.03)


def test_statistics_stand_near_those_of_nmnist(statistics: EventStatistics) -> None:
    # The ranges are centred on the real recordings' values (docs/digits.md).
    assert 3900 < statistics.events.mean() < 4350
    assert 0.485 < statistics.on_share.mean() < 0.515
    assert 300_000 < statistics.last_us.mean() < 312_000
    assert 420 < statistics.active_pixels.mean() < 475
    assert 8.5 < statistics.events_per_pixel.mean() < 10
    assert 4_500 < np.median(statistics.intervals_us) < 6_000
    assert 0.003 < statistics.border_share.mean() < 0.006
    rate = statistics.rate.sum(axis=1) / 5  # events/ms in windows of 5 ms
    for saccade, rest in ((10, 19), (30, 40), (51, 61)):  # near 50, 150 and 255 ms
        assert 20 < rate[saccade] < 35
        assert rate[rest] < 1


def test_off_leads_and_on_follows_the_motion(digits_set: DataSet) -> None:
    down, left = np.zeros(2), np.zeros(2)
    for events, _ in list(digits_set.train)[:100]:
        first, third = events["t"] < 95_000, events["t"] > 215_000
        for polarity in (0, 1):
            of = events["on"] == bool(polarity)
            down[polarity] += events["y"][first & of].mean()
            left[polarity] += events["x"][third & of].mean()
    assert down[0] / 100 > down[1] / 100 + 2
    assert left[0] / 100 < left[1] / 100 - 2


def test_a_pixel_is_blind_for_the_refractory_period() -> None:
    settings = DigitsSettings(jitter_us=0, noise_on_hz=0, noise_off_hz=0, refractory_us=4_000)
    made = make_digits(settings)
    quiet = event_statistics([made.events(i) for i in range(100)], digits.SENSOR)
    # Never sooner; and at the fastest edges hardly later, as L is back over threshold in no time.
    assert 4_000 <= quiet.intervals_us.min() < 4_500


def test_a_still_camera_sends_nothing_but_noise() -> None:
    still = DigitsSettings(saccades=())
    made = make_digits(still)
    expected = (still.noise_on_hz + still.noise_off_hz) * 0.308 * 34 * 34
    assert len(made.times) / len(made) == pytest.approx(expected, rel=0.02)
    assert len(make_digits(replace(still, noise_on_hz=0, noise_off_hz=0)).times) == 0


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"seed": -1}, "seed is -1, expected 0 to"),
        ({"threshold_on": 0.0}, r"threshold_on is 0.0, expected 0.01 to 10"),
        ({"contrast": float("nan")}, "contrast is nan"),
        ({"saccades": ((5, 0, 1.0, 1.0),)}, "saccade 0 starts at 5 us and lasts 0 us"),
    ],
)
def test_settings_that_no_camera_can_have(setting: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DigitsSettings(**setting)


# The cache


@pytest.fixture
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, not yet there."""
    folder = tmp_path / "not" / "yet"
    monkeypatch.setenv("EVENTSIM_CACHE", str(folder))
    return folder


def arrays(recordings: CameraRecordings) -> Arrays:
    return {name: getattr(recordings, name) for name in ("times", "cells", "offsets")}


def assert_same_recordings(one: CameraRecordings, two: CameraRecordings) -> None:
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, arrays(two)[name])


def refuse(*_: object) -> None:
    raise AssertionError("the digits were made again")


def test_the_cache_is_used(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_digits()
    assert len(list(cache_folder.iterdir())) == 1  # and nothing written aside is left
    monkeypatch.setattr(digits, "_record_all", refuse)
    second = make_digits()
    assert_same_recordings(first, second)
    # Every setting is part of the key, and the version of the camera.
    with pytest.raises(AssertionError, match="made again"):
        make_digits(DigitsSettings(jitter_us=999))
    monkeypatch.setattr(camera, "CAMERA_VERSION", camera.CAMERA_VERSION + 1)
    with pytest.raises(AssertionError, match="made again"):
        make_digits()


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "empty", "not a zip", "one array", "another key", "other arrays"]
)
def test_a_damaged_cache_is_made_again(
    cache_folder: Path,
    damage: str,
    recordings: CameraRecordings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Instead of the camera: the recordings made once for this module.
    monkeypatch.setattr(digits, "_record_all", lambda *_: arrays(recordings))
    make_digits()
    (path,) = cache_folder.iterdir()
    sound = path.read_bytes()
    if damage == "other arrays":
        with np.load(path) as file:
            np.savez(path, **{**file, "times": np.zeros(3, np.uint32)})
    elif damage == "another key":
        with np.load(path) as file:
            np.savez(path, **{**file, "key": np.array("another")})
    elif damage == "one array":
        with path.open("wb") as file:
            np.save(file, recordings.times)
    else:
        middle = len(sound) // 2
        flipped = sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :]
        texts = {"cut": sound[:middle], "flipped": flipped, "empty": b"", "not a zip": b"digits"}
        path.write_bytes(texts[damage])
    again = make_digits()
    assert_same_recordings(again, recordings)
    monkeypatch.setattr(digits, "_record_all", refuse)
    make_digits()  # the damaged file has been replaced


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, recordings: CameraRecordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "_record_all", lambda *_: arrays(recordings))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EVENTSIM_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="could not be cached"):
        assert_same_recordings(make_digits(), recordings)


# The splits of "digits"


def test_digits_split_is_disjoint_complete_and_stratified(
    digits_set: DataSet, recordings: CameraRecordings
) -> None:
    train, test = digits_set.train, digits_set.test
    assert set(train.names).isdisjoint(test.names)
    assert sorted(train.names + test.names) == [f"digits/{i:04d}" for i in range(1797)]
    for split in (train, test):
        numbers = [int(name.split("/")[1]) for name in split.names]
        np.testing.assert_array_equal(split.labels, recordings.labels[numbers])
    share = np.bincount(test.labels) / np.bincount(recordings.labels)
    assert (abs(share - 0.2) < 0.01).all()
    events, label = test[3]
    number = int(test.names[3].split("/")[1])
    np.testing.assert_array_equal(events, recordings.events(number))
    assert label == recordings.labels[number]


def test_a_split_is_a_sequence(digits_set: DataSet) -> None:
    test = digits_set.test
    events, label = test[-1]
    assert events.dtype == EVENT_DTYPE
    assert label == test.labels[len(test) - 1]
    np.testing.assert_array_equal(events, test[len(test) - 1][0])
    assert sum(1 for _ in test) == len(test) == len(test.names) == len(test.labels) == 355
    for outside in (355, -356):
        with pytest.raises(IndexError, match=f"recording {outside} of a split of 355"):
            test[outside]


# The layouts of the recorded data sets


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
