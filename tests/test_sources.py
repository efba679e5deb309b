"""Live sources over real sockets and pipes, and `eventsim send`, which feeds them."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import faery
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording_files import EVENTS, SENSOR, WHOLE
from test_tools import run_command

from eventsim.errors import EventsimError, RecordingError
from eventsim.events import EVENT_DTYPE, Events, Sensor, make_events
from eventsim.recordings import read_packets
from eventsim.sources import Source, UdpSource, open_source
from eventsim.udp import DATAGRAM_BYTES, RECORD_BYTES, T32, T64, datagrams, encode

LOCAL = "udp://127.0.0.1:0"
PATIENCE_S = 20.0  # until a test that waits in vain gives up and fails


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
    packets: list[Events] = []
    timer = threading.Timer(PATIENCE_S, source.close)
    timer.start()
    try:
        for events in source:
            packets.append(events)
            if sum(map(len, packets)) >= count:
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
def serving() -> Iterator[tuple[socket.socket, str]]:
    """Listen; yields the socket and its address as the name of a source."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server, f"tcp://127.0.0.1:{server.getsockname()[1]}"


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# UDP


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=100),
)
@pytest.mark.parametrize("wire", [T64, T32])
def test_udp_gives_the_events_sent_in_any_datagrams(wire: str, seed: int, sizes: list[int]) -> None:
    events = random_events(seed, sum(sizes), y_end=2**16 if wire == T64 else 2**15)
    records, cuts = encode(events, wire), np.cumsum([0, *sizes]) * RECORD_BYTES[wire]
    pieces = [records[a:b] for a, b in pairwise(cuts)]
    expected = events.copy()
    if wire == T32:
        expected["t"] = continued_one_by_one(events["t"] % np.uint64(2**32))
    with open_udp(wire) as source:
        post(source, pieces)
        np.testing.assert_array_equal(drawn(source, len(events)), expected)
        assert source.counters["received"] == len(events)
        assert source.counters["datagrams"] == len(sizes)
        assert source.counters["malformed_datagrams"] == source.counters["unordered_packets"] == 0


def continued_one_by_one(clock: Any) -> list[int]:
    times, turns = [], 0
    for before, t in zip([0, *clock[:-1].tolist()], clock.tolist(), strict=True):
        turns += before - t > 2**31
        times.append(t + turns * 2**32)
    return times


def test_the_13_bytes_and_the_8_bytes_are_those_of_faery() -> None:
    """Its own sender writes them; its times begin with the first event's."""
    for wire in (T64, T32):
        with open_udp(wire) as source:
            stream = faery.events_stream_from_array(EVENTS.copy(), (40, 30))
            stream.to_udp(("127.0.0.1", source.port), format=wire)
            np.testing.assert_array_equal(drawn(source, len(EVENTS)), EVENTS)


@pytest.mark.parametrize("cut", [(3,), (2,), (1, 2, 3, 4, 5), ()])
def test_the_32_bit_clock_turns_over(cut: tuple[int, ...]) -> None:
    """At the border of two datagrams or inside of one, and a smaller step back is no turn."""
    clock = [7, 2**32 - 10, 2**32 - 1, 3, 2**31 + 2, 2]
    expected = [7, 2**32 - 10, 2**32 - 1, 2**32 + 3, 2**32 + 2**31 + 2, 2**32 + 2]
    events = make_events(clock, [1] * 6, [2] * 6, [1] * 6)
    with open_udp(T32) as source:
        post(source, [encode(part, T32) for part in np.split(events, cut)])
        assert drawn(source, 6)["t"].tolist() == expected
        assert source.counters["clock_wraps"] == 1
        assert source.counters["unordered_packets"] == 1


