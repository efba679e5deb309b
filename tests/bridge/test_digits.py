"""The simulated digits: the camera, the cache that keeps what it saw, and the splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eventsim.events.arrays import EVENT_DTYPE
from eventsim_bridge.data import camera, digits
from eventsim_bridge.data.cache import Arrays
from eventsim_bridge.data.camera import CameraRecordings
from eventsim_bridge.data.digits import DigitsSettings, make_digits
from eventsim_bridge.datasets import DataSet, open_dataset
from eventsim_bridge.statistics import EventStatistics, event_statistics


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
