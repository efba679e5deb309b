"""What passes between layers: signals, projections, and what the layers without weights share.

Used by `pools.py` and `pathways.py`, which hold those layers; by `layers.py` and `graph.py` for
what leaves a layer; and by `wiring/` for what reaches one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .geometry import Pair, Reach, Shape


class Signal(NamedTuple):
    """What leaves a layer, as the layers behind it must know."""

    shape: Shape
    sums: bool = False  # whether it is sums of spikes
    flattened: bool = False  # whether maps of several positions were flattened on the way


class Projection(NamedTuple):
    """Spikes of a population on their way to a layer.

    A spike of channel c at a position of the population's map stands for input `offset + c` of the
    channels that arrive, at the positions that `max_pool` and then `linear` reach; behind a
    Flatten, for the flat input `offset + c * height * width + position`.
    """

    population: int  # index among the layers with neurons, -1 for the input events
    channels: int
    shape: Pair  # (height, width) of the map here, or where it was flattened
    offset: int = 0
    flat: bool = False
    max_pool: Reach | None = None
    linear: Reach | None = None
    scale: float = 1.0  # of pools and repeated sums, folded into the weights
    delays: tuple[int, ...] = ()  # timesteps for each channel; empty: none
    through: tuple[int, ...] = ()  # the layers on the way, but for `Add`

    def past(self, index: int) -> Projection:
        """Return the projection behind layer `index`."""
        return self._replace(through=(*self.through, index))


Projections = tuple[Projection, ...]


class PathwayLayer:
    """What all have: one source, the layer before, and what most do to it."""

    sums = False  # whether it makes sums of spikes
    output_shape: Any

    def sources_of(self, index: int) -> tuple[int, ...]:
        """Return the layers whose outputs enter this one, which is number `index`."""
        return (index - 1,)

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Return what leaves the layer for what arrives from its sources.

        Raises `NetworkError` for what does not fit.
        """
        (one,) = arriving
        return one._replace(shape=self.output_shape(one.shape), sums=one.sums or self.sums)

    def pass_on(
        self, arriving: Sequence[Projections], shapes: Sequence[Shape], index: int
    ) -> Projections:
        """Return the projections that leave layer `index`, for those of each source, of a shape."""
        return tuple(self._pass(projection).past(index) for projection in arriving[0])

    def _pass(self, projection: Projection) -> Projection:
        raise NotImplementedError


class EachStep(PathwayLayer):
    """A layer that does the same to its one input in every timestep."""

    forward: Any

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Run dense inputs (steps, *shape), one for each source."""
        (xs,) = inputs
        leaving = np.empty((len(xs), *self.output_shape(xs.shape[1:])), xs.dtype)
        for t, x in enumerate(xs):
            leaving[t] = self.forward(x)
        return leaving
