"""A stack of convolutions and pools through a batch, forwards and backwards, sample by sample.

In: a `BinnedBatch`. Out: what arrives at the fully connected layer behind, and for the gradients of
its membranes those of the weights. Called by `stack.py`.

Threads take samples. Each sample adds to the gradient of the part of the batch that it belongs to,
and the parts, whose number is fixed, are summed up in their order: the result does not depend on
how many threads there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, Int64s
from eventsim.vectors import new_array

from .blocks import blocks_of, padded, rules_in_blocks, to_blocks, width_of
from .lists import BinnedBatch
from .maps import Behind, LayerWeights, MapGradients, MapRoom, SiteLists, differentiate_map, run_map
from .neurons import Arrivals, Rules, RuleSums
from .site_lists import arrive, count_timesteps, list_sites, pool_lists
from .threads import share
from .wiring import Pool, Wires, each_by_itself

PARTS = 8  # of a batch: so many threads can share the backward pass
FREE = np.float32(0)  # an operation that costs nothing
_NOBODY = Arrivals(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


class LayerGradients(NamedTuple):
    """Room for the gradients of a layer's parameters; None where there is none, or not asked."""

    weight: NDArray[np.float32]  # in the shape of the weights; the others: (outputs,)
    bias: NDArray[np.float32] | None
    decay: NDArray[np.float32] | None
    threshold: NDArray[np.float32] | None

    def take(self, by_bias: Float32s, sums: RuleSums) -> None:
        """Fill all but the weights' from sums of all channels of all blocks."""
        for room, found in ((self.bias, by_bias), *zip(self[2:], sums, strict=True)):
            if room is not None:
                room[:] = found[: len(room)]


class PartSums(NamedTuple):
    """What a part of the batch adds up to: as `MapGradients`."""

    blocks: Float32s
    bias: Float32s
    rules: RuleSums


