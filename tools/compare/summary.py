"""Finished cells -> what the report says: means over seeds, intervals, energies, equal terms.

In: the documents of cells. Out: plain dictionaries and lists, which are results.json, the CSV and
the numbers behind every table and plot.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from eventsim.energy import EnergyModel, Footprint
from eventsim.operations import CountedLayer, LayerOperations, Operations
from eventsim_bridge.counting import RecurrentLayerOperations, RecurrentOperations
from eventsim_bridge.counting.frames import FrameLayerOperations, FrameOperations
from eventsim_bridge.readings import PoolsFirst, read_pools_first

from ..energies import Energies
from .plan import COMBINATIONS, Plan, Point

Models = tuple[EnergyModel, ...]

Document = dict[str, Any]

# Of what a model is charged at: bits of a weight, and whether all arithmetic is that of integers.
WIDTHS = {"float32": (32, False), "int8": (8, True)}


def wilson(correct: float, samples: int) -> tuple[float, float]:
    """Return the 95 % interval of Wilson (1927) for a share of correct answers."""
    from scipy.stats import norm

    z = float(norm.ppf(0.975))
    share = correct / samples
    middle = (share + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = (
        z / (1 + z**2 / samples) * (share * (1 - share) / samples + z**2 / (4 * samples**2)) ** 0.5
    )
    return max(middle - half, 0.0), min(middle + half, 1.0)


def summarise(
    plan: Plan, cells: Sequence[Document], models: Models, events: Sequence[Document]
) -> Document:
    """Return the tables of a report; `cells` are those of the plan, all of them.

    events: what the test recordings bring to each grid point, a sample.
    """
    grid = [cell for cell in cells if not cell["same_structure"]]
    seen = {Point(each["dt_us"], each["steps"]): each for each in events}
    rows = [
        _row(group, models) | seen[point]
        for point in plan.points()
        for combination in COMBINATIONS
        if (group := _select(grid, combination, point))
    ]
    unscaled = [cell for cell in cells if cell["same_structure"]]
    same = [
        _row(group, models) | seen[plan.middle()]
        for combination in COMBINATIONS
        if (group := _select(unscaled, combination, plan.middle()))
    ]
    _compare_energies(rows)
    _compare_energies(same, rows)
    return {
        "rows": rows,
        "same_structure": same,
        "learning_rates": [_rates_tried(cell) for cell in cells if cell["training"]["tried"]],
        "equal_accuracy": equal_accuracy(rows, models[0].name),
        "generalisation": [
            {"model": model, "loss": loss, "matrix": _matrix(plan, grid, (model, loss))}
            for model, loss in COMBINATIONS
        ],
    }


def _rates_tried(cell: Document) -> Document:
    """Return what a cell found that tried the learning rates for all of its kind."""
    names = ("model", "loss", "dt_us", "steps", "seed", "same_structure")
    training = {name: cell["training"][name] for name in ("learning_rate", "tried")}
    return {name: cell[name] for name in names} | training


def _select(
    cells: Sequence[Document], combination: tuple[str, str], point: Point
) -> list[Document]:
    return [
        cell
        for cell in cells
        if (cell["model"], cell["loss"]) == combination
        and (cell["dt_us"], cell["steps"]) == tuple(point)
    ]


def _row(group: Sequence[Document], models: Models) -> Document:
    """Return the mean over the seeds of one model, loss and grid point, operations per sample."""
    first = group[0]
    accuracies = [cell["test_accuracy"] for cell in group]
    mean = statistics.fmean(accuracies)
    low, high = wilson(mean * first["operations"]["samples"], first["operations"]["samples"])
    return {
        **{name: first[name] for name in ("model", "loss", "dt_us", "steps", "structure")},
        "seeds": len(group),
        "parameters": first["training"]["parameters"],
        "accuracy": mean,
        "accuracies": accuracies,
        "sops": [_sops(cell) for cell in group],
        "wilson_95": [low, high],
        "validation_accuracy": statistics.fmean(
            cell["training"]["validation_accuracy"] for cell in group
        ),
        "weight_bytes": first["operations"]["weight_bits"] / 8 * first["operations"]["weights"],
        "state_bytes": 4 * first["operations"]["state"],
        **_per_sample(group, models),
    }


def _sops(cell: Document) -> float:
    """Return the synaptic operations of a sample, as one seed executes them."""
    total = cell["operations"]["total"]
    return float(total["sops"] / cell["operations"]["samples"])


def _spikes(cell: Document) -> float:
    """Return the spikes of a sample, as one seed emits them."""
    found = cell["operations"]
    return float(found["total"]["output_spikes"] / found["samples"])


def _per_sample(group: Sequence[Document], models: Models) -> Document:
    """Return mean counts and energies a sample, over the test recordings of all seeds."""
    first = group[0]["operations"]
    samples = sum(cell["operations"]["samples"] for cell in group)
    counted = _operations(group)
    own = width_of(group[0])
    energies = {
        width: Energies(models, Footprint(first["weights"], first["state"], *numbers))
        for width, numbers in WIDTHS.items()
    }
    found = _means(counted, samples, energies, own)
    pooled = _pools_first(group, counted)
    if group[0]["model"] == "snn":
        found["pools_first"] = None
        if pooled is not None:
            found["pools_first"] = _means(pooled, samples, energies, own)["total"]
        found |= _rates(group, samples, found["layers"], found["total"])
    return found


def width_of(row: Document) -> str:
    """Return the width of the numbers that a model is trained with, and charged at."""
    return "int8" if row["model"] == "ann" else "float32"


def _means(counted: Any, samples: int, energies: dict[str, Energies], own: str) -> Document:
    """Return the mean counts and energies a sample of each layer, and of all of them."""

    def mean_of(layer: CountedLayer) -> Document:
        counts: Any = layer.as_dict()
        mean = {name: n / samples for name, n in counts.items() if name != "name"}
        return {"name": layer.name, **mean, "energy_nj": _nanojoules(layer, samples, energies[own])}

    at = {width: _nanojoules(counted.total, samples, each) for width, each in energies.items()}
    return {
        "layers": [mean_of(layer) for layer in counted.layers],
        "total": mean_of(counted.total) | {"energy_nj_at": at},
    }


def _nanojoules(layer: CountedLayer, samples: int, energies: Energies) -> Document:
    return {
        name: None if pj is None else pj / samples / 1e3 for name, pj in energies.of(layer).items()
    }


def _operations(group: Sequence[Document]) -> Any:
    """Return the sum of the counts of cells, as they were counted."""
    kinds: dict[str, Any] = {
        "snn": (Operations, LayerOperations),
        "ann": (FrameOperations, FrameLayerOperations),
    }
    whole, of_layer = kinds.get(group[0]["model"], (RecurrentOperations, RecurrentLayerOperations))
    names = [field.name for field in fields(of_layer)]
    return whole.sum(
        whole(
            tuple(
                of_layer(**{name: layer[name] for name in names})
                for layer in cell["operations"]["layers"]
            )
        )
        for cell in group
    )


def _pools_first(group: Sequence[Document], counted: Any) -> Any:
    """Return the counts of an SNN where pools come first; None where there is no such pool."""
    pooled = [cell["operations"].get("pools_first") for cell in group]
    if pooled[0] is None:
        return None
    by_layer = [[PoolsFirst(**layer) for layer in cell] for cell in pooled]
    total = [sum(layers, PoolsFirst(0, 0, 0)) for layers in zip(*by_layer, strict=True)]
    return read_pools_first(counted, total)


def _rates(
    group: Sequence[Document], samples: int, layers: Sequence[Document], total: Document
) -> Document:
    """Return what only an SNN has."""
    cell = group[0]
    sizes, steps = cell["operations"]["neurons"], cell["steps"]
    rates = [
        layer["output_spikes"] / (size * steps) for layer, size in zip(layers, sizes, strict=True)
    ]
    rate = total["output_spikes"] / (sum(sizes) * steps)
    return {
        "firing_rates": rates,
        "firing_rate": rate,
        "seed_rates": [_spikes(cell) / (sum(sizes) * steps) for cell in group],
        # Operations that a weight of the network takes part in, per inference.
        "spikes_per_synapse": total["sops"] / cell["training"]["parameters"],
        # What is usually taken for the operations of an SNN, without a simulation.
        "usual_estimate": total["dense_macs"] * rate,
    }


def _compare_energies(rows: Sequence[Document], others: Sequence[Document] = ()) -> None:
    """Add to each row its energies as multiples of the SNN's at the same grid point.

    `energy_ratios` are those of the counts as executed and the widths as trained. The range at a
    width has both in it, with either reading of the SNN's pools; `energy_ratio_range` spans all.
    """
    spiking = {
        (row["dt_us"], row["steps"]): row for row in (*others, *rows) if row["model"] == "snn"
    }
    for row in rows:
        snn = spiking[row["dt_us"], row["steps"]]
        row["energy_ratios"] = _ratios(row["total"]["energy_nj"], snn["total"]["energy_nj"])
        pooled = snn["pools_first"]
        if pooled is not None and row is snn:
            _span(pooled, pooled, [snn["total"]])
        _span(row, row["total"], [snn["total"], *([pooled] if pooled and row is not snn else [])])


def _span(row: Document, own: Document, readings: Sequence[Document]) -> None:
    """Note the ranges of the ratios of energies to any of some readings of the SNN."""

    at, every = {}, list[float]()
    for width in (*WIDTHS, "as trained"):
        ratios = [
            ratio
            for reading in readings
            for ratio in _ratios(_energies(own, width), _energies(reading, width)).values()
        ]
        at[width] = _range(ratios)
        every += ratios
    row["energy_ratio_range_at"], row["energy_ratio_range"] = at, _range(every)


def _energies(total: Document, width: str) -> Document:
    found: Document = total["energy_nj"] if width == "as trained" else total["energy_nj_at"][width]
    return found


def _range(ratios: Sequence[float]) -> list[float] | None:
    return [min(ratios), max(ratios)] if ratios else None


def _ratios(own: Document, snn: Document) -> Document:
    return {name: own[name] / snn[name] for name in own if own[name] is not None and snn[name]}


def equal_accuracy(rows: Sequence[Document], model: str) -> Document:
    """Return what each model needs to be as accurate as the least accurate of them at its best.

    Of the grid points at which a model's mean validation accuracy is no lower than that, the one
    with the lowest energy by one model. Nothing is chosen on the test set.
    """

    def reached(combination: tuple[str, str], accuracy: float) -> list[Document]:
        return [
            row
            for row in rows
            if (row["model"], row["loss"]) == combination and row["validation_accuracy"] >= accuracy
        ]

    best = [
        max(row["validation_accuracy"] for row in reached(combination, 0.0))
        for combination in COMBINATIONS
    ]
    target = min(best)
    cheapest = [
        min(reached(combination, target), key=lambda row: row["total"]["energy_nj"][model])
        for combination in COMBINATIONS
    ]
    return {"validation_accuracy": target, "rows": cheapest}


def _matrix(
    plan: Plan, cells: Sequence[Document], combination: tuple[str, str]
) -> list[list[float]]:
    """Return mean accuracies, trained at (rows) and tested at (columns) each grid point."""
    matrix = []
    for trained in plan.points():
        group = _select(cells, combination, trained)
        matrix.append(
            [
                statistics.fmean(cell["tests"][column]["accuracy"] for cell in group)
                for column in range(len(plan.points()))
            ]
        )
    return matrix


COLUMNS = (
    "model", "loss", "structure", "dt_us", "steps", "seed", "same_structure", "parameters",
    "learning_rate", "best_epoch", "validation_accuracy", "test_accuracy", "events",
    "events_merged",
)  # fmt: skip


def csv_rows(cells: Sequence[Document], events: Sequence[Document]) -> list[list[Any]]:
    """Return a table of all cells, the header first; counts and events are means per sample."""
    seen = {(each["dt_us"], each["steps"]): each for each in events}
    counts = sorted({name for cell in cells for name in cell["operations"]["total"]} - {"name"})
    rows: list[list[Any]] = [[*COLUMNS, *counts]]
    for cell in cells:
        flat = {**cell, **cell["training"], **seen[cell["dt_us"], cell["steps"]]}
        total, samples = cell["operations"]["total"], cell["operations"]["samples"]
        means = [total[name] / samples if name in total else "" for name in counts]
        rows.append([*(flat[name] for name in COLUMNS), *means])
    return rows
