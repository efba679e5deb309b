"""`eventsim inspect`: what a network or recording file holds."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .closing import say_next, say_written
from .networks import NirOptions, is_nir, open_network
from .options import with_options, writable
from .pictures.options import Plot, draw_network, draw_recording
from .reading import Reading
from .report import console, new_table, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from eventsim import Network, Recording


@with_options
def inspect(
    file: Annotated[
        Path, typer.Argument(help="A network (.h5, .nir) or a recording.", metavar="FILE")
    ],
    reading: Reading,
    nir: NirOptions,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write the same as JSON; - is stdout.", metavar="FILE", callback=writable
        ),
    ] = None,
    plot: Plot = None,
) -> None:
    """Say what a network or recording file holds, and draw it."""
    import eventsim as es

    if is_nir(file) or es.is_network_file(file):
        network = open_network(file, nir)
        facts, table = _network_facts(network), _layer_table(network)
        if plot is not None:
            draw_network(plot, network, file.name)
    else:
        recording = reading.recording(file)
        facts, table = _recording_facts(recording, reading), None
        if plot is not None:
            _draw(plot, recording, reading, file.name)
    if json is None or str(json) != "-":
        console.print(str(file), style="bold", highlight=False)
        _print_facts({name: value for name, value in facts.items() if name != "layers"}, "  ")
        if table is not None:
            console.print(table)
    if json is not None:
        write_json({"file": str(file), **facts}, json)
    say_written(plot, json)
    if facts["kind"] == "network":
        say_next(answers_and_operations=f"run {file} RECORDING")
    else:
        say_next(
            answers_and_operations=f"run NET {file}", as_a_live_stream=f"stream NET --from {file}"
        )


def _draw(path: Path, recording: Recording, reading: Reading, title: str) -> None:
    """Draw a recording with the region and scale that were asked for."""
    events, sensor = recording
    filters = reading.filters(sensor)
    if filters is not None:
        events, sensor = filters(events), filters.sensor
    draw_recording(path, events, sensor, title)


def _print_facts(facts: dict[str, Any], indent: str) -> None:
    """Print a line for each, and for each in one of them that has names."""
    for name, value in facts.items():
        title = f"{name.replace('_', ' ')}:"
        if isinstance(value, dict) and value and indent == "  ":
            console.print(indent + title, highlight=False, markup=False)
            _print_facts(value, "    ")
            continue
        lines = textwrap.fill(
            f"{title} {_readable(value)}", console.width, initial_indent=indent,
            subsequent_indent=indent + "  ", break_on_hyphens=False,
        )  # fmt: skip
        console.print(lines, highlight=False, markup=False, soft_wrap=True)


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_readable, value)) or "none"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _network_facts(network: Network) -> dict[str, Any]:
    layers = [
        {
            "name": network.layer_name(index),
            "output_shape": list(network.shapes[index + 1]),
            "parameters": getattr(layer, "parameters", 0),
            "neuron": repr(layer.neuron) if hasattr(layer, "neuron") else None,
        }
        for index, layer in enumerate(network.layers)
    ]
    return {
        "kind": "network",
        "input_shape": list(network.input_shape),
        "input_encoding": network.input_encoding,
        "dt_us": network.dt_us,
        "steps": network.steps,
        "class_names": list(network.class_names),
        "parameters": sum(layer["parameters"] for layer in layers),
        "provenance": network.provenance,
        "layers": layers,
    }


def _layer_table(network: Network) -> Table:
    table = new_table("", ["layer", "output shape", "neuron"], ["parameters"])
    for layer in _network_facts(network)["layers"]:
        shape = " x ".join(str(size) for size in layer["output_shape"])
        table.add_row(layer["name"], shape, layer["neuron"] or "", f"{layer['parameters']:,}")
    return table


def _recording_facts(recording: Recording, reading: Reading) -> dict[str, Any]:
    import numpy as np

    (events, sensor), about = recording, recording.about
    facts: dict[str, Any] = {
        "kind": "recording",
        "format": about.format,
        "recognised": about.recognised,
        "sensor": f"{sensor.width} x {sensor.height}",
        "sensor_is": about.sensor_from,
        **about.facts,
    }
    if reading.on_bad == "drop":
        facts["dropped"] = dict(recording.dropped)
    filters = reading.filters(sensor)
    if filters is not None:
        events, sensor = filters(events), filters.sensor
        facts["region_and_scale"] = f"{sensor.width} x {sensor.height}"
        facts["outside_of_the_region"] = filters.counters["outside"]
    facts |= {"polarities": sensor.polarities, "events": len(events)}
    if len(events):
        duration = int(events["t"][-1] - events["t"][0])
        pixels = events["y"].astype(np.int64) * sensor.width + events["x"]
        facts |= {
            "first_us": int(events["t"][0]),
            "last_us": int(events["t"][-1]),
            "duration_s": duration / 1e6,
            "events_per_second": round(len(events) / (duration / 1e6)) if duration else None,
            "on_share": round(float(events["on"].mean()), 4),
            "active_pixels": len(np.unique(pixels)),
        }
    return facts
