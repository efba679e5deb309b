"""The bounded queue of live streams, compared with a list; and between two threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S, wait_until

from eventsim.errors import EventsimError
from eventsim.events.arrays import EVENT_DTYPE, Events
from eventsim.live import queue as queue_module
from eventsim.live.queue import POLICIES, EventQueue


def numbered(first: int, count: int) -> Events:
    """Return events that can be told apart by their time."""
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = np.arange(first, first + count)
    return events


def times(events: Events | None) -> list[int]:
    assert events is not None
    return list(events["t"].tolist())


def started(target: Callable[..., object], *arguments: object) -> Thread:
    """Start a call that is expected to wait, and give it the time to return if it does not."""
    thread = Thread(target=target, args=arguments, daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    return thread


def ended(thread: Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


class ListQueue:
    """What the queue is, with a list of event numbers."""

    def __init__(self, capacity: int, policy: str) -> None:
        self.capacity, self.policy = capacity, policy
        self.waiting: list[int] = []
        self.received = self.dropped = self.handed_out = 0
        self.closed = False

    def put(self, events: list[int]) -> None:
        self.received += len(events)
        for event in events:
            if self.closed:
                self.dropped += 1
            elif len(self.waiting) < self.capacity:
                self.waiting.append(event)
            else:
                self.dropped += 1
                if self.policy == "drop-oldest":
                    self.waiting = [*self.waiting[1:], event]

    def get(self, most: int | None) -> list[int] | None:
        if self.closed and not self.waiting:
            return None
        found = self.waiting[:most]
        self.waiting = self.waiting[len(found) :]
        self.handed_out += len(found)
        return found

    def discard(self) -> None:
        self.dropped += len(self.waiting)
        self.waiting = []


CALLS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 12)),
    st.tuples(st.just("get"), st.one_of(st.none(), st.integers(1, 8))),
    st.tuples(st.sampled_from(["discard"] + ["close"] * 2), st.none()),
)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=200)
@given(
    capacity=st.integers(1, 9),
    before=st.lists(CALLS.filter(lambda call: call[0] != "close"), max_size=20),
    after=st.lists(CALLS, max_size=8),
)
def test_the_queue_is_a_list(
    policy: str, capacity: int, before: list[Any], after: list[Any]
) -> None:
    queue, model = EventQueue(capacity, policy), ListQueue(capacity, policy)
    sent = 0
    for call, argument in [*before, *after]:
        if call == "put":
            room = capacity - len(model.waiting)
            count = min(argument, room) if policy == "block" and not model.closed else argument
            queue.put(numbered(sent, count))
            model.put(list(range(sent, sent + count)))
            sent += count
        elif call == "get":
            found, expected = queue.get(timeout=0, most=argument), model.get(argument)
            assert (found is None) == (expected is None)
            assert found is None or times(found) == expected
            assert found is None or found.dtype == EVENT_DTYPE
        elif call == "close":
            queue.close()
            model.closed = True
        else:
            queue.discard()
            model.discard()
        assert queue.account() == {
            "received": model.received,
            "handed_out": model.handed_out,
            "dropped": model.dropped,
            "queued": len(model.waiting),
        }
        assert (queue.received, queue.handed_out, queue.dropped, queue.queued) == (
            model.received, model.handed_out, model.dropped, len(model.waiting),
        )  # fmt: skip
    queue.close()
    if model.waiting:
        assert times(queue.get(PATIENCE_S)) == model.waiting
    assert queue.get(PATIENCE_S) is None


@pytest.mark.parametrize(
    ("policy", "first", "rest"),
    [
        ("drop-oldest", [3, 4, 5, 6, 7], [16, 17, 18, 19, 20]),
        ("drop-newest", [0, 1, 2, 3, 4], [8, 9, 10, 11, 12]),
    ],
)
def test_which_events_are_dropped(policy: str, first: list[int], rest: list[int]) -> None:
    queue = EventQueue(5, policy)
    for start, count in ((0, 2), (2, 2), (4, 4)):  # a whole packet and half of one do not fit
        queue.put(numbered(start, count))
    assert times(queue.get()) == first
    queue.put(numbered(8, 13))  # alone larger than the queue
    assert times(queue.get()) == rest
    assert queue.account() == {"received": 21, "handed_out": 10, "dropped": 11, "queued": 0}


def test_a_million_events_between_two_threads() -> None:
    """Packets of any size, larger than the queue too; nothing lost, all in order."""
    count, capacity = 10**6, 3000
    stream = numbered(0, count)
    sizes = np.random.default_rng(0).integers(0, 7000, count)
    bounds = [0, *np.cumsum(sizes)[np.cumsum(sizes) < count].tolist(), count]
    queue = EventQueue(capacity)

    def source() -> None:
        for start, stop in pairwise(bounds):
            queue.put(stream[start:stop])
        queue.close()

    thread = Thread(target=source, daemon=True)
    thread.start()
    found, rng = [], np.random.default_rng(1)
    while (events := queue.get(PATIENCE_S, int(rng.integers(1, 4000)))) is not None:
        assert len(events) > 0, "the source is stuck"
        found.append(events)
        now = queue.account()
        assert now["received"] == now["handed_out"] + now["dropped"] + now["queued"]
        assert now["queued"] <= capacity
    ended(thread)
    np.testing.assert_array_equal(np.concatenate(found), stream)
    assert queue.account() == {"received": count, "handed_out": count, "dropped": 0, "queued": 0}


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_a_source_that_never_waits(policy: str) -> None:
    queue = EventQueue(500, policy)

    def source() -> None:
        for start in range(0, 100_000, 100):
            queue.put(numbered(start, 100))
        queue.close()

    thread = Thread(target=source, daemon=True)
    thread.start()
    found: list[int] = []
    while (events := queue.get(PATIENCE_S, 130)) is not None:
        found += times(events)
    ended(thread)
    assert (np.diff(found) > 0).all()
    now = queue.account()
    assert now == {
        "received": 100_000, "handed_out": len(found), "dropped": 100_000 - len(found), "queued": 0,
    }  # fmt: skip


def test_get_wakes_a_put_that_waits_for_room() -> None:
    queue = EventQueue(5)
    queue.put(numbered(0, 4))
    thread = started(queue.put, numbered(4, 3))
    assert queue.account() == {"received": 4, "handed_out": 0, "dropped": 0, "queued": 4}
    assert times(queue.get(most=1)) == [0]
    thread.join(0.05)
    assert thread.is_alive()  # room for two of three
    assert times(queue.get(most=1)) == [1]
    ended(thread)
    assert times(queue.get()) == [2, 3, 4, 5, 6]


def test_close_wakes_a_put_whose_rest_is_dropped() -> None:
    queue = EventQueue(5)
    thread = started(queue.put, numbered(0, 13))
    wait_until(lambda: queue.queued == 5, "the part that fits does not go in")
    queue.close()
    ended(thread)
    queue.put(numbered(13, 2))
    assert times(queue.get()) == [0, 1, 2, 3, 4]
    assert queue.get() is None
    assert queue.account() == {"received": 15, "handed_out": 5, "dropped": 10, "queued": 0}


def test_discard_wakes_a_put_that_waits_for_room() -> None:
    queue = EventQueue(5)
    queue.put(numbered(0, 5))
    thread = started(queue.put, numbered(5, 1))
    queue.discard()
    ended(thread)
    assert times(queue.get()) == [5]
    assert queue.account() == {"received": 6, "handed_out": 1, "dropped": 5, "queued": 0}


@pytest.mark.parametrize("policy", POLICIES)
def test_put_and_close_wake_a_get(policy: str) -> None:
    queue = EventQueue(5, policy)
    found: list[Events | None] = []
    thread = started(lambda: found.append(queue.get()))
    queue.put(numbered(0, 0))
    thread.join(0.05)
    assert thread.is_alive()  # an empty packet is none
    queue.put(numbered(0, 3))
    ended(thread)
    assert times(found[0]) == [0, 1, 2]

    thread = started(lambda: found.append(queue.get()))
    queue.close()
    ended(thread)
    assert found[1] is None


def test_a_get_that_has_waited_long_enough_returns_no_events() -> None:
    queue = EventQueue(5)
    start = time.monotonic()
    events = queue.get(timeout=0.05)
    assert time.monotonic() - start >= 0.05
    assert events is not None
    assert events.dtype == EVENT_DTYPE
    assert len(events) == 0


def test_the_time_of_the_oldest_event_is_that_of_its_put(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on with each look: a put looks once, when it is called."""
    looks: list[int] = []

    def clock() -> int:
        looks.append(len(looks) + 1)
        return looks[-1]

    monkeypatch.setattr(queue_module, "time", SimpleNamespace(monotonic_ns=clock))
    queue = EventQueue(5)
    assert queue.oldest_ns == 0
    queue.put(numbered(0, 3))
    queue.put(numbered(0, 2))
    thread = started(queue.put, numbered(0, 4))
    wait_until(lambda: len(looks) == 3, "a put that waits for room has not looked at the clock")
    found = []
    for most in (2, 2, 1):
        queue.get(most=most)
        found.append(queue.oldest_ns)
    ended(thread)
    queue.get(most=4)
    found.append(queue.oldest_ns)
    assert found == [1, 1, 2, 3]
    queue.get(timeout=0)
    assert queue.oldest_ns == 3  # nothing came


