"""A live stream on its way: source -> filters -> queue -> session, and no event unaccounted for.

In: a `Source` and a `Session`. Out: `Step`s, as the session takes packets from the queue, with the
answers that each brought. The source is read and filtered in a thread of its own, so that a packet
is fetched while the network is busy with the one before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError
from ..events.arrays import Events, Sensor, camera_of
from ..network.graph import Network
from .answers import Answer
from .filters import Filters, FilterSettings
from .queue import EventQueue
from .session import Session
from .sources import Source

CAPACITY = 1_000_000  # events that wait, by default: 13 MB
# What the session takes at a time, at most. It waits for no packet to fill: under a low load it
# takes what has come, under a high one more at a time, which is faster by the event.
MOST = 8192
WAIT_S = 0.02  # for events, before a step without any


class Step(NamedTuple):
    """What the session did at a time.

    events: what it was fed; none: it waited in vain. answers: what it said. latency_ns: since the
    source handed out the first of these events; 0 without any.
    """

    events: Events
    answers: list[Answer]
    latency_ns: int


class Latencies:
    """How long packets took: counts in classes of 1/16 of an octave, so of constant size."""

    def __init__(self) -> None:
        """Begin without packets."""
        self.counts: NDArray[np.int64] = np.zeros(16 * 64, np.int64)

    def add(self, ns: int) -> None:
        """Count one packet that took so many nanoseconds."""
        self.counts[int(16 * math.log2(max(ns, 1)))] += 1

    def quantile_us(self, share: float) -> float | None:
        """Return the latency that this share of packets kept, 0 to 4.4 % too high; None of none."""
        total = int(self.counts.sum())
        if total == 0:
            return None
        at = int(np.searchsorted(np.cumsum(self.counts), share * total))
        return float(2 ** ((at + 1) / 16) / 1e3)


class Stream:
    """Feeds a session from a source; iterate over it once.

    settings: what is filtered and how the sensor's coordinates become the network's; by default
    nothing but events outside of it. A source that does not state its sensor has one that fits.
    capacity, policy: of the `EventQueue` between source and session. tick_us: when no event came
    for longer than this, time goes on by the wall clock, so much behind it, and events that come
    later than that are late; None: time goes on only with events, which is right for a source
    whose clock is not the wall's.

    Iteration ends when the source has and everything is processed, or after `stop`. It raises what
    the source raised, after what came before that is processed. Raises `EventsimError` for bad
    numbers, and for a sensor that is, filtered, larger than the network's input; events of a
    smaller one come to its first columns and rows.
    """

    def __init__(
        self,
        source: Source,
        session: Session,
        settings: FilterSettings | None = None,
        *,
        capacity: int = CAPACITY,
        policy: str = "block",
        tick_us: int | None = None,
    ) -> None:
        """Begin with nothing read."""
        if tick_us is not None and not is_whole(tick_us, 1):
            raise EventsimError(
                f"tick_us is {tick_us!r}, expected a whole number of microseconds, 1 or more, or "
                f"None"
            )
        self.source, self.session = source, session
        self.filters = _fit(settings or FilterSettings(), source.sensor, session.network)
        self.queue = EventQueue(capacity, policy)
        self._tick_us = tick_us
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._fed_ns = 0  # when the last events came

    def __iter__(self) -> Iterator[Step]:
        """Yield a step for every packet, and after every `WAIT_S` without events."""
        reader = threading.Thread(target=self._read, name="eventsim source", daemon=True)
        reader.start()
        try:
            while not self._stopped.is_set():
                events = self.queue.get(WAIT_S, MOST)
                if events is None:
                    break
                yield self._step(events)
        finally:
            self.source.close()
            self.queue.close()  # a reader that waits for room goes on, and its events are dropped
            reader.join(timeout=1.0)  # one that waits for an iterable of the caller's cannot be
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the iteration after the step that is being done; what is queued stays queued.

        From any thread, and from a signal handler.
        """
        self._stopped.set()

    def account(self) -> dict[str, int]:
        """Return the account of all events so far: received is the sum of the others.

        processed: run by the network. dropped: by the queue, or by the session because of their
        time. filtered: outside of the region or sensor, or by a filter. queued: waiting.
        """
        waiting, session = self.queue.account(), self.session.counters
        filtered = sum(count for name, count in self.filters.counters.items() if name != "passed")
        return {
            "received": waiting["received"] + filtered,
            "processed": session["processed"],
            "dropped": waiting["dropped"] + session["backward"],
            "filtered": filtered,
            "queued": waiting["queued"] + waiting["handed_out"] - session["received"],
        }

    def _read(self) -> None:
        try:
            for events in self.source:
                received_ns = time.monotonic_ns()
                self.queue.put(self.filters(events), received_ns)
        except Exception as error:  # raised again where somebody sees it
            self._failure = error
        self.queue.close()

    def _step(self, events: Events) -> Step:
        if len(events) == 0:
            return Step(events, self._tick(), 0)
        answers = self.session.feed(events)
        self._fed_ns = self.queue.oldest_ns
        return Step(events, answers, time.monotonic_ns() - self.queue.oldest_ns)

    def _tick(self) -> list[Answer]:
        if self._tick_us is None or self._fed_ns == 0:
            return []
        silent_us = (time.monotonic_ns() - self._fed_ns) // 1000
        if silent_us <= self._tick_us:
            return []
        return self.session.advance(self.session.latest_us + silent_us - self._tick_us)


def _fit(settings: FilterSettings, sensor: Sensor | None, network: Network) -> Filters:
    camera = camera_of(network.input_shape)
    height, width = camera.height, camera.width
    if sensor is None and settings.region is not None:
        sensor = Sensor(65536, 65536)
    elif sensor is None:
        times = settings.downscale
        sensor = Sensor(min(width * times, 65536), min(height * times, 65536))
    filters = Filters(settings, sensor)
    if filters.sensor.width > width or filters.sensor.height > height:
        raise EventsimError(
            f"events come from {filters.sensor.width} x {filters.sensor.height} pixels, expected "
            f"the network's {width} x {height}: take a region, or downscale"
        )
    return filters
