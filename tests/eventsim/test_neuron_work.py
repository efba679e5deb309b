"""What an update of a neuron takes: the rules run on numbers that count what is done with them."""

from __future__ import annotations

from collections import Counter
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import eventsim as es
from eventsim.energy import neuron_work
from eventsim.energy.neurons import work_of
from eventsim.network import neurons
from eventsim.network.neurons import alif, cubalif, fixed, lif, neuron, rules

DONE: Counter[str] = Counter()


class Number:
    """A float that notes additions, multiplications, divisions and comparisons."""

    __array_ufunc__ = None

    def __init__(self, value: Any) -> None:
        self.value = float(value)

    def __float__(self) -> float:
        return self.value

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return self.value != 0

    def __abs__(self) -> Number:
        return Number(abs(self.value))


def operator(name: str, function: Any) -> Any:
    def done(self: Number, other: Any) -> Any:
        DONE[name] += 1
        found = function(self.value, float(other))
        return found if isinstance(found, bool) else Number(found)

    return done


for symbol, named, function in (
    ("add", "adds", lambda a, b: a + b),
    ("sub", "adds", lambda a, b: a - b),
    ("mul", "multiplies", lambda a, b: a * b),
    ("truediv", "divides", lambda a, b: a / b),
):
    setattr(Number, f"__{symbol}__", operator(named, function))
    setattr(Number, f"__r{symbol}__", operator(named, lambda a, b, f=function: f(b, a)))
for symbol, function in (
    ("gt", lambda a, b: a > b), ("lt", lambda a, b: a < b),
    ("ge", lambda a, b: a >= b), ("le", lambda a, b: a <= b),
):  # fmt: skip
    setattr(Number, f"__{symbol}__", operator("compares", function))


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the rules as Python, product by product."""
    for module in (neurons, lif, cubalif, alif, fixed, neuron, rules):
        assert isinstance(module, ModuleType)
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
        if hasattr(module, "product"):
            monkeypatch.setattr(module, "product", lambda a, b: Number(a) * b)
        monkeypatch.setattr(module, "np", SimpleNamespace(**vars(np) | {
            "float32": lambda x: x if isinstance(x, Number) else np.float32(x),
            "int32": lambda x: np.int32(float(x)),
        }))  # fmt: skip


# Resets that reach into the next timestep, or none.
LATE: Any = ("subtract-next", "subtract-doubled", "none")
NEURONS = [
    es.LIF(0.5, 0.3, spikes="many", comparison=">="),
    es.LIF(0.5, 0.3, reset="subtract", spikes="many", comparison=">="),
    es.LIF(0.5, 0.3, refractory=2),
    es.IF(0.3, lower_bound=-1.0),
    es.LI(0.5, refractory=1),
    es.CUBALIF(0.7, 0.5, 0.3),
    es.CUBALIF(0.7, 0.5, 0.3, reset="subtract", spikes="many", comparison=">="),
    es.ALIF(0.5, 0.3, 0.7, 0.2),
    es.ALIF(0.5, 0.3, 0.7, 0.2, reset="subtract"),
    es.FixedCUBALIF(1000, 2000, 3),
    *(es.LIF(0.5, 0.3, reset=reset) for reset in LATE),
]


@pytest.mark.parametrize("model", NEURONS, ids=repr)
def test_an_update_takes_at_most_what_the_table_says(model: Any, in_python: None) -> None:
    (record,) = model.parameters(1)
    numbers = {n: Number(record[n]) for n in NUMBERS}
    p = SimpleNamespace(
        kind=model.kind, at_threshold=record["at_threshold"] > 0, many=record["many"] > 0,
        reset=record["reset"], **numbers,
    )  # fmt: skip
    most: Counter[str] = Counter()
    of_update, of_reset = work_of(model)
    late = model.reset in LATE
    for x in (0.0, 0.2, 5.0):
        DONE.clear()
        factors = tuple(Number(0.5) for _ in range(4))
        bias = Number(0.1)
        u, second = neurons.relax(p, bias, Number(0.2), Number(0.3), factors)
        u, second, spikes = neurons.step(p, bias, u, second, Number(x), True, late)
        neurons.may_fire(p, bias, u, second, late)
        # Of which are counted: a decay of each variable that has one, the bias, the comparison.
        DONE["multiplies"] -= 2 if model.kind in (cubalif.KIND, alif.KIND, fixed.KIND) else 1
        DONE["adds"] -= 1
        DONE["compares"] -= 1
        allowed = np.array(of_update[:4]) + (np.array(of_reset[:4]) if spikes else 0)
        found = [DONE[name] for name in ("multiplies", "adds", "compares", "divides")]
        assert (np.array(found) <= allowed).all(), (x, found, allowed)
        most |= DONE
    reached = [most[name] for name in ("multiplies", "adds", "compares", "divides")]
    fires = not isinstance(model, es.LI)
    expected = np.array(of_update[:4]) + (np.array(of_reset[:4]) if fires else 0)
    expected[1] -= 1  # with a bias, whose addition is counted
    assert late or reached == expected.tolist()


NUMBERS = (
    "decay", "threshold", "reset_value", "lower_bound", "second_decay", "coupling", "scale",
)  # fmt: skip


def test_plain_neurons_multiply_their_bias(in_python: None) -> None:
    DONE.clear()
    lif.catch_up_plain(Number(1), Number(0.5), Number(0.1), Number(2))
    assert DONE == {"multiplies": 2, "adds": 1}  # a decay and a bias of them are counted


def test_it_is_derived_from_the_counts() -> None:
    weight = np.full((3, 4), 0.2)
    many = es.LIF(0.5, 0.3, spikes="many", comparison=">=")
    layers = [
        es.Flatten(),
        es.Dense(weight, np.full(3, 0.01), neuron=es.LIF(0.5, 0.3)),
        es.Dense(np.full((2, 3), 0.4), neuron=many),
    ]
    network = es.Network((1, 2, 2), 1, layers)
    events = es.make_events([0, 0, 5, 6, 6], [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], [0] * 5)
    operations = es.simulate(network, events).operations
    first, second = neuron_work(network, operations)
    one, two = operations.layers
    assert one.bias_adds > 0
    assert first == (one.bias_adds, 0, 0, 0, 2 * one.site_updates)
    assert two.resets > 0
    assert second.multiplies == 3 * two.updates
    assert second.divides == two.resets
