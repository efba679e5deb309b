"""The arrays of all layers laid end to end, for `wire.py`; weights narrowed where exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Float32s, Weights
from ..vectors import new_array, widens_float16


class Arrays:
    """Arrays of all layers laid end to end, by name."""

    def __init__(self) -> None:
        """Begin with none."""
        self.parts: dict[str, list[tuple[int, NDArray[Any]]]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, name: str, part: NDArray[Any], align: int = 1) -> int:
        """Append to an array, at a multiple of `align`; return the offset."""
        offset = self.reserve(name, part.size, align)
        self.parts.setdefault(name, []).append((offset, part.reshape(-1)))
        return offset

    def reserve(self, name: str, size: int, align: int = 1) -> int:
        """Take a stretch of an array that the kernels allocate; return the offset."""
        offset = -(-self.sizes.get(name, 0) // align) * align
        self.sizes[name] = offset + size
        return offset

    def joined(self, name: str, dtype: Any) -> NDArray[Any]:
        """Return one contiguous array."""
        whole = new_array(self.sizes.get(name, 0), dtype)
        whole[:] = np.zeros((), dtype)
        for offset, part in self.parts.get(name, []):
            whole[offset : offset + part.size] = part
        return whole


def narrowed(weights: Float32s, whole: bool) -> Weights:
    """Return weights as float16, if that changes none of them; in a network of `whole` numbers,
    where a zero has no sign, as int8."""
    narrow: Weights
    if whole and (np.abs(weights + np.float32(0.5)) < 128).all():
        narrow = new_array(weights.size, np.int8)
        narrow[:] = weights
        return narrow
    with np.errstate(over="ignore"):
        halves = weights.astype(np.float16)
    if not widens_float16() or not np.array_equal(halves, weights):
        return weights
    narrow = new_array(weights.size, np.uint16)
    narrow[:] = halves.view(np.uint16)
    return narrow


def widened(weights: Weights) -> Float32s:
    """Return the weights of a program as float32."""
    halves = weights.dtype == np.uint16
    return (weights.view(np.float16) if halves else weights).astype(np.float32)
