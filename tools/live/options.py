"""The options that `eventsim stream` and `eventsim view` share, and the stream that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..help import Brief
from ..reading import Reading
from ..report import say_when_compiling
from ..send import play, repeated

if TYPE_CHECKING:
    from eventsim import Network
    from eventsim.live.sources import Source
    from eventsim.live.stream import Stream

SOURCES = (
    "A recording, udp://HOST:PORT (or .../t32_x16_y15_on1), tcp://HOST:PORT, - (standard input), "
    "or camera."
)


LONG_FILE = 2**24  # bytes: not read once before, to know how long the recording is
BACKGROUND = Brief("Clocks, filters and the queue")


@dataclass(frozen=True)
class LiveOptions:
    """What is asked of a live run; the fields are the options of the command line."""

    source: Annotated[
        str | None, typer.Option("--from", help=SOURCES, metavar="SOURCE", show_default=False)
    ] = None
    pace: Annotated[
        float | None,
        typer.Option(
            help="Of a recording: times real time; 0 is as fast as it goes [default: 1].", min=0
        ),
    ] = None
    loop: Annotated[
        int, typer.Option(help="Of a recording: play it N times; 0 is without end.", min=0)
    ] = 1
    mode: Annotated[
        str, typer.Option(help="async: event by event; clocked: on the network's timesteps.")
    ] = "async"
    answer: Annotated[
        str, typer.Option(help="window (sliding), leaky, or spike (at every output spike).")
    ] = "window"
    window_us: Annotated[
        int, typer.Option(help="Output spikes of the last so many microseconds are counted.")
    ] = 100_000
    hop_us: Annotated[int, typer.Option(help="From one answer to the next.")] = 10_000
    leak_us: Annotated[
        int | None, typer.Option(help="Time constant of the leaky score [default: the window].")
    ] = None
    gap_us: Annotated[
        int,
        typer.Option(
            help="After a longer silence the network begins again.", rich_help_panel=BACKGROUND
        ),
    ] = 10_000_000
    late_us: Annotated[
        int,
        typer.Option(
            help="An event so late is left out; a later one is of a restarted clock.",
            rich_help_panel=BACKGROUND,
        ),
    ] = 100_000
    clock_us: Annotated[
        int | None,
        typer.Option(
            help="Period of a clock that wraps, such as 4294967296.", rich_help_panel=BACKGROUND
        ),
    ] = None
    tick_us: Annotated[
        int | None,
        typer.Option(
            help="After a longer silence time goes on by the wall clock, so far behind it; for "
            "sources in real time.",
            rich_help_panel=BACKGROUND,
        ),
    ] = None
    merge_polarities: Annotated[
        bool,
        typer.Option("--merge-polarities", help="Make all events ON.", rich_help_panel=BACKGROUND),
    ] = False
    refractory_us: Annotated[
        int,
        typer.Option(
            help="A pixel that sent an event is blind for so long.",
            min=0,
            rich_help_panel=BACKGROUND,
        ),
    ] = 0
    background_us: Annotated[
        int,
        typer.Option(
            help="An event passes with a neighbour's within so long before.",
            min=0,
            rich_help_panel=BACKGROUND,
        ),
    ] = 0
    queue: Annotated[
        int, typer.Option(help="Events that may wait for the network.", rich_help_panel=BACKGROUND)
    ] = 1_000_000
    when_full: Annotated[
        str, typer.Option(help="block, drop-oldest or drop-newest.", rich_help_panel=BACKGROUND)
    ] = "block"


def open_stream(
    network: Network, options: LiveOptions, reading: Reading, *, record_spikes: bool = False
) -> Stream:
    """Open the source, and put filters, a queue and a session behind it.

    Raises `EventsimError` or `RecordingError`, one sentence, for anything that does not fit.
    """
    from eventsim import FilterSettings, Session, Stream

    say_when_compiling()
    leak_us = options.leak_us
    if options.answer == "leaky" and leak_us is None:
        leak_us = options.window_us
    session = Session(
        network, mode=options.mode, answer=options.answer,  # type: ignore[arg-type]
        window_us=options.window_us, hop_us=options.hop_us, leak_us=leak_us, gap_us=options.gap_us,
        late_us=options.late_us, clock_us=options.clock_us, record_spikes=record_spikes,
    )  # fmt: skip
    settings = FilterSettings(
        region=reading.crop, downscale=reading.downscale, merge_polarities=options.merge_polarities,
        refractory_us=options.refractory_us, background_us=options.background_us,
    )  # fmt: skip
    source = _open(options, reading)
    try:
        return Stream(
            source, session, settings, capacity=options.queue, policy=options.when_full,
            tick_us=options.tick_us,
        )  # fmt: skip
    except BaseException:
        source.close()
        raise


def is_file(source: str) -> bool:
    """Tell whether a source is a recording, and not one that sends by itself."""
    return source not in ("-", "camera") and "://" not in source


def span_of(source: str, reading: Reading) -> tuple[int, int] | None:
    """Return when the first and the last event of a recording are; None of a long file."""
    path = Path(source)
    if not path.is_file() or path.stat().st_size > LONG_FILE:
        return None
    first_us = last_us = -1
    for events in reading.packets(path):
        first_us = int(events["t"][0]) if first_us < 0 else first_us
        last_us = int(events["t"][-1])
    return None if first_us < 0 else (first_us, last_us)


def _open(options: LiveOptions, reading: Reading) -> Source:
    from eventsim import EventsimError
    from eventsim.live.sources import open_source

    name = options.source
    if name is None:
        raise EventsimError("nothing to follow, expected --from SOURCE")
    if not is_file(name):
        if options.loop != 1:
            raise EventsimError(f"--loop is {options.loop}, expected 1: {name} is no recording")
        for given in reading.of_files():
            if given != "--sensor":
                raise EventsimError(f"{given} is set, expected none: {name} is no recording")
        return open_source(name, sensor=reading.size, pace=options.pace)
    packets = reading.packets(Path(name))
    pace = 1.0 if options.pace is None else options.pace
    return play(repeated(packets, options.loop, reading.told), pace, packets.sensor)
