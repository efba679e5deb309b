"""`eventsim demo`: the main job from end to end on the embedded data set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .closing import say_next, say_share
from .pictures.options import draw_run
from .report import (
    agreement_table,
    console,
    operations_json,
    operations_table,
    progress_bar,
    say_when_compiling,
    waiting,
    write_json,
)
from .train import GRIDS, save_tested, simulate_test_split

if TYPE_CHECKING:
    from eventsim import Network, Result

STRUCTURE = "512FC-10"
EPOCHS = 6


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(help="Passes over the training set.", min=1)] = EPOCHS,
    seed: Annotated[int, typer.Option(help="Of weights, validation split and order.")] = 0,
) -> None:
    """Train, export, simulate event by event, compare with torch, count: on `digits`.

    Writes the network, a JSON and a picture to OUT. Takes a minute or so on two cores.
    """
    with waiting("loading torch"):
        import eventsim as es
        from eventsim_bridge.agreement import compare_spikes
        from eventsim_bridge.datasets import open_dataset
        from eventsim_bridge.training.loop import train
        from eventsim_bridge.training.settings import TrainingSettings

    say_when_compiling()
    out.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset("digits")
    console.print(
        f"1. Train {STRUCTURE} on {len(dataset.train)} recordings of `digits` "
        f"({epochs} epochs, {GRIDS['digits'].steps} timesteps of {GRIDS['digits'].dt_us} us)",
        highlight=False,
    )
    trained = train(
        dataset, TrainingSettings(STRUCTURE, *GRIDS["digits"], epochs=epochs, seed=seed)
    )
    file = out / "network.h5"
    network = save_tested(trained.network(), dataset, file)
    console.print(f"2. Export to {file}", highlight=False)

    network = es.load_network(file)
    start = time.perf_counter()
    results = simulate_test_split(network, dataset)
    seconds = time.perf_counter() - start
    console.print(
        f"3. Simulate {len(results)} test recordings event by event: "
        f"accuracy {network.provenance['test_accuracy']:.2%}, "
        f"{1e3 * seconds / len(results):.2f} ms a recording (reading included)",
        highlight=False,
    )
    with progress_bar("comparing", len(dataset.test)) as advance:
        recordings = (events for events, _ in dataset.test)
        agreement = compare_spikes(trained.spiking_model(), network, recordings, progress=advance)
    console.print("4. Compare with torch, spike by spike", highlight=False)
    console.print(agreement_table(agreement))
    console.print("5. Count", highlight=False)
    total = es.Operations.sum(result.operations for result in results)
    console.print(operations_table(total, results))

    write_json(
        _document(network, results, dataset.test.labels, agreement, seconds), out / "demo.json"
    )
    events, label = dataset.test[0]
    drawn = es.simulate(network, events, record_spikes=True)
    title = (
        f"{dataset.test.names[0]}: label {dataset.class_names[label]}, "
        f"answer {dataset.class_names[drawn.prediction]}"
    )
    draw_run(out / "demo.png", network, events, drawn, title)
    say_share(total)
    console.print(
        f"Wrote {file}, {out / 'demo.json'} and {out / 'demo.png'} (a picture to open).",
        highlight=False,
    )
    say_next(
        what_the_network_is=f"inspect {file}",
        energy_beside_a_dense_machine=f"run {file} --data digits --energy default",
    )


def _document(
    network: Network, results: list[Result], labels: Any, agreement: Any, seconds: float
) -> dict[str, Any]:
    return {
        "provenance": network.provenance,
        "samples": len(results),
        "accuracy": network.provenance["test_accuracy"],
        "predictions": [result.prediction for result in results],
        "labels": [int(label) for label in labels],
        "seconds": seconds,
        "agreement": agreement.as_dict(),
        "layers": operations_json([result.operations for result in results]),
    }
