"""Units of time: what is deduced from numbers, and what they are in microseconds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import make_events
from eventsim.events.recordings import read_packets, read_recording
from eventsim.events.units import stated_or_deduced

US = np.cumsum(np.random.default_rng(0).integers(1, 900, 200))
MANY = {
    "us": US,
    "us as floats": US.astype(float),
    "us of an epoch": US + 1_600_000_000_000_000,
    "ms": US / 1000,
    "ms, float32": (US / 1000).astype("f4"),
    "s": US / 1e6,
    "s, float32": (US / 1e6).astype("f4"),
    "s of an epoch": 1_600_000_000 + US / 1e6,
    "s, of nanoseconds": (US * 1000 + 17) / 1e9,
    "ns of an epoch": 1_600_000_000_000_000_000 + US * 1000,
}


@pytest.mark.parametrize("name", MANY)
def test_the_only_unit_that_makes_sense(name: str) -> None:
    assert stated_or_deduced(MANY[name], None).unit == name.split()[0].strip(",")
    assert stated_or_deduced(MANY[name], "ns") == ("ns", "asked for")


@pytest.mark.parametrize(
    "t",
    [
        [0.0, 1.0, 2.0, 30.0, 61.0],  # ms, or us written as floats
        [0.0, 0.001, 0.002, 0.03, 0.061],  # s, or ms
        [0.5] * 1000,  # one time
        np.array([3e6, 4e6, 5e6], "f4"),  # too coarse to tell
        [],
    ],
)
def test_where_several_make_sense_it_asks(t: Any) -> None:
    with pytest.raises(RecordingError, match=r"t is .*, which may be of several units, expected"):
        stated_or_deduced(np.array(t, getattr(t, "dtype", float)), None)


@given(
    unit=st.sampled_from([("s", 10**6), ("ms", 1000), ("us", 1), ("ns", Fraction(1, 1000))]),
    t=st.lists(st.integers(0, 2**62), max_size=5),
)
def test_whole_numbers_are_converted_exactly(unit: Any, t: list[int]) -> None:
    name, scale = unit
    expected = [int(value * scale + Fraction(1, 2)) for value in t]
    zeros = [0] * len(t)
    for kind in ("i8", "u8"):
        if max(expected, default=0) >= 2**63:
            with pytest.raises(RecordingError, match="expected 0 to 9223372036854775807"):
                make_events(np.array(t, kind), zeros, zeros, zeros, time_unit=name)
        else:
            made = make_events(np.array(t, kind), zeros, zeros, zeros, time_unit=name)
            assert made["t"].tolist() == expected


def test_seconds_become_the_nearest_microsecond() -> None:
    for unit, scale in (("s", 1e6), ("ms", 1e3)):
        made = make_events(US / scale, US * 0, US * 0, US * 0, time_unit=unit)  # type: ignore[arg-type]
        assert made["t"].tolist() == US.tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_columns_of_a_plain_array(unit: str, tmp_path: Path) -> None:
    t = US / {"s": 1e6, "ms": 1e3, "us": 1}[unit]
    columns = np.stack([np.arange(200), np.arange(200) % 7, np.arange(200) % 2, t], axis=1)
    np.save(tmp_path / "a.npy", columns)
    found = read_recording(tmp_path / "a.npy")
    assert found.events["t"].tolist() == US.tolist()
    assert found.about.facts["time_unit"].startswith(f"{unit} (")
    assert found.about.sensor_from.startswith("guessed")
    packets = read_packets(tmp_path / "a.npy", size=3)
    assert np.concatenate(list(packets)).tolist() == found.events.tolist()
    assert packets.about == found.about
    np.save(tmp_path / "a.npy", columns[:4])
    with pytest.raises(EventsimError, match="time_unit is 'h', expected one of s, ms, us, ns"):
        read_recording(tmp_path / "a.npy", time_unit="h")  # type: ignore[arg-type]
    few = read_recording(tmp_path / "a.npy", time_unit=unit)  # type: ignore[arg-type]
    assert few.events["t"].tolist() == US[:4].tolist()
    assert few.about.facts["time_unit"] == f"{unit} (asked for)"
