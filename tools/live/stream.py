"""`eventsim stream`: a network follows a live stream; a view in the terminal, or JSON lines."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..networks import NetworkFile, NirOptions, open_network
from ..options import with_options, writable
from ..reading import Reading
from ..report import console
from .options import LiveOptions, open_stream


@with_options
def stream(
    network: NetworkFile,
    options: LiveOptions,
    reading: Reading,
    nir: NirOptions,
    json_lines: Annotated[
        Path | None,
        typer.Option(
            help="Write each answer, each second's account and the summary as a line of JSON; - is "
            "stdout. [default: - without a terminal]",
            metavar="FILE",
            callback=writable,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write the summary as JSON; - is stdout.", metavar="FILE", callback=writable
        ),
    ] = None,
) -> None:
    """Let a network follow live events, and show what it sees, says and costs."""
    from .display import Display
    from .follow import conclude, follow, interruptible
    from .json_lines import JsonLines
    from .monitor import Monitor
    from .screen import show

    to_stdout = "-" in (str(json_lines), str(json))
    if json_lines is None and json is None and not console.is_terminal:
        json_lines, to_stdout = Path("-"), True
    running = open_stream(open_network(network, nir), options, reading)
    with ExitStack() as stack:
        lines = None if json_lines is None else stack.enter_context(JsonLines(json_lines))
        monitor = Monitor(running, network.name, str(options.source))
        with interruptible(running.stop) as interrupted, ExitStack() as shown:
            display = None
            if console.is_terminal and not to_stdout:
                display = shown.enter_context(Display(show))
            follow(running, monitor, lines, None if display is None else display.show)
        conclude(running, monitor, lines, interrupted.is_set(), json)
