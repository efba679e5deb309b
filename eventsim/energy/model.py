"""What an energy model is, and what it makes of the counts of a layer.

In: the counts of a layer, of the engine (`operations.py`) or of an RNN or LSTM (bridge), the
network's footprint, and an `EnergyModel`. Out: picojoules. docs/energy.md says what models leave
out.

A model has a price for one unit of each count that its machine executes. That of a 45 nm machine
comes from the arithmetic that a unit takes (`ARITHMETIC`); that of a chip is published. A machine
may have memories as well: then every word of weights or state that is read or written costs an
access.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import EventsimError
from ..network.graph import Network, check_network
from ..network.layers import WeightLayer
from ..network.neurons import FIXED_KIND
from ..operations import CountedLayer


class Work(NamedTuple):
    """What one unit of a count takes."""

    adds: int = 0
    multiplies: int = 0
    products: int = 0  # of a weight and what arrives: as narrow as these are
    sigmoids: int = 0
    tanhs: int = 0


# Counts that are not here take no arithmetic. A comparison is a subtraction. A reset to a value is
# a write, which `state_bytes_written` has; the addition of a reset by subtraction is left out, as
# the count does not tell the two apart. Address and time arithmetic is not modelled.
ARITHMETIC: Mapping[str, Work] = {
    "acs": Work(adds=1),
    "macs": Work(adds=1, products=1),
    "recurrent_macs": Work(adds=1, products=1),
    "decays": Work(multiplies=1),
    "bias_adds": Work(adds=1),
    "compares": Work(adds=1),
    "sigmoids": Work(sigmoids=1),
    "tanhs": Work(tanhs=1),
    "multiplies": Work(multiplies=1),
    "adds": Work(adds=1),
    "pool_adds": Work(adds=1),
    "pool_compares": Work(adds=1),
}
# What chips may charge for beside that.
OTHER_COUNTS = ("output_spikes", "idle_updates")


@dataclass(frozen=True)
class Footprint:
    """The memory that a network takes, in words of 32 bits, and how wide its numbers are.

    weights: words of weights and biases. state: words that go from timestep to timestep.
    weight_bits: how many bits of its word a weight has; biases have all. integers: whether what a
    weight is multiplied with has 8 bits as well, and all sums are integers of 32; else all
    arithmetic is that of float32.
    """

    weights: int
    state: int
    weight_bits: int = 32
    integers: bool = False


@dataclass(frozen=True)
class Memory:
    """On-chip memory whose access costs more the more it holds, and memory beside the chip.

    curve: (bytes, pJ for a read or write of 32 bits) of memories, ascending. Between them the
    energy is a power of the size, as it is beyond them with the exponent of the nearest two.
    `membranes`: "sop" where each synaptic operation reads and writes its membrane, as an
    event-driven machine does; "update" where a sum stays in a register until the neuron is updated.
    """

    curve: tuple[tuple[float, float], ...]
    dram_pj: float  # 32 bits beside the chip
    weights: str  # where these are: "sram" or "dram"
    membranes: str  # "sop" or "update"

    def access(self, size: float) -> float:
        """Return the picojoules of 32 bits of an on-chip memory that holds so many bytes."""
        size = max(size, 4.0)
        high = 1
        while high < len(self.curve) - 1 and size > self.curve[high][0]:
            high += 1
        (small, low_pj), (large, high_pj) = self.curve[high - 1], self.curve[high]
        exponent = math.log(high_pj / low_pj) / math.log(large / small)
        return float(low_pj * (size / small) ** exponent)


@dataclass(frozen=True)
class EnergyModel:
    """Prices of what a machine executes; `load_energy_model` reads and checks one.

    name, title: how it is called. source, leaves_out: where the prices come from, and what they
    do not have. prices: picojoules of one unit of each count, of float32. integer_prices: and of a
    network of integers; a chip's are the same. table_loads: words that a unit of a
    count looks up. memory: what its memories cost; None for arithmetic only.
    """

    name: str
    title: str
    source: str
    leaves_out: str
    prices: Mapping[str, float]
    integer_prices: Mapping[str, float]
    table_loads: Mapping[str, float] = field(default_factory=dict)
    memory: Memory | None = None


def energy_of(counts: CountedLayer, footprint: Footprint, model: EnergyModel) -> float:
    """Return the picojoules of the counts of a layer, or of their total.

    `footprint` is that of the whole network: its memories hold all of it. Raises `EventsimError`
    for counts that the model's machine does not execute.
    """
    found: dict[str, Any] = counts.as_dict()
    prices = model.integer_prices if footprint.integers else model.prices
    for count in ARITHMETIC:
        if found.get(count, 0) > 0 and count not in prices:
            raise EventsimError(
                f"energy model {model.name} has no price for {count}, of which "
                f"{counts.name!r} has {found[count]:,}: {model.leaves_out}"
            )
    energy = math.fsum(price * found.get(count, 0) for count, price in prices.items())
    memory = model.memory
    if memory is None:
        return energy
    width = footprint.weight_bits / 32  # biases stay float32
    weights = memory.dram_pj
    if memory.weights == "sram":
        weights = memory.access(4 * width * footprint.weights)
    state_words = (found["state_bytes_read"] + found["state_bytes_written"]) / 4
    if memory.membranes == "sop":
        state_words += 2 * found["sops"]
    looked_up = math.fsum(n * found.get(count, 0) for count, n in model.table_loads.items())
    energy += (width * found["sops"] + found["bias_adds"]) * weights
    energy += state_words * memory.access(4 * footprint.state)
    return float(energy + looked_up * memory.curve[0][1])


def footprint(network: Network, weight_bits: int = 32) -> Footprint:
    """Return the words of all weights and biases, and of all neurons and sites.

    A neuron keeps 32 bits for each of its variables, a site 32 bits for its time of last update.
    Networks in fixed point have weights of 8 bits, and compute in integers.
    """
    check_network(network)
    weights = state = 0
    integers = True
    for index in network.neuron_layers:
        layer, shape = network.layers[index], network.shapes[index + 1]
        assert isinstance(layer, WeightLayer)
        weights += layer.parameters
        integers &= layer.neuron.kind == FIXED_KIND
        sites = layer.groups * math.prod(shape[1:])
        state += math.prod(shape) * layer.neuron.variables + sites
    return Footprint(weights, state, min(weight_bits, 8) if integers else weight_bits, integers)
