"""Weights and the neurons behind them, one layer of a `SpikingNetwork`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from eventsim.network.neurons import Neuron

from .neurons import Surrogate, check_surrogate, spike_trains
from .rounding import TrainedWeights, rounded
from .sequences import Temporal, each_step


class SpikingLayer(Temporal):
    """Weights and the neurons behind them.

    The weights are an `nn.Linear` or `nn.Conv2d`, or an `nn.Sequential` of one and a batch
    normalisation, which `export_network` folds into the weights.
    """

    weights: TrainedWeights = "float32"  # what they are rounded to before they act

    def __init__(
        self, connection: nn.Module, neuron: Neuron, surrogate: Surrogate, surrogate_width: float
    ) -> None:
        """Put `neuron` behind `connection`; `SpikingNetwork` tells of the surrogates."""
        super().__init__()
        check_surrogate(surrogate, surrogate_width)
        self.connection = connection
        self.neuron = neuron
        self.surrogate = surrogate
        self.surrogate_width = surrogate_width

    @property
    def weight(self) -> Tensor:
        """The weights as they act, without normalisation."""
        weight = self.connection.get_parameter("weight")
        return weight if self.weights == "float32" else rounded(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes (steps, batch, ...) for an input (steps, batch, ...)."""
        if self.weights == "float32":
            currents = each_step(self.connection, x)
        else:
            acting = {"weight": self.weight}
            currents = each_step(lambda y: functional_call(self.connection, acting, (y,)), x)
        return spike_trains(currents, self.neuron, self.surrogate, self.surrogate_width)
