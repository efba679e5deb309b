"""What a model's outputs over time say of the class, and how wrong that is.

    rate          SNN: spikes of each output neuron / timesteps
    last          RNN, LSTM: the readout of the last timestep, the mainstream way; ANN: its only one
    rate-inspired RNN, LSTM: the mean of the readout over all timesteps

The loss is the mean squared error between these scores and the one-hot label (He et al. 2020, all
models alike), the prediction the class with the highest score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

Loss = Literal["rate", "last", "rate-inspired"]
ModelName = Literal["snn", "rnn", "lstm", "ann"]

# The first is the default.
LOSSES_OF: Mapping[ModelName, tuple[Loss, ...]] = {
    "snn": ("rate",),
    "rnn": ("last", "rate-inspired"),
    "lstm": ("last", "rate-inspired"),
    "ann": ("last",),
}


def _mean(outputs: Tensor) -> Tensor:
    return outputs.mean(dim=1)


def _last(outputs: Tensor) -> Tensor:
    return outputs[:, -1]


_SCORES: Mapping[Loss, Callable[[Tensor], Tensor]] = {
    "rate": _mean,
    "last": _last,
    "rate-inspired": _mean,
}


def scores(outputs: Tensor, loss: Loss) -> Tensor:
    """Return the score of each class, (batch, classes), for outputs (batch, steps, classes)."""
    return _SCORES[loss](outputs)


def error_of(outputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Return the mean over batch and classes of (score - one-hot label)^2.

    `outputs`: (batch, steps, classes); `labels`: (batch,) class numbers. He et al. 2020.
    """
    of_classes = scores(outputs, loss)
    one_hot = nn.functional.one_hot(labels, of_classes.shape[1])
    return nn.functional.mse_loss(of_classes, one_hot.to(of_classes))


def predict(outputs: Tensor, loss: Loss) -> Tensor:
    """Return the class (batch,) with the highest score; the lowest of equals."""
    if loss == "rate":  # whole numbers of spikes, so that equals are equal, as in `eventsim.Result`
        return outputs.sum(dim=1).argmax(dim=1)
    return scores(outputs, loss).argmax(dim=1)
