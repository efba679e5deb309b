"""`eventsim run`: a network on recordings or a data set, event by event, operations counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .energies import ENERGY_HELP, Energies, chosen_models
from .networks import NetworkFile, NirOptions, open_network
from .options import Parting, with_options, writable
from .pictures.options import Plot, draw_run, spikes_to_plot
from .reading import Fit, Reading
from .recorded import recording_options, write_recorded
from .report import (
    agreement_table,
    console,
    count_correct,
    energy_table,
    new_table,
    note_outside_the_grid,
    notes,
    operations_json,
    operations_table,
    progress_bar,
    say_when_compiling,
    write_json,
)

if TYPE_CHECKING:
    from eventsim import Network, Packets, Result
    from eventsim_bridge.agreement import Agreement

# Recordings in memory at a time: a full data set need not fit.
CHUNK = 1024
# Files of more bytes are read in packets while they run, so that their length takes no memory.
LONG_FILE = 2**24


class Inputs(NamedTuple):
    """What to run: names, labels where known, and how to read the recording of an index."""

    names: Sequence[str]
    labels: list[int] | None
    read: Any  # (index) -> events, or packets of a long recording; and what fits them
    class_names: Sequence[str]


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
    parting: Parting,
    split: Annotated[str, typer.Option(help="Part of the data set: test or train.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Run only the first N samples.", min=1)] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads [default: all cores].", min=1)
    ] = None,
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
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write everything as JSON; - is stdout.", metavar="FILE", callback=writable
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
    plot: Plot = None,
    nir: NirOptions,
) -> None:
    """Simulate recordings or a data set spike by spike; print predictions and operations."""
    import eventsim as es
    from eventsim.network.rounding import WEIGHT_BITS

    say_when_compiling()
    if mode == "async" and against_torch:
        raise es.EventsimError(
            "--against-torch is set with --mode async, expected --mode clocked: torch has timesteps"
        )
    _check_inputs(inputs or [], data, root)
    net = open_network(network, nir)
    if weights is not None:
        net = es.round_weights(net, weights)  # type: ignore[arg-type]
    energies = None
    if energy is not None:
        bits = WEIGHT_BITS[weights or "float32"]
        energies = Energies(chosen_models(energy), es.footprint(net, bits))
    if data is not None:
        chosen = _from_data_set(net, data, root, split, reading, parting)
    else:
        chosen = _from_files(
            net, inputs or [], reading, whole=bool(reading.sort or against_torch or plot)
        )
    count = len(chosen.names) if limit is None else min(limit, len(chosen.names))
    if count == 0:
        raise es.EventsimError(
            f"{data} has no recordings in its {split} part, expected some to run"
        )
    recorded = {} if record is None else recording_options(net, record, count, mode, device)
    recorded |= spikes_to_plot(plot, count)
    results, seconds = _simulate(net, chosen, count, threads, steps, mode, device, recorded)
    if record is not None:
        write_recorded(net, results[0], chosen.names[0], record)

    labels = None if chosen.labels is None else chosen.labels[:count]
    if plot is not None:
        (events,) = _read(chosen, range(1), lambda *_: None)
        draw_run(plot, net, events, results[0], _title(net, chosen, results[0], labels))
    agreement = _compare(net, chosen, count, steps) if against_torch else None
    if json is None or str(json) != "-":
        _print(net, chosen, results, labels, seconds, energies)
        if agreement is not None:
            console.print(agreement_table(agreement))
    note_outside_the_grid(results)
    if json is not None:
        document = _document(network, net, chosen, results, labels, seconds, energies)
        document["weights"] = weights or "float32"
        document["device"] = device
        document["energy"] = energy
        document["agreement"] = None if agreement is None else agreement.as_dict()
        write_json(document, json)


def _check_inputs(inputs: list[Path], data: str | None, root: Path | None) -> None:
    """Refuse what would be ignored."""
    import eventsim as es

    if data is None and root is not None:
        raise es.EventsimError(f"--root is {root} without --data, expected both or none")
    if data is None and not inputs:
        raise es.EventsimError("nothing to run, expected recordings or --data NAME")
    if data is not None and inputs:
        raise es.EventsimError(
            f"--data is {data!r} beside {inputs[0]}, expected recordings or a data set"
        )


def _from_data_set(
    net: Network, name: str, root: Path | None, split: str, reading: Reading, parting: Parting
) -> Inputs:
    import eventsim as es

    if split not in ("train", "test"):
        raise es.EventsimError(f"--split is {split!r}, expected train or test")
    dataset = reading.data_set(name, root, parting)
    part = dataset.train if split == "train" else dataset.test
    labels = [int(label) for label in part.labels]
    fit = Fit(reading, net, dataset.sensor)
    return Inputs(part.names, labels, lambda index: (part[index][0], fit), dataset.class_names)


def _from_files(net: Network, paths: Sequence[Path], reading: Reading, whole: bool) -> Inputs:
    import eventsim as es

    def read(index: int) -> Any:
        path = paths[index]
        is_long = path.is_file() and path.stat().st_size > LONG_FILE
        source = reading.packets(path) if is_long and not whole else reading.recording(path)
        with _naming(str(path)):
            fit = Fit(reading, net, source.sensor if source.about.states_sensor else None)
        return source if isinstance(source, es.Packets) else source.events, fit

    return Inputs([str(path) for path in paths], None, read, ())


def _simulate(
    net: Network,
    chosen: Inputs,
    count: int,
    threads: int | None,
    steps: int | None,
    mode: Any,
    device: Any,
    recorded: dict[str, Any],
) -> tuple[list[Result], float]:
    """Run in chunks; the seconds are those of the engine, and of reading files in packets."""
    import eventsim as es

    threads = es.available_threads() if threads is None else threads
    options = {"steps": steps, "threads": threads, "mode": mode, "device": device, **recorded}
    # Compiles (or loads from the cache on disk) every kernel before the clock starts.
    _run_chunk(net, [es.make_events([0], [0], [0], [0])], count, options)
    results: list[Result] = []
    seconds = 0.0
    with progress_bar("simulating", count) as advance:
        for first in range(0, count, CHUNK):
            chunk = range(first, min(first + CHUNK, count))
            recordings = list(_read(chosen, chunk, advance))
            start = time.perf_counter()
            results += _run_chunk(net, recordings, count, options, advance)
            seconds += time.perf_counter() - start
    return results, seconds


def _run_chunk(
    net: Network,
    recordings: list[Any],
    count: int,
    options: dict[str, Any],
    advance: Any = lambda done: None,
) -> list[Result]:
    """Run some of `count` recordings, spread over the threads; the only one has all of them."""
    import eventsim as es

    if count > 1:
        return es.simulate_batch(net, recordings, progress=advance, **options)
    result = es.simulate(net, recordings[0], **options)
    advance(1)
    return [result]


def _read(chosen: Inputs, indices: range, advance: Any) -> Iterator[Any]:
    """Read recordings, or begin to."""
    import eventsim as es

    for index in indices:
        name, (source, fit) = chosen.names[index], chosen.read(index)
        if isinstance(source, es.Packets):
            yield _stream(name, source, fit, advance)
        else:
            with _naming(name):
                yield fit(source)


def _stream(name: str, packets: Packets, fit: Fit, advance: Any) -> Iterator[Any]:
    import eventsim as es

    count = 0
    try:
        for packet in Reading().told(packets):
            with _naming(name):
                fitting = fit(packet, count)
            yield fitting
            count += len(packet)
            advance(0, len(packet))
    except es.RecordingError as error:  # which a batch would number, but it has a name here
        raise es.EventsimError(str(error)) from None


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name a recording that does not fit the network here, where its file is known."""
    import eventsim as es

    try:
        yield
    except es.EventsimError as error:
        raise type(error)(f"{name}: {error}") from None


