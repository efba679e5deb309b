"""What is counted of recurrent layers, and of the modules of any torch model.

`networks.py` and `count.py` say what one unit of each count is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from eventsim.operations import CountedLayer, CountedLayers

# Of one unit in one timestep; a GRU as torch computes it, h = n + z (h - n).
ELEMENTWISE: Mapping[Literal["rnn", "lstm", "gru"], Mapping[str, int]] = {
    "rnn": {"sigmoids": 0, "tanhs": 1, "multiplies": 0, "adds": 0},
    "lstm": {"sigmoids": 3, "tanhs": 2, "multiplies": 3, "adds": 1},
    "gru": {"sigmoids": 2, "tanhs": 1, "multiplies": 2, "adds": 3},
}


@dataclass(frozen=True)
class RecurrentLayerOperations(CountedLayer):
    """The operations of one layer in one sample; `networks.py` defines each count."""

    input_events: int
    acs: int
    macs: int
    recurrent_macs: int
    updates: int
    bias_adds: int
    sigmoids: int
    tanhs: int
    multiplies: int
    adds: int
    pool_adds: int
    pool_compares: int
    dense_macs: int
    recurrent_dense_macs: int

    @property
    def sops(self) -> int:
        """Synaptic operations: ACs and all MACs."""
        return self.acs + self.macs + self.recurrent_macs

    @property
    def weight_bytes_read(self) -> int:
        """Bytes of weights and biases read."""
        return 4 * (self.sops + self.bias_adds)

    @property
    def state_bytes_read(self) -> int:
        """Bytes of h and c read."""
        return 4 * self.updates

    @property
    def state_bytes_written(self) -> int:
        """Bytes of h and c written."""
        return 4 * self.updates


@dataclass(frozen=True)
class RecurrentOperations(CountedLayers[RecurrentLayerOperations]):
    """The operations of one sample (or the sum over several), one entry per layer with weights."""


@dataclass(frozen=True)
class ModuleOperations(RecurrentLayerOperations):
    """The operations of one module in one sample; `count.py` defines each count."""

    products: int
    compares: int
    exponentials: int
    divisions: int
    dense_products: int


@dataclass(frozen=True)
class ModelOperations(CountedLayers[ModuleOperations]):
    """The operations of one sample (or the sum over several), one entry per module."""
