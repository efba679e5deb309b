"""Every recording format: round trips, other readers on real files, clocks, and sensors."""

from __future__ import annotations

import importlib
import pkgutil
import struct
import tempfile
from pathlib import Path

import faery
import numpy as np
import pytest
from event_arrays import event_arrays, evt3_one_by_one
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import (
    EVENTS,
    EVT2,
    SAID,
    SENSOR,
    SENSORS,
    STATELESS,
    WRITERS,
    dat,
    evt2,
    evt2_event,
    evt2_high,
    evt3,
    nmnist,
)

from eventsim.errors import RecordingError
from eventsim.events import formats
from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor, make_events
from eventsim.events.formats.format import Format
from eventsim.events.formats.registry import FORMATS
from eventsim.events.recordings import PACKET, read_recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


def test_every_format_is_in_the_registry() -> None:
    modules = [
        importlib.import_module(f"{formats.__name__}.{module.name}")
        for module in pkgutil.iter_modules(formats.__path__)
    ]
    found = [
        value for module in modules for value in vars(module).values() if isinstance(value, Format)
    ]
    assert set(found) == set(FORMATS)
    suffixes = [suffix for form in FORMATS for suffix in form.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert {Path(name).suffix for name in WRITERS} <= set(suffixes)


@pytest.mark.parametrize("name", WRITERS)
def test_round_trip(name: str, folder: Path) -> None:
    @settings(max_examples=25)
    @given(events=event_arrays())
    def check(events: Events) -> None:
        path = folder / name
        path.write_bytes(WRITERS[name](events))
        found, sensor = read_recording(path, **SAID.get(name, {}))
        np.testing.assert_array_equal(found, events)
        assert found.dtype == EVENT_DTYPE
        smallest = Sensor(int(events["x"].max()) + 1, int(events["y"].max()) + 1)
        assert sensor == (smallest if name in STATELESS else SENSORS.get(name, SENSOR))

    check()


# Without events an N-MNIST file is an empty file, faery's DAT file with a t0 ends before the type
# of its records, and a text without names is of no columns.
@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"nmnist.bin", "t0.dat", "seconds.txt"}))
def test_an_empty_recording_is_a_recording(name: str, folder: Path) -> None:
    path = folder / f"empty_{name}"
    path.write_bytes(WRITERS[name](EVENTS[:0]))
    events, sensor = read_recording(path, **SAID.get(name, {}))
    assert (len(events), events.dtype) == (0, EVENT_DTYPE)
    stated = SENSORS.get(name, SENSOR)
    assert sensor == (Sensor(1, 1) if name in STATELESS else stated)
    assert read_recording(path, sensor=stated, **SAID.get(name, {})).sensor == stated


# --- real recordings against other readers ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("club_30x32.es", Sensor(30, 32)),
        ("dvxplorer_320x240.aedat4", Sensor(320, 240)),
        ("gen3_640x480_evt2.raw", Sensor(640, 480)),  # its header states no size
    ],
)
def test_real_recordings_are_read_as_by_faery(name: str, sensor: Sensor, real_data: Path) -> None:
    path = real_data / "recordings" / name
    events, found = read_recording(path)
    np.testing.assert_array_equal(events, np.concatenate(list(faery.events_stream_from_file(path))))
    assert found == sensor


@pytest.mark.parametrize(
    ("name", "encoding", "sensor"),
    [
        ("ncars_78x42.dat", "dat", Sensor(78, 42)),
        ("gen3_640x480_evt2.raw", "evt2", Sensor(640, 480)),
    ],
)
def test_real_recordings_are_read_as_by_expelliarmus(
    name: str, encoding: str, sensor: Sensor, real_data: Path
) -> None:
    wizard = pytest.importorskip("expelliarmus").Wizard(encoding)
    events, found = read_recording(real_data / "recordings" / name)
    theirs = wizard.read(real_data / "recordings" / name)
    np.testing.assert_array_equal(events, make_events(*(theirs[name] for name in "txyp")))
    assert found == sensor


