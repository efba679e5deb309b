"""Recordings of one's own: folders, groups, map-style data sets, and sets as they are published."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from command_line import run_command, train_quickly, write_nmnist_set
from recording_files import aedat31, matlab, nmnist

import eventsim as es
from eventsim.errors import EventsimError
from eventsim.events.arrays import Events, Sensor, make_events
from eventsim_bridge.data.folders import choose_test
from eventsim_bridge.data.own import OwnData, from_mappings
from eventsim_bridge.data.sets import resized
from eventsim_bridge.datasets import DataSetError, open_dataset
from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingSettings

CLASSES = ("2", "10", "wave")  # in their order


def recording(label: int, seed: int) -> Events:
    """Events in the third of a sensor of 30 x 10 that is the label's."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 40_000, 300))
    x, y, on = rng.integers([[10 * label], [0], [0]], [[10 * label + 10], [10], [2]], (3, 300))
    return make_events(t, x, y, on)


def fill(root: Path, count: int = 6) -> Path:
    """Write a folder a class, in three formats; six subjects made a recording of each."""
    for label, name in enumerate(CLASSES):
        for subject in range(count):
            events = recording(label, 10 * label + subject)
            folder = root / name / f"subject{subject}"
            folder.mkdir(parents=True)
            if subject % 3 == 0:
                (folder / "a.bin").write_bytes(nmnist(events))
            elif subject % 3 == 1:
                np.save(folder / "a.npy", events)
            else:
                rows = [f"{t},{x},{y},{int(on)}" for t, x, y, on in events.tolist()]
                (folder / "a.csv").write_text("\n".join(["t,x,y,p", *rows]))
    return root


def test_a_folder_of_any_formats(tmp_path: Path) -> None:
    dataset = open_dataset("folder", fill(tmp_path), OwnData(test_share=0.34))
    assert dataset.class_names == CLASSES
    assert dataset.sensor == Sensor(30, 10)
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
    assert np.bincount(dataset.train.labels).tolist() == [4, 4, 4]
    for split in (dataset.train, dataset.test):
        for name, (events, label) in zip(split.names, split, strict=True):
            subject = int(name.split("/")[1].removeprefix("subject"))
            assert name.startswith(CLASSES[label])
            np.testing.assert_array_equal(events, recording(label, 10 * label + subject))
    assert not set(dataset.train.names) & set(dataset.test.names)
    again = open_dataset("folder", tmp_path, OwnData(test_share=0.34))
    assert again.test.names == dataset.test.names
    other = open_dataset("folder", tmp_path, OwnData(test_share=0.34, seed=1))
    assert other.test.names != dataset.test.names


def test_a_group_is_in_one_part(tmp_path: Path) -> None:
    own = OwnData(test_share=0.34, group_by=r"subject(\d)")
    dataset = open_dataset("folder", fill(tmp_path), own)
    train_users, test_users = dataset.train.users, dataset.test.users
    assert train_users is not None
    assert test_users is not None
    assert not set(train_users) & set(test_users)
    assert len(set(test_users)) == 2
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]


