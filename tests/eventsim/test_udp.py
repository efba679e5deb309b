"""UDP over real sockets: the wire formats, the 32-bit clock, malformed datagrams."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import faery
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from live_sources import drawn, drawn_until, joined, open_udp, post, random_events
from patience import PATIENCE_S, wait_until
from recording_files import EVENTS

from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.live.sources import UdpSource, open_source
from eventsim.live.udp import DATAGRAM_BYTES, RECORD_BYTES, T32, T64, datagrams, encode


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
    clock = [7, 2**32 - 10, 2**32 - 1, 3, 2**31 + 1, 2, 2**32 - 5, 4]
    expected = [7, 2**32 - 10, 2**32 - 1, 2**32 + 3, 2**32 + 2**31 + 1, 2**32 + 2]
    expected += [2**32 - 5, 2**32 + 4]  # late, from before the turn, and on
    events = make_events(clock, [1] * 8, [2] * 8, [1] * 8)
    with open_udp(T32) as source:
        post(source, [encode(part, T32) for part in np.split(events, cut)])
        assert drawn(source, 8)["t"].tolist() == expected
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


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[UdpSource]:
    """A source whose receive buffer holds a few datagrams, where the system tells its drops."""
    monkeypatch.setattr("eventsim.live.udp.SOCKET_BUFFER", 4096)
    with open_udp() as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.getsockopt(socket.SOL_SOCKET, 55, 36)  # as udp.py does, but not by its constants
        except OSError:
            pytest.skip("this system does not tell what it drops")
        yield source


def accounted(counts: dict[str, int]) -> int:
    return counts["datagrams"] + counts["system_drops"]


def test_what_the_system_drops_is_counted(small: UdpSource) -> None:
    """Sent are those fetched and those dropped: idle, full, read empty, full again, closed."""
    assert small.counters["system_drops"] == 0
    times = np.arange(300)
    pieces = [make_events([t], [1], [2], [1]).tobytes() for t in times]
    for turn in (1, 2, 3):
        post(small, [b"malformed", *pieces])
        before = small.counters
        found = drawn_until(small, lambda _, sent=301 * turn: accounted(small.counters) == sent)
        counts = small.counters
        assert accounted(counts) == 301 * turn
        assert counts["datagrams"] - before["datagrams"] == len(found) + 1 < 301
        assert counts["malformed_datagrams"] == turn
        # Nobody has read meanwhile, so those that came last are dropped.
        np.testing.assert_array_equal(found["t"], times[: len(found)])
    post(small, pieces)
    before = small.counters
    assert before["system_drops"] > counts["system_drops"]
    small.close()
    assert small.counters["system_drops"] >= before["system_drops"]


def test_drops_while_a_source_is_read(small: UdpSource) -> None:
    """By a consumer too slow for what comes, with malformed datagrams in between."""
    hundreds = threading.Semaphore(0)

    def consume() -> None:
        for _ in small:
            hundreds.acquire(timeout=PATIENCE_S)  # more come meanwhile than there is room for

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        pieces = [b"bad" if number % 3 == 0 else b"\0" * 13 for number in range(6000)]
        for first in range(0, 6000, 100):
            post(small, pieces[first : first + 100])
            hundreds.release()
        hundreds.release(6000)
        wait_until(lambda: accounted(small.counters) == 6000, "some are neither read nor dropped")
        counts = small.counters
    finally:
        small.close()
        thread.join()
    assert min(counts["received"], counts["malformed_datagrams"], counts["system_drops"]) > 0
    assert accounted(small.counters) == 6000


@pytest.mark.parametrize("answer", [None, b"", bytes(32)], ids=["refused", "empty", "short"])
def test_a_system_that_does_not_tell_what_it_drops(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*asked: int) -> bytes:
        if answer is None:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        return answer

    with open_udp() as source:
        monkeypatch.setattr(socket.socket, "getsockopt", told)
        post(source, [EVENTS.tobytes()])
        assert len(drawn(source, len(EVENTS))) == len(EVENTS)
        assert "system_drops" not in source.counters
        monkeypatch.undo()
        monkeypatch.setattr("sys.platform", "darwin")  # where the option may be another one
        assert "system_drops" not in source.counters
