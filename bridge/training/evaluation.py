"""How a model does on labelled recordings: loss and accuracy in training, predictions after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from eventsim.jit import Int64s

from ..data.frames import Recordings
from .kernels import Feed
from .losses import Loss, error_of, predict
from .placement import Placement

CPU = Placement(torch.device("cpu"))


class Evaluation(NamedTuple):
    """How a model does on labelled recordings."""

    loss: float
    accuracy: float


def evaluate(
    model: nn.Module,
    recordings: Recordings,
    indices: Int64s | None = None,
    batch_size: int = 50,
    *,
    loss: Loss = "rate",
    placement: Placement = CPU,
    sparse: bool = False,
) -> Evaluation:
    """Return loss and accuracy on recordings (by default all), a batch in memory at a time.

    The processes of a placement share the batches. The model is put into eval mode. `sparse`: on
    binned events, which runs on the sparse kernels.
    """
    indices = np.arange(len(recordings)) if indices is None else indices
    error, correct = 0.0, 0
    feed = Feed(recordings, placement, sparse)
    model.eval()
    with torch.no_grad():
        for batch in batches(placement.share(indices), batch_size):
            outputs, labels = model(feed.inputs(batch)), feed.labels(batch)
            error += len(batch) * error_of(outputs, labels, loss).item()
            correct += int((predict(outputs, loss) == labels).sum())
    error, hits = placement.total(error, correct)
    return Evaluation(error / len(indices), hits / len(indices))


def predictions(
    model: nn.Module, recordings: Recordings, loss: Loss, *, batch_size: int = 50
) -> Int64s:
    """Return the predicted class of every recording, (recordings,), in eval mode."""
    model.eval()
    predicted = [np.empty(0, np.int64)]
    with torch.no_grad():
        for batch in batches(np.arange(len(recordings)), batch_size):
            outputs = model(recordings.frames(batch))
            predicted.append(predict(outputs, loss).numpy())
    return np.concatenate(predicted)


def batches(indices: Int64s, size: int) -> Iterator[Int64s]:
    """Cut indices into batches, the last one maybe smaller."""
    return (indices[first : first + size] for first in range(0, len(indices), size))
