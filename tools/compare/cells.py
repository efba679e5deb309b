"""One cell of a comparison: train, test at every grid point, count the operations of each sample.

In: a plan and a cell. Out: `Finished`, a document for JSON and the trained model as a file's bytes.
The test set is read after training alone, and decides nothing.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .plan import Cell, Plan, Point, root_path

if TYPE_CHECKING:
    from eventsim import Network
    from eventsim.energy import Footprint
    from eventsim.events.arrays import InputEncoding
    from eventsim_bridge.data.frames import Recordings
    from eventsim_bridge.datasets import DataSet
    from eventsim_bridge.training.loop import Trained
    from eventsim_bridge.training.settings import TrainingSettings

TEST_BATCH = 20


class Finished(NamedTuple):
    """What a cell leaves behind."""

    document: dict[str, Any]
    model: bytes


class Todo(NamedTuple):
    """A cell to run.

    rate: the learning rate; None where the cell tries all of the plan. earlier: what the cell left
    when the plan had other grid points; it is tested again, not trained.
    """

    cell: Cell
    rate: float | None
    earlier: Finished | None


@lru_cache(maxsize=1)
def open_data(plan: Plan) -> DataSet:
    """Open the data set of a plan, cut to its limit."""
    from eventsim_bridge.datasets import DataSetError

    data = plan.reading.data_set(plan.data, root_path(plan), plan.parting)
    dataset = plan.reading.resized(data)
    if plan.limit is not None:
        train, test = (
            replace(
                split,
                names=split.names[: plan.limit],
                labels=split.labels[: plan.limit],
                identity=None,  # that of the whole split
                users=split.users and split.users[: plan.limit],
            )
            for split in (dataset.train, dataset.test)
        )
        dataset = replace(dataset, train=train, test=test)
    if not len(dataset.test):
        raise DataSetError(f"data set {plan.data} has no test recordings, expected some to compare")
    return dataset


@cache
def test_recordings(plan: Plan, point: Point, encoding: InputEncoding) -> Recordings:
    """Return the test split on a grid; a process keeps all grids of its plan."""
    from eventsim_bridge.data.frames import bin_split

    return bin_split(open_data(plan).test, *point, encoding=encoding)


def test_events(plan: Plan, point: Point) -> dict[str, float]:
    """Return the events of a test recording on a grid, and how many of them share a cell."""
    import eventsim as es

    dataset = open_data(plan)
    shape = dataset.sensor.input_shape
    binned = [es.bin_events(events, shape, *point) for events, _ in dataset.test]
    seen = sum(one.events - one.early - one.late for one in binned)
    merged = sum(one.merged for one in binned)
    return {"events": seen / len(binned), "events_merged": merged / len(binned)}


def run_cell(
    plan: Plan, todo: Todo, *, checkpoint: Path | None = None, device: str = "auto"
) -> Finished:
    """Train, test and count.

    `checkpoint`: a file's path without its end; trainings that are cut off go on there.
    """
    cell = todo.cell
    earlier = todo.earlier or _train_best(plan, todo, checkpoint, device)
    document = {
        "model": cell.model,
        "loss": cell.loss,
        "dt_us": cell.point.dt_us,
        "steps": cell.point.steps,
        "seed": cell.seed,
        "structure": cell.structure,
        "same_structure": cell.same_structure,
        "training": earlier.document["training"],
        **_test(plan, cell, earlier.model),
    }
    return Finished(document, earlier.model)


def _train_best(plan: Plan, todo: Todo, checkpoint: Path | None, device: str) -> Finished:
    """Train with each learning rate; return the best by validation, of equals the first."""
    from eventsim_bridge.training.loop import train

    tried: list[Trained] = []
    rates = (todo.rate,) if todo.rate is not None else plan.learning_rates
    for rate in rates:
        at = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}-{rate}.pt")
        settings, chosen = plan.settings(todo.cell, rate), cast("Any", device)
        tried.append(train(open_data(plan), settings, checkpoint=at, progress=False, device=chosen))
    best = max(tried, key=lambda trained: trained.best.merit(None))
    training = {
        "parameters": sum(p.numel() for p in best.model.parameters()),
        "learning_rate": best.settings.learning_rate,
        "tried": [] if todo.rate is not None else [_rate_tried(trained) for trained in tried],
        "best_epoch": best.best.epoch,
        "validation_accuracy": best.best.validation_accuracy,
        "validation_recordings": best.validation_recordings,
        "history": [epoch._asdict() for epoch in best.history],
    }
    return Finished({"training": training}, _model_file(best))


def _rate_tried(trained: Trained) -> dict[str, float]:
    best = trained.best
    return {
        "learning_rate": trained.settings.learning_rate,
        "validation_accuracy": best.validation_accuracy,
        "validation_loss": best.validation_loss,
    }


def _test(plan: Plan, cell: Cell, file: bytes) -> dict[str, Any]:
    """Test at every grid point, and count at the cell's own."""
    model, settings = _load(file)
    tests = []
    for point in plan.points():
        run = _run_spiking if cell.model == "snn" else _run_in_torch
        predicted, counts = run(plan, model, settings, point, point == cell.point)
        labels = open_data(plan).test.labels
        tests.append(
            {
                **point._asdict(),
                "accuracy": float((predicted == labels).mean()),
                "predictions": [int(label) for label in predicted],
            }
        )
        if counts is not None:
            own = {"test_accuracy": tests[-1]["accuracy"], "operations": counts}
    return {**own, "tests": tests}


