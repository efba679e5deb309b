"""torch modules without neurons as layers of the engine: every option honoured, or refused by name.

In: an `nn.Linear` or convolution, with the batch normalisation and the neurons behind it; a pool,
a `Flatten` or an `Upsample`. Out: the layer of `eventsim.network` that computes the same.
`spiking.py` and `importing/` call it, and put the path of what is refused before the sentence.

A subclass is what it computes: of a type that is known, as long as it brings no forward pass of its
own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm

from eventsim.errors import NetworkError
from eventsim.network import layers as engine
from eventsim.network import pathways, pools
from eventsim.network.geometry import Pair, Shape
from eventsim.network.layers import Layer, WeightLayer
from eventsim.network.neurons import Neuron

# What does nothing in a trained model.
SILENT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
# spikingjelly's forms of torch's layers take an axis of timesteps besides, and compute the same.
_SAME_WITH_TIME = (
    "spikingjelly.activation_based.layer.stateless_wrapper",
    "spikingjelly.activation_based.layer.bn",
    "spikingjelly.activation_based.layer.dropout",
)


def kind_of(module: nn.Module) -> type[nn.Module] | None:
    """Return the known type of torch that a module computes as; None for none."""
    if type(module).__module__ == _SAME_WITH_TIME[2] and hasattr(module, "p"):
        return nn.Dropout
    methods = ("forward", "_conv_forward")
    for kind in (*SILENT, *NORMS, *WEIGHTS, *PATHWAYS):
        if isinstance(module, kind) and all(_is_known(module, kind, name) for name in methods):
            return kind
    return None


def _is_known(module: nn.Module, kind: type[nn.Module], method: str) -> bool:
    """Tell whether a method of a module, if there is one, is that of a known type."""
    owner = next((one for one in type(module).__mro__ if method in vars(one)), kind)
    same = owner.__module__ in _SAME_WITH_TIME and owner.__name__ == kind.__name__
    return owner in kind.__mro__ or same


class Connection(NamedTuple):
    """Weights on their way into the engine, in float64 until the layer is made: rounded once."""

    module: Any  # an nn.Linear, Conv2d or Conv1d: of it the geometry
    weight: NDArray[Any]
    bias: NDArray[Any] | None

    @staticmethod
    def of(module: Any) -> Connection:
        """Take over weight and bias as they act in eval mode, weight norm resolved."""
        check_hooks(module)
        bias = None if module.bias is None else float64s(module.bias)
        return Connection(module, float64s(module.weight), bias)

    def folded(self, norm: Any) -> Connection:
        """Return what does the same as this and a batch normalisation behind it, in eval mode.

        With the norm's running mean m and variance v, w' = w g / sqrt(v + eps) and
        b' = (b - m) g / sqrt(v + eps) + beta (Ioffe and Szegedy 2015, algorithm 2). Raises
        `NetworkError` for a norm without running statistics.
        """
        check_hooks(norm)
        if norm.running_var is None:
            raise NetworkError("a BatchNorm has no running statistics, expected some to fold")
        scale = 1.0 / np.sqrt(float64s(norm.running_var) + norm.eps)
        if norm.affine:
            scale = scale * float64s(norm.weight)
        shift = (0.0 if self.bias is None else self.bias) - float64s(norm.running_mean)
        bias = shift * scale + (float64s(norm.bias) if norm.affine else 0.0)
        return self._replace(weight=self.weight * self._by_output(scale), bias=bias)

    def scaled(self, factor: NDArray[Any] | float) -> Connection:
        """Return the weights and the bias times a factor, one or of each output."""
        if np.all(np.equal(factor, 1.0)):
            return self
        factor = np.broadcast_to(np.asarray(factor, np.float64), len(self.weight))
        bias = None if self.bias is None else self.bias * factor
        return self._replace(weight=self.weight * self._by_output(factor), bias=bias)

    def with_bias(self, more: NDArray[Any] | None) -> Connection:
        """Return the connection with a bias of each output added."""
        if more is None:
            return self
        return self._replace(bias=more if self.bias is None else self.bias + more)

    def layer(self, neuron: Neuron, recurrent: NDArray[Any] | None = None) -> WeightLayer:
        """Return the layer of the engine with these neurons."""
        kind = kind_of(self.module)
        parameters: dict[str, Any] = {"neuron": neuron, "recurrent": recurrent, "bias": self.bias}
        if kind is nn.Linear:
            return engine.Dense(self.weight, **parameters)
        parameters |= _geometry(self.module)
        if kind is nn.Conv2d:
            return engine.Conv2d(self.weight, **parameters)
        line = {name: parameters[name][0] for name in ("stride", "padding", "dilation")}
        return engine.Conv1d(self.weight, **parameters | line)

    def _by_output(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, *[1] * (self.weight.ndim - 1))


def float64s(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor's numbers in float64."""
    return np.asarray(tensor.detach().cpu().double().numpy())


