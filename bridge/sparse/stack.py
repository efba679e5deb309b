"""A network with neurons through a batch, forwards and backwards: maps, then full connections.

In: weights as torch has them, a `BinnedBatch`. Out: the spikes of the last layer, and for their
gradients those of the weights. Called by `function.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, Int64s, Words
from eventsim.vectors import new_array

from .blocks import blocks_of, padded, rows_in_blocks, rules_in_blocks, width_of
from .dense import Above, DenseLayer, Gradients, Room, differentiate_blocks, run_blocks
from .lists import BinnedBatch, dense_spikes, list_gradients, list_spikes
from .map_stack import LayerGradients, MapPass, MapStack, differentiate_maps, run_maps
from .neurons import Arrivals, Rules, RuleSums
from .threads import share

NOTHING = np.empty(0, np.float32)


class Weights(NamedTuple):
    """Weights of a layer, (outputs, inputs), its biases and the rules of its neurons (outputs,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    rules: Rules


class Stack(NamedTuple):
    """What a network consists of; `maps`: convolutions and pools, None where there are none."""

    maps: MapStack | None
    dense: list[Weights]


class Pass(NamedTuple):
    """What the forward pass of a batch leaves to the backward pass, of each layer."""

    samples: int
    steps: int
    maps: MapPass | None
    layers: list[DenseLayer]
    arrivals: list[Arrivals]
    membranes: list[Float32s]  # empty where they would take more than the weights


class Ran(NamedTuple):
    """What a batch gives."""

    spikes: NDArray[np.float32]  # of the last layer, 0 or 1, (samples, timesteps, outputs)
    operations: Int64s  # SOPs of each sample and layer with weights, (samples, layers)
    kept: Pass


def run_forward(stack: Stack, batch: BinnedBatch, threads: int) -> Ran:
    """Run a batch through all layers."""
    arrivals, of_maps = Arrivals(batch.pointers, batch.cells, batch.values), None
    if stack.maps is not None:
        arrivals, of_maps = run_maps(stack.maps, batch, threads)
    kept = Pass(batch.samples, batch.steps, of_maps, [], [], [])
    operations = [] if of_maps is None else [of_maps.operations]
    for number, weights in enumerate(stack.dense):
        layer = _as_read(weights)
        kept.layers.append(layer)
        kept.arrivals.append(arrivals)
        entries = np.diff(arrivals.pointers[:: batch.steps])
        operations.append(entries[:, np.newaxis] * len(weights.weight))
        numbers = batch.samples * batch.steps * len(layer.bias)
        room = numbers if numbers <= layer.weight.size else 0
        kept.membranes.append(new_array(room, np.float32))
        blocks = len(layer.bias) // layer.width
        words = np.empty(batch.samples * batch.steps * blocks, np.uint64)
        share(blocks, threads, partial(_run_part, kept, number, words))
        if number < len(stack.dense) - 1:
            arrivals = list_spikes(words, blocks, layer.width)
    outputs = len(stack.dense[-1].weight)
    spikes = dense_spikes(words, blocks, layer.width, outputs)
    whole = spikes.reshape(batch.samples, batch.steps, outputs)
    return Ran(whole, np.concatenate(operations, axis=1), kept)


def _as_read(weights: Weights) -> DenseLayer:
    outputs = len(weights.weight)
    return DenseLayer(
        rules_in_blocks(weights.rules, outputs), np.ascontiguousarray(weights.weight),
        padded(weights.bias, outputs), width_of(outputs),
    )  # fmt: skip


def _run_part(kept: Pass, number: int, words: Words, first: int, stop: int) -> None:
    layer = kept.layers[number]
    run_blocks(
        layer, kept.arrivals[number], kept.samples, kept.steps, first, stop,
        _room(layer, kept.steps, backwards=False), words, kept.membranes[number],
    )  # fmt: skip


def _room(layer: DenseLayer, steps: int, *, backwards: bool) -> Room:
    """Allocate what a thread writes to, so that threads' lines of the cache are their own."""
    width, size = layer.width, layer.width * layer.weight.shape[1]
    return Room(
        new_array(steps * width, np.float32),
        new_array(steps * width if backwards else 0, np.float32),
        new_array(width, np.float32),
        new_array(steps, np.uint64),
        new_array(size, np.float32),
        new_array(size if backwards else 0, np.float32),
    )


def run_backward(
    stack: Stack,
    kept: Pass,
    by_outputs: NDArray[np.float32],
    by_operations: NDArray[np.float32],
    gradients: Sequence[LayerGradients],
    threads: int,
) -> None:
    """Fill the gradients of each layer's parameters, in the order of the layers.

    `by_outputs`: the gradient of the last layer's spikes, (samples, timesteps, outputs).
    `by_operations`: that of the operations, (samples, layers).
    """
    maps = len(gradients) - len(stack.dense)
    behind = _differentiate_dense(
        stack.dense, kept, by_outputs, by_operations[:, maps:], gradients[maps:], threads,
        wanted=maps > 0,
    )  # fmt: skip
    if stack.maps is not None and kept.maps is not None and behind is not None:
        differentiate_maps(
            stack.maps, kept.maps, kept.steps, behind, stack.dense[0].weight,
            by_operations[:, : maps + 1], gradients[:maps], threads,
        )  # fmt: skip


def _differentiate_dense(
    stack: list[Weights],
    kept: Pass,
    by_outputs: NDArray[np.float32],
    by_operations: NDArray[np.float32],
    gradients: Sequence[LayerGradients],
    threads: int,
    *,
    wanted: bool,
) -> Arrivals | None:
    """Return the gradients of the first layer's membranes, where they are `wanted`."""
    outputs = by_outputs.shape[-1]
    rows = kept.samples * kept.steps
    whole = np.zeros((rows, blocks_of(outputs) * width_of(outputs)), np.float32)
    whole[:, :outputs] = by_outputs.reshape(rows, outputs)
    above, listed = None, None
    for number in range(len(stack) - 1, -1, -1):
        layer, channels = kept.layers[number], len(kept.layers[number].bias)
        asked = wanted or number > 0
        membranes = new_array(rows * channels, np.float32) if asked else NOTHING
        room = channels if layer.rules.learns else 0
        sums = RuleSums(np.zeros(room, np.float32), np.zeros(room, np.float32))
        by_bias = np.zeros(channels, np.float32)
        found = Gradients(gradients[number].weight, by_bias, sums, membranes)
        part = partial(_differentiate_part, kept, number, whole.reshape(-1), above, found)
        share(channels // layer.width, threads, part)
        gradients[number].take(by_bias, sums)
        listed = list_gradients(membranes, channels) if asked else None
        if number and listed is not None:
            weight = stack[number].weight
            costs = np.ascontiguousarray(by_operations[:, number])
            above = Above(listed, rows_in_blocks(weight), len(weight), costs)
    return listed


def _differentiate_part(
    kept: Pass,
    number: int,
    by_outputs: Float32s,
    above: Above | None,
    found: Gradients,
    first: int,
    stop: int,
) -> None:
    layer = kept.layers[number]
    differentiate_blocks(
        layer, kept.arrivals[number], by_outputs, above, kept.samples, kept.steps, first, stop,
        _room(layer, kept.steps, backwards=True), kept.membranes[number], found,
    )  # fmt: skip
