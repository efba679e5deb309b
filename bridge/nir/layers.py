"""What passes between the nodes of a NIR graph while its layers are built.

A node gives spikes, or a current: weighted spikes that a neuron has not yet taken. NIR puts weights
and neurons into nodes of their own, and sums what several edges bring; a layer of the engine has
both, and takes the layer before it. `reading.py` makes one of the other with these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.layers import Conv1d, Conv2d, Dense, WeightLayer
from eventsim.network.neurons import Neuron

from .conventions import Numbers
from .graph import Node


@dataclass(frozen=True)
class Spikes:
    """The output of layer `index` (-1: the input), of the engine's shape, before any weights."""

    index: int
    shape: Shape
    scale: Numbers | None = None  # of Scale nodes, (channels,), folded into the weights behind
    nodes: tuple[Node, ...] = ()  # those Scale nodes

    def scaled(self, by: Numbers, node: Node) -> Spikes:
        """Return them behind another Scale, () or (channels,)."""
        before = np.ones(self.shape[0]) if self.scale is None else self.scale
        return replace(self, scale=before * by, nodes=(*self.nodes, node))

    def flattened(self, index: int) -> Spikes:
        """Return what leaves a Flatten, which is layer `index`."""
        sites = int(np.prod(self.shape[1:]))
        scale = None if self.scale is None else np.repeat(self.scale, sites)
        return Spikes(index, (self.shape[0] * sites,), scale, self.nodes)


@dataclass(frozen=True)
class Term:
    """Weights on some spikes."""

    source: Spikes
    kind: type[WeightLayer]
    weight: Numbers  # float64, in PyTorch's order of axes
    geometry: tuple[tuple[str, Any], ...] = ()  # the other parameters of the layer

    def columns(self) -> Numbers:
        """Return the weights, with what scales their inputs folded in."""
        if self.source.scale is None:
            return self.weight
        groups = dict(self.geometry).get("groups", 1)
        inputs = self.weight.shape[1]
        by_group = self.source.scale.reshape(groups, inputs)
        rows = np.repeat(by_group, len(self.weight) // groups, axis=0)
        return self.weight * rows.reshape(*rows.shape, *[1] * (self.weight.ndim - 2))


@dataclass(frozen=True)
class Current:
    """The sum of terms and a bias, on its way to neurons of a shape."""

    terms: tuple[Term, ...]
    bias: Numbers
    shape: Shape
    nodes: tuple[Node, ...] = ()  # what it comes through, from the last neurons on

    def scaled(self, by: Numbers, node: Node) -> Current:
        """Return it times a number, () or (channels,)."""
        terms = (
            replace(term, weight=term.weight * _by_row(by, term.weight)) for term in self.terms
        )
        return replace(self, terms=tuple(terms), bias=self.bias * by, nodes=(*self.nodes, node))

    def weighted(self, weight: Numbers, bias: Numbers, node: Node) -> Current:
        """Return what a second matrix makes of it."""
        terms = (
            replace(term, weight=weight @ term.columns(), source=replace(term.source, scale=None))
            for term in self.terms
        )
        nodes = (*self.nodes, node)
        return Current(tuple(terms), weight @ self.bias + bias, (len(weight),), nodes)


def _by_row(by: Numbers, weight: Numbers) -> Numbers:
    return by if by.ndim == 0 else by.reshape(-1, *[1] * (weight.ndim - 1))


def identity(spikes: Spikes) -> Current:
    """Return spikes that reach neurons without weights, each its own."""
    channels = spikes.shape[0]
    if len(spikes.shape) == 1:
        term = Term(spikes, Dense, np.eye(channels))
    else:
        term = Term(spikes, Conv2d, np.ones((channels, 1, 1, 1)), (("groups", channels),))
    return Current((term,), np.zeros(channels), spikes.shape, spikes.nodes)


def total(inputs: list[Spikes | Current]) -> Current:
    """Return the sum of what several edges bring.

    Raises `NetworkError` where the shapes differ.
    """
    currents = [identity(one) if isinstance(one, Spikes) else one for one in inputs]
    shapes = {current.shape for current in currents}
    if len(shapes) > 1:
        raise NetworkError(f"shapes {sorted(shapes)} meet, expected one")
    terms = tuple(term for current in currents for term in current.terms)
    bias = np.asarray(sum(current.bias for current in currents))
    nodes = tuple(node for current in currents for node in current.nodes)
    return Current(terms, bias, currents[0].shape, nodes)


def joined(terms: tuple[Term, ...], inputs: int) -> Term:
    """Return the terms as one, on the concatenation of their spikes.

    `inputs`: how many channels that has. Raises `NetworkError` for weights that no one layer has:
    of other kinds, geometries, or in groups.
    """
    kinds = {(term.kind, term.geometry, term.weight.shape[2:]) for term in terms}
    if len(kinds) > 1 or dict(terms[0].geometry).get("groups", 1) != 1:
        raise NetworkError(
            "the weights that meet are of different kinds or geometries, expected such as one "
            "layer has on all of its inputs"
        )
    weight = np.concatenate([term.columns() for term in terms], axis=1)
    assert weight.shape[1] == inputs
    return replace(terms[0], weight=weight)


def layer_of(
    term: Term, bias: Numbers, recurrent: Numbers | None, gain: Numbers, neuron: Neuron
) -> WeightLayer:
    """Return a layer; biases that are all 0 are none."""
    weight = term.columns()
    biases = bias * gain
    kind: Any = term.kind
    layer: Dense | Conv1d | Conv2d = kind(
        weight * _by_row(gain, weight),
        biases if biases.any() else None,
        **dict(term.geometry),
        recurrent=None if recurrent is None else recurrent * _by_row(gain, recurrent),
        neuron=neuron,
    )
    return layer