def test_a_packet_of_which_nothing_is_kept_leaves_no_trace() -> None:
    queue = EventQueue(3, "drop-newest")
    queue.put(numbered(0, 3))
    queue.put(numbered(3, 2))
    queue.get()
    before = time.monotonic_ns()
    queue.put(numbered(5, 1))
    assert times(queue.get()) == [5]
    assert queue.oldest_ns >= before


def test_a_packet_is_copied_only_where_parts_are_joined_or_dropped() -> None:
    stream = numbered(0, 100)
    queue = EventQueue(50)
    queue.put(stream[:30])
    assert np.shares_memory(queue.get(most=20), stream)
    assert np.shares_memory(queue.get(most=20), stream)

    queue = EventQueue(50, "drop-newest")
    queue.put(stream)  # whose other half shall not stay in memory
    assert not np.shares_memory(queue.get(), stream)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0,), "capacity is 0, expected a whole number of events, 1 or more"),
        ((2.5,), r"capacity is 2\.5, expected a whole number of events"),
        ((5, "drop"), r"policy is 'drop', expected one of \('block', 'drop-oldest', 'drop-newest'"),
    ],
)
def test_a_bad_queue_is_refused(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(EventsimError, match=sentence):
        EventQueue(*arguments)


@pytest.mark.parametrize("most", [0, -1, 1.5])
def test_a_bad_most_is_refused(most: Any) -> None:
    queue = EventQueue(5)
    queue.put(numbered(0, 1))
    with pytest.raises(EventsimError, match=f"most is {most}, expected a whole number of events"):
        queue.get(most=most)
    assert queue.queued == 1
