"""Which kernels train a model: torch's dense ones, or the sparse ones that binned events run on."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from eventsim.jit import Int64s

from ..data.frames import Recordings
from ..models import SpikingNetwork
from ..models.recurrent import uncovered_input
from ..models.sequences import LayeredModel
from ..models.sparse_pass import uncovered
from ..sparse.lists import BinnedBatch
from .placement import Placement
from .settings import TrainingError

Kernels = Literal["auto", "sparse", "dense"]


class Feed:
    """Hands out recordings in the form that the kernels take."""

    def __init__(self, recordings: Recordings, placement: Placement, sparse: bool) -> None:
        """Take the recordings, and whether the sparse kernels run."""
        self.recordings = recordings
        self.placement = placement
        self.sparse = sparse

    def inputs(self, indices: Int64s, starts: Int64s | None = None) -> Tensor | BinnedBatch:
        """Return windows of recordings, as `Recordings.frames` does, where the model runs."""
        if self.sparse:
            return self.recordings.binned(indices, starts)
        return self.placement.move(self.recordings.frames(indices, starts))

    def labels(self, indices: Int64s) -> Tensor:
        """Return the labels of recordings."""
        return self.placement.move(torch.from_numpy(self.recordings.labels[indices]))


def why_dense(
    kernels: Kernels, model: LayeredModel, placement: Placement, mixed_precision: bool
) -> str | None:
    """Return in words why dense kernels train a model; None: the sparse ones do.

    "auto" takes these wherever they cover the whole model. Raises `TrainingError` for "sparse"
    where they do not, with what it is that they lack.
    """
    if kernels == "dense":
        return "as asked for"
    reason = _not_covered(model, placement, mixed_precision)
    if kernels == "sparse" and reason is not None:
        raise TrainingError(
            f"kernels is 'sparse', expected 'dense' or 'auto' for this model: {reason}"
        )
    return reason


def _not_covered(model: LayeredModel, placement: Placement, mixed_precision: bool) -> str | None:
    if placement.device.type != "cpu":
        return f"it trains on {placement.device.type}"
    if mixed_precision:
        return "its products are in mixed precision"
    if isinstance(model, SpikingNetwork):
        return uncovered(model.layers)
    return uncovered_input(model.layers)
