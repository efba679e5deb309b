"""The operations that a model counts for itself, beside those that the engine executes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from numpy.typing import NDArray
from sparse_models import Case, binned, dense_cases, map_cases
from torch import nn

from eventsim.clocked.run import run_binned
from eventsim.events.binning import BinnedEvents
from eventsim.network.graph import Network
from eventsim_bridge.models import PAPER_NEURON, SpikingLayer, SpikingNetwork, export_network
from eventsim_bridge.models.layers import SumPool2d
from eventsim_bridge.models.spiking import wake_silent_layers


def engine_sops(network: Network, frames: NDArray[Any]) -> list[list[int]]:
    """Return the engine's SOPs of each sample and layer, for frames (samples, steps, ...)."""
    found = []
    for sample in frames:
        cells = sample.transpose(0, 2, 3, 1).reshape(len(sample), -1)
        steps, numbers = np.nonzero(cells)
        pointers = np.concatenate([[0], np.bincount(steps, minlength=len(sample)).cumsum()])
        events = BinnedEvents(
            network.input_shape, network.dt_us, 0, len(sample), pointers,
            numbers.astype(np.int32), cells[steps, numbers], network.input_encoding,
            len(numbers), 0, 0, 0,
        )  # fmt: skip
        found.append([layer.sops for layer in run_binned(network, events).operations.layers])
    return found


def check(case: Case) -> None:
    """Weights without rounding, so that every spike is the engine's."""
    encoding: Any = "counts" if case.graded else "binary"
    network = export_network(case.model, dt_us=1000, input_encoding=encoding)
    expected = engine_sops(network, case.frames.numpy())
    with torch.no_grad():
        dense, sparse = case.model.counted(case.frames), case.model.counted(case.batch())
    assert dense.sops.tolist() == expected
    assert sparse.sops.tolist() == expected
    assert torch.equal(dense.spikes, sparse.spikes)


@given(case=dense_cases(dyadic=True))
def test_fully_connected_networks_count_as_the_engine(case: Case) -> None:
    check(case)


@given(case=map_cases(dyadic=True))
def test_convolutions_and_pools_count_as_the_engine(case: Case) -> None:
    assume(case.frames.shape[2] <= 2)  # polarities of the engine's input
    check(case)


def conv(*sizes: int, **geometry: Any) -> SpikingLayer:
    return SpikingLayer(nn.Conv2d(*sizes, **geometry), PAPER_NEURON, "rectangle", 0.25)


def dense(inputs: int, outputs: int) -> SpikingLayer:
    return SpikingLayer(nn.Linear(inputs, outputs), PAPER_NEURON, "rectangle", 0.25)


def built(*layers: nn.Module) -> SpikingNetwork:
    return SpikingNetwork.of_layers(layers, (2, 9, 8))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpikingNetwork("U2-4C3-AP2-5", (2, 9, 8), batch_norm=True),
        lambda: SpikingNetwork("MP2-4C3-MP2-AP2-5", (2, 9, 8)),
        lambda: SpikingNetwork("4C3-U2-AP2-6C3-5", (2, 9, 8)),
        lambda: built(conv(2, 4, 3, groups=2), conv(4, 8, 3, groups=4, dilation=2), nn.Flatten(),
                      dense(48, 5)),
        lambda: built(conv(2, 4, 1), nn.MaxPool2d(3, 1), nn.AvgPool2d(3, 2), conv(4, 3, 2),
                      nn.Flatten(), dense(6, 5)),
        lambda: built(SumPool2d(2, 1), conv(2, 4, 3, padding=1), nn.AvgPool2d(2), nn.AvgPool2d(2),
                      nn.Flatten(), dense(8, 5)),
    ],
    ids=["batch-norm", "pools-of-pools", "upsampled", "groups", "overlapping", "sums-of-sums"],
)  # fmt: skip
def test_what_runs_on_dense_kernels_only_counts_as_the_engine(make: Any) -> None:
    torch.manual_seed(1)
    model = make()
    frames = (torch.rand(3, 12, 2, 9, 8) < 0.2).float()
    wake_silent_layers(model, frames)
    model.eval()
    with torch.no_grad():
        spikes, sops = model.counted(frames)
        assert torch.equal(spikes, model(frames))
    assert sops[:, -1].sum() > 0
    expected = engine_sops(export_network(model, dt_us=1000), frames.numpy())
    assert sops.tolist() == expected


def test_counts_past_what_float32_holds_are_exact() -> None:
    """Every neuron of the first layer spikes in every timestep."""
    first, second = dense(1, 301), dense(301, 301)
    nn.init.ones_(first.connection.get_parameter("weight"))
    nn.init.zeros_(first.connection.get_parameter("bias"))
    model = SpikingNetwork.of_layers([nn.Flatten(), first, second], (1, 1, 1))
    frames = torch.ones(1, 201, 1, 1, 1)
    expected = [[201 * 301, 201 * 301 * 301]]
    assert expected[0][1] > 2**24
    assert expected[0][1] % 2 == 1
    with torch.no_grad():
        assert model.counted(frames).sops.tolist() == expected
        assert model.counted(binned(frames.numpy(), False)).sops.tolist() == expected
