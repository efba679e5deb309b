"""A network of fully connected layers in SANA-FE's Loihi, beside the energy model `loihi`.

    pip install sanafe
    python -m eventsim_tools.beside_sanafe net.h5 --data digits --limit 5

SANA-FE (Boyle et al., IEEE TCAD 2025) simulates a chip of cores: here the Loihi that it comes with,
each layer on cores of its own, the input on as many as it needs. Prints, a sample: what both count
(operations and spikes must be equal), what each charges for it, and how long it takes by each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .report import console, events_of, new_table, progress_bar, write_json

if TYPE_CHECKING:
    from eventsim import Network, Operations

CORE = 1024  # neurons
# SANA-FE cuts a decayed membrane to a multiple of 1/64: of weights and thresholds this many times
# as large that is less than float32 rounds.
SCALE = 2.0**18
# Davies et al. 2018, table 2, as the energies of the model `loihi`: ns of a synaptic operation, and
# of an update of an active and of an inactive neuron. A core does one after the other.
NS = {"sops": 3.5, "active": 8.4, "idle": 5.3}


ROWS = (
    "input events", "synaptic operations", "neurons updated, active", "spikes",
    "pJ, synaptic operations", "pJ, neurons", "pJ, spikes and messages", "pJ, all", "ns, all",
)  # fmt: skip


def beside_sanafe(
    network: Annotated[Path, typer.Argument(metavar="NET")],
    data: Annotated[str, typer.Option()],
    root: Annotated[Path | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, help="First N test recordings.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures.")] = None,
) -> None:
    """Run the first test recordings through both."""
    import eventsim as es
    from eventsim_bridge.datasets import open_dataset

    net = es.load_network(network)
    check(net)
    test = open_dataset(data, root).test
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    results = []
    count = min(limit, len(test))
    with progress_bar("recordings", count) as advance:
        for index in range(count):
            events = test[index][0]
            result = es.simulate(net, events)
            results.append(result)
            for found, total in (
                (of_loihi_model(net, result.operations), ours),
                (run_sanafe(net, events, result.steps), theirs),
            ):
                for name, value in found.items():
                    total[name] = total.get(name, 0) + value / count
            advance(1)
    title = f"{count} samples, a sample of {events_of(results)}"
    table = new_table(title, [""], ["model loihi", "SANA-FE"])
    for name in ROWS:
        table.add_row(name, *(f"{one[name]:,.0f}" for one in (ours, theirs)))
    console.print(table)
    if json is not None:
        write_json({"samples": count, "loihi": ours, "sanafe": theirs}, json)


def check(network: Network) -> None:
    """Raise `EventsimError` for a network that is not told alike to both."""
    import eventsim as es

    for index in range(len(network.layers)):
        layer: Any = network.layers[index]
        plain = isinstance(layer, es.Dense) and layer.bias is None and layer.recurrent is None
        if not (isinstance(layer, es.Flatten) or (plain and len(layer.weight) <= CORE)):
            raise es.EventsimError(
                f"{network.layer_name(index)}: expected only fully connected layers of up to "
                f"{CORE} neurons without a bias"
            )
        neuron = getattr(layer, "neuron", es.LIF(0.5, 1.0))
        if not (isinstance(neuron, es.LIF) and neuron == es.LIF(neuron.decay, neuron.threshold)):
            raise es.EventsimError(
                f"{network.layer_name(index)} has {neuron}, expected a plain LIF"
            )
    if network.input_encoding != "binary":
        raise es.EventsimError(f"input_encoding is {network.input_encoding!r}, expected 'binary'")


def of_loihi_model(network: Network, operations: Operations) -> dict[str, float]:
    """Return counts, picojoules and nanoseconds of the model `loihi`."""
    import eventsim as es

    total = operations.total
    prices = es.load_energy_model("loihi").prices
    spent = {
        "pJ, synaptic operations": prices["acs"] * total.sops,
        "pJ, neurons": prices["compares"] * total.compares
        + prices["idle_updates"] * total.idle_updates,
        "pJ, spikes and messages": prices["output_spikes"] * total.output_spikes,
    }
    # The slowest core of the pipeline; barriers between timesteps and the network left out.
    slowest = max(
        NS["sops"] * layer.sops + NS["active"] * layer.compares + NS["idle"] * layer.idle_updates
        for layer in operations.layers
    )
    return {
        "input events": operations.layers[0].input_events,
        "synaptic operations": total.sops,
        "neurons updated, active": total.compares,
        "spikes": total.output_spikes,
        **spent,
        "pJ, all": sum(spent.values()),
        "ns, all": slowest,
    }


def run_sanafe(network: Network, events: Any, steps: int) -> dict[str, float]:
    """Return the same of SANA-FE."""
    import sanafe

    import eventsim as es

    arch = sanafe.load_loihi()
    cores = iter([core for tile in arch.tiles for core in tile.cores])
    mapped = sanafe.Network()
    binned = es.bin_events(events, network.input_shape, network.dt_us, steps)
    frames = binned.frames().reshape(steps, -1)
    before = add_input(mapped, frames, cores)
    neurons = 0
    for number, index in enumerate(network.neuron_layers):
        layer: Any = network.layers[index]
        group = mapped.create_neuron_group(
            f"layer{number}", len(layer.weight), soma_hw_name="loihi_lif",
            model_attributes={
                "threshold": SCALE * layer.neuron.threshold, "reset": 0.0, "reset_mode": "hard",
                "leak_decay": layer.neuron.decay,
            },
            default_synapse_hw_name="loihi_dense_synapse",
            default_dendrite_hw_name="loihi_dendrites",
        )  # fmt: skip
        core = next(cores)
        for neuron in group:
            neuron.map_to_core(core)
        weights = SCALE * layer.weight.T.astype(float)
        before.connect_neurons_dense(group, {"weight": weights.ravel().tolist()})
        before, neurons = group, neurons + len(layer.weight)
    chip = sanafe.SpikingChip(arch)
    chip.load(mapped)
    # A layer sees in the next timestep what the layer below it sent.
    found = chip.sim(steps + len(network.neuron_layers), timing_model="detailed")
    energy = found["energy"]
    return {
        "input events": float(frames.sum()),
        "synaptic operations": found["spikes"],
        "neurons updated, active": found["neurons_updated"] - float(frames.sum()),
        "spikes": found["neurons_fired"] - float(frames.sum()),
        "pJ, synaptic operations": energy["synapse"] * 1e12,
        "pJ, neurons": energy["soma"] * 1e12,
        "pJ, spikes and messages": energy["network"] * 1e12,
        "pJ, all": energy["total"] * 1e12,
        "ns, all": found["sim_time"] * 1e9,
    }


def add_input(mapped: Any, frames: Any, cores: Any) -> Any:
    """Add a neuron that plays its spikes for each input cell, `CORE` on a core."""
    group = mapped.create_neuron_group(
        "input", frames.shape[1],
        default_synapse_hw_name="loihi_dense_synapse", default_dendrite_hw_name="loihi_dendrites",
    )  # fmt: skip
    for cell, neuron in enumerate(group):
        if cell % CORE == 0:
            core = next(cores)
        neuron.set_attributes(
            soma_hw_name=f"loihi_inputs[{cell % CORE}]",
            model_attributes={"spikes": frames[:, cell].astype(int).tolist()},
        )
        neuron.map_to_core(core)
    return group


if __name__ == "__main__":
    typer.run(beside_sanafe)
