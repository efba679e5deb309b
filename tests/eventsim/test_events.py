"""Event arrays and binning, compared with brute force over single events."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim.events.arrays import (
    EVENT_DTYPE,
    MAX_CELLS,
    MAX_STEPS,
    Events,
    RecordingError,
    Sensor,
    check_events,
    make_events,
)
from eventsim.events.binning import bin_events

HEIGHT, WIDTH = 3, 5


@st.composite
def event_arrays(draw: st.DrawFn, most: int = 120) -> Events:
    """Events on a 5 x 3 sensor in time order, some simultaneous, some near 2^63 us."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, most))
    gap = draw(st.sampled_from([0, 1, 7, 40, 1000]))
    first = draw(st.sampled_from([0, 1, 999, 1_605_537_493_718_345, 2**63 - 1 - 1000 * most]))
    t = first + np.cumsum(rng.integers(0, gap + 1, count))
    x, y, on = (rng.integers(0, size, count) for size in (WIDTH, HEIGHT, 2))
    return make_events(t, x, y, on)


def brute_force(
    events: Events, input_shape: tuple[int, int, int], dt: int, steps: int, start: int, counts: bool
) -> tuple[np.ndarray[Any, Any], int, int, int]:
    """Put one event after the other into dense frames, with Python's own integers."""
    frames = np.zeros((steps, *input_shape))
    early = late = merged = 0
    for t, x, y, on in events.tolist():
        step = (t - start) // dt
        if step < 0:
            early += 1
        elif step >= steps:
            late += 1
        else:
            cell = (step, int(on) if input_shape[0] == 2 else 0, y, x)
            merged += frames[cell] > 0
            frames[cell] = frames[cell] + 1 if counts else 1
    return frames, early, late, merged


