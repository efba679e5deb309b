"""`--plot` of `run` and `inspect`: which files they write, and that films show the run's counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command

import eventsim as es
from eventsim.colours import LIGHT, mixed, rgb

pytest.importorskip("matplotlib")
from PIL import Image

from eventsim_tools.pictures import film
from eventsim_tools.pictures.drawing import tiled
from eventsim_tools.reading import Reading

BEGINNINGS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".gif": b"GIF89a"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network with a map and a vector, and a recording."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    lif = es.LIF(0.5, 0.4)
    layers = [
        es.Conv2d(rng.normal(0, 0.5, (3, 2, 3, 3)), stride=2, neuron=lif),
        es.Flatten(),
        es.Dense(rng.normal(0, 0.5, (4, 3 * 5 * 5)), neuron=lif),
    ]
    net = es.Network((2, 12, 12), 1000, layers, class_names=["a", "b", "c", "d"])
    es.save_network(net, folder / "net.h5")
    t, (x, y), on = np.sort(rng.integers(0, 40_000, 900)), rng.integers(0, 12, (2, 900)), rng
    np.save(folder / "events.npy", es.make_events(t, x, y, on.integers(0, 2, 900)))
    return folder / "net.h5", folder / "events.npy"


@pytest.mark.parametrize(
    ("suffix", "mode"), [*((suffix, "clocked") for suffix in BEGINNINGS), (".gif", "async")]
)
def test_run_draws_a_recording_and_what_it_causes(
    suffix: str, mode: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(film, "FRAMES", 4)
    out = tmp_path / f"run{suffix}"
    assert run_command("run", *files, "--mode", mode, "--plot", out) == 0
    assert out.read_bytes().startswith(BEGINNINGS[suffix])
    if suffix == ".svg":  # its text is text
        name = es.load_network(files[0]).layer_name(0)
        for words in (f"{name}, 3 x 5 x 5 neurons", "(answer: a)", "dense MACs", "45nm-gather"):
            assert words in out.read_text()
    if suffix == ".gif":
        with Image.open(out) as moving:
            assert moving.n_frames == 4


def test_what_is_drawn_is_read_once(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    recording = Reading.recording
    monkeypatch.setattr(
        Reading, "recording", lambda self, path: read.append(path) or recording(self, path)
    )
    assert run_command("run", *files, "--plot", tmp_path / "run.svg") == 0
    assert read == [files[1]]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".gif"])
def test_inspect_draws_a_recording(
    suffix: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(film, "FRAMES", 4)
    out = tmp_path / f"recording{suffix}"
    assert run_command("inspect", files[1], "--region", "0,0,10,8", "--plot", out) == 0
    assert out.read_bytes().startswith(BEGINNINGS[suffix])
    if suffix == ".svg":
        assert "10 x 8 pixels" in out.read_text()


def test_inspect_draws_the_weights_of_a_network(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "net.svg"
    assert run_command("inspect", files[0], "--plot", out) == 0
    name = es.load_network(files[0]).layer_name(0)
    assert f"{name}, 3 x 2 x 3 x 3" in out.read_text()
    assert out.read_text().count("<image ") == 3 + 4  # a kernel a map, and what a class looks for
    sentence = run_command("inspect", files[0], "--plot", tmp_path / "net.gif")
    assert "weights do not move" in str(sentence)


def test_what_cannot_be_drawn_is_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments, sentence in (
        ((*files, "--plot", tmp_path / "a.bmp"), "a.bmp, expected a name that ends in .png, .pdf"),
        ((*files, files[1], "--plot", tmp_path / "a.png"), "with 2 recordings, expected one"),
    ):
        assert sentence in str(run_command("run", *arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_without_events_is_drawn(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(film, "FRAMES", 4)
    empty = tmp_path / "none.npy"
    np.save(empty, es.make_events([], [], [], []))
    for name in ("a.png", "a.gif"):
        assert run_command("inspect", empty, "--plot", tmp_path / name) == 0
        assert run_command("run", files[0], empty, "--plot", tmp_path / name) == 0


def test_units_without_a_place_are_drawn_as_a_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(film, "FRAMES", 4)
    dense = es.Dense(np.ones((2, 5)), neuron=es.LIF(0.5, 0.4))
    es.save_network(es.Network((5,), 1000, [dense]), tmp_path / "net.h5")
    spikes = np.array([(0, 4), (900, 1), (3000, 0)], [("t", "i8"), ("unit", "i4")])
    np.save(tmp_path / "spikes.npy", spikes)
    for suffix in (".png", ".gif"):
        out = tmp_path / f"run{suffix}"
        run = ("run", tmp_path / "net.h5", tmp_path / "spikes.npy", "--plot", out)
        assert run_command(*run) == 0
        assert out.read_bytes().startswith(BEGINNINGS[suffix])


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_a_film_has_every_event_spike_and_operation(mode: Any, files: tuple[Path, Path]) -> None:
    net, events = es.load_network(files[0]), es.read_recording(files[1]).events
    result = es.simulate(net, events, mode=mode, record_spikes=True)
    frames = list(film._frames(net, events, result))
    assert sum(frame.events.sum() for frame in frames) == frames[-1].seen == len(events)
    assert result.spikes is not None
    for number, spikes in enumerate(result.spikes):
        assert sum(frame.spikes[number].sum() for frame in frames) == len(spikes) > 0
    total = result.operations.total
    assert (frames[-1].sops, frames[-1].dense) == (total.sops, total.dense_macs)
    assert frames[-1].outputs.tolist() == result.spike_counts.tolist()
    assert [frame.sops for frame in frames] == sorted(frame.sops for frame in frames)
    assert 0 < frames[len(frames) // 2].sops < total.sops


def test_maps_stand_side_by_side() -> None:
    image = tiled(np.arange(2 * 2 * 3).reshape(2, 2, 3), -1)
    assert image.tolist() == [[0, 1, 2], [3, 4, 5], [-1, -1, -1], [6, 7, 8], [9, 10, 11]]
    assert tiled(np.zeros((512, 1, 1)), 0).shape in ((16, 32), (32, 16))
    assert tiled(np.zeros((7, 1, 1)), 0).size >= 7


def test_polarities_are_mixed_from_the_paper() -> None:
    on, off = np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    expected = [rgb(colour).tolist() for colour in (LIGHT.paper, LIGHT.on, LIGHT.off)]
    assert mixed(on, off)[0].tolist() == expected
