"""What neurons execute beside what is counted, at most: from the counts and the neuron model.

In: a network and the counts of a sample. Out: `NeuronWork` of each layer. The counts have one decay
for each variable, one bias and one comparison with the threshold for a neuron that is brought up to
date. The rules of a model (`network/neurons/`) take more: two passes where there was a silence
before, the second variable, and whether the neuron may fire again by itself. docs/counts.md has the
table; `tests/eventsim/test_neuron_work.py` runs the rules on numbers that count what is done with
them.
"""

from __future__ import annotations

from typing import NamedTuple

from ..network.graph import Network
from ..network.layers import WeightLayer
from ..network.neurons import ALIF_KIND, CUBALIF_KIND, FIXED_KIND, LIF_KIND, Neuron
from ..operations import Operations


class NeuronWork(NamedTuple):
    """Arithmetic beside the counts, and words looked up in tables of powers of a decay."""

    multiplies: int
    adds: int
    compares: int
    divides: int
    table_loads: int = 0


# Of one neuron that is brought up to date.
UPDATE = {
    LIF_KIND: NeuronWork(3, 4, 3, 0),
    CUBALIF_KIND: NeuronWork(6, 5, 5, 0),
    ALIF_KIND: NeuronWork(5, 6, 3, 0),
    FIXED_KIND: NeuronWork(11, 8, 9, 0),
}
# In fixed point silent timesteps are run one by one: of a neuron in one of them, at most.
SILENT = NeuronWork(9, 6, 4, 0)
# The same of a plain layer: the product of its bias with the silent timesteps.
PLAIN = NeuronWork(1, 0, 0, 0)
# Of a reset by subtraction in a plain layer, which looks as well whether the neuron fires again.
PLAIN_SUBTRACT = NeuronWork(2, 2, 1, 0)
# More for a reset that reaches into the next timestep, or none.
LATE = NeuronWork(1, 2, 2, 0)
# A reset to a value takes none, by subtraction its product and addition, of several spikes the
# division that finds how many, and the comparison with the most that there can be.
SUBTRACT, MANY = NeuronWork(1, 1, 0, 0), NeuronWork(0, 0, 1, 1)


def neuron_work(network: Network, operations: Operations) -> list[NeuronWork]:
    """Return what the neurons of each layer execute at most beside the counts of a clocked run."""
    found = []
    for index, counts in zip(network.neuron_layers, operations.layers, strict=True):
        layer = network.layers[index]
        assert isinstance(layer, WeightLayer)
        of_update, of_reset = work_of(layer.neuron, layer.recurrent is None)
        neurons = counts.updates // layer.neuron.variables
        multiplies, adds, compares, divides = (
            neurons * update + counts.resets * reset
            for update, reset in zip(of_update[:4], of_reset[:4], strict=True)
        )
        if layer.neuron.kind == FIXED_KIND:
            multiplies += counts.idle_updates * SILENT.multiplies
            adds += counts.idle_updates * SILENT.adds
            compares += counts.idle_updates * SILENT.compares
        if of_update == PLAIN:
            multiplies += counts.bias_adds - neurons
        # A power of the decay and the sum of powers, for a site and all of its neurons.
        loads = 2 * counts.site_updates
        found.append(NeuronWork(multiplies, adds, compares, divides, loads))
    return found


def work_of(neuron: Neuron, alone: bool = True) -> tuple[NeuronWork, NeuronWork]:
    """Return what an update and what a reset of a neuron take at most; `alone`: not recurrent."""
    plain = alone and bool(getattr(neuron, "plain", False))
    subtract = neuron.reset == "subtract"
    if plain:
        return PLAIN, PLAIN_SUBTRACT if subtract else NeuronWork(0, 0, 0, 0)
    parts = [
        part for part, there in ((SUBTRACT, subtract), (MANY, neuron.spikes == "many")) if there
    ]
    of_reset = NeuronWork(*(sum(part[n] for part in parts) for n in range(4)))
    of_update = UPDATE[neuron.kind]
    if neuron.reset not in ("zero", "value", "subtract"):
        of_update = NeuronWork(*(of_update[n] + LATE[n] for n in range(4)))
    return of_update, of_reset
