"""The same network in plain dense NumPy: slow, obvious, the truth that engines are tested by.

Every neuron of every layer is computed in every timestep, with the formulas of `layers.py` and
`neurons.py`. In float64 by default; in float32 a network without pools makes the additions of the
clocked engine in the same order.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .layers import Shape, WeightLayer
from .network import Network


class LayerTrace(NamedTuple):
    """What one layer with neurons did, every array of shape (steps, *layer shape)."""

    spikes: NDArray[np.bool_]
    membranes: NDArray[Any]  # as compared with the threshold, before the reset
    inputs: NDArray[Any]  # what arrived at the layer, after the pools: (steps, *shape)


def run_reference(
    network: Network, frames: NDArray[Any], dtype: DTypeLike = np.float64
) -> list[LayerTrace]:
    """Run dense frames (steps, polarities, height, width), as `BinnedEvents.frames` gives them.

    Returns one `LayerTrace` for each layer with neurons, in order.
    """
    arriving = np.asarray(frames, dtype)
    traces = []
    for index, layer in enumerate(network.layers):
        shape = network.shapes[index + 1]
        if isinstance(layer, WeightLayer):
            traces.append(run_layer(layer, arriving, shape))
            arriving = traces[-1].spikes.astype(dtype)
        else:
            leaving = np.empty((len(arriving), *shape), dtype)
            for t, x in enumerate(arriving):
                leaving[t] = layer.forward(x)
            arriving = leaving
    return traces


def run_layer(layer: WeightLayer, arriving: NDArray[Any], shape: Shape) -> LayerTrace:
    """Run one layer with neurons of output shape `shape` on its input (steps, *input shape)."""
    spikes = np.zeros((len(arriving), *shape), np.bool_)
    membranes = np.zeros(spikes.shape, arriving.dtype)
    u = np.zeros(shape, arriving.dtype)
    for t, x in enumerate(arriving):
        u, spikes[t], membranes[t] = layer.neuron.step(u, partial(layer.add_input, x=x))
    return LayerTrace(spikes, membranes, arriving)
