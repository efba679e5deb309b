"""Events as columns, one array a field: those of CSV, NumPy and HDF5 files, and their checks.

In: columns, or what reads a part of them, from the files of those formats. Out: packets of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import RecordingError
from ..arrays import Events, make_events
from ..units import TimeUnit

FIELDS = "t, x, y and on (or p)"


class Field(NamedTuple):
    """What an array would say of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def is_field_set(names: Iterable[str]) -> bool:
    """Tell whether these are the names of the fields of events."""
    return sorted(names) in (["on", "t", "x", "y"], ["p", "t", "x", "y"])


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse whole columns, before any value in them is read."""
    if not is_field_set(fields):
        raise RecordingError(f"the fields are {', '.join(fields) or '(none)'}, expected {FIELDS}")
    for name, field in fields.items():
        kinds = "biu" if name in ("on", "p") else "iu"
        if len(field.shape) != 1 or field.dtype.kind not in kinds:
            raise RecordingError(
                f"field {name} has dtype {field.dtype} and shape {field.shape}, "
                f"expected one dimension of integers"
            )
    for name in ("x", "y", "on", "p"):
        if (field := fields.get(name)) is not None and field.shape != fields["t"].shape:
            raise RecordingError(
                f"{name} has dtype {field.dtype} and shape {field.shape}, "
                f"expected numbers of shape {fields['t'].shape}"
            )


def column_packets(
    read: Callable[[slice], Mapping[str, Any]], length: int, size: int, unit: TimeUnit = "us"
) -> Iterator[Events]:
    """Make packets of `size` events of what `read` gives for a part of the columns."""
    for first in range(0, length, size):
        yield from_columns(read(slice(first, first + size)), first, unit)


def from_columns(columns: Mapping[str, Any], first: int, unit: TimeUnit = "us") -> Events:
    """Make events of one array a field; `first` is the number of the first one."""
    on = columns["on"] if "on" in columns else columns["p"]
    return make_events(columns["t"], columns["x"], columns["y"], on, first=first, time_unit=unit)
