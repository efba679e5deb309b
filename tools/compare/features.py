"""First-layer weights and feature maps of the models side by side.

In: the models of one grid point (their files) and a test recording. Out: a `Plot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..pictures.drawing import on_minus_off
from .drawing import figure_of, label_of, plot_of
from .parts import Plot

if TYPE_CHECKING:
    import torch

UNITS = 8  # units or channels of which weights are shown
Floats = NDArray[np.float64]


def draw_features(models: list[tuple[dict[str, Any], Any, torch.Tensor]]) -> Plot:
    """Draw, for each (cell, model, frames), weights of the first layer and what it gives over time.

    frames: (1, steps, polarities, height, width) of one recording. The units with the largest
    weights are shown, ON minus OFF; of an LSTM the weights into the candidate g.
    """
    with figure_of(1.15 * (UNITS + 4), 1.55 * len(models)) as figure:
        grid = figure.add_gridspec(len(models), UNITS + 4)
        for line, (cell, model, frames) in enumerate(models):
            images = _weight_images(model)
            for place, image in enumerate(images[:UNITS]):
                axes = figure.add_subplot(grid[line, place])
                limit = float(np.abs(image).max()) or 1.0
                axes.imshow(image, cmap=on_minus_off(), vmin=-limit, vmax=limit)
                axes.set(xticks=[], yticks=[])
                if place == 0:
                    axes.set_ylabel(label_of(cell).replace(", ", ",\n"), fontsize=8)
            axes = figure.add_subplot(grid[line, UNITS:])
            outputs = _first_outputs(model, frames)
            axes.imshow(outputs.T, aspect="auto", cmap="viridis", interpolation="nearest")
            axes.grid(visible=False)
            axes.tick_params(labelsize=7)
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_major_locator().set_params(integer=True)
            axes.yaxis.tick_right()
            axes.yaxis.set_label_position("right")
            axes.set_ylabel("unit", fontsize=8)
            if line == 0:
                axes.set_title("output of the layer", fontsize=8)
            if line == len(models) - 1:
                axes.set_xlabel("timestep", fontsize=8)
        return plot_of(figure, "features")


def _first(model: Any) -> Any:
    """Return the first layer with weights."""
    return next(layer for layer in model.layers if list(layer.parameters()))


def _weight_images(model: Any) -> list[Floats]:
    """Return the weights of units with the largest norm, as images ON minus OFF."""
    layer = _first(model)
    connection = getattr(layer, "connection", layer)  # a readout has no other
    weight = connection.weight.detach().double().numpy()
    if getattr(layer, "cell", "") == "lstm":
        weight = weight.reshape(4, -1, *weight.shape[1:])[2]  # i, f, g, o
    if weight.ndim == 2:  # fully connected: back to the sensor's shape, pools before it included
        polarities, height, width = model.input_shape
        side = round((weight.shape[1] / polarities / (height * width)) ** -0.5)
        weight = weight.reshape(len(weight), polarities, height // side, width // side)
    order = np.argsort(-np.linalg.norm(weight.reshape(len(weight), -1), axis=1), kind="stable")
    chosen = weight[order]
    on_minus_off = chosen[:, 1] - chosen[:, 0] if chosen.shape[1] == 2 else chosen.mean(axis=1)
    return list(on_minus_off)


def _first_outputs(model: Any, frames: torch.Tensor) -> Floats:
    """Return what the first layer gives, (steps, units), maps averaged over their sites."""
    import torch

    from eventsim_bridge.models.sequences import run_layer

    x = frames.transpose(0, 1)
    with torch.no_grad():
        for layer in model.layers:
            x = run_layer(layer, x)
            if layer is _first(model):
                break
    values: Floats = x[:, 0].double().flatten(2).numpy() if x.ndim > 3 else x[:, 0].double().numpy()
    return np.abs(values).mean(axis=2) if values.ndim == 3 else np.abs(values)
