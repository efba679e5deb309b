"""Scores, errors and predictions by name, by hand."""

from __future__ import annotations

import pytest
import torch

from eventsim_bridge.training.losses import error_of, predict, scores

OUTPUTS = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 2.0]]])


def test_the_rate_loss_by_hand() -> None:
    spikes = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]])
    # Rates 3/4 and 1/4: (1/4)^2 from the label 0 and (1/4)^2, mean of the two.
    assert error_of(spikes, torch.tensor([0]), "rate").item() == pytest.approx(0.0625)
    assert error_of(spikes, torch.tensor([1]), "rate").item() == pytest.approx(0.5625)
    both = torch.cat([spikes, spikes])
    assert error_of(both, torch.tensor([0, 1]), "rate").item() == pytest.approx(0.3125)


def test_the_last_timestep_and_the_mean() -> None:
    assert scores(OUTPUTS, "last").tolist() == [[1.0, 2.0]]
    assert scores(OUTPUTS, "rate-inspired").tolist() == [[0.75, 0.75]]
    # (1 - 1)^2 and 2^2; (1/4)^2 and (3/4)^2.
    assert error_of(OUTPUTS, torch.tensor([0]), "last").item() == pytest.approx(2.0)
    assert error_of(OUTPUTS, torch.tensor([0]), "rate-inspired").item() == pytest.approx(0.3125)
    assert predict(OUTPUTS, "last").tolist() == [1]


def test_the_class_with_most_spikes_the_lowest_of_equals() -> None:
    spikes = torch.zeros(3, 10, 5)
    spikes[0, :3, 2] = 1
    spikes[0, 4, 3] = 1
    spikes[1, ::2, 4] = 1
    assert predict(spikes, "rate").tolist() == [2, 4, 0]
    ties = torch.zeros(1, 49, 2)  # 7 spikes each, in other timesteps
    ties[0, :7, 1] = ties[0, 40:47, 0] = 1
    assert predict(ties, "rate").tolist() == [0]
