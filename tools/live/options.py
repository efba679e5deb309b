"""The options that `eventsim stream` and `eventsim view` share, and the stream that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..networks import AsIn, DtUs, InputShape, NirDtUs, NirOptions
from ..report import say_when_compiling
from ..send import play, repeated

if TYPE_CHECKING:
    from eventsim import Network, Sensor
    from eventsim.live.sources import Source
    from eventsim.live.stream import Stream

SOURCES = (
    "A recording, udp://HOST:PORT (or .../t32_x16_y15_on1), tcp://HOST:PORT, - (standard input), "
    "or camera."
)


@dataclass(frozen=True)
class LiveOptions:
    """What is asked of a live run; the fields are the options of the command line."""

    source: Annotated[str, typer.Option("--from", help=SOURCES, metavar="SOURCE")]
    pace: Annotated[
        float | None,
        typer.Option(
            help="Of a recording: times real time; 0 is as fast as it goes. [default: 1]", min=0
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
        int | None, typer.Option(help="Time constant of the leaky score. [default: the window]")
    ] = None
    gap_us: Annotated[int, typer.Option(help="After a longer silence the network begins anew.")] = (
        10_000_000
    )
    late_us: Annotated[
        int,
        typer.Option(help="An event so late is left out; a later one is of a restarted clock."),
    ] = 100_000
    clock_us: Annotated[
        int | None, typer.Option(help="Period of a clock that wraps, such as 4294967296.")
    ] = None
    tick_us: Annotated[
        int | None,
        typer.Option(
            help="After a longer silence time goes on by the wall clock, so far behind it; for "
            "sources in real time."
        ),
    ] = None
    sensor: Annotated[
        str | None,
        typer.Option(help="Size of the sensor, where the source does not state it.", metavar="WxH"),
    ] = None
    region: Annotated[
        str | None, typer.Option(help="Region of interest, in pixels.", metavar="X,Y,W,H")
    ] = None
    downscale: Annotated[int, typer.Option(help="Divide x and y by this.", min=1)] = 1
    merge_polarities: Annotated[
        bool, typer.Option("--merge-polarities", help="Make all events ON.")
    ] = False
    refractory_us: Annotated[
        int, typer.Option(help="A pixel that sent an event is blind for so long.", min=0)
    ] = 0
    background_us: Annotated[
        int, typer.Option(help="An event passes with a neighbour's within so long before.", min=0)
    ] = 0
    queue: Annotated[int, typer.Option(help="Events that may wait for the network.")] = 1_000_000
    when_full: Annotated[str, typer.Option(help="block, drop-oldest or drop-newest.")] = "block"
    dt_us: DtUs = None
    as_in: AsIn = None
    input_shape: InputShape = None
    nir_dt_us: NirDtUs = None

    @property
    def nir(self) -> NirOptions:
        """What is said of a NIR file."""
        return NirOptions(self.dt_us, self.as_in, self.input_shape, self.nir_dt_us)


def takes_live_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of `LiveOptions` as options; it takes them as `options`."""
    hints = get_type_hints(LiveOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.name == "source" else field.default,
            annotation=hints[field.name],
        )
        for field in fields(LiveOptions)
    ]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "options"
    ]

    def with_options(**given: Any) -> None:
        chosen = {parameter.name: given.pop(parameter.name) for parameter in shared}
        command(options=LiveOptions(**chosen), **given)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    everything = [own[0], *shared, *own[1:]]
    with_options.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in everything}
    return with_options


def open_stream(network: Network, options: LiveOptions) -> Stream:
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
        late_us=options.late_us, clock_us=options.clock_us,
    )  # fmt: skip
    settings = FilterSettings(
        region=None if options.region is None else _numbers("--region", options.region, ",", 4),
        downscale=options.downscale, merge_polarities=options.merge_polarities,
        refractory_us=options.refractory_us, background_us=options.background_us,
    )  # fmt: skip
    source = _open(options)
    try:
        return Stream(
            source, session, settings, capacity=options.queue, policy=options.when_full,
            tick_us=options.tick_us,
        )  # fmt: skip
    except BaseException:
        source.close()
        raise


def _open(options: LiveOptions) -> Source:
    from eventsim import EventsimError, Sensor, read_packets
    from eventsim.live.sources import open_source

    name = options.source
    sensor: Sensor | None = None
    if options.sensor is not None:
        sensor = Sensor(*_numbers("--sensor", options.sensor, "x", 2))
    if name in ("-", "camera") or "://" in name:
        if options.loop != 1:
            raise EventsimError(f"--loop is {options.loop}, expected 1: {name} is no recording")
        return open_source(name, sensor=sensor, pace=options.pace)
    packets = read_packets(Path(name), sensor=sensor)
    pace = 1.0 if options.pace is None else options.pace
    return play(repeated(packets, options.loop), pace, packets.sensor)


def _numbers(name: str, text: str, between: str, count: int) -> Any:
    """Return the whole numbers of an option; what they may be is checked where they are used."""
    from eventsim import EventsimError

    parts = text.split(between)
    if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
        shape = between.join(["N"] * count)
        raise EventsimError(f"{name} is {text!r}, expected whole numbers {shape}")
    return tuple(map(int, parts))
