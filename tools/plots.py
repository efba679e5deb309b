"""Pictures of results, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventsim import Network, Operations, Result

ON, OFF, SPARSE, DENSE = "#c1272d", "#0f5fa8", "#0f5fa8", "#b8b8b8"


def draw_sample(path: Path, network: Network, events: Any, result: Result, title: str) -> None:
    """Draw one recording and what it caused: events, spikes of each layer, operations.

    `result` must have recorded its spikes.
    """
    # The object interface with its own canvas: no global state, no display needed.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from eventsim.files import replacing

    assert result.spikes is not None
    layers = len(result.spikes)
    figure = Figure(figsize=(11, 3.2 + 1.7 * layers), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    heights = [1.4] + [1] * layers
    grid = figure.add_gridspec(1 + layers, 2, width_ratios=[2.2, 1], height_ratios=heights)
    raster = figure.add_subplot(grid[0, 0])
    _draw_events(raster, network, events, result)
    for index, spikes in enumerate(result.spikes):
        axes = figure.add_subplot(grid[1 + index, 0], sharex=raster)
        _draw_spikes(axes, result, index, spikes, network)
    axes.set_xlabel("time (ms)")
    _draw_image(figure.add_subplot(grid[0, 1]), network, events)
    _draw_operations(figure.add_subplot(grid[1:, 1]), result.operations)
    with replacing(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix.removeprefix("."))


def _draw_events(axes: Any, network: Network, events: Any, result: Result) -> None:
    width = network.input_shape[2]
    milliseconds = (events["t"] - events["t"][0]) / 1000
    pixels = events["y"].astype(int) * width + events["x"]
    for on, colour, name in ((True, ON, "ON"), (False, OFF, "OFF")):
        chosen = events["on"] == on
        axes.plot(milliseconds[chosen], pixels[chosen], ".", ms=1.5, color=colour, label=name)
    axes.set_title(f"input: {len(events):,} events", loc="left", fontsize=10)
    axes.set_ylabel("pixel")
    axes.set_xlim(0, result.steps * network.dt_us / 1000)
    axes.legend(loc="upper right", markerscale=6, framealpha=0.9)


def _draw_spikes(axes: Any, result: Result, index: int, spikes: Any, network: Network) -> None:
    operations = result.operations.layers[index]
    middle = (spikes[:, 0] + 0.5) * network.dt_us / 1000
    is_output = index == len(result.operations.layers) - 1
    axes.plot(
        middle, spikes[:, 1], "|" if is_output else ".", ms=7 if is_output else 1.5, color="k"
    )
    axes.set_title(
        f"{operations.name}: {operations.output_spikes:,} spikes, {operations.sops:,} SOPs",
        loc="left",
        fontsize=10,
    )
    axes.set_ylabel("channel" if spikes[:, 2:].any() else "neuron")
    if is_output and network.outputs <= 20:
        axes.set_yticks(range(network.outputs), network.class_names or None, fontsize=7)
        axes.set_ylim(-0.7, network.outputs - 0.3)
        axes.set_ylabel("class")


def _draw_image(axes: Any, network: Network, events: Any) -> None:
    import numpy as np

    # One saccade of the three (N-MNIST): over all of them ON and OFF cancel out.
    third = (int(events["t"][-1]) - int(events["t"][0])) // 3
    events = events[events["t"] <= events["t"][0] + third]
    _, height, width = network.input_shape
    image = np.zeros((height, width))
    np.add.at(image, (events["y"], events["x"]), np.where(events["on"], 1.0, -1.0))
    limit = max(1.0, float(np.abs(image).max()))
    axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(f"ON minus OFF, first {third / 1000:.0f} ms", loc="left", fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_operations(axes: Any, operations: Operations) -> None:
    names = [layer.name for layer in operations.layers]
    places = range(len(names))
    sparse = [max(1, layer.sops) for layer in operations.layers]
    dense = [max(1, layer.dense_macs) for layer in operations.layers]
    axes.barh([p - 0.2 for p in places], dense, 0.4, color=DENSE, label="dense MACs")
    axes.barh([p + 0.2 for p in places], sparse, 0.4, color=SPARSE, label="SOPs executed")
    for place, (few, many) in enumerate(zip(sparse, dense, strict=True)):
        axes.text(few, place + 0.2, f" {few / many:.2%} of dense", va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(1e2, max(dense) * 100)
    axes.set_ylim(len(names), -0.6)  # room for the legend under the bars
    axes.set_yticks(list(places), names)
    axes.set_title("operations in this sample", loc="left", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
