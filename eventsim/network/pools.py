"""Layers that change the size of a map: pools and upsampling. See `pathways.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import NetworkError
from ..events.arrays import MAX_CELLS
from .geometry import Pair, Reach, Shape, Window, map_shape
from .parameters import freeze_pair
from .projections import EachStep, Projection, Signal


class _Pool(EachStep):
    """What the pools share: a window; odd rows and columns at the end are cut."""

    kernel_size: int | Pair
    stride: int | Pair | None
    padding: int | Pair | None
    scale = 1.0
    sums = True

    def __post_init__(self) -> None:
        """Check and normalise to pairs."""
        freeze_pair(self, "kernel_size", 1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        freeze_pair(self, "stride", 1)
        if self.padding is not None:
            freeze_pair(self, "padding", 0)
            if self.padding == (0, 0):  # as files write it: not at all
                object.__setattr__(self, "padding", None)

    @property
    def _window(self) -> Window:
        return Window(self.kernel_size, self.stride, self.padding or (0, 0), (1, 1))

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width)."""
        channels, height, width = map_shape(shape)
        return (channels, *self._window.output_size(height, width))

    def _pass(self, projection: Projection) -> Projection:
        return projection._replace(
            shape=self._window.output_size(*projection.shape),
            linear=self._window.reach(*projection.shape).behind(projection.linear),
            scale=projection.scale * self.scale,
        )

    def _windows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return a view (channels, height, width, kernel height, kernel width)."""
        (stride_y, stride_x), (pad_y, pad_x) = self._window.stride, self._window.padding
        if pad_y or pad_x:
            x = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
        view = np.lib.stride_tricks.sliding_window_view(x, self._window.kernel, axis=(1, 2))
        return view[:, ::stride_y, ::stride_x]


@dataclass(frozen=True)
class SumPool2d(_Pool):
    """Sum of the spikes in a window.

    `kernel_size`, `stride` (by default the same) and `padding`, silent rows and columns around the
    map: one number or (y, x).
    """

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair | None = None

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(self._windows(x).sum(axis=(3, 4), dtype=x.dtype))


@dataclass(frozen=True)
class AvgPool2d(_Pool):
    """Mean of the spikes in a window, as `torch.nn.AvgPool2d`.

    `kernel_size`, `stride`, `padding`: as in `SumPool2d`.
    `divisor`: what the sum is divided by; by default the cells of the window, padding included.
    """

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair | None = None
    divisor: int | None = None

    def __post_init__(self) -> None:
        """Check the window, and the divisor."""
        super().__post_init__()
        if self.divisor is not None:
            if not is_whole(self.divisor, 1, MAX_CELLS):
                raise NetworkError(
                    f"AvgPool2d: divisor is {self.divisor!r}, expected a whole number from 1 to "
                    f"{MAX_CELLS}"
                )
            object.__setattr__(self, "divisor", int(self.divisor))

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Factor folded into the weight rows behind the pool."""
        return 1.0 / float(self.divisor or np.prod(self._window.kernel))

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(
            self._windows(x).sum(axis=(3, 4), dtype=x.dtype) * x.dtype.type(self.scale)
        )


@dataclass(frozen=True)
class MaxPool2d(_Pool):
    """Maximum of a window, as `torch.nn.MaxPool2d`: on spikes, the OR of the cell in a timestep.

    `kernel_size`, `stride`, `padding`: as in `SumPool2d`.
    """

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair | None = None
    sums = False

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(self._windows(x).max(axis=(3, 4)))

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Refuse sums of spikes, whose maximum is not a spike."""
        if arriving[0].sums:
            raise NetworkError(
                "the maximum of pooled sums is not a spike; put MaxPool2d before SumPool2d, "
                "AvgPool2d and Add, or a layer with neurons between them"
            )
        return super().leaving(arriving)

    def _pass(self, projection: Projection) -> Projection:
        # What is linear so far only repeats spikes: they are repeated on the way into the pool.
        reach = self._window.reach(*projection.shape).behind(projection.linear)
        return projection._replace(
            shape=self._window.output_size(*projection.shape),
            max_pool=reach.behind(projection.max_pool),
            linear=None,
        )


@dataclass(frozen=True)
class Upsample(EachStep):
    """Each position repeated `factor` times in y and x, as `torch.nn.Upsample` ("nearest").

    `factor`: one number or (y, x), each 1 or more.
    """

    factor: int | Pair

    def __post_init__(self) -> None:
        """Check and normalise to a pair."""
        freeze_pair(self, "factor", 1)

    @property
    def _factors(self) -> Pair:
        return self.factor  # type: ignore[return-value]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width)."""
        (channels, height, width), (down, right) = map_shape(shape), self._factors
        return (channels, height * down, width * right)

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Repeat a dense map (channels, height, width)."""
        down, right = self._factors
        return x.repeat(down, axis=1).repeat(right, axis=2)

    def _pass(self, projection: Projection) -> Projection:
        (height, width), (down, right) = projection.shape, self._factors
        reach = Reach.of_repeats(height, width, down, right)
        return projection._replace(
            shape=(height * down, width * right), linear=reach.behind(projection.linear)
        )
