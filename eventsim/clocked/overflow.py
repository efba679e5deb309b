"""Whether a current in fixed point left its bits in a run: then what came out of it is not kept.

Called by the clocked engines, on a CPU and a GPU, with the second variables of a sample.
"""

from __future__ import annotations

import numpy as np

from ..jit import Float32s
from ..network.graph import Network
from ..network.layers import WeightLayer
from ..network.neurons import FIXED_KIND
from ..network.neurons.fixed import OVERFLOWED, overflow
from ..wiring.program import Population, Program


def is_fixed(network: Network) -> bool:
    """Tell whether a network has neurons in fixed point."""
    layers = (network.layers[index] for index in network.neuron_layers)
    return any(isinstance(one, WeightLayer) and one.neuron.kind == FIXED_KIND for one in layers)


def check_currents(network: Network, program: Program, seconds: Float32s, name: str = "") -> None:
    """Raise `EventsimError` for the first layer with a current that overflowed.

    `name`: what messages begin with, such as "recording 3: ".
    """
    for number, index in enumerate(network.neuron_layers):
        layer, population = network.layers[index], program.populations[number]
        assert isinstance(layer, WeightLayer)
        if layer.neuron.kind == FIXED_KIND:
            first = population[Population.neuron]
            size = population[Population.sites] * population[Population.channels]
            if (seconds[first : first + size] == np.float32(OVERFLOWED)).any():
                raise overflow(f"{name}{network.layer_name(index)}: ")
