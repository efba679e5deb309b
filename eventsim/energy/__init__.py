"""Energy of counted operations: counts are measured, energy is modelled.

model.py    what a model is, and what it makes of the counts of a layer
neurons.py  what neurons execute beside the counts
files.py    TOML -> model; those that come with the package are in `models/`
"""

from __future__ import annotations

from .files import DEFAULT_MODELS, energy_model_names, load_energy_model
from .model import EnergyModel, Footprint, Memory, energy_of, footprint
from .neurons import NeuronWork, neuron_work

__all__ = [
    "DEFAULT_MODELS",
    "EnergyModel",
    "Footprint",
    "Memory",
    "NeuronWork",
    "energy_model_names",
    "energy_of",
    "footprint",
    "load_energy_model",
    "neuron_work",
]
