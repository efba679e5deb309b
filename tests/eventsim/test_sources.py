"""Sources of every kind: names, recordings, iterables, paces, cameras, closing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faery
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_sources import (
    LOCAL,
    joined,
    open_udp,
    post,
    random_events,
    reserving,
    serving,
    standard_input,
)
from patience import PATIENCE_S
from recording_files import EVENTS, SENSOR, WHOLE

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import Sensor, make_events
from eventsim.live.sources import Source, open_source
from eventsim.live.udp import T32, T64


class Camera:
    """What faery gives for a camera: here one that sends packets and then waits without an end."""

    def __init__(self, packets: list[Any], then: threading.Event | None = None) -> None:
        self.packets, self.then = packets, then

    def dimensions(self) -> tuple[int, int]:
        return SENSOR.width, SENSOR.height

    def __iter__(self) -> Iterator[Any]:
        yield from self.packets
        if self.then is not None:
            self.then.wait(PATIENCE_S)


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = [EVENTS[:2], EVENTS[:0], EVENTS[2:]] * 60  # more than its queue holds
    monkeypatch.setattr(faery, "events_stream_from_camera", lambda: Camera(packets))
    with open_source("camera") as source:
        np.testing.assert_array_equal(joined(source), joined(packets))
        assert source.sensor == SENSOR
    monkeypatch.setattr(faery, "events_stream_from_camera", lambda: Camera([np.arange(3)]))
    with open_source("camera") as source, pytest.raises(EventsimError, match="a packet has dtype"):
        list(source)
    with pytest.raises(EventsimError, match="states a 40 x 30 sensor, expected the 20 x 30"):
        open_source("camera", sensor=Sensor(20, 30))


@pytest.fixture(params=["udp", "tcp", "tcp without a server", "stdin", "camera", "pace"])
def silent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source that gives two events and then nothing for a long time."""
    two, end = EVENTS[:2], threading.Event()
    if request.param == "udp":
        source = open_udp()
        post(source, [two.tobytes()])
        yield source
    elif request.param == "tcp":
        with serving() as (server, name):
            thread = threading.Thread(target=lambda: server.accept()[0].sendall(two.tobytes()))
            thread.start()
            yield open_source(name)
            thread.join()
    elif request.param == "tcp without a server":
        with reserving() as (_, name):
            yield open_source(name)
    elif request.param == "stdin":
        with standard_input(monkeypatch) as writing:
            os.write(writing, two.tobytes())
            yield open_source("-")
            os.close(writing)
    elif request.param == "camera":
        monkeypatch.setattr(faery, "events_stream_from_camera", lambda: Camera([two], end))
        yield open_source("camera")
        end.set()
    else:
        late = make_events([10, 20, 10**12], [0] * 3, [0] * 3, [1] * 3)
        yield open_source(late, pace=1.0)


def test_close_from_another_thread_ends_the_iteration(silent: Source) -> None:
    ended = threading.Event()

    def iterate() -> None:
        for _ in silent:
            pass
        ended.set()

    thread = threading.Thread(target=iterate, daemon=True)
    thread.start()
    assert not ended.wait(0.1)
    silent.close()
    assert ended.wait(PATIENCE_S)
    assert list(silent) == []
    silent.close()


def test_a_closed_udp_source_gives_its_port_back() -> None:
    with open_udp() as source:
        post(source, [EVENTS.tobytes()])
        packets = iter(source)
        next(packets)
    open_source(f"udp://127.0.0.1:{source.port}").close()
    assert list(packets) == []


def test_a_source_closed_while_it_waits_gives_its_socket_back() -> None:
    """It is the thread that waits that must do it, before its iteration ends."""
    with open_udp() as udp, serving() as (server, name), open_source(name) as tcp:
        threads = [threading.Thread(target=list, args=[source]) for source in (udp, tcp)]
        for thread in threads:
            thread.start()
        client, _ = server.accept()
        for source, thread in zip((udp, tcp), threads, strict=True):
            time.sleep(0.01)
            source.close()
            thread.join()
        open_source(f"udp://127.0.0.1:{udp.port}").close()
        with client:
            client.settimeout(PATIENCE_S)
            assert client.recv(1) == b""


def test_a_recording_is_cut_and_a_pace_waits_for_the_events(tmp_path: Path) -> None:
    path = tmp_path / "lz4.aedat4"
    path.write_bytes(WHOLE["lz4.aedat4"])
    with open_source(path, packet_us=3000) as source:
        packets = list(source)
        assert source.sensor == SENSOR
    assert [packet["t"].tolist() for packet in packets] == [[10, 20, 20], [4000], [9000, 9001]]
    with open_source(str(path), pace=0.1, packet_us=3000) as source:
        begin, arrived = time.monotonic(), []
        for packet, expected in zip(source, packets, strict=True):
            np.testing.assert_array_equal(packet, expected)
            arrived.append(time.monotonic() - begin)
    assert all(
        seconds >= 10 * (packet["t"][-1] - 10) / 1e6
        for seconds, packet in zip(arrived, packets, strict=True)
    )
    with open_source(path, pace=0.1, packet_us=10_000) as source:
        begin = time.monotonic()
        assert len(next(iter(source))) == len(EVENTS)
        assert time.monotonic() - begin >= 10 * (9001 - 10) / 1e6  # its last event's time


