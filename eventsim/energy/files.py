"""TOML -> `EnergyModel`: those that come with the package by name, one's own by path.

A file has `name`, `title`, `source` and `leaves_out`, and either `[prices]`, a chip's published
picojoules for each count, or `[arithmetic]` and `[integers]` with `[sigmoid]`, `[tanh]` and perhaps
`[memory]`, a machine's.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import EventsimError
from .model import ARITHMETIC, OTHER_COUNTS, EnergyModel, Memory

FOLDER = Path(__file__).with_name("models")
DEFAULT_MODELS = ("45nm-gather", "45nm-scatter", "45nm-arithmetic")
_WORDS = ("name", "title", "source", "leaves_out")


def energy_model_names() -> tuple[str, ...]:
    """Return the names of the models that come with the package: machines first, then chips."""
    others = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return (*DEFAULT_MODELS, *(name for name in others if name not in DEFAULT_MODELS))


def load_energy_model(name: str | Path) -> EnergyModel:
    """Read the model of a name, or that of a TOML file of one's own.

    Raises `EventsimError` naming the file and the entry that is missing, unknown or no number.
    """
    path = FOLDER / f"{name}.toml" if name in energy_model_names() else Path(name)
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise EventsimError(
            f"{path}: {error.strerror or error}, expected a file or one of "
            f"{', '.join(energy_model_names())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventsimError(f"{path} is not TOML: {error}") from None
    try:
        return _model(document)
    except EventsimError as error:
        raise EventsimError(f"{path}: {error}") from None


def _model(document: dict[str, Any]) -> EnergyModel:
    chip = "prices" in document
    sections = ("prices",) if chip else ("arithmetic", "integers", "sigmoid", "tanh")
    optional = () if chip else ("memory",)
    _check_keys("the model", document, (*_WORDS, *sections), optional)
    for key in _WORDS:
        if not isinstance(document[key], str):
            raise EventsimError(f"{key} is {document[key]!r}, expected a string")
    words = {key: document[key] for key in _WORDS}
    if chip:
        counts = (*ARITHMETIC, *OTHER_COUNTS)
        _check_keys("prices", document["prices"], (), counts)
        prices = _numbers("prices", document["prices"])
        return EnergyModel(**words, prices=prices, integer_prices=prices)
    return _machine(words, document)


def _machine(words: dict[str, str], document: dict[str, Any]) -> EnergyModel:
    """Return a machine's model: its prices are those of the arithmetic that each count takes."""
    sections = {}
    for name, keys in (
        ("arithmetic", ("add_pj", "multiply_pj")),
        ("integers", ("add_pj", "multiply_pj", "product_pj")),
        ("sigmoid", ("adds", "multiplies", "loads")),
        ("tanh", ("adds", "multiplies", "loads")),
    ):
        _check_keys(name, document[name], keys)
        sections[name] = _numbers(name, document[name])
    loads = {"sigmoids": sections["sigmoid"]["loads"], "tanhs": sections["tanh"]["loads"]}
    memory = _memory(document["memory"]) if "memory" in document else None
    return EnergyModel(
        **words, prices=_prices(sections, "arithmetic"),
        integer_prices=_prices(sections, "integers"), table_loads=loads, memory=memory,
    )  # fmt: skip


def _prices(sections: dict[str, dict[str, float]], kind: str) -> dict[str, float]:
    """Return what one unit of each count takes in arithmetic of a kind."""
    add, multiply = sections[kind]["add_pj"], sections[kind]["multiply_pj"]
    product = sections[kind].get("product_pj", multiply)
    sigmoid, tanh = (
        sections[name]["adds"] * add + sections[name]["multiplies"] * multiply
        for name in ("sigmoid", "tanh")
    )
    return {
        count: work.adds * add
        + work.multiplies * multiply
        + work.products * product
        + work.sigmoids * sigmoid
        + work.tanhs * tanh
        for count, work in ARITHMETIC.items()
    }


def _memory(values: Any) -> Memory:
    _check_keys("memory", values, ("curve", "dram_pj", "weights", "membranes"))
    _numbers("memory", {"dram_pj": values["dram_pj"]})
    for key, choices in (("weights", ("sram", "dram")), ("membranes", ("sop", "update"))):
        if values[key] not in choices:
            raise EventsimError(
                f"memory.{key} is {values[key]!r}, expected {choices[0]!r} or {choices[1]!r}"
            )
    curve = values["curve"]
    if not isinstance(curve, list) or len(curve) < 2:
        raise EventsimError(f"memory.curve is {curve!r}, expected two or more [bytes, pJ]")
    least = 0.0
    for index, point in enumerate(curve):
        where = f"memory.curve[{index}]"
        if not isinstance(point, list) or len(point) != 2:
            raise EventsimError(f"{where} is {point!r}, expected [bytes, pJ]")
        numbers = _numbers(where, dict(zip(("bytes", "pJ"), point, strict=True)))
        if not (numbers["bytes"] > least and numbers["pJ"] > 0):
            raise EventsimError(
                f"{where} is {point!r}, expected more than {least:g} bytes and 0 pJ"
            )
        least = numbers["bytes"]
    return Memory(
        tuple((float(size), float(energy)) for size, energy in curve), float(values["dram_pj"]),
        values["weights"], values["membranes"],
    )  # fmt: skip


def _numbers(where: str, values: dict[str, Any]) -> dict[str, float]:
    """Return a section of finite numbers of 0 or more."""
    for key, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 <= value < math.inf):
            raise EventsimError(f"{where}.{key} is {value!r}, expected a number of 0 or more")
    return dict(values)


def _check_keys(where: str, values: Any, keys: Sequence[str], optional: Sequence[str] = ()) -> None:
    expected = ", ".join((*keys, *optional))
    if not isinstance(values, dict):
        raise EventsimError(f"{where} is {values!r}, expected a section with {expected}")
    for key in values:
        if key not in (*keys, *optional):
            raise EventsimError(f"{where} has the key {key!r}, expected {expected}")
    for key in keys:
        if key not in values:
            raise EventsimError(f"{where} has no {key!r}, expected {expected}")
