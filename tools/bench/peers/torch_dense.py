"""torch by itself: dense products, and a loop over the timesteps for the neurons."""

from __future__ import annotations

from functools import partial
from math import isfinite

import torch
from torch import Tensor

from eventsim.network.neurons import Neuron
from eventsim_bridge.models.neurons import spike_trains

from .peer import Neurons, Peer, Rules, rules_of


class TorchDense(Peer):
    """The forward pass of `eventsim_bridge.models`, with which networks are trained.

    Neurons that may spike several times in a timestep, which are not trained there, have a loop of
    the same kind here.
    """

    name = "torch dense"
    several = True

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return the engine's equation over all timesteps, in place."""
        if neuron.spikes == "many":
            return partial(several_spikes, rules=rules_of(neuron))
        return partial(spike_trains, neuron=neuron, surrogate="rectangle", width=0.25)


def several_spikes(currents: Tensor, rules: Rules) -> Tensor:
    """Return how often neurons spike: the whole thresholds in their membranes, then subtracted."""
    spikes = torch.empty_like(currents)
    membranes = torch.zeros_like(currents[0])
    for current, fired in zip(currents, spikes, strict=True):
        torch.add(current, membranes, alpha=rules.decay, out=membranes)
        if isfinite(rules.lower_bound):
            membranes.clamp_(min=rules.lower_bound)
        torch.div(membranes, rules.threshold, rounding_mode="floor", out=fired).clamp_(min=0)
        membranes.sub_(fired, alpha=rules.threshold)
    return spikes
