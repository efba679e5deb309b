"""`eventsim bench --workload budgets` and `int8`: what networks lose by fewer operations or bits.

Both train networks from the start, with several seeds, and test them in the engine, which counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import eventsim as es
from eventsim_bridge.datasets import DataSet, DataSetError, open_dataset
from eventsim_bridge.training.loop import Trained, train
from eventsim_bridge.training.settings import TrainingSettings

from ..report import notes, progress_bar

SHARES = (1.0, 0.5, 0.25, 0.1)  # of what the free network takes behind its first layer
SEEDS = (0, 1, 2)


class Case(NamedTuple):
    """A data set, and the settings that its networks are trained with."""

    data: str
    settings: TrainingSettings


BUDGET_CASES = (
    Case("nmnist", TrainingSettings("256FC-256FC-10", 10_000, 15)),
    Case("digits", TrainingSettings("256FC-256FC-10", 10_000, 30)),
)
INT8_CASES = (
    Case("nmnist", TrainingSettings("512FC-10", 10_000, 15)),
    Case("digits", TrainingSettings("512FC-10", 10_000, 30, epochs=8)),
)


def measure_budgets(root: Path | None) -> dict[str, Any]:
    """Train free networks, and others on shares of their operations; cases without data are left.

    Raises `DataSetError` where there are recordings for none.
    """
    return _cases(BUDGET_CASES, root, len(SHARES) + 1, _budgets)


def measure_int8(root: Path | None) -> dict[str, Any]:
    """Train networks, round them to int8, and train others for it; likewise."""
    return _cases(INT8_CASES, root, 2, _int8)


def _cases(
    cases: tuple[Case, ...], root: Path | None, trainings: int, measure: Callable[..., Any]
) -> dict[str, Any]:
    found = []
    for case in cases:
        try:
            dataset = open_dataset(case.data, root if case.data == "nmnist" else None)
        except DataSetError as error:
            notes.print(f"{case.data} is left out: {error}", highlight=False)
            continue
        settings = case.settings
        with progress_bar(f"{case.data}, {settings.structure}", trainings * len(SEEDS)) as done:
            runs = [
                run
                for seed in SEEDS
                for run in measure(dataset, replace(settings, seed=seed), done)
            ]
        found.append(
            {
                "data": case.data, "structure": settings.structure, "dt_us": settings.dt_us,
                "steps": settings.steps, "epochs": settings.epochs,
                "test_recordings": len(dataset.test), "runs": runs,
            }
        )  # fmt: skip
    if not found:
        raise DataSetError("there are recordings for none of the cases")
    return {"cases": found}


def _budgets(
    dataset: DataSet, settings: TrainingSettings, done: Callable[[int], None]
) -> list[dict[str, Any]]:
    free = train(dataset, settings, progress=False)
    done(1)
    runs = [_judged(free, dataset, free.network(), None)]
    first, *behind = free.best.validation_sops
    for share in SHARES:
        budget = max(1, int(first + share * sum(behind)))
        limited = train(dataset, replace(settings, sop_budget=budget), progress=False)
        done(1)
        runs.append(_judged(limited, dataset, limited.network(), share))
    return runs


def _judged(
    trained: Trained, dataset: DataSet, network: es.Network, share: float | None
) -> dict[str, Any]:
    results = _tested(network, dataset)
    sops = np.array([[layer.sops for layer in one.operations.layers] for one in results])
    best, budget = trained.best, trained.settings.sop_budget
    return {
        "seed": trained.settings.seed,
        "share": share,
        "budget": budget,
        "within": best.is_within(budget),
        "validation_accuracy": best.validation_accuracy,
        "validation_sops": list(best.validation_sops),
        "test_accuracy": _accuracy(results, dataset),
        "test_sops": sops.mean(axis=0).tolist(),
    }


def _int8(
    dataset: DataSet, settings: TrainingSettings, done: Callable[[int], None]
) -> list[dict[str, Any]]:
    runs = []
    for weights in ("float32", "int8"):
        trained = train(dataset, replace(settings, weights=weights), progress=False)
        done(1)
        exact = trained.network()
        narrow = es.round_weights(exact, "int8")
        exact_results, narrow_results = (_tested(one, dataset) for one in (exact, narrow))
        pairs = list(zip(exact_results, narrow_results, strict=True))
        runs.append(
            {
                "seed": settings.seed,
                "trained_for": weights,
                "validation_accuracy": trained.best.validation_accuracy,
                "validation_loss": trained.best.validation_loss,
                "test_accuracy": _accuracy(exact_results, dataset),
                "test_accuracy_int8": _accuracy(narrow_results, dataset),
                "test_loss": _loss(exact_results, dataset),
                "test_loss_int8": _loss(narrow_results, dataset),
                "predictions_changed": sum(a.prediction != b.prediction for a, b in pairs),
                "spikes_moved": _moved(pairs),
            }
        )
    return runs


def _tested(network: es.Network, dataset: DataSet) -> list[es.Result]:
    numbers = range(len(dataset.test))
    return [es.simulate(network, dataset.test[n][0], record_spikes=True) for n in numbers]


def _accuracy(results: list[es.Result], dataset: DataSet) -> float:
    labels = dataset.test.labels
    hits = [result.prediction == label for result, label in zip(results, labels, strict=True)]
    return float(np.mean(hits))


def _loss(results: list[es.Result], dataset: DataSet) -> float:
    """Return the loss of training: mean squared distance of firing rates from the one-hot label."""
    rates = np.array([result.spike_counts / result.steps for result in results])
    wanted = np.eye(rates.shape[1])[dataset.test.labels]
    return float(((rates - wanted) ** 2).mean())


def _moved(pairs: list[tuple[es.Result, es.Result]]) -> float:
    """Return the spikes that only one of two runs has, over those of the first."""
    moved = total = 0
    for one, other in pairs:
        assert one.spikes is not None
        assert other.spikes is not None
        for before, after in zip(one.spikes, other.spikes, strict=True):
            moved += len(set(map(tuple, before.tolist())) ^ set(map(tuple, after.tolist())))
            total += len(before)
    return moved / max(total, 1)
