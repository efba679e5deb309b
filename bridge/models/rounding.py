"""Numbers rounded while they are trained, as the engine's networks have them afterwards.

"int8" rounds weights as `eventsim.round_weights` does; "loihi" these, and biases, thresholds and
decays as `eventsim.network.fixed_point` does. The rounded numbers act; the gradient by them goes to
the exact ones as it is (straight-through: Bengio, Leonard and Courville 2013; Jacob et al. 2018 for
integers).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from eventsim.errors import EventsimError
from eventsim.network.fixed_point import MOST_WEIGHT
from eventsim.network.neurons import Neuron
from eventsim.network.neurons.fixed import UNITY
from eventsim.network.parameters import float32s

from .learned import LEARNABLE, names_of

TrainedWeights = Literal["float32", "int8", "loihi"]
TRAINED_WEIGHTS: tuple[TrainedWeights, ...] = get_args(TrainedWeights)


def rounded(weight: Tensor) -> Tensor:
    """Return weights as whole multiples -127 .. 127 of their largest over 127; straight-through.

    The numbers are those of `eventsim.round_weights(network, "int8")`.
    """
    return whole(weight, step_of(weight))


def step_of(weight: Tensor) -> Tensor:
    """Return what a whole weight of 1 stands for."""
    least, largest = torch.aminmax(weight.detach())
    return torch.maximum(-least, largest) / MOST_WEIGHT


def whole(values: Tensor, unit: Tensor) -> Tensor:
    """Return the nearest whole multiples of a unit; straight-through."""
    found: Tensor = _Whole.apply(values, unit)  # type: ignore[no-untyped-call]
    return found


def whole_numbers(neuron: Neuron, learned: dict[str, Tensor], unit: Tensor) -> dict[str, Tensor]:
    """Return a neuron's decays as 4096ths, and its threshold as a multiple of the unit.

    learned: those that are not the neuron's own.
    """
    found = {}
    for name in names_of(LEARNABLE, neuron):
        value = learned.get(name)
        if value is None:
            value = torch.tensor(float32s(getattr(neuron, name)), device=unit.device)
        found[name] = whole(value, unit if name == "threshold" else unit.new_tensor(1 / UNITY))
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


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, unit: Tensor) -> Tensor:
        """Round, operation by operation as `eventsim/network/rounding.py`."""
        return torch.div(values, unit).round_().mul_(unit) if unit else values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient as it is."""
        return gradients[0], None
