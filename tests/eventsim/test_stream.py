"""A stream from its source to its session: nothing is lost unnoticed, nothing is changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import Events, Sensor, make_events
from eventsim.live.event_image import EventImage
from eventsim.live.filters import Filters, FilterSettings
from eventsim.live.queue import POLICIES
from eventsim.live.session import Session
from eventsim.live.sources import open_source
from eventsim.live.stream import Latencies, Stream
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten


def network(width: int = 4, height: int = 3) -> Network:
    """An output for every pixel and polarity: an event is a spike."""
    neuron = LIF(0.5, 0.5)
    size = 2 * width * height
    return Network((2, height, width), 1000, [Flatten(), Dense(np.eye(size), neuron=neuron)])


def random_events(rng: np.random.Generator, count: int, width: int = 4, height: int = 3) -> Events:
    t = np.cumsum(rng.integers(0, 300, count))
    return make_events(t, *rng.integers(0, [width, height, 2], (count, 3)).T)


def told(answers: Any) -> Any:
    return [(a.t_us, a.spike_counts.tolist(), a.scores.tolist()) for a in answers]


def balanced(stream: Stream) -> dict[str, int]:
    account = stream.account()
    parts = [count for name, count in account.items() if name != "received"]
    assert account["received"] == sum(parts)
    assert min(parts) >= 0
    return account


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    beyond=st.booleans(),
    downscale=st.integers(1, 2),
    refractory_us=st.sampled_from([0, 500]),
    policy=st.sampled_from(POLICIES),
    mode=st.sampled_from(["async", "clocked"]),
)
@settings(max_examples=60)
def test_answers_are_those_of_a_session_fed_with_what_passes_the_filters(
    seed: int, count: int, beyond: bool, downscale: int, refractory_us: int, policy: str, mode: Any
) -> None:
    rng = np.random.default_rng(seed)
    net, chosen = network(), FilterSettings(downscale=downscale, refractory_us=refractory_us)
    size = downscale + beyond
    events = random_events(rng, count, 4 * size, 3 * size)
    packets = np.split(events, np.sort(rng.integers(0, count + 1, 5)))
    given = {"mode": mode, "window_us": 5000, "hop_us": 1000}

    sensor = Sensor(4 * downscale, 3 * downscale)
    alone = Session(net, **given)
    expected = told(alone.feed(Filters(chosen, sensor)(events)))

    session = Session(net, **given)
    stream = Stream(open_source(packets), session, chosen, policy=policy)
    steps = list(stream)
    assert told(answer for step in steps for answer in step.answers) == expected
    assert sum(len(step.events) for step in steps) == alone.counters["processed"]
    assert session.counters == alone.counters
    account = balanced(stream)
    assert account["received"] == stream.source.counters["received"] == count
    assert (account["dropped"], account["queued"]) == (0, 0)
    assert all(step.latency_ns > 0 for step in steps if len(step.events))


@pytest.mark.parametrize("policy", POLICIES)
def test_an_engine_that_is_behind_drops_by_policy_and_counts_it(policy: str) -> None:
    events = random_events(np.random.default_rng(1), 100)
    session = Session(network())
    handed_out = threading.Event()

    def packets() -> Iterator[Events]:
        yield from np.split(events, 10)
        handed_out.set()

    source = open_source(packets())
    stream = Stream(source, session, capacity=25, policy=policy)
    for number, _ in enumerate(stream):
        if number == 0 and policy != "block":
            assert handed_out.wait(PATIENCE_S)  # everything has come meanwhile
    account = balanced(stream)
    assert account["received"] == 100
    assert account["dropped"] == stream.queue.dropped
    assert (account["dropped"] == 0) == (policy == "block")


def test_stop_leaves_in_the_queue_what_waits_there() -> None:
    events = random_events(np.random.default_rng(2), 50_000)
    source = open_source(np.split(events, 50))
    stream = Stream(source, Session(network()))
    for step in stream:
        if len(step.events):
            stream.stop()
    account = balanced(stream)
    assert 0 < account["processed"] < 50_000
    assert account["received"] == source.counters["received"]


def test_stop_from_another_thread_ends_a_stream_that_waits() -> None:
    source = open_source("udp://127.0.0.1:0")
    stream = Stream(source, Session(network()))
    threading.Timer(0.05, stream.stop).start()
    assert [step for step in stream if step.answers or len(step.events)] == []
    assert balanced(stream)["received"] == 0


def test_what_came_before_a_source_broke_is_processed() -> None:
    def packets() -> Iterator[Any]:
        yield random_events(np.random.default_rng(3), 40)
        yield np.zeros(3)

    session = Session(network())
    stream = Stream(open_source(packets()), session)
    with pytest.raises(RecordingError, match="a packet has dtype float64"):
        list(stream)
    assert balanced(stream)["processed"] == 40


def test_events_that_go_back_in_time_are_dropped_and_counted() -> None:
    packets = [make_events([t], [0], [0], [1]) for t in (5000, 4000, 6000)]
    stream = Stream(open_source(packets), Session(network()))
    list(stream)
    expected = {"received": 3, "processed": 2, "dropped": 1, "filtered": 0, "queued": 0}
    assert balanced(stream) == expected


def test_times_that_no_clock_has_are_filtered() -> None:
    packets = [make_events([5], [0], [0], [1]) for _ in range(3)]
    packets[1]["t"] = 2**64 - 1
    stream = Stream(open_source(packets), Session(network()))
    list(stream)
    expected = {"received": 3, "processed": 2, "dropped": 0, "filtered": 1, "queued": 0}
    assert balanced(stream) == expected


@given(data=st.data(), mode=st.sampled_from(["async", "clocked"]))
@settings(max_examples=40)
def test_nothing_that_a_wire_can_bring_ends_a_stream(data: Any, mode: Any) -> None:
    """Records of random bytes among good ones: any time, any pixel."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    events = random_events(rng, 60)
    bad = rng.random(60) < data.draw(st.sampled_from([0.05, 1.0]))
    events["t"][bad] = rng.integers(0, 2**64, bad.sum(), np.uint64) >> rng.integers(
        0, 64, bad.sum(), np.uint64
    )
    events["x"][rng.random(60) < 0.1] = rng.integers(0, 2**16)
    session = Session(network(), mode=mode, window_us=2000, gap_us=20_000)
    stream = Stream(open_source(np.split(events, 6)), session)
    list(stream)
    assert balanced(stream)["received"] == 60


