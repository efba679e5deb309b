"""sinabs: `LIF` and `IAF` over all timesteps."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from torch import Tensor

from eventsim.network.neurons import IF, Neuron

from .peer import Neurons, Peer, float32s, just_above, rules_of


class Sinabs(Peer):
    """`LIF` with norm_input=False: alpha * v + x; alpha is set to the decay itself, without a tau.

    `SingleSpike` fires where v >= threshold: the next float32 above makes that strict. `MultiSpike`
    is what the engine calls several spikes a timestep. Its axes are (batch, time, ...).
    """

    name = package = "sinabs"
    batch_first = True
    several = True

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return a layer that forgets its membranes before each call."""
        from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
        from sinabs.layers import IAF, LIF

        decay, threshold = float32s(neuron)
        subtract = neuron.reset == "subtract"
        common: dict[str, Any] = {
            "spike_threshold": torch.tensor(just_above(threshold)),
            "spike_fn": SingleSpike,
            "reset_fn": MembraneSubtract(threshold) if subtract else MembraneReset(0.0),
        }
        if neuron.spikes == "many":
            common |= {"spike_threshold": torch.tensor(threshold), "spike_fn": MultiSpike}
            bound = rules_of(neuron).lower_bound
            common["min_v_mem"] = bound if isfinite(bound) else None
        if isinstance(neuron, IF):
            layer = IAF(**common)
        else:
            layer = LIF(tau_mem=1.0, train_alphas=True, norm_input=False, **common)
            layer.alpha_mem.data.fill_(decay)

        def run(currents: Tensor) -> Tensor:
            layer.init_state_with_shape((len(currents), *currents.shape[2:]))
            spikes: Tensor = layer(currents)
            return spikes

        return run
