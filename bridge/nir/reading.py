"""A NIR graph -> a network of the engine, and an account of what became what.

In: a file or a `nir.NIRGraph`, a timestep, and in which library's way to read it (`conventions`).
Out: `Imported`. Commands and users call it, by way of `eventsim_bridge.nir`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eventsim.checks import is_whole
from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.graph import Network
from eventsim.network.neurons import READOUTS_ONLY

from .building import Builder
from .conventions import AS_IN, CONVENTIONS, AsIn, Convention
from .graph import Graph, Node, name_of, read_graph, texts

_KEPT = ("input_encoding", "steps", "readout", "class_names")
METADATA = "eventsim"  # under this name `writing.py` puts what NIR has no place for


class Step(NamedTuple):
    """What one layer was; empty where it was put in."""

    path: str  # the names of the nodes
    was: str  # their types


@dataclass(frozen=True)
class Imported:
    """A network, and how it came about."""

    network: Network
    steps: tuple[Step, ...]  # one for each layer of the network
    notes: tuple[str, ...]  # defaults that were taken, and what was put right


def from_nir(
    source: Any,
    *,
    dt_us: int | None = None,
    as_in: AsIn | None = None,
    input_shape: Sequence[int] | None = None,
    nir_dt_us: int | None = None,
    **options: Any,
) -> Imported:
    """Read a NIR file, or a `nir.NIRGraph`, as a network.

    dt_us: the network's timestep, by which events are binned. as_in: which library's way from
    continuous time to timesteps is taken ("exact": the solution of the equations for an input that
    is constant over a timestep); by default that of the library that the file's metadata names.
    input_shape: (polarities, height, width), where the file has none, or a flat one, which is else
    (units,). nir_dt_us: the
    timestep that the exporter was told; by default that of the library's exporter (see
    `conventions`), or dt_us. options: input_encoding, steps, readout and class_names, as in
    `Network`; the readout by default "mean-membrane" where the last layer never spikes.

    Raises `NetworkFileError` for what is no NIR graph, and `NetworkError` naming the node for what
    the engine cannot run, or the option that is needed.
    """
    graph = read_graph(source)
    written = _written_here(graph, as_in, dt_us)
    name = name_of(source)
    as_in = as_in or written.get("as_in") or _library_of(graph)
    if as_in is None:
        raise NetworkError(
            f"{name} does not say which library wrote it: set as_in (--as-in), expected one of "
            f"{', '.join(AS_IN)}"
        )
    if as_in not in AS_IN:
        raise NetworkError(f"as_in is {as_in!r}, expected one of {', '.join(AS_IN)}")
    dt_us = dt_us or written.get("dt_us")
    if dt_us is None:
        raise NetworkError(
            f"{name} has no timestep, as NIR's time is continuous: set dt_us (--dt-us)"
        )
    nir_dt_us = nir_dt_us or written.get("nir_dt_us")
    for option, value in (("dt_us", dt_us), ("nir_dt_us", nir_dt_us)):
        if value is not None and not is_whole(value, 1):
            raise NetworkError(f"{option} is {value!r}, expected whole microseconds from 1")
    convention = CONVENTIONS[as_in]
    notes = list(graph.notes)
    step_us = _exporters_dt(graph, convention, dt_us, nir_dt_us, notes)
    shape, flat = _input_shape(graph, input_shape or written.get("input_shape"), notes)
    builder = Builder(convention, step_us / 1e6, shape, flat)
    try:
        for node in graph.nodes:
            builder.add(node)
        layers = builder.finished()
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}") from None
    notes += builder.notes
    steps = tuple(
        Step(", ".join(node.name for node in nodes), ", ".join(node.type for node in nodes))
        for nodes in builder.nodes
    )
    kept = {name: written[name] for name in _KEPT if name in written}
    last: Any = layers[-1]
    if isinstance(last.neuron, READOUTS_ONLY):
        kept.setdefault("readout", "mean-membrane")
    provenance = {
        "imported_from": f"NIR {graph.version}", "as_in": as_in, "nir_dt_us": step_us,
        "modules": [step.path for step in steps], "notes": notes,
    }  # fmt: skip
    network = Network(shape, dt_us, layers, **kept | {"provenance": provenance} | options)
    return Imported(network, steps, tuple(notes))


def _written_here(graph: Graph, as_in: str | None, dt_us: int | None) -> dict[str, Any]:
    """Return what `writing.py` left in the metadata, as far as it holds for what is asked for."""
    text = graph.metadata.get(METADATA)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise NetworkError(f"metadata/{METADATA} is {text!r}, expected what eventsim writes")
    if as_in not in (None, found.get("as_in")) or dt_us not in (None, found.get("dt_us")):
        for name in ("nir_dt_us", "steps"):
            found.pop(name, None)
    return found


def _library_of(graph: Graph) -> AsIn | None:
    """Return the one library that the metadata of the graph name."""
    said = " ".join(texts(graph.metadata)).lower()
    named: list[AsIn] = [name for name in AS_IN if name != "exact" and name in said]
    return named[0] if len(named) == 1 else None


def _exporters_dt(
    graph: Graph, convention: Convention, dt_us: int, given: float | None, notes: list[str]
) -> float:
    """Return the timestep in microseconds by which decays and gains are made."""
    if given is not None:
        return given
    if convention.name == "spikingjelly":
        told = {dt for node in graph.nodes if (dt := _told_by(node)) is not None}
        if len(told) == 1:
            step = told.pop()
            notes.append(f"r says that the exporter's timestep was {step:g} us")
            return step
    if convention.dt_us is not None:
        if convention.dt_us != dt_us:
            notes.append(
                f"decays are those of timesteps of {convention.dt_us} us, which "
                f"{convention.name} takes unless told otherwise (--nir-dt-us)"
            )
        return convention.dt_us
    return dt_us


def _told_by(node: Node) -> float | None:
    """Return the timestep in microseconds that follows from what spikingjelly writes for r."""
    tau = {"IF": None, "LIF": "tau", "CubaLIF": "tau_mem"}.get(node.type, "")
    if tau == "" or "r" not in node.fields:
        return None
    try:
        r = float(np.ravel(node.fields["r"])[0])
        time = 1.0 if tau is None else float(np.ravel(node.fields[tau])[0])
    except (TypeError, ValueError, IndexError, KeyError):  # is refused where it is read
        return None
    if not (0 < r < np.inf and 0 < time < np.inf) or (node.type == "LIF" and r == 1):
        return None  # with decay_input r is 1, whatever the timestep
    return float(f"{1e6 * time / r:.6g}")


def _input_shape(graph: Graph, given: Sequence[int] | None, notes: list[str]) -> tuple[Shape, bool]:
    """Return (polarities, height, width) or (units,), and whether the graph takes a map flat."""
    (node,) = (node for node in graph.nodes if node.type == "Input")
    in_lines = any(inner.type == "Conv1d" for inner in graph.nodes)  # (channels, width)
    shape = _stated_shape(node, in_lines, notes)
    if given is not None:
        asked = tuple(given) if isinstance(given, Sequence) else ()
        whole = len(asked) in (1, 3) and all(is_whole(n, 1) for n in asked)
        fits = asked == shape if len(shape) == 3 else whole and math.prod(shape) == math.prod(asked)
        if not whole or (shape and not fits):
            raise NetworkError(
                f"input_shape is {given}, expected (polarities, height, width) or (units,) that "
                f"fit the file's {shape or 'input'}"
            )
        if not shape:
            notes.append(f"{node} has no shape, taken as {asked}")
        return asked, len(shape) == 1 < len(asked)
    if len(shape) == 1:
        return shape, False
    if len(shape) == 2 and in_lines:
        return (shape[0], 1, shape[1]), False
    if len(shape) != 3:
        raise NetworkError(
            f"{node} has {f'shape {shape}' if shape else 'no shape'}: set input_shape "
            f"(--input-shape), such as 2,34,34"
        )
    return shape, False


def _stated_shape(node: Node, in_lines: bool, notes: list[str]) -> Shape:
    """Return the shape that the Input states, without a batch axis; () for none."""
    stated = np.ravel(node.fields.get("shape", ()))
    if stated.dtype.kind not in "iuf" or (stated % 1 != 0).any() or (stated < 1).any():
        raise NetworkError(f"{node}: shape is {node.fields['shape']}, expected whole numbers")
    shape = tuple(int(n) for n in stated)
    while len(shape) > 3 or (len(shape) == 2 and not in_lines):
        if shape[0] != 1:
            return shape
        notes.append(f"{node} has shape {shape}, its first axis taken as the batch")
        shape = shape[1:]
    return shape
