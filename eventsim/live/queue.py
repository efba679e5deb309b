"""A bounded queue between the thread of an event source and the engine, counted in events.

In: packets, as a source delivers them. Out: the waiting events, joined. What happens when events
come faster than they are taken is a policy: the source waits, or the oldest or newest are dropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from ..checks import is_whole
from ..errors import EventsimError
from ..events.arrays import EVENT_DTYPE, Events, join_events

POLICIES = ("block", "drop-oldest", "drop-newest")


class EventQueue:
    """At most `capacity` events, first in, first out; one thread puts, another one gets.

    Policies, for a packet that does not fit: "block" waits until it does; "drop-oldest" drops what
    has waited longest; "drop-newest" drops the tail of the packet.

    At any time received == handed_out + dropped + queued: `account` reads all four at once.
    oldest_ns: when the oldest event of the last `get` that returned any was put, on the clock of
    `time.monotonic_ns()`; 0 before.

    Raises `EventsimError` for a bad capacity or policy.
    """

    def __init__(self, capacity: int, policy: str = "block") -> None:
        """Begin empty and open."""
        if not is_whole(capacity, 1):
            raise EventsimError(
                f"capacity is {capacity!r}, expected a whole number of events, 1 or more"
            )
        if policy not in POLICIES:
            raise EventsimError(f"policy is {policy!r}, expected one of {POLICIES}")
        self.capacity = int(capacity)
        self.policy = policy
        self.received = self.dropped = self.handed_out = 0
        self.oldest_ns = 0
        self._queued = 0
        self._packets: deque[tuple[Events, int]] = deque()  # with the time at which each was put
        self._closed = False
        self._changed = threading.Condition()

    @property
    def queued(self) -> int:
        """Events that wait."""
        return self._queued

    def account(self) -> dict[str, int]:
        """Return received, handed_out, dropped and queued, all of the same moment."""
        with self._changed:
            return {
                "received": self.received,
                "handed_out": self.handed_out,
                "dropped": self.dropped,
                "queued": self._queued,
            }

    def put(self, events: Events, put_ns: int | None = None) -> None:
        """Take in a packet, an array of `EVENT_DTYPE` that nobody writes to from now on.

        put_ns: when it came, by default the time of the call, so that waiting for room counts.

        With "block" a packet larger than the capacity goes in in parts. After `close`, and for what
        still waits to go in then, events are counted as received and dropped.
        """
        put_ns = time.monotonic_ns() if put_ns is None else put_ns
        size = self.capacity if self.policy == "block" else max(1, len(events))
        with self._changed:
            for first in range(0, len(events), size):
                self._put(events[first : first + size], put_ns)

    def get(self, timeout: float | None = None, most: int | None = None) -> Events | None:
        """Return the events that wait, at most `most`, as one array; wait for some if none do.

        An empty array when `timeout` seconds have passed without any; None when the queue is closed
        and empty. Raises `EventsimError` for a bad `most`.
        """
        if most is not None and not is_whole(most, 1):
            raise EventsimError(f"most is {most!r}, expected a whole number of events, 1 or more")
        with self._changed:
            self._changed.wait_for(lambda: self._queued > 0 or self._closed, timeout)
            if self._queued == 0:
                return None if self._closed else np.empty(0, EVENT_DTYPE)
            self.oldest_ns = self._packets[0][1]
            parts = self._take(self._queued if most is None else min(int(most), self._queued))
            self.handed_out += sum(map(len, parts))
            self._changed.notify_all()
        return join_events(parts)

    def close(self) -> None:
        """Say that no more will come, and wake whoever waits; what is queued can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> None:
        """Drop what is queued."""
        with self._changed:
            self._drop_oldest(self._queued)
            self._changed.notify_all()

    # What follows is called with the lock held.

    def _put(self, events: Events, put_ns: int) -> None:
        """Take in a packet, with "block" one that fits into the empty queue."""
        if self.policy == "block":
            self._changed.wait_for(
                lambda: self._closed or self._queued + len(events) <= self.capacity
            )
        if self._closed:
            kept = events[:0]
        elif self.policy == "drop-oldest":
            kept = events[-self.capacity :]
            self._drop_oldest(self._queued + len(kept) - self.capacity)
        else:
            kept = events[: self.capacity - self._queued]
            if len(kept) < len(events):
                kept = kept.copy()  # a view would keep the dropped tail in memory
        self.received += len(events)
        self.dropped += len(events) - len(kept)
        if len(kept) > 0:
            self._packets.append((kept, put_ns))
            self._queued += len(kept)
            self._changed.notify_all()

    def _drop_oldest(self, number: int) -> None:
        if number > 0:
            self._take(number)
            self.dropped += number

    def _take(self, number: int) -> list[Events]:
        """Remove so many events from the front; return them as they were put, or parts of that."""
        parts = []
        self._queued -= number
        while number > 0:
            events, put_ns = self._packets.popleft()
            if len(events) > number:
                self._packets.appendleft((events[number:], put_ns))
                events = events[:number]
            parts.append(events)
            number -= len(events)
        return parts
