"""The clock of a recording that is played."""

from __future__ import annotations

import threading

import pytest

from eventsim.live import playback
from eventsim.live.playback import Playback


def test_a_change_never_makes_the_clock_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, clock, closed = [100.0], Playback(2.0), threading.Event()
    monkeypatch.setattr(playback.time, "monotonic", lambda: now_s[0])
    clock.wait(5_000, 5_000, closed)  # begins there, and 1 s is 2 s of the recording
    assert clock._left_s(2_005_000) == pytest.approx(1.0)
    now_s[0] += 0.5
    clock.change(pace=0.5)
    assert clock._left_s(2_005_000) == pytest.approx(2.0)
    clock.change(paused=True)
    now_s[0] += 1000
    assert clock._left_s(2_005_000) is None
    clock.change(paused=False)
    assert clock._left_s(2_005_000) == pytest.approx(2.0)
    now_s[0] += 2.0
    clock.wait(0, 2_005_000, closed)  # returns, for it has come


def test_without_a_pace_nothing_is_waited_for_but_a_pause_or_the_end() -> None:
    clock, closed = Playback(None), threading.Event()
    clock.wait(0, 10**12, closed)
    clock.change(pace=1.0)  # there is none to change
    assert clock.pace is None
    clock.change(paused=True)
    waiting = threading.Thread(target=clock.wait, args=(0, 10**12, closed))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    closed.set()
    clock.wake()
    waiting.join(60)
    assert not waiting.is_alive()
