"""Counting what torch models execute by the engine's rules.

`hooks.py`: any module. `networks.py`: the RNN and LSTM of a structure, `frames.py` its quantised
ANN, whose counts stand beside the engine's in `eventsim compare`.
"""

from .hooks import Counts, count
from .networks import count_operations, footprint
from .operations import (
    ModelOperations,
    ModuleOperations,
    RecurrentLayerOperations,
    RecurrentOperations,
)

__all__ = [
    "Counts", "ModelOperations", "ModuleOperations", "RecurrentLayerOperations",
    "RecurrentOperations", "count", "count_operations", "footprint",
]  # fmt: skip
