"""AEDAT 4.0 (iniVation): a file -> packets of events and the stated sensor.

In: a path, from `registry.py`. Out: the events of one event stream, in the file's own packets.

faery decodes the packets, which are compressed flatbuffers. What it takes on trust is checked here
first: its version 0.7.1 brings the whole process down over a byte in the header that is no UTF-8,
allocates as many bytes as a packet says that it has, 4 GB for a wrong bit, and in place of times
that run backwards it repeats the last time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..faults import UNCLOSED, Faults
from .format import Asked, Contents, Format, choose_stream, decoding_by

_HEADER = 18  # bytes before the header: the magic line, and the size of the header
_PACKET = struct.Struct("<iI")  # before each packet: the stream, and how many bytes follow


class _Whole(NamedTuple):
    """How many packets are whole, of all streams, and what is wrong behind them; "" for nothing."""

    packets: int
    fault: str


def _decode(path: Path, asked: Asked) -> Contents:
    """Decode one of the event streams; the packets are the file's own."""
    with decoding_by("faery"):
        import faery  # takes as long as all else that reading needs

        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as raw:
            whole = _whole_packets(raw, _check_header(raw))
        if whole.fault and not asked.faults.drops:
            raise RecordingError(whole.fault)
        with faery.aedat.Decoder(path) as decoder:
            tracks = [track for track in decoder.tracks() if track.data_type == "events"]
            if not tracks:
                raise RecordingError("the file holds 0 event streams, expected 1 or more")
            at = choose_stream(range(len(tracks)), asked.stream)
            track = tracks[at]
        facts = {"stream": f"{at} of {len(tracks)}"} if len(tracks) > 1 else {}
        packets = _packets(path, track.id, whole, asked.faults)
        return Contents(packets, Sensor(*track.dimensions), facts)


def _packets(path: Path, track_id: int, whole: _Whole, faults: Faults) -> Iterator[Events]:
    """Yield the packets of a stream, up to an end that may be dropped."""
    try:
        yield from _decoded(path, track_id, whole)
    except RecordingError as error:
        faults.found(UNCLOSED, 1, str(error))


def _decoded(path: Path, track_id: int, whole: _Whole) -> Iterator[Events]:
    """Yield the packets of a stream, each compared with the table at the end of the file."""
    import faery

    with decoding_by("faery"), faery.aedat.Decoder(path) as decoder:
        table = [row for row in decoder.file_data_definitions() if row.track_id == track_id]
        count = 0
        for track, packet in islice(decoder, whole.packets):
            if track.id != track_id:
                continue
            if count < len(table):
                _check_packet(count, table[count], packet)
            count += 1
            yield packet
    if whole.fault:
        raise RecordingError(whole.fault)
    if table and len(table) != count:
        raise RecordingError(
            f"the file holds {count} packets of events, expected {len(table)} (its table)"
        )


def _whole_packets(raw: mmap, end: int) -> _Whole:
    """Count the packets up to the table or the end of the file; nothing of them is decoded."""
    at, packets = _packets_begin(raw), 0
    while at != end:
        left = end - at - _PACKET.size
        size = _PACKET.unpack_from(raw, at)[1] if left >= 0 else 0
        if left < size:
            place = "the end of the file" if end == len(raw) else "the table of packets"
            return _Whole(
                packets,
                f"cut short or damaged: packet {packets} at byte {at} has {size} bytes, expected "
                f"at most {max(left, 0)} up to {place}",
            )
        at, packets = at + _PACKET.size + size, packets + 1
    return _Whole(packets, "")


def _packets_begin(raw: mmap) -> int:
    (size,) = struct.unpack_from("<I", raw, _HEADER - 4)
    return _HEADER + int(size)


def _check_header(raw: mmap) -> int:
    """Return where the packets end: at the table of them, or with a file that was not closed.

    Refuses a header that is no flatbuffer with XML in it, and a file that ends before its table.

    The header is a flatbuffer: an offset to a table, which begins with the distance to its vtable,
    which holds from byte 4 on where in the table each field is: the compression, the position of
    the table of packets (negative or left out where the recording was broken off), and the
    description, a string of XML.
    """
    try:
        table = _HEADER + struct.unpack_from("<I", raw, _HEADER)[0]
        vtable = table - struct.unpack_from("<i", raw, table)[0]
        size, _, *places = struct.unpack_from("<5H", raw, vtable)
        _, position_at, description_at = places
        at = table + description_at
        at += struct.unpack_from("<I", raw, at)[0]
        length = struct.unpack_from("<I", raw, at)[0]
        position = struct.unpack_from("<q", raw, table + position_at)[0] if position_at else -1
        end = _packets_begin(raw)
        fields_end = table + 8 + max(places)
        if size < 10 or vtable < _HEADER or max(at + 4 + length, fields_end) > min(end, len(raw)):
            raise struct.error("a part lies outside the header")
        ElementTree.fromstring(raw[at + 4 : at + 4 + length].decode("utf-8"))
    except struct.error as error:
        raise RecordingError(
            f"cut short or damaged in its header: the file has {len(raw)} bytes, "
            f"expected an AEDAT 4.0 description"
        ) from error
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise RecordingError(f"the description in the header is damaged: {error}") from error
    if position >= len(raw):
        raise RecordingError(
            f"cut short: the file has {len(raw)} bytes, "
            f"expected its table of packets at byte {position}"
        )
    return len(raw) if position < 0 else position


def _check_packet(number: int, row: Any, packet: Events) -> None:
    """Compare a packet with its row in the table."""
    if len(packet) != row.elements_count:
        raise RecordingError(
            f"packet {number} holds {len(packet)} events, "
            f"expected {row.elements_count} (the file's table)"
        )
    first, last = packet["t"][[0, -1]] if len(packet) else (row.start_t, row.end_t)
    if (first, last) != (row.start_t, row.end_t):
        raise RecordingError(
            f"packet {number}: t is decoded as {first} to {last} us, expected {row.start_t} to "
            f"{row.end_t} (the file's table); time runs backwards or the file is damaged"
        )


AEDAT4 = Format("AEDAT4", (".aedat4",), b"#!AER-DAT4.0\r\n", _decode)
