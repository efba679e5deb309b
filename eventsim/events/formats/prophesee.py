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
from ..arrays import Events, Sensor
from ..clocks import TurningClock
from ..faults import TIMELESS, UNDEFINED, Faults
from .format import Asked, Contents, Format
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

_EVT2_WORDS = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_EVT21_WORDS = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_EVT3_WORDS = (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF)


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
    x_bits, y_bits, on_bits = bits
    clock = TurningClock(32)
    for first, records in read_records(path, body, asked, "<u4", 2):
        t, address = records.T
        x = address & ((1 << x_bits) - 1)
        y = address >> x_bits & ((1 << y_bits) - 1)
        on = address >> (x_bits + y_bits) & ((1 << on_bits) - 1)
        yield asked.faults.make(clock.unwrap(t) + t0, x, y, on, first=first)


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
    clock = _Highs(28)
    for first, records in read_records(path, body, asked, "<u4"):
        words = records.ravel()
        kind = words >> 28
        _check_defined(asked.faults, kind, _EVT2_WORDS, "EVT 2.0", first)
        highs = clock.held(kind == 0x8, words[kind == 0x8] & 0xFFFFFFF)
        word = np.flatnonzero(kind <= 0x1)
        word = _after_state(asked.faults, highs, word, first, "TIME_HIGH, so it has no time")
        event = words[word]
        yield asked.faults.make(
            (highs[word] << 6) + (event >> 22 & 63) + t0,
            event >> 11 & 0x7FF,
            event & 0x7FF,
            kind[word],
        )


def _evt21_packets(path: Path, body: int, asked: Asked, t0: int) -> Iterator[Events]:
    """Decode 64-bit words: a time, or up to 32 neighbours in a row that sent events at once."""
    clock = _Highs(28)
    for first, records in read_records(path, body, asked, "<u8"):
        words = records.ravel()
        kind = words >> 60
        _check_defined(asked.faults, kind, _EVT21_WORDS, "EVT 2.1", first)
        highs = clock.held(kind == 0x8, words[kind == 0x8] >> 32 & 0xFFFFFFF)
        vectors = np.flatnonzero(kind <= 0x1)
        vectors = _after_state(asked.faults, highs, vectors, first, "TIME_HIGH, so it has no time")
        row, pixel = np.nonzero(words[vectors, None] >> np.arange(32, dtype="u8") & np.uint64(1))
        word = vectors[row]
        event = words[word]
        yield asked.faults.make(
            (highs[word] << 6) + (event >> 54 & 63).astype(np.int64) + t0,
            (event >> 43 & 0x7FF).astype(np.int64) + pixel,
            event >> 32 & 0x7FF,
            kind[word],
        )


def _evt3_packets(path: Path, body: int, asked: Asked, t0: int) -> Iterator[Events]:
    return evt3_events(read_records(path, body, asked, "<u2"), asked, t0)


