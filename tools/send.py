"""`eventsim send`: plays a recording to another process over UDP or TCP, for tests and demos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import with_options, writable
from .reading import Reading, filtered
from .report import console, notes, progress_bar, write_json

if TYPE_CHECKING:
    from eventsim import Packets, Sensor
    from eventsim.events.arrays import Events
    from eventsim.live.sources import Source
    from eventsim.live.udp import Address


MOST_PACE = 10**9  # a second in a nanosecond


@dataclass
class Sent:
    """What has been sent so far; `datagrams` stays 0 over TCP."""

    events: int = 0
    datagrams: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds else 0.0


@with_options
def send(
    recording: Annotated[Path, typer.Argument(help="A recording.", metavar="RECORDING")],
    to: Annotated[
        str,
        typer.Option(
            help="udp://HOST:PORT, udp://HOST:PORT/FORMAT (t64_x16_y16_on8 or t32_x16_y15_on1), or "
            "tcp://HOST:PORT, which waits there for one client.",
            metavar="ADDRESS",
        ),
    ],
    reading: Reading,
    pace: Annotated[
        float, typer.Option(help="Times real time; 0 is as fast as it goes.", min=0)
    ] = 1.0,
    loop: Annotated[
        int,
        typer.Option(
            help="Play it N times, each 1 us after the last event of the time before; 0 is "
            "without end.",
            min=0,
        ),
    ] = 1,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write the summary as JSON; - is stdout.", metavar="FILE", callback=writable
        ),
    ] = None,
) -> None:
    """Play a recording to another process, as UDP datagrams or as a TCP server."""
    from eventsim.live.udp import parse_address

    address = parse_address(to, listens=to.startswith("tcp:"))
    packets = reading.packets(recording)
    # Read once before: a damaged recording ends here, not in the middle of what a peer receives.
    events = sum(
        len(packet) for packet in filtered(reading.told(packets), reading.filters(packets.sensor))
    )
    sent = Sent()
    played = filtered(repeated(packets, loop), reading.filters(packets.sensor))
    with play(played, pace) as source:
        _play(source, address, events * loop or None, sent)
    if json is None or str(json) != "-":
        console.print(
            f"{sent.events:,} events{_in_datagrams(sent, address)} in {sent.seconds:.3f} s: "
            f"{sent.rate:,.0f} events/s{' (interrupted)' if sent.interrupted else ''}",
            highlight=False,
        )
    if json is not None:
        facts = {"recording": str(recording), "to": to, "pace": pace, "loop": loop}
        write_json({**facts, **asdict(sent), "events_per_second": sent.rate}, json)


def _in_datagrams(sent: Sent, address: Address) -> str:
    return f" in {sent.datagrams:,} datagrams" if address.protocol == "udp" else ""


def play(packets: Iterator[Events], pace: float, sensor: Sensor | None = None) -> Source:
    """Return packets as a source at a pace, cut at each millisecond of wall time.

    A pace of 0 is as fast as it goes, with packets as they are. Raises `EventsimError` for a pace
    that is no number of times.
    """
    from eventsim import EventsimError
    from eventsim.live.sources import open_source

    if not 0 <= pace <= MOST_PACE:
        raise EventsimError(f"pace is {pace}, expected 0 to {MOST_PACE:,}; 0 is as fast as it goes")
    if pace == 0:
        return open_source(packets, sensor=sensor)
    return open_source(packets, sensor=sensor, pace=pace, packet_us=max(1, round(1000 * pace)))


def repeated(
    packets: Packets,
    loops: int,
    first_time: Callable[[Packets], Iterable[Events]] = lambda packets: packets,
) -> Iterator[Events]:
    """Yield a recording so often, 0 without end, each time its length and 1 us later than before.

    An empty recording is yielded once. `first_time` is called with the packets when they are read
    for the first time, and yields them.
    """
    import numpy as np

    shift_us = 0
    for _ in range(loops) if loops else count():
        first_us: int | None = None
        last_us = 0
        for events in packets if shift_us else first_time(packets):
            first_us = int(events["t"][0]) if first_us is None else first_us
            last_us = int(events["t"][-1])
            shifted = events.copy()
            shifted["t"] += np.uint64(shift_us)
            yield shifted
        if first_us is None:
            return
        shift_us += last_us - first_us + 1


def _play(source: Source, address: Address, total: int | None, sent: Sent) -> None:
    """Send what a source gives, until its end or Ctrl-C; `sent` says how far that came."""
    from eventsim import EventsimError
    from eventsim.live.udp import RECORD_BYTES

    begin: float | None = None
    try:
        with _connected(address) as post, progress_bar("Sending", total) as advance:
            begin = time.monotonic()
            for events in source:
                for piece in _pieces(events, address, sent.events):
                    post(piece)
                    sent.events += len(piece) // RECORD_BYTES[address.wire]
                    sent.datagrams += address.protocol == "udp"
                advance(len(events))
    except KeyboardInterrupt:
        sent.interrupted = True
    except OSError as error:
        raise EventsimError(
            f"{address.name}: cannot be sent to after {sent.events} events, {error.strerror}"
        ) from error
    sent.seconds = 0.0 if begin is None else time.monotonic() - begin


def _pieces(events: Events, address: Address, first: int) -> Iterator[bytes]:
    from eventsim.live.udp import datagrams, encode

    if address.protocol == "udp":
        return datagrams(events, address.wire, first=first)
    return iter([encode(events, address.wire)])


@contextmanager
def _connected(address: Address) -> Iterator[Callable[[bytes], object]]:
    """Yield what sends bytes to the peer; over TCP when one client has come."""
    from eventsim.live.udp import open_socket

    opened, place = open_socket(address, listens=address.protocol == "tcp")
    with opened:
        if address.protocol == "udp":
            # Not connected: a datagram that nobody received yet is no error of the next one.
            yield lambda piece: opened.sendto(piece, place)
            return
        opened.listen(1)
        notes.print(f"Waiting for a client on port {opened.getsockname()[1]}", highlight=False)
        client, _ = opened.accept()
        opened.close()  # else a second client would wait for events in vain
        with client:
            yield client.sendall
