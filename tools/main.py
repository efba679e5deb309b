"""The `eventsim` command: its subcommands, and how errors reach the user.

Each subcommand is a module with one function. What takes long to import (the engine, torch,
matplotlib) is imported inside that function, so that `eventsim --help` answers at once.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any, NoReturn

import typer

from .bench.command import bench
from .compare.command import compare
from .convert import convert
from .demo import demo
from .help import Command, Group
from .inspect import inspect
from .live.stream import stream
from .live.view import view
from .run import run
from .send import send
from .train import train

# Packages that are not always there, and what brings them.
TRAINING = ("scipy", "sklearn", "torch")
PEERS = ("norse", "sinabs", "snntorch", "spikingjelly")
EXTRAS = (
    dict.fromkeys(TRAINING, "train")
    | dict.fromkeys(PEERS, "peers")
    | {"aiohttp": "view", "matplotlib": "plot", "nir": "nir", "distributed": "cluster"}
)

INTERRUPTED = 130  # what typer makes of Ctrl-C

# Fields that an option sets under another name.
ALIASES = {"capacity": "queue", "policy": "when_full"}

app = typer.Typer(
    name="eventsim",
    cls=Group,
    help="Run trained spiking neural networks on the events of an event camera, spike by spike, "
    "and count every operation.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, train, convert, run, compare, inspect, bench, send, stream, view):
    app.command(cls=Command)(command)
# Of click, or of the copy of it that newer typer has.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        from eventsim import __version__

        print(f"eventsim {__version__}")
        raise typer.Exit


FIRST = """\
eventsim runs a trained spiking network on the events of an event camera, spike
by spike, and counts every operation that it executes. To begin with:

  eventsim demo            train, simulate, compare with torch, count: a minute
  eventsim train --data digits --structure 512FC-10 --out net.h5
  eventsim run net.h5 --data digits        answers, and operations of a sample
  eventsim inspect FILE    what a network or recording file holds
  eventsim --help          all commands

demo and train need the extra [train]: pip install 'eventsim-snn[train]'"""


@app.callback()
def _with_version(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Take what stands before a subcommand; without one, say what to try first."""
    if context.invoked_subcommand is None:
        print(FIRST)


def main() -> None:
    """Run the command line; bad input ends in one sentence on stderr and exit status 1."""
    try:
        status = app(prog_name="eventsim", standalone_mode=False)
        if status == INTERRUPTED:
            sys.exit("eventsim: interrupted")
        sys.exit(status if isinstance(status, int) else 0)
    except UsageError as error:
        _refuse_usage(error)
    except typer.Abort:
        sys.exit("eventsim: interrupted")
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        _fail(
            f"{error.name} is not installed, and this needs it: pip install 'eventsim-snn[{extra}]'"
        )
    except BrokenPipeError:
        # Whoever read the output has gone; what is still in the buffer must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        from eventsim.errors import EventsimError

        if not isinstance(error, EventsimError):
            raise
        _fail(_as_typed(str(error)))
    except KeyboardInterrupt:
        sys.exit("eventsim: interrupted")
    except RuntimeError as error:
        if "no compiled object yet" not in str(error):
            raise
        sys.exit("eventsim: interrupted")  # while LLVM called back, which loses Ctrl-C


def _refuse_usage(error: Any) -> NoReturn:
    """Say in one sentence what was typed that no command takes; exit status 2."""
    sentence = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "eventsim"
    print(f"eventsim: {sentence}; {command} --help lists what there is", file=sys.stderr)
    sys.exit(error.exit_code)


def _as_typed(sentence: str) -> str:
    """Name options as the command line has them, in a sentence that names their fields."""
    group = typer.main.get_command(app)
    command = getattr(group, "commands", {}).get(sys.argv[1]) if len(sys.argv) > 1 else None
    params = command.params if command else ()
    options = {one.name: one.opts[0] for one in params if one.opts[0].startswith("--")}
    if "sort" in options:
        sentence = sentence.replace("(sort=True puts", "(--sort puts")
    first = re.match(r"(\w+)( is .*)", sentence, re.DOTALL)
    begin = "" if first is None else ALIASES.get(first[1], first[1])
    if first is None or begin not in options:
        return sentence
    rest = first[2]
    for name, option in options.items():
        if "_" in name:
            rest = re.sub(rf"(?<![-\w]){name}\b", option, rest)
    return f"{options[begin]}{rest}"


def _fail(sentence: str) -> NoReturn:
    sys.exit(f"eventsim: {sentence}")
