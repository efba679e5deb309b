"""Membranes, currents and adaptations of a run, timestep by timestep.

In: the state of the engine after each timestep. Out: arrays (steps, *layer shape). Neurons that the
engine passes over are brought up to date for reading only: its state and its counts are those of a
run without probes. Called by `sample.py`, which then runs a single timestep at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError
from ..jit import Float32s, kernel_glue
from ..network.graph import Network
from ..network.neurons import ALIF_KIND, CUBALIF_KIND, FIXED_KIND, catch_up
from ..network.neurons.lif import catch_up_plain, factors_of
from ..result import PerLayer
from ..wiring.program import Population, Program
from ..wiring.wire import program_of
from .cpu.state import State

Quantity = Literal["membranes", "currents", "adaptations"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
MOST_PROBED = 2**30  # numbers of a layer: 4 GiB
_SECONDS = {"currents": (CUBALIF_KIND, FIXED_KIND), "adaptations": (ALIF_KIND,)}

Probed = PerLayer[Mapping[str, NDArray[np.float32]]]


def quantities_of(network: Network) -> list[Quantity]:
    """Return what can be read of a network."""
    neurons = [network.layers[index].neuron for index in network.neuron_layers]  # type: ignore[union-attr]
    kinds = {neuron.kind for neuron in neurons}
    return [q for q in QUANTITIES if q == "membranes" or kinds & {*_SECONDS[q]}]


class Probes:
    """What is read of which layers, and what has been read so far."""

    def __init__(
        self,
        network: Network,
        program: Program,
        quantities: Sequence[str],
        layers: Sequence[int] | None,
    ) -> None:
        """Choose; raises `EventsimError` for what there is not."""
        if not quantities:
            raise EventsimError(
                f"layers is {layers!r} without probe, expected some of {QUANTITIES}"
            )
        other = [quantity for quantity in quantities if quantity not in QUANTITIES]
        if isinstance(quantities, str) or other:
            found = repr(quantities if isinstance(quantities, str) else other[0])
            raise EventsimError(f"probe has {found}, expected some of {QUANTITIES}")
        numbers = {index: number for number, index in enumerate(network.neuron_layers)}
        for index in layers or ():
            if index not in numbers:
                raise EventsimError(
                    f"layers has {index!r}, expected layers with neurons: {list(numbers)}"
                )
        self._network, self._program = network, program
        self._chosen: list[tuple[int, int, list[str]]] = []
        for index in numbers if layers is None else dict.fromkeys(layers):
            kind = _kind(program, numbers[index])
            here = [q for q in quantities if kind in _SECONDS.get(q, (kind,))]
            for quantity in set(quantities) - set(here):
                if layers is not None:
                    name = network.layer_name(index)
                    raise EventsimError(f"{name} has no {quantity}, expected layers that have some")
            self._chosen.append((index, numbers[index], here))
        for quantity in quantities:
            if not any(quantity in here for _, _, here in self._chosen):
                raise EventsimError(f"no layer has {quantity}, expected some of {QUANTITIES}")
        self._read: dict[int, list[tuple[NDArray[Any], NDArray[Any]]]] = {
            number: [] for _, number, _ in self._chosen
        }

    def check(self, steps: int) -> None:
        """Raise `EventsimError` where so many timesteps are too many to read."""
        for index, _, _ in self._chosen:
            size = int(np.prod(self._network.shapes[index + 1]))
            if steps * size > MOST_PROBED:
                raise EventsimError(
                    f"{self._network.layer_name(index)}: {steps} timesteps of {size} neurons to "
                    f"read, expected at most {MOST_PROBED} numbers; choose other layers or steps"
                )

    def read(self, state: State, t: int) -> None:
        """Read what is chosen, after timestep t."""
        self.check(t + 1)
        for index, number, here in self._chosen:
            size = int(np.prod(self._network.shapes[index + 1]))
            membranes = np.empty(size, np.float32)
            seconds = np.empty(size if set(here) & set(_SECONDS) else 0, np.float32)
            read_layer(self._program, state, number, t, membranes, seconds)
            self._read[number].append((membranes, seconds))

    def arrays(self) -> Probed:
        """Return what was read, by layer and quantity."""
        found: list[dict[str, NDArray[np.float32]]] = []
        for index, number, here in self._chosen:
            layer = self._network.layers[index]
            rest = np.asarray(layer.neuron.rest, np.float32)  # type: ignore[union-attr]
            both = self._read[number]
            arrays = {
                q: self._shaped(index, [pair[q != "membranes"] for pair in both]) for q in here
            }
            if "membranes" in arrays:
                arrays["membranes"] += rest.reshape(-1, *[1] * (arrays["membranes"].ndim - 2))
            found.append(arrays)
        numbers = [index for index, _, _ in self._chosen]
        return PerLayer(self._network, numbers, found)

    def _shaped(self, index: int, rows: list[NDArray[Any]]) -> NDArray[np.float32]:
        """Return (steps, *layer shape) of rows in the engine's order: positions, then channels."""
        channels, *positions = shape = self._network.shapes[index + 1]
        if not rows:
            return np.zeros((0, *shape), np.float32)
        by_position = np.stack(rows).reshape(len(rows), *positions, channels)
        return np.ascontiguousarray(np.moveaxis(by_position, -1, 1))


def probes_of(
    network: Network, quantities: Sequence[str], layers: Sequence[int] | None, steps: int | None
) -> Probes | None:
    """Return what reads a run, of so many timesteps if that is known; None if nothing does."""
    if not quantities and not layers:
        return None
    probes = Probes(network, program_of(network), quantities, layers)
    probes.check(steps or 0)
    return probes


def _kind(program: Program, number: int) -> int:
    first = program.populations[number][Population.parameters]
    return int(program.parameters[first]["kind"])


@kernel_glue
def read_layer(
    program: Program, state: State, number: int, t: int, membranes: Float32s, seconds: Float32s
) -> None:
    """Write what a layer's neurons have after timestep t, as if all were brought up to date."""
    population = program.populations[number]
    channels, groups = population[Population.channels], population[Population.groups]
    parameters = program.parameters[population[Population.parameters] :]
    biases = program.biases[population[Population.biases] :]
    powers = program.powers[population[Population.powers] :]
    gains = program.gains[population[Population.powers] :]
    for site in range(population[Population.sites]):
        silent = t - state.last[population[Population.site] + site]
        first = (site % groups) * channels
        for k in range(channels):
            at = site * channels + k
            neuron = population[Population.neuron] + at
            u, second = state.membranes[neuron], np.float32(0)
            bias = np.float32(0)
            if population[Population.bias] >= 0 or population[Population.plain] == 0:
                bias = biases[first + k]
            if population[Population.plain] > 0:
                power, gain = factors_of(silent, powers, gains)
                u = catch_up_plain(u, power, bias, gain)
            else:
                second = state.seconds[neuron]
                unheld = min(silent, max(0, t + 1 - state.free_from[neuron]))
                u, second = catch_up(parameters[first + k], bias, u, second, silent, unheld)
            membranes[at] = u
            if len(seconds) > 0:
                seconds[at] = second
