"""Sources of events: recordings at a pace, UDP, TCP, standard input, cameras -> packets.

In: a name. Out: packets of events as they come, for a live session. What is malformed is left out
and counted, and the stream goes on. Time that runs backwards is handed out as it came, and counted:
what becomes of it is the session's choice.
"""

from __future__ import annotations

import errno
import math
import os
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..checks import is_whole
from ..errors import EventsimError
from ..events.arrays import (
    EVENT_DTYPE,
    Events,
    Sensor,
    agreed_sensor,
    as_events,
    packets_of,
)
from ..events.recordings import read_packets
from .playback import Playback
from .udp import WAIT_MS, Address, Receiver, RecordStream, parse_address, ready, resolve

RECONNECT_S = 0.2
CONNECT_S = 5.0  # until an attempt to connect is given up
READ_BYTES = 2**18
CAMERA_PACKETS = 64  # between the camera's thread and the session, at most


class Source:
    """Packets of events as they come; a context manager that closes itself at the end.

    `sensor` is what the source states, or else what was asked for; None without either. `playback`
    is the clock of what is played; None of what comes by itself.
    """

    playback: Playback | None = None

    def __init__(self, sensor: Sensor | None) -> None:
        """Begin with nothing received."""
        self.sensor = sensor
        self._counts: dict[str, int] = {"received": 0, "unordered_packets": 0}
        self._closed = threading.Event()

    @property
    def counters(self) -> dict[str, int]:
        """The counts up to now.

        "received" (events handed out), "unordered_packets" (packets in which, or before which, time
        ran backwards), and those of the kind of source.
        """
        return self._counts.copy()

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the source."""
        self.close()

    def __iter__(self) -> Iterator[Events]:
        """Yield event arrays of at least one event, until the source ends or is closed."""
        latest_us = np.uint64(0)
        for events in self._packets():
            if self._closed.is_set():
                return
            if len(events) == 0:
                continue
            t = events["t"]
            if t[0] < latest_us or (t[1:] < t[:-1]).any():
                self._counts["unordered_packets"] += 1
            latest_us = t[-1]
            self._counts["received"] += len(events)
            yield events

    def close(self) -> None:
        """End the iteration, from any thread, and give back what the source holds."""
        self._closed.set()

    def _packets(self) -> Iterator[Events]:
        raise NotImplementedError


class _PlayedSource(Source):
    """Packets that are there already; with a `pace`, each waits until its last event's time."""

    playback: Playback

    def __init__(
        self,
        packets: Iterable[Events],
        sensor: Sensor | None,
        pace: float | None,
        packet_us: int | None,
    ) -> None:
        super().__init__(sensor)
        self._given = packets
        self.playback = Playback(pace)
        self._packet_us = packet_us  # None leaves packets as they are

    def _packets(self) -> Iterator[Events]:
        packets: Iterator[Events] = map(_checked, self._given)
        if self._packet_us is not None:
            packets = _cut(packets, self._packet_us)
        for events in packets:
            if len(events):
                self.playback.wait(int(events["t"][0]), int(events["t"][-1]), self._closed)
            yield events

    def close(self) -> None:
        super().close()
        self.playback.wake()


def _checked(events: Any) -> Events:
    return as_events(events, called="a packet has")


def _cut(packets: Iterable[Events], packet_us: int) -> Iterator[Events]:
    """Cut packets at multiples of `packet_us` after the first event."""
    first_us: np.uint64 | None = None
    for events in packets:
        if len(events) == 0:
            continue
        if first_us is None:
            first_us = events["t"][0]
        stretch = (events["t"] - first_us) // np.uint64(packet_us)
        borders = np.flatnonzero(stretch[1:] != stretch[:-1]) + 1
        yield from np.split(events, borders)


