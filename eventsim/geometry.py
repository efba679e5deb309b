"""Where things lie: shapes of maps, and which targets an input at a position reaches.

Used by the layers (`pathways.py`, `layers.py`), whose parameters are checked here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import NetworkError
from .events import MAX_CELLS

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Reach(NamedTuple):
    """Which targets an input at each position reaches, in compressed rows.

    Position p reaches `targets[pointers[p]:pointers[p+1]]`, each through the kernel tap in `taps`.
    Positions and targets are numbered y * width + x.
    """

    pointers: NDArray[np.int64]
    targets: NDArray[np.int64]
    taps: NDArray[np.int64]

    def through(self, pooled: Reach) -> Reach:
        """Chain a pool's reach with that of the layer behind it, `self`."""
        fan = np.diff(self.pointers)[pooled.targets]  # entries behind each pooled cell
        first = np.repeat(self.pointers[:-1][pooled.targets] - np.cumsum(fan) + fan, fan)
        entries = first + np.arange(int(fan.sum()))
        pointers = np.concatenate([[0], np.cumsum(fan)])[pooled.pointers]
        return Reach(pointers, self.targets[entries], self.taps[entries])


class Window(NamedTuple):
    """The geometry that convolutions and pools share; each field is (y, x)."""

    kernel: Any
    stride: Any
    padding: Any
    dilation: Any

    def output_size(self, height: int, width: int) -> Pair:
        """Return (height, width) of the output; raises where the window does not fit once."""
        sizes = tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                (height, width), self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        if min(sizes) < 1:
            raise NetworkError(
                f"a window of {self.kernel} does not fit into an input of {(height, width)} "
                f"with padding {self.padding} and dilation {self.dilation}"
            )
        return sizes[0], sizes[1]

    def reach(self, height: int, width: int) -> Reach:
        """Invert the window: for each input position, the outputs that see it, ascending."""
        out_height, out_width = self.output_size(height, width)
        y = self._seen(out_height, 0)[:, None, :, None]
        x = self._seen(out_width, 1)[None, :, None, :]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        sites, taps = np.divmod(np.flatnonzero(inside), self.kernel[0] * self.kernel[1])
        positions = np.broadcast_to(y * width + x, inside.shape)[inside]
        order = np.argsort(positions, kind="stable")
        pointers = np.concatenate(
            [[0], np.cumsum(np.bincount(positions, minlength=height * width))]
        )
        return Reach(pointers, sites[order], taps[order])

    def _seen(self, outputs: int, axis: int) -> NDArray[np.int64]:
        """Return (outputs, kernel): the input coordinate under each tap of each output."""
        starts = np.arange(outputs) * self.stride[axis] - self.padding[axis]
        return np.asarray(starts[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis])


def is_whole(value: Any, least: int, most: int = MAX_CELLS) -> bool:
    """Tell whether a parameter is a whole number from `least` to `most`."""
    return isinstance(value, int | np.integer) and bool(least <= value <= most)


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """Return (channels, height, width); raises where the shape is not that of a map."""
    if len(shape) != 3:
        raise NetworkError(f"input has shape {shape}, expected a map (channels, height, width)")
    return shape[0], shape[1], shape[2]


def freeze_pair(layer: Any, name: str, least: int) -> None:
    """Make one whole number, or two, a pair (y, x); raises naming layer and field."""
    value = getattr(layer, name)
    pair = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(pair) != 2 or not all(is_whole(n, least) for n in pair):
        raise NetworkError(
            f"{type(layer).__name__}: {name} is {value!r}, "
            f"expected a whole number from {least} to {MAX_CELLS}, or two"
        )
    object.__setattr__(layer, name, (int(pair[0]), int(pair[1])))


def frozen_array(values: ArrayLike, what: str) -> NDArray[np.float32]:
    """Copy numbers to a read-only float32 array; raises naming `what` and the value."""
    try:
        numbers = np.asarray(values)
    except ValueError:
        raise NetworkError(f"{what} has rows of different lengths, expected an array") from None
    if numbers.dtype.kind not in "biuf":
        raise NetworkError(f"{what} has dtype {numbers.dtype}, expected real numbers")
    with np.errstate(over="ignore"):  # too large for float32 is refused below, as infinite
        array = np.array(numbers, np.float32, order="C")
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise NetworkError(f"{what} at {index} is {array[index]}, expected a finite number")
    array.flags.writeable = False
    return array
