"""Which spiking models the sparse kernels of `sparse/` cover, and the way of these into them.

Called by `spiking.py` for a `BinnedBatch`, and by `training/`, which chooses the kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.network.geometry import Shape, Window
from eventsim.network.neurons import IF, LIF, Neuron

from ..sparse.function import Trainable, TrainableLayer, run_stack
from ..sparse.lists import BinnedBatch
from ..sparse.wiring import Pool, pool_of, wire
from .neurons import SURROGATES, check_trainable
from .operations import Counted
from .spiking_layer import SpikingLayer

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def uncovered(layers: Iterable[nn.Module]) -> str | None:
    """Return what the sparse kernels do not cover of a model's layers, in words; None: nothing."""
    before: list[nn.Module] = []
    for index, layer in enumerate(layers):
        reason = _why_not(layer, before)
        if reason is not None:
            return f"layer {index} {reason}"
        before.append(layer)
    if not (before and isinstance(before[-1], SpikingLayer) and _is_flat(before)):
        return "the last layer is not fully connected"
    return None


def _is_flat(layers: Iterable[nn.Module]) -> bool:
    return any(isinstance(layer, nn.Flatten) for layer in layers)


def _why_not(layer: nn.Module, before: list[nn.Module]) -> str | None:
    if isinstance(layer, nn.Flatten):
        return None
    if isinstance(layer, POOLS):
        return _why_not_pool(layer, before)
    if not isinstance(layer, SpikingLayer):
        return f"is {type(layer).__name__}"
    if not isinstance(layer.given_neuron, LIF | IF):
        return f"has neurons of {type(layer.given_neuron).__name__}"
    connection: Any = layer.connection
    if type(connection) not in (nn.Linear, nn.Conv2d):
        return f"has {type(connection).__name__}"
    weight = connection.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return f"has weights of {weight.dtype} on {weight.device.type}"
    if isinstance(connection, nn.Conv2d):
        if connection.groups != 1:
            return f"has {connection.groups} groups"
        if connection.padding_mode != "zeros" or isinstance(connection.padding, str):
            return f"has padding {connection.padding!r} of {connection.padding_mode}"
    elif not _is_flat(before):
        return "has Linear on a map"
    return None


def _why_not_pool(pool: Any, before: list[nn.Module]) -> str | None:
    if before and isinstance(before[-1], POOLS):
        return "is a pool behind a pool"
    apart = _pair(pool.stride) == _pair(pool.kernel_size)
    plain = _pair(pool.padding) == (0, 0) and not pool.ceil_mode
    if not (apart and plain and _pair(getattr(pool, "dilation", 1)) == (1, 1)):
        return "is a pool whose windows overlap, or reach over a border"
    return None


def run_sparsely(layers: Iterable[nn.Module], batch: BinnedBatch) -> Counted:
    """Return the spikes of the last layer, and the operations of all, differentiable.

    Raises `EventsimError` for a model that is not covered.
    """
    reason = uncovered(layers)
    if reason is not None:
        raise EventsimError(f"{reason}, which binned events cannot run on (frames run every model)")
    return Counted(*run_stack(_trainable(layers, batch.input_shape), batch))


def _trainable(layers: Iterable[nn.Module], shape: Shape) -> Trainable:
    """Return the layers as the kernels take them, for maps of `shape` (channels, height, width)."""
    found: list[TrainableLayer] = []
    pool: Pool | None = None
    for layer in layers:
        module: Any = layer
        if isinstance(layer, POOLS):
            pool = _pool(module, shape)
            window = _pair(module.kernel_size)
            shape = (shape[0], shape[1] // window[0], shape[2] // window[1])
        elif isinstance(layer, SpikingLayer) and isinstance(layer.connection, nn.Conv2d):
            found.append(_convolution(layer, layer.connection, shape, pool))
            shape, pool = _output_shape(layer.connection, shape), None
        elif isinstance(layer, SpikingLayer):
            linear: Any = layer.connection
            found.append(_layer(layer, linear))
    return Trainable(found, pool)


def _convolution(
    layer: SpikingLayer, module: nn.Conv2d, shape: Shape, pool: Pool | None
) -> TrainableLayer:
    sizes: Any = (module.kernel_size, module.stride, module.padding, module.dilation)
    inputs: Any = tuple(shape[1:])
    outputs: Any = tuple(_output_shape(module, shape)[1:])
    wires = wire(inputs, outputs, *sizes, module.in_channels, module.out_channels)
    return _layer(layer, module)._replace(wires=wires, pool=pool)


def _output_shape(module: nn.Conv2d, shape: Shape) -> Shape:
    sizes: Any = (module.kernel_size, module.stride, module.padding, module.dilation)
    return (module.out_channels, *Window(*sizes).output_size(*shape[1:]))


def _pool(module: Any, shape: Shape) -> Pool:
    window = _pair(module.kernel_size)
    maximum = isinstance(module, nn.MaxPool2d)
    divisor = 1 if maximum else module.divisor_override or window[0] * window[1]
    return pool_of((shape[1], shape[2]), window, maximum, 1 / divisor)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _layer(layer: SpikingLayer, connection: Any) -> TrainableLayer:
    """Return a layer's parameters, and its neurons and surrogate as the kernels have them."""
    neuron = layer.given_neuron
    check_trainable(neuron)
    channels, (weight, bias, numbers) = len(connection.weight), layer.acting()
    decay, threshold = (
        numbers[name].expand(channels) if name in numbers else fixed
        for name, fixed in zip(("decay", "threshold"), _fixed(neuron, channels), strict=True)
    )
    return TrainableLayer(
        weight, bias, decay, threshold, neuron.reset == "subtract",
        SURROGATES.index(layer.surrogate), layer.surrogate_width,
    )  # fmt: skip


@lru_cache(256)
def _fixed(neuron: Neuron, channels: int) -> tuple[Tensor, Tensor]:
    """Return the decay and the threshold of each channel."""
    p = neuron.parameters(channels)
    decay, threshold = (torch.tensor(p[name]) for name in ("decay", "threshold"))
    return decay, threshold
