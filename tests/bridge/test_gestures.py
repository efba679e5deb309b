"""The simulated gestures: the same on every machine, varied, and told apart by their motion."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from eventsim.events.arrays import Events
from eventsim_bridge import datasets
from eventsim_bridge.data import gestures
from eventsim_bridge.data.camera import CAMERA_VERSION, CameraRecordings, Random
from eventsim_bridge.data.choreography import CLASS_NAMES, GESTURES, JOINTS, TURN, Motion, perform
from eventsim_bridge.data.gestures import GesturesSettings, make_gestures
from eventsim_bridge.datasets import DataSet, DataSetError, open_dataset
from eventsim_bridge.gesture_statistics import beginning

SINE = np.array([round(math.sin(2 * math.pi * i / TURN) * TURN) for i in range(TURN)], np.int64)
CIRCLES = range(3, 7)


@pytest.fixture(scope="module")
def recordings() -> CameraRecordings:
    """Four users, each gesture twice."""
    return make_gestures(GesturesSettings(training_users=3, test_users=1))


@pytest.fixture
def gestures_set(recordings: CameraRecordings, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    few = partial(GesturesSettings, training_users=3, test_users=1)
    monkeypatch.setattr(gestures, "GesturesSettings", few)
    return open_dataset("gestures")


def of_class(recordings: CameraRecordings, label: int) -> list[Events]:
    return [recordings.events(int(i)) for i in np.flatnonzero(recordings.labels == label)]


def test_a_seed_gives_these_events_on_every_machine(recordings: CameraRecordings) -> None:
    # A change of figure, motion or camera changes this hash, and then a version must change too.
    assert (gestures.FIGURE_VERSION, CAMERA_VERSION) == (1, 1)
    digest = hashlib.sha256(recordings.times.astype("<u4").tobytes())
    digest.update(recordings.cells.astype("<u2").tobytes())
    digest.update(recordings.offsets.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "cf99b6a9837bb8b9"
    # No value of the table is so near to a half that another sine could round it otherwise.
    exact = [math.sin(2 * math.pi * i / TURN) * TURN for i in range(TURN)]
    assert min(abs(value - math.floor(value) - 0.5) for value in exact) > 1e-8


def test_another_seed_gives_other_users_and_other_motions(recordings: CameraRecordings) -> None:
    other = make_gestures(GesturesSettings(training_users=1, test_users=1, takes=1, seed=1))
    for label in range(len(CLASS_NAMES)):
        assert not np.array_equal(other.events(label)[:50], of_class(recordings, label)[0][:50])


def test_the_cache_is_used(
    recordings: CameraRecordings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the gestures were made again")

    monkeypatch.setattr(gestures, "_record_all", refuse)
    same = make_gestures(GesturesSettings(training_users=3, test_users=1))
    np.testing.assert_array_equal(same.times, recordings.times)
    with pytest.raises(AssertionError, match="made again"):
        make_gestures(GesturesSettings(training_users=3, test_users=1, jitter_us=999))
    monkeypatch.setattr(gestures, "FIGURE_VERSION", gestures.FIGURE_VERSION + 1)
    with pytest.raises(AssertionError, match="made again"):
        make_gestures(GesturesSettings(training_users=3, test_users=1))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"training_users": 0}, "GesturesSettings: training_users is 0, expected 1 to 1000"),
        ({"takes": 100}, "takes is 100, expected 1 to 99"),
        ({"duration_us": 999}, "duration_us is 999, expected 1000 to 60000000"),
        ({"noise_on_hz": -0.1}, "noise_on_hz is -0.1, expected 0 to 5"),
    ],
)
def test_settings_that_no_camera_can_have(setting: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GesturesSettings(**setting)


def test_recordings_are_long_and_varied(recordings: CameraRecordings) -> None:
    lengths = np.diff(recordings.offsets)
    assert lengths.min() > 3_000  # only noise is less
    assert lengths.max() > 4 * lengths.min()
    every = [recordings.events(index) for index in range(len(recordings))]
    assert max(events["t"][0] for events in every) < 30_000
    assert min(events["t"][-1] for events in every) > 1_950_000
    shares = [events["on"].mean() for events in every]
    assert 0.4 < min(shares) < max(shares) < 0.65
    centres = np.array([[events["x"].mean(), events["y"].mean()] for events in every])
    assert (centres.std(axis=0) > 5).all()


# The split


def test_no_user_is_in_both_parts(gestures_set: DataSet, recordings: CameraRecordings) -> None:
    assert gestures_set.class_names[0] == "hand clapping"
    assert len(gestures_set.class_names) == 11
    assert (gestures_set.sensor.width, gestures_set.sensor.height) == (128, 128)
    users = []
    for split, count in ((gestures_set.train, 3), (gestures_set.test, 1)):
        assert np.bincount(split.labels).tolist() == [2 * count] * 11
        assert len(set(split.names)) == len(split) == 22 * count
        users.append({name.split("/")[1] for name in split.names})
        assert list(split.users or ()) == [name.split("/")[1] for name in split.names]
        assert all(
            int(name.split("/")[2].split("-")[0]) == label
            for name, label in zip(split.names, split.labels, strict=True)
        )
    assert users == [{"user00", "user01", "user02"}, {"user03"}]
    events, label = gestures_set.test[21]
    np.testing.assert_array_equal(events, recordings.events(87))
    assert label == recordings.labels[87] == 10
    assert gestures_set.train.identity() != gestures_set.test.identity()


def test_no_folder_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=f"data set gestures: root is {tmp_path}, expected none"):
        open_dataset("gestures", tmp_path)


def test_the_classes_are_those_of_dvs_gesture() -> None:
    assert datasets._LAYOUTS["dvsgesture"].class_names == CLASS_NAMES


# The motion


def turning(events: Events) -> float:
    """Return how the mean place of the events goes around its own mean, clockwise positive."""
    window = (events["t"] // np.uint64(50_000)).astype(np.int64)
    number = np.maximum(np.bincount(window), 1)
    place = np.stack([np.bincount(window, weights=events[axis]) / number for axis in ("x", "y")])
    x, y = place - place.mean(axis=1, keepdims=True)
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())  # y points down


def check_turning(recordings: Iterable[Events], label: int) -> None:
    """The names say what the user sees, who looks at the camera."""
    in_image = -1 if CLASS_NAMES[label].endswith(" clockwise") else 1
    for events in recordings:
        assert in_image * turning(events) > 0


@pytest.mark.parametrize("label", CIRCLES)
def test_circles_turn_as_their_name_says(recordings: CameraRecordings, label: int) -> None:
    check_turning(of_class(recordings, label), label)


def test_recorded_circles_turn_in_the_same_way(real_data: Path) -> None:
    recorded = open_dataset("dvsgesture", real_data / "DVSGesture").train
    for label in (3, 4):
        check_turning([recorded[label][0]], label)


def test_the_right_arm_is_on_the_left_of_the_image(
    recordings: CameraRecordings, real_data: Path
) -> None:
    recorded = open_dataset("dvsgesture", real_data / "DVSGesture").train
    assert np.median(recorded[1][0]["x"]) < np.median(recorded[2][0]["x"]) - 20
    for user in range(4):
        right, left = (of_class(recordings, label)[2 * user]["x"] for label in (1, 2))
        assert np.median(right) < np.median(left) - 20


@pytest.mark.parametrize("label", [3, 5])
def test_circles_of_both_ways_go_through_the_same_postures(label: int) -> None:
    one, two = GESTURES[label : label + 2]
    assert one._replace(name=two.name, direction=-one.direction) == two
    # The same user and the same draws, the phase once forwards and once backwards, one period.
    body = gestures._user(Random(5)).body
    performed = perform(label, np.tile([0, 100], (JOINTS, 1)), Random(3))
    joints = performed.joints.copy()
    joints[:, 5] = 0  # the second swing has another period
    still = np.zeros((2, 3), np.int64)
    forwards = Motion(joints, start=0, speed=64 * 256, wander=0, wander_speed=0)
    steps = TURN // 64
    there = gestures._pose(forwards, body, still, SINE, steps)
    back = gestures._pose(forwards._replace(speed=-64 * 256), body, still, SINE, steps)
    np.testing.assert_array_equal(there, back[:, :, ::-1])
    moving = gestures.FORE + (label == 5)
    assert len(np.unique(there[moving, :2], axis=1).T) > 500


def test_limbs_hang_together() -> None:
    random = Random(8)
    still = np.zeros((2, 3), np.int64)
    for label in range(len(CLASS_NAMES)):
        user = gestures._user(random)
        parts = gestures._pose(
            perform(label, user.habits[label], random), user.body, still, SINE, 300
        )
        ends = parts[:, :2] + (parts[:, 2:3] * parts[:, 3:] >> 16)
        for side in (0, 1):
            upper, fore, hand = (part + side for part in (2, 4, 6))
            np.testing.assert_array_equal(ends[upper], parts[fore, :2])
            np.testing.assert_array_equal(ends[fore], parts[hand, :2])
            shoulder = user.body.x + (2 * side - 1) * user.body.shoulder
            assert (parts[upper, 0] == shoulder).all()
        assert (parts[2:4, 2] == user.body.upper).all()
        length = np.hypot(*(parts[:, 3:].transpose(1, 0, 2)))
        assert (abs(length - TURN) < 2).all()
        hands = parts[6:, :2] // gestures.PIXEL
        assert ((hands > -10) & (hands < 138)).all()


def test_the_beginning_of_a_recording(recordings: CameraRecordings) -> None:
    events = recordings.events(0)
    first = beginning(events)
    assert first["t"][0] == 0
    assert len(first) == (events["t"] < events["t"][0] + np.uint64(1_450_000)).sum() < len(events)


def test_parts_are_painted_where_they_are_and_nowhere_else() -> None:
    # Against the distance to a line in floating point, for pixels all over the image.
    random = Random(21)
    user = gestures._user(random)
    motion = perform(7, user.habits[7], random)
    parts = gestures._pose(motion, user.body, np.zeros((2, 3), np.int64), SINE, 99)
    boxes = gestures._boxes(parts, user.radii)
    block = np.arange(100) // gestures.BLOCK
    painted = 0
    for part in range(gestures.PARTS):
        radius, shade = int(user.radii[part]), int(user.shades[part])
        inner, outer = max(radius - gestures.EDGE, 0) ** 2, (radius + gestures.EDGE) ** 2
        begin, length, direction = parts[part, :2].T, parts[part, 2], parts[part, 3:].T / TURN
        left, right, top, bottom = boxes[block, part].T
        for x in range(0, 128 * gestures.PIXEL, 7 * gestures.PIXEL):
            for y in range(0, 128 * gestures.PIXEL, 5 * gestures.PIXEL):
                offset = np.array([x, y]) - begin
                place = np.clip((offset * direction).sum(axis=1), 0, length)
                square = ((offset - place[:, None] * direction) ** 2).sum(axis=1)
                expected = shade * np.clip((outer - square) / (outer - inner), 0, 1)
                levels = np.zeros(100, np.int64)
                gestures._paint(levels, x, y, parts[part], inner, outer, shade)
                np.testing.assert_allclose(levels, expected, atol=abs(shade) / 50)
                inside = (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
                assert (levels[~inside] == 0).all()
                painted += (levels != 0).sum()
    assert painted > 5_000
