"""norse: its LIF without synaptic current ("box"), and its IAF, over all timesteps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eventsim.network.neurons import IF, Neuron

from .peer import Neurons, Peer, float32s


class Norse(Peer):
    """`lif_box_feed_forward_step` in norse's `SNN`: v + dt / tau * (x - v).

    With dt / tau = 1 - decay that is decay * v + (1 - decay) * x: norse's membrane is the engine's
    times 1 - decay, and so must be its threshold. method="heaviside" leaves the surrogate out.
    """

    name = package = "norse"

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return an `SNN` of one kind of neuron."""
        from norse.torch.functional import iaf, lif_box, reset
        from norse.torch.module.snn import SNN

        decay, threshold = float32s(neuron)
        step: Any
        parameters: Any
        if isinstance(neuron, IF):
            step, state = iaf.iaf_feed_forward_step, iaf.IAFFeedForwardState
            parameters = iaf.IAFParameters(v_th=torch.tensor(threshold), method="heaviside")
        else:
            step, state = lif_box.lif_box_feed_forward_step, lif_box.LIFBoxFeedForwardState
            parameters = lif_box.LIFBoxParameters(
                tau_mem_inv=torch.tensor(1 - decay),
                v_th=torch.tensor(threshold * (1 - decay)),
                method="heaviside",
                reset_method=reset.reset_subtract
                if neuron.reset == "subtract"
                else reset.reset_value,
            )
        snn = SNN(step, lambda x: state(v=torch.zeros_like(x[0])), parameters, dt=1.0)

        def run(currents: Tensor) -> Tensor:
            spikes: Tensor = snn(currents)[0]
            return spikes

        return run

    def difference(self, neuron: Neuron) -> str:
        """Tell of the IAF, which knows no reset by subtraction."""
        if isinstance(neuron, IF) and neuron.reset == "subtract":
            return "resets to 0, the engine subtracts the threshold"
        return ""
