"""The state of a training run, and the file it is kept in, from which a killed run goes on.

The file is one that `torch.load` reads with `weights_only=True`: format, version, the settings and
the data that the run belongs to, weights, optimiser state, history, the price of operations, and
the best weights so far. The order of the recordings and everything else follows from settings and
epoch. Called by `loop.py` after every epoch.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from eventsim.errors import EventsimError

from .torch_files import read_document, write_document

HEAD = ("eventsim training", 4)  # format and version


class CheckpointError(EventsimError):
    """A checkpoint cannot be read, or belongs to another run."""


class Epoch(NamedTuple):
    """What is noted of an epoch, counted from 1."""

    epoch: int
    loss: float  # mean over the training recordings, each as its batch was trained
    accuracy: float  # likewise
    validation_loss: float
    validation_accuracy: float
    # Of a spiking model, a sample, layer by layer, as the engine counts them.
    validation_sops: tuple[float, ...] = ()

    def is_within(self, budget: int | None) -> bool:
        """Tell whether the model takes at most so many operations a sample; None: any number."""
        return budget is None or sum(self.validation_sops) <= budget

    def merit(self, budget: int | None) -> tuple[bool, float, float]:
        """Return what makes an epoch the best: validation accuracy, of equals the lowest loss.

        Of epochs within the budget; where there is none, the one with the fewest operations is.
        """
        if not self.is_within(budget):
            return False, -sum(self.validation_sops), 0.0
        return True, self.validation_accuracy, -self.validation_loss


class TrainingState:
    """Model, optimiser, the epochs so far, and the weights of the best of them."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, budget: int | None
    ) -> None:
        """Begin a run, within a budget of operations a sample."""
        self.model = model
        self.optimizer = optimizer
        self.budget = budget
        self.price = 0.0  # of operations, see `budget.py`
        self.history: list[Epoch] = []
        self.seconds: list[float] = []  # of each epoch
        self.best_weights: dict[str, Any] = {}

    @property
    def best(self) -> Epoch:
        """The best epoch so far, the first of equals."""
        return max(self.history, key=lambda epoch: epoch.merit(self.budget))

    def note(self, epoch: Epoch, seconds: float) -> None:
        """Add an epoch that took so long, and keep the model's weights if it is the best."""
        self.history.append(epoch)
        self.seconds.append(seconds)
        if self.best is epoch:
            self.best_weights = copy.deepcopy(self.model.state_dict())

    def save(self, path: Path, settings: dict[str, Any], data: dict[str, Any]) -> None:
        """Put the state in place of `path` in one go."""
        fields = {
            "settings": settings,
            "data": data,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [tuple(epoch) for epoch in self.history],
            "seconds": self.seconds,
            "price": self.price,
            "best_weights": self.best_weights,
        }
        write_document(path, HEAD, fields)

    def load(self, path: Path, settings: dict[str, Any], data: dict[str, Any]) -> None:
        """Take over the state in `path`.

        Raises `CheckpointError` for a file that is no checkpoint, or one of a run with other
        `settings` or `data`, naming the field.
        """
        document = read_document(path, HEAD, "checkpoint", "of a training", CheckpointError)
        for group, expected in (("settings", settings), ("data", data)):
            found = document[group]
            for name in expected | found:
                if found.get(name) != expected.get(name):
                    raise CheckpointError(
                        f"{path}: the checkpoint is of another run, its {group} have {name} "
                        f"{found.get(name)!r}, expected {expected.get(name)!r}"
                    )
        self.model.load_state_dict(document["model"])
        self.optimizer.load_state_dict(document["optimizer"])
        self.history = [Epoch(*epoch) for epoch in document["history"]]
        self.seconds = list(document["seconds"])
        self.price = document["price"]
        self.best_weights = document["best_weights"]
