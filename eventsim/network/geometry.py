"""Where things lie: shapes of maps, and which targets an input at a position reaches.

Used by the layers (`pathways.py`, `layers.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError

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

    @staticmethod
    def of_repeats(height: int, width: int, down: int, right: int) -> Reach:
        """Return the reach of positions that are each repeated `down` times `right` times."""
        cells = np.arange(height * down * width * right).reshape(height, down, width, right)
        targets = cells.transpose(0, 2, 1, 3).reshape(-1)
        pointers = np.arange(0, len(targets) + 1, down * right)
        return Reach(pointers, targets, np.zeros(len(targets), np.int64))

    def behind(self, pooled: Reach | None) -> Reach:
        """Chain the reach of what stands before, if anything does, with `self`."""
        if pooled is None:
            return self
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


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """Return (channels, height, width); raises where the shape is not that of a map."""
    if len(shape) != 3:
        raise NetworkError(f"input has shape {shape}, expected a map (channels, height, width)")
    return shape[0], shape[1], shape[2]
