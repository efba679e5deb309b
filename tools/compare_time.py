"""What becomes of a network trained on one grid of time on others, and without any.

    python -m eventsim_tools.compare_time NET... --data nmnist --root DIR --out docs/time.json

Each network is expressed again for every `--dt`: decay' = decay^(dt' / dt), and as many timesteps
as last as long; weights stay. It runs clocked on each grid and, as it is, in asynchronous time.
Prints accuracy, synaptic operations and spikes a sample; writes them as JSON, and as a plot beside
it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .report import console, count_correct, new_table, progress_bar, write_json

if TYPE_CHECKING:
    from eventsim import Network

MARKERS = "os^DvP"  # one for each colour, so that a line is known without it


def compare_time(
    networks: Annotated[list[Path], typer.Argument(metavar="NET...")],
    data: Annotated[str, typer.Option()],
    out: Annotated[Path, typer.Option(help="JSON file; the plot lies beside it.")],
    root: Annotated[Path | None, typer.Option()] = None,
    split: Annotated[str, typer.Option()] = "test",
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    dt: Annotated[str, typer.Option(help="Timesteps in microseconds.")] = "1000,5000,20000",
) -> None:
    """Run networks clocked at several dt, and asynchronously."""
    import eventsim as es
    from eventsim_bridge.datasets import open_dataset

    grids = [int(one) for one in dt.split(",")]
    dataset = open_dataset(data, root)
    part = dataset.train if split == "train" else dataset.test
    count = len(part) if limit is None else min(limit, len(part))
    labels = [int(label) for label in part.labels[:count]]
    rows: list[dict[str, Any]] = []
    with progress_bar("simulating", len(networks) * (len(grids) + 1) * count) as advance:
        for path in networks:
            network = es.load_network(path)
            runs: list[tuple[str, Any, Network]] = [
                (f"{one / 1000:g} ms", "clocked", at_dt(network, one)) for one in grids
            ]
            for name, mode, net in (*runs, ("async", "async", network)):
                recordings = (part[index][0] for index in range(count))
                results = es.simulate_batch(net, recordings, mode=mode, progress=advance)
                total = es.Operations.sum(result.operations for result in results)
                rows.append({
                    "network": path.stem, "trained_dt_us": network.dt_us, "time": name,
                    "dt_us": net.dt_us if mode == "clocked" else None, "samples": count,
                    "accuracy": count_correct(results, labels) / count,
                    "sops": total.total.sops / count,
                    "spikes": [layer.output_spikes / count for layer in total.layers],
                })  # fmt: skip
    _print(rows)
    write_json({"data": data, "split": split, "rows": rows}, out)
    _draw(rows, out.with_suffix(".png"))


def at_dt(network: Network, dt_us: int) -> Network:
    """Express a network on another grid: the same time constants, the same duration.

    A bias goes on carrying the membrane to the same level. Raises `EventsimError` for what counts
    timesteps (delays, recurrence, refractory time) and for an input gain, which depends on them.
    """
    import numpy as np

    import eventsim as es

    ratio = dt_us / network.dt_us

    def power(decay: Any) -> Any:
        if isinstance(decay, tuple):
            return tuple(float(one) ** ratio for one in decay)
        return float(decay) ** ratio

    layers: list[Any] = []
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, es.Dense | es.Conv2d | es.Conv1d | es.Delay):
            layers.append(layer)
            continue
        if (
            isinstance(layer, es.Delay)
            or layer.recurrent is not None
            or layer.neuron.refractory
            or layer.neuron.input_gain != "one"
        ):
            raise es.EventsimError(
                f"{network.layer_name(index)} has a delay, recurrence, refractory time or input "
                f"gain, expected none in a network to express at another dt"
            )
        neuron, bias = layer.neuron, layer.bias
        decays = {name: power(v) for name, v in vars(neuron).items() if name.endswith("decay")}
        if bias is not None:
            before = np.broadcast_to(np.asarray(neuron.decay, np.float64), bias.shape)
            leak = np.where(before < 1, 1 - before, 1.0)
            bias = bias * np.where(before < 1, (1 - before**ratio) / leak, ratio)
        layers.append(replace(layer, bias=bias, neuron=replace(neuron, **decays)))
    steps = None if network.steps is None else max(1, round(network.steps / ratio))
    return replace(network, dt_us=dt_us, layers=layers, steps=steps)


def _print(rows: list[dict[str, Any]]) -> None:
    table = new_table(
        f"{rows[0]['samples']} samples", ["network", "time"],
        ["accuracy", "SOPs a sample", "spikes a sample, layer by layer"],
    )  # fmt: skip
    for row in rows:
        spikes = "  ".join(f"{one:,.0f}" for one in row["spikes"])
        table.add_row(
            f"{row['network']} ({row['trained_dt_us'] / 1000:g} ms)", row["time"],
            f"{row['accuracy']:.1%}", f"{row['sops']:,.0f}", spikes,
        )  # fmt: skip
    console.print(table)


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from eventsim.colours import LIGHT

    from .pictures.drawing import picture

    shown = (("accuracy", "accuracy (%)", 100), ("sops", "SOPs a sample (millions)", 1e-6))
    with picture(path, 9, 3.6) as figure:
        for place, (key, label, scale) in enumerate(shown):
            axes = figure.add_subplot(1, 2, place + 1)
            for number, network in enumerate(dict.fromkeys(row["network"] for row in rows)):
                mine = [row for row in rows if row["network"] == network]
                values = [scale * row[key] for row in mine]
                axes.plot(
                    [row["time"] for row in mine], values, color=LIGHT.curves[number % 6],
                    marker=MARKERS[number % 6], label=network,
                )  # fmt: skip
            axes.set(ylabel=label, xlabel="timestep")
            axes.set_ylim(0, 1.08 * scale * max(row[key] for row in rows))
        axes.legend()


if __name__ == "__main__":
    typer.run(compare_time)
