"""RNN and LSTM: against torch's own, against plain loops, their parameters against formulas."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparse_models import binned
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim_bridge.models import RecurrentNetwork, SpikingNetwork
from eventsim_bridge.models.layers import StructureError
from eventsim_bridge.models.recurrent import CELLS, CellName, RecurrentLayer

NMNIST, GESTURE = (2, 34, 34), (2, 128, 128)
PAPER_CONV = "MP4-64C3-128C3-AP2-128C3-AP2-256FC-11"


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("cell", "peer"), [("rnn", nn.RNN), ("lstm", nn.LSTM)])
def test_a_dense_layer_is_the_one_of_torch(cell: CellName, peer: Any) -> None:
    torch.manual_seed(0)
    model = RecurrentNetwork("7FC-3", (2, 4, 4), cell=cell)
    layer: Any = model.layers[1]
    other = peer(32, 7)
    with torch.no_grad():
        other.weight_ih_l0.copy_(layer.connection.weight)
        other.weight_hh_l0.copy_(layer.feedback.weight)
        other.bias_ih_l0.copy_(layer.connection.bias)
        other.bias_hh_l0.zero_()
    frames = torch.rand(5, 6, 2, 4, 4)
    hidden, _ = other(frames.transpose(0, 1).flatten(2))
    readout: Any = model.layers[2]
    torch.testing.assert_close(model(frames), readout(hidden).transpose(0, 1))


def plain(layer: RecurrentLayer, x: Tensor) -> Tensor:
    """The formulas of the module's docstring, one timestep and one recording at a time."""
    return torch.stack([one_recording(layer, recording) for recording in x.unbind(1)], dim=1)


def one_recording(layer: RecurrentLayer, frames: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    h = c = None
    for frame in frames:
        sums = layer.connection(frame[None])[0]
        if h is not None:
            sums = sums + layer.feedback(h[None])[0]
        if layer.cell == "rnn":
            h = torch.tanh(sums)
        else:
            i, f, g, o = (sums[k * len(sums) // 4 : (k + 1) * len(sums) // 4] for k in range(4))
            kept = 0 if c is None else torch.sigmoid(f) * c
            c = kept + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


@given(
    cell=st.sampled_from(["rnn", "lstm"]),
    structure=st.sampled_from(["5FC-2", "3C3-2", "2C5-4FC-2", "3C3s2-2", "2C3-AP2-3C1-2"]),
    steps=st.integers(1, 4),
    batch=st.integers(1, 3),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_layers_follow_the_formulas(
    cell: CellName, structure: str, steps: int, batch: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    model = RecurrentNetwork(structure, (2, 6, 7), cell=cell, bias=bias).double()
    frames = torch.rand(batch, steps, 2, 6, 7)
    x: Tensor = frames.transpose(0, 1).double()
    with torch.no_grad():
        for layer in model.layers:
            if isinstance(layer, RecurrentLayer):
                expected = plain(layer, x)
                torch.testing.assert_close(layer(x), expected)
                x = expected
            else:
                x = layer(x.flatten(0, 1)).unflatten(0, (steps, batch))


@given(
    cell=st.sampled_from(["rnn", "lstm"]),
    structure=st.sampled_from(["5FC-2", "17FC-3FC-2", "70FC-2", "130FC-2"]),
    steps=st.integers(1, 4),
    batch=st.integers(1, 3),
    bias=st.booleans(),
    graded=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_binned_events_give_what_frames_do(
    cell: CellName, structure: str, steps: int, batch: int, bias: bool, graded: bool, seed: int
) -> None:
    """Values and gradients of float32, against autograd in float64."""
    torch.manual_seed(seed)
    model = RecurrentNetwork(structure, (2, 6, 7), cell=cell, bias=bias)
    frames = torch.randint(0, 4, (batch, steps, 2, 6, 7)).clamp(0, 3 if graded else 1).float()
    frames *= torch.rand(frames.shape) < 0.2
    exact = copy.deepcopy(model).double()
    outputs, expected = model(binned(frames.numpy(), graded)), exact(frames.double())
    cost = torch.rand(outputs.shape) - 0.5
    (outputs * cost).sum().backward()
    (expected * cost.double()).sum().backward()
    torch.testing.assert_close(outputs.double(), expected, rtol=1e-5, atol=1e-6)
    for mine, other in zip(model.parameters(), exact.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None)  # in one timestep nothing comes back
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad.double(), other.grad, rtol=1e-4, atol=1e-5)


def test_binned_events_that_do_not_fit_are_refused() -> None:
    frames = binned(np.ones((1, 2, 1, 4, 4), np.float32), graded=False)
    with pytest.raises(EventsimError, match=r"input_shape \(1, 4, 4\), expected \(1, 3, 3\)"):
        RecurrentNetwork("6FC-2", (1, 3, 3), cell="rnn")(frames)
    for structure in ("2C3-2", "MP2-6FC-2", "2"):
        with pytest.raises(EventsimError, match="no fully connected layer with memory comes first"):
            RecurrentNetwork(structure, (1, 4, 4), cell="rnn")(frames)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_those_of_the_formula(cell: CellName, bias: bool) -> None:
    """A gate has W1, W2 and b; the readout W and b."""
    gates = CELLS[cell].gates
    dense = gates * (2312 * 512 + 512 * 512 + 512 * bias) + 512 * 10 + 10 * bias
    assert parameters(RecurrentNetwork("512FC-10", NMNIST, cell=cell, bias=bias)) == dense
    conv = 0
    for below, channels in ((2, 64), (64, 128), (128, 128)):
        conv += 9 * (below * channels + channels**2) + channels * bias
    flat = 128 * 8 * 8 * 256 + 256**2 + 256 * bias
    expected = gates * (conv + flat) + 256 * 11 + 11 * bias
    assert parameters(RecurrentNetwork(PAPER_CONV, GESTURE, cell=cell, bias=bias)) == expected


def test_parameters_of_the_paper() -> None:
    """He et al. 2020 on DVS Gesture: an LSTM of two layers of 512 has 7.35 million."""
    model = RecurrentNetwork("MP4-512FC-512FC-11", GESTURE, cell="lstm")
    assert round(parameters(model) / 1e6, 2) == 7.35
    spiking = SpikingNetwork("512FC-10", NMNIST, bias=False)
    assert parameters(spiking) == 2312 * 512 + 512 * 10


def test_time_runs_over_the_timesteps_and_not_over_the_batch() -> None:
    torch.manual_seed(0)
    for cell in CELLS:
        model = RecurrentNetwork("6FC-2", (1, 3, 3), cell=cell)
        frames = torch.rand(4, 5, 1, 3, 3)
        whole = model(frames)
        torch.testing.assert_close(model(frames[1:2]), whole[1:2])
        changed = frames.clone()
        changed[:, 3] += 1
        after = model(changed)
        torch.testing.assert_close(after[:, :3], whole[:, :3])
        assert (after[:, 3:] != whole[:, 3:]).all()


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(EventsimError, match=r"cell is 'gru', expected one of \('rnn', 'lstm'\)"):
        RecurrentNetwork("6FC-2", (1, 3, 3), cell="gru")  # type: ignore[arg-type]
    with pytest.raises(StructureError, match="no layer"):
        RecurrentNetwork("6X-2", (1, 3, 3), cell="rnn")


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_upsampling_is_for_spiking_networks(cell: Any) -> None:
    with pytest.raises(StructureError, match="expected no U in an RNN or LSTM"):
        RecurrentNetwork("4C3-U2-4C3-5", (2, 6, 6), cell=cell)
