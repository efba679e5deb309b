"""Started by `torchrun` in test_training.py: train on quadrants, the first process saves."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from quadrants import changed, quadrants

from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingSettings


def shared_settings(model: Any) -> TrainingSettings:
    return changed(model=model, random_start=True, steps=4)


def threads() -> list[str]:
    """Return the names of this process's threads, where the system tells them."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")]


if __name__ == "__main__":
    name, out = sys.argv[1:]
    trained = train(quadrants(), shared_settings(name), progress=False)
    if os.environ["RANK"] == "0":
        history = [tuple(epoch) for epoch in trained.history]
        state = trained.model.state_dict()
        torch.save({"history": history, "model": state, "threads": threads()}, out)
