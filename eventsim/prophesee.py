"""Prophesee's file formats: the bytes of a DAT or EVT (.raw) file -> events and the stated sensor.

In: a whole file as bytes, from `recordings.py`. Out: the events as they stand in the file, backward
time included, which `check_events` then refuses or sorts.

The layouts are those of docs.prophesee.ai, "Data encoding formats". They are decoded here because
the libraries alter events in silence: where time runs backwards faery 0.7.1 repeats the last time
and expelliarmus 1.1.12 adds a turn of the clock; faery's EVT3 also loses the turn of the 24-bit
clock (16.8 s) and moves or drops vector events at the border. The tests compare with both wherever
they are right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import RecordingError
from .events import Events, Sensor, make_events, refuse_first

Known = TypeVar("Known")

# Bits of x, y and polarity in the second word of a DAT record, by version.
_DAT_BITS = {"1": (9, 8, 1), "2": (14, 14, 4)}
# Types and size of the records: "2d" (before 2018) and "cd" hold the same.
_DAT_RECORDS = {b"\x00\x08": "2d", b"\x0c\x08": "cd"}

_EVT2_WORDS = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_EVT3_WORDS = (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF)


def decode_dat(raw: bytes) -> tuple[Events, Sensor | None]:
    """Decode a DAT file, version 1 or 2, of type "cd" or "2d"."""
    header, body = split_header(raw)
    x_bits, y_bits, on_bits = _stated_version(header, r"^% *Version +(\S+)", _DAT_BITS)
    kind = body[:2]
    if kind not in _DAT_RECORDS:
        raise RecordingError(
            f"type and size of the records are {kind.hex(' ') or 'missing'} after the header, "
            f"expected 00 08 (2d) or 0c 08 (cd)"
        )
    t, address = split_records(body[2:], "<u4", 2).T
    x = address & ((1 << x_bits) - 1)
    y = address >> x_bits & ((1 << y_bits) - 1)
    on = address >> (x_bits + y_bits) & ((1 << on_bits) - 1)
    refuse_first(on > 1, on, "p", "0 or 1")
    return make_events(_unwrap(t, 32) + _stated_t0(header), x, y, on), _stated_sensor(header)


def decode_evt(raw: bytes) -> tuple[Events, Sensor | None]:
    """Decode an EVT 2.0 or EVT 3.0 file, little-endian."""
    header, body = split_header(raw)
    decoders = {"2.0": _decode_evt2, "3.0": _decode_evt3}
    decode = _stated_version(header, r"^% (?:evt |format EVT)([\w.]+)", decoders)
    if re.search(r"^% endianness big", header, re.MULTILINE):
        raise RecordingError("the header states endianness big, expected little")
    events = decode(body)
    events["t"] += np.uint64(_stated_t0(header))
    return events, _stated_sensor(header)


def _decode_evt2(body: bytes) -> Events:
    words = split_records(body, "<u4").ravel()
    kind = words >> 28
    _refuse_undefined(kind, _EVT2_WORDS, "EVT 2.0")
    high = _unwrap(words[kind == 0x8] & 0xFFFFFFF, 28) << 6
    is_event = kind <= 0x1
    times_before = np.cumsum(kind == 0x8)[is_event]
    _refuse_before(times_before == 0, np.flatnonzero(is_event), "TIME_HIGH, so it has no time")
    event = words[is_event]
    return make_events(
        high[times_before - 1] + (event >> 22 & 63),
        event >> 11 & 0x7FF,
        event & 0x7FF,
        kind[is_event],
    )


def _decode_evt3(body: bytes) -> Events:
    """Decode 16-bit words that each change part of a state (y, time, base x) or emit events."""
    words = split_records(body, "<u2").ravel().astype(np.int64)
    kind, value = words >> 12, words & 0xFFF
    _refuse_undefined(kind, _EVT3_WORDS, "EVT 3.0")

    # One row an event: the word that it comes from, and its x.
    is_vector = (kind == 0x4) | (kind == 0x5)
    vectors = np.flatnonzero(is_vector)
    width = np.where(kind == 0x4, 12, 8) * is_vector
    base_at = _latest(kind == 0x3)
    passed = np.cumsum(width) - width  # pixels that vectors have covered before each word
    base = (value & 0x7FF)[base_at] + passed - passed[base_at]
    valid = value[vectors, None] >> np.arange(12) & (np.arange(12) < width[vectors, None])
    row, pixel = np.nonzero(valid & 1)
    singles = np.flatnonzero(kind == 0x2)
    word = np.concatenate([singles, vectors[row]])
    x = np.concatenate([value[singles] & 0x7FF, base[vectors[row]] + pixel])
    order = np.argsort(word, kind="stable")
    word, x = word[order], x[order]

    y_at = _latest(kind == 0x0)[word]
    polarity_at = np.where(kind[word] == 0x2, word, base_at[word])
    _refuse_before(y_at < 0, word, "ADDR_Y, so it has no y")
    _refuse_before(polarity_at < 0, word, "VECT_BASE_X, so it has no x")
    t = _evt3_times(kind, value)[word]
    _refuse_before(t < 0, word, "TIME_HIGH, so it has no time")
    return make_events(t, x, value[y_at] & 0x7FF, value[polarity_at] >> 11)


def _evt3_times(kind: NDArray[np.int64], value: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the time at each word in microseconds, -1 before the first TIME_HIGH."""
    is_high = kind == 0x8
    high = _unwrap(value[is_high], 12)
    changes = np.zeros(len(kind), bool)
    changes[is_high] = np.diff(high, prepend=-1) != 0
    # A new TIME_HIGH makes the low half 0 until the next TIME_LOW; keeping the old one, as
    # expelliarmus does, puts the events in between up to 4095 us too late.
    low_at = _latest(kind == 0x6)
    low = np.where(low_at > _latest(changes), value[low_at], 0)
    high_so_far = np.concatenate([[-1], high])[np.cumsum(is_high)]
    return np.where(high_so_far < 0, -1, (high_so_far << 12) + low)


