"""The ways of spikes between neurons: Flatten, delays, sums, concatenations, and pools.

None of these layers has weights or neurons. Each says
- what leaves it (`leaving`), with shapes in PyTorch's axis order;
- its dense semantics in plain NumPy (`run`, over all timesteps), which `reference.py` runs;
- what it does to the projections that arrive (`pass_on`), from which `wiring/` makes addresses: at
  run time none of them costs more than that.

Adding one means adding a class, here or in `pools.py`, and an entry to `PATHWAY_TYPES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import NetworkError
from .geometry import Shape
from .pools import AvgPool2d, MaxPool2d, SumPool2d, Upsample
from .projections import EachStep, PathwayLayer, Projection, Projections, Signal

MAX_DELAY = 2**20  # timesteps; what was emitted meanwhile is kept


@dataclass(frozen=True)
class Flatten(EachStep):
    """(channels, height, width) to one axis, channel-first as in PyTorch."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the product of the axes."""
        return (int(np.prod(shape)),)

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Flatten a dense map."""
        return x.reshape(-1)

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Note where the channels of several positions become one axis."""
        (one,) = arriving
        several = len(one.shape) == 3 and one.shape[1:] != (1, 1)
        return super().leaving(arriving)._replace(flattened=one.flattened or several)

    def _pass(self, projection: Projection) -> Projection:
        if projection.flat:
            return projection
        height, width = projection.shape
        return projection._replace(offset=projection.offset * height * width, flat=True)


@dataclass(frozen=True)
class Delay(PathwayLayer):
    """Spikes arrive `steps` timesteps later (an axonal delay): one number, or one a channel."""

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check and keep as Python's own numbers."""
        values = tuple(self.steps) if isinstance(self.steps, Iterable) else (self.steps,)
        if not values or not all(is_whole(one, 0, MAX_DELAY) for one in values):
            raise NetworkError(
                f"Delay: steps is {self.steps!r}, expected whole timesteps, 0 to {MAX_DELAY}"
            )
        object.__setattr__(self, "steps", tuple(int(one) for one in values))

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Refuse delays for channels that are no longer told apart."""
        if len(self.steps) > 1 and arriving[0].flattened:
            raise NetworkError(
                f"steps has {len(self.steps)} values behind a Flatten, expected one; put a delay "
                f"for each channel before the Flatten"
            )
        return super().leaving(arriving)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that came in."""
        if len(self.steps) not in (1, shape[0]):
            raise NetworkError(
                f"steps has {len(self.steps)} values, expected 1 or {shape[0]}, "
                f"one for each channel"
            )
        return shape

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Delay a dense input (steps, channels, ...)."""
        (xs,) = inputs
        delayed = np.zeros_like(xs)
        for channel, steps in enumerate(np.broadcast_to(self.steps, xs.shape[1])):
            delayed[steps:, channel] = xs[: max(0, len(xs) - steps), channel]
        return delayed

    def _pass(self, projection: Projection) -> Projection:
        before = projection.delays or (0,) * projection.channels
        channels = range(projection.offset, projection.offset + projection.channels)
        steps = self.steps * (max(channels) + 1) if len(self.steps) == 1 else self.steps
        total = tuple(d + steps[c] for d, c in zip(before, channels, strict=True))
        if max(total) > MAX_DELAY:
            raise NetworkError(f"delays add up to {max(total)}, expected at most {MAX_DELAY}")
        return projection._replace(delays=total)


@dataclass(frozen=True)
class _Merge(PathwayLayer):
    """Layers that take the outputs of several layers before them, or the network's input (-1)."""

    sources: tuple[int, ...]

    def sources_of(self, index: int) -> tuple[int, ...]:
        """Return the layers whose outputs enter this one, whatever its number."""
        return self.sources

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Return what leaves the layer for what arrives from its sources."""
        return Signal(
            self.output_shape([one.shape for one in arriving]),
            self.sums or any(one.sums for one in arriving),
            any(one.flattened for one in arriving),
        )

    def __post_init__(self) -> None:
        """Check the list of sources; `Network` checks that each comes before."""
        values = tuple(self.sources) if isinstance(self.sources, Iterable) else ()
        if len(values) < 2 or not all(is_whole(one, -1) for one in values):
            raise NetworkError(
                f"{type(self).__name__}: sources is {self.sources!r}, expected the numbers of two "
                f"or more layers, -1 for the input"
            )
        object.__setattr__(self, "sources", tuple(int(one) for one in values))


@dataclass(frozen=True)
class Add(_Merge):
    """The sum of the spikes of several layers of one shape (a skip connection).

    `sources`: numbers of layers in the network's list, each before this one; -1 is the input.
    Where two spike in one timestep a 2 arrives: the weights of both spikes are added. A spike that
    comes twice, by ways on which nothing but an `Add` differs, brings its weights doubled, once.
    """

    sources: tuple[int, ...]
    sums = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the one shape of all sources."""
        if len(set(shapes)) > 1:
            raise NetworkError(f"sources have shapes {list(shapes)}, expected one shape")
        return shapes[0]

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Add dense inputs (steps, ...)."""
        return np.asarray(sum(inputs[1:], inputs[0]))

    def pass_on(
        self, arriving: Sequence[Projections], shapes: Sequence[Shape], index: int
    ) -> Projections:
        """Let all arrive at the same inputs, those that come by one way once."""
        merged: dict[tuple[Any, ...], Projection] = {}
        for projection in (one for several in arriving for one in several):
            way = (projection.population, projection.through, projection.offset)
            scale = merged[way].scale if way in merged else 0.0
            merged[way] = projection._replace(scale=scale + projection.scale)
        return tuple(merged.values())


@dataclass(frozen=True)
class Concatenate(_Merge):
    """The spikes of several layers side by side, along the channels (a skip connection).

    `sources`: as in `Add`, in the order of the channels.
    """

    sources: tuple[int, ...]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the sum of the channels; the other axes must agree."""
        if len({shape[1:] for shape in shapes}) > 1:
            raise NetworkError(
                f"sources have shapes {list(shapes)}, expected equal ones but for the channels"
            )
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Concatenate dense inputs (steps, channels, ...)."""
        return np.concatenate(inputs, axis=1)

    def pass_on(
        self, arriving: Sequence[Projections], shapes: Sequence[Shape], index: int
    ) -> Projections:
        """Shift the inputs of each source behind those of the one before."""
        first = np.cumsum([0, *(shape[0] for shape in shapes)])
        return tuple(
            projection._replace(offset=projection.offset + int(start)).past(index)
            for start, several in zip(first, arriving, strict=False)
            for projection in several
        )


Pathway = SumPool2d | AvgPool2d | MaxPool2d | Upsample | Flatten | Delay | Add | Concatenate
PATHWAY_TYPES: dict[str, type[Pathway]] = {
    kind.__name__: kind
    for kind in (SumPool2d, AvgPool2d, MaxPool2d, Upsample, Flatten, Delay, Add, Concatenate)
}
