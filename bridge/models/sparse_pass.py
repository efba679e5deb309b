"""Which spiking models the sparse kernels of `sparse/` cover, and the way of these into them.

Called by `spiking.py` for a `BinnedBatch`, and by `training/`, which chooses the kernels.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError

from ..sparse.function import TrainableLayer, spikes_of
from ..sparse.lists import BinnedBatch
from ..sparse.neurons import Rules
from .neurons import SURROGATES, check_trainable
from .spiking_layer import SpikingLayer


def uncovered(layers: Iterable[nn.Module]) -> str | None:
    """Return what the sparse kernels do not cover of a model's layers, in words; None: nothing."""
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Flatten):
            continue
        if not isinstance(layer, SpikingLayer):
            return f"layer {index} is {type(layer).__name__}"
        connection = layer.connection
        if type(connection) is not nn.Linear:
            return f"layer {index} has {type(connection).__name__}"
        weight = connection.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            return f"layer {index} has weights of {weight.dtype} on {weight.device.type}"
    return None


def run_sparsely(layers: Iterable[nn.Module], batch: BinnedBatch) -> Tensor:
    """Return the spikes of the last layer, (samples, steps, outputs), differentiable.

    Raises `EventsimError` for a model that is not covered.
    """
    layers = list(layers)
    reason = uncovered(layers)
    if reason is not None:
        raise EventsimError(
            f"{reason}, expected Linear of float32 on the CPU in every layer for binned events "
            f"(frames run every model)"
        )
    spiking = [layer for layer in layers if isinstance(layer, SpikingLayer)]
    return spikes_of([_trainable_layer(layer) for layer in spiking], batch)


def _trainable_layer(layer: SpikingLayer) -> TrainableLayer:
    connection = layer.connection
    assert isinstance(connection, nn.Linear)
    return TrainableLayer(connection.weight, connection.bias, rules_of(layer))


def rules_of(layer: SpikingLayer) -> Rules:
    """Return a layer's neurons and surrogate as the kernels have them."""
    check_trainable(layer.neuron)
    (p,) = layer.neuron.parameters()
    return Rules(
        np.float32(p["decay"]), np.float32(p["threshold"]), layer.neuron.reset == "subtract",
        SURROGATES.index(layer.surrogate), np.float32(layer.surrogate_width),
    )  # fmt: skip
