"""ROS 1 and ROS 2 bags: messages of events of one topic -> packets of events and the sensor.

In: a path, from `registry.py`. The package rosbags (the extra `ros`) finds the messages in a bag;
what is in them is decoded here, since making an object of every event takes a hundred times as
long: `EventArray` of dvs_msgs and prophesee_event_msgs, which are alike, and `EventPacket` of
event_camera_msgs with the encodings evt3 and mono.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..arrays import Events, Sensor
from .format import Asked, Contents, Format, choose_stream, decoding_by
from .prophesee import evt3_events

ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = ("event_camera_msgs/msg/EventPacket",)
_ROS1 = np.dtype([("x", "<u2"), ("y", "<u2"), ("sec", "<u4"), ("nsec", "<u4"), ("p", "u1")])


class _Message:
    """The bytes of a message, read from the front; ROS 2 aligns numbers, ROS 1 does not."""

    def __init__(self, raw: Any, is_cdr: bool) -> None:
        self.raw, self.is_cdr = bytes(raw), is_cdr
        if is_cdr and self.raw[1:2] != b"\x01":
            raise RecordingError("a message is big-endian, expected little-endian")
        self.start = self.at = 4 if is_cdr else 0
        if not is_cdr:
            self.at += 4  # the number of the header

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        if self.is_cdr:
            self.at += -(self.at - self.start) % size
        (found,) = struct.unpack_from(f"<{form}", self.raw, self.at)
        self.at += size
        return int(found)

    def text(self) -> str:
        return self.block().rstrip(b"\0").decode()

    def block(self) -> bytes:
        size = self.number("I")
        if self.at + size > len(self.raw):
            raise RecordingError("a message is cut short")
        self.at += size
        return self.raw[self.at - size : self.at]


class _Head(NamedTuple):
    """What every message of events begins with."""

    height: int
    width: int


def _head(message: _Message) -> _Head:
    message.number("I"), message.number("I")  # when it was sent
    message.text()
    return _Head(message.number("I"), message.number("I"))


def _decode(path: Path, asked: Asked) -> Contents:
    with _open(path) as reader:
        found = [one for one in reader.connections if one.msgtype in (*ARRAYS, *PACKETS)]
        topics = sorted({one.topic for one in found})
        if not topics:
            types = sorted({one.msgtype for one in reader.connections})
            raise RecordingError(
                f"the bag holds messages of {', '.join(types) or 'no type'}, expected one of "
                f"{', '.join((*ARRAYS, *PACKETS))}"
            )
        topic = choose_stream(topics, asked.stream)
        first = next(_messages(reader, topic), None)
        sensor = None
        if first is not None:
            head = _head(first[1])
            sensor = Sensor(head.width, head.height) if head.width and head.height else None
    return Contents(_packets(path, topic, asked), sensor, {"topic": topic})


def _packets(path: Path, topic: str, asked: Asked) -> Iterator[Events]:
    with _open(path) as reader:
        messages = _messages(reader, topic)
        first = next(messages, None)
        if first is None:
            return
        kind, message = first

        def every() -> Iterator[_Message]:
            yield message
            yield from (one for _, one in messages)

        yield from (_of_arrays if kind in ARRAYS else _of_packets)(every(), asked)


def _of_arrays(messages: Iterator[_Message], asked: Asked) -> Iterator[Events]:
    for message in messages:
        _head(message)
        count = message.number("I")
        size = (16 * count - 3 if count else 0) if message.is_cdr else 13 * count
        if message.at + size > len(message.raw):
            raise RecordingError(f"a message is cut short, expected {count} events")
        columns = (_of_cdr if message.is_cdr else _of_ros1)(message.raw, message.at, count)
        sec, nsec, x, y, on = columns
        t = sec.astype("i8") * 1_000_000 + (nsec.astype("i8") + 500) // 1000
        yield asked.faults.make(t, x, y, on)


def _of_ros1(raw: bytes, at: int, count: int) -> tuple[NDArray[Any], ...]:
    rows = np.frombuffer(raw, _ROS1, count, at)
    return tuple(rows[name] for name in ("sec", "nsec", "x", "y", "p"))


def _of_cdr(raw: bytes, at: int, count: int) -> tuple[NDArray[Any], ...]:
    """Read x, y (2 bytes), seconds, nanoseconds (4), polarity (1), each on a multiple of its size.

    So an event takes 16 bytes, but x and y of the first stand two bytes further on than those of
    the others do in theirs.
    """

    if count == 0:
        return (np.empty(0, "u4"),) * 5
    # Padded to whole rows: the last event ends behind its polarity.
    rows = np.frombuffer(raw[at : at + 16 * count].ljust(16 * count, b"\0"), "u1").reshape(-1, 16)

    def column(form: str, offset: int) -> NDArray[Any]:
        size = np.dtype(form).itemsize
        return np.ascontiguousarray(rows[:, offset : offset + size]).view(form).ravel()

    x, y = struct.unpack_from("<HH", raw, at)
    xs = np.append(np.uint16(x), column("<u2", 14)[:-1])
    ys = np.append(np.uint16(y), column("<u2", 0)[1:])
    return column("<u4", 4), column("<u4", 8), xs, ys, column("u1", 12)


def _of_packets(messages: Iterator[_Message], asked: Asked) -> Iterator[Events]:
    """Decode what a camera's driver passed on as it came."""
    kinds: set[str] = set()

    def blocks() -> Iterator[tuple[int, bytes]]:
        for message in messages:
            _head(message)
            message.number("Q")
            base = message.number("Q")
            encoding, big = message.text(), message.number("B")
            kinds.add(encoding)
            if encoding not in ("evt3", "mono") or big or len(kinds) > 1:
                raise RecordingError(
                    f"a message has the encoding {encoding}{' (big-endian)' if big else ''}, "
                    f"expected evt3 or mono, the same in all"
                )
            yield base, message.block()

    given = blocks()
    first = next(given)

    def every() -> Iterator[tuple[int, bytes]]:
        yield first
        yield from given

    if "evt3" in kinds:
        yield from evt3_events(_words(every()), asked, 0)
        return
    for base, block in every():
        word = np.frombuffer(block, "<u8", len(block) // 8)
        t = (np.uint64(base) + (word & np.uint64(0xFFFFFFFF)) + np.uint64(500)) // np.uint64(1000)
        yield asked.faults.make(t, word >> 32 & 0xFFFF, word >> 48 & 0x7FFF, word >> 63)


def _words(blocks: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, NDArray[Any]]]:
    first = 0
    for _, block in blocks:
        words = np.frombuffer(block, "<u2", len(block) // 2)
        if len(words):
            yield first, words.copy()  # that can be written to, as those of files can
        first += len(words)


def _messages(reader: Any, topic: str) -> Iterator[tuple[str, _Message]]:
    chosen = [one for one in reader.connections if one.topic == topic]
    for connection, _, raw in reader.messages(connections=chosen):
        is_cdr = type(reader).__module__.startswith("rosbags.rosbag2")
        yield connection.msgtype, _Message(raw, is_cdr)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        from rosbags import rosbag1, rosbag2
    except ImportError as error:
        raise RecordingError(
            "a ROS bag is read by the package rosbags, which is not installed: pip install "
            "'eventsim-snn[ros]'"
        ) from error
    with path.open("rb") as file:
        is_ros1 = file.read(8) == b"#ROSBAG "
    with decoding_by("rosbags"), (rosbag1 if is_ros1 else rosbag2).Reader(path) as reader:
        yield reader


BAG1 = Format("ROS 1 bag", (".bag",), b"#ROSBAG V2.0", _decode)
MCAP = Format("ROS 2 bag (MCAP)", (".mcap",), b"\x89MCAP0\r\n", _decode)
SQLITE = Format("ROS 2 bag (SQLite)", (".db3",), b"SQLite format 3\0", _decode)
