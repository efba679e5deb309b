"""Files of trained models: whole or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from quadrants import SHAPE, changed, quadrants

from eventsim.network.neurons import IF
from eventsim_bridge.training.loop import train
from eventsim_bridge.training.model_files import ModelFileError, load_model, save_model


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "lstm", "structure": "3C3-AP2-4FC-4", "bias": False},
        {"neuron": IF(0.5, "subtract"), "batch_norm": True},
    ],
)
def test_a_model_comes_back_as_it_was(changes: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    trained = train(quadrants(20), changed(epochs=1, **changes), progress=False)
    save_model(trained, path, {"test_accuracy": 0.5})
    before = torch.random.get_rng_state()
    loaded = load_model(path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert loaded.settings.as_dict() == trained.settings.as_dict()
    assert loaded.class_names == trained.class_names
    assert loaded.provenance == {**trained.provenance(), "test_accuracy": 0.5}
    frames = torch.rand(2, 3, *SHAPE)
    assert torch.equal(loaded.model(frames), trained.model(frames))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in (b"", b"hello", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.pt: the file is cut off, or no model"):
            load_model(path)
    torch.save({"format": "eventsim training", "version": 1}, path)
    with pytest.raises(ModelFileError, match=r"format and version are .'eventsim training', 1"):
        load_model(path)
