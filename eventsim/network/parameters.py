"""Checks of the parameters of layers and neuron models, and the forms in which they are kept.

Each raises a `NetworkError` that names the layer or model, the parameter, its value, and what was
expected.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import is_whole
from ..errors import NetworkError
from ..events.arrays import MAX_CELLS

Values = float | tuple[float, ...]  # one for the layer, or one for each channel
MOST_FLOAT32 = float(np.finfo(np.float32).max)


def freeze_pair(layer: Any, name: str, least: int) -> None:
    """Make one whole number, or two, a pair (y, x); raises naming layer and field."""
    value = getattr(layer, name)
    pair = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(pair) != 2 or not all(is_whole(n, least, MAX_CELLS) for n in pair):
        raise NetworkError(
            f"{type(layer).__name__}: {name} is {value!r}, "
            f"expected a whole number from {least} to {MAX_CELLS}, or two"
        )
    object.__setattr__(layer, name, (int(pair[0]), int(pair[1])))


def frozen_array(values: ArrayLike, what: str) -> NDArray[np.float32]:
    """Copy numbers to a read-only float32 array; raises naming `what` and the value."""
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


def float32s(values: Values) -> NDArray[np.float32]:
    """Return one number or several as the kernels have them."""
    return np.asarray(values, np.float32)


def numbers(name: str, field: str, value: Any) -> Values:
    """Return one number, or a tuple of them, as Python's own; raises naming model and field."""
    if isinstance(value, np.ndarray) and value.ndim <= 1:
        value = value.tolist()
    if isinstance(value, Real) and not isinstance(value, bool):
        values: tuple[Any, ...] = (value,)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        values = tuple(value)
    else:
        values = ()
    if not values or not all(isinstance(one, Real) for one in values):
        raise NetworkError(f"{name}: {field} is {value!r}, expected a number")
    for one in values:
        # The others have limits of their own.
        if field in ("rest", "reset_value", "lower_bound") and not abs(one) <= MOST_FLOAT32:
            raise NetworkError(f"{name}: {field} is {one}, expected a finite float32")
    numbers = tuple(float(one) for one in values)
    return numbers if isinstance(value, Iterable) else numbers[0]
