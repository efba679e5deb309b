"""Sources of live events, what feeds them and what draws from them; shared by tests."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from patience import PATIENCE_S

from eventsim.events.arrays import EVENT_DTYPE, Events, make_events
from eventsim.live.sources import Source, UdpSource, open_source
from eventsim.live.udp import T64

LOCAL = "udp://127.0.0.1:0"


def random_events(seed: int, size: int, *, y_end: int = 2**16, longest_us: int = 10**6) -> Events:
    """Return events in time order, with x and y up to what their fields hold."""
    rng = np.random.default_rng(seed)
    t = int(rng.integers(0, 2**33)) + np.cumsum(rng.integers(0, longest_us, size))
    return make_events(
        t, rng.integers(0, 2**16, size), rng.integers(0, y_end, size), rng.integers(0, 2, size)
    )


def joined(packets: Iterable[Events]) -> Events:
    return np.concatenate([np.empty(0, EVENT_DTYPE), *packets])


def drawn(source: Source, count: int) -> Events:
    """Draw packets until they hold `count` events, or patience ends."""
    return drawn_until(source, lambda found: found >= count)


def drawn_until(source: Source, enough: Callable[[int], bool]) -> Events:
    """Draw packets until their number of events is `enough`, or patience ends."""
    packets: list[Events] = []
    timer = threading.Timer(PATIENCE_S, source.close)
    timer.start()
    try:
        for events in source:
            packets.append(events)
            if enough(sum(map(len, packets))):
                break
    finally:
        timer.cancel()
    return joined(packets)


def open_udp(wire: str = T64, host: str = "127.0.0.1") -> UdpSource:
    source = open_source(f"udp://{host}:0/{wire}")
    assert isinstance(source, UdpSource)
    return source


def post(source: UdpSource, pieces: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for piece in pieces:
            sender.sendto(piece, ("127.0.0.1", source.port))


@contextmanager
def reserving() -> Iterator[tuple[socket.socket, str]]:
    """Hold a port, where nobody listens yet; yields the socket and its address as a source."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.settimeout(PATIENCE_S)
        server.bind(("127.0.0.1", 0))
        yield server, f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def serving() -> Iterator[tuple[socket.socket, str]]:
    """Listen; yields the socket and its address as the name of a source."""
    with reserving() as (server, name):
        server.listen()
        yield server, name


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put a pipe in the place of standard input; yields its other end."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield writing
