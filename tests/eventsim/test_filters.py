"""The filters of live streams, compared with one event after the other in plain Python."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor, make_events
from eventsim.live.filters import Filters, FilterSettings

SENSOR = Sensor(7, 5)
Event = tuple[int, int, int, bool]  # t, x, y, on


def crop(events: list[Event], region: tuple[int, int, int, int] | None) -> list[Event]:
    left, top, width, height = region or (0, 0, SENSOR.width, SENSOR.height)
    return [
        (t, x - left, y - top, on)
        for t, x, y, on in events
        if left <= x < left + width and top <= y < top + height
    ]


def refractory(events: list[Event], window: int) -> list[Event]:
    sent: dict[tuple[int, int], int] = {}
    passed = []
    for t, x, y, on in events:
        if (x, y) not in sent or max(0, t - sent[x, y]) >= window:
            sent[x, y] = t
            passed.append((t, x, y, on))
    return passed


def background(events: list[Event], window: int) -> list[Event]:
    if window == 0:
        return events
    sent: dict[tuple[int, int], int] = {}
    passed = []
    for t, x, y, on in events:
        around = [(x + dx, y + dy) for dx, dy in product((-1, 0, 1), repeat=2) if dx or dy]
        if any(max(0, t - sent[other]) < window for other in around if other in sent):
            passed.append((t, x, y, on))
        sent[x, y] = t
    return passed


def one_by_one(events: list[Event], chosen: FilterSettings) -> tuple[list[Event], dict[str, int]]:
    inside = [event for event in crop(events, chosen.region) if event[0] < 2**62]
    factor = chosen.downscale
    smaller = [
        (t, x // factor, y // factor, on or chosen.merge_polarities) for t, x, y, on in inside
    ]
    awake = refractory(smaller, chosen.refractory_us)
    passed = background(awake, chosen.background_us)
    return passed, {
        "outside": len(events) - len(inside),
        "refractory": len(smaller) - len(awake),
        "background": len(awake) - len(passed),
        "passed": len(passed),
    }


def array(events: list[Event]) -> Events:
    """Build an array of any times and coordinates."""
    return np.array(events, EVENT_DTYPE)


@st.composite
def streams(draw: st.DrawFn) -> Events:
    """Events of which some are outside the sensor and some earlier than those before."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 150))
    gap = draw(st.sampled_from([0, 1, 3, 20]))
    steps = rng.integers(0, gap + 1, count)
    if draw(st.booleans()):
        steps -= rng.integers(0, 60, count) * (rng.random(count) < 0.2)
    offsets = np.cumsum(steps)
    first = draw(st.sampled_from([0, 1000, 2**62 - 500, 2**64 - 1000]))
    t = [min(max(0, first + int(offset)), 2**64 - 2) for offset in offsets]
    x = rng.integers(0, SENSOR.width, count)
    y = rng.integers(0, SENSOR.height, count)
    beyond = draw(st.sampled_from([0.0, 0.2]))
    x[rng.random(count) < beyond] = draw(st.sampled_from([SENSOR.width, 65535]))
    y[rng.random(count) < beyond] = draw(st.sampled_from([SENSOR.height, 65535]))
    on = rng.integers(0, 2, count) > 0
    return array(list(zip(t, x.tolist(), y.tolist(), on.tolist(), strict=True)))