class _LiveSource(Source):
    """A source that waits for what comes, at most `WAIT_MS` at a time."""

    def __init__(self, sensor: Sensor | None) -> None:
        super().__init__(sensor)
        self._receiving = threading.Lock()

    def _packets(self) -> Iterator[Events]:
        while True:
            with self._receiving:
                events = None if self._closed.is_set() else self._receive()
            if self._closed.is_set():
                self.close()  # again: whoever closed while we received could not release
                return
            if events is None:
                return
            yield events

    def close(self) -> None:
        super().close()
        # Whoever receives right now sees the above and closes after that. To wait for the lock here
        # would hang in a signal handler, which runs in the thread that holds it.
        if self._receiving.acquire(blocking=False):
            self._release()
            self._receiving.release()

    def _receive(self) -> Events | None:
        """Return what has come, maybe nothing yet; None when nothing comes any more."""
        raise NotImplementedError

    def _release(self) -> None:
        """Give back sockets; may come twice."""


class UdpSource(_LiveSource):
    """Datagrams of whole records in either wire format; `udp.py` says why faery's is not used.

    Left out whole, and counted as "malformed_datagrams": those that are empty, that are no multiple
    of the record long, or in which an `on` of 13-byte records is neither 0 nor 1. "datagrams"
    counts all that were fetched, "clock_wraps" the turns of the 32-bit clock. `port` is the one
    bound.
    """

    def __init__(self, address: Address, sensor: Sensor | None) -> None:
        """Bind the socket. Raises `EventsimError` where that cannot be."""
        super().__init__(sensor)
        self._receiver = Receiver(address, self._counts)
        self.port = self._receiver.port

    @property
    def counters(self) -> dict[str, int]:
        """The counts up to now.

        With "system_drops", the datagrams that the system has dropped because nobody fetched them
        in time, modulo 2^32; absent where the system does not tell.
        """
        now = self._receiver.system_drops()  # first: what a close meanwhile stores is newer
        return self._counts | now

    def _receive(self) -> Events:
        return self._receiver.receive()

    def _release(self) -> None:
        self._receiver.close()


class _TcpSource(_LiveSource):
    """The client of a server that writes 13-byte records; connects again when the server dies."""

    def __init__(self, address: Address, sensor: Sensor | None) -> None:
        super().__init__(sensor)
        self._places = resolve(address)
        self._socket: socket.socket | None = None
        self._counts["connections"] = 0
        self._stream = RecordStream(self._counts)

    def _receive(self) -> Events:
        if self._socket is None:
            self._connect()
        if self._socket is None or not ready(self._socket.fileno()):
            return self._stream.add(b"")
        try:
            piece = self._socket.recv(READ_BYTES)
        except OSError:  # the server has died, which is what an empty piece says too
            piece = b""
        if not piece:
            self._stream.end()
            self._release()
        return self._stream.add(piece)

    def _connect(self) -> None:
        """Try each address of the host once; wait a little where none answers."""
        for family, place in self._places:
            opened = socket.socket(family, socket.SOCK_STREAM)
            if self._reaches(opened, place):
                self._counts["connections"] += 1
                self._socket = opened
                return
            opened.close()
        self._closed.wait(RECONNECT_S)

    def _reaches(self, opened: socket.socket, place: tuple[object, ...]) -> bool:
        opened.setblocking(False)
        state = opened.connect_ex(place)
        end = time.monotonic() + CONNECT_S
        waiting = (errno.EINPROGRESS, errno.EWOULDBLOCK)  # Windows has the other
        while state in waiting and time.monotonic() < end and not self._closed.is_set():
            if ready(opened.fileno(), writing=True):
                state = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # Without a server, a local port that the system picks for clients may connect to itself.
        return state == 0 and opened.getsockname() != place

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _StandardInput(_LiveSource):
    """13-byte records on standard input, up to its end."""

    def __init__(self, sensor: Sensor | None) -> None:
        super().__init__(sensor)
        self._stream = RecordStream(self._counts)
        if not hasattr(select, "poll"):
            raise EventsimError("-: standard input cannot be followed on Windows, expected tcp://")
        try:
            self._file = sys.stdin.buffer.fileno()
        except (AttributeError, OSError, ValueError) as error:
            raise EventsimError("-: there is no standard input to read events from") from error

    def _receive(self) -> Events | None:
        if not ready(self._file):
            return self._stream.add(b"")
        try:
            piece = os.read(self._file, READ_BYTES)
        except OSError as error:
            raise EventsimError(f"-: standard input cannot be read, {error.strerror}") from error
        if not piece:
            self._stream.end()
            return None
        return self._stream.add(piece)


