"""`eventsim compare`: SNN, vanilla RNN, LSTM and quantised ANN, with operations measured."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..cluster import run_on_cluster
from ..energies import ENERGY_HELP, chosen_models
from ..options import ClusterOption, DownloadOption, Parting, with_options
from ..reading import Reading
from ..report import (
    console,
    fits,
    new_table,
    notes,
    progress_bar,
    say_when_compiling,
    short_count,
    waiting,
    write_json,
)

if TYPE_CHECKING:
    from .cells import Finished
    from .parts import Plot
    from .plan import Cell, Plan
    from .store import Store

# As in He et al. 2020: T = 15 on N-MNIST, 60 on DVS Gesture.
STEPS = {"digits": 15, "nmnist": 15, "dvsgesture": 60, "gestures": 60}
DT_US = {"digits": 20_000, "nmnist": 20_000, "dvsgesture": 20_000, "gestures": 25_000}


@with_options
def compare(
    data: Annotated[
        str, typer.Option(help="Data set: digits, gestures, nmnist, dvsgesture, folder, ...")
    ],
    structure: Annotated[
        str, typer.Option(help='Of SNN and ANN, such as "512FC-10"; RNN and LSTM are scaled.')
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to, and to go on in.")],
    *,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    download: DownloadOption = False,
    parting: Parting,
    reading: Reading,
    dt_us: Annotated[
        list[int] | None, typer.Option(help="Microseconds a timestep; more than once for a sweep.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Timesteps at each; 15, or 60 for gestures, if not given.")
    ] = None,
    duration_us: Annotated[
        int | None, typer.Option(help="Also as many timesteps as fit into so many microseconds.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each model.")] = 1,
    epochs: Annotated[int, typer.Option(help="Passes over the training set.")] = 20,
    batch_size: Annotated[int, typer.Option(help="Recordings a step of the optimiser.")] = 20,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Of Adam, 1.5e-4, 5e-4, 1.5e-3 if not given; of several, each kind of model takes "
            "its best at each grid point.",
            show_default=False,
        ),
    ] = None,
    same_structure: Annotated[
        bool,
        typer.Option(
            "--same-structure",
            help="Also RNN and LSTM of the SNN's structure, not scaled to its parameters.",
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Use only the first N recordings of each split.", min=1)
    ] = None,
    energy: Annotated[str, typer.Option(help=ENERGY_HELP, metavar="MODELS")] = "all",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="For training.")] = "auto",
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Products of training in bfloat16.")
    ] = False,
    cluster: ClusterOption = None,
) -> None:
    """Train SNN, RNN, LSTM and ANN alike, test them, count what they execute, write a report.

    Writes results.json, results.csv, report.html and paper/ (its figures and tables) to OUT.
    A killed run goes on in the same OUT.
    """
    with waiting("loading torch"):
        from .cells import open_data
        from .plan import LEARNING_RATES, Plan
        from .store import Store

    if cluster is not None:
        import distributed  # noqa: F401  before the work: it is an extra
    plan = Plan(
        data,
        structure,
        tuple(dt_us or [DT_US.get(data, 20_000)]),
        STEPS.get(data, 15) if steps is None else steps,
        root=None if root is None else str(root),
        duration_us=duration_us,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rates=tuple(learning_rate or LEARNING_RATES),
        mixed_precision=mixed_precision,
        same_structure=same_structure,
        limit=limit,
        parting=parting,
        reading=reading,
    )
    if download:
        reading.data_set(data, root, parting, download=True)
    models = chosen_models(energy)
    dataset = open_data(plan)
    plan.check_memory(dataset.sensor.input_shape)
    store = Store(out, plan, _digest(dataset))
    cells = plan.cells(dataset.sensor.input_shape)
    say_when_compiling()
    _run_all(plan, cells, store, cluster, device)
    results = _results(plan, cells, store, models)
    _write(plan, results, store, out)
    console.print(_table(results))
    console.print(
        f"Wrote {out / 'report.html'}, results.json, results.csv and paper/", highlight=False
    )
    notes.print("Next: open the report in a browser; docs/compare.md says how to read it.")


def _digest(dataset: Any) -> str:
    """Return a hash that tells the recordings apart from others of the same data set's name."""
    digest = hashlib.sha256(repr((dataset.name, dataset.class_names)).encode())
    for split in (dataset.train, dataset.test):
        digest.update(repr(split.names).encode())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()[:16]


