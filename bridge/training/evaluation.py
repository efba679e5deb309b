"""How a model does on labelled recordings: loss, accuracy and operations; its predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eventsim.jit import Int64s

from ..data.frames import Recordings
from ..models import SpikingLayer, SpikingNetwork
from .kernels import Feed
from .losses import Loss, error_of, predict
from .placement import Placement

CPU = Placement(torch.device("cpu"))


class Evaluation(NamedTuple):
    """How a model does on labelled recordings."""

    loss: float
    accuracy: float
    sops: tuple[float, ...] = ()  # a sample, of each layer of a spiking model


def run_counted(model: nn.Module, inputs: Any) -> tuple[Tensor, Tensor]:
    """Return outputs, and the operations of each sample and layer; none where nothing spikes."""
    if isinstance(model, SpikingNetwork):
        return model.counted(inputs)
    outputs: Tensor = model(inputs)
    return outputs, outputs.new_zeros(len(outputs), 0)


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
    """Return loss, accuracy and operations on recordings (by default all), batch by batch.

    The processes of a placement share the batches. The model is put into eval mode. `sparse`: on
    binned events, which runs on the sparse kernels.
    """
    indices = np.arange(len(recordings)) if indices is None else indices
    error, correct, sops = 0.0, 0, [0.0] * _counted_layers(model)
    feed = Feed(recordings, placement, sparse)
    model.eval()
    with torch.no_grad():
        for batch in batches(placement.share(indices), batch_size):
            (outputs, taken), labels = run_counted(model, feed.inputs(batch)), feed.labels(batch)
            sops = [so_far + more for so_far, more in zip(sops, taken.sum(0).tolist(), strict=True)]
            error += len(batch) * error_of(outputs, labels, loss).item()
            correct += int((predict(outputs, loss) == labels).sum())
    error, hits, *sops = placement.total(error, correct, *sops)
    return Evaluation(
        error / len(indices), hits / len(indices), tuple(total / len(indices) for total in sops)
    )


def _counted_layers(model: nn.Module) -> int:
    if not isinstance(model, SpikingNetwork):
        return 0
    return sum(isinstance(layer, SpikingLayer) for layer in model.layers)


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
