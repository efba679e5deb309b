"""What the spikes of a run cost under other readings: pools first, and nothing for weights of 0.

The engine folds pools into addresses: each spike in front costs its rows (docs/counts.md).
In: a network and a recording. Out: what a machine takes that adds up each pool first, and then
multiplies each pooled value that is not 0 by its weights; and what of the engine's counts a machine
would save that stores no zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import eventsim as es
from eventsim.network.layers import WeightLayer
from eventsim.operations import CountedLayers, LayerOperations

from .models.export import modules_of
from .models.operations import as_sums, fan_out


class Arriving(NamedTuple):
    """What comes to a layer with weights: the pools in front of it, and what enters the first.

    Behind a max pool, with which the engine has done before a row is added, it is what leaves that.
    """

    pools: list[nn.Module]  # average and sum pools, and flattens
    connection: nn.Module
    entering: Tensor  # (steps, ...)


@dataclass(frozen=True)
class PoolsFirst:
    """Operations of one layer in one sample, where pools come first.

    acs: weights times a pooled sum of 1. macs: weights times a larger one; the constant factor of a
    mean is in the weights. pool_adds: a value that is not 0, added to the sum of a window.
    """

    acs: int
    macs: int
    pool_adds: int

    def __add__(self, other: PoolsFirst) -> PoolsFirst:
        """Add up layers, or samples."""
        return PoolsFirst(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def pools_first(network: es.Network, events: Any, *, steps: int | None = None) -> list[PoolsFirst]:
    """Return what each layer with weights takes for a recording, on the network's own grid.

    Raises as `eventsim.simulate`, and `EventsimError` for a network that torch cannot hold.
    """
    return [_pools_first(arriving) for arriving in _arriving(network, events, steps)]


@dataclass(frozen=True)
class PooledLayerOperations(LayerOperations):
    """The operations of a layer where pools come first, and their additions."""

    pool_adds: int


def read_pools_first(
    executed: es.Operations, pooled: Sequence[PoolsFirst]
) -> CountedLayers[PooledLayerOperations]:
    """Return counts of the engine with the weights' operations read as pools first."""
    layers = zip(executed.layers, pooled, strict=True)
    return CountedLayers(
        tuple(PooledLayerOperations(**(vars(layer) | asdict(own))) for layer, own in layers)
    )


@dataclass(frozen=True)
class ForNothing:
    """What of the counts of one layer in one sample changes no membrane.

    input_events: those from which no weight is reached. sops: operations with a weight of 0.
    """

    input_events: int
    sops: int


def for_nothing(network: es.Network, events: Any, *, steps: int | None = None) -> list[ForNothing]:
    """Return what each layer with weights counts of a recording without any effect.

    Raises as `pools_first`.
    """
    return [_for_nothing(arriving) for arriving in _arriving(network, events, steps)]


class LayerReadings(NamedTuple):
    """How else the spikes of a layer in one sample may be read."""

    for_nothing: ForNothing
    pools_first: PoolsFirst


def readings(network: es.Network, events: Any, *, steps: int | None = None) -> list[LayerReadings]:
    """Return both readings of each layer with weights, of one run; raises as `pools_first`."""
    return [
        LayerReadings(_for_nothing(arriving), _pools_first(arriving))
        for arriving in _arriving(network, events, steps)
    ]


def _arriving(network: es.Network, events: Any, steps: int | None) -> Iterator[Arriving]:
    result = es.simulate(network, events, steps=steps, record_spikes=True)
    return arriving_at_layers(network, events, result)


def arriving_at_layers(network: es.Network, events: Any, result: es.Result) -> Iterator[Arriving]:
    """Yield what comes to each layer with weights: of `result`, which has recorded spikes."""
    binned = es.bin_events(
        events, network.input_shape, network.dt_us, result.steps, encoding=network.input_encoding
    )
    x, pools = torch.from_numpy(binned.frames()), list[nn.Module]()
    entering = x
    for number, module in enumerate(modules_of(network)):
        if isinstance(network.layers[number], WeightLayer):
            yield Arriving(pools, module, entering)
            x = entering = dense_spikes(network, result, number)
            pools = []
            continue
        with torch.no_grad():
            x = module(x)
        if isinstance(module, nn.MaxPool2d):
            entering, pools = x, []
        else:
            pools.append(module)


def dense_spikes(network: es.Network, result: es.Result, number: int) -> Tensor:
    """Return the recorded spikes of layer `number`, (steps, *layer shape)."""
    assert result.spikes is not None
    shape = network.shapes[number + 1]
    spikes = torch.zeros(result.steps, *(*shape, 1, 1)[:3])
    places = torch.from_numpy(result.spikes[number].astype(np.int64))
    spikes.index_put_(tuple(places.T), torch.ones(len(places)), accumulate=True)
    return spikes.reshape(result.steps, *shape)


def _for_nothing(arriving: Arriving) -> ForNothing:
    x, connection = arriving.entering, arriving.connection
    reached = fan_out(arriving.pools, connection, x)
    zeros = fan_out(arriving.pools, connection, x, zeros=True)
    return ForNothing(whole((x != 0) * (reached == 0)), whole((x != 0) * zeros))


def _pools_first(arriving: Arriving) -> PoolsFirst:
    x, adds = arriving.entering, 0
    for pool in arriving.pools:
        if isinstance(pool, nn.AvgPool2d):
            adds += whole((x != 0) * fan_out([pool], None, x))
        with torch.no_grad():
            x = as_sums(pool, x)
    behind = fan_out([], arriving.connection, x)
    return PoolsFirst(whole((x == 1) * behind), whole(((x != 0) & (x != 1)) * behind), adds)


def whole(operations: Tensor) -> int:
    """Return the sum of counts."""
    return round(float(operations.double().sum()))
