"""The door: a torch module -> an `eventsim.Network`, and what stands for each module there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from eventsim.errors import NetworkError
from eventsim.events.arrays import InputEncoding, as_input_shape
from eventsim.network.geometry import Shape
from eventsim.network.graph import Network, Readout
from eventsim.network.layers import WeightLayer
from eventsim.network.neurons import READOUTS_ONLY

from ..models import SpikingNetwork, export_network
from .library import Library
from .norse import Norse
from .sinabs import Sinabs
from .snntorch import SnnTorch
from .spikingjelly import SpikingJelly
from .walk import Step, Walk

LIBRARIES: tuple[Library, ...] = (SnnTorch(), SpikingJelly(), Norse(), Sinabs())


@dataclass(frozen=True, eq=False)
class Reading:
    """A network, and where it comes from."""

    network: Network
    library: str  # name and version
    steps: tuple[Step, ...]  # what became what, a step for each layer of the network


def from_torch(
    module: nn.Module,
    input_shape: Shape,
    dt_us: int,
    *,
    input_encoding: InputEncoding = "binary",
    steps: int | None = None,
    readout: Readout | None = None,
    class_names: Sequence[str] = (),
    provenance: dict[str, Any] | None = None,
) -> Network:
    """Return a module of spiking neurons as a network that gives the same spikes.

    module: with neurons of snntorch, spikingjelly, norse or sinabs in an `nn.Sequential`, or in a
        module whose forward `torch.fx` can trace: one timestep, or the library's own form of all
        of them. Weights as they act in eval mode. It is left as it is.
    input_shape: of one timestep as the module takes it, without batch: (polarities, height, width),
        (units,), or (channels, length), which becomes a map of height 1.
    dt_us: the length of a timestep in microseconds.
    readout: by default the spikes of the last layer; where that has none (a leaky integrator, or
        weights without neurons), the mean of its membranes.

    The others as in `Network`. Raises `NetworkError`, beginning with the path of the module in the
    model, for what cannot be represented.
    """
    return read_torch(
        module, input_shape, dt_us, input_encoding=input_encoding, steps=steps, readout=readout,
        class_names=class_names, provenance=provenance,
    ).network  # fmt: skip


def read_torch(
    module: nn.Module, input_shape: Shape, dt_us: int, *, readout: Readout | None = None,
    provenance: dict[str, Any] | None = None, **options: Any,
) -> Reading:  # fmt: skip
    """Do as `from_torch`, and tell what became what."""
    given = dict(provenance or {})
    if isinstance(module, SpikingNetwork):
        network = export_network(module, dt_us=dt_us, provenance=given, **options)
        return Reading(network, "eventsim", tuple(Step("", "", one) for one in network.layers))
    walk = walk_through(module, input_shape)
    library = walk.library
    version = "torch" if library is None else f"{library.name} {_version(library.name)}"
    if readout is None:
        last = walk.steps[-1].layer
        silent = isinstance(last, WeightLayer) and isinstance(last.neuron, READOUTS_ONLY)
        readout = "mean-membrane" if silent else "spike-count"
    network = Network(
        walk.input_shape, dt_us, [step.layer for step in walk.steps], readout=readout,
        provenance={"imported_from": version, "modules": [step.path for step in walk.steps]}
        | given,
        **options,
    )  # fmt: skip
    return Reading(network, version, tuple(walk.steps))


def walk_through(module: nn.Module, input_shape: Shape) -> Walk:
    """Return the walk through a module, whose input is of 1 to 3 axes."""
    shape = tuple(int(size) for size in input_shape)
    if not 1 <= len(shape) <= 3:
        raise NetworkError(f"input_shape is {shape}, expected 1 to 3 axes")
    walk = Walk(library_of(module), as_input_shape(shape))
    walk.model(module)
    return walk


def library_of(module: nn.Module) -> Library | None:
    """Return whose neurons a module has; None for none. Raises `NetworkError` for two."""
    found: dict[str, Library] = {}
    for part in module.modules():
        for library in LIBRARIES:
            if library.owns(part) and library.is_neuron(part):
                found[library.name] = library
    if len(found) > 1:
        raise NetworkError(f"the model has neurons of {' and '.join(found)}, expected of one")
    return next(iter(found.values()), None)


def _version(name: str) -> str:
    return importlib.metadata.version(name)