class MapWeights(NamedTuple):
    """Weights of a convolution (outputs, inputs, height, width), biases, neurons, and its wires."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    rules: Rules
    pool: Pool | None  # in front of it
    wires: Wires


class MapStack(NamedTuple):
    """Convolutions one behind the other, and the pool behind the last."""

    layers: list[MapWeights]
    pool: Pool | None


class MapPass(NamedTuple):
    """What the forward pass leaves to the backward pass."""

    layers: list[LayerWeights]
    arrivals: list[list[SiteLists]]  # of each sample, at each convolution
    operations: Int64s  # (samples, convolutions)


def run_maps(stack: MapStack, batch: BinnedBatch, threads: int) -> tuple[Arrivals, MapPass]:
    """Return what arrives behind the stack, with rows as torch flattens maps, and what to keep."""
    layers = [_in_blocks(weights) for weights in stack.layers]
    operations = np.zeros((batch.samples, len(layers)), np.int64)
    kept = MapPass(layers, [[] for _ in range(batch.samples)], operations)
    outputs: list[SiteLists] = [None] * batch.samples  # type: ignore[list-item]
    share(batch.samples, threads, partial(_run_samples, stack, batch, kept, outputs))
    counts = np.zeros((batch.samples, batch.steps), np.int64)
    for lists, count in zip(outputs, counts, strict=True):
        count_timesteps(lists, batch.steps, count)
    pointers = np.concatenate([[0], counts.reshape(-1).cumsum()])
    rows = np.empty(pointers[-1], np.int32)
    graded = bool(outputs) and outputs[0].values is not None
    arrivals = Arrivals(pointers, rows, np.empty(len(rows), np.float32) if graded else None)
    places = pointers[:-1].reshape(counts.shape).copy()
    for lists, place in zip(outputs, places, strict=True):
        arrive(lists, lists.values, batch.steps, place, arrivals, arrivals.values)
    return arrivals, kept


def _in_blocks(weights: MapWeights) -> LayerWeights:
    outputs, inputs = weights.weight.shape[:2]
    taps = weights.weight[0, 0].size
    by_tap = weights.weight.reshape(outputs, inputs, taps).swapaxes(1, 2)
    matrix = np.ascontiguousarray(by_tap).reshape(outputs, taps * inputs)
    return LayerWeights(
        rules_in_blocks(weights.rules, outputs), to_blocks(matrix), padded(weights.bias, outputs),
        width_of(outputs), outputs, taps * inputs,
    )  # fmt: skip


def _run_samples(
    stack: MapStack,
    batch: BinnedBatch,
    kept: MapPass,
    outputs: list[SiteLists],
    first: int,
    stop: int,
) -> None:
    """Run some of the samples."""
    for sample in range(first, stop):
        lists = _listed(batch, sample)
        for number, (weights, layer) in enumerate(zip(stack.layers, kept.layers, strict=True)):
            lists = _pooled(lists, weights.pool, batch.steps)
            kept.arrivals[sample].append(lists)
            pointers = lists.pointers.reshape(-1, batch.steps + 1)
            entries = pointers[:, -1] - pointers[:, 0]
            kept.operations[sample, number] = entries @ _fan_outs(weights)
            lists = _run_layer(weights, layer, lists, batch.steps)
        outputs[sample] = _pooled(lists, stack.pool, batch.steps)


def _fan_outs(weights: MapWeights) -> Int64s:
    """Return how many weights what arrives at each site reaches, borders included."""
    taps: Int64s = np.diff(weights.wires.backwards.pointers)
    return taps * len(weights.weight)


def _listed(batch: BinnedBatch, sample: int) -> SiteLists:
    """Return the binned events of a sample by site."""
    _, height, width = batch.input_shape
    pointers = batch.pointers[sample * batch.steps :][: batch.steps + 1]
    events = int(pointers[-1] - pointers[0])
    places = np.empty(height * width * (batch.steps + 1), np.int64)
    values = None if batch.values is None else np.empty(events, np.float32)
    lists = SiteLists(np.empty_like(places), np.empty(events, np.int32), values)
    list_sites(pointers, batch.cells, batch.values, batch.steps, lists, lists.values, places)
    return lists


def _pooled(lists: SiteLists, pool: Pool | None, steps: int) -> SiteLists:
    if pool is None:
        return lists
    graded = lists.values is not None or pool.scale != 1
    most = len(lists.channels)
    found = SiteLists(
        np.empty(len(pool.children) * (steps + 1), np.int64), np.empty(most, np.int32),
        np.empty(most, np.float32) if graded else None,
    )  # fmt: skip
    slots = np.zeros(1 + int(lists.channels.max(initial=0)), np.int64)
    filled = pool_lists(
        lists, lists.values, pool.children, pool.maximum, pool.scale, steps, found, found.values,
        slots,
    )  # fmt: skip
    return _cut(found, filled)


def _cut(found: SiteLists, filled: int) -> SiteLists:
    """Return the lists in arrays of their length."""
    values = None if found.values is None else found.values[:filled].copy()
    return SiteLists(found.pointers, found.channels[:filled].copy(), values)


def _run_layer(weights: MapWeights, layer: LayerWeights, lists: SiteLists, steps: int) -> SiteLists:
    sites = weights.wires.sites
    # As large as may be: what is not written to takes no memory.
    found = SiteLists(
        np.empty(sites * (steps + 1), np.int64),
        np.empty(sites * steps * len(weights.weight), np.int32), None,
    )  # fmt: skip
    room = _room(layer, lists, steps, 1, weights.weight[0, 0].size)
    return _cut(found, run_map(layer, weights.wires.forwards, lists, steps, room, found))


def _room(layer: LayerWeights, lists: SiteLists, steps: int, children: int, taps: int) -> MapRoom:
    rows, width = children * len(lists.channels), layer.width
    words = children * len(layer.bias) // width * steps
    values = None if lists.values is None else np.empty(rows, np.float32)
    return MapRoom(
        Arrivals(np.empty(children * (steps + 1), np.int64), np.empty(rows, np.int32), values),
        new_array(children * len(layer.bias) * steps, np.float32),
        new_array(steps * width, np.float32), new_array(children * steps * width, np.float32),
        new_array(width, np.float32), new_array(words, np.uint64), new_array(taps, np.int64),
    )  # fmt: skip


def differentiate_maps(
    stack: MapStack,
    kept: MapPass,
    steps: int,
    behind: Arrivals,
    weight: NDArray[np.float32],
    by_operations: NDArray[np.float32],
    gradients: Sequence[LayerGradients],
    threads: int,
) -> None:
    """Fill the gradients of each convolution's parameters.

    `behind`: the gradients of the membranes of the layer behind, whose `weight` is
    (outputs, channels * sites). `by_operations`: those of the operations of each convolution and of
    the layer behind, (samples, layers).
    """
    samples = len(kept.arrivals)
    parts = [[_no_sums(layer) for layer in kept.layers] for _ in range(min(PARTS, samples))]
    ends = _ends(stack, steps, behind, weight)

    def work(first: int, stop: int) -> None:
        for part in range(first, stop):
            begin, end = (samples * n // len(parts) for n in (part, part + 1))
            for sample in range(begin, end):
                costs = by_operations[sample, 1:]
                own = [
                    end._replace(by_operations=cost) for end, cost in zip(ends, costs, strict=True)
                ]
                _differentiate_sample(stack, kept, steps, sample, own, parts[part])

    share(len(parts), threads, work)
    for number, layer in enumerate(kept.layers):
        _sum_up([part[number] for part in parts], layer, gradients[number])


def _no_sums(layer: LayerWeights) -> PartSums:
    by_rules = [
        np.zeros(len(layer.bias) if layer.rules.learns else 0, np.float32) for _ in range(2)
    ]
    return PartSums(np.zeros_like(layer.blocks), np.zeros_like(layer.bias), RuleSums(*by_rules))


def _ends(
    stack: MapStack, steps: int, behind: Arrivals, weight: NDArray[np.float32]
) -> list[Behind]:
    """Return what the gradient of each convolution comes from, for the first sample."""
    ends = []
    for before, weights in pairwise(stack.layers):
        pool = weights.pool or each_by_itself(before.wires.sites)
        outputs, inputs = weights.weight.shape[:2]
        by_tap = weights.weight.reshape(outputs, inputs, -1).transpose(1, 2, 0)
        matrix = np.ascontiguousarray(by_tap).reshape(inputs, -1)
        fan_outs = _fan_outs(weights).astype(np.float32)
        blocks = to_blocks(matrix)
        ends.append(Behind(*pool, _NOBODY, 0, blocks, matrix.shape[1], 0, fan_outs, FREE))
    pool = stack.pool or each_by_itself(stack.layers[-1].wires.sites)
    channels = len(stack.layers[-1].weight)
    blocks = _blocks_of_sites(weight, channels, len(pool.children))
    fan_outs = np.full(len(pool.children), len(weight), np.float32)
    ends.append(Behind(*pool, behind, 0, blocks, len(weight), blocks_of(channels), fan_outs, FREE))
    return ends


def _blocks_of_sites(weight: NDArray[np.float32], channels: int, sites: int) -> Float32s:
    """Return a weight (outputs, channels * sites) as [site][block][output][channel]."""
    width, blocks = width_of(channels), blocks_of(channels)
    found = new_array(weight.size // channels * blocks * width, np.float32)
    whole = found.reshape(sites, blocks, len(weight), width)
    by_site = weight.reshape(len(weight), channels, sites).transpose(2, 0, 1)
    for block in range(blocks):
        part = by_site[:, :, block * width : (block + 1) * width]
        whole[:, block, :, : part.shape[2]] = part
        whole[:, block, :, part.shape[2] :] = 0
    return found


def _differentiate_sample(
    stack: MapStack,
    kept: MapPass,
    steps: int,
    sample: int,
    ends: list[Behind],
    sums: list[PartSums],
) -> None:
    """Run a sample back through all convolutions, and add to the gradients of their weights."""
    gradients, taps = None, None
    for number in range(len(stack.layers) - 1, -1, -1):
        weights, layer, end = stack.layers[number], kept.layers[number], ends[number]
        lists, sites = kept.arrivals[sample][number], weights.wires.sites
        if gradients is None:
            end = end._replace(first=sample * steps)
        else:
            most = len(gradients.channels)
            noted = Arrivals(
                np.empty(steps + 1, np.int64), np.empty(most, np.int32), np.empty(most, np.float32)
            )
            end = end._replace(gradients=noted)
        most = sites * steps * len(layer.bias) if number else 0
        membranes = SiteLists(
            np.zeros(sites * (steps + 1), np.int64), np.empty(most, np.int32),
            np.empty(most, np.float32),
        )  # fmt: skip
        most_taps = max(one.weight[0, 0].size for one in stack.layers[number : number + 2])
        filled = differentiate_map(
            layer, weights.wires.forwards, lists, end, taps, gradients, steps,
            _room(layer, lists, steps, end.children.shape[1], most_taps),
            MapGradients(*sums[number], membranes), number > 0,
        )  # fmt: skip
        gradients, taps = _cut(membranes, filled), weights.wires.backwards


def _sum_up(parts: list[PartSums], layer: LayerWeights, gradients: LayerGradients) -> None:
    """Fill gradients with the sums over parts, whose weights lie in blocks."""
    weight = gradients.weight
    outputs, inputs = weight.shape[:2]
    total = parts[0]
    for part in parts[1:]:
        for sums, more in zip((*total[:2], *total.rules), (*part[:2], *part.rules), strict=True):
            sums += more
    matrix = total.blocks.reshape(-1, layer.inputs, layer.width).swapaxes(1, 2)
    by_tap = matrix.reshape(-1, layer.inputs)[:outputs].reshape(outputs, -1, inputs)
    weight[...] = by_tap.swapaxes(1, 2).reshape(weight.shape)
    gradients.take(total.bias, total.rules)
