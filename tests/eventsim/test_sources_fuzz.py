"""Live sources take any bytes: no exception, all is counted, good records come unchanged."""

from __future__ import annotations

import os
import socket
import struct
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_sources import drawn, free_port, joined, open_udp, post, standard_input
from patience import PATIENCE_S

from eventsim.live.sources import open_source
from eventsim.live.udp import T32, T64, RecordStream

Event = tuple[int, int, int, int]
END = {T64: struct.pack("<QHHB", 7, 1, 2, 1), T32: struct.pack("<IHH", 7, 1, 2 << 1 | 1)}

numbers = st.integers(0, 2**16 - 1)


def records(wire: str) -> st.SearchStrategy[bytes]:
    """Draw well-formed records; times go back and forth, up to what their fields hold."""
    if wire == T32:
        record = st.builds(struct.Struct("<IHH").pack, st.integers(0, 2**32 - 1), numbers, numbers)
    else:
        fields = st.integers(0, 2**64 - 1), numbers, numbers, st.integers(0, 1)
        record = st.builds(struct.Struct("<QHHB").pack, *fields)
    return st.lists(record, min_size=1, max_size=6).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn, wire: str) -> bytes:
    """Draw records of which a piece is missing or a byte is flipped, which may leave them good."""
    whole = draw(records(wire))
    begin, end = sorted(draw(st.tuples(*[st.integers(0, len(whole) - 1)] * 2)))
    if draw(st.booleans()):
        return whole[begin:end]
    flipped = bytearray(whole)
    flipped[end] ^= draw(st.integers(1, 255))
    return bytes(flipped)


def sequences(wire: str) -> st.SearchStrategy[list[bytes]]:
    return st.lists(records(wire) | damaged(wire) | st.binary(max_size=40), max_size=24)


def read_t64(records: bytes) -> tuple[list[Event], int]:
    """Read one record after the other; returns the events and how many records were bad."""
    found = [struct.unpack_from("<QHHB", records, begin) for begin in range(0, len(records), 13)]
    good = [record for record in found if record[3] in (0, 1)]
    return good, len(found) - len(good)


def read_datagrams(pieces: list[bytes], wire: str) -> tuple[list[Event], int]:
    """Read one datagram after the other; returns the events and how many datagrams were whole."""
    events: list[Event] = []
    whole, turns, latest = 0, 0, 0
    for piece in pieces:
        if not piece or len(piece) % (13 if wire == T64 else 8):
            continue
        if wire == T64:
            found, bad = read_t64(piece)
            events += found if bad == 0 else []
            whole += bad == 0
            continue
        whole += 1
        for begin in range(0, len(piece), 8):
            t, x, y_on = struct.unpack_from("<IHH", piece, begin)
            turns += latest - t >= 2**31
            turns -= turns > 0 and t - latest >= 2**31  # late, from before the turn
            latest = t
            events.append((t + (turns << 32), x, y_on >> 1, y_on & 1))
    return events, whole


@settings(max_examples=300)
@given(data=st.data(), gathered=st.integers(1, 8))
@pytest.mark.parametrize("wire", [T64, T32])
def test_any_datagrams(wire: str, data: st.DataObject, gathered: int) -> None:
    pieces = [*data.draw(sequences(wire)), END[wire]]
    events, whole = read_datagrams(pieces, wire)
    with pytest.MonkeyPatch.context() as patch, open_udp(wire) as source:
        patch.setattr("eventsim.live.udp.GATHERED", gathered)
        post(source, pieces)
        assert drawn(source, len(events)).tolist() == events
        counts = source.counters
    assert counts["received"] == len(events)
    assert counts["datagrams"] == len(pieces)
    assert counts["malformed_datagrams"] == len(pieces) - whole
    assert counts.get("system_drops", 0) == 0


def test_every_on_byte() -> None:
    pieces = [struct.pack("<QHHB", on, 1, 2, on) for on in range(256)]
    pieces.append(END[T64])
    expected = [(0, 1, 2, 0), (1, 1, 2, 1), (7, 1, 2, 1)]
    with open_udp() as source:
        post(source, pieces)
        assert drawn(source, 3).tolist() == expected
        assert source.counters["malformed_datagrams"] == 254
    counts: dict[str, int] = {}
    assert RecordStream(counts).add(b"".join(pieces)).tolist() == expected
    assert counts["malformed_bytes"] == 13 * 254


def cut(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[begin:end] for begin, end in pairwise([0, *cuts, len(stream)])]


def account(streams: list[bytes]) -> tuple[list[Event], int]:
    """Read connections, each of which begins with a record; returns events and malformed bytes."""
    events: list[Event] = []
    malformed = 0
    for stream in streams:
        rest = len(stream) % 13
        good, bad = read_t64(stream[: len(stream) - rest])
        events += good
        malformed += 13 * bad + rest
    return events, malformed


@settings(max_examples=200)
@given(data=st.data(), streams=st.lists(sequences(T64).map(b"".join), max_size=4))
def test_any_bytes_in_any_pieces(data: st.DataObject, streams: list[bytes]) -> None:
    counts: dict[str, int] = {}
    stream, read = RecordStream(counts), 0
    found: list[Event] = []
    for number, sent in enumerate(streams, 1):
        for piece in cut(data, sent):
            found += stream.add(piece).tolist()
            read += len(piece)
            assert len(stream.rest) < 13
            assert read == 13 * len(found) + counts["malformed_bytes"] + len(stream.rest)
        stream.end()
        assert (found, counts["malformed_bytes"]) == account(streams[:number])


@settings(max_examples=40)
@given(
    data=st.data(),
    streams=st.lists(sequences(T64).map(b"".join), min_size=1, max_size=4),
    read_bytes=st.integers(1, 100),
)
def test_a_server_that_dies_anywhere_and_comes_back(
    data: st.DataObject, streams: list[bytes], read_bytes: int
) -> None:
    pieces = [cut(data, stream) for stream in [*streams, END[T64]]]
    port = free_port(socket.SOCK_STREAM)

    def serve() -> None:
        for connection in pieces:
            with socket.create_server(("127.0.0.1", port)) as server:
                server.settimeout(PATIENCE_S)
                client, _ = server.accept()
            with client:  # nobody listens any more when it ends
                for piece in connection:
                    client.sendall(piece)

    events, malformed = account([*streams, END[T64]])
    thread = threading.Thread(target=serve)
    with pytest.MonkeyPatch.context() as patch, open_source(f"tcp://127.0.0.1:{port}") as source:
        patch.setattr("eventsim.live.sources.READ_BYTES", read_bytes)
        patch.setattr("eventsim.live.sources.RECONNECT_S", 0.001)
        thread.start()
        found = drawn(source, len(events))
    thread.join()
    assert found.tolist() == events
    assert source.counters["malformed_bytes"] == malformed
    assert source.counters["received"] == len(events)
    assert source.counters["connections"] == len(pieces)


@settings(max_examples=100)
@given(stream=sequences(T64).map(b"".join), read_bytes=st.integers(1, 100))
def test_any_standard_input(stream: bytes, read_bytes: int) -> None:
    events, malformed = account([stream])
    with pytest.MonkeyPatch.context() as patch, standard_input(patch) as writing:
        patch.setattr("eventsim.live.sources.READ_BYTES", read_bytes)
        os.write(writing, stream)
        os.close(writing)
        with open_source("-") as source:
            assert joined(source).tolist() == events
    assert source.counters["malformed_bytes"] == malformed
    assert source.counters["received"] == len(events)