def test_all_real_nmnist_recordings_are_read_as_by_tonic(real_data: Path) -> None:
    read_mnist_file = pytest.importorskip("tonic.io").read_mnist_file
    wide = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    paths = sorted((real_data / "NMNIST").rglob("*.bin"))
    assert len(paths) >= 1050
    for path in paths:
        events, sensor = read_recording(path)
        theirs = read_mnist_file(str(path), dtype=wide)
        np.testing.assert_array_equal(events, make_events(*(theirs[name] for name in "txyp")))
        assert sensor.width <= 34
        assert sensor.height <= 34


def test_real_gestures_are_read_as_by_tonic(real_data: Path) -> None:
    """Tonic cuts the fraction of a microsecond off: 0.057 ms becomes 56 or 57 us."""
    for path in sorted((real_data / "DVSGesture").rglob("*.npy")):
        events, sensor = read_recording(path)
        x, y, p, t = np.load(path).T
        np.testing.assert_array_equal(events, make_events(np.rint(t * 1000), x, y, p))
        assert np.abs(events["t"].astype(float) - (t * 1000).astype(np.int64)).max() <= 1
        assert max(sensor.width, sensor.height) <= 128
        assert read_recording(path).about.facts["time_unit"] == "ms (t has up to three decimals)"


# --- clocks, words and sensors ------------------------------------------------------------------


