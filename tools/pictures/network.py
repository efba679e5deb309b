"""The weights of a network as a picture: a row a layer, its distribution and its kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsim.colours import LIGHT

from .drawing import bare, on_minus_off, picture

if TYPE_CHECKING:
    from eventsim import Network

UNITS = 8  # of a layer that are shown, those with the largest weights
TALLEST = 24.0  # inches
WIDEST = 512  # of a matrix as an image: more columns are shown as the means of some


def draw_network(path: Path, network: Network, title: str) -> None:
    """Draw, of each layer with weights, how they are distributed, and its first or largest units.

    A unit that sees the sensor, or a map that a kernel sees, is an image: blue is positive, orange
    negative. Other matrices are shown whole, a row a neuron.
    """
    layers = [i for i, layer in enumerate(network.layers) if hasattr(layer, "weight")]
    with picture(path, 12, max(2.6, min(0.6 + 1.9 * len(layers), TALLEST))) as figure:
        figure.suptitle(f"{title}: weights")
        grid = figure.add_gridspec(max(1, len(layers)), UNITS + 3)
        for row, index in enumerate(layers):
            weight = np.asarray(network.layers[index].weight, np.float64)  # type: ignore[union-attr]
            _draw_distribution(figure.add_subplot(grid[row, :3]), network, index, weight)
            images = _images(network, index, weight)
            limit = float(np.abs(weight).max(initial=0)) or 1.0
            if images is None:
                axes = figure.add_subplot(grid[row, 3:])
                _draw_matrix(axes, weight.reshape(len(weight), -1), limit)
                continue
            for place, image in enumerate(images[:UNITS]):
                axes = figure.add_subplot(grid[row, 3 + place])
                axes.imshow(image, cmap=on_minus_off(), vmin=-limit, vmax=limit)
                bare(axes)
                axes.spines[:].set(visible=True, color=LIGHT.dense)


def _draw_distribution(axes: Any, network: Network, index: int, weight: Any) -> None:
    axes.hist(weight.ravel(), bins=60, color=LIGHT.ink, log=True)
    shape = " x ".join(map(str, weight.shape))
    zero = float((weight == 0).mean()) if weight.size else 0.0
    axes.set_title(f"{network.layer_name(index)}, {shape}" + f", {zero:.0%} zeros" * (zero > 0))
    axes.set(ylabel="weights", xlabel="weight")


def _images(network: Network, index: int, weight: Any) -> Any:
    """Return an image for each unit, those with the largest weights first; None for a matrix.

    Of two polarities ON minus OFF; of more maps their mean.
    """
    if weight.ndim == 2:  # fully connected: what its input was before it was flattened
        maps = [one for one in network.shapes[index::-1] if len(one) == 3 and one[1:] != (1, 1)]
        before = next((one for one in maps if np.prod(one) == weight.shape[1]), None)
        if before is None:
            return None
        weight = weight.reshape(len(weight), *before)
    if weight.ndim != 4:
        return None
    order = np.argsort(-np.linalg.norm(weight.reshape(len(weight), -1), axis=1), kind="stable")
    chosen = weight[order]
    return chosen[:, 1] - chosen[:, 0] if chosen.shape[1] == 2 else chosen.mean(axis=1)


def _draw_matrix(axes: Any, matrix: Any, limit: float) -> None:
    axes.imshow(
        matrix[:WIDEST, :WIDEST], cmap=on_minus_off(), vmin=-limit, vmax=limit, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    cut = "" if max(matrix.shape) <= WIDEST else f", the first {WIDEST}"
    axes.set(xlabel=f"input{cut}", ylabel="neuron")
