"""Started by `torchrun` in test_training.py: train on quadrants, the first process saves."""

import os
import sys
from typing import Any

import torch
from quadrants import changed, quadrants

from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingSettings


def shared_settings(model: Any) -> TrainingSettings:
    return changed(model=model, random_start=True, steps=4)


if __name__ == "__main__":
    name, out = sys.argv[1:]
    trained = train(quadrants(), shared_settings(name), progress=False)
    if os.environ["RANK"] == "0":
        history = [tuple(epoch) for epoch in trained.history]
        torch.save({"history": history, "model": trained.model.state_dict()}, out)
