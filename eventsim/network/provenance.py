"""Where a network comes from, as JSON text that gives back exactly what went in.

In: the `provenance` of a `Network`, any dict that JSON can hold. Called by `storage.py`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ..errors import NetworkFileError


def to_json(provenance: Any) -> str:
    """Return a dict as JSON text.

    Raises `NetworkFileError` naming the item that JSON would change (a tuple, a key that is no
    string) or cannot hold (NaN, an array, nesting without end).
    """
    _check(provenance)
    try:
        return json.dumps(provenance)
    except (ValueError, RecursionError) as error:  # such as a number of more digits than str has
        raise NetworkFileError(f"provenance cannot be written as JSON: {error}") from error


def from_json(text: str) -> dict[str, Any]:
    """Return the dict that `to_json` wrote; raises `NetworkFileError` for any other text."""
    try:
        provenance = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkFileError(f"provenance is not JSON: {error}") from error
    return _check(provenance)


def _check(provenance: Any) -> dict[str, Any]:
    try:
        _check_item(provenance, "provenance")
    except RecursionError:
        raise NetworkFileError("provenance is nested too deeply, or within itself") from None
    if not isinstance(provenance, dict):
        raise NetworkFileError(f"provenance is a {type(provenance).__name__}, expected a dict")
    return provenance


def _check_item(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NetworkFileError(f"{name} has the key {key!r}, expected a string")
            _check_item(item, f"{name}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_item(item, f"{name}/{index}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NetworkFileError(f"{name} is {value}, expected a finite number")
    elif not isinstance(value, str | int | None):
        raise NetworkFileError(
            f"{name} is a {type(value).__name__}, "
            f"expected a dict, list, str, int, float, bool or None"
        )
