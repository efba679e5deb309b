"""A NIR file or graph as a flat list of nodes: subgraphs opened, recurrence found, in order.

In: a path, or a `nir.NIRGraph` in memory. Out: `Graph`. Called by `reading.py`.

What is read is NIR's serialised form, a dict of fields for each node, and not the classes of the
`nir` package: these are other ones in each version of the package, fill in what a file lacks, and
refuse graphs whose shapes are not stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import h5py
import nir
import nir.serialization
import numpy as np

from eventsim.errors import NetworkFileError

NEURONS = ("IF", "LIF", "CubaLIF", "LI", "CubaLI", "I", "Threshold")
_RECURRENT = ("Affine", "Linear", "Scale")


@dataclass(frozen=True)
class Node:
    """One node: its name, with those of the subgraphs that it is in, its type and its fields."""

    name: str
    type: str
    fields: Mapping[str, Any]
    sources: tuple[Node, ...] = ()
    recurrent: Node | None = None  # what brings a neuron's spikes back to it, if anything does

    def __str__(self) -> str:
        """Write it as messages do."""
        return f"node {self.name} ({self.type})"


@dataclass(frozen=True)
class Graph:
    """The nodes from Input to Output, each behind its sources."""

    nodes: tuple[Node, ...]
    version: str  # of the nir package that wrote the file
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]  # what was put right on the way


@dataclass
class _Parts:
    """Nodes by their path through the subgraphs, and edges between the paths."""

    nodes: dict[tuple[str, ...], Node] = field(default_factory=dict)
    edges: list[tuple[Any, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_nir_file(path: str | Path) -> bool:
    """Tell whether a file is HDF5 with a NIR graph in it."""
    try:
        with h5py.File(path, "r") as file:
            return "node" in file and "version" in file
    except OSError:
        return False


def read_graph(source: Any) -> Graph:
    """Read a file, or a `nir.NIRGraph`.

    Raises `NetworkFileError` for what is no NIR graph, has several inputs or outputs, edges to
    nowhere, or a recurrence other than a neuron's own, through one node of weights.
    """
    if isinstance(source, str | Path):
        tree, version = _read_file(Path(source))
    else:
        tree, version = _tree_of(source), str(nir.version)
    parts = _Parts()
    try:
        _open(tree, (), parts)
        _drop_repeated(parts)
        nodes = _in_order(parts)
    except NetworkFileError as error:
        raise NetworkFileError(f"{name_of(source)}: {error}") from None
    return Graph(nodes, version, tree.get("metadata") or {}, tuple(parts.notes))


def name_of(source: Any) -> str:
    """Return what messages call a source."""
    return str(source) if isinstance(source, str | Path) else "the NIR graph"


def _read_file(path: Path) -> tuple[Any, str]:
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    if not is_nir_file(path):
        raise NetworkFileError(f"{path} is no NIR file, expected HDF5 with version and node")
    try:
        with h5py.File(path, "r") as file:
            tree = nir.serialization.hdf2dict(file["node"])
            version = file["version"][()]
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise NetworkFileError(f"{path} cannot be read: {error}") from error
    return tree, version.decode() if isinstance(version, bytes) else str(version)


def _tree_of(graph: Any) -> Any:
    """Return a graph in memory in its serialised form; torch's tensors as arrays."""
    for name, node in getattr(graph, "nodes", {}).items():
        if node is None:
            raise NetworkFileError(
                f"node {name} is None, as exporters leave it for a module that they do not know"
            )
    return _arrays(graph.to_dict())


def _arrays(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _arrays(value) for key, value in tree.items()}
    return tree.detach().cpu().numpy() if hasattr(tree, "detach") else tree


def _open(tree: Any, path: tuple[str, ...], parts: _Parts) -> None:
    """Add the nodes of a graph, and of those in it."""
    nodes = tree.get("nodes") if isinstance(tree, dict) else None
    if not isinstance(nodes, dict) or "edges" not in tree:
        where = f"node {'.'.join(path)}" if path else "the file"
        raise NetworkFileError(f"{where} has no nodes and edges, expected a NIRGraph")
    for name, fields in nodes.items():
        here = (*path, str(name))
        kind = _text(fields.get("type")) if isinstance(fields, dict) else None
        if not isinstance(kind, str):
            raise NetworkFileError(f"node {'.'.join(here)} has no type")
        if kind == "NIRGraph":
            _open(fields, here, parts)
        else:
            parts.nodes[here] = Node(".".join(here), kind, fields)
    for begin, end in _pairs(tree["edges"]):
        parts.edges.append(
            (_find(begin, path, tree, "Output", parts), _find(end, path, tree, "Input", parts))
        )


