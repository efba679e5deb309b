"""`eventsim bench`: the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..networks import NirOptions
from ..options import with_options, writable
from ..report import console, notes, write_json

NAMES = (
    "mlp, conv, gesture, graded, layer-conv, layer-dense, growth, ceiling, latency, training, "
    "counts, budgets, int8, imports"
)


@with_options
def bench(
    workload: Annotated[
        str,
        typer.Option(
            help=f"{NAMES}, or all; or a network of your own: module:function or a .nir file."
        ),
    ] = "all",
    *,
    root: Annotated[
        Path | None, typer.Option(help="Folder with NMNIST and DVSGesture (or one of them).")
    ] = None,
    mlp: Annotated[
        Path | None, typer.Option(help="Network for mlp [default: random weights].", metavar="NET")
    ] = None,
    conv: Annotated[
        Path | None, typer.Option(help="Network for conv [default: random weights].", metavar="NET")
    ] = None,
    rate: Annotated[
        float,
        typer.Option(help="Spikes per neuron and timestep where weights are random.", min=1e-4),
    ] = 0.02,
    limit: Annotated[int, typer.Option(help="Use the first N recordings.", min=1)] = 32,
    repeats: Annotated[int, typer.Option(help="Counted rounds; one more warms up.", min=1)] = 7,
    longest: Annotated[
        int, typer.Option(help="Events in growth's longest recording.", min=100_000)
    ] = 100_000_000,
    data: Annotated[
        str | None, typer.Option(help="Data set for a network of your own [default: nmnist].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Timesteps, for a network of your own.", min=1)
    ] = None,
    nir: NirOptions,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write everything as JSON; - is stdout.", metavar="FILE", callback=writable
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Draw pictures into this folder.", metavar="DIR")
    ] = None,
) -> None:
    """Time eventsim beside torch, snntorch, spikingjelly, norse and sinabs, in turn."""
    import eventsim as es
    from eventsim_bridge.datasets import DataSetError

    from .machine import describe_machine
    from .own import is_own, measure_own, refuse_options
    from .tables import print_workload
    from .workloads import WORKLOADS, Options

    own = is_own(workload)
    if not own and workload != "all" and workload not in WORKLOADS:
        raise es.EventsimError(
            f"--workload is {workload!r}, expected {', '.join(WORKLOADS)}, all, "
            f"module:function or a .nir file"
        )
    if not own:
        refuse_options(workload, nir, data, steps)
    options = Options(mlp, conv, root, limit, repeats, rate, longest)
    results: dict[str, Any] = {}
    machine = describe_machine()
    quiet = json is not None and str(json) == "-"
    for name in list(WORKLOADS) if workload == "all" else [workload]:
        try:
            if own:
                results[name] = measure_own(name, nir, data, root, steps, limit, repeats)
            else:
                results[name] = WORKLOADS[name](options)
        except DataSetError as error:
            if workload != "all":
                raise
            notes.print(f"{name} is left out: {error}", highlight=False)
            continue
        if not quiet:
            print_workload(name, results[name], machine, console)
    document = {"machine": machine, "repeats": repeats, "workloads": results}
    if json is not None:
        write_json(document, json)
    if plots is not None:
        from .plots import draw_all

        draw_all(results, machine, plots)
    notes.print("What is timed, and what is fair: docs/benchmark.md.", highlight=False)
