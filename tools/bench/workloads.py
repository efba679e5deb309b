"""The workloads by name: what each runs, on which network and recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import eventsim as es
from eventsim.events.arrays import InputEncoding
from eventsim_bridge.models import PAPER_NEURON
from eventsim_bridge.models.recurrent import CELLS

from ..report import notes
from .budgets import measure_budgets, measure_int8
from .ceiling import CONV_ACTIVITIES, measure_ceiling, rows_of_convolution, rows_of_dense
from .contest import run_contest
from .counts import measure_counts, module_lines, recurrent_lines, spiking_lines
from .graded import GRADED, graded_network
from .growth import measure_growth
from .imports import measure_imports
from .inputs import dense_frames, read_recordings
from .latency import measure_latency
from .layers import time_convolution, time_dense
from .networks import (
    AVERAGED,
    CONV,
    GESTURE,
    MLP,
    random_cnn,
    random_network,
    random_recurrent_network,
    scale_to_rate,
)
from .training import measure_training


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    mlp: Path | None
    conv: Path | None
    root: Path | None
    limit: int
    repeats: int
    rate: float
    longest: int


@dataclass(frozen=True)
class Chosen:
    """A network, recordings for it, and words for tables."""

    network: es.Network
    recordings: list[Any]
    description: str


def choose(
    options: Options,
    data_set: str,
    structure: str,
    neuron: es.LIF | es.IF,
    grid: tuple[int, int],
    file: Path | None = None,
    encoding: InputEncoding = "binary",
) -> Chosen:
    """Read recordings; load the network, or draw one on a grid (dt_us, steps) and scale it."""
    recordings = read_recordings(data_set, options.root, options.limit)
    events = list(recordings.events)
    if file is not None:
        return Chosen(es.load_network(file), events, f"{data_set}, {file.name}")
    dt_us, steps = grid
    network = random_network(
        structure, recordings.input_shape, neuron, dt_us=dt_us, steps=steps, input_encoding=encoding
    )
    notes.print(f"scaling the random weights of {structure}", highlight=False)
    network = scale_to_rate(network, events[:4], options.rate)
    return Chosen(network, events, f"{data_set}, {structure}, {_scaled(options.rate)}")


def _scaled(rate: float) -> str:
    return f"random weights, each layer scaled to fire at {rate:.2%}"


def _choose_mlp(options: Options) -> Chosen:
    return choose(options, "nmnist", MLP, PAPER_NEURON, (1000, 300), options.mlp)


def _contest(chosen: Chosen, options: Options) -> dict[str, Any]:
    result = run_contest(chosen.network, chosen.recordings, options.repeats)
    return {"description": chosen.description, **result}


def _mlp(options: Options) -> dict[str, Any]:
    return _contest(_choose_mlp(options), options)


def _conv(options: Options) -> dict[str, Any]:
    chosen = choose(options, "nmnist", CONV, es.IF(1.0), (1000, 340), options.conv, "counts")
    return _contest(chosen, options)


def _gesture(options: Options) -> dict[str, Any]:
    # 60 timesteps of 25 ms: the first 1.5 s of a gesture
    return _contest(choose(options, "dvsgesture", GESTURE, PAPER_NEURON, (25_000, 60)), options)


def _graded(options: Options) -> dict[str, Any]:
    # the grid of the gesture workload
    events = list(read_recordings("dvsgesture", options.root, options.limit).events)
    notes.print(f"scaling the random weights of {GRADED}", highlight=False)
    network = graded_network(events[:4], options.rate, 25_000, 60)
    words = f"{_scaled(options.rate)}, several spikes a timestep"
    return _contest(Chosen(network, events, f"dvsgesture, {GRADED}, {words}"), options)


def _layer_conv(options: Options) -> dict[str, Any]:
    return time_convolution(options.repeats)


def _layer_dense(options: Options) -> dict[str, Any]:
    return time_dense(options.repeats)


def _growth(options: Options) -> dict[str, Any]:
    return measure_growth(options.repeats, options.longest)


def _ceiling(options: Options) -> dict[str, Any]:
    chosen = _choose_mlp(options)
    lists = [rows_of_dense(chosen.network, chosen.recordings)]
    lists += [rows_of_convolution(activity) for activity in CONV_ACTIVITIES]
    return measure_ceiling(lists, options.repeats)


def _counts(options: Options) -> dict[str, Any]:
    few = replace(options, limit=min(options.limit, 4))
    averaged = choose(few, "nmnist", AVERAGED, PAPER_NEURON, (10_000, 30))
    spiking = {
        f"{MLP}, LIF": _choose_mlp(few),
        f"{CONV}, IF, counts": choose(
            few, "nmnist", CONV, es.IF(1.0), (1000, 340), few.conv, "counts"
        ),
        f"{AVERAGED}, LIF": averaged,
    }
    cases = [
        (name, [list(spiking_lines(chosen.network, events)) for events in chosen.recordings])
        for name, chosen in spiking.items()
    ]
    frames = [one for batch in dense_frames(averaged.network, averaged.recordings) for one in batch]
    for structure in ("64FC-10", AVERAGED):
        for cell in CELLS:
            model = random_recurrent_network(structure, averaged.network.input_shape, cell)
            lines = [list(recurrent_lines(model, one)) for one in frames]
            cases.append((f"{structure}, {cell.upper()}", lines))
    model, words = random_cnn(averaged.network.input_shape)
    cases.append((words, [list(module_lines(model, one)) for one in frames]))
    return measure_counts(cases)


def _latency(options: Options) -> dict[str, Any]:
    chosen = _choose_mlp(options)
    return measure_latency(chosen.network, chosen.recordings[0], options.repeats)


def _imports(options: Options) -> dict[str, Any]:
    return measure_imports(options.root, options.limit, options.rate)


def _training(options: Options) -> dict[str, Any]:
    threads = tuple(sorted({1, es.available_threads()}))
    return measure_training(options.root, options.limit, options.repeats, threads)


def _budgets(options: Options) -> dict[str, Any]:
    return measure_budgets(options.root)


def _int8(options: Options) -> dict[str, Any]:
    return measure_int8(options.root)


WORKLOADS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "mlp": _mlp,
    "conv": _conv,
    "gesture": _gesture,
    "graded": _graded,
    "layer-conv": _layer_conv,
    "layer-dense": _layer_dense,
    "growth": _growth,
    "ceiling": _ceiling,
    "latency": _latency,
    "counts": _counts,
    "training": _training,
    "budgets": _budgets,
    "int8": _int8,
    "imports": _imports,
}
