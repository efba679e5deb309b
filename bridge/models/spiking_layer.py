"""Weights and the neurons behind them, one layer of a `SpikingNetwork`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.func import functional_call

from eventsim.network.neurons import Neuron

from .learned import Learnable, LearnedNumbers, Per, put_into
from .neurons import Surrogate, check_surrogate, spike_trains
from .rounding import TrainedWeights, rounded, step_of, whole, whole_numbers
from .sequences import Temporal, each_step


class Acting(NamedTuple):
    """What a layer computes with, rounded where it is trained so."""

    weight: Tensor
    bias: Tensor | None
    numbers: dict[str, Tensor]  # of the neurons, in place of the given ones


class SpikingLayer(Temporal):
    """Weights and the neurons behind them.

    The weights are an `nn.Linear` or `nn.Conv2d`, or an `nn.Sequential` of one and a batch
    normalisation, which `export_network` folds into the weights.

    `neuron` is the engine's, with learned numbers as they are now; `given_neuron` has those that
    they began with.
    """

    weights: TrainedWeights = "float32"  # what is rounded before it acts, see `rounding.py`
    share = 1.0  # of a spike, behind average pools

    def __init__(
        self,
        connection: nn.Module,
        neuron: Neuron,
        surrogate: Surrogate,
        surrogate_width: float,
        learn: Sequence[Learnable] = (),
        learn_per: Per = "layer",
    ) -> None:
        """Put `neuron` behind `connection`; `SpikingNetwork` tells of the other arguments."""
        super().__init__()
        check_surrogate(surrogate, surrogate_width)
        self.connection = connection
        self.given_neuron = neuron
        channels = len(next(connection.parameters()))
        self.learned = LearnedNumbers(neuron, channels, learn, learn_per)
        self.surrogate = surrogate
        self.surrogate_width = surrogate_width

    def acting(self) -> Acting:
        """Return the numbers as they act, of a connection without normalisation."""
        connection: Any = self.connection
        exact = Acting(connection.weight, connection.bias, self.learned())
        if self.weights == "float32":
            return exact
        found = exact._replace(weight=rounded(exact.weight))
        if self.weights == "int8":
            return found
        unit = step_of(exact.weight) * self.share
        return found._replace(
            bias=None if exact.bias is None else whole(exact.bias, unit),
            numbers=whole_numbers(self.given_neuron, exact.numbers, unit),
        )

    @property
    def neuron(self) -> Neuron:
        """The neuron as it is now."""
        numbers = self.learned() if self.weights == "float32" else self.acting().numbers
        return put_into(self.given_neuron, numbers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes (steps, batch, ...) for an input (steps, batch, ...)."""
        if self.weights == "float32":
            numbers, currents = self.learned(), each_step(self.connection, x)
        else:
            weight, bias, numbers = self.acting()
            own = {"weight": weight} | ({} if bias is None else {"bias": bias})
            currents = each_step(lambda y: functional_call(self.connection, own, (y,)), x)
        return spike_trains(
            currents, self.given_neuron, self.surrogate, self.surrogate_width, numbers
        )
