"""The layer types: one class each, with everything the engine must know about a layer.

A layer says three things:
- its parameters and the shape it gives (`output_shape`), in PyTorch's axis order;
- its dense semantics in plain NumPy (`forward`, or `add_input` for layers with neurons), which
  `reference.py` runs;
- its sparse semantics: which sites an input at each position reaches (`reach`) and the weight rows
  it adds there (`rows`), which `wiring.py` lays out for the kernels.

Adding a layer type means adding a class here and to `LAYER_TYPES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import NetworkError
from .events import MAX_CELLS
from .neurons import NEURON_TYPES, Neuron

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


@dataclass(frozen=True, eq=False)
class Dense:
    """Fully connected layer, as `torch.nn.Linear` followed by a neuron.

    `weight` (outputs, inputs), `bias` (outputs,) or None; float32. The inputs of a map must pass
    a `Flatten` first.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    neuron: Neuron = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check and freeze the parameters."""
        _freeze_parameters(self, 2, "(outputs, inputs)")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (outputs,) for an input of shape (inputs,)."""
        outputs, inputs = self.weight.shape
        if len(shape) != 1:
            raise NetworkError(
                f"input has shape {shape}, expected a flat one: put Flatten() before"
            )
        if shape[0] != inputs:
            raise NetworkError(
                f"weight has shape {self.weight.shape}, so {inputs} inputs, but {shape[0]} arrive"
            )
        return (outputs,)

    def add_input(self, u: NDArray[Any], x: NDArray[Any]) -> None:
        """Add bias and weighted input to the membranes `u` (outputs,), input by input."""
        if self.bias is not None:
            u += self.bias
        for value, column in zip(x, self.weight.T, strict=True):
            u += column * value

    def dense_macs(self, shape: Shape) -> int:
        """Return the multiply-accumulates of one dense pass."""
        return self.weight.size

    groups = 1

    def reach(self, height: int, width: int) -> tuple[Reach, int]:
        """Let every position of the map before the Flatten reach the one site, by its own tap."""
        positions = height * width
        return Reach(
            np.arange(positions + 1), np.zeros(positions, np.int64), np.arange(positions)
        ), 1

    def rows(self, channels: int) -> NDArray[np.float32]:
        """Return (position * channels + channel, outputs): PyTorch flattens channel-first."""
        outputs, inputs = self.weight.shape
        by_position = self.weight.reshape(outputs, channels, inputs // channels)
        return np.ascontiguousarray(by_position.transpose(2, 1, 0)).reshape(inputs, outputs)


@dataclass(frozen=True, eq=False)
class Conv2d:
    """2-D convolution with zero padding, as `torch.nn.Conv2d` followed by a neuron.

    `weight` (out_channels, in_channels / groups, kernel height, kernel width), `bias`
    (out_channels,) or None; float32. `stride`, `padding`, `dilation`: one number or (y, x).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    groups: int = 1
    neuron: Neuron = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check and freeze the parameters."""
        _freeze_parameters(self, 4, "(out_channels, in_channels / groups, height, width)")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            _freeze_pair(self, name, least)
        if not is_whole(self.groups, 1) or self.weight.shape[0] % self.groups:
            raise NetworkError(
                f"Conv2d: groups is {self.groups!r}, expected a divisor of "
                f"{self.weight.shape[0]} output channels"
            )
        object.__setattr__(self, "groups", int(self.groups))

    @property
    def _window(self) -> Window:
        return Window(self.weight.shape[2:], self.stride, self.padding, self.dilation)

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_channels, height, width)."""
        channels, height, width = _map_shape(shape)
        expected = self.weight.shape[1] * self.groups
        if channels != expected:
            raise NetworkError(
                f"weight has shape {self.weight.shape} with {self.groups} groups, so {expected} "
                f"input channels, but {channels} arrive"
            )
        return (self.weight.shape[0], *self._window.output_size(height, width))

    def add_input(self, u: NDArray[Any], x: NDArray[Any]) -> None:
        """Add bias and weighted input to the membranes `u` (out_channels, height, width).

        Taps in row order, then channels: the order in which the engine's spikes arrive at a site.
        """
        if self.bias is not None:
            u += self.bias[:, None, None]
        window, (_, _, kernel_height, kernel_width) = self._window, self.weight.shape
        group_in, group_out = self.weight.shape[1], self.weight.shape[0] // self.groups
        (pad_y, pad_x), (stride_y, stride_x) = window.padding, window.stride
        padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
        height, width = u.shape[1:]
        for ky in range(kernel_height):
            for kx in range(kernel_width):
                top, left = ky * window.dilation[0], kx * window.dilation[1]
                seen = padded[:, top:, left:][:, ::stride_y, ::stride_x][:, :height, :width]
                for channel in range(len(x)):
                    group, within = divmod(channel, group_in)
                    outputs = slice(group * group_out, (group + 1) * group_out)
                    u[outputs] += self.weight[outputs, within, ky, kx, None, None] * seen[channel]

    def dense_macs(self, shape: Shape) -> int:
        """Return the multiply-accumulates of one dense pass, those with padding included."""
        _, height, width = self.output_shape(shape)
        return height * width * self.weight.size

    def reach(self, height: int, width: int) -> tuple[Reach, int]:
        """Return which output sites each input position reaches, and the number of sites."""
        out_height, out_width = self._window.output_size(height, width)
        return self._window.reach(height, width), out_height * out_width

    def rows(self, channels: int) -> NDArray[np.float32]:
        """Return (tap * channels + channel, out_channels / groups)."""
        out_channels, group_in, height, width = self.weight.shape
        grouped = self.weight.reshape(
            self.groups, out_channels // self.groups, group_in, height * width
        )
        # (tap, group, channel within the group, output within the group)
        return np.ascontiguousarray(grouped.transpose(3, 0, 2, 1)).reshape(
            height * width * channels, out_channels // self.groups
        )


class _Pool:
    """What the pools share: a window without padding; odd rows and columns at the end are cut."""

    kernel_size: int | Pair
    stride: int | Pair | None

    def __post_init__(self) -> None:
        """Check and normalise to pairs."""
        _freeze_pair(self, "kernel_size", 1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        _freeze_pair(self, "stride", 1)

    @property
    def _window(self) -> Window:
        return Window(self.kernel_size, self.stride, (0, 0), (1, 1))

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width)."""
        channels, height, width = _map_shape(shape)
        return (channels, *self._window.output_size(height, width))

    def reach(self, height: int, width: int) -> Reach:
        """Return which pooled cells each input position reaches."""
        return self._window.reach(height, width)

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

    @property
    def scale(self) -> float:
        """Factor folded into the weight rows behind the pool."""
        return 1.0

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pool a dense map (channels, height, width)."""
        return np.asarray(self._windows(x).sum(axis=(3, 4), dtype=x.dtype))


@dataclass(frozen=True)
class AvgPool2d(_Pool):
    """Mean of the spikes in a window, as `torch.nn.AvgPool2d`. Parameters as in `SumPool2d`."""

    kernel_size: int | Pair
    stride: int | Pair | None = None

    @property
    def scale(self) -> float:
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


@dataclass(frozen=True)
class Flatten:
    """(channels, height, width) to one axis, channel-first as in PyTorch."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the product of the axes."""
        return (int(np.prod(shape)),)

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Flatten a dense map."""
        return x.reshape(-1)


WeightLayer = Dense | Conv2d
Pool = SumPool2d | AvgPool2d | MaxPool2d
Layer = Dense | Conv2d | SumPool2d | AvgPool2d | MaxPool2d | Flatten
LAYER_TYPES: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Conv2d, SumPool2d, AvgPool2d, MaxPool2d, Flatten)
}


def is_whole(value: Any, least: int, most: int = MAX_CELLS) -> bool:
    """Tell whether a parameter is a whole number from `least` to `most`."""
    return isinstance(value, int | np.integer) and bool(least <= value <= most)


def _map_shape(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise NetworkError(f"input has shape {shape}, expected a map (channels, height, width)")
    return shape[0], shape[1], shape[2]


def _freeze_pair(layer: Any, name: str, least: int) -> None:
    value = getattr(layer, name)
    pair = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(pair) != 2 or not all(is_whole(n, least) for n in pair):
        raise NetworkError(
            f"{type(layer).__name__}: {name} is {value!r}, "
            f"expected a whole number from {least} to {MAX_CELLS}, or two"
        )
    object.__setattr__(layer, name, (int(pair[0]), int(pair[1])))


def _freeze_parameters(layer: Any, axes: int, meaning: str) -> None:
    kind = type(layer).__name__
    weight = _frozen_array(layer.weight, f"{kind}: weight")
    if weight.ndim != axes or 0 in weight.shape:
        raise NetworkError(f"{kind}: weight has shape {weight.shape}, expected {meaning}")
    object.__setattr__(layer, "weight", weight)
    if layer.bias is not None:
        bias = _frozen_array(layer.bias, f"{kind}: bias")
        if bias.shape != weight.shape[:1]:
            raise NetworkError(f"{kind}: bias has shape {bias.shape}, expected {weight.shape[:1]}")
        object.__setattr__(layer, "bias", bias)
    if type(layer.neuron) not in NEURON_TYPES.values():
        raise NetworkError(
            f"{kind}: neuron is {layer.neuron!r}, expected one of {', '.join(NEURON_TYPES)}"
        )


def _frozen_array(values: ArrayLike, what: str) -> NDArray[np.float32]:
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
