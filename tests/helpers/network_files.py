"""A network with every optional field, and what makes two of them the same to the bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import IF, LIF
from eventsim.network.pathways import Flatten
from eventsim.network.pools import AvgPool2d


def small(**fields: Any) -> Network:
    """A network of two layers with weights, a pool, and every optional field."""
    rng = np.random.default_rng(0)
    layers = [
        Conv2d(
            rng.normal(size=(2, 1, 3, 3)),
            rng.normal(size=2),
            stride=2,
            padding=(1, 1),
            neuron=IF(1.0, "subtract"),
        ),
        AvgPool2d(2),
        Flatten(),
        Dense(rng.normal(size=(3, 2)), neuron=LIF(0.3, 0.3)),
    ]
    optional = {
        "steps": 5,
        "class_names": ["a", "b", "µ"],
        "provenance": {"data": "digits", "accuracy": [0.5, None]},
    }
    return Network(
        **({"input_shape": (1, 4, 4), "dt_us": 1000, "layers": layers} | optional | fields)
    )


def bits(value: Any) -> Any:
    """Return something equal only for values that are the same to the last bit and type."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes(), value.flags.writeable
    if dataclasses.is_dataclass(value):
        return type(value), [bits(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    if isinstance(value, dict):  # in its order
        return [(bits(key), bits(item)) for key, item in value.items()]
    return type(value), repr(value)  # tells 1 from True, 0.0 from -0.0


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value
    return value


UNSAVED: dict[str, tuple[dict[str, Any], str]] = {
    "no dict": ({"provenance": [1]}, "provenance is a list, expected a dict"),
    "tuple": (
        {"provenance": {"a": [{"b": (1,)}]}},
        "provenance/a/0/b is a tuple, expected a dict, list, str, int, float, bool or None",
    ),
    "array": (
        {"provenance": {"a": np.zeros(3)}},
        "provenance/a is a ndarray, expected a dict, list, str, int, float, bool or None",
    ),
    "float32": (
        {"provenance": {"accuracy": np.float32(0.5)}},
        "provenance/accuracy is a float32, expected a dict, list, str, int, float, bool or None",
    ),
    "key": ({"provenance": {"a": {1: 2}}}, "provenance/a has the key 1, expected a string"),
    "nan": (
        {"provenance": {"loss": float("nan")}},
        "provenance/loss is nan, expected a finite number",
    ),
    "itself": ({"provenance": itself()}, "provenance is nested too deeply, or within itself"),
    "depth": ({"provenance": nested(5000)}, "provenance is nested too deeply, or within itself"),
    "digits": (
        {"provenance": {"a": 10**5000}},
        "provenance cannot be written as JSON: Exceeds the limit (4300 digits) for integer string "
        "conversion; use sys.set_int_max_str_digits() to increase the limit",
    ),
    "NUL": (
        {"class_names": ["a", "b\0", "c"]},
        "class_names has 'b\\x00', expected text without NUL",
    ),
    "surrogate": (
        {"class_names": ["a", "\ud800", "c"]},
        "class_names has '\\ud800', expected valid Unicode",
    ),
}