@settings(max_examples=200)
@given(
    events=event_arrays(),
    polarities=st.sampled_from([1, 2]),
    dt=st.sampled_from([1, 3, 10, 1000, 2**62]),
    steps=st.one_of(st.none(), st.integers(0, 40)),
    shift=st.one_of(st.none(), st.integers(-50, 50)),
    encoding=st.sampled_from(["binary", "counts"]),
)
def test_binning_is_brute_force(
    events: Events, polarities: int, dt: int, steps: int | None, shift: int | None, encoding: Any
) -> None:
    first = int(events["t"][0]) if len(events) else 0
    start = None if shift is None else min(max(0, first + shift), 2**63 - 1)
    if steps is None and len(events) and (int(events["t"][-1]) - first) // dt > 10_000:
        steps = 17  # dense frames of the whole recording would not fit
    binned = bin_events(events, (polarities, HEIGHT, WIDTH), dt, steps, encoding=encoding,
                        start_us=start)  # fmt: skip

    begin = first if start is None else start
    if steps is None:
        steps = max(0, (int(events["t"][-1]) - begin) // dt + 1) if len(events) else 0
    frames, early, late, merged = brute_force(
        events, (polarities, HEIGHT, WIDTH), dt, steps, begin, encoding == "counts"
    )
    assert (binned.steps, binned.start_us, binned.dt_us) == (steps, begin, dt)
    assert (binned.early, binned.late, binned.merged) == (early, late, merged)
    assert binned.events == len(events)
    assert len(binned.cells) == len(events) - early - late - merged == binned.pointers[-1]
    np.testing.assert_array_equal(binned.frames(np.float64), frames)
    for k in range(steps):  # ascending, no cell twice
        assert (np.diff(binned.cells[binned.pointers[k] : binned.pointers[k + 1]]) > 0).all()


@pytest.mark.parametrize("repeated", [0, 1])
@pytest.mark.parametrize("encoding", ["binary", "counts"])
def test_timesteps_of_any_number_of_events_are_binned(repeated: int, encoding: Any) -> None:
    """Up to 16, 32 and 64 are sorted as they are, each once; others go through bits."""
    rng = np.random.default_rng(0)
    counts = rng.permutation([0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200, 0, 0, 3])
    x = [rng.permutation(300)[:count] for count in counts]
    for cells in x:
        cells[:repeated] = cells[-1:]
    t = np.repeat(np.arange(len(counts)), counts)
    events = make_events(t, np.concatenate(x), np.zeros(len(t)), np.zeros(len(t)))
    binned = bin_events(events, (1, 1, 300), 1, len(counts), encoding=encoding, start_us=0)
    frames, *_, merged = brute_force(events, (1, 1, 300), 1, len(counts), 0, encoding == "counts")
    np.testing.assert_array_equal(binned.frames(np.float64), frames)
    assert (binned.merged, len(binned.cells)) == (merged, len(events) - merged)
    for k in range(len(counts)):
        assert (np.diff(binned.cells[binned.pointers[k] : binned.pointers[k + 1]]) > 0).all()


@pytest.mark.parametrize("width", [1, 31, 32, 33, 2047, 2048, 2049, 10_000])
@pytest.mark.parametrize("encoding", ["binary", "counts"])
def test_wide_sensors_are_binned_in_words_of_cells(width: int, encoding: Any) -> None:
    """64 cells are the bits of a word, and 64 words those of a second level: around both."""
    rng = np.random.default_rng(width)
    ends = [0, width - 1]
    x = np.concatenate([ends, rng.integers(0, width, 60), ends])
    t = np.repeat([0, 1], [40, 24])
    events = make_events(t, x, np.zeros(64, int), rng.integers(0, 2, 64))
    binned = bin_events(events, (2, 1, width), 1, 2, encoding=encoding)
    frames, *_, merged = brute_force(events, (2, 1, width), 1, 2, 0, encoding == "counts")
    np.testing.assert_array_equal(binned.frames(), frames)
    assert binned.merged == merged
    for start, stop in pairwise(binned.pointers):
        assert (np.diff(binned.cells[start:stop]) > 0).all()


def test_a_timestep_includes_its_start_and_excludes_its_end() -> None:
    events = make_events([99, 100, 109, 110, 119, 120], [0] * 6, [0] * 6, [1] * 6)
    binned = bin_events(events, (1, 1, 1), 10, 2, encoding="counts", start_us=100)
    assert binned.frames().ravel().tolist() == [2, 2]
    assert (binned.early, binned.late, binned.merged) == (1, 1, 2)


def test_frames_have_torch_order_and_the_dtype_asked_for() -> None:
    binned = bin_events(make_events([0, 5], [4, 1], [2, 0], [1, 0]), (2, HEIGHT, WIDTH), 5)
    frames = binned.frames(np.uint8)
    assert frames.dtype == np.uint8
    assert frames.flags.c_contiguous
    assert frames.shape == (2, 2, HEIGHT, WIDTH)
    assert np.argwhere(frames).tolist() == [[0, 1, 2, 4], [1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dt_us": 0}, "dt_us is 0, expected a whole number 1 to"),
        ({"dt_us": 2.5}, "dt_us is 2.5, expected a whole number"),
        ({"dt_us": 2**63}, "dt_us is 9223372036854775808, expected"),
        ({"steps": -1}, "steps is -1, expected a whole number 0 to 2147483646"),
        ({"steps": MAX_STEPS + 1}, "steps is 2147483647, expected"),
        ({"start_us": -5}, "start_us is -5, expected a whole number 0 to"),
        ({"encoding": "rate"}, "encoding is 'rate', expected one of"),
        ({"input_shape": (3, 3, 5)}, r"but input_shape is \(3, 3, 5\): give it spikes"),
        ({"input_shape": (30,)}, "event 0: y is 1, expected 0 to 0 on a 30 x 1 sensor"),
        ({"input_shape": (2, 0, 5)}, r"input_shape is \(2, 0, 5\), expected \(units,\)"),
        ({"input_shape": (2, 65536, 65536)}, f"expected at most {MAX_CELLS} cells"),
        ({"input_shape": (2, 3, 4)}, "event 1: x is 4, expected 0 to 3 on a 4 x 3 sensor"),
    ],
)
def test_binning_refuses(changed: dict[str, Any], sentence: str) -> None:
    arguments = {"input_shape": (2, HEIGHT, WIDTH), "dt_us": 10} | changed
    with pytest.raises(ValueError, match=sentence):
        bin_events(make_events([0, 7], [0, 4], [1, 1], [0, 1]), **arguments)


def test_a_grid_that_cannot_be_numbered_is_refused() -> None:
    events = make_events([0, MAX_STEPS], [0, 0], [0, 0], [0, 0])
    with pytest.raises(RecordingError, match="event 1: t is 2147483646 us, 2147483647 timesteps"):
        bin_events(events, (1, 1, 1), 1)
    assert bin_events(events, (1, 1, 1), 1, 3).late == 1


@given(
    dtypes=st.lists(
        st.sampled_from(["i2", "u2", "i4", "i8", "u8", "f4", "f8"]), min_size=3, max_size=3
    )
)
def test_make_events_takes_any_number_type(dtypes: list[str]) -> None:
    columns = ([0, 3, 9000], [0, 7, 30000], [1, 2, 3])
    t, x, y = (np.array(column, kind) for column, kind in zip(columns, dtypes, strict=True))
    events = make_events(t, x, y, np.array([-1, 1, 0], "i1"))
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(0, 0, 1, False), (3, 7, 2, True), (9000, 30000, 3, False)]


