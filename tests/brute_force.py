"""Counts of operations by brute force over the dense reference, for comparison with the engine.

Written from the definitions in `eventsim/operations.py`, with none of the engine's wiring: which
weights an input reaches is found by sending it alone through a copy of the layer whose weights are
all one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.layers import Conv2d, Dense, Flatten, Layer, MaxPool2d
from eventsim.network import Network
from eventsim.reference import LayerTrace


def count_operations(
    network: Network, frames: NDArray[Any], traces: list[LayerTrace]
) -> list[dict[str, int]]:
    """One dictionary of counts for each layer with neurons."""
    counts = []
    pools: list[Layer] = []
    arriving = frames.astype(np.float64)
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Dense | Conv2d):
            pools.append(layer)
            continue
        trace = traces[len(counts)]
        graded = not counts and network.input_encoding == "counts"
        counts.append(_count_layer(network, index, layer, pools, arriving, trace, graded))
        arriving, pools = trace.spikes.astype(np.float64), []
    return counts


def _count_layer(
    network: Network,
    index: int,
    layer: Dense | Conv2d,
    pools: list[Layer],
    arriving: NDArray[Any],
    trace: LayerTrace,
    graded: bool,
) -> dict[str, int]:
    linear = [pool for pool in pools if not isinstance(pool, MaxPool2d)]
    for pool in pools:
        if isinstance(pool, MaxPool2d):
            arriving = np.array([pool.forward(x) for x in arriving]) if len(arriving) else arriving
    shape = network.shapes[index + 1]
    groups = layer.groups
    sites = (groups, *shape[1:])
    per_site = shape[0] // groups
    parameters = layer.neuron.parameters()
    bias = np.zeros(shape[0]) if layer.bias is None else layer.bias.astype(np.float64)
    bias = bias.reshape(-1, *[1] * (len(shape) - 1))
    decay, threshold = float(parameters.decay), float(parameters.threshold)
    driven = np.zeros(shape[0], np.bool_)
    if layer.bias is not None:
        driven = parameters.rises_over_threshold(layer.bias)
    positions = int(np.prod(shape[1:]))

    fan_outs: dict[int, NDArray[Any]] = {}
    count = dict.fromkeys(
        ("input_events", "sops", "updates", "decays", "bias_adds", "compares", "resets",
         "output_spikes", "site_updates"), 0,
    )  # fmt: skip
    after = np.zeros(shape)
    again = np.zeros(sites, np.bool_)
    for t in range(len(trace.spikes)):
        touched = again.copy()
        for flat in np.flatnonzero(arriving[t]) if len(arriving) else ():
            if flat not in fan_outs:
                fan_outs[flat] = _weights_reached(layer, linear, arriving[t].shape, flat, shape)
            reached = fan_outs[flat]
            count["input_events"] += 1
            count["sops"] += int(reached.sum())
            touched |= reached.reshape(groups, per_site, *shape[1:]).any(axis=1)
        alone = after * decay + bias
        crossing = (alone > threshold) & driven.reshape(bias.shape)
        touched |= crossing.reshape(groups, per_site, *shape[1:]).any(axis=1)
        lazy = (~driven).reshape(groups, per_site).sum(axis=1)  # per group
        lazy_updates = int((touched.reshape(groups, -1).sum(axis=1) * lazy).sum())
        driven_updates = int(driven.sum()) * positions
        touched_neurons = int(touched.sum()) * per_site
        count["site_updates"] += int(touched.sum())
        count["updates"] += touched_neurons + driven_updates
        count["compares"] += touched_neurons + driven_updates
        count["decays"] += (lazy_updates + driven_updates) if decay != 1 else 0
        count["bias_adds"] += (lazy_updates + driven_updates) if layer.bias is not None else 0
        spikes, membranes = trace.spikes[t], trace.membranes[t]
        count["output_spikes"] += int(spikes.sum())
        count["resets"] += int(spikes.sum())
        after = np.where(spikes, membranes - threshold if parameters.subtract else 0.0, membranes)
        fires_again = spikes & (after * decay + bias > threshold)
        again = fires_again.reshape(groups, per_site, *shape[1:]).any(axis=1)
    sops = count.pop("sops")
    return count | {"acs": 0 if graded else sops, "macs": sops if graded else 0}


def _weights_reached(
    layer: Dense | Conv2d,
    linear: list[Layer],
    shape: tuple[int, ...],
    flat: int,
    output_shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """How many weights one input adds to each membrane."""
    x = np.zeros(int(np.prod(shape)))
    x[flat] = 1.0
    x = x.reshape(shape)
    scale = 1.0
    for pool in linear:
        x = pool.forward(x)
        if not isinstance(pool, Flatten):
            scale *= pool.scale
    reached = np.zeros(output_shape)
    ones = replace(layer, weight=np.ones_like(layer.weight), bias=None)
    ones.add_input(reached, np.rint(x / scale))
    return reached.astype(np.int64)
