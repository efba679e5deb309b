"""Recordings in packets: of any size, they are the events and the errors of the whole recording."""

from __future__ import annotations

import re
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_arrays import event_arrays, evt3_one_by_one
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_damage import BACKWARD_FILES, DAMAGE
from recording_files import (
    EVENTS,
    SAID,
    STATELESS,
    WHOLE,
    WRITERS,
    by_numpy,
    dat,
    evt2,
    evt2_event,
    evt2_high,
    evt3,
    nmnist,
)

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor, make_events
from eventsim.events.recordings import Packets, read_packets, read_recording


def joined(packets: Packets) -> Events:
    """Join packets of the size asked for."""
    parts = list(packets)
    assert all(part.dtype == EVENT_DTYPE and 1 <= len(part) <= packets.size for part in parts)
    return np.concatenate([np.empty(0, EVENT_DTYPE), *parts])


@pytest.mark.parametrize("name", WRITERS)
def test_packets_of_any_size_are_the_recording(name: str, tmp_path: Path) -> None:
    @settings(max_examples=25)
    @given(events=event_arrays(), size=st.integers(1, 20) | st.integers(1, 400))
    def check(events: Events, size: int) -> None:
        path = tmp_path / name
        path.write_bytes(WRITERS[name](events))
        packets = read_packets(path, size=size, **SAID.get(name, {}))
        recording = read_recording(path, **SAID.get(name, {}))
        assert packets.sensor == (None if name in STATELESS else recording.sensor)
        np.testing.assert_array_equal(joined(packets), recording.events)
        np.testing.assert_array_equal(joined(packets), events)  # and again from the beginning

    check()


@pytest.mark.parametrize(
    ("name", "states_sensor"),
    [
        ("club_30x32.es", True),
        ("dvxplorer_320x240.aedat4", True),
        ("gen3_640x480_evt2.raw", True),
        ("ncars_78x42.dat", False),
    ],
)
def test_real_recordings_in_packets(name: str, states_sensor: bool, real_data: Path) -> None:
    path = real_data / "recordings" / name
    events, sensor = read_recording(path)
    for size in (777, 2**17):
        packets = read_packets(path, size=size)
        assert packets.sensor == (sensor if states_sensor else None)
        np.testing.assert_array_equal(joined(packets), events)


