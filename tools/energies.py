"""The energy models that `--energy` chooses, applied to the counts of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .images import takes_image

if TYPE_CHECKING:
    from eventsim.energy import EnergyModel, Footprint
    from eventsim.errors import EventsimError
    from eventsim.network.graph import Network
    from eventsim.operations import CountedLayer, LayerOperations, Operations

ENERGY_HELP = (
    "Add energies by models, separated by commas: default (45 nm), all that come with the package, "
    "names such as loihi, or TOML files of your own."
)


class Energies(NamedTuple):
    """Models, and the memory that the network takes in them.

    image: the layer that takes an image, if one does. Its levels are multiplied by weights of 1
    here. On a chip they are the bias currents of its neurons: no synapse, and added in the update.
    """

    models: tuple[EnergyModel, ...]
    footprint: Footprint
    image: str = ""

    def priced(self, operations: Operations) -> Operations:
        """Return what is priced of operations: an image brings none."""
        layers = (
            replace(one, acs=0, macs=0, dense_macs=0) if one.name == self.image else one
            for one in operations.layers
        )
        return replace(operations, layers=tuple(layers))

    def of(self, counts: CountedLayer) -> dict[str, float | None]:
        """Return picojoules by model, None where its machine does not execute such counts."""
        tried = self._tried(counts)
        return {name: energy if isinstance(energy, float) else None for name, energy in tried}

    def refusals(self, counts: CountedLayer) -> list[str]:
        """Return why models have nothing to say of such counts."""
        return [str(error) for _, error in self._tried(counts) if not isinstance(error, float)]

    def _tried(self, counts: CountedLayer) -> Iterator[tuple[str, float | EventsimError]]:
        from eventsim.energy import energy_of
        from eventsim.errors import EventsimError

        for model in self.models:
            try:
                yield model.name, energy_of(counts, self.footprint, model)
            except EventsimError as error:
                yield model.name, error


def energies_of(network: Network, option: str, weight_bits: int) -> Energies:
    """Return what an option asks for, of a network with weights of so many bits."""
    from eventsim.energy import footprint

    image = network.layer_name(network.neuron_layers[0]) if takes_image(network) else ""
    return Energies(chosen_models(option), footprint(network, weight_bits), image)


def chosen_models(option: str) -> tuple[EnergyModel, ...]:
    """Return the models that an option names; raises `EventsimError` for one that there is not."""
    from eventsim.energy import DEFAULT_MODELS, energy_model_names, load_energy_model

    groups: dict[str, Sequence[str]] = {"default": DEFAULT_MODELS, "all": energy_model_names()}
    names = [name for part in option.split(",") for name in groups.get(part, (part,))]
    return tuple(load_energy_model(name) for name in dict.fromkeys(names))


def dense_counts(counts: LayerOperations) -> LayerOperations:
    """Return what a machine executes that skips nothing: of the same layers, in as many timesteps.

    Each weight is multiplied, and each neuron decays, gets its bias and is compared, in every
    timestep; inputs and spikes are as they were.
    """
    every = counts.dense_updates
    return replace(
        counts, acs=0, macs=counts.dense_macs, updates=every, compares=every,
        decays=every if counts.decays else 0, bias_adds=every if counts.bias_adds else 0,
        site_updates=0,
    )  # fmt: skip
