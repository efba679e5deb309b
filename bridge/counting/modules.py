"""How each kind of torch module is counted: weights, pools, elementwise functions.

In: a module, what it gets and gives. Out: `Counted`, by the units of `count.py`. RNNs are in
`cells.py`, attention is in `attention.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ..models.operations import POOLS, fan_out
from .attention import attention, uncounted_attention
from .axes import Axes
from .cells import cell, recurrent, uncounted_recurrent
from .counted import Counted, arriving, nonzero

ModuleCounter = Callable[[Any, Axes, tuple[Any, ...], dict[str, Any], Any], Counted]

# Of one element.
_ELEMENTWISE: Mapping[type[nn.Module], Mapping[str, int]] = {
    nn.ReLU: {"compares": 1},
    nn.Hardtanh: {"compares": 2},  # ReLU6 too
    nn.LeakyReLU: {"compares": 1, "multiplies": 1},
    nn.Sigmoid: {"sigmoids": 1},
    nn.Tanh: {"tanhs": 1},
    nn.SiLU: {"sigmoids": 1, "multiplies": 1},
    nn.Softmax: {"compares": 1, "exponentials": 1, "adds": 1, "divisions": 1},
    # as it runs in evaluation, not folded into weights
    nn.BatchNorm1d: {"multiplies": 1, "adds": 1},
    nn.BatchNorm2d: {"multiplies": 1, "adds": 1},
}


def own_axis(module: nn.Module) -> int | None:
    """Return the axis of the samples, of a module that says it itself."""
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return 0 if module.batch_first else 1
    return None


def counter_of(module: nn.Module, args: Any, kwargs: Any) -> ModuleCounter | None:
    """Return what counts a module, None if nothing does.

    A subclass is counted as its base where it has the base's `forward`.
    """
    if isinstance(module, nn.RNNBase) and uncounted_recurrent(module, args, kwargs):
        return None
    if isinstance(module, nn.MultiheadAttention) and uncounted_attention(module, args, kwargs):
        return None
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and (
        module.training or module.running_mean is None
    ):
        return None
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d) and module.dilation not in (1, (1, 1)):
        return None
    forward = type(module).forward
    for kinds, counter in _COUNTERS.items():
        if any(isinstance(module, kind) and forward is kind.forward for kind in kinds):
            return counter
    return None


def _input(axes: Axes, args: Any, kwargs: Any, kept: int) -> Tensor:
    x: Tensor = args[0] if args else kwargs["input"]
    return axes.batch_first(x, kept)


def _linear(module: Any, axes: Axes, args: Any, kwargs: Any, output: Tensor) -> Counted:
    x = _input(axes, args, kwargs, 1)
    rows = x.numel() // x.shape[-1] // len(x)
    biases = rows * module.out_features if module.bias is not None else 0
    dense = {"bias_adds": biases, "dense_macs": rows * module.weight.numel()}
    return Counted(len(x), arriving(x, module.out_features) | dense)


def _convolution(module: Any, axes: Axes, args: Any, kwargs: Any, output: Tensor) -> Counted:
    x = _input(axes, args, kwargs, len(module.kernel_size) + 1)
    sums = output.numel() // len(x)
    dense = {
        "bias_adds": sums if module.bias is not None else 0,
        "dense_macs": module.weight.numel() * sums // module.out_channels,
    }
    return Counted(len(x), arriving(x, fan_out([], module, x).long()) | dense)


def _pool(module: Any, axes: Axes, args: Any, kwargs: Any, output: Tensor) -> Counted:
    maximum, flat = isinstance(module, _MAXIMA), isinstance(module, nn.MaxPool1d | nn.AvgPool1d)
    x = _input(axes, args, kwargs, 2 if flat else 3)
    worked = nonzero(x, fan_out([module], None, x).long())
    return Counted(len(x), {"pool_compares" if maximum else "pool_adds": worked})


def _elementwise(module: Any, axes: Axes, args: Any, kwargs: Any, output: Tensor) -> Counted:
    x = _input(axes, args, kwargs, 0)
    forward = type(module).forward
    each = next(each for kind, each in _ELEMENTWISE.items() if kind.forward is forward)
    elements = x.numel() // len(x)
    return Counted(len(x), {count: times * elements for count, times in each.items()})


_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d)
_COUNTERS: Mapping[tuple[type[nn.Module], ...], ModuleCounter] = {
    (nn.Linear,): _linear,
    (nn.Conv1d, nn.Conv2d): _convolution,
    POOLS: _pool,
    (nn.RNN, nn.LSTM, nn.GRU): recurrent,
    (nn.RNNCell, nn.LSTMCell, nn.GRUCell): cell,
    (nn.MultiheadAttention,): attention,
    tuple(_ELEMENTWISE): _elementwise,
}
