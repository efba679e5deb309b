"""Finished cells -> what the report says: means over seeds, intervals, energies, equal terms.

In: the documents of cells. Out: plain dictionaries and lists, which are results.json, the CSV and
the numbers behind every table and plot.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .plan import COMBINATIONS, Plan, Point

if TYPE_CHECKING:
    from eventsim.energy import EnergyModel
    from eventsim.operations import CountedLayer

    Models = tuple[EnergyModel, ...]

Document = dict[str, Any]


def wilson(correct: float, samples: int) -> tuple[float, float]:
    """Return the 95 % interval of Wilson (1927) for a share of correct answers."""
    from scipy.stats import norm

    z = float(norm.ppf(0.975))
    share = correct / samples
    middle = (share + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = (
        z / (1 + z**2 / samples) * (share * (1 - share) / samples + z**2 / (4 * samples**2)) ** 0.5
    )
    return middle - half, middle + half


def summarise(plan: Plan, cells: Sequence[Document], models: Models) -> Document:
    """Return the tables of a report; `cells` are those of the plan, all of them."""
    grid = [cell for cell in cells if not cell["equal_parameters"]]
    rows = [
        _row(group, models)
        for point in plan.points()
        for combination in COMBINATIONS
        if (group := _select(grid, combination, point))
    ]
    scaled = [cell for cell in cells if cell["equal_parameters"]]
    small = [
        _row(group, models)
        for combination in COMBINATIONS
        if (group := _select(scaled, combination, plan.middle()))
    ]
    _compare_energies(rows)
    _compare_energies(small, rows)
    return {
        "rows": rows,
        "equal_parameters": small,
        "equal_accuracy": equal_accuracy(rows, models[0].name),
        "generalisation": [
            {"model": model, "loss": loss, "matrix": _matrix(plan, grid, (model, loss))}
            for model, loss in COMBINATIONS
        ],
    }


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
        "wilson_95": [low, high],
        "validation_accuracy": statistics.fmean(
            cell["training"]["validation_accuracy"] for cell in group
        ),
        "weight_bytes": 4 * first["operations"]["weights"],
        "state_bytes": 4 * first["operations"]["state"],
        **_per_sample(group, models),
    }


def _per_sample(group: Sequence[Document], models: Models) -> Document:
    """Return mean counts and energies a sample, over the test recordings of all seeds."""
    from eventsim.energy import Footprint

    from ..energies import Energies

    samples = sum(cell["operations"]["samples"] for cell in group)
    counted = _operations(group)
    first = group[0]["operations"]
    energies = Energies(models, Footprint(first["weights"], first["state"]))

    def mean_of(layer: CountedLayer) -> Document:
        counts: Any = layer.as_dict()
        mean = {name: n / samples for name, n in counts.items() if name != "name"}
        energy = {
            name: None if pj is None else pj / samples / 1e3
            for name, pj in energies.of(layer).items()
        }
        return {"name": layer.name, **mean, "energy_nj": energy}

    layers, total = [mean_of(layer) for layer in counted.layers], mean_of(counted.total)
    return {"layers": layers, "total": total, **_rates(group, samples, layers, total)}


def _operations(group: Sequence[Document]) -> Any:
    """Return the sum of the counts of cells, as the engine or `counting.py` holds them."""
    from eventsim.operations import LayerOperations, Operations
    from eventsim_bridge.counting import RecurrentLayerOperations, RecurrentOperations

    kinds: tuple[Any, Any] = (RecurrentOperations, RecurrentLayerOperations)
    if group[0]["model"] == "snn":
        kinds = (Operations, LayerOperations)
    names = [field.name for field in fields(kinds[1])]
    return kinds[0].sum(
        kinds[0](
            tuple(
                kinds[1](**{name: layer[name] for name in names})
                for layer in cell["operations"]["layers"]
            )
        )
        for cell in group
    )


def _mean(counted: Sequence[Document], samples: int) -> Document:
    return {name: sum(cell[name] for cell in counted) / samples for name in counted[0]}


def _rates(
    group: Sequence[Document], samples: int, layers: Sequence[Document], total: Document
) -> Document:
    """Return what only an SNN has."""
    cell = group[0]
    if cell["model"] != "snn":
        return {}
    sizes, steps = cell["operations"]["neurons"], cell["steps"]
    rates = [
        layer["output_spikes"] / (size * steps) for layer, size in zip(layers, sizes, strict=True)
    ]
    rate = total["output_spikes"] / (sum(sizes) * steps)
    pooled = [cell["operations"]["pools_first"] for cell in group]
    return {
        "pools_first": None if None in pooled else _mean(pooled, samples),
        "firing_rates": rates,
        "firing_rate": rate,
        # Operations that a weight of the network takes part in, per inference.
        "spikes_per_synapse": total["sops"] / cell["training"]["parameters"],
        # What is usually taken for the operations of an SNN, without a simulation.
        "usual_estimate": total["dense_macs"] * rate,
    }


def _compare_energies(rows: Sequence[Document], others: Sequence[Document] = ()) -> None:
    """Add to each row its energies as multiples of the SNN's at the same grid point."""
    spiking = {
        (row["dt_us"], row["steps"]): row["total"]["energy_nj"]
        for row in (*others, *rows)
        if row["model"] == "snn"
    }
    for row in rows:
        own, snn = row["total"]["energy_nj"], spiking[row["dt_us"], row["steps"]]
        row["energy_ratios"] = {
            name: own[name] / snn[name] for name in own if own[name] is not None and snn[name]
        }


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
    "model", "loss", "structure", "dt_us", "steps", "seed", "equal_parameters", "parameters",
    "learning_rate", "best_epoch", "validation_accuracy", "test_accuracy",
)  # fmt: skip


def csv_rows(cells: Sequence[Document]) -> list[list[Any]]:
    """Return a table of all cells, the header first; counts are means per sample."""
    counts = sorted({name for cell in cells for name in cell["operations"]["total"]} - {"name"})
    rows: list[list[Any]] = [[*COLUMNS, *counts]]
    for cell in cells:
        flat = {**cell, **cell["training"]}
        total, samples = cell["operations"]["total"], cell["operations"]["samples"]
        means = [total[name] / samples if name in total else "" for name in counts]
        rows.append([*(flat[name] for name in COLUMNS), *means])
    return rows
