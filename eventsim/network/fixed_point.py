"""A network of float neurons -> the same in fixed point, with whole weights, biases and thresholds.

In: a `Network` of LIF, IF or CUBALIF, and a `Scale` for each layer with weights. Out: a `Network`
of `FixedCUBALIF`. The bridge chooses the scales by what they cost on recordings
(`eventsim_bridge/training/fixed_point.py`).

A weight of `step` is 1. So a threshold is round(threshold / step), a bias likewise; and of a decay
d, which is what stays, round(4096 (1 - d)) of 4096 goes. Weights beyond 127 steps become 127. An
average pool becomes a sum pool, its share is in the step of the layer behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from .graph import Network
from .layers import WeightLayer
from .neurons import CUBALIF, IF, LIF, FixedCUBALIF
from .neurons.fixed import UNITY
from .pathways import Add, Concatenate
from .pools import AvgPool2d, SumPool2d

MOST_WEIGHT = 127


class Scale(NamedTuple):
    """What the whole numbers of a layer stand for."""

    step: float  # a weight of 1, as a part of the largest absolute weight over 127
    exponent: int = 0  # `weight_exponent`: one less halves what an input adds, and the threshold


def to_fixed_point(network: Network, scales: Sequence[Scale] | None = None) -> Network:
    """Return the network in fixed point; by default a step is the largest weight over 127.

    Raises `NetworkError` for a neuron with no counterpart, and for numbers that do not fit.
    """
    chosen = list(scales or [Scale(1.0)] * len(network.neuron_layers))
    if len(chosen) != len(network.neuron_layers):
        raise NetworkError(
            f"{len(chosen)} scales, expected {len(network.neuron_layers)}, one for each layer with "
            f"weights"
        )
    layers: list[Any] = []
    share = 1.0  # of a spike, behind average pools
    for index, layer in enumerate(network.layers):
        try:
            if isinstance(layer, WeightLayer):
                layers.append(_fixed(layer, chosen.pop(0), share))
                share = 1.0
            elif isinstance(layer, AvgPool2d):
                share *= layer.scale
                layers.append(SumPool2d(layer.kernel_size, layer.stride, padding=layer.padding))
            elif isinstance(layer, Add | Concatenate) and share != 1:
                raise NetworkError("an average pool before it, expected a sum pool")
            else:
                layers.append(layer)
        except NetworkError as error:
            raise NetworkError(f"{network.layer_name(index)}: {error}") from None
    return replace(network, layers=tuple(layers))


def _fixed(layer: WeightLayer, scale: Scale, share: float) -> WeightLayer:
    step = scale.step * _largest(layer) / MOST_WEIGHT or 1.0
    neuron = layer.neuron
    if isinstance(neuron, CUBALIF) and layer.bias is not None and layer.bias.any():
        raise NetworkError("CUBALIF has a bias in its current, expected none: train with --no-bias")
    # What a step of the weights is to the membrane, and 64 of it to its integers.
    unit = step * share / 2.0**scale.exponent
    fixed = FixedCUBALIF(
        _gone(neuron.current_decay) if isinstance(neuron, CUBALIF) else UNITY,
        _gone(neuron.decay),
        _whole(neuron.threshold, unit),
        weight_exponent=scale.exponent,
        refractory=neuron.refractory,
    )
    whole: dict[str, Any] = {"neuron": fixed}
    for name in ("weight", "recurrent"):
        values = getattr(layer, name)
        if values is not None:
            most = np.float32(MOST_WEIGHT)
            # Of spikes that come back no pool takes a share.
            own = step if name == "weight" else step * share
            whole[name] = np.clip(np.rint(values / np.float32(own)), -most, most)
    if layer.bias is not None:
        whole["bias"] = np.rint(layer.bias / np.float32(unit))
    made: WeightLayer = replace(layer, **whole)
    return made


def _largest(layer: WeightLayer) -> float:
    """Return the largest absolute weight of a layer whose neurons have a counterpart."""
    neuron: Any = layer.neuron
    if type(neuron) not in (LIF, IF, CUBALIF):
        raise NetworkError(f"neuron is {neuron!r}, expected LIF, IF or CUBALIF for fixed point")
    kept = {field.name for field in fields(neuron)} & {
        "decay", "current_decay", "threshold", "refractory",
    }  # fmt: skip
    plain = type(neuron)(**{name: getattr(neuron, name) for name in kept})
    if neuron != plain:
        raise NetworkError(f"neuron is {neuron!r}, expected {plain!r} for fixed point")
    return float(np.abs(layer.weight).max())


def _gone(decay: Any) -> Any:
    """Return what goes of 4096, for the layer or for each channel."""
    return _plain(np.rint((1 - np.asarray(decay, np.float64)) * UNITY))


def _whole(values: Any, unit: float) -> Any:
    return _plain(np.rint(np.asarray(values, np.float64) / unit))


def _plain(values: NDArray[Any]) -> Any:
    return tuple(map(int, values)) if values.ndim else int(values)
