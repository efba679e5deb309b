"""Prophesee's file formats: a DAT or EVT (.raw) file -> packets of events and the stated sensor.

In: a path, from `registry.py`. Out: the events as they stand in the file, backward time included,
which `check_events` then refuses or sorts. A packet is made of a number of records; what a record
needs of those before it (clocks that turned over, the row, the base of a vector) is carried from
packet to packet.

The layouts are those of docs.prophesee.ai, "Data encoding formats". They are decoded here because
the libraries alter events in silence: where time runs backwards faery 0.7.1 repeats the last time
and expelliarmus 1.1.12 adds a turn of the clock; faery's EVT3 also loses the turn of the 24-bit
clock (16.8 s) and moves or drops vector events at the border. The tests compare with both wherever
they are right.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ...jit import Compiled, Int64s
from ..arrays import EVENT_DTYPE, Events, Sensor
from ..faults import TIMELESS, UNDEFINED, VALUES, Faults
from ..units import LIMIT_US
from .fields import FIELDS
from .format import Asked, Contents, Format
from .prophesee_words import (
    MOST_OF_WORD,
    NO_COLUMN,
    NO_ROW,
    NO_TIME,
    UNDEFINED_TYPE,
    WILD_COLUMN,
    WILD_ON,
    decode_dat,
    decode_evt2,
    decode_evt3,
    new_state,
    nothing_found,
)
from .records import read_records

Known = TypeVar("Known")

# Bits of x, y and polarity in the second word of a DAT record, by version.
_DAT_BITS = {"1": (9, 8, 1), "2": (14, 14, 4)}
# Types and size of the records: "2d" (before 2018) and "cd" hold the same.
_DAT_RECORDS = {b"\x00\x08": "2d", b"\x0c\x08": "cd"}

# What the cameras of old headers, without a geometry, are: `system_ID` -> width and height. The
# numbers are those of Prophesee's OpenEB (enum SystemId, and the geometries in its reader).
_VGA = (0x15, 0x17, 0x19, 0x1C, 0x1D, 0x21, 0x22, 0x23, 0x28, 0x29, 0x97, 0x99, 0xA1, 0xA2)
_HD = (0x1A, 0x1E, 0x1F, 0x27, 0x2E, 0x30)
_OF_SYSTEM = dict.fromkeys(_VGA, (640, 480)) | dict.fromkeys(_HD, (1280, 720))
_EVT3_SYSTEMS = (0x28, 0x1E, 0x2E, 0x30)  # those of the others wrote EVT 2.0
_SYSTEM = re.compile(r"^% *system_ID +(\d+)\s*$", re.MULTILINE | re.IGNORECASE)


def _decode_dat(path: Path, asked: Asked) -> Contents:
    """Decode a DAT file, version 1 or 2, of type "cd" or "2d"; `asked.size` events a packet."""
    with path.open("rb") as file:
        header = read_header(file)
        kind = file.read(2)
        # Records of type "cd" are those of version 2, with which they came.
        is_stated = re.search(r"^% *Version ", header, re.MULTILINE | re.IGNORECASE)
        header += "% Version 2\n" if kind == b"\x0c\x08" and not is_stated else ""
        bits = _stated_version(header, r"^% *Version +(\S+)", _DAT_BITS)
        if kind not in _DAT_RECORDS:
            raise RecordingError(
                f"type and size of the records are {kind.hex(' ') or 'missing'} after the header, "
                f"expected 00 08 (2d) or 0c 08 (cd)"
            )
        body = file.tell()
    packets = _dat_packets(path, body, asked, bits, _stated_t0(header))
    return Contents(packets, _stated_sensor(header))


def _dat_packets(
    path: Path, body: int, asked: Asked, bits: tuple[int, int, int], t0: int
) -> Iterator[Events]:
    blocks = read_records(path, body, asked, "<u4", 2)
    return _decoded(decode_dat, "", blocks, asked, t0, *bits)


def _decode_evt(path: Path, asked: Asked) -> Contents:
    """Decode an EVT 2.0, 2.1 or 3.0 file, little-endian; `asked.size` words a packet."""
    with path.open("rb") as file:
        header = read_header(file)
        body = file.tell()
    decoders = {"2.0": _evt2_packets, "2.1": _evt21_packets, "3.0": _evt3_packets}
    facts = {}
    if not re.search(_EVT_VERSION, header, re.MULTILINE | re.IGNORECASE):
        header += _version_of_system(header)
        facts = {"version": "that of the camera which system_ID names"}
    decode = _stated_version(header, _EVT_VERSION, decoders)
    if swapped := re.search(r"^% .*endianness[ =](big|legacy)", header, re.MULTILINE):
        raise RecordingError(f"the header states endianness {swapped[1]}, expected little")
    packets = decode(path, body, asked, _stated_t0(header))
    return Contents(packets, _stated_sensor(header), facts)


_EVT_VERSION = r"^% (?:evt |format EVT)([\w.]+)"


def _version_of_system(header: str) -> str:
    """Return the line that old headers lack, of the camera that `system_ID` names."""
    system = _SYSTEM.search(header)
    if system is None or int(system[1]) not in _OF_SYSTEM:
        return ""
    return f"% evt {'3.0' if int(system[1]) in _EVT3_SYSTEMS else '2.0'}\n"


def _evt2_packets(path: Path, body: int, asked: Asked, t0: int) -> Iterator[Events]:
    blocks = read_records(path, body, asked, "<u4")
    return _decoded(decode_evt2, "0 1 8 a e f (EVT 2.0)", blocks, asked, t0)


def _evt21_packets(path: Path, body: int, asked: Asked, t0: int) -> Iterator[Events]:
    blocks = read_records(path, body, asked, "<i8")
    return _decoded(decode_evt2, "0 1 8 a e f (EVT 2.1)", blocks, asked, t0)


def _evt3_packets(path: Path, body: int, asked: Asked, t0: int) -> Iterator[Events]:
    return evt3_events(read_records(path, body, asked, "<u2"), asked, t0)


def evt3_events(
    blocks: Iterable[tuple[int, NDArray[Any]]], asked: Asked, t0: int
) -> Iterator[Events]:
    """Decode words of EVT 3.0; a block is some of them and the number of the first.

    Also called by `rosbag.py`.
    """
    return _decoded(decode_evt3, "0 2 3 4 5 6 7 8 a e f (EVT 3.0)", blocks, asked, t0)


def _decoded(
    decode: Compiled, types: str, blocks: Iterable[tuple[int, NDArray[Any]]], asked: Asked,
    t0: int, *bits: int,
) -> Iterator[Events]:  # fmt: skip
    """Yield the events of blocks; `types` are those of words that are defined."""
    state = new_state()
    for first, block in blocks:
        words, at = block.reshape(-1), 0
        while at < len(words):
            found = nothing_found()
            events = np.empty(max(asked.size, MOST_OF_WORD), EVENT_DTYPE)
            at, made = decode(words, at, first, t0, *bits, state, found, events)
            _tell(asked.faults, found, types)
            events.resize(made, refcheck=False)
            if t0 and made and events["t"].max() >= LIMIT_US:
                columns = (events[name] for name in FIELDS)
                events = asked.faults.make(*columns)
            yield events


def _tell(faults: Faults, found: Int64s, types: str) -> None:
    """Refuse, or count, what cannot be used."""
    before = "an event before the first"
    for fault, kind, sentence in (
        (UNDEFINED_TYPE, UNDEFINED, f"word {{0}}: type is {{1:x}}, expected {types}"),
        (NO_ROW, TIMELESS, f"word {{0}}: {before} ADDR_Y, so it has no y"),
        (NO_COLUMN, TIMELESS, f"word {{0}}: {before} VECT_BASE_X, so it has no x"),
        (NO_TIME, TIMELESS, f"word {{0}}: {before} TIME_HIGH, so it has no time"),
        (WILD_COLUMN, VALUES, "word {0}: x is {1}, expected 0 to 65535"),
        (WILD_ON, VALUES, "event {0}: polarity is {1}, expected 0 or 1, or -1 or 1"),
    ):
        count, number, value = found[fault].tolist()
        if count:
            faults.found(kind, count, sentence.format(number, value))


def read_header(file: BinaryIO) -> str:
    """Read text lines that begin with "% ", and leave the file at what follows."""
    header = ""
    while True:
        start = file.tell()
        line = file.readline(4096)
        text = line.decode("latin-1")
        is_line = line.endswith(b"\n") and text[:-1].rstrip("\r").isprintable()
        if not line.startswith(b"% ") or not is_line:
            file.seek(start)  # the data, which may happen to begin like a header line
            return header
        header += text
        if text.strip() == "% end":
            return header


def _stated_version(header: str, pattern: str, known: Mapping[str, Known]) -> Known:
    stated = re.findall(pattern, header, re.MULTILINE | re.IGNORECASE)
    # "EVT3" is 3.0, and "EVT21" 2.1
    found = {known.get(one, known.get(f"{one}.0", known.get(".".join(one)))) for one in stated}
    if len(found) == 1 and (version := found.pop()) is not None:
        return version
    raise RecordingError(
        f"the header states version {' and '.join(stated) or '(none)'}, "
        f"expected {' or '.join(known)}"
    )


def _stated_sensor(header: str) -> Sensor | None:
    """Read "geometry WxH", "format EVT3;height=H;width=W", "Width W" and "Height H".

    Or else "system_ID", which stands for a camera.
    """
    size = {}
    for name, before in (("width", ""), ("height", r"\d+x")):
        pattern = rf"^% *(?:geometry +{before}|{name} +|format .*\b{name}=)(\d+)"
        stated = re.findall(pattern, header, re.MULTILINE | re.IGNORECASE)
        if len(set(stated)) > 1:
            raise RecordingError(f"the header states {name} {' and '.join(stated)}, expected one")
        if stated:
            size[name] = int(stated[0])
    if len(size) == 2:
        return Sensor(**size)
    system = _SYSTEM.search(header)
    found = _OF_SYSTEM.get(int(system[1])) if system else None
    return Sensor(*found) if found else None


def _stated_t0(header: str) -> int:
    """Read "t0 T", with which faery's files say what they took off all times, in microseconds."""
    stated = re.search(r"^% t0 (\d{1,18})\s*$", header, re.MULTILINE | re.IGNORECASE)
    return int(stated[1]) if stated else 0


def _states(pattern: str) -> Callable[[bytes], bool]:
    """Return what tells whether a file's header has a line that begins like this."""

    def is_stated_in(head: bytes) -> bool:
        return bool(re.search(pattern, read_header(io.BytesIO(head)), re.MULTILINE))

    return is_stated_in


EVT = Format(
    "Prophesee RAW (EVT)", (".raw", ".evt"), b"% ", _decode_evt,
    _states(r"^% (evt |format EVT|system_ID|plugin_name)"),
)  # fmt: skip
DAT = Format("Prophesee DAT", (".dat",), b"% ", _decode_dat, _states(r"^% (Data file|Version)"))
