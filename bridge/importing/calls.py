"""Functions that a forward calls in place of modules: what each is as one.

In: the arguments of a call, what flows through the graph first. Out: an `nn.Module`. Called by
`walk.py`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

# What changes nothing that spikes.
SAME = ("contiguous", "float", "detach", "clone", "to")


def _max_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> nn.Module:  # fmt: skip
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def _avg_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> nn.Module:  # fmt: skip
    return nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _adaptive_avg_pool2d(x: Any, output_size: Any) -> nn.Module:
    return nn.AdaptiveAvgPool2d(output_size)


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p)


def _flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _view(x: Any, *sizes: Any) -> nn.Module:
    """One axis of what is left behind the first ones: `x.view(x.size(0), -1)`."""
    shape = tuple(sizes[0]) if isinstance(sizes[0], list | tuple) else sizes
    if shape[-1] != -1:
        raise ValueError("only the last axis may be what is left")
    return nn.Flatten(len(shape) - 1)


FUNCTIONS: dict[str, Any] = {
    "max_pool2d": _max_pool2d,
    "boolean_dispatch": _max_pool2d,  # how torch names its max pool with or without indices
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "dropout": _dropout,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
}
