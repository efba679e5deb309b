"""Streams of records: TCP over real sockets, standard input over real pipes."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_sources import (
    drawn,
    free_port,
    joined,
    random_events,
    reserving,
    serving,
    standard_input,
)
from patience import PATIENCE_S, wait_until
from recording_files import EVENTS

from eventsim.errors import EventsimError
from eventsim.live.sources import open_source
from eventsim.live.udp import ready


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 3000), data=st.data())
def test_tcp_gives_the_events_however_they_are_split(
    seed: int, size: int, data: st.DataObject
) -> None:
    records = random_events(seed, size).tobytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=30)))
    with serving() as (server, name), open_source(name) as source:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True):
                    client.sendall(records[a:b])

        thread = threading.Thread(target=serve)
        thread.start()
        assert drawn(source, size).tobytes() == records
        thread.join()
        assert source.counters["received"] == size
        assert source.counters["connections"] == 1
        assert source.counters["malformed_bytes"] == 0


@pytest.mark.parametrize("reset", [False, True])
def test_a_tcp_server_that_dies_in_a_record_and_comes_back(reset: bool) -> None:
    first, second = EVENTS[:3], EVENTS[3:]
    with serving() as (server, name), open_source(name) as source:

        def serve() -> None:
            client, _ = server.accept()
            client.sendall(first.tobytes() + second.tobytes()[:7])
            ended.wait(PATIENCE_S)
            if reset:  # a zero linger makes of the close a reset
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            client, _ = server.accept()
            with client:
                client.sendall(second.tobytes())

        ended = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        # The half record has come with what is drawn here: a machine's own network does not cut it.
        np.testing.assert_array_equal(drawn(source, 3), first)
        ended.set()
        np.testing.assert_array_equal(drawn(source, 3), second)
        thread.join()
        assert source.counters["connections"] == 2
        assert source.counters["malformed_bytes"] == 7
        assert source.counters["received"] == 6


def test_tcp_waits_for_a_server_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, attempts = socket.socket.connect_ex, []

    def noted(opened: socket.socket, place: Any) -> int:
        attempts.append(place)
        return connect(opened, place)

    def serve() -> None:
        wait_until(lambda: len(attempts) > 1, "the source has not tried again")
        server.listen()
        client, _ = server.accept()
        with client:
            client.sendall(EVENTS.tobytes())

    monkeypatch.setattr(socket.socket, "connect_ex", noted)
    thread = threading.Thread(target=serve)
    with reserving() as (server, name), open_source(name) as source:
        thread.start()
        np.testing.assert_array_equal(drawn(source, len(EVENTS)), EVENTS)
        thread.join()


def test_a_tcp_client_that_reaches_itself_has_reached_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect, attempts = socket.socket.connect_ex, []

    def from_the_same_port(opened: socket.socket, place: Any) -> int:
        attempts.append(opened)
        if len(attempts) > 1:
            source.close()
            return errno.ECONNREFUSED
        opened.bind(place)
        return connect(opened, place)

    monkeypatch.setattr(socket.socket, "connect_ex", from_the_same_port)
    with open_source(f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}") as source:
        assert len(drawn(source, 1)) == 0
    assert len(attempts) == 2
    assert source.counters["connections"] == 0


@settings(max_examples=30)
@given(
    stream=st.lists(st.binary(min_size=12, max_size=12), max_size=20),
    on=st.lists(st.sampled_from([0, 1, 1, 2, 255]), min_size=20, max_size=20),
    rest=st.binary(max_size=12),
)
def test_standard_input_is_accounted_for_byte_by_byte(
    stream: list[bytes], on: list[int], rest: bytes
) -> None:
    records = [record + bytes([flag]) for record, flag in zip(stream, on, strict=False)]
    with pytest.MonkeyPatch.context() as patch, standard_input(patch) as writing:
        os.write(writing, b"".join(records) + rest)
        os.close(writing)
        with open_source("-") as source:
            found = joined(source)
            assert list(source) == []
    good = [record for record in records if record[-1] <= 1]
    assert found.tobytes() == b"".join(good)
    bad_bytes = 13 * (len(records) - len(good)) + len(rest)
    assert source.counters["malformed_bytes"] == bad_bytes
    assert source.counters["received"] == len(good)


def test_standard_input_of_a_process() -> None:
    script = (
        "from eventsim import open_source\n"
        "with open_source('-') as source:\n"
        "    print(sum(len(p) for p in source), source.counters['malformed_bytes'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=random_events(1, 50_000).tobytes() + b"half",
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == [b"50000", b"4"]


def test_without_poll_sockets_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no `poll`; there, standard input cannot be followed, and that is said."""
    monkeypatch.delattr(select, "poll")
    here, there = socket.socketpair()
    with here, there:
        assert ready(here.fileno(), writing=True)
        assert not ready(here.fileno())
        there.send(b"x")
        assert ready(here.fileno())
    with pytest.raises(EventsimError, match="standard input cannot be followed on Windows"):
        open_source("-")
