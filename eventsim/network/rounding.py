"""Networks with narrower weights: as chips have them, and half the bytes to read for the engine.

In: a `Network`. Out: another one, whose weights are float32 numbers that the narrower type holds
too. Every engine, the reference and torch run it as any network; the clocked engine on the CPU
stores weights as float16 where that changes none of them (`wiring/arrays.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError
from .graph import Network, check_network
from .layers import WeightLayer

WeightType = Literal["float16", "bfloat16", "int8"]
WEIGHT_TYPES: tuple[WeightType, ...] = get_args(WeightType)
WEIGHT_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8}


def round_weights(network: Network, to: WeightType) -> Network:
    """Round every weight to the nearest number of a narrower type; biases and neurons stay.

    "float16" and "bfloat16": IEEE half precision, and the upper half of a float32; ties to even.
    "int8": whole multiples -127 .. 127 of a step, which is the largest absolute weight of the
    layer over 127 (symmetric, one step a layer; recurrent weights have their own).

    Raises `EventsimError` for another type, and for a weight too large for it.
    """
    check_network(network)
    if to not in WEIGHT_TYPES:
        raise EventsimError(f"weights are asked for as {to!r}, expected one of {WEIGHT_TYPES}")
    layers = []
    for index, layer in enumerate(network.layers):
        rounded: dict[str, Any] = {}
        for name in ("weight", "recurrent"):
            values = getattr(layer, name, None) if isinstance(layer, WeightLayer) else None
            if values is not None:
                rounded[name] = _ROUND[to](values)
                if not np.isfinite(rounded[name]).all():
                    largest = float(np.abs(values).max())
                    raise EventsimError(
                        f"layer {network.layer_name(index)}: {name} has {largest:g}, expected "
                        f"numbers that {to} holds"
                    )
        layers.append(replace(layer, **rounded) if rounded else layer)
    return replace(network, layers=tuple(layers))


def _float16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = np.ascontiguousarray(values).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)).view(np.float32)


def _int8(values: NDArray[np.float32]) -> NDArray[np.float32]:
    step = np.float32(np.abs(values).max(initial=0) / np.float32(127))
    return values if step == 0 else np.rint(values / step).astype(np.float32) * step


_ROUND: dict[WeightType, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "float16": _float16,
    "bfloat16": _bfloat16,
    "int8": _int8,
}
