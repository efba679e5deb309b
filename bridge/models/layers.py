"""The layer types of structure strings, one entry each: notation, torch module, export, import.

In: a structure such as "MP4-64C3-128C3-AP2-128C3-AP2-256FC-11" (He et al. 2020), or the layers of
an `eventsim.Network`. Out: specifications, torch modules and layers of eventsim, for the models
and for `export.py`.

    nFC    n neurons, fully connected      nCk     n channels, k x k convolution, k odd, padding
    MPk    maximum of k x k                        k // 2, so that the map keeps its size
    APk    mean of k x k                   nCksm   the same with stride m
    SPk    sum of k x k                    Uk      each position repeated k x k times
                                           n       at the end: n classes, fully connected

Parts are joined by "-" and may begin with "Input-". A `Flatten` goes in where the map ends. Adding
a layer type means adding a class here and to `LAYER_TYPES`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from eventsim.errors import EventsimError, NetworkError
from eventsim.network import layers as engine
from eventsim.network import pathways, pools
from eventsim.network.geometry import Shape, Window
from eventsim.network.layers import Layer
from eventsim.network.parameters import Values


class StructureError(EventsimError):
    """A structure string cannot be read, or does not fit its input."""


class Built(NamedTuple):
    """A module and the shape of what it gives, without batch."""

    module: nn.Module
    shape: Shape


class LayerType(ABC):
    """What the bridge knows of one layer type."""

    notation: str  # how a structure writes it, for messages
    pattern: re.Pattern[str]  # the same as an expression, whose groups are the numbers
    takes_map: bool  # (channels, height, width), otherwise a flat input
    layer: type[Layer]
    module: type[nn.Module]

    @property
    def has_neurons(self) -> bool:
        """Whether the layer has weights and, behind them, neurons."""
        return issubclass(self.layer, engine.WeightLayer)

    @abstractmethod
    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        """Build the torch module for inputs of `shape` from the numbers of the notation."""

    @abstractmethod
    def to_torch(self, layer: Any) -> nn.Module:
        """Return a layer of eventsim as a module, neurons left out."""


class _WeightType(LayerType):
    """A layer with weights, behind which neurons or a recurrent cell stand."""

    @abstractmethod
    def gated(self, module: Any, gates: int) -> tuple[nn.Module, nn.Module]:
        """Return W1 with `gates` times the module's outputs, and W2 from its outputs to those.

        W1 is as the module is, W2 has no bias and keeps the size of a map.
        """


class _Dense(_WeightType):
    notation = "nFC"
    pattern = re.compile(r"(\d+)FC")
    takes_map = False
    layer = engine.Dense
    module = nn.Linear

    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        (outputs,) = numbers
        return Built(nn.Linear(shape[0], outputs, bias), (outputs,))

    def gated(self, module: Any, gates: int) -> tuple[nn.Module, nn.Module]:
        outputs, bias = module.out_features, module.bias is not None
        connection = nn.Linear(module.in_features, gates * outputs, bias)
        return connection, nn.Linear(outputs, gates * outputs, bias=False)

    def to_torch(self, layer: Any) -> nn.Module:
        outputs, inputs = layer.weight.shape
        return _fill(nn.Linear(inputs, outputs, layer.bias is not None), layer)


class _Conv2d(_WeightType):
    notation = "nCk"
    pattern = re.compile(r"(\d+)C(\d+)(?:s(\d+))?")
    takes_map = True
    layer = engine.Conv2d
    module = nn.Conv2d

    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        channels, kernel, stride = (*numbers, 1)[:3]
        if kernel % 2 == 0:
            raise StructureError(f"the kernel is {kernel}, expected an odd number")
        padding = kernel // 2
        height, width = Window(*((n, n) for n in (kernel, stride, padding, 1))).output_size(
            *shape[1:]
        )
        module = nn.Conv2d(shape[0], channels, kernel, stride, padding, bias=bias)
        return Built(module, (channels, height, width))

    def gated(self, module: Any, gates: int) -> tuple[nn.Module, nn.Module]:
        channels, kernel = module.out_channels, module.kernel_size
        padding = tuple(size // 2 for size in kernel)
        connection = nn.Conv2d(
            module.in_channels, gates * channels, kernel, module.stride, module.padding,
            bias=module.bias is not None,
        )  # fmt: skip
        return connection, nn.Conv2d(
            channels, gates * channels, kernel, padding=padding, bias=False
        )

    def to_torch(self, layer: Any) -> nn.Module:
        channels, group_in, *kernel = layer.weight.shape
        geometry: dict[str, Any] = {name: getattr(layer, name) for name in self._geometry}
        geometry["bias"] = layer.bias is not None
        return _fill(nn.Conv2d(group_in * layer.groups, channels, tuple(kernel), **geometry), layer)

    _geometry = ("stride", "padding", "dilation", "groups")


class SumPool2d(nn.AvgPool2d):
    """Sum of a window; parameters as in `torch.nn.AvgPool2d`."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        """Take a mean that divides by 1."""
        super().__init__(kernel_size, stride, padding, divisor_override=1)


class _Pool(LayerType):
    takes_map = True

    def __init__(self, letters: str, layer: type[Layer], module: type[nn.Module]) -> None:
        self.notation = f"{letters}k"
        self.pattern = re.compile(rf"{letters}(\d+)")
        self.layer = layer
        self.module = module

    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        module: Any = self.module
        pool: Any = self.layer
        return Built(module(*numbers), pool(*numbers).output_shape(shape))

    def to_torch(self, layer: Any) -> nn.Module:
        module: Any = self.module
        options = {"divisor_override": layer.divisor} if getattr(layer, "divisor", None) else {}
        pool: nn.Module = module(
            layer.kernel_size, layer.stride, padding=layer.padding or 0, **options
        )
        return pool


class _Upsample(LayerType):
    notation = "Uk"
    pattern = re.compile(r"U(\d+)")
    takes_map = True
    layer = pools.Upsample
    module = nn.Upsample

    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        (factor,) = numbers
        return Built(nn.Upsample(scale_factor=factor), pools.Upsample(factor).output_shape(shape))

    def to_torch(self, layer: Any) -> nn.Module:
        return nn.Upsample(scale_factor=tuple(map(float, layer.factor)))


class _Flatten(LayerType):
    notation = ""  # `parse_structure` puts it in
    pattern = re.compile("")
    takes_map = True
    layer = pathways.Flatten
    module = nn.Flatten

    def build(self, numbers: Sequence[int], shape: Shape, bias: bool) -> Built:
        return Built(nn.Flatten(), pathways.Flatten().output_shape(shape))

    def to_torch(self, layer: Any) -> nn.Module:
        return nn.Flatten()


def add_batch_norm(weights: nn.Module, threshold: Values) -> nn.Sequential:
    """Put a batch normalisation behind weights, for neurons of the threshold (or thresholds).

    It normalises over batch, timesteps and sites, and begins with the threshold as its scale and a
    shift of 0 (Zheng et al. 2021, "Going deeper with directly-trained larger SNNs", alpha = 1).
    """
    outputs = len(weights.get_parameter("weight"))
    conv = isinstance(weights, nn.Conv2d)
    norm = nn.BatchNorm2d(outputs) if conv else nn.BatchNorm1d(outputs)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(threshold))
    return nn.Sequential(weights, norm)


DENSE = _Dense()
FLATTEN = _Flatten()
LAYER_TYPES: tuple[LayerType, ...] = (
    DENSE,
    _Conv2d(),
    _Pool("MP", pools.MaxPool2d, nn.MaxPool2d),
    _Pool("AP", pools.AvgPool2d, nn.AvgPool2d),
    _Pool("SP", pools.SumPool2d, SumPool2d),
    _Upsample(),
    FLATTEN,
)
TYPE_OF_LAYER = {entry.layer: entry for entry in LAYER_TYPES}


@dataclass(frozen=True)
class Spec:
    """One part of a structure: its text, its layer type, and the numbers in the text."""

    text: str
    type: LayerType
    numbers: tuple[int, ...]


def parse_structure(text: str) -> list[Spec]:
    """Read a structure in the notation of this module's docstring.

    The last entry is the dense layer of the classes, with their number in `numbers[0]`. Raises
    `StructureError` naming the part that is wrong and what was expected.
    """
    parts = text.split("-")
    if parts[0] == "Input":
        del parts[0]
    specs: list[Spec] = []
    for part in parts[:-1]:
        _append(specs, _read_part(part, text), text)
    last = parts[-1] if parts else ""
    if not (last.isdecimal() and int(last)):
        raise StructureError(
            f"structure {text!r}: the last part is {last!r}, expected the number of classes"
        )
    _append(specs, Spec(last, DENSE, (int(last),)), text)
    return specs


def _read_part(part: str, text: str) -> Spec:
    for entry in LAYER_TYPES:
        found = entry.pattern.fullmatch(part)
        if found and entry.notation:
            numbers = tuple(int(number) for number in found.groups() if number is not None)
            if 0 in numbers:
                raise StructureError(f"structure {text!r}: {part!r} has a 0, expected 1 or more")
            return Spec(part, entry, numbers)
    known = ", ".join(entry.notation for entry in LAYER_TYPES if entry.notation)
    raise StructureError(
        f"structure {text!r}: {part!r} is no layer, expected one of {known} (with numbers for "
        f"n and k), and only at the end a plain number, of classes"
    )


def _append(specs: list[Spec], spec: Spec, text: str) -> None:
    """Add a part, and the Flatten before it where the map ends."""
    on_map = not any(before.type is FLATTEN for before in specs)
    if spec.type.takes_map and not on_map:
        raise StructureError(
            f"structure {text!r}: {spec.text!r} stands behind a fully connected layer, "
            f"expected it before the first of them"
        )
    if on_map and not spec.type.takes_map:
        specs.append(Spec("Flatten", FLATTEN, ()))
    specs.append(spec)


def build_modules(structure: str, shape: Shape, bias: bool) -> list[tuple[LayerType, nn.Module]]:
    """Build the torch module of each layer of a structure, for inputs (polarities, height, width).

    Raises `StructureError` for a structure that cannot be read or does not fit the input.
    """
    modules = []
    for spec in parse_structure(structure):
        try:
            module, shape = spec.type.build(spec.numbers, shape, bias)
        except (NetworkError, StructureError) as error:
            raise StructureError(f"structure {structure!r}: {spec.text!r}: {error}") from None
        modules.append((spec.type, module))
    return modules


def _fill(module: Any, layer: Any) -> nn.Module:
    """Copy weight and bias of a layer of eventsim into a module."""
    with torch.no_grad():
        module.weight.copy_(torch.tensor(layer.weight))
        if layer.bias is not None:
            module.bias.copy_(torch.tensor(layer.bias))
    filled: nn.Module = module
    return filled
