"""The same network in plain dense NumPy: slow, obvious, the truth that engines are tested by.

Every neuron of every layer is computed in every timestep, with the formulas of `layers.py`,
`pathways.py` and `neurons/`. In float64 by default; in float32 a network without pools makes the
additions of the clocked engine in the same order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .network.geometry import Shape
from .network.graph import Network, check_network
from .network.layers import WeightLayer
from .network.neurons import NeuronState


class LayerTrace(NamedTuple):
    """What one layer with neurons did, every array of shape (steps, *layer shape).

    spikes: 0 or 1, or more where the neurons allow it. membranes: as compared with the threshold,
    before the reset, from rest. inputs: what arrived at the layer, after the pools, (steps,
    *shape). states: after each timestep.
    """

    spikes: NDArray[np.int64]
    membranes: NDArray[Any]
    inputs: NDArray[Any]
    states: tuple[NeuronState, ...]


def run_reference(
    network: Network, frames: NDArray[Any], dtype: DTypeLike = np.float64
) -> list[LayerTrace]:
    """Run dense frames (steps, *input_shape), as `BinnedEvents.frames` gives them.

    Returns one `LayerTrace` for each layer with neurons, in order.
    """
    check_network(network)
    outputs = [np.asarray(frames, dtype)]  # of the input, then of each layer
    traces = []
    for index, layer in enumerate(network.layers):
        arriving = [outputs[source + 1] for source in network.sources(index)]
        if isinstance(layer, WeightLayer):
            traces.append(run_layer(layer, arriving[0], network.shapes[index + 1]))
            outputs.append(traces[-1].spikes.astype(dtype))
        else:
            outputs.append(layer.run(arriving))
    return traces


def run_layer(layer: WeightLayer, arriving: NDArray[Any], shape: Shape) -> LayerTrace:
    """Run one layer with neurons of output shape `shape` on its input (steps, *input shape)."""
    spikes = np.zeros((len(arriving), *shape), np.int64)
    membranes = np.zeros(spikes.shape, arriving.dtype)
    state = layer.neuron.initial_state(shape, arriving.dtype)
    last_spikes = np.zeros(shape, arriving.dtype)
    states = []
    for t, x in enumerate(arriving):

        def add_input(u: NDArray[Any], x: Any = x, last: NDArray[Any] = last_spikes) -> None:
            layer.add_bias(u, last)
            layer.add_input(u, x)

        state, spikes[t], membranes[t] = layer.neuron.step(state, add_input)
        states.append(state)
        last_spikes = spikes[t].astype(arriving.dtype)
    return LayerTrace(spikes, membranes, arriving, tuple(states))
