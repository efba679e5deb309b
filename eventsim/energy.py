"""Energy of counted operations: a table of picojoules, applied to the counts of a layer.

In: the counts of a layer, of the engine (`operations.py`) or of an RNN or LSTM (bridge), the
network's footprint, and an `EnergyTable`. Out: `Energy`. Counts are measured, energy is modelled;
docs/energy.md says what the model leaves out.

bound     arithmetic alone, a lower bound: `ARITHMETIC` says what each count takes
estimate  the same, and an access for every 32 bits of weights and state read or written

The memory of the weights is the smallest that holds all weights of the network, that of the state
the smallest that holds all of its state. The default table, with sources, is `energy_45nm.toml`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .checks import is_whole
from .errors import EventsimError
from .network.graph import Network
from .network.layers import WeightLayer
from .operations import CountedLayer

DEFAULT_TABLE = Path(__file__).with_name("energy_45nm.toml")


class Work(NamedTuple):
    """What one unit of a count takes."""

    adds: int = 0
    multiplies: int = 0
    sigmoids: int = 0
    tanhs: int = 0


# Counts that are not here take no arithmetic. A comparison is a subtraction. A reset to a value is
# a write, which `state_bytes_written` has; the addition of a reset by subtraction is left out, as
# the count does not tell the two apart. Address and time arithmetic is not modelled.
ARITHMETIC: Mapping[str, Work] = {
    "acs": Work(adds=1),
    "macs": Work(adds=1, multiplies=1),
    "recurrent_macs": Work(adds=1, multiplies=1),
    "decays": Work(multiplies=1),
    "bias_adds": Work(adds=1),
    "compares": Work(adds=1),
    "sigmoids": Work(sigmoids=1),
    "tanhs": Work(tanhs=1),
    "multiplies": Work(multiplies=1),
    "adds": Work(adds=1),
    "pool_adds": Work(adds=1),
    "pool_compares": Work(adds=1),
}


@dataclass(frozen=True)
class Footprint:
    """The memory that a network takes, in bytes of 32-bit words."""

    weight_bytes: int  # weights and biases
    state_bytes: int  # what goes from timestep to timestep


@dataclass(frozen=True)
class Activation:
    """What one sigmoid or tanh takes: operations, and 32-bit words from the smallest memory."""

    adds: float
    multiplies: float
    loads: float


@dataclass(frozen=True)
class Memory:
    """A memory: the most bytes that it holds, None for any number, and the energy of 32 bits."""

    access_pj: float
    bytes: int | None = None


@dataclass(frozen=True)
class EnergyTable:
    """Picojoules of operations on 32-bit words; `load_energy_table` reads and checks one."""

    name: str
    add_pj: float
    multiply_pj: float
    sigmoid: Activation
    tanh: Activation
    memories: tuple[Memory, ...]  # from the smallest to the largest

    def memory_of(self, size: int) -> Memory:
        """Return the smallest memory that holds so many bytes; `EventsimError` if none does."""
        for memory in self.memories:
            if memory.bytes is None or size <= memory.bytes:
                return memory
        raise EventsimError(
            f"the largest memory of the energy table {self.name!r} holds {self.memories[-1].bytes} "
            f"bytes, expected at least {size}, all weights or all state of the network"
        )


@dataclass(frozen=True)
class Energy:
    """The energy of counted operations in picojoules."""

    bound_pj: float  # arithmetic alone: a lower bound
    estimate_pj: float  # with the traffic of weights and state


def energy_of(counts: CountedLayer, footprint: Footprint, table: EnergyTable) -> Energy:
    """Apply a table to the counts of a layer, or to their total, of a network of the footprint.

    Raises `EventsimError` where no memory of the table holds the network.
    """
    weights = table.memory_of(footprint.weight_bytes).access_pj
    state = table.memory_of(footprint.state_bytes).access_pj
    found: dict[str, Any] = counts.as_dict()
    work = [(found[count], each) for count, each in ARITHMETIC.items() if count in found]
    adds, multiplies, sigmoids, tanhs = (
        sum(count * each[kind] for count, each in work) for kind in range(len(Work._fields))
    )
    loads = 0.0
    for evaluations, activation in ((sigmoids, table.sigmoid), (tanhs, table.tanh)):
        adds += evaluations * activation.adds
        multiplies += evaluations * activation.multiplies
        loads += evaluations * activation.loads
    bound = adds * table.add_pj + multiplies * table.multiply_pj
    traffic = found["weight_bytes_read"] / 4 * weights
    traffic += (found["state_bytes_read"] + found["state_bytes_written"]) / 4 * state
    return Energy(bound, bound + traffic + loads * table.memories[0].access_pj)


def footprint(network: Network) -> Footprint:
    """Return the bytes of all weights and biases (float32), and of all neurons and sites.

    A neuron keeps 32 bits for each of its variables, a site 32 bits for its time of last update.
    """
    weights = state = 0
    for index in network.neuron_layers:
        layer, shape = network.layers[index], network.shapes[index + 1]
        assert isinstance(layer, WeightLayer)
        parameters = (layer.weight, layer.bias, layer.recurrent)
        weights += sum(values.size for values in parameters if values is not None)
        sites = layer.groups * math.prod(shape[1:])
        state += math.prod(shape) * layer.neuron.variables + sites
    return Footprint(weight_bytes=4 * weights, state_bytes=4 * state)


def load_energy_table(path: str | Path | None = None) -> EnergyTable:
    """Read a TOML file as `energy_45nm.toml`, which is read by default.

    Raises `EventsimError` naming the file and the entry that is missing, unknown or no number.
    """
    path = DEFAULT_TABLE if path is None else Path(path)
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise EventsimError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventsimError(f"{path} is not TOML: {error}") from None
    try:
        return _table(document)
    except EventsimError as error:
        raise EventsimError(f"{path}: {error}") from None


def _table(document: dict[str, Any]) -> EnergyTable:
    keys = ("name", "use", "arithmetic", "sigmoid", "tanh", "memories")
    _check_keys("the table", document, keys)
    name, use, arithmetic = document["name"], document["use"], document["arithmetic"]
    if not isinstance(name, str):
        raise EventsimError(f"name is {name!r}, expected a string")
    if not isinstance(arithmetic, dict) or not isinstance(use, str) or use not in arithmetic:
        raise EventsimError(f"use is {use!r}, expected one of the sections of arithmetic")
    costs = {
        key: _numbers(f"arithmetic.{key}", values, ("add_pj", "multiply_pj"))
        for key, values in arithmetic.items()
    }
    sigmoid, tanh = (
        Activation(**_numbers(key, document[key], ("adds", "multiplies", "loads")))
        for key in ("sigmoid", "tanh")
    )
    memories = _memories(document["memories"])
    return EnergyTable(name, **costs[use], sigmoid=sigmoid, tanh=tanh, memories=memories)


def _memories(found: Any) -> tuple[Memory, ...]:
    if not isinstance(found, list) or not found:
        raise EventsimError(f"memories is {found!r}, expected one or more [[memories]]")
    memories: list[Memory] = []
    for index, values in enumerate(found):
        where = f"memories[{index}]"
        endless = index == len(found) - 1 and isinstance(values, dict) and "bytes" not in values
        numbers = _numbers(where, values, ("access_pj",) if endless else ("bytes", "access_pj"))
        size = numbers.get("bytes")
        least = (memories[-1].bytes or 0) + 1 if memories else 1
        if size is not None and not is_whole(size, least):
            raise EventsimError(f"{where}.bytes is {size!r}, expected a whole number from {least}")
        memories.append(Memory(**numbers))
    return tuple(memories)


def _numbers(where: str, values: Any, keys: Sequence[str]) -> dict[str, Any]:
    """Return a section that has exactly these keys, each a finite number of 0 or more."""
    _check_keys(where, values, keys)
    for key in keys:
        value = values[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 <= value < math.inf):
            raise EventsimError(f"{where}.{key} is {value!r}, expected a number of 0 or more")
    return dict(values)


def _check_keys(where: str, values: Any, keys: Sequence[str]) -> None:
    if not isinstance(values, dict):
        raise EventsimError(f"{where} is {values!r}, expected a section with {', '.join(keys)}")
    for key in values:
        if key not in keys:
            raise EventsimError(f"{where} has the key {key!r}, expected {', '.join(keys)}")
    for key in keys:
        if key not in values:
            raise EventsimError(f"{where} has no {key!r}, expected {', '.join(keys)}")
