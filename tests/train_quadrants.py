"""Started by `torchrun` in test_training.py: train on quadrants, the first process saves."""

import os
import sys
from typing import Any

import torch
from quadrants import changed, quadrants

from eventsim_bridge.training import train

if __name__ == "__main__":
    name, out = sys.argv[1:]
    model: Any = name
    torch.set_num_threads(1)
    trained = train(quadrants(), changed(model=model), progress=False)
    if os.environ["RANK"] == "0":
        history = [tuple(epoch) for epoch in trained.history]
        torch.save({"history": history, "model": trained.model.state_dict()}, out)
