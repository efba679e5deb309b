"""Forgive, but count: what can be read is read, and what was dropped is counted by kind."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import (
    EVENTS,
    SAID,
    WHOLE,
    WRITERS,
    dat,
    evt2,
    evt2_event,
    evt2_high,
    evt3,
)

from eventsim.errors import EventsimError, RecordingError
from eventsim.events import faults
from eventsim.events.arrays import check_events, make_events
from eventsim.events.recordings import read_packets, read_recording

FIELDS = [("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i2")]


def array(folder: Path, rows: Any) -> bytes:
    np.save(folder / "made.npy", np.array(rows, FIELDS))
    return (folder / "made.npy").read_bytes()


def unclosed(raw: bytes) -> bytes:
    """Take the table of packets from the end, its place from the header; half a packet stays."""
    for at in range(18, 200):
        (table,) = struct.unpack_from("<q", raw, at)
        if 300 < table < len(raw):
            return raw[:at] + struct.pack("<q", -1) + raw[at + 8 : table] + b"\0\0\0\0\x40\0\0\0ab"
    raise AssertionError


TEXT = b"t,x,y,p\n1,2,3,1\nbroken\n4,5,6\n7,8,9,0\n7,8.5,9,0\n"
# Name, contents, what is said, the times that are read, and what is dropped.
CASES: dict[str, tuple[str, Any, dict[str, Any], list[int], dict[str, int]]] = {
    "stray pixel": ("a.dat", dat((1, 2, 3, 1), (2, 40, 3, 1), (3, 2, 30, 1), (4, 1, 1, 0)), {},
                    [1, 4], {faults.OUTSIDE: 2}),
    "backward": ("a.npy", [(5, 1, 1, 1), (9, 1, 1, 1), (8, 1, 1, 0), (7, 1, 1, 1), (9, 1, 1, 0)],
                 {}, [5, 9, 9], {faults.BACKWARD: 2}),
    "backward, sorted": ("a.npy", [(5, 1, 1, 1), (9, 1, 1, 1), (8, 1, 1, 0)], {"sort": True},
                         [5, 8, 9], {}),
    "values": ("a.npy", [(5, 1, 1, 1), (6, -1, 1, 1), (7, 1, 70_000, 0), (8, 1, 1, 2)], {}, [5],
               {faults.VALUES: 3}),
    "half a record": ("a.raw", evt2(evt2_high(64), evt2_event(64), evt2_event(65))[:-1], {}, [64],
                      {faults.HALF: 1}),
    "half a packet": ("a.aedat", WHOLE["v31.aedat"][:-19], {}, EVENTS["t"][:5].tolist(),
                      {faults.HALF: 1}),
    "no time": ("a.raw", evt2(evt2_event(1), evt2_event(2), evt2_high(64), evt2_event(64)), {},
                [64], {faults.TIMELESS: 2}),
    "no row, no base": ("a.raw", evt3(0x8000, 0x2001, 0x0003, 0x4001, 0x2002), {}, [0],
                        {faults.TIMELESS: 2}),
    "no such word": ("a.raw", evt3(0x8000, 0x0003, 0x9000, 0x2001), {}, [0],
                     {faults.UNDEFINED: 1}),
    "lines": ("a.csv", TEXT, {}, [1, 7], {faults.LINES: 3}),
    "an end": ("a.aedat4", unclosed(WHOLE["lz4.aedat4"]), {}, EVENTS["t"].tolist(),
               {faults.UNCLOSED: 1}),
    "an end of Event Stream": ("a.es", WHOLE["faery.es"][:-2], {}, EVENTS["t"][:5].tolist(),
                               {faults.HALF: 1}),
    "nothing": ("a.es", WHOLE["faery.es"], {}, EVENTS["t"].tolist(), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_can_be_read_is_and_the_rest_is_counted(case: str, tmp_path: Path) -> None:
    name, contents, said, times, dropped = CASES[case]
    path = tmp_path / name
    path.write_bytes(contents if isinstance(contents, bytes) else array(tmp_path, contents))
    found = read_recording(path, on_bad="drop", **said)
    assert found.events["t"].tolist() == times
    assert found.dropped == dropped
    for size in (1, 3, 1000):
        packets = read_packets(path, on_bad="drop", size=size, **said)
        for _ in range(2):  # counts are those of the latest iteration
            read = list(packets)
            assert [t for part in read for t in part["t"].tolist()] == times
            assert packets.dropped == dropped
    if dropped:
        with pytest.raises(RecordingError):
            read_recording(path, **said)


def test_another_word_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(WHOLE["nmnist.bin"])
    with pytest.raises(EventsimError, match="on_bad is 'ignore', expected one of refuse, drop"):
        read_recording(tmp_path / "a.bin", on_bad="ignore")  # type: ignore[arg-type]


@given(
    rows=st.lists(
        st.tuples(*[st.integers(-3, 2**18)] * 3, st.integers(-2, 3)), min_size=1, max_size=30
    )
)
def test_every_row_is_read_or_counted(rows: list[tuple[int, int, int, int]]) -> None:
    """Against one row after the other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        np.save(path, np.array(rows, FIELDS))
        found = read_recording(path, on_bad="drop")
    kept, latest, late, bad = [], 0, 0, 0
    for t, x, y, p in rows:
        if t < 0 or not 0 <= x < 2**16 or not 0 <= y < 2**16 or p not in (-1, 0, 1):
            bad += 1
        elif t < latest:
            late += 1
        else:
            kept.append((t, x, y, p > 0))
            latest = t
    assert found.events.tolist() == kept
    expected = {faults.VALUES: bad, faults.BACKWARD: late}
    assert found.dropped == {kind: count for kind, count in expected.items() if count}


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(WRITERS)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    tail=st.one_of(st.just(b""), st.binary(max_size=20)),
)
def test_random_damage_is_dropped_or_refused(
    name: str, flips: list[tuple[float, int]], keep: float, tail: bytes
) -> None:
    raw, found = bytearray(WHOLE[name]), None
    for place, value in flips:
        raw[int(place * len(raw))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw[: int(keep * len(raw))] + tail)
        with contextlib.suppress(RecordingError):
            found = read_recording(path, on_bad="drop", **SAID.get(name, {}))
    if found is None:
        return
    check_events(found.events, found.sensor)
    assert all(count > 0 for count in found.dropped.values())


def test_a_good_file_is_read_the_same(tmp_path: Path) -> None:
    for name, contents in WHOLE.items():
        (tmp_path / name).write_bytes(contents)
        found = read_recording(tmp_path / name, on_bad="drop", **SAID.get(name, {}))
        assert (found.events.tolist(), found.dropped) == (EVENTS.tolist(), {})


def test_a_clock_that_was_set_back_drops_what_is_earlier(tmp_path: Path) -> None:
    t = [100, 200, 50, 60, 150, 201]
    (tmp_path / "a.bin").write_bytes(
        b"".join(struct.pack(">BBBH", 1, 1, 128, value) for value in t)
    )
    found = read_recording(tmp_path / "a.bin", on_bad="drop")
    assert found.events.tolist() == make_events([100, 200, 201], [1] * 3, [1] * 3, [1] * 3).tolist()
