"""snntorch: `Leaky`, step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from eventsim.network.neurons import IF, Neuron

from .peer import Neurons, Peer, float32s


class SnnTorch(Peer):
    """`snntorch.Leaky` with beta = decay; IF is beta = 1.

    Leaky fires where mem > threshold and resets at the beginning of the next timestep, before the
    decay where it resets to zero: mem = beta * (1 - reset) * mem + input, the engine's equation.
    """

    name = package = "snntorch"

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return a loop over a `Leaky`, which has no form for many timesteps."""
        import snntorch

        decay, threshold = float32s(neuron)
        leaky = snntorch.Leaky(beta=decay, threshold=threshold, reset_mechanism=neuron.reset)

        def run(currents: Tensor) -> Tensor:
            membrane, spikes = torch.zeros_like(currents[0]), []
            for current in currents:
                spike, membrane = leaky(current, membrane)
                spikes.append(spike)
            return torch.stack(spikes)

        return run

    def difference(self, neuron: Neuron) -> str:
        """Tell of the reset by subtraction, whose delay matters where the membrane leaks."""
        if neuron.reset == "subtract" and not isinstance(neuron, IF):
            return "subtracts the whole threshold after the decay, the engine before it"
        return ""
