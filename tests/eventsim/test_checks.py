"""Whole numbers: what one is, and that every public parameter that is one is checked as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eventsim as es
from eventsim.checks import is_whole
from eventsim.errors import EventsimError
from eventsim_bridge.training.settings import TrainingSettings
from eventsim_tools.compare.plan import Plan

EVENTS = es.make_events([1], [0], [0], [1])
NEURON = es.LIF(0.3, 0.3)
DENSE = es.Dense(np.ones((1, 1)), neuron=NEURON)
KERNEL = np.ones((1, 1, 1, 1))


@pytest.mark.parametrize("value", [0, 3, -3, 2**80, np.int8(3), np.uint64(2**64 - 1), np.int64(-3)])
def test_integers_of_python_and_numpy_are_whole(value: Any) -> None:
    assert is_whole(value)
    assert is_whole(value, int(value), int(value))
    assert not is_whole(value, int(value) + 1)
    assert not is_whole(value, None, int(value) - 1)


@pytest.mark.parametrize(
    "value", [True, False, np.True_, 1.0, np.float64(1), 1.5, "1", None, [1], np.array(1), 1 + 0j]
)
def test_nothing_else_is(value: Any) -> None:
    assert not is_whole(value)
    assert not is_whole(value, 0, 1)


def network(input_shape: Any = (1, 1, 1), dt_us: Any = 1000, steps: Any = None) -> es.Network:
    return es.Network(input_shape, dt_us, [es.Flatten(), DENSE], steps=steps)


NETWORK = network()
USES: dict[str, Callable[[Any], Any]] = {
    "width": lambda value: es.Sensor(value, 1),
    "polarities": lambda value: es.Sensor(1, 1, value),
    "dt_us": lambda value: network(dt_us=value),
    "steps": lambda value: network(steps=value),
    "input_shape": lambda value: network(input_shape=(value, 1, 1)),
    "stride": lambda value: es.Conv2d(KERNEL, neuron=NEURON, stride=value),
    "groups": lambda value: es.Conv2d(KERNEL, neuron=NEURON, groups=value),
    "refractory": lambda value: es.LIF(0.3, 0.3, refractory=value),
    "dt_us of a grid": lambda value: es.bin_events(EVENTS, (1, 1, 1), value),
    "steps of a grid": lambda value: es.bin_events(EVENTS, (1, 1, 1), 1000, value),
    "start_us": lambda value: es.AsynchronousRun(NETWORK, start_us=value),
    "delay_us": lambda value: es.AsynchronousRun(NETWORK, delay_us=value),
    "stop_us": lambda value: es.ClockedRun(NETWORK, start_us=0).finish(value),
    "stop_us, asynchronous": lambda value: es.AsynchronousRun(NETWORK, start_us=0).finish(value),
    "threads": lambda value: es.simulate_batch(NETWORK, [EVENTS], threads=value),
    "size": lambda value: es.read_packets("absent.bin", size=value),
    "packet_us": lambda value: es.open_source([EVENTS], packet_us=value),
    "capacity": lambda value: es.EventQueue(value),
    "most": lambda value: es.EventQueue(1).get(timeout=0, most=value),
    "downscale": lambda value: es.FilterSettings(downscale=value),
    "region": lambda value: es.FilterSettings(region=(0, 0, value, 1)),
    "window_us": lambda value: es.Session(NETWORK, window_us=value),
    "clock_us": lambda value: es.Session(NETWORK, clock_us=value),
    "until_us": lambda value: es.Session(NETWORK).advance(value),
    "tick_us": lambda value: es.Stream(
        es.open_source([EVENTS]), es.Session(NETWORK), tick_us=value
    ),
    "epochs": lambda value: TrainingSettings("1FC-2", 1000, 2, epochs=value),
    "seed": lambda value: TrainingSettings("1FC-2", 1000, 2, seed=value),
    "seeds": lambda value: Plan("digits", "1FC-2", (1000,), 2, seeds=value),
}


@pytest.mark.parametrize("value", [True, 1.5], ids=str)
@pytest.mark.parametrize("use", USES)
def test_no_parameter_takes_anything_else(use: str, value: Any) -> None:
    name = use.split(",")[0].split()[0]
    with pytest.raises(EventsimError, match=rf"{name} is .*{value}.*, expected"):
        USES[use](value)


def test_settings_keep_python_numbers() -> None:
    settings = TrainingSettings("1FC-2", np.int64(1000), np.int64(2), seed=np.int64(3))  # type: ignore[arg-type]
    assert [type(value) for value in (settings.dt_us, settings.steps, settings.seed)] == [int] * 3
