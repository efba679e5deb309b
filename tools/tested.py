"""The test split of a data set: run it, note how a network does on it, and save the network.

In: a network or a model that was trained, and its data set. Called by `train` and `demo`; the
former turns a network into a chip's integers here as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import count_correct, progress_bar

if TYPE_CHECKING:
    from rich.console import Console

    from eventsim import Network, Result
    from eventsim_bridge.datasets import DataSet
    from eventsim_bridge.training.loop import Trained


def save_tested(network: Network, dataset: DataSet, out: Path) -> Network:
    """Simulate the test split, note its accuracy in the provenance, and save the network."""
    import eventsim as es

    results = simulate_test_split(network, dataset)
    if results:
        accuracy = count_correct(results, dataset.test.labels) / len(results)
        noted = {"test_accuracy": accuracy, "test_recordings": len(results)}
        network = replace(network, provenance={**network.provenance, **noted})
    es.save_network(network, out)
    return network


def save_tested_model(trained: Trained, dataset: DataSet, out: Path) -> dict[str, Any]:
    """Run the test split in torch, and save the model; return its accuracy, where there is one."""
    from eventsim_bridge.data.frames import bin_split
    from eventsim_bridge.training.evaluation import evaluate
    from eventsim_bridge.training.model_files import save_model

    noted: dict[str, Any] = {}
    settings = trained.settings
    if len(dataset.test):
        with progress_bar("testing", len(dataset.test)) as advance:
            recordings = bin_split(
                dataset.test, settings.dt_us, settings.steps,
                encoding=settings.encoding, progress=advance,
            )  # fmt: skip
        judged = evaluate(trained.model, recordings, loss=settings.loss_name)
        noted = {"test_accuracy": judged.accuracy, "test_recordings": len(recordings)}
    save_model(trained, out, noted)
    return noted


def simulate_test_split(network: Network, dataset: DataSet) -> list[Result]:
    """Run every recording of the test split event by event."""
    import eventsim as es

    with progress_bar("simulating", len(dataset.test)) as advance:
        return es.simulate_batch(network, (events for events, _ in dataset.test), progress=advance)


def in_fixed_point(trained: Trained, dataset: DataSet, says: Console) -> Network:
    """Return the network in fixed point, and say what that costs on validation and test."""
    from eventsim_bridge.training.fixed_point import STEPS, choose_fixed_point, judge
    from eventsim_bridge.training.loop import split_validation

    settings, part, network = trained.settings, dataset.train, trained.network()
    _, indices = split_validation(part.labels, settings.validation_share, settings.seed, part.users)
    recordings = [part[int(index)][0] for index in indices]
    labels = [int(label) for label in part.labels[indices]]
    tries = len(network.neuron_layers) * (len(STEPS) - 1)
    with progress_bar("choosing scales", tries) as advance:
        found = choose_fixed_point(network, recordings, labels, lambda: advance(1))
    compared = {"validation": (found.before, found.after)}
    if len(dataset.test):
        tests = [events for events, _ in dataset.test]
        both = (judge(one, tests, dataset.test.labels.tolist()) for one in (network, found.network))
        compared["test"] = tuple(both)  # type: ignore[assignment]
    noted: dict[str, Any] = {"arithmetic": "loihi", "scales": [list(s) for s in found.scales]}
    for name, (before, after) in compared.items():
        noted[name] = {"before": before.as_dict(), "after": after.as_dict()}
        says.print(
            f"In fixed point, {name}: accuracy {before.accuracy:.2%} -> {after.accuracy:.2%}, "
            f"spikes a recording {before.spikes:,.1f} -> {after.spikes:,.1f}, SOPs "
            f"{before.sops:,.0f} -> {after.sops:,.0f}",
            highlight=False,
        )
    return replace(found.network, provenance={**network.provenance, "fixed_point": noted})
