"""`eventsim view`: as `eventsim stream`, with the view in a web page."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..networks import NetworkFile, NirOptions, open_network
from ..options import with_options, writable
from ..reading import Reading
from ..report import notes
from .options import LiveOptions, open_stream


@with_options
def view(
    network: NetworkFile,
    options: LiveOptions,
    reading: Reading,
    nir: NirOptions,
    host: Annotated[str, typer.Option(help="Address to serve the page at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the system choose.", min=0)] = 8000,
    json_lines: Annotated[
        Path | None,
        typer.Option(
            help="Write each answer, each second's account and the summary as a line of JSON; - is "
            "stdout.",
            metavar="FILE",
            callback=writable,
        ),
    ] = None,
) -> None:
    """Show in a web page how a network follows live events; Ctrl-C ends it."""
    from eventsim import EventsimError

    from .display import Display, wait_for_address
    from .follow import conclude, follow, interruptible
    from .json_lines import JsonLines
    from .monitor import Monitor
    from .server import serve

    running = open_stream(open_network(network, nir), options, reading)
    with ExitStack() as stack:
        lines = None if json_lines is None else stack.enter_context(JsonLines(json_lines))
        interrupted = stack.enter_context(interruptible(running.stop))
        display = stack.enter_context(Display(serve, host, port))
        kind, text = wait_for_address(display.connection)
        if kind == "failed":
            running.source.close()
            raise EventsimError(text)
        notes.print(f"{text} (Ctrl-C ends it)", highlight=False, markup=False)
        monitor = Monitor(running, network.name, options.source)
        follow(running, monitor, lines, display.show)
        conclude(running, monitor, lines, interrupted.is_set(), None)
        if not interrupted.is_set():
            notes.print("The stream has ended; the page stays until Ctrl-C.", highlight=False)
            interrupted.wait()
