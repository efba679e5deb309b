"""`eventsim convert`: a network from another framework into a network file, checked if asked for.

SOURCE is told by its kind: `module:function` builds a torch module (`from_module`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .report import agreement_table, console, new_table, progress_bar, say_when_compiling

if TYPE_CHECKING:
    from eventsim import Network
    from eventsim_bridge.agreement import Agreement, SpikingModel


class Converted(NamedTuple):
    """A network, and what it was."""

    network: Network
    origin: str  # what it comes from, with the version: "snntorch 1.0.0"
    # Of each layer of the network: where it stands in the source, and what it is there.
    layers: Sequence[tuple[str, str]]
    original: SpikingModel | None  # what runs it where it comes from; None where nothing can


class Options(NamedTuple):
    """What the command line says about the network."""

    input_shape: tuple[int, ...] | None
    dt_us: int | None
    steps: int | None
    input_encoding: Any
    readout: Any


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="module:function that builds a torch module (this folder is importable).",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Network file to write (.h5).", metavar="OUT")],
    input_shape: Annotated[
        str | None,
        typer.Option(help="Of one timestep, such as 2,34,34: polarities, height, width."),
    ] = None,
    dt_us: Annotated[
        int | None, typer.Option(help="Length of a timestep in microseconds.", min=1)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Timesteps of a recording [default: all of it].", min=1)
    ] = None,
    input_encoding: Annotated[
        str, typer.Option(help="binary, or counts: how many events of a cell and timestep.")
    ] = "binary",
    readout: Annotated[
        str | None,
        typer.Option(help="What tells the class [default: spikes, or membranes without any]."),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            help="Run the original beside the engine on a data set and compare every spike: "
            "digits, gestures, nmnist, dvsgesture.",
            metavar="DATA",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Check on the first N recordings only.", min=1)
    ] = None,
) -> None:
    """Convert a network of another framework, layer by layer, into a network file."""
    import eventsim as es

    options = Options(_shape(input_shape), dt_us, steps, input_encoding, readout)
    if ":" in source:
        converted = from_module(source, options)
    else:
        raise es.EventsimError(f"SOURCE is {source!r}, expected module:function")
    es.save_network(converted.network, out)
    _print(converted, out)
    if check is not None:
        console.print(agreement_table(_check(converted, check, root, limit)))


def from_module(source: str, options: Options) -> Converted:
    """Build a torch module and import it."""
    import eventsim as es
    from eventsim_bridge.importing import Original, read_torch
    from eventsim_bridge.models import SpikingNetwork

    if options.input_shape is None:
        raise es.EventsimError("--input-shape is missing, expected that of the module's input")
    if options.dt_us is None:
        raise es.EventsimError("--dt-us is missing, expected the length of the module's timestep")
    module = _build(source)
    reading = read_torch(
        module, options.input_shape, options.dt_us, steps=options.steps,
        input_encoding=options.input_encoding, readout=options.readout,
        provenance={"source": source},
    )  # fmt: skip
    own = isinstance(module, SpikingNetwork)
    return Converted(
        reading.network,
        reading.library,
        [(step.path, step.was) for step in reading.steps],
        module if own else Original(module, options.input_shape),
    )


def _build(source: str) -> Any:
    """Call a function that builds a torch module, of a Python module that can be imported here."""
    from torch import nn

    import eventsim as es

    where, _, name = source.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(where), name, None)
    except ModuleNotFoundError as error:
        if error.name != where:
            raise
        raise es.EventsimError(
            f"SOURCE is {source!r}: there is no module {where} in this folder or installed"
        ) from None
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise es.EventsimError(f"SOURCE is {source!r}: {where} has no function {name}")
    module = function()
    if not isinstance(module, nn.Module):
        raise es.EventsimError(
            f"{source} returns {type(module).__name__}, expected a torch.nn.Module"
        )
    return module


def _shape(text: str | None) -> tuple[int, ...] | None:
    import eventsim as es

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise es.EventsimError(
            f"--input-shape is {text!r}, expected whole numbers such as 2,34,34"
        ) from None


def _print(converted: Converted, out: Path) -> None:
    network = converted.network
    table = new_table(f"{out}, from {converted.origin}", ["from", "was", "layer", "neuron"], [])
    for index, (where, was) in enumerate(converted.layers):
        neuron = getattr(network.layers[index], "neuron", None)
        shape = "x".join(map(str, network.shapes[index + 1]))
        name = f"{network.layer_name(index)}, {shape}"
        table.add_row(where, was, name, "" if neuron is None else repr(neuron))
    console.print(table)


def _check(converted: Converted, data: str, root: Path | None, limit: int | None) -> Agreement:
    """Run recordings of a data set through both, and compare the spikes of every layer."""
    import eventsim as es
    from eventsim_bridge.agreement import compare_spikes
    from eventsim_bridge.datasets import open_dataset

    if converted.original is None:
        raise es.EventsimError("--check is set, but nothing here runs the original")
    say_when_compiling()
    part = open_dataset(data, root).test
    count = len(part.names) if limit is None else min(limit, len(part.names))
    with progress_bar("comparing with the original", count) as advance:
        recordings = (part[index][0] for index in range(count))
        return compare_spikes(converted.original, converted.network, recordings, progress=advance)
