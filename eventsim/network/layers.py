"""The layers with weights and neurons: one class each, with all that the engine must know.

A layer says three things:
- its parameters and the shape it gives (`output_shape`), in PyTorch's axis order;
- its dense semantics in plain NumPy (`add_input`), which `reference.py` runs;
- its sparse semantics: which sites an input at each position reaches (`reach`), the weight rows
  (`rows`), and which of them a spike adds there (`addresses`), which `wiring/` lays out for the
  kernels.

Every layer may be recurrent: `recurrent` holds the weights from the layer's spikes of the timestep
before, (outputs, outputs) for each to each (Dense only), or (channels,) for each neuron to itself.

Layers without weights are in `pathways.py`. Adding a layer type means adding a class here and to
`WEIGHT_LAYER_TYPES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import NetworkError
from ..events.arrays import MAX_CELLS
from .geometry import Pair, Reach, Shape, Window, map_shape
from .neurons import NEURON_TYPES, Neuron
from .parameters import freeze_pair, frozen_array
from .pathways import PATHWAY_TYPES, Pathway
from .projections import Projection, Signal

Rows = NDArray[np.int64]


class _WeightLayer:
    """What layers with weights and neurons share."""

    output_shape: Any

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    recurrent: NDArray[np.float32] | None
    neuron: Neuron
    groups = 1

    def sources_of(self, index: int) -> tuple[int, ...]:
        """Return the one layer whose output enters this one, which is number `index`."""
        return (index - 1,)

    def leaving(self, arriving: Sequence[Signal]) -> Signal:
        """Return what leaves the layer; raises `NetworkError` for what does not fit it."""
        return Signal(self.output_shape(arriving[0].shape))

    def add_bias(self, u: NDArray[Any], last_spikes: NDArray[Any]) -> None:
        """Add the bias, and what the layer's own last spikes (of u's shape) bring back."""
        by_channel = (-1, *[1] * (u.ndim - 1))
        if self.bias is not None:
            u += self.bias.reshape(by_channel)
        if self.recurrent is None:
            return
        if self.recurrent.ndim == 1:
            u += self.recurrent.reshape(by_channel) * last_spikes
        else:
            for value, column in zip(last_spikes, self.recurrent.T, strict=True):
                u += column * value

    def recurrent_macs(self, positions: int) -> int:
        """Return the multiply-accumulates of one dense pass of the recurrent weights."""
        return 0 if self.recurrent is None else self.recurrent.size * positions

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        arrays = (self.weight, self.bias, self.recurrent)
        return sum(array.size for array in arrays if array is not None)

    def __repr__(self) -> str:
        """Write the layer as one would construct it, but of arrays only the shapes."""
        shown = []
        for one in fields(self):  # type: ignore[arg-type]  # of the dataclasses below
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                shown.append(f"{one.name}{value.shape}")
            elif one.name == "neuron":
                shown.append(repr(value))
            elif value != one.default and value != (one.default, one.default):
                shown.append(f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, eq=False, repr=False)
class Dense(_WeightLayer):
    """Fully connected layer, as `torch.nn.Linear` followed by a neuron.

    `weight` (outputs, inputs), `bias` (outputs,) or None, `recurrent` (outputs, outputs),
    (outputs,) or None; float32. The inputs of a map must pass a `Flatten` first.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    recurrent: NDArray[np.float32] | None = None
    neuron: Neuron = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check and freeze the parameters."""
        _freeze_parameters(self, 2, "(outputs, inputs)", each_to_each=True)

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
        """Add weighted input to the membranes `u` (outputs,), input by input."""
        for value, column in zip(x, self.weight.T, strict=True):
            u += column * value

    def dense_macs(self, shape: Shape) -> int:
        """Return the multiply-accumulates of one dense pass."""
        return self.weight.size + self.recurrent_macs(1)

    def reach(self, height: int, width: int) -> tuple[Reach, int]:
        """Let every position of the map before the Flatten reach the one site, by its own tap."""
        positions = height * width
        return Reach(
            np.arange(positions + 1), np.zeros(positions, np.int64), np.arange(positions)
        ), 1

    def rows(self) -> NDArray[np.float32]:
        """Return (inputs, outputs)."""
        return np.ascontiguousarray(self.weight.T)

    def addresses(self, taps: Rows, source: Projection, channels: int) -> tuple[Rows, int]:
        """Return the row of a source's channel 0 at each tap, and the rows from one channel to the
        next: PyTorch flattens channel-first."""
        return source.offset + taps, source.shape[0] * source.shape[1]


class _Convolution(_WeightLayer):
    """What 1-D and 2-D convolutions share; `_taps` has the weights as those of a 2-D one."""

    _window: Window
    _taps: NDArray[np.float32]

    def _check_groups(self) -> None:
        if not is_whole(self.groups, 1) or self.weight.shape[0] % self.groups:
            raise NetworkError(
                f"{type(self).__name__}: groups is {self.groups!r}, expected a divisor of "
                f"{self.weight.shape[0]} output channels"
            )
        object.__setattr__(self, "groups", int(self.groups))

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_channels, height, width)."""
        channels, height, width = map_shape(shape)
        expected = self.weight.shape[1] * self.groups
        if channels != expected:
            raise NetworkError(
                f"weight has shape {self.weight.shape} with {self.groups} groups, so {expected} "
                f"input channels, but {channels} arrive"
            )
        return (self.weight.shape[0], *self._window.output_size(height, width))

    def add_input(self, u: NDArray[Any], x: NDArray[Any]) -> None:
        """Add weighted input to the membranes `u` (out_channels, height, width).

        Taps in row order, then channels: the order in which the engine's spikes arrive at a site.
        """
        window, weight = self._window, self._taps
        _, _, kernel_height, kernel_width = weight.shape
        group_in, group_out = weight.shape[1], weight.shape[0] // self.groups
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
                    u[outputs] += weight[outputs, within, ky, kx, None, None] * seen[channel]

    def dense_macs(self, shape: Shape) -> int:
        """Return the multiply-accumulates of one dense pass, those with padding included."""
        _, height, width = self.output_shape(shape)
        return height * width * self.weight.size + self.recurrent_macs(height * width)

    def reach(self, height: int, width: int) -> tuple[Reach, int]:
        """Return which output sites each input position reaches, and the number of sites."""
        out_height, out_width = self._window.output_size(height, width)
        return self._window.reach(height, width), out_height * out_width

    def _line(self) -> NDArray[np.int64]:
        """Return the order in which the taps of a kernel line are stored.

        Taps that reach neighbouring sites from left to right follow each other, so what one spike
        adds to a line of sites is one stretch of weights: from right to left at stride 1; at
        stride 2 those of every other column first.
        """
        kx = np.arange(self._taps.shape[3])
        stride, dilation = self._window.stride[1], self._window.dilation[1]
        apart = stride // dilation if stride % dilation == 0 else 1
        return np.lexsort((-kx, kx % apart))

    def rows(self) -> NDArray[np.float32]:
        """Return one row of out_channels / groups weights for each (ky, in_channel, kx in line)."""
        out_channels, group_in, height, width = self._taps.shape
        group_out = out_channels // self.groups
        grouped = self._taps.reshape(self.groups, group_out, group_in, height, width)
        # (ky, group, channel within the group, kx, output within the group)
        by_tap = grouped.transpose(3, 0, 2, 4, 1)
        return by_tap[:, :, :, self._line()].reshape(-1, group_out)

    def addresses(self, taps: Rows, source: Projection, channels: int) -> tuple[Rows, int]:
        """Return the row of a source's channel 0 at each tap, and the rows from one channel to the
        next. `channels` arrive in all."""
        width = self._taps.shape[3]
        ky, kx = np.divmod(taps, width)
        return (ky * channels + source.offset) * width + np.argsort(self._line())[kx], width


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(_Convolution):
    """2-D convolution with zero padding, as `torch.nn.Conv2d` followed by a neuron.

    `weight` (out_channels, in_channels / groups, kernel height, kernel width), `bias` and
    `recurrent` (out_channels,) or None; float32. `stride`, `padding`, `dilation`: one number or
    (y, x). A depthwise convolution has as many `groups` as input channels. `neuron`: of outputs.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    groups: int = 1
    recurrent: NDArray[np.float32] | None = None
    neuron: Neuron = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check and freeze the parameters."""
        _freeze_parameters(self, 4, "(out_channels, in_channels / groups, height, width)")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            freeze_pair(self, name, least)
        self._check_groups()

    @property
    def _window(self) -> Window:  # type: ignore[override]
        return Window(self.weight.shape[2:], self.stride, self.padding, self.dilation)

    @property
    def _taps(self) -> NDArray[np.float32]:  # type: ignore[override]
        return self.weight


