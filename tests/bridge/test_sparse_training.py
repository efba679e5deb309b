"""Training on the sparse kernels beside torch's dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from quadrants import SHAPE, changed, numbers_of, quadrant_split, quadrants

from eventsim.network.neurons import CUBALIF
from eventsim_bridge.data.frames import bin_split
from eventsim_bridge.models import SpikingNetwork
from eventsim_bridge.training.evaluation import evaluate
from eventsim_bridge.training.loop import train
from eventsim_bridge.training.settings import TrainingError


@pytest.mark.parametrize("encoding", ["binary", "counts"])
@pytest.mark.parametrize("starts", [None, [2, 0, 9]])
def test_binned_events_are_the_frames(encoding: Any, starts: Any) -> None:
    recordings = bin_split(quadrant_split(7), 1000, 3, encoding=encoding, whole=True)
    order = np.array([6, 0, 3])
    begins = None if starts is None else np.array(starts)
    batch, frames = recordings.binned(order, begins), recordings.frames(order, begins).numpy()
    assert (batch.samples, batch.steps, batch.input_shape) == (3, 3, SHAPE)
    assert (batch.values is None) == (encoding == "binary")
    found = np.zeros((9, int(np.prod(SHAPE))), np.float32)
    rows = np.repeat(np.arange(9), np.diff(batch.pointers))
    found[rows, batch.cells] = 1 if batch.values is None else batch.values
    assert_array_equal(found.reshape(frames.shape), frames)
    assert found.sum() > 0
    assert len(recordings.binned(np.array([], np.int64)).cells) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoding": "counts", "random_start": True, "steps": 4},
        {"structure": "6C3-MP2-8FC-4"},
        {"structure": "20FC-12FC-4", "surrogate": "arctan", "bias": False},
        {"learn": ("decay", "threshold"), "structure": "6C3-MP2-8FC-4", "surrogate": "arctan"},
        {"learn": ("decay", "threshold"), "learn_per": "channel", "surrogate": "fast-sigmoid"},
    ],
)
def test_both_kernels_train_alike(changes: Any) -> None:
    """Only rounding is between them, which an epoch of seven batches does not blow up."""
    settings = changed(epochs=2, **changes)
    sparse, dense = (
        train(quadrants(), settings, progress=False, kernels=kernels)
        for kernels in ("auto", "dense")
    )
    assert (sparse.why_dense, dense.why_dense) == (None, "as asked for")
    assert len(sparse.seconds) == len(dense.seconds) == 2
    assert min(sparse.seconds) > 0
    assert_allclose(numbers_of(sparse.history), numbers_of(dense.history), rtol=1e-4)
    dense_weights = dense.model.state_dict()
    for name, value in sparse.model.state_dict().items():
        torch.testing.assert_close(value, dense_weights[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"structure": "AP2-U2-8FC-4"}, "layer 1 is Upsample"),
        ({"batch_norm": True}, "layer 1 has Sequential"),
        ({"neuron": CUBALIF(0.5, 0.3, 0.3)}, "layer 1 has neurons of CUBALIF"),
        ({"mixed_precision": True}, "its products are in mixed precision"),
        (
            {"model": "rnn", "loss": "last", "structure": "MP2-8FC-4"},
            "no fully connected layer with memory comes first",
        ),
    ],
)
def test_dense_kernels_train_what_the_sparse_do_not_cover(changes: Any, reason: str) -> None:
    settings = changed(epochs=1, **changes)
    assert train(quadrants(), settings, progress=False).why_dense == reason
    with pytest.raises(TrainingError, match=f"kernels is 'sparse', expected .*: {reason}"):
        train(quadrants(), settings, progress=False, kernels="sparse")


def test_both_kernels_judge_alike() -> None:
    torch.manual_seed(0)
    model = SpikingNetwork("30FC-4", SHAPE)
    recordings = bin_split(quadrant_split(20), 1000, 6)
    dense, sparse = (evaluate(model, recordings, sparse=kind) for kind in (False, True))
    assert dense.accuracy == sparse.accuracy
    assert dense.loss == pytest.approx(sparse.loss, rel=1e-6)