def test_make_events_keeps_the_largest_values() -> None:
    events = make_events(np.array([2**63 - 1], "u8"), [65535], [65535], [True])
    assert events.tolist() == [(2**63 - 1, 65535, 65535, True)]
    assert make_events([1.0], [2.0], [3.0], [0.0]).tolist() == [(1, 2, 3, False)]
    assert len(make_events([], [], [], [])) == 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"t": [0, -1]}, "event 1: t is -1, expected 0 to 9223372036854775807"),
        ({"t": np.array([0, 2**63], "u8")}, "event 1: t is 9223372036854775808, expected"),
        ({"t": [0.0, 0.5]}, "event 1: t is 0.5, expected a whole number of microseconds"),
        ({"on": [0, 2]}, "event 1: polarity is 2, expected 0 or 1, or -1 or 1"),
        ({"on": [0.0, 0.5]}, "event 1: polarity is 0.5, expected 0 or 1, or -1 or 1"),
        ({"on": np.array([7, 1], "u1")}, "event 0: polarity is 7, expected 0 or 1"),
        ({"t": [0.0, np.nan]}, "event 1: t is nan, expected a finite number"),
        ({"t": [np.inf, 0.0]}, "event 0: t is inf, expected a finite number"),
        ({"t": ["0", "1"]}, "t has dtype <U1 and shape .2,., expected numbers"),
        ({"t": 3}, r"t has dtype int64 and shape \(\), expected numbers"),
        ({"x": [65536, 0]}, "event 0: x is 65536, expected 0 to 65535"),
        ({"x": [0, 1.5]}, "event 1: x is 1.5, expected a whole number"),
        ({"y": [0, -3]}, "event 1: y is -3, expected 0 to 65535"),
        ({"y": [1]}, r"y has dtype int64 and shape \(1,\), expected numbers of shape \(2,\)"),
        ({"on": 1}, r"on has dtype int64 and shape \(\), expected numbers of shape \(2,\)"),
    ],
)
def test_make_events_refuses(changed: dict[str, Any], sentence: str) -> None:
    columns = {"t": [0, 1], "x": [0, 1], "y": [0, 1], "on": [0, 1]} | changed
    with pytest.raises(RecordingError, match=sentence):
        make_events(**columns)


@given(events=event_arrays())
def test_check_events_returns_good_events_as_they_are(events: Events) -> None:
    checked = check_events(events, Sensor(WIDTH, HEIGHT))
    assert np.shares_memory(checked, events) or len(events) == 0
    np.testing.assert_array_equal(checked, events)


@given(events=event_arrays(), seed=st.integers(0, 1000))
def test_sorting_is_stable_and_loses_nothing(events: Events, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(events)
    expected = sorted(shuffled.tolist(), key=lambda event: event[0])  # Python's sort is stable
    assert check_events(shuffled, sort=True).tolist() == expected
    if (np.diff(shuffled["t"].astype(np.int64)) < 0).any():
        with pytest.raises(RecordingError, match="time runs backwards"):
            check_events(shuffled)


def test_check_events_makes_a_strided_array_contiguous() -> None:
    events = make_events([0, 1, 2, 3], [0, 1, 2, 3], [0] * 4, [1] * 4)[::2]
    assert not events.flags.c_contiguous
    assert check_events(events).flags.c_contiguous
    assert check_events(events).tolist() == events.tolist()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("x", 2, 5), "event 2: x is 5, expected 0 to 4 on a 5 x 3 sensor"),
        (("y", 0, 3), "event 0: y is 3, expected 0 to 2 on a 5 x 3 sensor"),
        (("t", 1, 9), r"event 2: time runs backwards, t is 2 us after 9 us; .*sort=True"),
        (("t", 2, 2**63), "event 2: t is 9223372036854775808, expected less than 2.63 us"),
    ],
)
def test_check_events_names_the_record(change: tuple[str, int, int], sentence: str) -> None:
    events = make_events([0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 0])
    field, record, value = change
    events[field][record] = value
    with pytest.raises(RecordingError, match=sentence):
        check_events(events, Sensor(WIDTH, HEIGHT))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2), EVENT_DTYPE), [1, 2]])
def test_check_events_refuses_other_arrays(wrong: Any) -> None:
    with pytest.raises(RecordingError, match=r"events have dtype .* expected a 1-D array"):
        check_events(wrong)


@pytest.mark.parametrize(
    ("size", "sentence"),
    [((0, 5), "width is 0"), ((5, 65537), "height is 65537"), ((5, 5, 3), "polarities is 3")],
)
def test_sensor_refuses_impossible_sizes(size: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(RecordingError, match=f"sensor: {sentence}, expected"):
        Sensor(*size)