@st.composite
def regions(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x = draw(st.integers(0, SENSOR.width - 1))
    y = draw(st.integers(0, SENSOR.height - 1))
    width = draw(st.integers(1, SENSOR.width - x))
    return x, y, width, draw(st.integers(1, SENSOR.height - y))


WINDOWS = st.sampled_from([0, 1, 2, 5, 30, 10**6, 2**63 - 1])
EACH: dict[str, st.SearchStrategy[Any]] = {
    "region": st.one_of(st.none(), regions()),
    "downscale": st.integers(1, 9),
    "merge_polarities": st.booleans(),
    "refractory_us": WINDOWS,
    "background_us": WINDOWS,
}


def check(events: Events, chosen: FilterSettings, cuts: list[int]) -> None:
    """Compare the whole stream, and the same cut into packets, with plain Python."""
    expected, counters = one_by_one(events.tolist(), chosen)
    whole = Filters(chosen, SENSOR)
    assert whole(events).tolist() == expected
    assert whole.counters == counters
    assert sum(whole.counters.values()) == len(events)
    assert all(x < whole.sensor.width and y < whole.sensor.height for _, x, y, _ in expected)

    filters = Filters(chosen, SENSOR)
    bounds = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    found = [event for a, b in pairwise(bounds) for event in filters(events[a:b]).tolist()]
    assert found == expected
    assert filters.counters == counters


@pytest.mark.parametrize("name", EACH)
@given(data=st.data())
def test_each_filter_is_plain_python(name: str, data: st.DataObject) -> None:
    chosen = FilterSettings(**{name: data.draw(EACH[name])})
    check(data.draw(streams()), chosen, data.draw(st.lists(st.integers(0, 150))))


@settings(max_examples=300)
@given(streams(), st.builds(FilterSettings, **EACH), st.lists(st.integers(0, 150)))
def test_all_filters_together_are_plain_python(
    events: Events, chosen: FilterSettings, cuts: list[int]
) -> None:
    check(events, chosen, cuts)


def test_a_pixel_is_blind_until_exactly_the_end_of_its_refractory_time() -> None:
    filters = Filters(FilterSettings(refractory_us=10), SENSOR)
    events = make_events([0, 9, 9, 10, 19, 20], [3] * 6, [2] * 6, [1, 0, 1, 0, 1, 1])
    assert filters(events)["t"].tolist() == [0, 10, 20]  # ON and OFF are of the same pixel
    assert filters.counters == {"outside": 0, "refractory": 3, "background": 0, "passed": 3}


def test_support_ends_exactly_with_the_window() -> None:
    for elapsed, passed in ((0, 1), (9, 1), (10, 0)):
        filters = Filters(FilterSettings(background_us=10), SENSOR)
        assert len(filters(make_events([7, 7 + elapsed], [3, 4], [2, 2], [1, 1]))) == passed


def test_every_pixel_is_supported_by_its_neighbours_alone() -> None:
    """Corners and edges among them: the next row's first pixel is no neighbour of the last."""
    pixels = list(product(range(SENSOR.width), range(SENSOR.height)))
    for (x, y), (other_x, other_y) in product(pixels, repeat=2):
        filters = Filters(FilterSettings(background_us=10), SENSOR)
        found = filters(make_events([1, 2], [other_x, x], [other_y, y], [1, 1]))
        distance = max(abs(x - other_x), abs(y - other_y))
        assert found.tolist() == ([(2, x, y, True)] if distance == 1 else [])


def test_what_its_refractory_time_filters_supports_nobody() -> None:
    filters = Filters(FilterSettings(refractory_us=100, background_us=10), SENSOR)
    events = make_events([0, 50, 51], [3, 3, 4], [2, 2, 2], [1, 1, 1])
    assert len(filters(events)) == 0
    assert filters.counters == {"outside": 0, "refractory": 1, "background": 2, "passed": 0}


@pytest.mark.parametrize("latest", [100, 2**62 - 1])
def test_an_earlier_event_is_one_after_0_us(latest: int) -> None:
    blind = Filters(FilterSettings(refractory_us=1), SENSOR)
    backwards = array([(latest, 3, 2, True), (latest - 40, 3, 2, True), (0, 3, 2, True)])
    assert blind(backwards)["t"].tolist() == [latest]
    assert blind.counters["refractory"] == 2

    supported = Filters(FilterSettings(background_us=1), SENSOR)
    backwards = array([(latest, 3, 2, True), (latest - 40, 4, 2, True), (0, 5, 2, True)])
    assert supported(backwards)["t"].tolist() == [latest - 40, 0]


@given(streams(), st.builds(FilterSettings, **EACH), st.integers(0, 2**32))
def test_no_time_breaks_the_count(events: Events, chosen: FilterSettings, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events["t"][rng.random(len(events)) < 0.3] = 2**64 - 1
    filters = Filters(chosen, SENSOR)
    assert len(filters(events)) == filters.counters["passed"]
    assert sum(filters.counters.values()) == len(events)


@pytest.mark.parametrize(
    ("chosen", "sensor", "expected"),
    [
        (FilterSettings(), Sensor(34, 34), Sensor(34, 34)),
        (FilterSettings(), Sensor(34, 34, 1), Sensor(34, 34, 1)),
        (FilterSettings(merge_polarities=True), Sensor(34, 34), Sensor(34, 34, 1)),
        (FilterSettings(downscale=4), Sensor(346, 260), Sensor(87, 65)),
        (FilterSettings(region=(3, 4, 32, 16), downscale=2), Sensor(40, 20), Sensor(16, 8)),
        (FilterSettings(region=(3, 4, 5, 6), downscale=65536), Sensor(40, 20), Sensor(1, 1)),
    ],
)
def test_the_sensor_that_comes_out(
    chosen: FilterSettings, sensor: Sensor, expected: Sensor
) -> None:
    assert Filters(chosen, sensor).sensor == expected


def test_the_largest_coordinates_there_are() -> None:
    filters = Filters(FilterSettings(region=[65526, 65535, 10, 1]), Sensor(65536, 65536))
    events = make_events([1, 2, 3], [65535, 65525, 65526], [65535, 65535, 65535], [1, 0, 0])
    assert filters(events).tolist() == [(1, 9, 0, True), (3, 0, 0, False)]


def test_packets_in_any_memory_are_left_as_they_are() -> None:
    """Those that cannot be written to, such as datagrams, and those with gaps."""
    contents = make_events(range(8), [3] * 8, [2] * 8, [1, 0] * 4).tobytes()
    filters = Filters(FilterSettings(region=(1, 1, 4, 4)), SENSOR)
    read_only = np.frombuffer(contents, EVENT_DTYPE)
    expected = [(t, 2, 1, t % 2 == 0) for t in range(8)]
    assert filters(read_only).tolist() == expected
    assert filters(read_only[::2]).tolist() == expected[::2]
    assert read_only.tobytes() == contents


def test_a_few_events_do_not_keep_their_packet_in_memory() -> None:
    filters = Filters(FilterSettings(region=(0, 0, 1, 1)), SENSOR)
    found = filters(make_events(range(1000), [0] + [1] * 999, [0] * 1000, [1] * 1000))
    assert len(found) == 1
    assert found.base is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"region": (0, 0, 4)}, r"region is \(0, 0, 4\), expected four whole numbers x, y, width,"),
        ({"region": 4}, "region is 4, expected four whole numbers"),
        ({"region": (-1, 0, 4, 4)}, r"region is \(-1, 0, 4, 4\), expected four whole"),
        ({"region": (0, 0, 0, 4)}, r"region is \(0, 0, 0, 4\), .* the last two 1 or more"),
        ({"region": (0, 0, 4, 1.5)}, r"region is \(0, 0, 4, 1\.5\), expected four whole"),
        ({"region": (4, 0, 4, 4)}, r"region is \(4, 0, 4, 4\), expected .* inside the 7 x 5 sens"),
        ({"region": (0, 2, 4, 4)}, r"region is \(0, 2, 4, 4\), expected .* inside the 7 x 5 sens"),
        ({"downscale": 0}, "downscale is 0, expected a whole number 1 to 65536"),
        ({"downscale": 1.5}, r"downscale is 1\.5, expected a whole number"),
        ({"merge_polarities": 1}, "merge_polarities is 1, expected True or False"),
        ({"refractory_us": -1}, "refractory_us is -1, expected a whole number 0 to 9223372036854"),
        ({"background_us": 2**63}, "background_us is 9223372036854775808, expected"),
    ],
)
def test_bad_settings_are_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EventsimError, match=sentence):
        Filters(FilterSettings(**changed), SENSOR)


@pytest.mark.parametrize("events", [np.zeros(3), np.zeros((2, 2), EVENT_DTYPE)])
def test_what_is_no_packet_is_refused(events: Any) -> None:
    filters = Filters(FilterSettings(), SENSOR)
    with pytest.raises(RecordingError, match=r"events have dtype .*, expected a 1-D array with"):
        filters(events)
    assert sum(filters.counters.values()) == 0
