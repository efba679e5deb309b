"""The option `--plot` of `run` and `inspect`: which files it takes, and what is drawn into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import writable

if TYPE_CHECKING:
    from eventsim import Network, Result, Sensor
    from eventsim.events.arrays import Events

STILL = (".png", ".pdf", ".svg")
MOVING = ".gif"


def picture_file(path: Path | None) -> Path | None:
    """Check the name of a picture before the work begins. The callback of an option."""
    from eventsim import EventsimError

    if path is None:
        return None
    if path.suffix.lower() not in (*STILL, MOVING):
        raise EventsimError(
            f"--plot is {path}, expected a name that ends in {', '.join(STILL)} or {MOVING}"
        )
    import matplotlib  # noqa: F401  before the work: it is an extra

    return writable(path)


Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        help="Draw it as .png, .pdf or .svg, or as a .gif that moves.",
        metavar="FILE",
        callback=picture_file,
    ),
]


def is_moving(path: Path) -> bool:
    """Tell whether a picture is one that moves."""
    return path.suffix.lower() == MOVING


def spikes_to_plot(path: Path | None, count: int) -> dict[str, Any]:
    """Return what `simulate` needs to know of a picture; raises where there are many recordings."""
    from eventsim import EventsimError

    if path is None:
        return {}
    if count != 1:
        raise EventsimError(
            f"--plot is {path} with {count} recordings, expected one (--limit 1 takes the first)"
        )
    return {"record_spikes": True}


def draw_run(path: Path, network: Network, events: Events, result: Result, title: str) -> None:
    """Draw a recording and what it caused; `result` has recorded its spikes."""
    from ..energies import energies_of

    if is_moving(path):
        from .film import film_run

        film_run(path, network, events, result, title)
    else:
        from .sample import draw_sample

        draw_sample(path, network, events, result, title, energies_of(network, "all", 32))


def draw_recording(path: Path, events: Events, sensor: Sensor, title: str) -> None:
    """Draw the events of a recording."""
    if is_moving(path):
        from .film import film_recording

        film_recording(path, events, sensor, title)
    else:
        from . import recording

        recording.draw_recording(path, events, sensor, title)


def draw_network(path: Path, network: Network, title: str) -> None:
    """Draw the weights of a network; raises where the picture should move."""
    from eventsim import EventsimError

    from . import network as weights

    if is_moving(path):
        raise EventsimError(
            f"--plot is {path}, expected one of {', '.join(STILL)}: weights do not move"
        )
    weights.draw_network(path, network, title)