def test_what_a_consumer_takes_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Due times count from the beginning: a late packet does not put off those after it."""
    events = make_events(np.arange(0, 100_000, 1000), [0] * 100, [0] * 100, [1] * 100)
    waits: list[float] = []
    with open_source(events, pace=1.0) as source:
        changed = source.playback._changed
        wait = changed.wait
        monkeypatch.setattr(changed, "wait", lambda s: bool(waits.append(s)) or wait(s))
        for number, _ in enumerate(source):
            if number == 0:
                time.sleep(0.1)
    assert waits == []


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(0, 200),
    packet_us=st.integers(1, 3000),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
def test_cutting_changes_no_event(seed: int, size: int, packet_us: int, cuts: list[int]) -> None:
    events = random_events(seed, size, longest_us=1000)
    parts = np.split(events, sorted(cut for cut in cuts if cut < size))
    with open_source(parts, pace=1e9, packet_us=packet_us) as source:
        packets = list(source)
    np.testing.assert_array_equal(joined(packets), events)
    for packet in packets:
        stretch = (packet["t"] - events["t"][0]) // packet_us
        assert stretch[0] == stretch[-1]


def test_counters_are_those_of_one_moment() -> None:
    with open_source(EVENTS) as source:
        before = source.counters
        list(source)
        assert before == {"received": 0, "unordered_packets": 0}
        assert source.counters == {"received": 6, "unordered_packets": 0}


def test_an_iterable_without_a_pace_is_handed_out_as_it_is() -> None:
    parts = [EVENTS[:1], EVENTS[1:]]
    with open_source(iter(parts), sensor=SENSOR) as source:
        assert list(map(len, source)) == [1, 5]
        assert source.sensor == SENSOR
    with open_source(EVENTS) as source:
        assert list(map(len, source)) == [6]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("http://a:1", {}, "this is no address, expected udp://HOST:PORT"),
        ("udp://:1", {}, "this is no address"),
        ("udp://127.0.0.1", {}, "this is no address"),
        ("udp://::1:5000", {}, "this is no address"),
        ("udp://127.0.0.1:65536", {}, "port is 65536, expected 0 to 65535"),
        ("udp://127.0.0.1:0000001", {}, "port is 0000001, expected 0 to 65535"),
        ("tcp://127.0.0.1:0", {}, "port is 0, expected 1 to 65535"),
        (f"{LOCAL}/t64", {}, f"format is t64, expected {T64} or {T32}"),
        (f"{LOCAL}/", {}, "format is (none), expected"),
        (f"tcp://127.0.0.1:9/{T32}", {}, f"format is {T32}, expected {T64}"),
        ("udp://no.such.host.invalid:9", {}, "host cannot be resolved"),
        ("tcp://no.such.host.invalid:9", {}, "host cannot be resolved"),
        (f"udp://{'a' * 70}.b:9", {}, "host cannot be resolved"),
        ("udp://203.0.113.1:9", {}, "cannot be bound, Cannot assign requested address"),
        (LOCAL, {"pace": 1.0}, "pace is 1.0, expected none for a live source"),
        ("tcp://127.0.0.1:9", {"pace": 2}, "pace is 2, expected none for a live source"),
        ("-", {"pace": 1.0}, "-: pace is 1.0, expected none for a live source"),
        ("camera", {"pace": 1.0}, "camera: pace is 1.0, expected none for a live source"),
        (EVENTS, {"pace": 0}, "pace is 0, expected a number above 0, or None"),
        (EVENTS, {"pace": float("nan")}, "pace is nan, expected a number above 0, or None"),
        (EVENTS, {"pace": "1"}, "pace is '1', expected a number above 0, or None"),
        (EVENTS, {"packet_us": 0}, "packet_us is 0, expected a whole number, 1 or more"),
        (EVENTS, {"packet_us": 1.5}, "packet_us is 1.5, expected a whole number, 1 or more"),
        (5, {}, "a source is 5, expected a name or an iterable of event arrays"),
        ("none.bin", {}, "none.bin: there is no such file"),
        (Path("udp"), {}, "udp: there is no such file"),
    ],
)
def test_what_cannot_be_opened_gets_one_sentence(
    name: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(EventsimError) as caught:
        open_source(name, **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    if isinstance(name, str):
        assert str(caught.value).startswith(f"{name}: ")


def test_what_is_taken_or_absent_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_udp() as source, pytest.raises(EventsimError, match=r"cannot be bound, Address al"):
        open_source(f"udp://127.0.0.1:{source.port}")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(EventsimError, match="-: there is no standard input to read events from"):
        open_source("-")
    monkeypatch.setitem(sys.modules, "event_camera_drivers", None)
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    with pytest.raises(EventsimError, match=r"camera: none can be opened.*is not installed"):
        open_source("camera")


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (np.arange(3), "a packet"),
        (EVENTS[:2].reshape(1, 2), "a packet"),
        ("ab", "events are the path 'ab', expected an array"),
        (3, "a packet"),
    ],
)
def test_packets_that_are_no_events_get_one_sentence(packet: Any, sentence: str) -> None:
    with open_source([EVENTS, packet]) as source, pytest.raises(RecordingError, match=sentence):
        list(source)
