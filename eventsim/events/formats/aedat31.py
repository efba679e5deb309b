"""AEDAT 3.1 (cAER): packets of records after lines of comment -> packets of events and the sensor.

In: a path, from `registry.py`. Packets hold records of one type of one source, a camera that the
comment names; those of polarity events are read, and in them the records that are marked as valid.
DVS128 Gesture is published in this format.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..faults import HALF, Faults
from .format import Asked, Contents, Format, choose_stream

POLARITY = 1
_HEAD = struct.Struct("<HHIIIIII")  # of a packet
_END = b"#!END-HEADER\r\n"
_SENSORS = {
    "DVS128": Sensor(128, 128),
    "DAVIS128": Sensor(128, 128),
    "DAVIS208": Sensor(208, 192),
    "DAVIS240": Sensor(240, 180),
    "DAVIS346": Sensor(346, 260),
    "DAVIS640": Sensor(640, 480),
    "DVXPLORER": Sensor(640, 480),
}


class _Packet(NamedTuple):
    """Where the records of a packet are."""

    source: int
    start: int  # in bytes
    number: int
    turns: int  # of the 31-bit clock


def _decode(path: Path, asked: Asked) -> Contents:
    with path.open("rb") as file:
        header = file.read(1 << 16)
        end = header.find(_END)
        if end < 0:
            raise RecordingError(f"cut short in its header, expected a line {_END.strip()!r}")
        stated = header[:end].decode("latin-1")
        if (found := re.search(r"^#Format: *(\S+)", stated, re.MULTILINE)) and found[1] != "RAW":
            raise RecordingError(f"the header states the format {found[1]}, expected RAW")
        sources = sorted({packet.source for packet in _walk(file, end + len(_END), Faults("drop"))})
    names = dict(re.findall(r"^#Source (\d+): *(\S+)", stated, re.MULTILINE))
    if not sources:
        sources = sorted(int(number) for number in names) or [0]
    labels = [names.get(str(source), f"source {source}") for source in sources]
    at = choose_stream(range(len(sources)), asked.stream) if len(sources) > 1 else 0
    known = [size for name, size in _SENSORS.items() if labels[at].upper().startswith(name)]
    packets = _packets(path, end + len(_END), asked, sources[at])
    return Contents(packets, known[0] if known else None, {"camera": f"{labels[at]} (stated)"})


def _walk(file: BinaryIO, at: int, faults: Faults) -> Iterator[_Packet]:
    """Yield where the packets of polarity events are."""
    size = file.seek(0, 2)
    number = 0
    while at < size:
        file.seek(at)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            sentence = f"cut short: packet {number} has {len(head)} bytes, expected 28"
            return faults.found(HALF, 1, sentence)
        kind, source, each, _, turns, _, count, _ = _HEAD.unpack(head)
        end = at + _HEAD.size + each * count
        if end > size:
            faults.found(
                HALF, 1,
                f"cut short: packet {number} ends at byte {size}, expected {count} records of "
                f"{each} bytes up to byte {end}",
            )  # fmt: skip
            count = (size - at - _HEAD.size) // max(each, 1)
        if kind == POLARITY:
            if each != 8:
                raise RecordingError(f"packet {number}: records have {each} bytes, expected 8")
            yield _Packet(source, at + _HEAD.size, count, turns)
        at, number = end, number + 1


def _packets(path: Path, start: int, asked: Asked, source: int) -> Iterator[Events]:
    first = 0
    with path.open("rb") as file:
        for packet in _walk(file, start, asked.faults):
            if packet.source != source:
                continue
            for before in range(0, packet.number, asked.size):
                some = min(asked.size, packet.number - before)
                file.seek(packet.start + 8 * before)
                records = np.frombuffer(file.read(8 * some), "<u4").reshape(-1, 2)
                data, t = records[records[:, 0] & 1 == 1].T
                yield asked.faults.make(
                    t.astype("i8") + (packet.turns << 31),
                    data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1, first=first,
                )  # fmt: skip
                first += len(data)


AEDAT31 = Format("AEDAT 3.1", (), b"#!AER-DAT3.1", _decode)
