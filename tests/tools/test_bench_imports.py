"""A model of another library, trained there by `eventsim bench --workload imports`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import eventsim as es
from eventsim_bridge.importing import from_torch
from eventsim_tools.bench.trained import train

STEPS, UNITS = 10, 12


def recordings(count: int) -> list[tuple[es.BinnedEvents, int]]:
    """Spikes in the half of the units that the label says, and a few anywhere."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        chance = np.full((STEPS, UNITS), 0.05)
        chance[:, 6 * (number % 2) : 6 * (number % 2) + 6] = 0.4
        found.append((es.from_frames(rng.random(chance.shape) < chance, 1000), number % 2))
    return found


def right(model: nn.Module, several: list[tuple[es.BinnedEvents, int]]) -> int:
    network = from_torch(model.eval(), (UNITS,), 1000)
    results = es.simulate_batch(network, [binned for binned, _ in several])
    return sum(one.prediction == label for one, (_, label) in zip(results, several, strict=True))


# What brings the weights to the threshold, where currents are multiplied by 1 / tau.
GAINS = {"snntorch": 1.0, "spikingjelly": 3.0, "norse": 10.0, "sinabs": 1.0}


@pytest.mark.parametrize("library", list(GAINS))
def test_training_there_teaches_the_network_here(library: str) -> None:
    pytest.importorskip(library)
    model = small(library)
    first, second = np.repeat([[0.2, 0.3], [0.3, 0.2]], UNITS // 2, axis=1)  # of the other class
    with torch.no_grad():
        model[0].weight.copy_(GAINS[library] * torch.tensor(np.array([first, second])))
        model[0].bias.zero_()
    several = recordings(20)
    before = right(model, several)
    for _ in range(12):
        train(model, (UNITS,), several, lambda done: None)
    assert before <= 12
    assert right(model, several) >= 15


def small(library: str) -> Any:
    linear = nn.Linear(UNITS, 2)
    if library == "snntorch":
        import snntorch

        return nn.Sequential(linear, snntorch.Leaky(0.9, init_hidden=True))
    if library == "spikingjelly":
        from spikingjelly.activation_based import neuron

        return nn.Sequential(linear, neuron.LIFNode())
    if library == "norse":
        import norse.torch as norse

        return norse.SequentialState(linear, norse.LIFBoxCell())
    import sinabs.layers as sinabs

    return nn.Sequential(linear, sinabs.IAFSqueeze(batch_size=1))
