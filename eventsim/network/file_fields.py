"""How the fields of a network file are stored, read off the dataclasses that they come from.

In: a dataclass (a layer, a neuron model, a network). Out: for each of its fields, the place, type
and shape that `storage.py` writes and expects. So a new layer type or neuron model needs nothing
here: its type hints say it all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np


class FileField(NamedTuple):
    """How one field is stored."""

    place: Literal["attribute", "dataset", "group"]
    dtype: str | None = None  # None is text
    shape: tuple[int | None, ...] | None = ()  # None is any size, or any shape
    optional: bool = False
    types: tuple[type[Any], ...] = ()  # the classes that a group may hold

    def __str__(self) -> str:
        """Say it, for messages."""
        if self.place == "group":
            return "a group"
        return f"{'an' if self.place == 'attribute' else 'a'} {self.place} of {self.content}"

    @property
    def content(self) -> str:
        """The type of the values, for messages."""
        return "fixed-length text" if self.dtype is None else str(np.dtype(self.dtype))

    @property
    def sizes(self) -> str:
        """The shape of the values, for messages."""
        return str(self.shape).replace("None", "any")

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether values of this shape are expected."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(size in (None, found) for size, found in zip(self.shape, shape, strict=True))
        )


def file_fields_of(kind: type[Any], leave_out: Collection[str] = ()) -> dict[str, FileField]:
    """Return how the fields of a dataclass are stored, by name."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    return {name: _file_field(hints[name]) for name in names if name not in leave_out}


def _file_field(hint: Any) -> FileField:
    union = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    types = tuple(option for option in union if option is not NoneType)
    optional = NoneType in union
    stored = types[-1]  # of `int | Pair`, the constructors make a pair
    if dataclasses.is_dataclass(stored):
        return FileField("group", optional=optional, types=types)
    if get_origin(stored) is np.ndarray:
        return FileField("dataset", "<f4", None, optional)
    if get_origin(stored) is tuple and Ellipsis in get_args(stored):  # of `float | tuple`
        kind = {int: "<i8", float: "<f8"}[get_args(stored)[0]]
        return FileField("attribute", kind, (None,) if len(types) == 1 else None, optional)
    if get_origin(stored) is tuple:
        return FileField("attribute", "<i8", (len(get_args(stored)),), optional)
    dtype = None if get_origin(stored) is Literal else {int: "<i8", float: "<f8"}[stored]
    return FileField("attribute", dtype, (), optional)
