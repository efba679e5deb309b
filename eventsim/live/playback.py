"""The clock of a recording that is played: at a pace that may change, or paused.

`sources.py` asks it when a packet is due; a view sets it, from any thread.
"""

from __future__ import annotations

import threading
import time


class Playback:
    """When a time of the recording has come. pace: times real time; None is as fast as it goes."""

    def __init__(self, pace: float | None) -> None:
        """Begin before the first packet."""
        # One that its own thread may take again, for a signal handler may close the source.
        self._changed = threading.Condition(threading.RLock())
        self._pace, self._paused = pace, False
        self._at_us: float | None = None  # what the clock showed,
        self._set_s = 0.0  # when it was last set

    @property
    def pace(self) -> float | None:
        """Times real time; None is as fast as it goes."""
        return self._pace

    @property
    def paused(self) -> bool:
        """Tell whether the clock stands still."""
        return self._paused

    def change(self, *, pace: float | None = None, paused: bool | None = None) -> None:
        """Set the pace, where there is one, or pause and go on; the clock does not jump."""
        with self._changed:
            if self._at_us is not None:
                self._at_us, self._set_s = self._now_us(self._at_us), time.monotonic()
            if pace is not None and self._pace is not None:
                self._pace = pace
            if paused is not None:
                self._paused = paused
            self._changed.notify_all()

    def wait(self, first_us: int, due_us: int, closed: threading.Event) -> None:
        """Wait until `due_us` has come, or until somebody has closed and called `wake`.

        The clock begins at `first_us` with the first call.
        """
        with self._changed:
            if self._at_us is None:
                self._at_us, self._set_s = float(first_us), time.monotonic()
            while not closed.is_set():
                left_s = self._left_s(due_us)
                if left_s is not None and left_s <= 0:
                    return
                self._changed.wait(None if left_s is None else min(left_s, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Let who waits look again whether the source is closed."""
        with self._changed:
            self._changed.notify_all()

    def _left_s(self, due_us: int) -> float | None:
        """Return seconds until a time comes; None while the clock stands still."""
        if self._paused:
            return None
        if self._pace is None or self._at_us is None:
            return 0.0
        return (due_us - self._now_us(self._at_us)) / 1e6 / self._pace

    def _now_us(self, at_us: float) -> float:
        if self._paused or self._pace is None:
            return at_us
        return at_us + (time.monotonic() - self._set_s) * 1e6 * self._pace
