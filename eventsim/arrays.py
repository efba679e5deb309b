"""The arrays of all layers laid end to end, while `wiring.py` lays out a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .vectors import new_array


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
