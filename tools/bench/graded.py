"""A network whose spikes are graded: IF neurons that may spike several times in a timestep.

The structure is the one that people train with sinabs for DVS Gesture, with its neurons: reset by
subtraction, a lower bound of -1, as many spikes in a timestep as thresholds fit into the membrane.
Events are counted in each cell, so the input is graded, too. `workloads.py` calls this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

import eventsim as es

from .networks import scale_to_rate

GRADED = "16C2s2-16C3-AP2-32C3-AP2-32C3-AP2-64C3-AP2-64C3-AP2-256C2-128FC-11"
MAPS = (16, 16, 32, 32, 64, 64)  # channels of the first convolution, then of those of 3 x 3
FLAT = (256, 128, 11)  # of the last convolution, which leaves one position, then of the others
NEURON = es.IF(1.0, "subtract", comparison=">=", spikes="many", lower_bound=-1.0)

# Weights are multiples of 2^-12, and of 2^-14 behind a pool of four. In float32 every sum of them
# below 2^10 is exact, in whatever order it is added.
GRID = 2.0**-12


def graded_network(recordings: Sequence[Any], rate: float, dt_us: int, steps: int) -> es.Network:
    """Return `GRADED` for 128 x 128 pixels, no biases, its weights random.

    They are uniform within +-1 / sqrt(fan-in), as torch draws them; then those of each layer, from
    the first to the last, are multiplied so that its neurons spike `rate` times a timestep, the
    mean over all of them on `recordings` (`scale_to_rate`). Last they are rounded to multiples of
    `GRID`: no sum rounds then, so peers must give every spike of the engine.

    Raises `EventsimError` for a rate that a layer cannot reach.
    """
    network = es.Network((2, 128, 128), dt_us, _layers(), input_encoding="counts", steps=steps)
    network = scale_to_rate(network, recordings, rate)
    layers = [_on_grid(layer) if hasattr(layer, "weight") else layer for layer in network.layers]
    return replace(network, layers=layers)


def _on_grid(layer: Any) -> Any:
    return replace(layer, weight=GRID * np.round(layer.weight / GRID))


def _layers() -> list[Any]:
    """Return the layers of `GRADED`; a convolution of 2 x 2 has no padding.

    (`bridge/models/layers.py` reads only odd kernels.)
    """
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape) / np.prod(shape[1:]) ** 0.5

    layers: list[Any] = [es.Conv2d(weights(MAPS[0], 2, 2, 2), stride=2, neuron=NEURON)]
    for inputs, outputs in pairwise(MAPS):
        layers.append(es.Conv2d(weights(outputs, inputs, 3, 3), padding=1, neuron=NEURON))
        layers.append(es.AvgPool2d(2))
    layers += [es.Conv2d(weights(FLAT[0], MAPS[-1], 2, 2), neuron=NEURON), es.Flatten()]
    for inputs, outputs in pairwise(FLAT):
        layers.append(es.Dense(weights(outputs, inputs), neuron=NEURON))
    return layers