class _Camera(_LiveSource):
    """A camera by way of faery, read in a thread: its drivers wait for events without an end."""

    def __init__(self, sensor: Sensor | None) -> None:
        import faery  # takes as long to import as all else

        try:
            stream = faery.events_stream_from_camera()
            stated = Sensor(*stream.dimensions())
        except Exception as error:
            raise EventsimError(
                f"camera: none can be opened, faery says: {error.args[-1] if error.args else error}"
                f" (it needs a camera, and its driver: pip install 'eventsim-snn[camera]')"
            ) from error
        super().__init__(agreed_sensor(stated, sensor, "camera:"))
        # Full, it holds up the thread, and then the driver drops what it has no room for.
        self._queue: queue.Queue[Events | Exception | None] = queue.Queue(CAMERA_PACKETS)
        threading.Thread(target=self._read, args=[iter(stream)], daemon=True).start()

    def _read(self, stream: Iterator[Any]) -> None:
        try:
            for events in stream:
                self._put(_checked(events).copy())
                if self._closed.is_set():
                    return
            self._put(None)
        except Exception as error:  # raised again where the session sees it
            self._put(error)

    def _put(self, item: Events | Exception | None) -> None:
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=WAIT_MS / 1e3)
            except queue.Full:
                continue

    def _receive(self) -> Events | None:
        try:
            item = self._queue.get(timeout=WAIT_MS / 1e3)
        except queue.Empty:
            return np.empty(0, EVENT_DTYPE)
        if isinstance(item, Exception):
            raise EventsimError(f"camera: cannot be read any more, {item}") from item
        return item


def open_source(
    name: str | Path | Iterable[Events],
    *,
    sensor: Sensor | None = None,
    pace: float | None = None,
    packet_us: int = 1000,
) -> Source:
    """Open a source of events by its name.

    - A path: a recording of any format (`read_packets`), in packets cut at multiples of `packet_us`
      after its first event.
    - "udp://HOST:PORT" or "udp://HOST:PORT/FORMAT": datagrams of whole records in faery's formats
      "t64_x16_y16_on8" (the default, 13 bytes) or "t32_x16_y15_on1" (8 bytes).
    - "tcp://HOST:PORT": a client that reads 13-byte records, connects until there is a server, and
      again every 0.2 s when it dies ("connections"). A half record at the end of a connection, and
      records whose `on` is neither 0 nor 1, are counted in "malformed_bytes".
    - "-": the same records on standard input.
    - "camera": faery's `events_stream_from_camera`.
    - Any iterable of event arrays, or one array: its packets, cut with a pace only.

    `pace`: None for as fast as possible; 1.0 hands out a packet of a recording or iterable when its
    last event has happened in real time, 2.0 twice as fast. `sensor` is what the camera is known to
    be where the source does not state it.

    Raises `EventsimError`, one sentence, for a name that cannot be opened, a pace for a live
    source, and a `pace` or `packet_us` that is no positive number; `RecordingError` as
    `read_packets` does, and for packets that are no event arrays.
    """
    if not is_whole(packet_us, 1):
        raise EventsimError(f"packet_us is {packet_us!r}, expected a whole number, 1 or more")
    if pace is not None and not (isinstance(pace, Real) and math.isfinite(pace) and pace > 0):
        raise EventsimError(f"pace is {pace!r}, expected a number above 0, or None for no pace")
    if isinstance(name, str) and (name in ("-", "camera") or "://" in name):
        if pace is not None:
            raise EventsimError(f"{name}: pace is {pace}, expected none for a live source")
        return _open_live(name, sensor)
    if isinstance(name, str | Path):
        packets = read_packets(name, sensor=sensor)
        return _PlayedSource(packets, packets.sensor, pace, int(packet_us))
    if not isinstance(name, Iterable):
        raise EventsimError(f"a source is {name!r}, expected a name or an iterable of event arrays")
    return _PlayedSource(packets_of(name), sensor, pace, None if pace is None else int(packet_us))


def _open_live(name: str, sensor: Sensor | None) -> Source:
    if name == "-":
        return _StandardInput(sensor)
    if name == "camera":
        return _Camera(sensor)
    if name.startswith("tcp:"):
        return _TcpSource(parse_address(name, listens=False), sensor)
    return UdpSource(parse_address(name, listens=True), sensor)
