"""What commands print: tables of operations and predictions, progress bars, JSON files."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .energies import chosen_models, dense_counts

if TYPE_CHECKING:
    from eventsim import LayerOperations, Operations, Result
    from eventsim_bridge.progress import Work

    from .energies import Energies

# Tables go to stdout; progress and notes to stderr, so that the output of a command can be piped.
# Into a file or pipe, tables get room for their numbers instead of the 80 columns rich assumes.
console = Console(width=None if sys.stdout.isatty() else 120)
notes = Console(stderr=True)
LONGEST_HEADING = 8  # in a line


def say_when_compiling() -> None:
    """Say so on stderr if kernels have to be compiled: it takes seconds, with nothing to see."""
    from eventsim.jit import call_when_compiling

    call_when_compiling(lambda: notes.print("compiling kernels, once", highlight=False))


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Work]:
    """Show on stderr how far work is; yields what takes the number of items just done."""
    from eventsim_bridge import progress

    with progress.progress_bar(what, total, notes) as work:
        yield work


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something takes its time, an import say: turning on a terminal, or in a line."""
    with notes.status(what) if notes.is_terminal else progress_bar(what, None):
        yield


def new_table(title: str, text: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return a table with left-aligned text columns, then right-aligned numbers, never cut."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in text:
        table.add_column(name, overflow="fold")
    for name in numbers:  # in several lines, for tables of many columns to fit 80
        heading = "\n".join(textwrap.wrap(name, LONGEST_HEADING, break_long_words=False))
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def operations_table(operations: Operations, results: Sequence[Result]) -> Table:
    """Return mean operations per sample, one row a layer, beside the dense equivalent.

    operations: the sum of those of the results. Counts are whole where they fit the console, and
    else in thousands, millions and so on.
    """
    whole = _operations_table(operations, results, mean)
    return whole if fits(whole) else _operations_table(operations, results, _short_mean)


def fits(table: Table) -> bool:
    """Tell whether a table is as wide as it wants to be on the console."""
    wanted = table.__rich_measure__(console, console.options.update(max_width=500)).maximum
    return wanted <= console.width


def short_count(value: float) -> str:
    """Format a count in three digits and a unit."""
    units = iter(("", " k", " M", " G", " T"))
    unit = next(units)
    while value >= 999.5 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{value:.3g}{unit}"


def _short_mean(count: int, samples: int) -> str:
    return short_count(count / samples)


def _operations_table(
    operations: Operations, results: Sequence[Result], written: Callable[[int, int], str]
) -> Table:
    samples = len(results)
    columns = {
        "events in": "input_events",
        "ACs": "acs",
        "MACs": "macs",
        "updates": "updates",
        "spikes out": "output_spikes",
        "dense MACs": "dense_macs",
    }
    if not operations.total.macs:
        del columns["MACs"]
    title = f"Operations ({_per(samples)}; {events_of(results)})"
    table = new_table(title, ["layer"], [*columns, "SOPs / dense"])
    for row in _rows(operations):
        counts = [written(getattr(row, count), samples) for count in columns.values()]
        share = f"{row.sops / row.dense_macs:.2%}" if row.dense_macs else "-"
        table.add_row(row.name, *counts, share, style="bold" if row.name == "total" else "")
    return table


def events_of(results: Sequence[Result]) -> str:
    """Return in words the events of a sample on the grid, which "events in" does not count all."""
    seen = sum(r.events - r.events_early - r.events_late for r in results)
    merged = sum(r.events_merged for r in results)
    return f"{mean(seen, len(results))} events, {mean(merged, len(results))} of them merged"


def energy_table(operations: Operations, samples: int, energies: Energies) -> Table:
    """Return the mean energy per sample of the whole network, one row a model.

    Below stands how far the ratio to a dense pass goes over all models that come with the package.
    """
    bits = energies.footprint.weight_bits
    rest = "integers" if energies.footprint.integers else "float32"
    width = f"all in {rest}" if bits == 32 else f"weights of {bits} bits, all else {rest}"
    table = new_table(
        f"Modelled energy ({_per(samples)}; {width})",
        ["model", "machine"],
        ["nJ", "pJ a SOP", "nJ if dense", "of dense"],
    )
    total = energies.priced(operations).total
    found, dense = energies.of(total), energies.of(dense_counts(total))
    shares = _shares_of_dense(total, energies)
    for model in energies.models:
        energy, other = found[model.name], dense[model.name]
        each = "-" if energy is None or total.sops == 0 else f"{energy / total.sops:,.1f}"
        share = f"{shares[model.name]:.2%}" if model.name in shares else "-"
        nanojoules = [
            "-" if one is None else f"{one / 1e3 / samples:,.1f}" for one in (energy, other)
        ]
        table.add_row(model.name, model.title, nanojoules[0], each, nanojoules[1], share)
    spread = _shares_of_dense(total, energies._replace(models=chosen_models("all"))).values()
    if spread:
        table.caption = (
            f"of dense, over all models of the package: {min(spread):.2%} to {max(spread):.2%}"
        )
    return table


def _shares_of_dense(total: LayerOperations, energies: Energies) -> dict[str, float]:
    """Return the energy as a share of a dense pass's, by each model that has both."""
    found, dense = energies.of(total), energies.of(dense_counts(total))
    return {
        name: energy / other
        for name, energy in found.items()
        if energy is not None and (other := dense[name])
    }


def _per(samples: int) -> str:
    return f"mean of {samples} samples" if samples > 1 else "one sample"


def _rows(operations: Operations) -> Sequence[LayerOperations]:
    layers = operations.layers
    return [*layers, operations.total] if len(layers) > 1 else layers


def count_correct(results: Iterable[Result], labels: Iterable[int]) -> int:
    """Return how many predictions equal their label."""
    return sum(r.prediction == int(label) for r, label in zip(results, labels, strict=True))


def mean(count: int, samples: int) -> str:
    """Format a mean count: whole above 100, one decimal below."""
    value = count / samples
    return f"{value:,.0f}" if value >= 100 or count % samples == 0 else f"{value:,.1f}"


def operations_json(
    operations: Sequence[Operations], energies: Energies | None = None
) -> list[dict[str, Any]]:
    """Return for each layer its name and, per count, the list over the samples.

    With `energies` also `energy_pj`: that list by model, null where a model has no energy.
    """
    layers: list[dict[str, Any]] = []
    for index, first in enumerate(operations[0].layers if operations else ()):
        rows: list[dict[str, Any]] = []
        for sample in operations:
            rows.append(sample.layers[index].as_dict())
        counts = {name: [row[name] for row in rows] for name in rows[0] if name != "name"}
        layers.append({"name": first.name, **counts})
        if energies is not None:
            found = [energies.of(energies.priced(one).layers[index]) for one in operations]
            layers[-1]["energy_pj"] = {
                model.name: [each[model.name] for each in found] for model in energies.models
            }
    return layers


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write JSON to a file in one go, or to stdout for the path "-"."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from eventsim.files import replacing

    with replacing(path) as file:
        file.write(text.encode())


def agreement_table(agreement: Any) -> Table:
    """Return how the spikes of the torch model and of the engine compare, one row a layer."""
    table = new_table(
        f"Spikes of torch and engine ({agreement.recordings} recordings)",
        ["layer"],
        ["torch", "engine", "differing", "of which first", "farthest from threshold"],
    )
    for layer in agreement.layers:
        distance = f"{layer.largest_origin_distance:.1e}" if layer.origins else "-"
        counts = (layer.torch_spikes, layer.engine_spikes, layer.differing, layer.origins)
        table.add_row(layer.name, *(f"{count:,}" for count in counts), distance)
    return table