def test_silence_is_answered_when_the_wall_clock_ticks() -> None:
    answered = threading.Event()

    def packets() -> Iterator[Events]:
        yield make_events([1000], [0], [0], [1])
        answered.wait(PATIENCE_S)

    session = Session(network(), window_us=2000, hop_us=1000)
    stream = Stream(open_source(packets()), session, tick_us=1000)
    answers = []
    for step in stream:
        answers += step.answers
        if len(answers) >= 5:
            answered.set()
    assert [answer.t_us for answer in answers[:3]] == [2000, 3000, 4000]
    assert [answer.scores.sum() for answer in answers[:4]] == [1, 1, 0, 0]


def test_without_ticks_silence_is_not_answered() -> None:
    waited = []

    def packets() -> Iterator[Events]:
        yield make_events([1000], [0], [0], [1])
        while len(waited) < 4:
            yield make_events([], [], [], [])

    session = Session(network(), window_us=2000, hop_us=1000)
    stream = Stream(open_source(packets()), session)
    for step in stream:
        assert step.answers == []
        waited.append(step)


@pytest.mark.parametrize(
    ("chosen", "sensor", "size"),
    [
        ({}, None, (4, 3)),
        ({}, Sensor(2, 2), (2, 2)),
        ({"downscale": 2}, None, (4, 3)),
        ({"downscale": 2}, Sensor(8, 5), (4, 3)),
        ({"region": (100, 90, 4, 2)}, None, (4, 2)),
        ({"region": (100, 90, 8, 6), "downscale": 2}, Sensor(346, 260), (4, 3)),
    ],
)
def test_filters_that_fit_the_network(chosen: Any, sensor: Any, size: Any) -> None:
    source = open_source([], sensor=sensor)
    filters = Stream(source, Session(network()), FilterSettings(**chosen)).filters
    assert (filters.sensor.width, filters.sensor.height) == size


def test_a_sensor_too_large_for_the_network_is_refused() -> None:
    sentence = "events come from 5 x 3 pixels, expected the network's 4 x 3: take a region"
    with pytest.raises(EventsimError, match=sentence):
        Stream(open_source([], sensor=Sensor(5, 3)), Session(network()))
    settings = FilterSettings(downscale=2)
    with pytest.raises(EventsimError, match="4 x 4 pixels"):
        Stream(open_source([], sensor=Sensor(8, 7)), Session(network()), settings)


@pytest.mark.parametrize("tick_us", [0, -1, 1.5])
def test_a_bad_tick_is_one_sentence(tick_us: Any) -> None:
    with pytest.raises(EventsimError, match=f"tick_us is {tick_us}, expected a whole number"):
        Stream(open_source([]), Session(network()), tick_us=tick_us)


@given(st.lists(st.integers(1, 10**11), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_of_latencies(latencies: list[int], share: float) -> None:
    counted = Latencies()
    for ns in latencies:
        counted.add(ns)
    exact = np.sort(latencies)[max(0, int(np.ceil(share * len(latencies))) - 1)] / 1e3
    found = counted.quantile_us(share)
    assert found is not None
    assert exact <= found * (1 + 1e-9) <= exact * 2 ** (1 / 16) * (1 + 1e-9)


def test_no_latency_without_packets() -> None:
    assert Latencies().quantile_us(0.5) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 5000))
def test_an_image_counts_events_at_each_pixel(seed: int, count: int) -> None:
    events = random_events(np.random.default_rng(seed), count)
    events["x"] //= 2
    image = EventImage(4, 3)
    for packet in np.split(events, 3 * [count // 3]):
        image.add(packet)
    expected = np.zeros((2, 3, 4), np.int64)
    np.add.at(expected, (events["on"].astype(int), events["y"], events["x"]), 1)
    np.testing.assert_array_equal(image.take(), np.minimum(expected, 255))
    assert not image.take().any()
