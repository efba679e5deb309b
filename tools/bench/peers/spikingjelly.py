"""spikingjelly: `LIFNode` and `IFNode` in multi-step mode."""

from __future__ import annotations

from torch import Tensor

from eventsim import EventsimError
from eventsim.network.neurons import IF, Neuron

from .peer import Neurons, Peer, float32s, just_above


class SpikingJelly(Peer):
    """`LIFNode` with decay_input=False: v - v / tau + x, so tau = 1 / (1 - decay).

    It fires where v >= v_threshold: the next float32 above the threshold makes that strict. A reset
    by subtraction (v_reset=None) then takes one unit in the last place more than the engine's.
    """

    name = package = "spikingjelly"
    backend = "torch"  # the one for CPUs; "cupy" needs a GPU, and fuses the loop over the timesteps

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return a multi-step node that forgets its membranes before each call."""
        from spikingjelly.activation_based.neuron import IFNode, LIFNode

        decay, threshold = float32s(neuron)
        common = {
            "v_threshold": just_above(threshold),
            "v_reset": None if neuron.reset == "subtract" else 0.0,
            "step_mode": "m",
        }
        if isinstance(neuron, IF):
            node = IFNode(**common)
        elif 0 < decay < 1:
            node = LIFNode(tau=1 / (1 - decay), decay_input=False, **common)
        else:
            raise EventsimError(f"decay is {decay}, expected above 0 and below 1 for a LIFNode")

        node.backend = self.backend

        def run(currents: Tensor) -> Tensor:
            node.reset()
            spikes: Tensor = node(currents)
            return spikes

        return run