def evt3_events(
    blocks: Iterable[tuple[int, NDArray[Any]]], asked: Asked, t0: int
) -> Iterator[Events]:
    """Decode 16-bit words that each change part of a state (y, time, base x) or emit events.

    A block is some words and the number of the first; also called by `rosbag.py`.
    """
    clock = _Evt3Clock()
    y, x, on = _NONE, 0, _NONE  # the row; the next pixel of a vector, and its polarity
    for first, records in blocks:
        words = records.ravel().astype(np.int64)
        kind, value = words >> 12, words & 0xFFF
        _check_defined(asked.faults, kind, _EVT3_WORDS, "EVT 3.0", first)

        is_base, is_vector = kind == 0x3, (kind == 0x4) | (kind == 0x5)
        width = np.where(kind == 0x4, 12, 8) * is_vector
        passed = np.cumsum(width) - width  # pixels that vectors have covered before each word
        bases = _held(is_base, (value & 0x7FF) - passed, x) + passed
        polarities = _held(is_base, value >> 11, on)
        ys = _held(kind == 0x0, value & 0x7FF, y)
        times = clock.times(kind, value)
        y, x, on = ys[-1], bases[-1] + width[-1], polarities[-1]

        # One row an event: the word that it comes from, and its x.
        vectors = np.flatnonzero(is_vector)
        valid = value[vectors, None] >> np.arange(12) & (np.arange(12) < width[vectors, None])
        row, pixel = np.nonzero(valid & 1)
        singles = np.flatnonzero(kind == 0x2)
        word = np.concatenate([singles, vectors[row]])
        columns = np.concatenate([value[singles] & 0x7FF, bases[vectors[row]] + pixel])
        order = np.argsort(word, kind="stable")
        word, columns = word[order], columns[order]

        bases_of = np.where(kind == 0x2, 0, polarities)  # a single event has its own x
        for state, what in (
            (ys, "ADDR_Y, so it has no y"),
            (bases_of, "VECT_BASE_X, so it has no x"),
            (times, "TIME_HIGH, so it has no time"),
        ):
            if len(known := _after_state(asked.faults, state, word, first, what)) < len(word):
                columns = columns[state[word] != _NONE]
                word = known
        signs = np.where(kind[word] == 0x2, value[word] >> 11, polarities[word])
        yield asked.faults.make(times[word] + t0, columns, ys[word], signs)


class _Highs:
    """The high part of the time at each word: that of the latest TIME_HIGH, which turns over."""

    def __init__(self, bits: int) -> None:
        self.clock, self.last = TurningClock(bits), _NONE

    def held(self, is_high: NDArray[np.bool_], found: NDArray[Any]) -> NDArray[np.int64]:
        """Return it at each word, `_NONE` before the first; `found` at those that say it."""
        highs = np.empty(len(is_high), np.int64)
        highs[is_high] = self.clock.unwrap(found)
        highs = _held(is_high, highs, self.last)
        self.last = highs[-1]
        return highs


class _Evt3Clock:
    """The time of an EVT 3.0 file: a high half that turns over, and a low half."""

    def __init__(self) -> None:
        self.highs, self.low = _Highs(12), 0

    def times(self, kind: NDArray[np.int64], value: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the time at each word in microseconds, `_NONE` before the first TIME_HIGH."""
        before, is_high = self.highs.last, kind == 0x8
        high = self.highs.held(is_high, value[is_high])
        changes = np.diff(high, prepend=before) != 0
        # A new TIME_HIGH makes the low half 0 until the next TIME_LOW; keeping the old one, as
        # expelliarmus does, puts the events in between up to 4095 us too late.
        is_low = kind == 0x6
        low = _held(is_low | changes, np.where(is_low, value, 0), self.low)
        self.low = low[-1]
        return np.where(high == _NONE, _NONE, (high << 12) + low)


_NONE = -1  # where no word has said a value yet


def _held(flags: NDArray[np.bool_], values: NDArray[Any], before: int) -> NDArray[np.int64]:
    """Return at each word the value of the latest flagged word; `before` where none was."""
    latest = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))
    held: NDArray[np.int64] = np.where(latest < 0, before, values[latest])
    return held


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


def _check_defined(
    faults: Faults, kind: NDArray[Any], defined: tuple[int, ...], name: str, first: int
) -> None:
    bad = ~np.isin(kind, defined)
    if bad.any():
        word = int(np.argmax(bad))
        types = " ".join(f"{one:x}" for one in defined)
        faults.found(
            UNDEFINED, bad.sum(),
            f"word {first + word}: type is {kind[word]:x}, expected {types} ({name})",
        )  # fmt: skip


def _after_state(
    faults: Faults, state: NDArray[np.int64], word: NDArray[np.int64], first: int, what: str
) -> NDArray[np.int64]:
    """Return the words of events at which a state is known."""
    bad = state[word] == _NONE
    if not bad.any():
        return word
    sentence = f"word {first + word[np.argmax(bad)]}: an event before the first {what}"
    faults.found(TIMELESS, bad.sum(), sentence)
    return word[~bad]


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