def _run_spiking(
    plan: Plan, model: Any, settings: TrainingSettings, point: Point, count: bool
) -> tuple[Any, dict[str, Any] | None]:
    """Return predictions, and counts: all of the engine, spike by spike."""
    import numpy as np

    import eventsim as es
    from eventsim.energy import footprint
    from eventsim_bridge.models import export_network

    network = export_network(
        model, dt_us=point.dt_us, steps=point.steps, input_encoding=settings.encoding
    )
    results = es.simulate_batch(network, (events for events, _ in open_data(plan).test))
    predicted = np.array([result.prediction for result in results])
    if not count:
        return predicted, None
    total = es.Operations.sum(result.operations for result in results)
    neurons = [math.prod(network.shapes[index + 1]) for index in network.neuron_layers]
    counts = _counts(total, len(results), footprint(network))
    return predicted, {**counts, "neurons": neurons, "pools_first": _pools_first(plan, network)}


def _pools_first(plan: Plan, network: Network) -> list[dict[str, int]] | None:
    """Return what each layer takes where pools come first; None without such pools."""
    from dataclasses import asdict

    import eventsim as es
    from eventsim_bridge.readings import PoolsFirst, pools_first

    if not any(isinstance(layer, es.AvgPool2d | es.SumPool2d) for layer in network.layers):
        return None
    total = [PoolsFirst(0, 0, 0) for _ in network.neuron_layers]
    for events, _ in open_data(plan).test:
        found = pools_first(network, events)
        total = [before + layer for before, layer in zip(total, found, strict=True)]
    return [asdict(layer) for layer in total]


def _run_in_torch(
    plan: Plan, model: Any, settings: TrainingSettings, point: Point, count: bool
) -> tuple[Any, dict[str, Any] | None]:
    """Return predictions, and counts: of torch, through hooks."""
    import numpy as np

    from eventsim_bridge import counting
    from eventsim_bridge.counting import frames
    from eventsim_bridge.training.evaluation import batches, predictions

    recordings = test_recordings(plan, point, settings.encoding)
    predicted = predictions(model, recordings, settings.loss_name, batch_size=TEST_BATCH)
    if not count:
        return predicted, None
    counter: Any = frames if settings.model == "ann" else counting
    counted = [
        operations
        for batch in batches(np.arange(len(recordings)), TEST_BATCH)
        for operations in counter.count_operations(
            model, recordings.frames(batch), loss=settings.loss_name
        )
    ]
    total = type(counted[0]).sum(counted)
    return predicted, _counts(total, len(counted), counter.footprint(model))


def _counts(total: Any, samples: int, footprint: Footprint) -> dict[str, Any]:
    """Return sums over the samples, exact, and the words that the model takes."""
    return {
        "samples": samples,
        "weights": footprint.weights,
        "state": footprint.state,
        "weight_bits": footprint.weight_bits,
        "layers": [layer.as_dict() for layer in total.layers],
        "total": total.total.as_dict(),
    }


def _model_file(trained: Trained) -> bytes:
    from eventsim_bridge.training.model_files import save_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        save_model(trained, path, {})
        return path.read_bytes()


def _load(file: bytes) -> tuple[Any, TrainingSettings]:
    from eventsim_bridge.training.model_files import load_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        path.write_bytes(file)
        loaded = load_model(path)
        return loaded.model, loaded.settings
