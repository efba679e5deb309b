"""The `eventsim` command: its subcommands, and how errors reach the user.

Each subcommand is a module with one function. What takes long to import (the engine, torch,
matplotlib) is imported inside that function, so that `eventsim --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from .bench.command import bench
from .compare.command import compare
from .convert import convert
from .demo import demo
from .inspect import inspect
from .live.stream import stream
from .live.view import view
from .run import run
from .send import send
from .train import train

# Packages that are not always there, and what brings them.
TRAINING = ("matplotlib", "platformdirs", "scipy", "sklearn", "torch")
PEERS = ("norse", "sinabs", "snntorch", "spikingjelly")
EXTRAS = (
    dict.fromkeys(TRAINING, "train")
    | dict.fromkeys(PEERS, "peers")
    | {"aiohttp": "view", "nir": "nir"}
)

app = typer.Typer(
    name="eventsim",
    help="Run trained spiking neural networks on the events of an event camera, spike by spike, "
    "and count every operation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, train, convert, run, compare, inspect, bench, send, stream, view):
    app.command()(command)


def main() -> None:
    """Run the command line; bad input ends in one sentence on stderr and exit status 1."""
    try:
        app()
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        _fail(f"{error.name} is not installed, and this needs it: pip install 'eventsim[{extra}]'")
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        from eventsim.errors import EventsimError

        if not isinstance(error, EventsimError):
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _fail(sentence: str) -> NoReturn:
    sys.exit(f"eventsim: {sentence}")
