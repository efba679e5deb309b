"""NIR, the Neuromorphic Intermediate Representation: networks from its files, and into them.

Needs the package `nir` (`pip install "eventsim-snn[nir]"`) and no torch.
"""

from .conventions import AS_IN, AsIn
from .graph import is_nir_file
from .reading import Imported, Step, from_nir
from .writing import graph_of, to_nir

__all__ = [
    "AS_IN",
    "AsIn",
    "Imported",
    "Step",
    "from_nir",
    "graph_of",
    "is_nir_file",
    "to_nir",
]
