"""From torch to the engine: data sets, models, training, export, counting.

    import eventsim_bridge as bridge

    model = bridge.SpikingNetwork("512FC-10", (2, 34, 34))
    ...                                                      # trained in a loop of your own
    network = bridge.export_network(model, dt_us=1000)       # an `eventsim.Network`

What users call has its name here and is loaded when it is asked for, so that what needs no torch
(`open_dataset`, `from_nir`) brings none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import Agreement, compare, compare_spikes
    from .counting import Counts, count, count_operations
    from .data.frames import bin_split
    from .data.own import from_mappings
    from .datasets import DataSet, OwnData, Split, open_dataset
    from .importing import from_torch
    from .models import (
        QuantisedNetwork,
        RecurrentNetwork,
        SpikingLayer,
        SpikingNetwork,
        export_network,
        import_network,
    )
    from .nir import from_nir, to_nir
    from .training.evaluation import evaluate
    from .training.loop import Trained, train
    from .training.model_files import load_model, save_model
    from .training.settings import TrainingSettings

_HOMES = {
    "agreement": ("Agreement", "compare", "compare_spikes"),
    "counting": ("Counts", "count", "count_operations"),
    "data.frames": ("bin_split",),
    "data.own": ("from_mappings",),
    "datasets": ("DataSet", "OwnData", "Split", "open_dataset"),
    "importing": ("from_torch",),
    "models": (
        "QuantisedNetwork", "RecurrentNetwork", "SpikingLayer", "SpikingNetwork",
        "export_network", "import_network",
    ),
    "nir": ("from_nir", "to_nir"),
    "training.evaluation": ("evaluate",),
    "training.loop": ("Trained", "train"),
    "training.model_files": ("load_model", "save_model"),
    "training.settings": ("TrainingSettings",),
}  # fmt: skip
_MODULES = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agreement",
    "Counts",
    "DataSet",
    "OwnData",
    "QuantisedNetwork",
    "RecurrentNetwork",
    "SpikingLayer",
    "SpikingNetwork",
    "Split",
    "Trained",
    "TrainingSettings",
    "bin_split",
    "compare",
    "compare_spikes",
    "count",
    "count_operations",
    "evaluate",
    "export_network",
    "from_mappings",
    "from_nir",
    "from_torch",
    "import_network",
    "load_model",
    "open_dataset",
    "save_model",
    "to_nir",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names, without the modules that they come from."""
    return list(__all__)
