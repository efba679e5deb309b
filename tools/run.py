"""`eventsim run`: a network on recordings or a data set, event by event, operations counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .closing import say_next, say_outside_the_grid, say_share, say_written
from .energies import ENERGY_HELP, Energies, energies_of
from .images import takes_image
from .inputs import Inputs, from_data_set, from_files, from_images, read_first, read_inputs
from .networks import NetworkFile, NirOptions
from .options import ClusterOption, DownloadOption, Parting, with_options, writable
from .other_readings import read_otherwise, readings_table
from .pictures.options import Plot, draw_run, spikes_to_plot
from .reading import Reading
from .recorded import recording_options, write_recorded
from .report import (
    agreement_table,
    console,
    count_correct,
    energy_table,
    new_table,
    notes,
    operations_json,
    operations_table,
    progress_bar,
    say_when_compiling,
    write_json,
)
from .sample_rows import write_csv
from .simulating import Source, network_of, simulate_here, simulate_on_cluster
from .times import layer_seconds, times_table

if TYPE_CHECKING:
    from eventsim import Network, Result
    from eventsim_bridge.agreement import Agreement
    from eventsim_bridge.models import SpikingNetwork


@with_options
def run(
    network: NetworkFile,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="One or more recordings.", metavar="INPUT...")
    ] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(help="Data set instead: digits, gestures, nmnist, dvsgesture, folder, ..."),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    download: DownloadOption = False,
    parting: Parting,
    split: Annotated[str, typer.Option(help="Part of the data set: test or train.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Run only the first N samples.", min=1)] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads [default: all cores; of a worker of a cluster 1].", min=1),
    ] = None,
    cluster: ClusterOption = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Timesteps [default: the network's own, or the whole recording].", min=1),
    ] = None,
    reading: Reading,
    mode: Annotated[
        str, typer.Option(help="clocked, or async: event by event, without timesteps.")
    ] = "clocked",
    device: Annotated[
        str, typer.Option(help="cpu, cuda (a GPU), or auto: a GPU where there is one.")
    ] = "cpu",
    weights: Annotated[
        str | None,
        typer.Option(help="Round the weights first: float16, bfloat16 or int8.", metavar="TYPE"),
    ] = None,
    against_torch: Annotated[
        bool, typer.Option("--against-torch", help="Run torch as well and compare every spike.")
    ] = False,
    energy: Annotated[
        str | None,
        typer.Option(help=ENERGY_HELP, metavar="MODELS"),
    ] = None,
    readings: Annotated[
        bool,
        typer.Option(
            "--readings",
            help="Also count weights of 0, events that reach nothing, and pools first (in torch).",
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write everything as JSON; - is stdout.", metavar="FILE", callback=writable
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write a row of counts for each sample and layer; - is stdout.",
            metavar="FILE",
            callback=writable,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Write spikes, membranes and currents of one recording as HDF5.",
            metavar="FILE",
            callback=writable,
        ),
    ] = None,
    times: Annotated[
        bool, typer.Option("--times", help="Measure the time of each layer, one by one.")
    ] = False,
    plot: Plot = None,
    nir: NirOptions,
) -> None:
    """Simulate recordings or a data set spike by spike; print predictions and operations."""
    import eventsim as es
    from eventsim.network.rounding import WEIGHT_BITS

    say_when_compiling()
    for option, is_set in (("--against-torch", against_torch), ("--readings", readings)):
        if mode == "async" and is_set:
            raise es.EventsimError(
                f"{option} is set with --mode async, expected --mode clocked: torch has timesteps"
            )
    _check_inputs(inputs or [], data, root, cluster, download)
    net = network_of(network, nir, weights)
    energies = None
    if energy is not None:
        energies = energies_of(net, energy, WEIGHT_BITS[weights or "float32"])
    if data is None and takes_image(net):
        chosen, steps = from_images(net, inputs or [], steps), None
    elif data is not None:
        chosen = from_data_set(net, data, root, split, reading, parting, download)
    else:
        whole = reading.sort or against_torch or readings or plot is not None
        chosen = from_files(net, inputs or [], reading, whole)
    if against_torch:
        from eventsim_bridge.models import import_network

        original = import_network(net)  # refused before the work
    count = len(chosen.names) if limit is None else min(limit, len(chosen.names))
    if count == 0:
        raise es.EventsimError(
            f"{data} has no recordings in its {split} part, expected some to run"
        )
    recorded = {} if record is None else recording_options(net, record, count, mode, device)
    to_plot = spikes_to_plot(plot, count)
    if plot is not None:
        chosen, drawn = read_first(chosen)
    more = recorded | to_plot | ({"times": True} if times else {})
    options = {"steps": steps, "mode": mode, "device": device, **more}
    if cluster is None or data is None:
        options["threads"] = threads or es.available_threads()
        results, seconds = simulate_here(net, chosen, count, options)
    else:
        options["threads"] = threads or 1
        source = Source(network, nir, weights, data, root, split, reading, parting)
        results, seconds = simulate_on_cluster(cluster, source, count, options)
    if record is not None:
        write_recorded(net, results[0], chosen.names[0], record)

    labels = None if chosen.labels is None else chosen.labels[:count]
    if plot is not None:
        draw_run(plot, net, drawn, results[0], _title(net, chosen, results[0], labels))
    agreement = _compare(original, net, chosen, count, steps) if against_torch else None
    others = _read_otherwise(net, chosen, count, steps) if readings else None
    if "-" not in (str(json), str(csv)):
        _print(net, chosen, results, labels, seconds, energies)
        if others is not None:
            console.print(readings_table(others))
        if times:
            console.print(times_table(results))
        if agreement is not None:
            console.print(agreement_table(agreement))
    if not takes_image(net):
        say_outside_the_grid(results, net.input_encoding if mode == "clocked" else "counts")
    if csv is not None:
        write_csv(csv, chosen.names, labels, results, energies)
    if json is not None:
        document = _document(network, net, chosen, results, labels, seconds, energies)
        document["weights"] = weights or "float32"
        document["device"] = device
        document["energy"] = energy
        document["readings"] = others
        document["layer_seconds"] = layer_seconds(results) if times else None
        document["agreement"] = None if agreement is None else agreement.as_dict()
        write_json(document, json)
    say_written(plot, record, csv, json)
    _say_next(network, inputs or [], data, root, energy)


def _say_next(
    network: Path, inputs: list[Path], data: str | None, root: Path | None, energy: str | None
) -> None:
    more = (
        str(inputs[0]) if inputs else f"--data {data}" + ("" if root is None else f" --root {root}")
    )
    if energy is None:
        say_next(energy_beside_a_dense_machine=f"run {network} {more} --energy default")
    else:
        say_next(every_count_of_every_sample=f"run {network} {more} --csv counts.csv")


def _check_inputs(
    inputs: list[Path], data: str | None, root: Path | None, cluster: str | None, download: bool
) -> None:
    """Refuse what would be ignored, and a cluster without its extra."""
    import eventsim as es

    if data is None and download:
        raise es.EventsimError("--download is set without --data, expected both or none")
    if data is None and cluster is not None:
        raise es.EventsimError(f"--cluster is {cluster} without --data, expected both or none")
    if cluster is not None:
        import distributed  # noqa: F401
    if data is None and root is not None:
        raise es.EventsimError(f"--root is {root} without --data, expected both or none")
    if data is None and not inputs:
        raise es.EventsimError("nothing to run, expected recordings or --data NAME")
    if data is not None and inputs:
        raise es.EventsimError(
            f"--data is {data!r} beside {inputs[0]}, expected recordings or a data set"
        )


def _compare(
    model: SpikingNetwork, net: Network, chosen: Inputs, count: int, steps: int | None
) -> Agreement:
    """Run the same recordings through torch, densely, and compare the spikes of every layer."""
    from eventsim_bridge.agreement import compare_spikes

    with progress_bar("comparing with torch", count) as advance:
        recordings = read_inputs(chosen, range(count), advance)
        return compare_spikes(model, net, recordings, steps=steps, progress=advance)


def _title(net: Network, chosen: Inputs, result: Result, labels: list[int] | None) -> str:
    class_names = net.class_names or chosen.class_names
    label = "" if labels is None else f"label {_name(class_names, labels[0])}, "
    return f"{chosen.names[0]}: {label}answer {_name(class_names, result.prediction)}"


def _read_otherwise(
    net: Network, chosen: Inputs, count: int, steps: int | None
) -> list[dict[str, Any]]:
    """Run the same recordings again, and read their spikes in other ways."""
    with progress_bar("reading otherwise", count) as advance:
        recordings = read_inputs(chosen, range(count), lambda *_: None)
        return read_otherwise(net, recordings, steps, advance)


def _name(class_names: Sequence[str], index: int) -> str:
    return class_names[index] if index < len(class_names) else str(index)


def _print(
    net: Network,
    chosen: Inputs,
    results: list[Result],
    labels: list[int] | None,
    seconds: float,
    energies: Energies | None,
) -> None:
    import eventsim as es

    class_names = net.class_names or chosen.class_names
    if labels is None:
        table = new_table(
            "Predictions",
            ["recording", "class"],
            ["spikes", "of all", "SOPs", "events", "merged"],
        )
        for name, result in zip(chosen.names, results, strict=False):
            silent = result.spike_counts.sum() == 0
            table.add_row(
                name,
                "(no output spike)" if silent else _name(class_names, result.prediction),
                f"{result.spike_counts[result.prediction]:,}",
                f"{result.spike_counts.sum():,}",
                f"{result.operations.total.sops:,}",
                f"{result.events:,}",
                f"{result.events_merged:,}",
            )
        console.print(table)
    else:
        correct = count_correct(results, labels)
        console.print(
            f"Accuracy: {correct / len(results):.2%} ({correct} of {len(results)} samples)",
            highlight=False,
        )
    total = es.Operations.sum(result.operations for result in results)
    console.print(operations_table(total, results))
    say_share(total)
    if energies is not None:
        console.print(energy_table(total, len(results), energies))
        for refusal in energies.refusals(energies.priced(total).total):
            notes.print(refusal, highlight=False)
    notes.print(
        f"{len(results)} sample{'s' if len(results) > 1 else ''} in {seconds:.3f} s"
        + (f": {1e3 * seconds / len(results):.3f} ms each" if len(results) > 1 else ""),
        highlight=False,
    )


def _document(
    path: Path,
    net: Network,
    chosen: Inputs,
    results: list[Result],
    labels: list[int] | None,
    seconds: float,
    energies: Energies | None,
) -> dict[str, Any]:
    accuracy = None if labels is None else count_correct(results, labels) / len(results)
    return {
        "network": str(path),
        "engine": results[0].mode,
        "dt_us": net.dt_us,
        "steps": [result.steps for result in results],
        "samples": len(results),
        "names": [str(name) for name in chosen.names[: len(results)]],
        "class_names": list(net.class_names or chosen.class_names),
        "accuracy": accuracy,
        "silent": [not result.spike_counts.any() for result in results],
        "predictions": [result.prediction for result in results],
        "labels": labels,
        "spike_counts": [result.spike_counts.tolist() for result in results],
        "events": [result.events for result in results],
        "events_early": [result.events_early for result in results],
        "events_late": [result.events_late for result in results],
        "events_merged": [result.events_merged for result in results],
        "seconds": seconds,
        "layers": operations_json([result.operations for result in results], energies),
    }
