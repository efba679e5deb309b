"""Trained models of any kind in a file of torch, with the settings that rebuild them.

The file is one that `torch.load` reads with `weights_only=True`: format, version, settings, input
shape, class names, weights, provenance. Spiking networks for the engine are exported instead
(`models.export_network`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from eventsim.errors import EventsimError

from ..models.sequences import LayeredModel
from .loop import Trained, build_model
from .settings import TrainingSettings
from .torch_files import read_document, write_document

HEAD = ("eventsim model", 1)  # format and version


class ModelFileError(EventsimError):
    """A file holds no trained model."""


class ModelFile(NamedTuple):
    """What a file holds: the model, in eval mode, and how it came about."""

    model: LayeredModel
    settings: TrainingSettings
    class_names: tuple[str, ...]
    provenance: dict[str, Any]


def save_model(trained: Trained, path: Path, noted: dict[str, Any]) -> None:
    """Put a trained model in place of `path` in one go; `noted` is added to its provenance."""
    fields = {
        "settings": trained.settings.as_dict(),
        "input_shape": trained.model.input_shape,
        "class_names": trained.class_names,
        "weights": trained.model.state_dict(),
        "provenance": {**trained.provenance(), **noted},
    }
    write_document(path, HEAD, fields)


def load_model(path: Path) -> ModelFile:
    """Read a trained model.

    Raises `ModelFileError` for a file that holds none, `OSError` where it cannot be opened.
    """
    document = read_document(path, HEAD, "model", "that training has written", ModelFileError)
    settings = TrainingSettings.from_dict(document["settings"])
    with torch.random.fork_rng(devices=[]):
        model = build_model(settings, tuple(document["input_shape"]))
    model.load_state_dict(document["weights"])
    model.eval()
    return ModelFile(model, settings, tuple(document["class_names"]), dict(document["provenance"]))
