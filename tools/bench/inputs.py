"""Recordings of a data set for a workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import eventsim as es
from eventsim_bridge.datasets import open_dataset

TORCH_BATCH = 32


@dataclass(frozen=True)
class Recordings:
    """Raw events of some recordings, and where they are from."""

    data_set: str
    events: Sequence[Any]
    input_shape: tuple[int, int, int]


def read_recordings(data_set: str, root: Path | None, limit: int) -> Recordings:
    """Read the first recordings of the test part, or of the training part where that is empty.

    Raises `DataSetError` where there is no such data set, `RecordingError` for damage.
    """
    dataset = open_dataset(data_set, root)
    part = dataset.test if len(dataset.test) else dataset.train
    return Recordings(
        data_set,
        [part[index][0] for index in range(min(limit, len(part)))],
        dataset.sensor.input_shape,
    )


def bin_all(network: es.Network, recordings: Sequence[Any]) -> list[es.BinnedEvents]:
    """Put recordings on the grid of a network, as the engine does."""
    shape, dt_us, encoding = network.input_shape, network.dt_us, network.input_encoding
    return [es.bin_events(r, shape, dt_us, network.steps, encoding=encoding) for r in recordings]


def dense_frames(network: es.Network, recordings: Sequence[Any]) -> list[Tensor]:
    """Return batches of frames (batch, steps, polarities, y, x) for torch, as the engine bins."""
    binned = bin_all(network, recordings)
    longest = max(one.steps for one in binned)
    batches = []
    for first in range(0, len(binned), TORCH_BATCH):
        group = binned[first : first + TORCH_BATCH]
        frames = np.zeros((len(group), longest, *network.input_shape), np.float32)
        for sample, one in enumerate(group):
            frames[sample, : one.steps] = one.frames()
        batches.append(torch.from_numpy(frames))
    return batches
