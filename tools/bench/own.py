"""A network of one's own beside the engine, in the framework that it comes from.

In: `module:function` or a NIR file, as `eventsim convert` takes them, and a data set. Out: what
`run_contest` measures. The framework gets one recording at a time, as its model keeps one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

import eventsim as es
from eventsim.network.neurons import Neuron

from ..convert import Options, from_module, from_nir
from ..networks import NirOptions, is_nir
from .contest import run_contest
from .inputs import read_recordings

if TYPE_CHECKING:
    from eventsim_bridge.agreement import SpikingModel


def is_own(workload: str) -> bool:
    """Tell a network of one's own from the name of a workload."""
    return ":" in workload or is_nir(workload)


class InItsFramework:
    """The original as a contestant."""

    given = "ready frames, one by one"

    def __init__(self, origin: str, model: SpikingModel) -> None:
        """Take what runs the original; origin: who does, with the version."""
        self.name, _, self._version = origin.partition(" ")
        self._model = model

    def version(self) -> str:
        """Return the version, or what else is known of the origin."""
        return self._version

    def difference(self, neuron: Neuron) -> str:
        """Say nothing: none is expected."""
        return ""

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (1, steps, *layer shape)."""
        return self._model.layer_spikes(frames)

    def ready(self, frames: Tensor) -> Sequence[Tensor]:
        """Return frames (batch, steps, *input shape) one by one."""
        return [frames[at : at + 1] for at in range(len(frames))]

    def run(self, ready: Sequence[Tensor]) -> None:
        """Run them."""
        for frames in ready:
            self._model.layer_spikes(frames)


def refuse_options(workload: str, nir: NirOptions, data: str | None, steps: int | None) -> None:
    """Raise `EventsimError` for what a workload of a name would ignore."""
    for name, value in {**asdict(nir), "data": data, "steps": steps}.items():
        if value is not None:
            raise es.EventsimError(
                f"--{name.replace('_', '-')} is {value} with --workload {workload}, expected it "
                f"with a network of your own: module:function or a .nir file"
            )


def measure_own(
    source: str, nir: NirOptions, data: str | None, root: Path | None, steps: int | None,
    limit: int, repeats: int,
) -> dict[str, Any]:  # fmt: skip
    """Read the network, compare the spikes, and time both."""
    if steps is None:
        raise es.EventsimError("--steps is missing, expected the timesteps that both shall run")
    read = from_nir if is_nir(source) else from_module
    converted = read(source, Options(nir, steps, None, None))
    assert converted.original is not None
    # "NIR 1.0.8 as in norse": norse runs it
    origin = converted.origin.rpartition(" as in ")[2]
    beside = InItsFramework(origin, converted.original())
    data = data or "nmnist"
    recordings = read_recordings(data, root, limit).events
    result = run_contest(converted.network, recordings, repeats, [beside])
    return {"description": f"{data}, {source}", **result}
