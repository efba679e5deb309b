"""Energy of counted operations: counts are measured, energy is modelled.

model.py  what a model is, and what it makes of the counts of a layer
files.py  TOML -> model; those that come with the package are in `models/`
"""

from __future__ import annotations

from .files import DEFAULT_MODELS, energy_model_names, load_energy_model
from .model import EnergyModel, Footprint, Memory, energy_of, footprint

__all__ = [
    "DEFAULT_MODELS",
    "EnergyModel",
    "Footprint",
    "Memory",
    "energy_model_names",
    "energy_of",
    "footprint",
    "load_energy_model",
]
