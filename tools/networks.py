"""Network files as commands take them: eventsim's own, and NIR's, which need to be told more.

In: a path and the options below, which every command that takes a network has. Out: a network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from .help import Brief
from .report import notes

if TYPE_CHECKING:
    from eventsim import Network
    from eventsim_bridge.nir import Imported

NETWORK_HELP = "Network file (.h5, or .nir with --dt-us and --as-in)."
LIBRARIES = "exact, snntorch, norse, sinabs, spikingjelly, lava-dl or rockpool"

NetworkFile = Annotated[Path, typer.Argument(help=NETWORK_HELP, metavar="NET")]


@dataclass(frozen=True)
class NirOptions:
    """What a NIR file does not say; the fields are options of the command line."""

    panel: ClassVar[str] = Brief("What a NIR file does not say")

    dt_us: Annotated[
        int | None,
        typer.Option(help="Length of a timestep in microseconds, which NIR has not.", min=1),
    ] = None
    as_in: Annotated[
        str | None,
        typer.Option(
            help=f"Whose way NIR's continuous time is taken: {LIBRARIES}.", metavar="LIBRARY"
        ),
    ] = None
    input_shape: Annotated[
        str | None,
        typer.Option(help="Of one timestep, such as 2,34,34: polarities, height, width."),
    ] = None
    nir_dt_us: Annotated[
        int | None,
        typer.Option(
            help="Timestep that the exporter of a NIR file was told [default: its library's].",
            min=1,
        ),
    ] = None


def is_nir(path: str | Path) -> bool:
    """Tell a NIR file by its name."""
    return Path(path).suffix.lower() == ".nir"


def open_network(path: Path, options: NirOptions) -> Network:
    """Load a network file, or read a NIR file and say on stderr what was taken for granted.

    Raises `EventsimError` for options that a network file states itself.
    """
    import eventsim as es

    if is_nir(path):
        return read_nir(path, options).network
    for name, value in asdict(options).items():
        if value is not None:
            raise es.EventsimError(
                f"--{name.replace('_', '-')} is {value}, but {path} is no NIR file (.nir), and "
                f"says so itself"
            )
    return es.load_network(path)


def read_nir(path: Path, options: NirOptions, **more: Any) -> Imported:
    """Read a NIR file, and say on stderr what was taken for granted."""
    from eventsim_bridge.nir import from_nir

    imported = from_nir(
        path, dt_us=options.dt_us, as_in=options.as_in,  # type: ignore[arg-type]
        input_shape=shape_of(options.input_shape), nir_dt_us=options.nir_dt_us, **more,
    )  # fmt: skip
    for note in imported.notes:
        notes.print(f"{path}: {note}", highlight=False, markup=False)
    return imported


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """Return the numbers of --input-shape."""
    import eventsim as es

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise es.EventsimError(
            f"--input-shape is {text!r}, expected whole numbers such as 2,34,34"
        ) from None
