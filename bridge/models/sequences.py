"""What spiking and recurrent models share: layers that run over all timesteps, one after another.

Frames and outputs are (batch, steps, ...) outside and (steps, batch, ...) inside. A layer without
memory sees all timesteps as one batch, so that its weights are one product; a `Temporal` layer
takes them as they are. Used by `spiking.py` and `recurrent.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError

from ..sparse.lists import BinnedBatch


class Temporal(nn.Module):
    """A layer with a state that goes from timestep to timestep: (steps, batch, ...) to the same."""


class LayeredModel(nn.Module):
    """A feed-forward stack of layers: `Temporal` ones, weights, pools and flattens.

    input_shape: (polarities, height, width) of a frame.
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        """Begin without layers."""
        super().__init__()
        self.input_shape = input_shape
        self.layers = nn.ModuleList()

    def forward(self, frames: Tensor) -> Tensor:
        """Return what the last layer gives in each timestep, shape (batch, steps, outputs).

        `frames`: (batch, steps, polarities, height, width), the floating-point values of the
        input cells. A view of memory in the order (steps, batch, ...), as `Recordings.frames`
        gives it, saves a copy.
        """
        x = frames.transpose(0, 1)
        for layer in self.layers:
            x = run_layer(layer, x)
        return x.transpose(0, 1).flatten(2)


def check_input_shape(batch: BinnedBatch, input_shape: tuple[int, int, int]) -> None:
    """Raise `EventsimError` for binned events of another shape than a model takes."""
    if batch.input_shape != input_shape:
        raise EventsimError(
            f"binned events have input_shape {batch.input_shape}, expected {input_shape}"
        )


def run_layer(layer: nn.Module, x: Tensor) -> Tensor:
    """Run one layer over all timesteps (steps, batch, ...)."""
    y: Tensor = layer(x) if isinstance(layer, Temporal) else each_step(layer, x)
    return y


def each_step(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a module without memory to every timestep of (steps, batch, ...) at once.

    Products of bfloat16 come as float32, so that no state is kept in less.
    """
    y: Tensor = module(x.flatten(0, 1))
    if y.dtype == torch.bfloat16:
        y = y.float()
    return y.reshape(*x.shape[:2], *y.shape[1:])
