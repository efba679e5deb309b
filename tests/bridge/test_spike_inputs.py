"""Spike lists and frames in place of events: torch beside the engine, dense beside sparse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import eventsim as es
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.models import SpikingNetwork, export_network
from eventsim_bridge.sparse.lists import BinnedBatch

DT_US = 1000


@pytest.mark.parametrize(
    ("structure", "shape"), [("16FC-5", (30,)), ("16FC-5", (12, 1, 3)), ("4C3-16FC-5", (5, 4, 4))]
)
def test_a_model_of_any_input_takes_binned_events(structure: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    model = SpikingNetwork(structure, shape, neuron=es.LIF(0.5, 0.1))
    rng = np.random.default_rng(0)
    counts = [rng.poisson(1.2, (20, *shape)) for _ in range(3)]
    network = export_network(model, dt_us=DT_US, input_encoding="counts")
    binned = [es.from_frames(frames, DT_US, encoding="counts") for frames in counts]
    agreement = compare_spikes(model, network, binned)
    assert agreement.layers[-1].torch_spikes > 10
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing == 0

    dense = model.counted(torch.tensor(np.array(counts), dtype=torch.float32))
    sparse = model.counted(BinnedBatch.of(binned))
    assert torch.equal(sparse.spikes, dense.spikes)
    sops = [es.simulate(network, one).operations for one in binned]
    of_engine = [[layer.sops for layer in one.layers] for one in sops]
    assert sparse.sops.tolist() == dense.sops.tolist() == of_engine


def test_a_batch_has_one_shape_and_length() -> None:
    one, longer = (es.from_frames(np.ones((steps, 4)), DT_US) for steps in (3, 5))
    for several in ([one, longer], []):
        with pytest.raises(es.EventsimError, match="expected one for all"):
            BinnedBatch.of(several)


def test_agreement_keeps_to_the_grid_of_binned_events() -> None:
    model = SpikingNetwork("4FC-2", (4,))
    network = export_network(model, dt_us=DT_US)
    with pytest.raises(es.EventsimError, match="steps is 5, expected None or the 3 that the"):
        compare_spikes(model, network, [es.from_frames(np.ones((3, 4)), DT_US)], steps=5)