def _latest(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each word the index of the latest flagged one up to it, -1 where none is."""
    latest: NDArray[np.int64] = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))
    return latest


def _unwrap(counter: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Continue a counter that turns over: it fell by half its range or more."""
    count: NDArray[np.int64] = counter.astype(np.int64)
    turned = np.diff(count, prepend=count[:1]) <= -(1 << (bits - 1))
    count += np.cumsum(turned) << bits
    return count


def split_records(raw: bytes, dtype: str, width: int = 1) -> NDArray[Any]:
    """Return records of `width` numbers as rows, or refuse a last one that is cut short."""
    size = np.dtype(dtype).itemsize * width
    whole, rest = divmod(len(raw), size)
    if rest:
        raise RecordingError(f"cut short: record {whole} has {rest} bytes, expected {size}")
    return np.frombuffer(raw, dtype).reshape(-1, width)


def split_header(raw: bytes) -> tuple[str, bytes]:
    """Split a file into its header, text lines that begin with "% ", and what follows."""
    end = 0
    while raw.startswith(b"% ", end):
        line, newline, _ = raw[end : end + 4096].partition(b"\n")
        if not newline or not line.decode("latin-1").rstrip("\r").isprintable():
            break  # data that happens to begin like a header line
        end += len(line) + 1
        if line.strip() == b"% end":
            break
    return raw[:end].decode("latin-1"), raw[end:]


def _stated_version(header: str, pattern: str, known: Mapping[str, Known]) -> Known:
    stated = re.findall(pattern, header, re.MULTILINE | re.IGNORECASE)
    found = {known.get(version, known.get(f"{version}.0")) for version in stated}  # "EVT3" is 3.0
    if len(found) == 1 and (version := found.pop()) is not None:
        return version
    raise RecordingError(
        f"the header states version {' and '.join(stated) or '(none)'}, "
        f"expected {' or '.join(known)}"
    )


def _stated_sensor(header: str) -> Sensor | None:
    """Read "geometry WxH", "format EVT3;height=H;width=W", or "Width W" and "Height H"."""
    size = {}
    for name, before in (("width", ""), ("height", r"\d+x")):
        pattern = rf"^% *(?:geometry +{before}|{name} +|format .*\b{name}=)(\d+)"
        stated = re.findall(pattern, header, re.MULTILINE | re.IGNORECASE)
        if len(set(stated)) > 1:
            raise RecordingError(f"the header states {name} {' and '.join(stated)}, expected one")
        if stated:
            size[name] = int(stated[0])
    return Sensor(**size) if len(size) == 2 else None


def _stated_t0(header: str) -> int:
    """Read "t0 T", with which faery's files say what they took off all times, in microseconds."""
    stated = re.search(r"^% t0 (\d{1,18})\s*$", header, re.MULTILINE | re.IGNORECASE)
    return int(stated[1]) if stated else 0


def _refuse_undefined(kind: NDArray[Any], defined: tuple[int, ...], name: str) -> None:
    bad = ~np.isin(kind, defined)
    if bad.any():
        word = int(np.argmax(bad))
        types = " ".join(f"{one:x}" for one in defined)
        raise RecordingError(f"word {word}: type is {kind[word]:x}, expected {types} ({name})")


def _refuse_before(bad: NDArray[np.bool_], word: NDArray[np.int64], what: str) -> None:
    if bad.any():
        raise RecordingError(f"word {word[np.argmax(bad)]}: an event before the first {what}")