def test_unlike_groups_come_near_the_share() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 600)
    groups = tuple(f"s{number}" for number in rng.integers(0, 40, 600) ** 2 // 40)
    chosen = choose_test(labels, groups, 0.2, seed=3)
    for label in range(5):
        assert abs(chosen[labels == label].mean() - 0.2) < 0.08
    assert not {g for g, c in zip(groups, chosen, strict=True) if c} & {
        g for g, c in zip(groups, chosen, strict=True) if not c
    }


def test_parts_that_are_there_are_kept(tmp_path: Path) -> None:
    fill(tmp_path / "Train", 3)
    fill(tmp_path / "test", 1)
    dataset = open_dataset("folder", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (9, 3)
    with pytest.raises(EventsimError, match=r"--test-share is 0\.5, expected none"):
        open_dataset("folder", tmp_path, OwnData(test_share=0.5))
    with pytest.raises(EventsimError, match="group 'subject0' is in both parts"):
        open_dataset("folder", tmp_path, OwnData(group_by=r"subject\d"))


def test_what_no_data_set_can_be_made_of(tmp_path: Path) -> None:
    for own, sentence in (
        (OwnData(), "holds no folders, expected one for each class"),
        (OwnData(test_share=1.5), "--test-share is 1.5, expected a number between 0 and 1"),
    ):
        with pytest.raises(EventsimError, match=sentence):
            open_dataset("folder", tmp_path, own)
    (tmp_path / "one").mkdir()
    with pytest.raises(EventsimError, match="holds no recordings, expected some"):
        open_dataset("folder", tmp_path)
    fill(tmp_path / "all")
    for group, sentence in (("(", "expected a regular expression"), ("nobody", "does not match")):
        with pytest.raises(EventsimError, match=sentence):
            open_dataset("folder", tmp_path / "all", OwnData(group_by=group))
    (tmp_path / "all" / "2" / "notes.md").write_text("")
    with pytest.raises(EventsimError, match=r"notes.md has the suffix \.md, expected recordings"):
        open_dataset("folder", tmp_path / "all")
    with pytest.raises(DataSetError, match="data set nmnist: it is parted and read in its own way"):
        open_dataset("nmnist", tmp_path, OwnData(test_share=0.5))
    with pytest.raises(DataSetError, match="data set folder: root is missing"):
        open_dataset("folder", None, OwnData(reading={"sort": True}))


def test_train_and_run_on_a_folder(tmp_path: Path) -> None:
    data = ("--data", "folder", "--root", fill(tmp_path / "data"), "--group-by", r"subject\d")
    out = tmp_path / "net.h5"
    more = ("--dt-us", 10_000, "--steps", 4, "--epochs", 8, "--batch-size", 4,
            "--learning-rate", 0.01, "--downscale", 2)  # fmt: skip
    assert run_command("train", *data, "--structure", "32FC-3", "--out", out, *more) == 0
    net = es.load_network(out)
    assert net.class_names == CLASSES
    assert net.input_shape == (2, 5, 15)
    told = tmp_path / "out.json"
    assert run_command("run", out, *data, "--downscale", 2, "--json", told) == 0
    document = json.loads(told.read_text())
    dataset = open_dataset("folder", tmp_path / "data", OwnData(group_by=r"subject\d"))
    small = resized(dataset, es.FilterSettings(downscale=2))
    results = es.simulate_batch(net, [events for events, _ in small.test])
    assert document["names"] == list(dataset.test.names)
    assert document["predictions"] == [result.prediction for result in results]
    assert document["labels"] == dataset.test.labels.tolist() == [0, 1, 2]
    assert document["class_names"] == list(CLASSES)
    assert "events come from 30 x 10 pixels" in str(run_command("run", out, *data))
    refused = run_command("run", out, "--data", "digits", "--group-by", "x")
    assert "--group-by is set with --data digits, expected none" in str(refused)


class Mapped:
    """What tonic's data sets are: structured events in microseconds, and a label."""

    sensor_size = (30, 10, 2)

    def __init__(self, first: int, count: int, **attributes: Any) -> None:
        self.first, self.count = first, count
        vars(self).update(attributes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        label = (self.first + index) % 3
        events = recording(label, self.first + index)
        fields = [("x", "i8"), ("y", "i8"), ("t", "i8"), ("p", "i8")]
        made = np.zeros(len(events), fields)
        for name in "xytp":
            made[name] = events[name]
        return made, label if not hasattr(self, "names") else self.names[label]


def test_any_map_style_data_set_trains_and_runs() -> None:
    dataset = from_mappings(Mapped(0, 12), Mapped(12, 6), class_names=CLASSES)
    assert (dataset.sensor, dataset.class_names) == (Sensor(30, 10), CLASSES)
    settings = TrainingSettings("32FC-3", 10_000, 4, epochs=8, batch_size=4, learning_rate=0.01)
    network = train(dataset, settings, progress=False).network()
    results = es.simulate_batch(network, [events for events, _ in dataset.test])
    assert [r.prediction for r in results] == dataset.test.labels.tolist()


def test_labels_and_sensors_of_mappings() -> None:
    named = from_mappings(Mapped(0, 4, names=("b", "c", "a")), sensor=Sensor(40, 40))
    assert named.class_names == ("a", "b", "c")
    assert named.train.labels.tolist() == [1, 2, 0, 1]
    assert named.sensor == Sensor(40, 40)
    assert len(named.test) == 0
    assert from_mappings(Mapped(0, 3, targets=[0, 1, 2], sensor_size=None)).sensor.width == 30
    with pytest.raises(DataSetError, match=r"own: labels are .*, expected 0 to 1"):
        from_mappings(Mapped(0, 3), class_names=("one", "two"))
    bad = from_mappings([(np.zeros(3), 0)], sensor=Sensor(2, 2))
    with pytest.raises(DataSetError, match="own: train/0: events have dtype float64, expected"):
        bad.train[0]


def test_resized_events_are_those_of_the_filters(tmp_path: Path) -> None:
    dataset = open_dataset("folder", fill(tmp_path))
    settings = es.FilterSettings(region=(2, 1, 20, 8), downscale=2)
    small = resized(dataset, settings)
    assert small.sensor == Sensor(10, 4)
    for (events, label), (less, same) in zip(dataset.train, small.train, strict=True):
        assert label == same
        np.testing.assert_array_equal(less, es.Filters(settings, dataset.sensor)(events))
    assert dataset.train.identity is not None
    assert small.train.identity is not None
    assert small.train.identity() != dataset.train.identity()


def test_dvs_gesture_as_it_is_published(tmp_path: Path) -> None:
    events = make_events(np.arange(0, 1000, 10), *[np.arange(100) % 30] * 2, np.arange(100) % 2)
    table = "class,startTime_usec,endTime_usec\n3,100,300\n11,500,700\n"
    for name in ("user01_led", "user29_lab"):
        (tmp_path / f"{name}.aedat").write_bytes(aedat31(events))
        (tmp_path / f"{name}_labels.csv").write_text(table)
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\nuser02_led.aedat\n")
    (tmp_path / "trials_to_test.txt").write_text("user29_lab.aedat\n")
    dataset = open_dataset("dvsgesture", tmp_path)
    assert dataset.train.names == ("train/user01_led/0", "train/user01_led/1")
    assert dataset.train.users == ("user01", "user01")
    assert dataset.test.labels.tolist() == [2, 10]
    found, label = dataset.test[1]
    assert (found["t"].tolist(), label) == (list(range(500, 700, 10)), 10)
    (tmp_path / "user29_lab_labels.csv").write_text("class,a,b\n12,1,2\n")
    with pytest.raises(EventsimError, match=r"labels.csv: line 2 is .*, expected a class 1 to 11"):
        open_dataset("dvsgesture", tmp_path)


def test_sets_by_their_names(tmp_path: Path) -> None:
    for name in ("accordion", "airplanes"):
        folder = tmp_path / "Caltech101" / name
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"image_{number:04d}.bin").write_bytes(struct.pack(">BBBH", 200, 150, 128, 9))
    dataset = open_dataset("ncaltech101", tmp_path)
    assert (dataset.name, dataset.sensor) == ("ncaltech101", Sensor(240, 180))
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert dataset.train[0][0].tolist() == [(9, 200, 150, True)]


def test_asl_dvs_where_it_was_unpacked(tmp_path: Path) -> None:
    for letter in "ab":
        folder = tmp_path / "ASLDVS" / "Yin" / letter
        folder.mkdir(parents=True)
        for number in range(5):
            (folder / f"{letter}_{number:04d}.mat").write_bytes(matlab(recording(0, number)))
    (tmp_path / "ASLDVS" / "ASLDVS.zip").write_bytes(b"PK")
    dataset = open_dataset("asldvs", tmp_path)
    assert (dataset.class_names, dataset.sensor) == (("a", "b"), Sensor(240, 180))
    assert (len(dataset.train), len(dataset.test)) == (8, 2)
    for name, (events, label) in zip(dataset.test.names, dataset.test, strict=True):
        assert name[0] == dataset.class_names[label]
        np.testing.assert_array_equal(events, recording(0, int(name[4:8])))


class FakeTonic:
    """Stands for tonic's data sets: writes one of two digits, or fails."""

    asked: ClassVar[list[tuple[str, bool]]] = []

    def __init__(self, save_to: str, train: bool = True) -> None:
        FakeTonic.asked.append((save_to, train))
        if "offline" in save_to:
            raise OSError("no route\nto host")
        write_nmnist_set(Path(save_to) / "NMNIST")


def test_nothing_is_downloaded_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tonic import datasets

    monkeypatch.setattr(datasets, "NMNIST", FakeTonic)
    monkeypatch.setattr(FakeTonic, "asked", [])
    root, out = tmp_path / "data", tmp_path / "net.h5"
    assert "does not exist" in str(train_quickly(root, out))
    assert FakeTonic.asked == []
    assert train_quickly(root, out, "--download") == 0
    assert FakeTonic.asked == [(str(root), True), (str(root), False)]
    assert f"Downloading nmnist to {root}" in capsys.readouterr().err
    data = ("run", out, "--data", "nmnist", "--root", root)
    assert run_command(*data, "--download", "--limit", 1) == 0  # it is there
    assert len(FakeTonic.asked) == 2


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (("nmnist", "--root", "/offline"), "data set nmnist cannot be downloaded to /offline: no "
         "route to host"),
        (("nmnist",), "data set nmnist: root is missing, expected a folder to download to"),
        (("ncars", "--root", "/nowhere"), "data set ncars cannot be downloaded, expected one of "
         "nmnist, dvsgesture, ncaltech101, cifar10dvs, asldvs"),
        (("folder", "--root", "/nowhere"), "--download is set with --data folder, expected none: "
         "it is yours"),
    ],
)  # fmt: skip
def test_what_cannot_be_downloaded(
    data: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tonic import datasets

    monkeypatch.setattr(datasets, "NMNIST", FakeTonic)
    options = ("--structure", "10", "--out", tmp_path / "net.h5", "--download")
    assert run_command("train", "--data", *data, *options) == f"eventsim: {sentence}"
    assert list(tmp_path.iterdir()) == []
