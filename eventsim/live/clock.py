"""What becomes of the time of a live stream when it goes wrong; between packets and `Session`.

In: packets as they come. Out: parts of them in which time never decreases, and where the network
has to begin again. Each case has a counter:

backward    an event earlier than the one before it, or than a tick said, by up to `late_us`: left
            out
duplicates  an event equal to the one before it in time, pixel and polarity: run as any other, since
            sensors send them (2 in 10,000 on N-MNIST); a datagram that comes twice is backward
wraps       a clock of a known period that began at 0 again: time goes on
gaps        a silence longer than `gap_us`: what follows begins again
restarts    a clock that jumped back by more than `late_us`: what follows begins again
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError, RecordingError
from ..events.arrays import Events, InputShape, as_events, camera_of, check_events
from ..jit import Int64s, kernel

LEAST_CLOCK_US = 2**16
NAMES = ("received", "processed", "backward", "duplicates", "wraps", "gaps", "restarts")
RECEIVED, PROCESSED, BACKWARD, DUPLICATES, WRAPS, GAPS, RESTARTS = range(len(NAMES))

LEFT_OUT, GOES_ON, AFTER_GAP, RESTARTED = range(4)
MOST_US = 2**62  # times are less


class _Clock(NamedTuple):
    """What the kernel keeps between packets, as arrays of one element but for `counts`."""

    counts: Int64s  # see NAMES
    offset: Int64s  # of wraps
    latest: Int64s  # time of the last event or tick, -1 before the first
    last: Int64s  # (t, x, y, on) of the last event


class StreamClock:
    """Puts the events of a live stream in order.

    gap_us, late_us, clock_us: as in `Session`. Raises `EventsimError` for a period that no clock
    has.
    """

    def __init__(
        self, input_shape: InputShape, gap_us: int, late_us: int, clock_us: int | None
    ) -> None:
        """Begin before the first event."""
        if clock_us is not None and not is_whole(clock_us, LEAST_CLOCK_US, 2**62):
            raise EventsimError(
                f"clock_us is {clock_us!r}, expected None or a period of at least "
                f"{LEAST_CLOCK_US} us"
            )
        self._sensor = camera_of(input_shape)
        self._gap, self._late, self._period = gap_us, late_us, int(clock_us or 0)
        self.state = _Clock(
            np.zeros(len(NAMES), np.int64), np.zeros(1, np.int64), np.full(1, -1, np.int64),
            np.full(4, -1, np.int64),
        )  # fmt: skip

    @property
    def counters(self) -> dict[str, int]:
        """Every count by its name."""
        return dict(zip(NAMES, self.state.counts.tolist(), strict=True))

    def advance(self, until_us: int) -> None:
        """Tell that an event before `until_us` is late."""
        self.state.latest[0] = max(int(self.state.latest[0]), until_us)

    def in_order(self, events: Any) -> Iterator[tuple[Events, int]]:
        """Yield the parts of a packet, never empty, and how each begins.

        With `GOES_ON`, or with one of the marks after which the network begins again.

        Raises `RecordingError`, with nothing counted, for another type and for events outside of
        the network's input.
        """
        events = as_events(events)
        outside = (events["x"] >= self._sensor.width) | (events["y"] >= self._sensor.height)
        late = events["t"] >= np.uint64(MOST_US)
        if (outside | late).any():
            number = int(np.argmax(outside | late))
            check_events(events[number : number + 1], self._sensor, first=number)
            raise RecordingError(
                f"event {number}: t is {events['t'][number]}, expected less than 2^62 us"
            )
        times, marks = np.empty(len(events), np.int64), np.empty(len(events), np.uint8)
        put_in_order(events, self._gap, self._late, self._period, self.state, times, marks)
        kept = marks != LEFT_OUT
        if kept.all():  # to choose them took a third of the time of a packet
            good = events.copy()
        else:
            good, marks, times = events[kept], marks[kept], times[kept]
        good["t"] = times
        for first, stop in pairwise([0, *np.flatnonzero(marks != GOES_ON).tolist(), len(good)]):
            if stop > first:
                yield good[first:stop], int(marks[first])


@kernel
def put_in_order(
    events: NDArray[Any],
    gap: int,
    late: int,
    period: int,
    clock: _Clock,
    times: Int64s,
    marks: NDArray[np.uint8],
) -> None:
    """Say of each event whether it goes on, begins again or is left out, and its time."""
    counts, last = clock.counts, clock.last
    for i in range(len(events)):
        event = events[i]
        latest, t = clock.latest[0], np.int64(event.t) + clock.offset[0]
        if period > 0 and t + period // 2 < latest:
            clock.offset[0] += period
            t += period
            counts[WRAPS] += 1
        elif (
            period > 0 and latest >= 0 and t - latest > period // 2 and latest - t + period <= late
        ):
            t -= period  # an event from before the turn, which is late like any other
        counts[RECEIVED] += 1
        mark = GOES_ON
        if latest >= 0 and t < latest:
            mark = LEFT_OUT
            if latest - t > late:
                mark = RESTARTED
                counts[RESTARTS] += 1
            else:
                counts[BACKWARD] += 1
        elif latest >= 0 and t - latest > gap:
            mark = AFTER_GAP
            counts[GAPS] += 1
        x, y, on = np.int64(event.x), np.int64(event.y), np.int64(event.p)
        if mark == GOES_ON and t == last[0] and x == last[1] and y == last[2] and on == last[3]:
            counts[DUPLICATES] += 1
        times[i], marks[i] = t, mark
        if mark != LEFT_OUT:
            counts[PROCESSED] += 1
            clock.latest[0] = t
            last[0], last[1], last[2], last[3] = t, x, y, on