def check_hooks(module: nn.Module) -> None:
    """Run the hooks that make weights (weight norm); refuse others, which change what comes out."""
    for hook in module._forward_pre_hooks.values():
        if not isinstance(hook, WeightNorm):
            raise NetworkError(f"{type(module).__name__} has a forward pre-hook, expected none")
        with torch.no_grad():
            hook(module, ())
    if module._forward_hooks:
        raise NetworkError(f"{type(module).__name__} has a forward hook, expected none")


def connection_of(module: nn.Module) -> Connection:
    """Return only weights, or in an `nn.Sequential` with a normalisation (or dropout) behind."""
    parts = list(module) if type(module) is nn.Sequential else [module]
    kinds = [kind_of(part) for part in parts]
    if kinds[:1] == [None] or kinds[0] not in WEIGHTS:
        raise refusal(parts[0] if parts else module)
    if not all(kind in (*NORMS, *SILENT) for kind in kinds[1:]):
        names = ", ".join(type(part).__name__ for part in parts)
        raise NetworkError(f"a connection is ({names}), expected weights and a BatchNorm behind")
    connection = Connection.of(parts[0])
    for part, kind in zip(parts[1:], kinds[1:], strict=True):
        if kind in NORMS:
            connection = connection.folded(part)
    return connection


def pathway_of(module: nn.Module, shape: Shape) -> Layer:
    """Return the layer without weights that does what a module does to an input of `shape`.

    Raises `NetworkError`, without the module's path, for a type or option that the engine lacks.
    """
    kind = kind_of(module)
    if kind not in PATHWAYS:
        raise refusal(module)
    check_hooks(module)
    return PATHWAYS[kind](module, shape)


def refusal(module: nn.Module) -> NetworkError:
    """Return the error for a module that the engine does not have, or not in its place."""
    name, kind = type(module).__name__, kind_of(module)
    if kind in WEIGHTS:
        return NetworkError(f"{name} has no neurons behind it, expected some")
    if kind in NORMS:
        return NetworkError(f"{name} has no weights before it, expected some to fold it into")
    known = (*WEIGHTS, *PATHWAYS, *NORMS, nn.Dropout, nn.Identity)
    own = next((one for one in known if isinstance(module, one)), None)
    reason = "" if own is None else f" (a {own.__name__} with a forward pass of its own)"
    names = ", ".join(one.__name__ for one in known)
    return NetworkError(f"{name}{reason} cannot run in the engine, expected {names}")


def _refuse(module: Any, option: str, expected: str) -> NetworkError:
    value = getattr(module, option)
    return NetworkError(f"{type(module).__name__}: {option} is {value!r}, expected {expected}")


