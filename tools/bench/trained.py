"""A model of another library, trained in its own framework: an epoch, recording by recording.

In: a module as `eventsim_bridge.importing` reads it, and binned recordings with their classes. Out:
the same module with other weights. Called by `imports.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from eventsim import BinnedEvents
from eventsim.network.geometry import Shape
from eventsim_bridge.importing import Original

BATCH = 5  # recordings whose gradients are added up before a step
RATE = 0.01  # of a step, in parts of the mean weight of a layer
SCALE = 0.2  # of the scores: with the sums as they are one class is certain at once


def train(
    model: nn.Module,
    input_shape: Shape,
    recordings: Sequence[tuple[BinnedEvents, int]],
    progress: Callable[[int], None],
) -> None:
    """Train all weights and biases of linear layers and convolutions; cross-entropy of the sums.

    What the last layer gives is summed over the timesteps: its spikes, or its membranes. Steps are
    Adam's, and as large beside the weights in every library, whose weights differ in size.
    """
    original = Original(model, input_shape)
    last = original.layers[-1][0]
    parts = [part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    optimizer = torch.optim.Adam([
        {"params": list(part.parameters()), "lr": RATE * float(part.weight.detach().abs().mean())}
        for part in parts
    ])  # fmt: skip
    model.train()
    order = np.random.default_rng(0).permutation(len(recordings))
    for first in range(0, len(order), BATCH):
        optimizer.zero_grad()
        for index in order[first : first + BATCH]:
            binned, label = recordings[index]
            given = original.hear(torch.from_numpy(binned.frames()))[last]
            scores = given.reshape(binned.steps, -1).sum(dim=0, keepdim=True)
            loss = nn.functional.cross_entropy(SCALE * scores, torch.tensor([label])) / BATCH
            loss.backward()  # type: ignore[no-untyped-call]
            progress(1)
        optimizer.step()
