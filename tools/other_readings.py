"""`eventsim run --readings`: what the counted spikes come to in other honest readings.

In: recordings, run again one by one. Out: layer by layer the operations with a weight of 0, the
events from which no weight is reached, and what a machine takes that pools first; as JSON, a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .report import mean, new_table

if TYPE_CHECKING:
    from rich.table import Table

    from eventsim import Network

COLUMNS = {
    "events that reach nothing": "events_for_nothing",
    "SOPs with a weight of 0": "sops_for_nothing",
    "pools first: ACs": "pools_first_acs",
    "MACs": "pools_first_macs",
    "pool additions": "pools_first_pool_adds",
}


def read_otherwise(
    network: Network, recordings: Iterable[Any], steps: int | None, advance: Any
) -> list[dict[str, Any]]:
    """Return for each layer its name and, per reading, the list over the samples."""
    from eventsim_bridge.readings import readings

    layers: list[dict[str, Any]] = [
        {"name": network.layer_name(index), **{name: [] for name in COLUMNS.values()}}
        for index in network.neuron_layers
    ]
    for events in recordings:
        for layer, read in zip(layers, readings(network, events, steps=steps), strict=True):
            layer["events_for_nothing"].append(read.for_nothing.input_events)
            layer["sops_for_nothing"].append(read.for_nothing.sops)
            layer["pools_first_acs"].append(read.pools_first.acs)
            layer["pools_first_macs"].append(read.pools_first.macs)
            layer["pools_first_pool_adds"].append(read.pools_first.pool_adds)
        advance(1)
    return layers


def readings_table(layers: list[dict[str, Any]]) -> Table:
    """Return the means per sample, one row a layer."""
    samples = len(layers[0]["sops_for_nothing"])
    title = f"Other readings of the same spikes (mean of {samples})"
    table = new_table(title, ["layer"], list(COLUMNS))
    for layer in layers:
        means = (mean(sum(layer[name]), samples) for name in COLUMNS.values())
        table.add_row(layer["name"], *means)
    return table
