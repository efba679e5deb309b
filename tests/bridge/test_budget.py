"""Training within a budget of operations: refused, met, resumed, and which epoch is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from quadrants import changed, quadrants

from eventsim.errors import EventsimError
from eventsim.simulator import simulate
from eventsim_bridge.training import loop as training
from eventsim_bridge.training.budget import AT_ONCE, EACH_BATCH, aim, price
from eventsim_bridge.training.checkpoints import Epoch
from eventsim_bridge.training.evaluation import Evaluation
from eventsim_bridge.training.loop import Trained, split_validation, train
from eventsim_bridge.training.settings import TrainingError

SETTINGS = changed(structure="24FC-16FC-4", epochs=12)


@pytest.fixture(scope="module")
def free() -> Trained:
    return train(quadrants(), SETTINGS, progress=False)


def budget_of(free: Trained, share: float) -> int:
    first, *behind = free.best.validation_sops
    return int(first + share * sum(behind))


def within(free: Trained, share: float, **changes: Any) -> Trained:
    budget = budget_of(free, share)
    return train(quadrants(), replace(SETTINGS, sop_budget=budget), progress=False, **changes)


@pytest.mark.parametrize("kernels", ["sparse", "dense"])
def test_a_budget_is_met_as_the_engine_counts(free: Trained, kernels: Any) -> None:
    """Half of what the free network takes behind its first layer."""
    limited = within(free, 0.5, kernels=kernels)
    budget = budget_of(free, 0.5)
    assert sum(free.best.validation_sops) > budget
    assert limited.best.is_within(budget)
    assert limited.best.validation_accuracy >= 0.8
    network, dataset = limited.network(), quadrants()
    _, validation = split_validation(dataset.train.labels, 0.1, SETTINGS.seed)
    counted = [
        [layer.sops for layer in simulate(network, dataset.train[i][0]).operations.layers]
        for i in validation
    ]
    assert_allclose(np.mean(counted, axis=0), limited.best.validation_sops, rtol=1e-12)
    assert limited.provenance()["validation_sops"] == list(limited.best.validation_sops)


@pytest.mark.parametrize("changes", [{}, {"batch_norm": True}])
def test_a_budget_that_does_not_bind_leaves_training_as_it_is(changes: Any) -> None:
    settings = changed(structure="24FC-16FC-4", epochs=4, **changes)
    free = train(quadrants(), settings, progress=False)
    most = max(sum(epoch.validation_sops) for epoch in free.history)
    loose = train(quadrants(), replace(settings, sop_budget=int(3 * most)), progress=False)
    assert loose.history == free.history


def test_a_budget_below_the_first_layer_is_refused(free: Trained) -> None:
    first = free.best.validation_sops[0]
    settings = replace(SETTINGS, sop_budget=int(first) - 1)
    with pytest.raises(TrainingError) as refused:
        train(quadrants(), settings, progress=False)
    assert f"sop_budget is {int(first) - 1:,}, expected at least {first:,.1f}" in str(refused.value)


def test_a_killed_run_keeps_its_price(
    free: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, epochs=4, sop_budget=budget_of(free, 0.2))
    alone = train(quadrants(), settings, progress=False)
    checkpoint, error, left = tmp_path / "run.pt", training.error_of, iter(range(17))

    def dying(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return error(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "error_of", dying)
        with pytest.raises(KeyboardInterrupt):
            train(quadrants(), settings, checkpoint=checkpoint, progress=False)
    assert torch.load(checkpoint, weights_only=True)["price"] > 0
    resumed = train(quadrants(), settings, checkpoint=checkpoint, progress=False)
    assert resumed.history == alone.history
    for a, b in zip(resumed.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("sops", "best"),
    [
        ((90.0, 120.0, 80.0, 130.0, 100.0), 1),  # of those within, the most accurate
        ((130.0, 120.0, 101.0, 110.0, 140.0), 3),  # none is: the nearest
    ],
)
def test_the_best_epoch_within_is_kept(
    sops: tuple[float, ...], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies, left = (0.8, 0.9, 0.7, 0.9, 0.8), iter(range(-1, 5))

    def judge(*arguments: Any, **more: Any) -> Evaluation:
        number = max(next(left), 0)  # -1: for the first layer, before training
        return Evaluation(0.1 + 0.01 * number, accuracies[number], (10.0, sops[number] - 10))

    monkeypatch.setattr(training, "evaluate", judge)
    trained = train(quadrants(), changed(sop_budget=100), progress=False)
    assert trained.best.epoch == best
    assert trained.best.is_within(100) == (best == 1)
    assert [sum(epoch.validation_sops) for epoch in trained.history] == list(sops)


def test_without_a_budget_every_epoch_is_within() -> None:
    epoch = Epoch(1, 0.1, 0.9, 0.1, 0.9, (5.0, 7.0))
    assert epoch.is_within(None)
    assert epoch.is_within(12)
    assert not epoch.is_within(11)


def test_the_price_follows_the_operations() -> None:
    """At most twice the aim counts; below it the level sinks, and never below nothing."""
    now, level = price(0.0, 3.0)
    assert (now, level) == pytest.approx((AT_ONCE + EACH_BATCH, EACH_BATCH))
    now, lower = price(level, 0.5)
    assert lower == pytest.approx(EACH_BATCH / 2)
    assert now == 0
    assert price(lower, 0.0) == (0, 0)
    assert price(0.01, 1.0) == (0.01, 0.01)
    assert aim(1000, 1000.0) > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sop_budget": 0}, "sop_budget is 0, expected a whole number >= 1"),
        ({"sop_budget": 1.5}, "sop_budget is 1.5, expected a whole"),
        ({"sop_budget": 9, "model": "rnn"}, "sop_budget is 9, expected none for rnn"),
        ({"weights": "int4"}, "weights are 'int4', expected one of"),
        ({"weights": "int8", "model": "lstm"}, "weights are 'int8', expected float32 for lstm"),
        ({"weights": "int8", "batch_norm": True}, "weights are 'int8' with batch_norm"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: Any, words: str) -> None:
    with pytest.raises(EventsimError, match=words):
        changed(**changes)