OVERFLOW = b"\x00\xf0\x00\x00\x00"
# Each turns twice, and so passes through the middle of its range once.
TURNS = {
    "turn.dat": dat((2**32 - 9, 1, 1, 1), (2**32 - 1, 1, 1, 1), (0, 1, 1, 1), (7, 1, 1, 0),
                    (2**31, 1, 1, 0), (2**32 - 1, 2, 1, 1), (3, 2, 2, 1)),
    "turn.raw": evt2(evt2_high(2**34 - 1), evt2_event(2**34 - 1), evt2_event(2**34 - 1),
                     evt2_high(0), evt2_event(5), evt2_event(6), evt2_high(2**32), evt2_high(2**33),
                     evt2_high(2**34 - 1), evt2_event(2**34 - 1), evt2_high(64), evt2_event(65)),
    "turn.evt": evt3(0x8FFF, 0x6FFF, 0x0003, 0x2005, 0x3800, 0x4FFF, 0x5081, 0x4003, 0x8000, 0x2006,
                     0x6007, 0x2007, 0x4003, 0x8400, 0x8800, 0x8FFF, 0x6001, 0x2001, 0x8000,
                     0x0005, 0x2001),
    "turn.bin": nmnist(EVENTS[:2]) + OVERFLOW + nmnist(EVENTS[2:4]) + OVERFLOW * 2
                + nmnist(EVENTS[4:]),
}  # fmt: skip


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("name", TURNS)
def test_clocks_that_turn_over_at_any_border(name: str, size: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(TURNS[name])
    events, _ = read_recording(tmp_path / name)
    assert events["t"][-1] >= {".dat": 2**33, ".raw": 2**35, ".evt": 2**25, ".bin": 0}[name[-4:]]
    np.testing.assert_array_equal(joined(read_packets(tmp_path / name, size=size)), events)


@settings(max_examples=150)
@given(data=st.data())
def test_evt3_carries_its_state_over_every_border(data: st.DataObject) -> None:
    """Times only rise here: TIME_LOW words follow a rising clock."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    t = data.draw(st.integers(0, 2**24 - 1))
    words = [0x8000 | t >> 12, 0x6000 | t & 0xFFF, 0x0005, 0x3003]
    for _ in range(data.draw(st.integers(0, 60))):
        kind = rng.choice([0x0, 0x2, 0x2, 0x3, 0x4, 0x4, 0x5, 0x8, 0xA])
        if kind == 0x8:
            t += int(rng.integers(0, 9000))
            words += [0x8000 | t >> 12 & 0xFFF, 0x6000 | t & 0xFFF]
        else:
            payload = {0x0: 0x7FF, 0x3: 0x87F}.get(int(kind), 0xFFF)
            words.append(int(kind) << 12 | int(rng.integers(0, 2**12)) & payload)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.raw"
        path.write_bytes(b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words))
        found = joined(read_packets(path, size=data.draw(st.integers(1, 9))))
    expected = [(t, x, y, bool(on)) for t, x, y, on in evt3_one_by_one([words[0], *words])]
    assert found.tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_gets_the_same_sentence(damage: str, size: int, tmp_path: Path) -> None:
    name, contents, _ = DAMAGE[damage]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(RecordingError) as whole:
        read_recording(tmp_path / name)
    with pytest.raises(RecordingError) as in_packets:
        list(read_packets(tmp_path / name, size=size))
    assert str(in_packets.value) == str(whole.value)


LATE = make_events([1, 2, 3, 10, 5, 6], [0, 1, 2, 3, 4, 5], [0] * 6, [1] * 6)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("late.bin", nmnist(LATE)),
        ("late.dat", dat(*LATE[["t", "x", "y", "on"]].tolist())),
        ("late.csv", b"x,y,t,p\n" + b"".join(b"%d,%d,%d,1\n" % (x, y, t) for t, x, y, _ in LATE)),
        ("late.npy", by_numpy(np.save, array=lambda events: events)(LATE)),
        ("late.raw", evt2(evt2_high(0), *(evt2_event(int(t)) for t in LATE["t"]))),
        *BACKWARD_FILES.items(),
    ],
)
def test_backward_time_is_found_across_packets(
    name: str, contents: bytes, size: int, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(contents)
    number = 4 if name.startswith("late") else 1
    whole = read_recording(tmp_path / name, sort=True).events.tolist()
    packets = iter(read_packets(tmp_path / name, size=size))
    before: list[Any] = []
    sentence = rf"{re.escape(name)}: event {number}: time runs backwards, t is 5 us after 10 us; "
    with pytest.raises(RecordingError, match=sentence):
        before.extend(event.item() for packet in packets for event in packet)
    assert len(before) <= number
    if size == 1:
        assert [event for event in whole if event in before] == before
        assert len(before) == number


@pytest.mark.parametrize("name", ["late.csv", "late.npy", "late.npz", "late.dat"])
def test_values_are_numbered_from_the_beginning(name: str, tmp_path: Path) -> None:
    """The fault is in the fifth event; packets have two."""
    p = np.array([1, 0, 1, 0, 7, 1])
    columns = {"t": LATE["t"], "x": LATE["x"], "y": LATE["y"], "p": p}
    contents = {
        "late.csv": b"p,t,x,y\n" + b"".join(b"%d,1,1,1\n" % value for value in p),
        "late.npy": by_numpy(np.save, array=lambda _: np.rec.fromarrays(
            list(columns.values()), names="t,x,y,p"))(LATE),
        "late.npz": by_numpy(np.savez, t=lambda e: e["t"], x=lambda e: e["x"], y=lambda e: e["y"],
                             p=lambda _: p)(LATE),
        "late.dat": dat(*((1, 1, 1, int(value)) for value in p)),
    }  # fmt: skip
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(RecordingError, match=r"event 4: (polarity|p) is 7(\.0)?, expected 0 or 1"):
        list(read_packets(tmp_path / name, size=2))


def test_a_sensor_is_asked_for_stated_or_unknown(tmp_path: Path) -> None:
    for name in ("structured.npy", "faery.es"):
        (tmp_path / name).write_bytes(WHOLE[name])
    assert read_packets(tmp_path / "structured.npy").sensor is None
    asked = Sensor(20, 30)
    packets = read_packets(tmp_path / "structured.npy", sensor=asked, size=2)
    assert packets.sensor == asked
    with pytest.raises(RecordingError, match=r"npy: event 4: x is 33, expected 0 to 19 on a 20 x"):
        list(packets)
    with pytest.raises(RecordingError, match=r"es: the file states a 40 x 30 sensor, expected"):
        read_packets(tmp_path / "faery.es", sensor=asked)
    with pytest.raises(RecordingError, match=r"none\.bin: there is no such file"):
        read_packets(tmp_path / "none.bin")
    with pytest.raises(EventsimError, match="size is 0, expected a whole number of events"):
        read_packets(tmp_path / "faery.es", size=0)


@pytest.mark.parametrize("name", ["a.bin", "a.dat", "a.raw", "a.evt", "a.csv", "a.npy", "a.h5"])
def test_a_long_file_needs_no_more_memory(name: str, tmp_path: Path) -> None:
    """Four times the events in the same memory (NumPy tells tracemalloc of its arrays); the shorter
    file is longer than what is read to find units and columns."""
    peaks = []
    for count in (160_000, 640_000):
        t = np.full(count, 1000)  # lines of text as long as in the other file
        ones = np.ones(count, np.int64)
        path = tmp_path / name
        events = make_events(t, ones, ones, ones)
        if name == "a.evt":
            low = (0x6000 | t).astype("<u2")
            words = np.stack([low, np.full(count, 0x2801, "<u2")], axis=1)
            path.write_bytes(evt3(0x8000, 0x0001) + words.tobytes())
        elif name == "a.raw":
            highs = np.int64(8) << 28 | t >> 6
            event = np.int64(1) << 28 | (t & 63) << 22 | 1 << 11 | 1
            words = np.stack([highs, event], axis=1).astype("<u4")
            path.write_bytes(evt2() + words.tobytes())
        elif name == "a.dat":
            address = np.int64(1) << 28 | 1 << 14 | 1
            path.write_bytes(dat() + np.stack([t, ones * address], 1).astype("<u4").tobytes())
        else:
            other = {"a.bin": "nmnist.bin", "a.csv": "other_order.csv", "a.npy": "structured.npy",
                     "a.h5": "compound.h5"}[name]  # fmt: skip
            path.write_bytes(WRITERS[other](events))
        for _ in read_packets(path, size=1000):  # compiles and imports what it needs
            pass
        tracemalloc.start()
        try:
            assert sum(map(len, read_packets(path, size=1000))) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # the events take 6 MB more