@settings(max_examples=150)
@given(data=st.data())
def test_evt3_is_the_state_machine_of_its_description(data: st.DataObject) -> None:
    payload = {0x0: 0x7FF, 0x3: 0x87F, 0x8: 0xFFF}
    kinds = st.sampled_from([0x0, 0x2, 0x2, 0x3, 0x4, 0x4, 0x5, 0x6, 0x8, 0x7, 0xA, 0xE, 0xF])
    word = kinds.flatmap(
        lambda kind: st.integers(0, payload.get(kind, 0xFFF)).map(lambda value: kind << 12 | value)
    )
    high = data.draw(st.integers(0, 0xFFF))
    words = [0x8000 | high, 0x0005, 0x3003, *data.draw(st.lists(word, max_size=200))]
    expected = sorted(evt3_one_by_one([0x8000 | high, *words]), key=lambda event: event[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.raw"
        path.write_bytes(b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words))
        events, _ = read_recording(path, sort=True)
    assert events.tolist() == [(t, x, y, bool(on)) for t, x, y, on in expected]


def test_vectors_of_more_events_than_a_packet_has_room_for(folder: Path) -> None:
    """A block of words may hold 12 or 32 times as many events."""
    count = PACKET // 12 + 100
    words = [0x8001, 0x6002, 0x0003, *[0x3805, 0x4FFF] * count]
    (folder / "many3.raw").write_bytes(evt3(*words))
    events, _ = read_recording(folder / "many3.raw")
    assert len(events) == 12 * count > PACKET
    assert np.unique(events[["t", "y", "on"]]).tolist() == [(4098, 3, True)]
    np.testing.assert_array_equal(events["x"], np.tile(np.arange(5, 17), count))
    count = PACKET // 32 + 100
    row = 1 << 60 | 5 << 43 | 3 << 32
    words = [8 << 60 | 1 << 32, *[row | 0xFFFF_FFFF, row | 0x8000_0001] * count]
    header = b"% evt 2.1\n% geometry 40x30\n% end\n"
    (folder / "many21.raw").write_bytes(header + struct.pack(f"<{len(words)}Q", *words))
    events, _ = read_recording(folder / "many21.raw")
    assert np.unique(events[["t", "y", "on"]]).tolist() == [(64, 3, True)]
    np.testing.assert_array_equal(events["x"], np.tile([*range(5, 37), 5, 36], count))


@pytest.mark.parametrize(
    ("name", "contents", "times"),
    [
        ("turn.dat", dat((2**32 - 1, 1, 1, 1), (0, 1, 1, 1), (7, 1, 1, 0)), [-1, 0, 7]),
        (
            "turn2.raw",
            evt2(evt2_high(2**34 - 1), evt2_event(2**34 - 1), evt2_high(0), evt2_event(5)),
            [-1, 5],
        ),
        ("turn3.raw", evt3(0x8FFF, 0x6FFF, 0x0003, 0x2005, 0x8000, 0x2006, 0x6007, 0x2007),
         [-1, 0, 7]),
    ],
)  # fmt: skip
def test_clocks_that_turn_over_go_on(
    name: str, contents: bytes, times: list[int], folder: Path
) -> None:
    (folder / name).write_bytes(contents)
    turn = {"turn.dat": 2**32, "turn2.raw": 2**34, "turn3.raw": 2**24}[name]
    assert read_recording(folder / name).events["t"].tolist() == [turn + t for t in times]


def test_nmnist_overflow_records_move_the_clock(folder: Path) -> None:
    overflow = b"\x00\xf0\x00\x00\x00"
    parts = [nmnist(EVENTS[:2]), overflow, nmnist(EVENTS[2:4]), overflow * 2, nmnist(EVENTS[4:])]
    (folder / "overflow.bin").write_bytes(b"".join(parts))
    events, _ = read_recording(folder / "overflow.bin")
    moved = EVENTS["t"] + 8192 * np.array([0, 0, 1, 1, 3, 3], "u8")
    assert events["t"].tolist() == moved.tolist()


def test_event_stream_counts_y_from_the_bottom(folder: Path) -> None:
    (folder / "y.es").write_bytes(
        b"Event Stream\x02\x00\x00\x01\x28\x00\x1e\x00\x03\x01\x00\x02\x00"
    )
    assert read_recording(folder / "y.es").events.tolist() == [(1, 1, 27, True)]


def test_triggers_are_no_events(folder: Path) -> None:
    contents = evt2(evt2_high(64), evt2_event(64), 0xA0000001, 0xE0000001, 0xF0000001)
    (folder / "triggers.raw").write_bytes(contents)
    assert read_recording(folder / "triggers.raw").events["t"].tolist() == [64]


@pytest.mark.parametrize(
    ("header", "first"),
    [(b"% evt 2.0\n", b"% \x00\x80"), (b"% evt 2.0\n% end\n", b"% A\x80"), (EVT2, b"% \n\x80")],
)
def test_data_that_looks_like_a_header_line_is_data(
    header: bytes, first: bytes, folder: Path
) -> None:
    """The first word begins with "% ", and the second, an event with y = 10, with a line end."""
    path = folder / "percent.raw"
    path.write_bytes(header + first + struct.pack("<I", evt2_event(3, y=10)))
    high = struct.unpack("<I", first)[0] & 0xFFFFFFF
    assert read_recording(path).events["t"].tolist() == [(high << 6) + 3]


def test_the_turn_of_a_clock_is_a_fall_of_half_its_range(folder: Path) -> None:
    path = folder / "half.dat"
    path.write_bytes(dat((2**31, 1, 1, 1), (0, 1, 1, 1)))
    assert read_recording(path).events["t"].tolist() == [2**31, 2**32]
    path.write_bytes(dat((2**31 - 1, 1, 1, 1), (0, 1, 1, 1)))
    with pytest.raises(RecordingError, match="event 1: time runs backwards, t is 0 us after 21474"):
        read_recording(path)


@pytest.mark.parametrize("name", sorted(STATELESS))
def test_a_sensor_that_the_file_does_not_state_is_the_one_asked_for(
    name: str, folder: Path
) -> None:
    path = folder / f"asked_{name}"
    path.write_bytes(WRITERS[name](EVENTS))
    asked, said = Sensor(200, 100, polarities=1), SAID.get(name, {})
    assert read_recording(path, sensor=asked, **said).sensor == asked
    with pytest.raises(RecordingError, match="event 4: x is 33, expected 0 to 19 on a 20 x 30 sen"):
        read_recording(path, sensor=Sensor(20, 30), **said)


def test_a_sensor_that_agrees_keeps_its_polarities(folder: Path) -> None:
    (folder / "agrees.es").write_bytes(WRITERS["faery.es"](EVENTS))
    asked = Sensor(40, 30, polarities=1)
    assert read_recording(folder / "agrees.es", sensor=asked).sensor == asked