def _pairs(edges: Any) -> list[tuple[str, str]]:
    if isinstance(edges, np.ndarray):
        edges = edges.tolist() if edges.size else []
    pairs = []
    for edge in edges if isinstance(edges, list | tuple) else [()]:
        names = tuple(_text(name) for name in edge) if isinstance(edge, list | tuple) else ()
        if len(names) != 2 or not all(isinstance(name, str) for name in names):
            raise NetworkFileError("edges are not pairs of names")
        pairs.append((names[0], names[1]))
    return pairs


def _find(name: str, path: tuple[str, ...], tree: Any, port: str, parts: _Parts) -> tuple[str, ...]:
    """Return the path of the node that one end of an edge names.

    A subgraph is entered by its Input and left by its Output. Some writers name these themselves,
    as "subgraph.input".
    """
    here = (*path, name)
    if here in parts.nodes:
        return here
    if name in tree["nodes"]:
        ports = [
            inner for inner, node in parts.nodes.items() if inner[:-1] == here and node.type == port
        ]
        if len(ports) == 1:
            return ports[0]
        raise NetworkFileError(
            f"subgraph {'.'.join(here)} has {len(ports)} nodes of type {port}, expected one"
        )
    for inner, node in parts.nodes.items():
        if inner[: len(path)] == path and node.name == ".".join(here):
            return inner
    raise NetworkFileError(f"an edge names {'.'.join(here)}, which is no node")


def _drop_repeated(parts: _Parts) -> None:
    unique = list(dict.fromkeys(parts.edges))
    if len(unique) != len(parts.edges):
        parts.notes.append(f"{len(parts.edges) - len(unique)} edges stood twice, taken once")
    parts.edges = unique


def _in_order(parts: _Parts) -> tuple[Node, ...]:
    sources: dict[Any, list[Any]] = {key: [] for key in parts.nodes}
    for begin, end in parts.edges:
        sources[end].append(begin)
    back = _take_out_recurrence(parts, sources)
    _take_out_ports(parts, sources)
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError as error:
        names = " -> ".join(parts.nodes[key].name for key in reversed(error.args[1]))
        raise NetworkFileError(
            f"nodes {names} form a cycle, expected neurons that recur through one Affine, Linear "
            f"or Scale"
        ) from None
    done: dict[Any, Node] = {}
    for key in order:
        done[key] = replace(
            parts.nodes[key],
            sources=tuple(done[source] for source in sources[key]),
            recurrent=back.get(key),
        )
    nodes = tuple(done.values())
    for kind in ("Input", "Output"):
        found = [node.name for node in nodes if node.type == kind]
        if len(found) != 1:
            raise NetworkFileError(
                f"the graph has {len(found)} nodes of type {kind} ({', '.join(found)}), "
                f"expected one"
            )
    return nodes


def _take_out_recurrence(parts: _Parts, sources: dict[Any, list[Any]]) -> dict[Any, Node]:
    """Remove each node of weights whose only source and only target are one neuron's."""
    back: dict[Any, Node] = {}
    for key, node in list(parts.nodes.items()):
        if node.type not in _RECURRENT or len(sources[key]) != 1:
            continue
        (neuron,) = sources[key]
        targets = [end for end, begins in sources.items() if key in begins]
        if targets != [neuron] or parts.nodes[neuron].type not in NEURONS:
            continue
        if neuron in back:
            raise NetworkFileError(
                f"{parts.nodes[neuron]} recurs through {back[neuron].name} and {node.name}, "
                f"expected one"
            )
        back[neuron] = node
        sources[neuron].remove(key)
        del sources[key]
    return back


def _take_out_ports(parts: _Parts, sources: dict[Any, list[Any]]) -> None:
    """Connect what stands before and behind the Input or Output of a subgraph."""
    for key in [k for k, n in parts.nodes.items() if len(k) > 1 and n.type in ("Input", "Output")]:
        for begins in sources.values():
            if key in begins:
                at = begins.index(key)
                begins[at : at + 1] = sources[key]
        del sources[key]


def texts(tree: Any) -> Iterator[str]:
    """Give every text in metadata, keys included."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(tree, str | bytes):
        yield _text(tree)


def _text(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return value.decode() if isinstance(value, bytes) else value
