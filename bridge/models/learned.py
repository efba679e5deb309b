"""What training moves besides weights: decays and thresholds of neurons.

A number is a function of a parameter of torch that may be anything, so that whatever an optimiser
does to the parameter leaves the number in its range: a decay is its sigmoid, above 0 and below 1
(Fang et al. 2021, parametric LIF, where 1 - decay is one), a threshold its exponential, above 0.
Used by `spiking_layer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.network.neurons import Neuron
from eventsim.network.parameters import float32s

Learnable = Literal["decay", "threshold"]
LEARNABLE: tuple[Learnable, ...] = get_args(Learnable)
Per = Literal["layer", "channel"]
FARTHEST = 80.0  # parameters of a threshold: its exponential and its inverse are float32s


class LearnedNumbers(nn.Module):
    """Those numbers of a layer's neurons that are learned, by their names in the neuron's model.

    neuron: with the numbers to begin with. channels: of the layer. learn: "decay" are all decays
    that the model has, those of the membrane, a current or an adaptation. learn_per: a "layer" has
    one of each, or each "channel" its own. A parameter has shape () or (channels,).
    """

    def __init__(
        self, neuron: Neuron, channels: int, learn: Sequence[Learnable], learn_per: Per
    ) -> None:
        """Begin with the neuron's numbers; raises `EventsimError` as `check_learn` does."""
        super().__init__()
        check_learn(learn, learn_per, neuron)
        for name in names_of(learn, neuron):
            begin = torch.tensor(float32s(getattr(neuron, name)), dtype=torch.float64)
            raw = begin.log() if name == "threshold" else begin.logit()
            if learn_per == "channel":
                raw = raw.expand(channels)
            self.register_parameter(name, nn.Parameter(raw.to(torch.float32).clone()))

    def forward(self) -> dict[str, Tensor]:
        """Return the numbers, differentiable."""
        return {
            name: raw.clamp(-FARTHEST, FARTHEST).exp() if name == "threshold" else raw.sigmoid()
            for name, raw in self.named_parameters()
        }


def put_into(neuron: Neuron, numbers: Mapping[str, Tensor]) -> Neuron:
    """Return a neuron of the engine with these numbers in place of its own."""
    changed: Any = {}
    for name, value in numbers.items():
        values = value.detach().float().cpu().numpy()
        changed[name] = tuple(values.tolist()) if values.ndim else float(values)
    return replace(neuron, **changed)


def names_of(learn: Sequence[Learnable], neuron: Neuron) -> list[str]:
    """Return which of a neuron's numbers are learned."""
    return [
        name
        for name in vars(neuron)
        if ("decay" in learn and name.endswith("decay"))
        or ("threshold" in learn and name == "threshold")
    ]


def check_learn(learn: Sequence[Learnable], learn_per: Per, neuron: Neuron) -> None:
    """Raise `EventsimError` for what a neuron cannot learn."""
    for kind in learn:
        if kind not in LEARNABLE:
            raise EventsimError(f"learn has {kind!r}, expected {' or '.join(LEARNABLE)}")
    if learn_per not in get_args(Per):
        raise EventsimError(f"learn_per is {learn_per!r}, expected one of {get_args(Per)}")
    if learn_per == "channel" and not learn:
        raise EventsimError("learn_per is 'channel', expected 'layer' where nothing is learned")
    names = names_of(learn, neuron)
    if "decay" in learn and not any(name.endswith("decay") for name in names):
        raise EventsimError(f"learn has 'decay', expected none with {type(neuron).__name__}")
    for name in names:
        value = float32s(getattr(neuron, name))
        if name != "threshold" and not ((value > 0) & (value < 1)).all():
            raise EventsimError(
                f"{name} is {getattr(neuron, name)}, expected above 0 and below 1 to be learned"
            )
        if learn_per == "layer" and value.ndim:
            raise EventsimError(
                f"{name} is {getattr(neuron, name)}, expected one number to learn one a layer"
            )
