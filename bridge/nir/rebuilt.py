"""A NIR file in the library that it is read as: rebuilt there by that library's own importer.

In: a file, and what `from_nir` made of it. Out: the spikes of its neurons there, as `agreement.py`
asks for them. Needs torch and the library, which nothing else here does.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import READOUTS_ONLY
from eventsim.network.pathways import Flatten

from ..importing.graph import as_it_was
from ..importing.original import listener
from .conventions import CONVENTIONS
from .reading import Imported


def _snntorch(path: Path, dt: float) -> Any:
    import nir
    from snntorch.import_nir import import_from_nir

    return import_from_nir(nir.read(path))


def _norse(path: Path, dt: float) -> Any:
    import nir
    import norse.torch

    return norse.torch.from_nir(nir.read(path), dt=dt)


def _sinabs(path: Path, dt: float) -> Any:
    import nir
    from sinabs.nir import from_nir

    return from_nir(nir.read(path), batch_size=1)


def _spikingjelly(path: Path, dt: float) -> Any:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(path, dt=dt)


IMPORTERS: dict[str, Callable[[Path, float], Any]] = {
    "snntorch": _snntorch, "norse": _norse, "sinabs": _sinabs, "spikingjelly": _spikingjelly,
}  # fmt: skip
TOLD_DT = ("norse", "spikingjelly")  # importers that are told the exporter's timestep


class Rebuilt:
    """A NIR file as a model of another library that tells its spikes."""

    def __init__(self, path: Path, imported: Imported) -> None:
        """Build it once.

        Raises `EventsimError` where the library is missing, has no importer or another timestep, or
        its importer does not take the file.
        """
        network = imported.network
        self.library: str = network.provenance["as_in"]
        self.path, self.dt = path, network.provenance["nir_dt_us"] / 1e6
        if self.library not in IMPORTERS:
            raise EventsimError(
                f"--as-in is {self.library}, expected one of {', '.join(IMPORTERS)} to run {path} "
                f"there"
            )
        usual = CONVENTIONS[self.library].dt_us
        if self.library not in TOLD_DT and usual not in (None, round(self.dt * 1e6)):
            raise EventsimError(
                f"--nir-dt-us is {self.dt * 1e6:g}, expected {usual} to run {path} in "
                f"{self.library}, whose importer takes no other"
            )
        first = network.layers[0]
        self.flat = isinstance(first, Flatten) and not imported.steps[0].path
        self.layers: list[tuple[str, Shape, bool]] = []  # node, shape, whether it never spikes
        for index in network.neuron_layers:
            neuron = network.layers[index].neuron  # type: ignore[union-attr]
            node = imported.steps[index].path.split(", ")[-1]
            silent = isinstance(neuron, READOUTS_ONLY)
            self.layers.append((node, network.shapes[index + 1], silent))
        self.membranes: NDArray[np.float64] | None = None  # of the last run, see `Original`
        self._model = self._build()
        for node, _, _ in self.layers:
            if node not in dict(self._model.named_modules()):
                raise EventsimError(f"{self.library} makes no module of node {node} of {path}")

    def _build(self) -> nn.Module:
        try:
            importlib.import_module(self.library)
        except ImportError as error:
            raise EventsimError(
                f"{self.library} is missing ({error}), expected it to run {self.path} there"
            ) from None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # snntorch prints what it does
                model: nn.Module = IMPORTERS[self.library](self.path, self.dt)
        except Exception as error:  # of any kind, from another library
            reason = " ".join(str(error).split()) or type(error).__name__
            raise EventsimError(
                f"{self.path}: {self.library}'s own importer does not take it ({reason})"
            ) from None
        return model.eval()

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (1, steps, *layer shape), of one recording.

        frames: (1, steps, *input shape). Of a layer that never spikes: zeros.
        """
        steps, model = frames.shape[1], self._model
        heard: dict[str, list[Tensor]] = {node: [] for node, _, _ in self.layers}
        with as_it_was(model), torch.no_grad():  # no state is left for the next recording
            for node, told in heard.items():
                model.get_submodule(node).register_forward_hook(listener(told))
            self._run(model, frames.reshape(steps, -1) if self.flat else frames[0])
        layers = []
        for node, shape, silent in self.layers:
            spikes = torch.cat([one.flatten() for one in heard[node]]).reshape(1, steps, *shape)
            layers.append(torch.zeros_like(spikes) if silent else spikes.float())
            self.membranes = spikes[0].double().numpy() if silent else None
        return layers

    def _run(self, model: nn.Module, frames: Tensor) -> None:
        """All timesteps at once where a module keeps its state, else with the state handed on."""
        if self.library == "sinabs":
            model(frames)
            return
        state: list[Any] = []
        for frame in frames:
            _, *state = model(frame[None], *state)