@dataclass(frozen=True, eq=False, repr=False)
class Conv1d(_Convolution):
    """1-D convolution along x, as `torch.nn.Conv1d`, over maps of height 1 (channels, 1, width).

    `weight` (out_channels, in_channels / groups, kernel width), `bias` and `recurrent`
    (out_channels,) or None; float32. `stride`, `padding`, `dilation`, `groups` and `neuron` as in
    `Conv2d`, each one number.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    recurrent: NDArray[np.float32] | None = None
    neuron: Neuron = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check and freeze the parameters."""
        _freeze_parameters(self, 3, "(out_channels, in_channels / groups, width)")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            if not is_whole(value, least, MAX_CELLS):
                raise NetworkError(f"Conv1d: {name} is {value!r}, expected a whole number")
            object.__setattr__(self, name, int(value))
        self._check_groups()

    @property
    def _window(self) -> Window:  # type: ignore[override]
        return Window(
            (1, self.weight.shape[2]), (1, self.stride), (0, self.padding), (1, self.dilation)
        )

    @property
    def _taps(self) -> NDArray[np.float32]:  # type: ignore[override]
        return self.weight[:, :, None, :]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_channels, 1, width)."""
        if map_shape(shape)[1] != 1:
            raise NetworkError(f"input has shape {shape}, expected a map of height 1")
        return super().output_shape(shape)


WeightLayer = Dense | Conv2d | Conv1d
WEIGHT_LAYER_TYPES: dict[str, type[WeightLayer]] = {
    kind.__name__: kind for kind in (Dense, Conv2d, Conv1d)
}
Layer = WeightLayer | Pathway
LAYER_TYPES: dict[str, type[Layer]] = {**WEIGHT_LAYER_TYPES, **PATHWAY_TYPES}


def _freeze_parameters(layer: Any, axes: int, meaning: str, each_to_each: bool = False) -> None:
    kind = type(layer).__name__
    weight = frozen_array(layer.weight, f"{kind}: weight")
    if weight.ndim != axes or 0 in weight.shape:
        raise NetworkError(f"{kind}: weight has shape {weight.shape}, expected {meaning}")
    object.__setattr__(layer, "weight", weight)
    outputs = weight.shape[0]
    square = [(outputs, outputs)] if each_to_each else []
    for name, shapes in (("bias", [(outputs,)]), ("recurrent", [(outputs,), *square])):
        if getattr(layer, name) is not None:
            values = frozen_array(getattr(layer, name), f"{kind}: {name}")
            if values.shape not in shapes:
                expected = " or ".join(str(shape) for shape in shapes)
                raise NetworkError(f"{kind}: {name} has shape {values.shape}, expected {expected}")
            object.__setattr__(layer, name, values)
    if type(layer.neuron) not in NEURON_TYPES.values():
        raise NetworkError(
            f"{kind}: neuron is {layer.neuron!r}, expected one of {', '.join(NEURON_TYPES)}"
        )
    if layer.neuron.channels not in (None, outputs):
        raise NetworkError(
            f"{kind}: neuron has parameters for {layer.neuron.channels} channels, "
            f"expected one number or {outputs}"
        )
