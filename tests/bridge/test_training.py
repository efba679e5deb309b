"""Frames of a batch, and what a training learns, sees, keeps and refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from places import ROOT
from quadrants import (
    SETTINGS,
    SHAPE,
    assert_same_training,
    changed,
    numbers_of,
    quadrant_split,
    quadrants,
    weights_of,
)
from train_quadrants import shared_settings

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import Sensor
from eventsim.events.binning import bin_events
from eventsim.network.neurons import IF, LIF
from eventsim.simulator import simulate
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.data.frames import Recordings, bin_split
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.models import SpikingNetwork
from eventsim_bridge.models.layers import StructureError
from eventsim_bridge.training import loop as training
from eventsim_bridge.training.evaluation import Evaluation, evaluate, predictions
from eventsim_bridge.training.loop import split_validation, train
from eventsim_bridge.training.losses import error_of
from eventsim_bridge.training.settings import TrainingError, TrainingSettings


@pytest.mark.parametrize("encoding", ["binary", "counts"])
@pytest.mark.parametrize("polarities", [1, 2])
def test_frames_of_a_batch_are_those_of_the_engine(encoding: Any, polarities: int) -> None:
    split = quadrant_split(7)
    split.sensor = Sensor(8, 6, polarities)
    shape = (polarities, *SHAPE[1:])
    recordings = bin_split(split, 1500, 3, encoding=encoding)
    order = np.array([6, 0, 3])
    frames = recordings.frames(order)
    expected = [
        bin_events(split.recordings[i], shape, 1500, 3, encoding=encoding) for i in range(7)
    ]
    np.testing.assert_array_equal(frames.numpy(), [expected[i].frames() for i in order])
    assert encoding == "binary" or frames.max() > 1
    assert recordings.events == sum(binned.events for binned in expected)
    assert recordings.events_late == sum(binned.late for binned in expected) > 0
    assert recordings.frames(np.array([], np.int64)).shape == (0, 3, *shape)


def test_the_digest_tells_data_apart() -> None:
    one, two = quadrant_split(5), quadrant_split(5)
    digests = {bin_split(one, 1000, 6, encoding="counts").digest()}
    assert bin_split(two, 1000, 6, encoding="counts").digest() in digests
    two.recordings[3]["x"][0] ^= 1
    digests.add(bin_split(two, 1000, 6, encoding="counts").digest())
    two.labels[1] += 1
    digests.add(bin_split(two, 1000, 6, encoding="counts").digest())
    digests.add(bin_split(one, 1000, 6).digest())
    assert len(digests) == 4


def test_a_recording_that_does_not_fit_is_named() -> None:
    split = quadrant_split(5)
    split.recordings[3]["x"][2] = 8
    with pytest.raises(RecordingError, match=r"noise/3: event 2: x is 8"):
        bin_split(split, 1000, 6)


def test_training_learns_and_what_it_exports_knows_it_too() -> None:
    before = torch.random.get_rng_state()
    trained = train(quadrants(), changed(epochs=12), progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    assert trained.best.validation_accuracy >= 0.9
    assert trained.history[-1].loss < 0.6 * trained.history[0].loss
    assert trained.history[-1].accuracy > max(0.8, trained.history[0].accuracy)
    test = quadrant_split(40, seed=9)
    judged = evaluate(trained.model, bin_split(test, 1000, 6), batch_size=7)
    assert judged.accuracy >= 0.9
    network = trained.network()
    assert (network.dt_us, network.steps, network.class_names[3]) == (1000, 6, "se")
    hits = [simulate(network, events).prediction == label for events, label in test]
    assert np.mean(hits) == pytest.approx(judged.accuracy, abs=0.026)
    provenance = trained.provenance()
    assert provenance["settings"]["structure"] == "12FC-4"
    assert provenance["settings"]["neuron"]["decay"] == 0.3
    assert provenance["training_recordings"] + provenance["validation_recordings"] == 60


@pytest.mark.parametrize(
    ("model", "loss"),
    [("rnn", "last"), ("rnn", "rate-inspired"), ("lstm", "last"), ("lstm", "rate-inspired")],
)
@pytest.mark.parametrize("structure", ["12FC-4", "4C3-AP2-8FC-4"])
def test_recurrent_networks_learn(model: Any, loss: Any, structure: str) -> None:
    settings = changed(model=model, loss=loss, structure=structure, epochs=15)
    trained = train(quadrants(), settings, progress=False)
    assert trained.best.validation_accuracy >= 0.9
    test = bin_split(quadrant_split(40, seed=9), 1000, 6)
    judged = evaluate(trained.model, test, loss=loss)
    assert judged.accuracy >= 0.8
    predicted = predictions(trained.model, test, loss, batch_size=7)
    assert (predicted == test.labels).mean() == judged.accuracy
    assert trained.provenance()["settings"]["loss"] == loss
    with pytest.raises(TrainingError, match=f"model is '{model}', expected 'snn'"):
        trained.network()


@pytest.mark.parametrize("model", ["snn", "rnn", "lstm"])
def test_mixed_precision_rounds_products_and_keeps_states(model: Any) -> None:
    one, mixed = (
        train(quadrants(), changed(model=model, epochs=12, mixed_precision=m), progress=False)
        for m in (False, True)
    )
    assert mixed.best.validation_accuracy >= 0.8
    assert one.history != mixed.history
    assert {value.dtype for value in mixed.model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("model", ["snn", pytest.param("lstm", marks=pytest.mark.slow)])
def test_two_processes_train_what_one_trains(model: Any, tmp_path: Path) -> None:
    """As `torchrun` starts them; 54 recordings in batches of 8, so the last has 3 for each."""
    program = ROOT / "tests" / "helpers" / "train_quadrants.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    out = tmp_path / "two.pt"
    subprocess.run([*torchrun, "2", str(program), model, str(out)], check=True, timeout=300)
    alone = train(quadrants(), shared_settings(model), progress=False)
    two = torch.load(out, weights_only=True)
    assert not [name for name in two["threads"] if "gloo" in name], "they abort the process's end"
    assert [epoch[0] for epoch in two["history"]] == [1, 2, 3, 4, 5]
    found, expected = numbers_of(two["history"]), numbers_of(alone.history)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(two["model"][name], value, rtol=1e-3, atol=1e-4)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EventsimError, match=r"device is 'cuda'.*torch finds none"):
        train(quadrants(), SETTINGS, progress=False, device="cuda")


@pytest.mark.parametrize("neuron", [LIF(0.3, 0.3), IF(1.0, "subtract")])
def test_a_normalised_model_exports_its_own_spikes(neuron: Any) -> None:
    """Folded, the weights are rounded, so a spike may differ at the threshold and nowhere else."""
    settings = changed(
        structure="6C3-AP2-16FC-4", neuron=neuron, surrogate_width=0.5, batch_norm=True, epochs=8
    )
    trained = train(quadrants(), settings, progress=False)
    assert trained.best.validation_accuracy >= 0.8
    assert not trained.model.training
    network = trained.network()
    events = [recording for recording, _ in quadrant_split(40, seed=9)]
    agreement = compare_spikes(trained.model, network, events)
    assert all(layer.torch_spikes > 50 for layer in agreement.layers)
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing <= 2
    norms = [layer for layer in trained.model.modules() if hasattr(layer, "running_var")]
    assert len(norms) == 3
    assert all((norm.running_mean.abs() > 1e-3).any() for norm in norms)
    trained.model.train()  # a model in the middle of its training is compared as it exports
    again = compare_spikes(trained.model, network, events)
    assert again == agreement


def test_evaluation_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    model = SpikingNetwork("9FC-4", SHAPE)
    recordings = bin_split(quadrant_split(20), 1000, 6)
    whole, small = (evaluate(model, recordings, batch_size=size) for size in (20, 3))
    assert whole.accuracy == small.accuracy
    assert whole.loss == pytest.approx(small.loss, rel=1e-6)
    some = np.array([1, 5, 7])
    labels = torch.from_numpy(recordings.labels[some])
    expected = error_of(model(recordings.frames(some)), labels, "rate")
    assert evaluate(model, recordings, some).loss == pytest.approx(expected.item())


def test_each_epoch_sees_every_training_recording_once_in_an_order_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[NDArray[np.int64]] = []
    windows = Recordings.windows

    def noted(recordings: Recordings, indices: NDArray[np.int64], starts: Any) -> Any:
        seen.append(indices)
        return windows(recordings, indices, starts)

    monkeypatch.setattr(Recordings, "windows", noted)
    dataset, settings = quadrants(), changed(epochs=3)
    train(dataset, settings, progress=False)
    part, validation = split_validation(
        dataset.train.labels, settings.validation_share, settings.seed
    )
    done = np.concatenate(seen[-3 * 8 :]).reshape(3, -1)  # 7 batches and 1 for validation
    trained, judged = done[:, : len(part)], done[:, len(part) :]
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(trained[epoch]), part)
        np.testing.assert_array_equal(judged[epoch], validation)
        assert (trained[epoch] != trained[epoch - 1]).any()
    assert not np.isin(np.concatenate(seen[: -3 * 8]), validation).any()


def test_training_begins_anywhere_and_judges_from_the_first_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[list[tuple[int, int]]] = []
    windows, batches = Recordings.windows, training.batches

    def noted(recordings: Recordings, indices: Any, starts: Any) -> Any:
        if starts is not None:
            assert (starts <= np.maximum(recordings.lengths[indices] - 3, 0)).all()
            begun[-1] += zip(indices.tolist(), starts.tolist(), strict=True)
        return windows(recordings, indices, starts)

    def epoch(*arguments: Any) -> Any:
        begun.append([])
        return batches(*arguments)

    monkeypatch.setattr(Recordings, "windows", noted)
    monkeypatch.setattr(training, "batches", epoch)
    settings = changed(random_start=True, steps=3, epochs=2)
    trained = train(quadrants(), settings, progress=False)
    first, second = (dict(starts) for starts in begun)
    assert len(first) == len(second) == trained.training_recordings
    assert first != second
    assert set(first.values()) == {0, 1, 2, 3}
    begun.clear()
    assert_same_training(trained, train(quadrants(), settings, progress=False))
    assert [dict(starts) for starts in begun] == [first, second]
    begun.clear()
    train(quadrants(), changed(steps=3, epochs=2), progress=False)
    assert {start for starts in begun for _, start in starts} == {0}


def test_another_seed_trains_another_model() -> None:
    one, two = (train(quadrants(), changed(epochs=1, seed=s), progress=False) for s in (0, 1))
    assert any((a != b).any() for a, b in zip(weights_of(one), weights_of(two), strict=True))


def test_the_best_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracies and losses by hand: the third is the best, the last one better only in loss."""
    judged = [(0.5, 0.1), (0.8, 0.4), (0.8, 0.3), (0.8, 0.3), (0.7, 0.01)]
    weights: list[Any] = []

    def judge(model: Any, *arguments: Any, **more: Any) -> Any:
        accuracy, loss = judged[len(weights)]
        weights.append([parameter.detach().numpy().copy() for parameter in model.parameters()])
        return Evaluation(loss, accuracy)

    monkeypatch.setattr(training, "evaluate", judge)
    trained = train(quadrants(), SETTINGS, progress=False)
    assert trained.best.epoch == 3
    for a, b in zip(weights_of(trained), weights[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights[2], weights[3], strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"dt_us": 0}, "dt_us is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"validation_share": 0.0}, "validation_share is 0.0"),
        ({"validation_share": 1.0}, "validation_share is 1.0"),
        ({"encoding": "rate"}, "encoding is 'rate'"),
        ({"surrogate": "box"}, "surrogate is 'box'"),
        ({"neuron": LIF(0.3, 0.3, refractory=1)}, r"neuron is LIF\(.*expected LIF, IF, CUBALIF or"),
        ({"batch_norm": True, "bias": False}, "bias is False with batch_norm"),
        ({"batch_norm": True, "steps": 1}, "steps is 1, expected 2 or more"),
        ({"batch_norm": True, "model": "rnn"}, "batch_norm is True, expected False for rnn"),
        ({"model": "gru"}, "model is 'gru', expected one of"),
        ({"loss": "last"}, "loss is 'last', expected one of .'rate',. for snn"),
        ({"model": "lstm", "loss": "rate"}, "loss is 'rate', expected one of .*last.* for lstm"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: Any, words: str) -> None:
    with pytest.raises(EventsimError, match=words):
        changed(**changes)


def test_a_structure_must_fit_the_data_set() -> None:
    with pytest.raises(TrainingError, match=r"ends with 10 classes, expected the 4 of data set q"):
        train(quadrants(), changed(structure="12FC-10"), progress=False)
    with pytest.raises(StructureError, match="does not fit"):
        train(quadrants(), changed(structure="MP7-4"), progress=False)


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(TrainingError, match="has 0 recordings"):
        train(quadrants(0), SETTINGS, progress=False)


def test_real_digits_are_learnt(real_data: Path) -> None:
    """Three epochs of the 20 that give the accuracies in the documentation."""
    dataset = open_dataset("nmnist", real_data / "NMNIST")
    settings = TrainingSettings("128FC-10", dt_us=20_000, steps=15, epochs=3)
    trained = train(dataset, settings, progress=False)
    assert trained.best.validation_accuracy > 0.75
