"""Weights and the neurons behind them, one layer of a `SpikingNetwork`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call

from eventsim.network.neurons import Neuron

from .learned import Learnable, LearnedNumbers, Per
from .neurons import Surrogate, check_surrogate, spike_trains
from .rounding import TrainedWeights, rounded
from .sequences import Temporal, each_step


class SpikingLayer(Temporal):
    """Weights and the neurons behind them.

    The weights are an `nn.Linear` or `nn.Conv2d`, or an `nn.Sequential` of one and a batch
    normalisation, which `export_network` folds into the weights.

    `neuron` is the engine's, with learned numbers as they are now; `given_neuron` has those that
    they began with.
    """

    weights: TrainedWeights = "float32"  # what they are rounded to before they act

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

    @property
    def weight(self) -> Tensor:
        """The weights as they act, without normalisation."""
        weight = self.connection.get_parameter("weight")
        return weight if self.weights == "float32" else rounded(weight)

    @property
    def neuron(self) -> Neuron:
        """The neuron as it is now."""
        return self.learned.put_into(self.given_neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes (steps, batch, ...) for an input (steps, batch, ...)."""
        if self.weights == "float32":
            currents = each_step(self.connection, x)
        else:
            acting = {"weight": self.weight}
            currents = each_step(lambda y: functional_call(self.connection, acting, (y,)), x)
        return spike_trains(
            currents, self.given_neuron, self.surrogate, self.surrogate_width, self.learned()
        )
