"""One recording and what it caused: events, spikes of each layer, outputs, operations, energy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsim.colours import LIGHT
from eventsim.events.arrays import camera_of

from ..energies import Energies
from .drawing import dots, picture
from .recording import draw_dots, draw_image

if TYPE_CHECKING:
    from eventsim import Network, Operations, Result
    from eventsim.events.arrays import Events

TALLEST = 18.0  # inches, however many layers there are
NAMED = 20  # outputs that have room for a bar and a name each


def draw_sample(
    path: Path, network: Network, events: Events, result: Result, title: str, energies: Energies
) -> None:
    """Draw a recording and its result, which must have recorded its spikes."""
    assert result.spikes is not None
    layers = len(result.spikes)
    with picture(path, 12, max(7.5, min(3.2 + 1.6 * layers, TALLEST))) as figure:
        figure.suptitle(title)
        halves = figure.add_gridspec(1, 2, width_ratios=(2.2, 1))
        rows = halves[0].subgridspec(1 + layers, 1, height_ratios=[1.4, *[1] * layers])
        first = figure.add_subplot(rows[0])
        _draw_events(first, network, events, result)
        for index, spikes in enumerate(result.spikes):
            axes = figure.add_subplot(rows[1 + index], sharex=first)
            _draw_spikes(axes, network, result, index, spikes)
        axes.set_xlabel("time (ms)")
        panels = halves[1].subgridspec(4, 1, height_ratios=(1.2, 1, 1, 1))
        _draw_first_part(figure.add_subplot(panels[0]), network, events)
        _draw_outputs(figure.add_subplot(panels[1]), network, result)
        _draw_operations(figure.add_subplot(panels[2]), result.operations)
        _draw_energy(figure.add_subplot(panels[3]), result, energies)


def image_shape(network: Network) -> tuple[int, int]:
    """Return height and width of what the sensor sees; units without a place are a line."""
    sensor = camera_of(network.input_shape)
    return sensor.height, sensor.width


def class_name(network: Network, index: int) -> str:
    """Return the name of an output, its number where it has none."""
    return network.class_names[index] if network.class_names else str(index)


def _draw_events(axes: Any, network: Network, events: Events, result: Result) -> None:
    _, width = image_shape(network)
    draw_dots(axes, events, events["y"].astype(int) * width + events["x"], "pixel")
    axes.set_title(f"input: {len(events):,} events")
    axes.set_xlim(0, max(1, result.steps) * network.dt_us / 1000)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, markerscale=6, fontsize=8)


def _draw_spikes(axes: Any, network: Network, result: Result, index: int, spikes: Any) -> None:
    """Draw a dot, or for the outputs a line, for each spike of a layer."""
    operations = result.operations.layers[index]
    shape = (*network.shapes[network.neuron_layers[index] + 1], 1, 1)[:3]
    neurons = np.ravel_multi_index(tuple(spikes[:, 1:].T), shape)
    unit = network.dt_us if result.mode == "clocked" else 1
    middle = (spikes[:, 0] + 0.5) * unit / 1000
    is_output = index == len(result.operations.layers) - 1
    marks = dots(len(spikes))
    if is_output and network.outputs <= NAMED:
        marks = {"ls": "none", "marker": "|", "ms": 6}
    axes.plot(middle, neurons, color=LIGHT.ink, **marks)
    neurons_in = " x ".join(map(str, network.shapes[network.neuron_layers[index] + 1]))
    axes.set_title(
        f"{operations.name}, {neurons_in} neurons: {operations.output_spikes:,} spikes, "
        f"{operations.sops:,} SOPs"
    )
    axes.set(ylabel="neuron", ylim=(-0.5, np.prod(shape) - 0.5))
    if is_output and network.outputs <= NAMED:
        names = [class_name(network, output) for output in range(network.outputs)]
        axes.set_yticks(range(network.outputs), names, fontsize=7)
        axes.set(ylabel="class", ylim=(-0.7, network.outputs - 0.3))


def _draw_first_part(axes: Any, network: Network, events: Events) -> None:
    """Draw the first third: over all three saccades of N-MNIST, ON and OFF cancel out."""
    third = (int(events["t"][-1]) - int(events["t"][0])) // 3 if len(events) else 0
    part = events[events["t"] <= events["t"][:1] + np.uint64(third)]
    draw_image(axes, part, *image_shape(network))
    axes.set_title(f"sensor, first {third / 1000:.0f} ms")


def _draw_outputs(axes: Any, network: Network, result: Result) -> None:
    """Draw the spikes of each output; of many, those of the ten that spiked most."""
    counts = result.spike_counts
    shown = np.arange(network.outputs)
    if network.outputs > NAMED:
        shown = np.sort(np.argsort(-counts, kind="stable")[:10])
    colours = [LIGHT.answer if one == result.prediction else LIGHT.dense for one in shown]
    axes.barh(range(len(shown)), counts[shown], color=colours)
    axes.set_yticks(range(len(shown)), [class_name(network, int(one)) for one in shown], fontsize=7)
    answer = class_name(network, result.prediction) if counts.any() else "none"
    if network.readout != "spike-count":
        answer = f"{class_name(network, result.prediction)}, by {network.readout}"
    axes.set_title(f"output spikes (answer: {answer})")
    axes.set_xlim(0, max(1, int(counts.max(initial=0))))


def _draw_operations(axes: Any, operations: Operations) -> None:
    names = [layer.name for layer in operations.layers]
    places = np.arange(len(names))
    executed = np.array([max(1, layer.sops) for layer in operations.layers])
    dense = np.array([max(1, layer.dense_macs) for layer in operations.layers])
    axes.barh(places - 0.2, dense, 0.4, color=LIGHT.dense, label="dense MACs")
    axes.barh(places + 0.2, executed, 0.4, color=LIGHT.executed, label="SOPs executed")
    for place, few, many in zip(places, executed, dense, strict=True):
        axes.text(few, place + 0.2, f" {few:,} ({few / many:.1%})", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.1 * executed.min(), max(dense.max(), executed.max()) * 100)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("synaptic operations (% of dense)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2, fontsize=8)


def _draw_energy(axes: Any, result: Result, energies: Energies) -> None:
    """Draw the modelled energy of the whole network, a bar for each model that has one."""
    found = energies.of(energies.priced(result.operations).total)
    rows = [(name, pj / 1000) for name, pj in found.items() if pj]
    axes.barh(range(len(rows)), [nj for _, nj in rows], color=LIGHT.executed)
    for place, (_, nj) in enumerate(rows):
        axes.text(
            nj, place, f" {nj:,.0f} nJ" if nj >= 100 else f" {nj:.3g} nJ", va="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axes.invert_yaxis()
    if rows:
        axes.set_xscale("log")
        axes.set_xlim(right=max(nj for _, nj in rows) * 100)
    axes.set(xlabel="nJ", title="energy of the network, modelled")