def pair(value: Any) -> Pair:
    """Return a number of a 2-D window as (y, x)."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _geometry(module: Any) -> dict[str, Any]:
    if module.padding_mode != "zeros":
        raise _refuse(module, "padding_mode", "'zeros'")
    padding = module.padding
    if padding == "valid":
        padding = (0,) * len(module.kernel_size)
    elif padding == "same":
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if any(one % 2 for one in reach):
            raise _refuse(module, "padding", "a number: 'same' pads one side more than the other")
        padding = tuple(one // 2 for one in reach)
    names = ("stride", "dilation", "groups")
    return {"padding": padding, **{name: getattr(module, name) for name in names}}


def _pool(module: Any, shape: Shape) -> dict[str, Any]:
    """Return kernel, stride and padding of a 1-D or 2-D pool over a map of `shape`."""
    line = isinstance(module, nn.MaxPool1d | nn.AvgPool1d)

    def of(value: Any, along_y: int) -> Pair:
        return (along_y, int(np.ravel(value)[0])) if line else pair(value)

    stride = module.kernel_size if module.stride is None else module.stride
    sizes = {
        "kernel_size": of(module.kernel_size, 1), "stride": of(stride, 1),
        "padding": of(getattr(module, "padding", 0), 0),
    }  # fmt: skip
    windows = zip(shape[1:], *sizes.values(), strict=True)
    if module.ceil_mode and any((size + 2 * p - k) % s for size, k, s, p in windows):
        raise _refuse(module, "ceil_mode", f"False for a map of {shape[1:]}, which it cuts off")
    return sizes


def _max_pool(module: Any, shape: Shape) -> Layer:
    if np.any(np.not_equal(module.dilation, 1)):
        raise _refuse(module, "dilation", "1")
    if module.return_indices:
        raise _refuse(module, "return_indices", "False")
    return pools.MaxPool2d(**_pool(module, shape))


def _avg_pool(module: Any, shape: Shape) -> Layer:
    sizes, divisor = _pool(module, shape), getattr(module, "divisor_override", None)
    if not module.count_include_pad and any(sizes["padding"]):
        raise _refuse(module, "count_include_pad", "True with padding")
    if divisor == 1:
        return pools.SumPool2d(**sizes)
    return pools.AvgPool2d(**sizes, divisor=divisor)


def _lp_pool(module: Any, shape: Shape) -> Layer:
    """With norm_type 1 the sum of a window (sinabs' SumPool2d): spikes are never negative."""
    if module.norm_type != 1:
        raise _refuse(module, "norm_type", "1")
    return pools.SumPool2d(**_pool(module, shape))


def _adaptive_avg_pool(module: Any, shape: Shape) -> Layer:
    """Even windows, where the map can be cut into as many as asked for."""
    wanted = pair(module.output_size)
    if any(size % out for size, out in zip(shape[1:], wanted, strict=True)):
        raise _refuse(module, "output_size", f"divisors of the map's {shape[1:]}")
    return pools.AvgPool2d((shape[1] // wanted[0], shape[2] // wanted[1]))


def _upsample(module: Any, shape: Shape) -> Layer:
    factors = np.broadcast_to(np.asarray(module.scale_factor, float), 2)
    if module.mode != "nearest" or module.size is not None or (factors % 1).any():
        raise NetworkError(
            f"{module} cannot be exported, expected Upsample with a whole scale_factor, "
            f"mode 'nearest'"
        )
    return pools.Upsample((int(factors[0]), int(factors[1])))


def _flatten(module: Any, shape: Shape) -> Layer:
    if module.start_dim != 1:
        raise _refuse(module, "start_dim", "1")
    if module.end_dim not in (-1, len(shape)):
        raise _refuse(module, "end_dim", "-1")
    return pathways.Flatten()


WEIGHTS = (nn.Linear, nn.Conv2d, nn.Conv1d)
PATHWAYS: dict[type[nn.Module], Callable[[Any, Shape], Layer]] = {
    nn.MaxPool2d: _max_pool,
    nn.MaxPool1d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AvgPool1d: _avg_pool,
    nn.LPPool2d: _lp_pool,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
    nn.Upsample: _upsample,
    nn.Flatten: _flatten,
}