@settings(max_examples=30)
@given(
    pieces=st.lists(
        st.binary(max_size=60)
        | st.builds(lambda seed, size: random_events(seed, size).tobytes()[: 13 * size],
                    st.integers(0, 99), st.integers(1, 9)),
        max_size=20,
    )
)  # fmt: skip
@example(
    pieces=[b"", b"\0" * 12 + b"\2", b"\0" * 14, b"\1" * 13, b"\0" * 65507, b"\0" * 25 + b"\7"]
)
@pytest.mark.parametrize("wire", [T64, T32])
def test_malformed_datagrams_are_counted_and_left_out(wire: str, pieces: list[bytes]) -> None:
    size = RECORD_BYTES[wire]
    good = [
        piece
        for piece in pieces
        if piece and len(piece) % size == 0 and (wire == T32 or max(piece[12::13]) <= 1)
    ]
    last = encode(make_events([2**31], [1], [2], [1]), wire)
    with open_udp(wire) as source:
        post(source, [*pieces, last])
        found = drawn(source, (sum(map(len, good)) + size) // size)
        assert encode(found, wire) == b"".join([*good, last])
        assert source.counters["datagrams"] == len(pieces) + 1
        assert source.counters["malformed_datagrams"] == len(pieces) - len(good)
        assert source.counters["received"] == len(found)


def test_time_that_runs_backwards_is_handed_out_and_counted() -> None:
    parts = [
        make_events(t, [0] * len(t), [0] * len(t), [1] * len(t))
        for t in ([5, 6], [6, 6], [9, 8], [8, 9], [3], [10])
    ]
    with open_source(parts) as source:
        np.testing.assert_array_equal(joined(source), joined(parts))
        assert source.counters == {"received": 10, "unordered_packets": 2}
    with open_udp() as source:
        post(source, [b"".join(part.tobytes() for part in parts)])
        np.testing.assert_array_equal(drawn(source, 10), joined(parts))
        assert source.counters["unordered_packets"] == 1


def test_waiting_datagrams_come_in_one_packet_that_can_be_written_to() -> None:
    events = random_events(3, 1000)
    pieces = list(datagrams(events, T64))
    assert max(map(len, pieces)) <= DATAGRAM_BYTES
    with open_udp() as source:
        post(source, pieces)
        packet = next(iter(source))
        np.testing.assert_array_equal(packet, events)
        packet["t"] = 0


def test_ipv6_in_brackets() -> None:
    try:
        source = open_udp(host="[::1]")
    except EventsimError as error:
        pytest.skip(str(error))
    with source, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(EVENTS.tobytes(), ("::1", source.port))
        np.testing.assert_array_equal(drawn(source, len(EVENTS)), EVENTS)


# TCP and standard input


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
        np.testing.assert_array_equal(drawn(source, 3), first)
        time.sleep(0.05)  # so that the half record has come when the connection is reset
        ended.set()
        np.testing.assert_array_equal(drawn(source, 3), second)
        thread.join()
        assert source.counters["connections"] == 2
        assert source.counters["malformed_bytes"] == 7
        assert source.counters["received"] == 6


def test_tcp_waits_for_a_server_that_comes_later() -> None:
    port = free_port(socket.SOCK_STREAM)

    def serve() -> None:
        time.sleep(0.1)
        with socket.create_server(("127.0.0.1", port)) as server:
            client, _ = server.accept()
            with client:
                client.sendall(EVENTS.tobytes())

    thread = threading.Thread(target=serve)
    with open_source(f"tcp://127.0.0.1:{port}") as source:
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


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put a pipe in the place of standard input; yields its other end."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield writing


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
        "from eventsim.sources import open_source\n"
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


# Cameras, closing, pace, names


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
        yield open_source(f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}")
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
        closed = source._closed
        wait = closed.wait
        monkeypatch.setattr(closed, "wait", lambda s: bool(waits.append(s)) or wait(s))
        for number, _ in enumerate(source):
            if number == 0:
                time.sleep(0.1)
    assert waits[1:] == [0] * 99


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


@pytest.mark.parametrize("packet", [np.arange(3), EVENTS[:2].reshape(1, 2), "ab", 3])
def test_packets_that_are_no_events_get_one_sentence(packet: Any) -> None:
    with open_source([EVENTS, packet]) as source, pytest.raises(RecordingError, match="a packet"):
        list(source)


# eventsim send


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.npy"
    np.save(path, random_events(7, 2000, y_end=2**15, longest_us=20))
    return path


def looped(events: Events, loops: int) -> Events:
    length = events["t"][-1] - events["t"][0] + np.uint64(1)
    parts = [events.copy() for _ in range(loops)]
    for turn, part in enumerate(parts):
        part["t"] += length * np.uint64(turn)
    return joined(parts)


@pytest.mark.parametrize(("wire", "loops"), [(T64, 1), (T32, 1), (T64, 3)])
def test_send_over_udp_gives_the_recording(
    wire: str, loops: int, recording: Path, tmp_path: Path
) -> None:
    expected, found = looped(np.load(recording), loops), []
    if wire == T32:
        expected["t"] %= np.uint64(2**32)
    out = tmp_path / "out.json"
    with open_udp(wire) as source:
        thread = threading.Thread(target=lambda: found.append(drawn(source, len(expected))))
        thread.start()
        to = f"udp://127.0.0.1:{source.port}/{wire}"
        begin = time.monotonic()
        assert run_command("send", recording, "--to", to, "--loop", loops, "--json", out) == 0
        seconds = time.monotonic() - begin
        thread.join()
        np.testing.assert_array_equal(found[0], expected)
        document = json.loads(out.read_text())
        assert document["datagrams"] == source.counters["datagrams"]
    assert seconds >= document["seconds"] >= (expected["t"][-1] - expected["t"][0]) / 1e6
    assert document["events"] == len(expected)
    assert document["events_per_second"] == document["events"] / document["seconds"]
    assert document["interrupted"] is False


def test_send_over_tcp_is_a_server(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice on one port, to one client that connects again."""
    expected, found = np.load(recording), []
    port = free_port(socket.SOCK_STREAM)
    with open_source(f"tcp://127.0.0.1:{port}") as source:
        thread = threading.Thread(target=lambda: found.append(drawn(source, 4000)))
        thread.start()
        for _ in range(2):
            to = f"tcp://127.0.0.1:{port}"
            assert run_command("send", recording, "--to", to, "--pace", 0, "--json", "-") == 0
            printed = capsys.readouterr()
            assert json.loads(printed.out)["events"] == 2000
            assert printed.err == f"Waiting for a client on port {port}\n"
        thread.join()
        assert source.counters["connections"] == 2
        assert source.counters["unordered_packets"] == 1
    np.testing.assert_array_equal(found[0], joined([expected, expected]))


def test_send_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    np.save(path, make_events([0, 10, 2000, 10**9], [1] * 4, [1] * 4, [1] * 4))
    with open_udp() as source:
        sending = subprocess.Popen(
            [Path(sys.executable).with_name("eventsim"), "send", path,
             "--to", f"udp://127.0.0.1:{source.port}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert len(drawn(source, 3)) == 3
        sending.send_signal(signal.SIGINT)
        out, err = sending.communicate(timeout=PATIENCE_S)
    assert (sending.returncode, err) == (0, "")
    # The last one may have come here before the sender has counted it.
    pattern = r"(2 events in 1|3 events in 2) datagrams in .* events/s \(interrupted\)\n"
    assert re.fullmatch(pattern, out)


def test_send_to_a_client_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    t = np.arange(0, 2_000_000)
    np.save(path, make_events(t, t % 9, t % 9, t % 2))
    port = free_port(socket.SOCK_STREAM)

    def leave() -> None:
        with open_source(f"tcp://127.0.0.1:{port}") as source:
            drawn(source, 1)

    thread = threading.Thread(target=leave)
    thread.start()
    ending = run_command("send", path, "--to", f"tcp://127.0.0.1:{port}", "--pace", 0)
    thread.join()
    assert str(ending).startswith(f"eventsim: tcp://127.0.0.1:{port}: cannot be sent to after ")


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("udp://127.0.0.1:0", "port is 0, expected 1 to 65535"),
        ("file.bin", "this is no address, expected udp://HOST:PORT"),
        ("tcp://203.0.113.1:9", "cannot be bound, Cannot assign requested address"),
        (f"udp://127.0.0.1:9/{T32}", f"event 1: y is 40000, expected 0 to 32767 in {T32}"),
    ],
)
def test_send_says_what_is_wrong(to: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "high.npy"
    np.save(path, make_events([1, 2000], [0, 0], [0, 40000], [1, 1]))
    assert sentence in str(run_command("send", path, "--to", to))
    cut = tmp_path / "cut.npy"
    cut.write_bytes(path.read_bytes()[:-1])
    assert "cut.npy: " in str(run_command("send", cut, "--to", "udp://127.0.0.1:9"))


def test_send_reads_every_format(tmp_path: Path) -> None:
    for name, contents in WHOLE.items():
        (tmp_path / name).write_bytes(contents)
        with open_udp() as source:
            to = f"udp://127.0.0.1:{source.port}"
            assert run_command("send", tmp_path / name, "--to", to, "--pace", 0) == 0
            np.testing.assert_array_equal(
                drawn(source, len(EVENTS)), joined(read_packets(tmp_path / name))
            )
