"""The options by which commands read recordings: the same on each, and nothing is ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command
from recording_files import EVENTS, WHOLE, hdf5

import eventsim as es


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network on 20 x 15 pixels: half of the sensor of `recording_files`."""
    weight = np.ones((1, 2 * 15 * 20))
    dense = es.Dense(weight, neuron=es.IF(0.5))
    es.save_network(es.Network((2, 15, 20), 1000, [es.Flatten(), dense]), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def document(path: Path, *arguments: Any) -> Any:
    assert run_command(*arguments, "--json", path) == 0
    return json.loads(path.read_text())


def commands_that_read(network: Path, file: Path) -> tuple[tuple[Any, ...], ...]:
    return (
        ("run", network, file),
        ("inspect", file),
        ("stream", network, "--from", file, "--pace", 0),
        ("send", file, "--to", "udp://127.0.0.1:9", "--pace", 0),
    )


def test_a_stated_sensor_must_fit_the_network(network: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.es"
    file.write_bytes(WHOLE["faery.es"])
    sentence = (
        f"eventsim: {file}: events come from 40 x 30 pixels, expected at most the network's "
        f"20 x 15: take a --region X,Y,W,H, or --downscale N"
    )
    assert run_command("run", network, file) == sentence
    wide = ("--region", "0,0,40,15")
    assert "events come from 40 x 15 pixels" in str(run_command("run", network, file, *wide))
    guessed = tmp_path / "a.npy"
    np.save(guessed, EVENTS[:4])
    assert run_command("run", network, guessed) == 0
    assert "from 40 x 30 pixels" in str(run_command("run", network, guessed, "--sensor", "40x30"))


@pytest.mark.parametrize("long_file", [2**24, 0])
def test_region_and_downscale_are_those_of_the_filters(
    network: Path, tmp_path: Path, long_file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventsim_tools.inputs.LONG_FILE", long_file)
    file, out = tmp_path / "a.es", tmp_path / "out.json"
    file.write_bytes(WHOLE["faery.es"])
    for options, settings in (
        (("--downscale", 2), es.FilterSettings(downscale=2)),
        (("--region", "1,1,20,15"), es.FilterSettings(region=(1, 1, 20, 15))),
    ):
        filters = es.Filters(settings, es.Sensor(40, 30))
        events = filters(EVENTS)
        found = document(out, "run", network, file, *options)
        assert found["events"] == [len(events)]
        assert found["layers"][0]["acs"] == [len(events)]
        shown = document(out, "inspect", file, *options)
        assert shown["events"] == len(events)
        assert shown["outside_of_the_region"] == filters.counters["outside"]
        live = document(out, "stream", network, "--from", file, "--pace", 0, *options)
        assert live["events"]["processed"] == len(events)


def test_sorting_is_the_same_on_every_command(network: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "late.npy", tmp_path / "out.json"
    np.save(file, EVENTS[[1, 0, 2, 3]])
    for arguments in commands_that_read(network, file):
        assert "time runs backwards" in str(run_command(*arguments))
        found = document(out, *arguments, "--sort")
        events = found["events"]
        assert (events["processed"] if isinstance(events, dict) else events) in (4, [4])


def test_dropping_is_the_same_on_every_command(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "late.npy", tmp_path / "out.json"
    np.save(file, EVENTS[[1, 0, 2, 3]])
    for arguments in commands_that_read(network, file):
        found = document(out, *arguments, "--on-bad", "drop")
        events = found["events"]
        assert (events["processed"] if isinstance(events, dict) else events) in (3, [3])
        assert f"{file}: dropped 1 events backward in time\n" in capsys.readouterr().err
    assert document(out, "inspect", file, "--on-bad", "drop")["dropped"] == {
        "events backward in time": 1
    }


def test_what_would_be_ignored_is_refused(network: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, EVENTS)
    for arguments, expected in (
        ((file, "--data", "digits"), "--data is 'digits' beside "),
        ((file, "--root", tmp_path), "--root is "),
        (("--data", "digits", "--sort"), "--sort is set with --data digits, expected none"),
        (
            ("--data", "digits", "--sensor", "3x4"),
            "--sensor is set with --data digits, expected none",
        ),
        ((file, "--sensor", "3"), "--sensor is '3', expected whole numbers NxN"),
    ):
        assert expected in str(run_command("run", network, *arguments))
    source = ("--from", "udp://127.0.0.1:0")
    for option in (("--sort",), ("--time-unit", "s")):
        found = run_command("stream", network, *source, *option)
        assert f"{option[0]} is set, expected none: udp://127.0.0.1:0 is no recording" in str(found)


def test_files_to_write_are_checked_before_the_work(network: Path, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"never read")
    for arguments in (
        ("run", network, tmp_path / "a.npy", "--json"),
        ("inspect", tmp_path / "a.npy", "--json"),
        ("stream", network, "--from", tmp_path / "a.npy", "--json"),
        ("stream", network, "--from", tmp_path / "a.npy", "--json-lines"),
        ("send", tmp_path / "a.npy", "--to", "udp://127.0.0.1:9", "--json"),
        ("train", "--data", "nowhere", "--structure", "10", "--out"),
    ):
        name = f"eventsim: {tmp_path}"
        assert run_command(*arguments, tmp_path) == (
            f"{name}: this is a folder, expected a file to write"
        )
        assert run_command(*arguments, tmp_path / "no" / "a") == (
            f"{name}/no/a: the folder {tmp_path}/no does not exist"
        )


def test_inspect_says_what_is_guessed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", EVENTS)
    out = tmp_path / "out.json"
    shown = document(out, "inspect", tmp_path / "a.npy")
    assert shown["sensor"] == "34 x 30"
    assert shown["sensor_is"] == "guessed: the smallest that holds the events"
    shown = document(out, "inspect", tmp_path / "a.npy", "--sensor", "40x30")
    assert (shown["sensor"], shown["sensor_is"]) == ("40 x 30", "asked for")


def test_sensors_of_prophesee_are_known(tmp_path: Path) -> None:
    def fill(file: Any, events: Any) -> None:
        file["CD/events"] = events
        file.attrs["geometry"] = "1280x720"

    (tmp_path / "a.h5").write_bytes(hdf5(fill)(EVENTS))
    assert es.read_recording(tmp_path / "a.h5").sensor == es.Sensor(1280, 720)
    words = np.array([8 << 28, 1 << 28 | 5 << 11 | 7], "<u4").tobytes()
    for number, sensor in ((21, es.Sensor(640, 480)), (30, es.Sensor(1280, 720)), (1, None)):
        (tmp_path / "a.raw").write_bytes(b"%% evt 2.0\n%% system_ID %d\n" % number + words)
        assert es.read_packets(tmp_path / "a.raw").sensor == sensor
