"""The recordings of a split on a grid of timesteps: sparse in memory, dense a batch at a time.

In: a split of a data set (`datasets.py`). Out: `Recordings`, whose frames `training.py` feeds to
the torch models. The grid is `eventsim.events.bin_events`, the one that the engine uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventsim.binning import BinnedEvents, bin_events
from eventsim.errors import RecordingError
from eventsim.events import Events, InputEncoding
from eventsim.jit import Float32s, Int64s


class Split(Protocol):
    """What is asked of a split: its recordings, their classes and names."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name of each recording, for messages."""

    @property
    def labels(self) -> Int64s:
        """The class of each recording, (recordings,)."""

    def __len__(self) -> int:
        """Return the number of recordings."""

    def __getitem__(self, index: int) -> tuple[Events, int]:
        """Return events and label of a recording."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """Labelled recordings, each on a grid of `steps` timesteps that begins with its first event.

    A cell is numbered (polarity * height + y) * width + x, the order of PyTorch's frames. Timestep
    t of recording i holds cells[p[t]:p[t+1]] with p = pointers[i].
    """

    input_shape: tuple[int, int, int]  # (polarities, height, width)
    steps: int
    pointers: Int64s  # (recordings, steps + 1)
    cells: NDArray[Any]  # unsigned, as small as the input allows: two bytes up to 65,536 cells
    values: Float32s | None  # the value of each cell; None for the encoding "binary": all 1
    labels: Int64s  # (recordings,)
    events: int  # events of all recordings, and of these:
    events_late: int  # past the last timestep, not seen by the model

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.labels)

    def frames(self, indices: Int64s) -> Tensor:
        """Return dense float32 frames of some recordings, (batch, steps, polarities, y, x).

        A view of memory in the order (steps, batch, ...), which the models run through.
        """
        size = int(np.prod(self.input_shape))
        frames = np.zeros((self.steps, len(indices), size), np.float32)
        for sample, index in enumerate(indices):
            pointers = self.pointers[index]
            part = slice(pointers[0], pointers[-1])
            steps = np.repeat(np.arange(self.steps), np.diff(pointers))
            values = 1.0 if self.values is None else self.values[part]
            frames[steps, sample, self.cells[part]] = values
        shaped = frames.reshape(*frames.shape[:2], *self.input_shape)
        return torch.from_numpy(shaped).transpose(0, 1)

    def digest(self) -> str:
        """Return a hash of everything that training sees."""
        digest = hashlib.sha256(repr((self.input_shape, self.steps, self.cells.dtype)).encode())
        for array in (self.pointers, self.cells, self.values, self.labels):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def bin_split(
    split: Split,
    input_shape: tuple[int, int, int],
    dt_us: int,
    steps: int,
    *,
    encoding: InputEncoding = "binary",
    progress: Callable[[int], None] | None = None,
) -> Recordings:
    """Read all recordings of a split and put them on a grid, as `eventsim.bin_events` does.

    `progress` is called with 1 after each recording. Raises `RecordingError` naming the recording
    that is damaged or does not fit `input_shape`.
    """
    smallest = np.min_scalar_type(int(np.prod(input_shape)) - 1)
    pointers = np.zeros((len(split), steps + 1), np.int64)
    cells, values = [np.empty(0, smallest)], [np.empty(0, np.float32)]
    filled = events = late = 0
    for index in range(len(split)):
        recording, _ = split[index]
        try:
            binned = bin_events(recording, input_shape, dt_us, steps, encoding=encoding)
        except RecordingError as error:
            raise RecordingError(f"{split.names[index]}: {error}") from None
        pointers[index] = binned.pointers + filled
        filled += len(binned.cells)
        cells.append(_channel_first(binned).astype(smallest))
        if encoding != "binary":
            values.append(binned.values)
        events += binned.events
        late += binned.late
        if progress is not None:
            progress(1)
    return Recordings(
        input_shape=input_shape,
        steps=steps,
        pointers=pointers,
        cells=np.concatenate(cells),
        values=None if encoding == "binary" else np.concatenate(values),
        labels=np.array(split.labels, np.int64),
        events=events,
        events_late=late,
    )


def _channel_first(binned: BinnedEvents) -> NDArray[Any]:
    """Return the numbers of the cells in the order (polarity, y, x)."""
    polarities, height, width = binned.input_shape
    pixel, polarity = np.divmod(binned.cells, polarities)
    return polarity * (height * width) + pixel
