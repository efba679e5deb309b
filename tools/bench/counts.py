"""The engine's counts beside those of other libraries, on the same layers and spikes.

In: networks and recordings. Out: for each layer with weights the synaptic operations that the
engine counted (of RNN, LSTM and torch modules: `eventsim_bridge.counting`), those of every other
counter, and the reading under which its number is right: a count is compared as an integer with
what torch gives for each reading, and what none gives is unexplained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import eventsim as es
from eventsim_bridge.counting import ModelOperations, count_operations
from eventsim_bridge.counting import count as count_modules
from eventsim_bridge.models import RecurrentNetwork
from eventsim_bridge.models.operations import area, fan_out
from eventsim_bridge.models.recurrent import RecurrentLayer
from eventsim_bridge.models.sequences import run_layer
from eventsim_bridge.readings import arriving_at_layers, whole

from .counters import COUNTERS, Counter

SAME = "the same"


class Line(NamedTuple):
    """One product of a network: where it is, what we count, and what enters it."""

    layer: str
    ours: int
    dense: int  # multiply-accumulates
    pools: list[nn.Module]
    connection: nn.Module
    entering: Tensor  # (steps, ...), before the pools


def spiking_lines(network: es.Network, recording: Any) -> Iterator[Line]:
    """Yield the layers of a spiking network for a recording, with the engine's own spikes."""
    result = es.simulate(network, recording, record_spikes=True)
    layers = arriving_at_layers(network, recording, result)
    for counted, arriving in zip(result.operations.layers, layers, strict=True):
        yield Line(counted.name, counted.sops, counted.dense_macs, *arriving)


def recurrent_lines(model: RecurrentNetwork, frames: Tensor) -> Iterator[Line]:
    """Yield both products of each layer of an RNN or LSTM, for binary frames (steps, ...)."""
    (counted,) = count_operations(model, frames[None], loss="rate-inspired")
    operations = iter(counted.layers)
    x, pools, entering, folds = frames, list[nn.Module](), frames, True
    for layer in model.layers:
        with torch.no_grad():
            leaving = run_layer(layer, x.unsqueeze(1)).squeeze(1)
        if isinstance(layer, RecurrentLayer | nn.Linear):
            own = next(operations)
            inner = layer.connection if isinstance(layer, RecurrentLayer) else layer
            sops = own.acs + own.macs
            yield Line(f"{own.name}, W1", sops, own.dense_macs, pools, inner, entering)
            if isinstance(layer, RecurrentLayer):
                before = torch.cat([torch.zeros_like(leaving[:1]), leaving[:-1]])
                yield Line(
                    f"{own.name}, W2", own.recurrent_macs, own.recurrent_dense_macs, [],
                    layer.feedback, before,
                )  # fmt: skip
            pools, entering, folds = [], leaving, False
        elif folds and not isinstance(layer, nn.MaxPool2d):
            pools.append(layer)
        else:  # real numbers are pooled before they are multiplied
            entering, pools = leaving, []
        x = leaving
    assert next(operations, None) is None


def module_lines(model: nn.Module, rows: Tensor) -> Iterator[Line]:
    """Yield the Linear and Conv2d layers of any torch module, for rows (rows, ...) of its input."""
    entering: dict[str, Tensor] = {}
    with ExitStack() as hooks, torch.no_grad():
        for path, part in model.named_modules():
            if isinstance(part, nn.Linear | nn.Conv2d):

                def keep(module: nn.Module, inputs: Any, output: Any, path: str = path) -> None:
                    entering[path] = inputs[0]

                hooks.enter_context(part.register_forward_hook(keep))
        with count_modules(model) as counts:
            model(rows)
    for own in ModelOperations.sum(counts.samples).layers:
        path = own.name.split(" ")[0]
        if path in entering:
            connection = model.get_submodule(path)
            yield Line(own.name, own.sops, own.dense_macs, [], connection, entering[path])


def measure_counts(cases: Sequence[tuple[str, list[list[Line]]]]) -> dict[str, Any]:
    """Count the layers of each case, (name, lines of each recording), by everything installed."""
    counters = [counter() for counter in COUNTERS if counter.installed()]
    rows = []
    for name, recordings in cases:
        for lines in zip(*recordings, strict=True):
            rows.append({"network": name, "layer": lines[0].layer, **_row(lines, counters)})
    left_out = [counter.name for counter in COUNTERS if not counter.installed()]
    return {"rows": rows, "left_out": left_out}


def _row(lines: Sequence[Line], counters: Sequence[Counter]) -> dict[str, Any]:
    readings: dict[str, int] = {}
    for line in lines:
        for reading, count in readings_of(line).items():
            readings[reading] = readings.get(reading, 0) + count
    ours = sum(line.ours for line in lines)
    others = {}
    for counter in counters:
        count = sum(counter.count(line.pools, line.connection, line.entering) for line in lines)
        others[counter.name] = {"count": count, "reading": _explain(count, ours, readings)}
    return {
        "eventsim": {"count": ours, "reading": _explain(ours, readings["each spike"], readings)},
        "others": others,
        "input_rate_x_dense": readings["input rate x dense"],
        "dense_macs": sum(line.dense for line in lines),
    }


def readings_of(line: Line) -> dict[str, int]:
    """Return what a layer's operations are by each reading, from torch with weights of one.

    How many operations an input causes is the gradient of all sums by it.
    """
    with torch.no_grad():
        pooled = nn.Sequential(*line.pools)(line.entering)
    entering, each = line.entering, fan_out(line.pools, line.connection, line.entering)
    behind = fan_out([], line.connection, pooled)
    present, by_value = pooled != 0, whole(entering * each)
    pools_first = whole(present * behind)
    return {
        "each spike": whole((entering != 0) * each),
        "pools first": pools_first,
        "as often as a value says": by_value,
        "that, times the area of sum pools": by_value * _area_of_sums(line.pools),
        "only inputs of 0 and 1": pools_first if bool((pooled[present] == 1).all()) else 0,
        "input rate x dense": round(float(present.double().mean()) * line.dense),
    }


def _area_of_sums(pools: Sequence[nn.Module]) -> int:
    """Return by what sums are too large where they are taken for means."""
    sums = [p for p in pools if isinstance(p, nn.AvgPool2d) and p.divisor_override is not None]
    return math.prod(map(area, sums))


def _explain(count: int, ours: int, readings: dict[str, int]) -> str:
    """Return the reading that gives a count, SAME where it is ours."""
    if count == ours:
        return SAME
    return next((name for name, value in readings.items() if value == count), "unexplained")
