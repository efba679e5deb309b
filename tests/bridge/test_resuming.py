"""Training runs that are killed and go on, and checkpoints that are no use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from quadrants import SETTINGS, assert_same_training, changed, quadrants

from eventsim.network.neurons import ALIF, IF
from eventsim_bridge.training import loop as training
from eventsim_bridge.training.checkpoints import CheckpointError
from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingError


class Killed(BaseException):
    pass


def kill_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Let training die in the middle of an epoch."""
    loss, left = training.error_of, iter(range(batches))

    def dying(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return loss(*arguments)

    monkeypatch.setattr(training, "error_of", dying)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"structure": "4C3-AP2-8FC-4"},
        {"batch_norm": True},
        {"model": "rnn", "structure": "4C3-AP2-8FC-4"},
        {"model": "lstm", "loss": "rate-inspired"},
        {"model": "ann", "encoding": "counts"},
        {"random_start": True, "steps": 3},
        {"learn": ("decay", "threshold"), "learn_per": "channel"},
        {"neuron": ALIF(0.3, 0.3, 0.9, 0.1), "learn": ("decay",)},
    ],
)
def test_a_killed_run_goes_on_to_the_same_result(
    changes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = changed(**changes)
    checkpoint = tmp_path / "run.pt"
    alone = train(quadrants(), settings, progress=False)
    assert len({tuple(epoch) for epoch in alone.history}) == settings.epochs
    for batches in (12, 13):  # 7 batches an epoch
        with monkeypatch.context() as patch:
            kill_after(patch, batches)
            with pytest.raises(Killed):
                train(quadrants(), settings, checkpoint=checkpoint, progress=False)
    assert len(torch.load(checkpoint, weights_only=True)["history"]) == 2
    resumed = train(quadrants(), settings, checkpoint=checkpoint, progress=False)
    assert_same_training(alone, resumed)
    with monkeypatch.context() as patch:
        kill_after(patch, 0)  # a run that is done does nothing more
        again = train(quadrants(), settings, checkpoint=checkpoint, progress=False)
    assert_same_training(alone, again)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run.pt"
    train(quadrants(), changed(epochs=1), checkpoint=path, progress=False)
    return path


def test_a_checkpoint_of_another_run_is_refused(checkpoint: Path) -> None:
    other = quadrants(seed=5)
    renamed = quadrants()
    renamed.name = "octants"
    for dataset, settings, words in (
        (quadrants(), changed(epochs=1, learning_rate=1e-3), "learning_rate 0.005, expected 0.001"),
        (quadrants(), changed(epochs=1, batch_norm=True), "batch_norm False, expected True"),
        (quadrants(), changed(epochs=1, neuron=IF(0.3)), "neuron.*'LIF'.*expected.*'IF'"),
        (other, changed(epochs=1), "digest"),
        (renamed, changed(epochs=1), "name 'quadrants', expected 'octants'"),
    ):
        with pytest.raises(CheckpointError, match=rf"run\.pt: .*{words}"):
            train(dataset, settings, checkpoint=checkpoint, progress=False)


def test_a_damaged_checkpoint_is_refused(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    network_file = b"\x89HDF\r\n\x1a\n" + bytes(100)
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"hello", network_file):
        checkpoint.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"run\.pt: the file is cut off, or no checkp"):
            train(quadrants(), changed(epochs=1), checkpoint=checkpoint, progress=False)
    for document in ([1], {"weights": 1}, {"format": "eventsim training", "version": 1}):
        torch.save(document, checkpoint)
        with pytest.raises(CheckpointError, match=r"run\.pt: format and version are"):
            train(quadrants(), changed(epochs=1), checkpoint=checkpoint, progress=False)


def test_a_checkpoint_without_a_folder_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="folder that exists"):
        train(quadrants(), SETTINGS, checkpoint=tmp_path / "no" / "run.pt", progress=False)