def _run_all(plan: Plan, cells: list[Cell], store: Store, cluster: str | None, device: str) -> None:
    """Run the cells that are not finished, here or on a cluster; first those that try rates."""
    from .cells import Todo, run_cell

    trainings = sum(map(plan.trainings, cells))
    rates = len(plan.learning_rates)
    tried = f": with seed 0 each tries {rates} learning rates" if rates > 1 else ""
    notes.print(f"{len(cells)} models, {trainings} trainings{tried}", highlight=False)
    with progress_bar("trainings", trainings) as advance:

        def done(todo: Todo, finished: Finished) -> None:
            store.save(todo.cell, finished)
            accuracy = finished.document["test_accuracy"]
            rate = finished.document["training"]["learning_rate"]
            notes.print(
                f"{todo.cell.name}: test accuracy {accuracy:.2%}, learning rate {rate:g}",
                highlight=False,
            )
            advance(plan.trainings(todo.cell))

        for tries in (True, False):
            part = [cell for cell in cells if plan.tries(cell) == tries]
            todo = [
                Todo(cell, store.learning_rate(cell), left)
                for cell in part
                if not _is_done(plan, left := store.load(cell))
            ]
            left_over = [one.cell for one in todo]
            advance(sum(plan.trainings(cell) for cell in part if cell not in left_over))
            if cluster is not None and todo:
                run_on_cluster(cluster, partial(run_cell, plan), todo, done)
                continue
            for one in todo:
                checkpoint = store.checkpoint(one.cell)
                done(one, run_cell(plan, one, checkpoint=checkpoint, device=device))


def _is_done(plan: Plan, left: Finished | None) -> bool:
    """Tell whether a cell is tested at all grid points of the plan."""
    if left is None:
        return False
    tested = [(test["dt_us"], test["steps"]) for test in left.document["tests"]]
    return tested == [tuple(point) for point in plan.points()]


def _results(plan: Plan, cells: list[Cell], store: Store, models: Any) -> dict[str, Any]:
    """Return the document of results.json: the same for the same plan, whatever happened."""
    import numpy
    import torch

    from .cells import open_data, test_events, test_recordings
    from .contrast import temporal_contrast
    from .summary import summarise

    documents = []
    for cell in cells:
        left = store.load(cell)
        assert left is not None
        documents.append(left.document)
    dataset = open_data(plan)
    events = [{**point._asdict(), **test_events(plan, point)} for point in plan.points()]
    return {
        "plan": plan.as_dict(),
        "versions": {"torch": str(torch.__version__), "numpy": numpy.__version__},
        "energy_models": [
            {name: getattr(model, name) for name in ("name", "title", "source", "leaves_out")}
            for model in models
        ],
        "training_recordings": len(dataset.train),
        "test_recordings": len(dataset.test),
        "labels": [int(label) for label in dataset.test.labels],
        "contrast": [
            {**point._asdict(), **temporal_contrast(test_recordings(plan, point, "binary"))}
            for point in plan.points()
        ],
        "events": events,
        "summary": summarise(plan, documents, models, events),
        "cells": documents,
    }


def _write(plan: Plan, results: dict[str, Any], store: Store, out: Path) -> None:
    from eventsim.files import replacing

    from .parts import write_files
    from .report import report_of
    from .summary import csv_rows

    write_json(results, out / "results.json")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(csv_rows(results["cells"], results["events"]))
    with replacing(out / "results.csv") as file:
        file.write(text.getvalue().encode())
    html, parts = report_of(plan, results, _features(plan, results, store))
    with replacing(out / "report.html") as file:
        file.write(html.encode())
    write_files(parts, out / "paper")


def _features(plan: Plan, results: dict[str, Any], store: Store) -> Plot:
    """Draw the features of the models of seed 0 at the middle grid point."""
    import numpy as np

    from eventsim_bridge.training.model_files import load_model

    from .cells import test_recordings
    from .features import draw_features
    from .plan import COMBINATIONS, Cell, encoding_of

    middle = plan.middle()
    models = []
    for model, loss in COMBINATIONS:
        if loss == "rate-inspired":
            continue
        cell = Cell(model, loss, middle, 0, plan.structure)
        frames = test_recordings(plan, middle, encoding_of(model)).frames(np.array([0]))
        models.append(
            ({"model": model, "loss": loss}, load_model(store.path(cell, ".pt")).model, frames)
        )
    return draw_features(models)


def _table(results: dict[str, Any]) -> Any:
    """Return a row for each model and grid point; on a narrow screen events are left out."""
    whole = _table_with(results, lambda number: f"{number:,.0f}", events=True)
    return whole if fits(whole) else _table_with(results, short_count, events=False)


def _table_with(results: dict[str, Any], written: Callable[[float], str], events: bool) -> Any:
    from .drawing import label_of
    from .page import events_of, sensitivity

    first = results["energy_models"][0]["name"]
    counts = ["ACs", "MACs", f"nJ, {first}", "times the SNN's, all models"]
    table = new_table(
        "Mean over seeds and test recordings",
        ["model, loss"],
        ["dt (ms) x T", "accuracy", *(["events, merged"] if events else []), *counts],
    )
    for row in results["summary"]["rows"]:
        total = row["total"]
        macs = total["macs"] + total.get("recurrent_macs", 0)
        numbers = (total["acs"], macs, total["energy_nj"][first])
        table.add_row(
            label_of(row),
            f"{row['dt_us'] / 1000:g} x {row['steps']}",
            f"{row['accuracy']:.2%}",
            *([events_of(row)] if events else []),
            *("-" if number is None else written(number) for number in numbers),
            sensitivity(row),
        )
    return table
