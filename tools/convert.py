"""`eventsim convert`: a network from another framework into a network file, checked if asked for.

SOURCE is told by its kind: `module:function` builds a torch module (`from_module`), a file that
ends in .nir is NIR's (`from_nir`), one in .net lava-dl's (`from_net`), and any other is a network
file, for --to-nir.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .closing import say_next
from .networks import NirOptions, is_nir, read_nir, shape_of
from .options import with_options
from .report import (
    agreement_table,
    console,
    new_table,
    notes,
    progress_bar,
    say_when_compiling,
    waiting,
)

if TYPE_CHECKING:
    from eventsim import Network
    from eventsim_bridge.agreement import Agreement, SpikingModel

# Columns of weights, and settings, of SLAYER-PyTorch's examples for Loihi.
SLAYER_TEXTS = (".txt", ".yaml", ".yml")


class Converted(NamedTuple):
    """A network, and what it was."""

    network: Network
    origin: str  # what it comes from, with the version: "snntorch 1.0.0"
    # Of each layer of the network: where it stands in the source, and what it is there.
    layers: Sequence[tuple[str, str]]
    # Makes what runs it where it comes from; None where nothing can.
    original: Callable[[], SpikingModel] | None


class Options(NamedTuple):
    """What the command line says about the network."""

    nir: NirOptions  # its input_shape and dt_us are every source's
    steps: int | None
    input_encoding: Any
    readout: Any


@with_options
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="module:function that builds a torch module (this folder is importable), a .nir "
            "file, or lava-dl's .net; with --to-nir a network file too.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path | None, typer.Argument(help="Network file to write (.h5).", metavar="[OUT]")
    ] = None,
    *,
    nir: NirOptions,
    to_nir: Annotated[
        Path | None,
        typer.Option(
            help="Write a NIR file, for readers that take it as --as-in says [default: exact].",
            metavar="FILE",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Timesteps of a recording [default: all of it].", min=1)
    ] = None,
    input_encoding: Annotated[
        str | None,
        typer.Option(
            help="binary, or counts: how many events of a cell and timestep. [default: binary]"
        ),
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(help="What tells the class [default: spikes, or membranes without any]."),
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="Of a .net file: without the delays of synapses."),
    ] = False,
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

    options = Options(nir, steps, input_encoding, readout)
    if out is None and to_nir is None:
        raise es.EventsimError("nothing to write, expected OUT or --to-nir FILE")
    suffix = Path(source).suffix.lower()
    lava = suffix == ".net"
    if suffix in SLAYER_TEXTS:
        raise es.EventsimError(
            f"{source}: SLAYER's text exports have weights without their shapes and layers, "
            f"expected the .net file that its genModel writes"
        )
    if aligned and not lava:
        raise es.EventsimError(f"--aligned is set with {source}, expected a .net file")
    if lava:
        converted = from_net(source, options, aligned)
    elif is_nir(source):
        converted = from_nir(source, options)
    elif ":" in source:
        converted = from_module(source, options)
    else:
        converted = from_network_file(source, options)
    if out is not None:
        es.save_network(converted.network, out)
    if to_nir is not None:
        from eventsim_bridge.nir import to_nir as write_nir

        for note in write_nir(converted.network, to_nir, as_in=nir.as_in or "exact"):  # type: ignore[arg-type]
            notes.print(f"{to_nir}: {note}", highlight=False, markup=False)
    _print(converted, " and ".join(str(one) for one in (out, to_nir) if one is not None))
    if check is not None:
        console.print(agreement_table(_check(converted, check, root, limit)))
    if out is not None:
        say_next(
            what_the_network_is=f"inspect {out}", answers_and_operations=f"run {out} RECORDING"
        )


def from_module(source: str, options: Options) -> Converted:
    """Build a torch module and import it."""
    with waiting("loading torch"):
        import eventsim as es
        from eventsim_bridge.importing import Original, read_torch
        from eventsim_bridge.models import SpikingNetwork

    input_shape = shape_of(options.nir.input_shape)
    if input_shape is None:
        raise es.EventsimError("--input-shape is missing, expected that of the module's input")
    if options.nir.dt_us is None:
        raise es.EventsimError("--dt-us is missing, expected the length of the module's timestep")
    module = _build(source)
    reading = read_torch(
        module, input_shape, options.nir.dt_us, steps=options.steps,
        input_encoding=options.input_encoding or "binary", readout=options.readout,
        provenance={"source": source},
    )  # fmt: skip
    own = isinstance(module, SpikingNetwork)
    return Converted(
        reading.network,
        reading.library,
        [(step.path, step.was) for step in reading.steps],
        lambda: module if own else Original(module, input_shape),
    )


def from_nir(source: str, options: Options) -> Converted:
    """Read a NIR file, which the library that it is read as can run too."""

    def rebuilt() -> SpikingModel:
        from eventsim_bridge.nir.rebuilt import Rebuilt

        return Rebuilt(Path(source), imported)

    given = options._asdict() | {"nir": None}
    imported = read_nir(
        Path(source), options.nir, **{name: v for name, v in given.items() if v is not None}
    )
    provenance = imported.network.provenance
    origin = f"{provenance['imported_from']} as in {provenance['as_in']}"
    steps = [(step.path, step.was) for step in imported.steps]
    return Converted(imported.network, origin, steps, rebuilt)


def from_net(source: str, options: Options, aligned: bool) -> Converted:
    """Read a file of lava-dl."""
    import eventsim as es
    from eventsim_bridge.netx import from_netx

    for name in ("as_in", "nir_dt_us"):
        if (value := getattr(options.nir, name)) is not None:
            raise es.EventsimError(
                f"--{name.replace('_', '-')} is {value} with {source}, expected it with a .nir file"
            )
    imported = from_netx(
        source, dt_us=options.nir.dt_us, input_shape=shape_of(options.nir.input_shape),
        steps=options.steps, input_encoding=options.input_encoding, readout=options.readout,
        aligned=aligned,
    )  # fmt: skip
    for note in imported.notes:
        notes.print(f"{source}: {note}", highlight=False, markup=False)
    steps = [(step.path, step.was) for step in imported.steps]
    return Converted(imported.network, "lava-dl", steps, None)


def from_network_file(source: str, options: Options) -> Converted:
    """Load a network file, to be written in another form."""
    import eventsim as es

    if options != Options(NirOptions(as_in=options.nir.as_in), None, None, None):
        raise es.EventsimError(
            f"SOURCE is {source!r}, expected module:function or a .nir file with options that say "
            f"what a network file says itself"
        )
    network = es.load_network(Path(source))
    names = [(str(index), type(layer).__name__) for index, layer in enumerate(network.layers)]
    return Converted(network, source, names, None)


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


def _print(converted: Converted, out: str) -> None:
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
    original = converted.original()
    say_when_compiling()
    part = open_dataset(data, root).test
    count = len(part.names) if limit is None else min(limit, len(part.names))
    with progress_bar("comparing with the original", count) as advance:
        recordings = (part[index][0] for index in range(count))
        return compare_spikes(original, converted.network, recordings, progress=advance)
