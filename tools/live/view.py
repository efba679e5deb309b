"""`eventsim view`: as `eventsim stream`, with the view in a web page."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..networks import NETWORK_HELP, NirOptions, open_network
from ..options import with_options, writable
from ..reading import Reading
from ..report import notes
from .options import LiveOptions, is_file, open_stream, span_of


@with_options
def view(
    network: Annotated[Path | None, typer.Argument(help=NETWORK_HELP, metavar="NET")] = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="A small network reads digits: no NET, no --from.")
    ] = False,
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
    """Show in a web page how a network follows live events; Ctrl-C ends it.

    A recording begins when the first browser has opened the page.
    """
    from eventsim import EventsimError

    from .colours import colours_css
    from .display import Display, listen, wait_for_address
    from .follow import conclude, follow, interruptible
    from .json_lines import JsonLines
    from .monitor import Monitor
    from .server import serve

    network, options = _chosen(network, options, demo)
    source = str(options.source)
    running = open_stream(open_network(network, nir), options, reading, record_spikes=True)
    with ExitStack() as stack:
        lines = None if json_lines is None else stack.enter_context(JsonLines(json_lines))
        interrupted = stack.enter_context(interruptible(running.stop))
        display = stack.enter_context(Display(serve, host, port, colours_css()))
        kind, text = wait_for_address(display.connection)
        if kind == "failed":
            running.source.close()
            raise EventsimError(text)
        notes.print(f"{text} (Ctrl-C ends it)", highlight=False, markup=False)
        opened = threading.Event()

        def obey(kind: str, what: Any) -> None:
            if kind == "opened":
                opened.set()
            elif running.source.playback is not None:
                running.source.playback.change(**what)

        listen(display.connection, obey)
        span_us = None
        if is_file(source):
            span_us = span_of(source, reading)
            _wait(opened, interrupted)
        name = Path(source).name if is_file(source) else source
        monitor = Monitor(running, network.name, name, span_us)
        follow(running, monitor, lines, display.show)
        conclude(running, monitor, lines, interrupted.is_set(), None)
        if not interrupted.is_set():
            notes.print("The stream has ended; the page stays until Ctrl-C.", highlight=False)
            interrupted.wait()


def _chosen(network: Path | None, options: LiveOptions, demo: bool) -> tuple[Path, LiveOptions]:
    """Return the network and the source that are asked for, or those of the demonstration."""
    from eventsim import EventsimError

    from .demo import NETWORK, RECORDING

    if not demo:
        if network is None:
            raise EventsimError("no network to follow with, expected NET, or --demo")
        return network, options
    for given, value in (("a network", network), ("--from", options.source)):
        if value is not None:
            raise EventsimError(f"--demo is set with {given}, {value}, expected it by itself")
    return NETWORK, replace(options, source=str(RECORDING), loop=0)


def _wait(opened: threading.Event, interrupted: threading.Event) -> None:
    """Wait until the first browser has come, so that it misses nothing."""
    notes.print("The recording begins when a browser has opened it.", highlight=False)
    while not opened.wait(0.1) and not interrupted.is_set():
        pass
