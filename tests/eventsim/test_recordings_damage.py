"""Damaged recordings: the sentence for each kind of damage, cuts at every byte, random bytes."""

from __future__ import annotations

import io
import itertools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_damage import (
    BACKWARD_FILES,
    BACKWARDS,
    DAMAGE,
)
from recording_files import (
    EVENTS,
    SAID,
    SENSORS,
    STATELESS,
    WHOLE,
    WRITERS,
    evt2,
    evt2_event,
    evt2_high,
    evt3,
)

from eventsim.errors import RecordingError
from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor, check_events
from eventsim.events.formats.prophesee import read_header
from eventsim.events.recordings import Recording, read_recording

# --- damage: what it is, where, and the sentence ------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_gets_its_sentence(damage: str, tmp_path: Path) -> None:
    name, contents, sentence = DAMAGE[damage]
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(RecordingError) as error:
        read_recording(path)
    assert re.fullmatch(re.escape(f"{path}: ") + sentence, str(error.value)), str(error.value)


@pytest.mark.parametrize("name", BACKWARD_FILES)
def test_backward_time_is_refused_or_sorted(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BACKWARD_FILES[name])
    sentence = r": event 1: time runs backwards, t is 5 us after 10 us; .*sort=True"
    with pytest.raises(RecordingError, match=re.escape(str(path)) + sentence):
        read_recording(path)
    assert read_recording(path, sort=True).events.tolist() == BACKWARDS[::-1].tolist()


def test_a_high_time_that_falls_a_little_is_backward_time(tmp_path: Path) -> None:
    """The turn of a clock is a fall of half its range; anything less is a fault."""
    path = tmp_path / "high.raw"
    for contents, t in (
        (evt2(evt2_high(1280), evt2_event(1290), evt2_high(640), evt2_event(641)), 641),
        (evt3(0x8005, 0x0001, 0x2001, 0x8004, 0x6003, 0x2001), 4 * 4096 + 3),
    ):
        path.write_bytes(contents)
        with pytest.raises(RecordingError, match=f"event 1: time runs backwards, t is {t} us aft"):
            read_recording(path)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - STATELESS - SENSORS.keys()))
def test_a_sensor_that_the_file_contradicts_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    sentence = "the file states a 40 x 30 sensor, expected the 40 x 31 that was asked for"
    with pytest.raises(RecordingError, match=f"{re.escape(str(path))}: {sentence}"):
        read_recording(path, sensor=Sensor(40, 31), **SAID.get(name, {}))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"/none\.bin: there is no such file$"):
        read_recording(tmp_path / "none.bin")
    with pytest.raises(RecordingError, match=r": this is not a file, expected a recording$"):
        read_recording(str(tmp_path))


# --- cutting everywhere, and random bytes -------------------------------------------------------

RECORD_SIZES = {"nmnist.bin": 5, "version1.dat": 8, "version2.dat": 8, "evt2.raw": 4,
                "evt21.raw": 8, "evt3.raw": 2}  # fmt: skip


def attempt(path: Path, sort: bool = False) -> Recording | None:
    """Return the recording, or None after a RecordingError of the right form."""
    try:
        return read_recording(path, sort=sort, **SAID.get(path.name, {}))
    except RecordingError as error:
        sentence = str(error)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return None


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_anywhere_gives_whole_records_or_an_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    raw = WHOLE[name]
    read_at: dict[int, Events] = {}
    for cut in range(1, len(raw)):
        path.write_bytes(raw[:cut])
        if (recording := attempt(path)) is not None:
            read_at[cut] = recording.events
    for cut, events in read_at.items():
        if name == "plain.aedat" or path.suffix in (".aedat4", ".npy", ".npz", ".h5", ".hdf5"):
            assert len(events) == len(EVENTS), f"{cut} bytes are read in part"
        elif path.suffix in (".csv", ".txt"):  # the last number may be cut short
            np.testing.assert_array_equal(events[:-1], EVENTS[: len(events)][:-1])
        elif not name.startswith("t0"):  # a cut of the t0 line itself leaves times as they stand
            np.testing.assert_array_equal(events, EVENTS[: len(events)])
    if size := RECORD_SIZES.get(name):
        body = len(read_header(io.BytesIO(raw))) + 2 * (path.suffix == ".dat")
        ends = set(range(body, len(raw), size)) - {0}
        assert {cut for cut in read_at if cut >= body} == ends
    elif path.suffix == ".es":
        numbers = [0, *itertools.accumulate(5 + gap // 127 for gap in np.diff(EVENTS["t"]))]
        first = 20 + 5  # the first event is less than 127 us after 0
        ends = {20, *(first + int(number) for number in numbers)} - {len(raw)}
        assert {cut for cut, events in read_at.items() if raw[cut - 1] != 0xFF} == ends


@settings(max_examples=600)
@given(
    name=st.sampled_from(sorted(WRITERS)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    keep=st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1)),
    tail=st.one_of(st.just(b""), st.just(b""), st.binary(max_size=20)),
    sort=st.booleans(),
)
def test_random_damage_gives_a_recording_or_an_error(
    name: str, flips: list[tuple[float, int]], keep: float, tail: bytes, sort: bool
) -> None:
    raw = bytearray(WHOLE[name])
    for place, value in flips:
        raw[int(place * len(raw))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw[: int(keep * len(raw))] + tail)
        recording = attempt(path, sort)
    if recording is not None:
        check_events(recording.events, recording.sensor)
        assert recording.events.dtype == EVENT_DTYPE
