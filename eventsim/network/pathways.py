"""The ways of spikes between neurons: pools, Flatten, delays, sums and concatenations.

None of these layers has weights or neurons. Each says
- the shape it gives (`output_shape`), in PyTorch's axis order;
- its dense semantics in plain NumPy (`run`, over all timesteps), which `reference.py` runs;
- what it does to the sources of its spikes (`pass_on`), from which `wiring.py` makes addresses: at
  run time none of them costs more than that.

Adding one means adding a class here and to `PATHWAY_TYPES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import NetworkError
from .geometry import Pair, Reach, Shape, Window, map_shape
from .parameters import freeze_pair

MAX_DELAY = 2**20  # timesteps; what was emitted meanwhile is kept


class Source(NamedTuple):
    """Spikes that arrive somewhere: whose they are, and how they got there.

    A spike of channel c at a position of the source's map stands for input `offset + c` of the
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
    scale: float = 1.0  # of the pools, folded into the weights
    delays: tuple[int, ...] = ()  # timesteps for each channel; empty: none


Sources = tuple[Source, ...]


class _EachStep:
    """A layer that does the same to its one input in every timestep."""

    output_shape: Any
    forward: Any

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Run dense inputs (steps, *shape), one for each source."""
        (xs,) = inputs
        leaving = np.empty((len(xs), *self.output_shape(xs.shape[1:])), xs.dtype)
        for t, x in enumerate(xs):
            leaving[t] = self.forward(x)
        return leaving


class _Pool(_EachStep):
    """What the pools share: a window without padding; odd rows and columns at the end are cut."""

    kernel_size: int | Pair
    stride: int | Pair | None
    scale = 1.0

    def __post_init__(self) -> None:
        """Check and normalise to pairs."""
        freeze_pair(self, "kernel_size", 1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        freeze_pair(self, "stride", 1)

    @property
    def _window(self) -> Window:
        return Window(self.kernel_size, self.stride, (0, 0), (1, 1))

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width)."""
        channels, height, width = map_shape(shape)
        return (channels, *self._window.output_size(height, width))

    def pass_on(self, sources: Sequence[Sources], shapes: Sequence[Shape]) -> Sources:
        """Chain the pool to what each source went through before."""
        return tuple(self._chain(source) for source in sources[0])

    def _chain(self, source: Source) -> Source:
        reach = self._window.reach(*source.shape)
        before = source.linear
        return source._replace(
            shape=self._window.output_size(*source.shape),
            linear=reach if before is None else reach.through(before),
            scale=source.scale * self.scale,
        )

    def _windows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return a view (channels, height, width, kernel height, kernel width)."""
        stride_y, stride_x = self._window.stride
        view = np.lib.stride_tricks.sliding_window_view(x, self._window.kernel, axis=(1, 2))
        return view[:, ::stride_y, ::stride_x]


@dataclass(frozen=True)
class SumPool2d(_Pool):
    """Sum of the spikes in a window.

    `kernel_size` and `stride` (by default the same): one number or (y, x).
    """

    kernel_size: int | Pair
    stride: int | Pair | None = None

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(self._windows(x).sum(axis=(3, 4), dtype=x.dtype))


@dataclass(frozen=True)
class AvgPool2d(_Pool):
    """Mean of the spikes in a window, as `torch.nn.AvgPool2d`. Parameters as in `SumPool2d`."""

    kernel_size: int | Pair
    stride: int | Pair | None = None

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Factor folded into the weight rows behind the pool."""
        return 1.0 / float(np.prod(self._window.kernel))

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(
            self._windows(x).sum(axis=(3, 4), dtype=x.dtype) * x.dtype.type(self.scale)
        )


@dataclass(frozen=True)
class MaxPool2d(_Pool):
    """Maximum of a window, as `torch.nn.MaxPool2d`: on spikes, the OR of the cell in a timestep."""

    kernel_size: int | Pair
    stride: int | Pair | None = None

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(self._windows(x).max(axis=(3, 4)))

    def _chain(self, source: Source) -> Source:
        reach, before = self._window.reach(*source.shape), source.max_pool
        return source._replace(
            shape=self._window.output_size(*source.shape),
            max_pool=reach if before is None else reach.through(before),
        )


@dataclass(frozen=True)
class Flatten(_EachStep):
    """(channels, height, width) to one axis, channel-first as in PyTorch."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the product of the axes."""
        return (int(np.prod(shape)),)

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Flatten a dense map."""
        return x.reshape(-1)

    def pass_on(self, sources: Sequence[Sources], shapes: Sequence[Shape]) -> Sources:
        """Number the inputs one by one from here on."""
        return tuple(
            source._replace(offset=source.offset * source.shape[0] * source.shape[1], flat=True)
            if not source.flat else source
            for source in sources[0]
        )  # fmt: skip


@dataclass(frozen=True)
class Delay:
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

    def pass_on(self, sources: Sequence[Sources], shapes: Sequence[Shape]) -> Sources:
        """Add the delay of each channel that arrives to those of the sources."""
        return tuple(self._add(source) for source in sources[0])

    def _add(self, source: Source) -> Source:
        before = source.delays or (0,) * source.channels
        channels = range(source.offset, source.offset + source.channels)
        steps = self.steps * (max(channels) + 1) if len(self.steps) == 1 else self.steps
        total = tuple(d + steps[c] for d, c in zip(before, channels, strict=True))
        if max(total) > MAX_DELAY:
            raise NetworkError(f"delays add up to {max(total)}, expected at most {MAX_DELAY}")
        return source._replace(delays=total)


@dataclass(frozen=True)
class _Merge:
    """Layers that take the outputs of several layers before them, or the network's input (-1)."""

    sources: tuple[int, ...]

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
    Where two spike in one timestep a 2 arrives: the weights of both spikes are added.
    """

    sources: tuple[int, ...]

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the one shape of all sources."""
        if len(set(shapes)) > 1:
            raise NetworkError(f"sources have shapes {list(shapes)}, expected one shape")
        return shapes[0]

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Add dense inputs (steps, ...)."""
        return np.asarray(sum(inputs[1:], inputs[0]))

    def pass_on(self, sources: Sequence[Sources], shapes: Sequence[Shape]) -> Sources:
        """Let all arrive at the same inputs."""
        return tuple(source for several in sources for source in several)


@dataclass(frozen=True)
class Concatenate(_Merge):
    """The spikes of several layers side by side, along the channels (a skip connection).

    `sources`: as in `Add`, in the order of the channels.
    """

    sources: tuple[int, ...]

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the sum of the channels; the other axes must agree."""
        if len({shape[1:] for shape in shapes}) > 1:
            raise NetworkError(
                f"sources have shapes {list(shapes)}, expected equal ones but for the channels"
            )
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def run(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Concatenate dense inputs (steps, channels, ...)."""
        return np.concatenate(inputs, axis=1)

    def pass_on(self, sources: Sequence[Sources], shapes: Sequence[Shape]) -> Sources:
        """Shift the inputs of each source behind those of the one before."""
        first = np.cumsum([0, *(shape[0] for shape in shapes)])
        return tuple(
            source._replace(offset=source.offset + int(start))
            for start, several in zip(first, sources, strict=False)
            for source in several
        )


Pathway = SumPool2d | AvgPool2d | MaxPool2d | Flatten | Delay | Add | Concatenate
PATHWAY_TYPES: dict[str, type[Pathway]] = {
    kind.__name__: kind
    for kind in (SumPool2d, AvgPool2d, MaxPool2d, Flatten, Delay, Add, Concatenate)
}