def _compare(net: Network, chosen: Inputs, count: int, steps: int | None) -> Agreement:
    """Run the same recordings through torch, densely, and compare the spikes of every layer."""
    from eventsim_bridge.agreement import compare_spikes
    from eventsim_bridge.models import import_network

    with progress_bar("comparing with torch", count) as advance:
        recordings = _read(chosen, range(count), advance)
        return compare_spikes(import_network(net), net, recordings, steps=steps, progress=advance)


def _title(net: Network, chosen: Inputs, result: Result, labels: list[int] | None) -> str:
    class_names = net.class_names or chosen.class_names
    label = "" if labels is None else f"label {_name(class_names, labels[0])}, "
    return f"{chosen.names[0]}: {label}answer {_name(class_names, result.prediction)}"


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
            "Predictions", ["recording", "class"], ["spikes", "of all", "SOPs", "events"]
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
            )
        console.print(table)
    else:
        correct = count_correct(results, labels)
        console.print(
            f"Accuracy: {correct / len(results):.2%} ({correct} of {len(results)} samples)",
            highlight=False,
        )
    total = es.Operations.sum(result.operations for result in results)
    console.print(operations_table(total, len(results)))
    if energies is not None:
        console.print(energy_table(total, len(results), energies))
        for refusal in energies.refusals(total.total):
            notes.print(refusal, highlight=False)
    notes.print(
        f"{len(results)} samples in {seconds:.3f} s: {1e3 * seconds / len(results):.3f} ms each",
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
