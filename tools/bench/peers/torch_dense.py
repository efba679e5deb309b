"""torch by itself: dense products, and a loop over the timesteps for the neurons."""

from __future__ import annotations

from functools import partial

from eventsim.network.neurons import Neuron
from eventsim_bridge.models.neurons import spike_trains

from .peer import Neurons, Peer


class TorchDense(Peer):
    """The forward pass of `eventsim_bridge.models`, with which networks are trained."""

    name = "torch dense"

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return the bridge's own neurons: the engine's equation, in place."""
        return partial(spike_trains, neuron=neuron, surrogate="rectangle", width=0.25)
