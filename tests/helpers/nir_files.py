"""NIR files as HDF5 trees, with whatever a test puts in or leaves out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Tree = dict[str, Any]


def node(kind: str, **fields: Any) -> Tree:
    """Return one node."""
    return {"type": kind, **fields}


def chain(*nodes: Tree, shape: tuple[int, ...] | None = (4,)) -> Tree:
    """Return a graph of nodes "0", "1", ... one behind the other, from an Input to an Output."""
    named = {str(index): one for index, one in enumerate(nodes)}
    ports = {} if shape is None else {"shape": np.array(shape)}
    names = ["input", *named, "output"]
    return graph(
        {"input": node("Input", **ports), **named, "output": node("Output", **ports)},
        list(pairwise(names)),
    )


def graph(nodes: Tree, edges: list[tuple[str, str]]) -> Tree:
    """Return a graph of named nodes."""
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}


def lif(outputs: int, **fields: Any) -> Tree:
    """Return a LIF with tau 10 ms, r 1 and threshold 1."""
    numbers = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **fields}
    return node("LIF", **{name: np.full(outputs, v) for name, v in numbers.items()})


def affine(outputs: int, inputs: int, seed: int = 0) -> Tree:
    """Return random weights and biases."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
    return node("Affine", weight=weight, bias=rng.normal(size=outputs).astype(np.float32))


def write(path: Path, tree: Tree, version: str = "1.0.8") -> Path:
    """Write a graph as the nir package does."""
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data=version)
        _write(file.create_group("node"), tree)
    return path


def _write(group: h5py.Group, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            _write(group.create_group(name), value)
        elif isinstance(value, list):
            group.create_dataset(name, data=np.array(value, "S"))
        else:
            group.create_dataset(name, data=value)


def read(tmp_path: Path, tree: Tree, **options: Any) -> Any:
    """Return what comes of reading a graph; by default exactly, at 1 ms."""
    from eventsim_bridge.nir import from_nir  # the package nir is an extra

    options = {"dt_us": 1000, "as_in": "exact", **options}
    return from_nir(write(tmp_path / "net.nir", tree), **options)


def full(kind: str, size: int = 3, **numbers: float) -> Tree:
    """Return a node whose neurons all have the same numbers."""
    return node(kind, **{name: np.full(size, value) for name, value in numbers.items()})
