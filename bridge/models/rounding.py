"""Weights rounded to int8 while they are trained, as `eventsim.round_weights` does it afterwards.

The rounded weights act; the gradient by them goes to the exact ones as it is (straight-through:
Bengio, Leonard and Courville 2013; Jacob et al. 2018 for integers).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from eventsim.errors import EventsimError

TrainedWeights = Literal["float32", "int8"]
TRAINED_WEIGHTS: tuple[TrainedWeights, ...] = get_args(TrainedWeights)


def rounded(weight: Tensor) -> Tensor:
    """Return weights as whole multiples -127 .. 127 of their largest over 127; straight-through.

    The numbers are those of `eventsim.round_weights(network, "int8")`.
    """
    found: Tensor = _Rounded.apply(weight)  # type: ignore[no-untyped-call]
    return found


def check_weights(weights: str, batch_norm: bool) -> None:
    """Raise `EventsimError` for weights that cannot be trained for."""
    if weights not in TRAINED_WEIGHTS:
        raise EventsimError(f"weights are {weights!r}, expected one of {TRAINED_WEIGHTS}")
    if weights != "float32" and batch_norm:
        raise EventsimError(
            f"weights are {weights!r} with batch_norm, expected float32: export rounds what the "
            f"normalisation has been folded into"
        )


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        """Round, operation by operation as `eventsim/network/rounding.py`."""
        least, largest = torch.aminmax(weight)
        step = torch.maximum(-least, largest) / 127
        return torch.div(weight, step).round_().mul_(step) if step else weight.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient as it is."""
        return gradients[0]
