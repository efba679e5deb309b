"""The terminal view of a live run."""

from __future__ import annotations

import io
import multiprocessing
import os
import pty
import re
import select
import signal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_snapshots import picture, snapshot, snapshots
from patience import PATIENCE_S
from rich.cells import cell_len
from rich.console import Console

from eventsim_tools.live.screen import Screen, curve_of, seconds, show, si


def drawn(*seen: dict[str, Any], width: int = 100, height: int = 30, **more: Any) -> list[str]:
    screen = Screen()
    for one in seen:
        screen.add(one)
    return lines_of(screen, width, height, **more)


def lines_of(screen: Screen, width: int, height: int, **more: Any) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=more.pop("encoding", "utf-8"))
    console = Console(width=width, height=height, file=file, color_system=None, **more)
    console.print(screen.render(console))
    file.seek(0)
    return file.read().splitlines()


def test_it_shows_what_is_to_be_known() -> None:
    text = "\n".join(drawn(snapshot()))
    for told in (
        "net.h5 follows udp://127.0.0.1:7777", "00:01:05", "64.00 s", "1.25 M", "p50 190 us",
        "p99 1.2 ms", "received 7,000 = processed 6,990 + dropped 0 + filtered 10 + queued 0",
        "says middle   spikes in 100 ms", "spikes/s, last 0 s",
        "layer 2 (Dense)", "10.0 k", "5.00 M", "1.00 G", "0.5%", "0% of 1.00 k",
    ):  # fmt: skip
        assert told in text
    assert "went wrong" not in text


def test_scores_are_bars_beside_their_names() -> None:
    bars = {
        name: line.count("█")
        for line in drawn(snapshot(scores=[10.0, 40.0, 0.0]))
        for name in ("left", "middle", "right")
        if re.search(rf"{name} +\d", line)
    }
    assert bars["right"] == 0
    assert bars["middle"] == pytest.approx(4 * bars["left"], abs=4)
    assert bars["middle"] > 30


def test_of_many_classes_the_best_are_shown() -> None:
    names = [f"class{number}" for number in range(100)]
    seen = snapshot(class_names=names, scores=[float(n) for n in range(100)], prediction=99)
    text = "\n".join(drawn(seen, height=24))
    assert "says class99" in text
    assert "class98 " in text
    assert "class0 " not in text


def test_what_went_wrong_is_said() -> None:
    events = {"received": 9, "processed": 5, "dropped": 4, "filtered": 0, "queued": 0}
    faults = {"malformed_datagrams": 3, "backward": 4, "gaps": 0}
    text = "\n".join(drawn(snapshot(events=events, faults=faults)))
    assert "went wrong: malformed datagrams 3, backward 4\n" in text + "\n"
    assert "gaps" not in text


def test_before_anything_came() -> None:
    assert lines_of(Screen(), 80, 24) == ["waiting"]
    nothing = snapshot(latency_us={"p50": None, "p99": None}, prediction=-1, stream_us=-1)
    text = "\n".join(drawn(nothing))
    assert "latency -" in text
    assert "says -" in text
    assert "stream at -" in text


def test_text_from_elsewhere_commands_nothing() -> None:
    names = ["[bold]b[/bold]", "\x1b[2Jx", "a\nb"]
    seen = snapshot(class_names=names, source="\x1b]0;title\x07", prediction=0)
    text = "\n".join(drawn(seen))
    assert "[bold]b[/bold]" in text
    assert "?[2Jx" in text
    assert "a?b" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


@given(
    st.lists(snapshots(), min_size=1, max_size=3),
    st.integers(1, 160),
    st.integers(2, 60),
    st.sampled_from(["utf-8", "ascii"]),
)
@settings(max_examples=100)
def test_it_never_needs_more_room_than_there_is(
    seen: list[dict[str, Any]], width: int, height: int, encoding: str
) -> None:
    lines = drawn(*seen, width=width, height=height, encoding=encoding)
    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width


def test_without_colours_polarities_are_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = "\n".join(drawn(snapshot(image=picture(30, 30)), force_terminal=True))
    assert "▀" not in text
    assert text.count("+") > 50
    assert text.count("- ") > 10


def test_time_goes_on_after_a_day() -> None:
    assert "27:46:40" in drawn(snapshot(seconds=100_000.0))[0]


def test_the_least_important_goes_first() -> None:
    small = "\n".join(drawn(snapshot(), height=10))
    assert "received 7,000" in small
    assert "says middle" in small
    assert "layer 1" not in small
    tiny = "\n".join(drawn(snapshot(), height=5))
    assert "received 7,000" in tiny
    assert "says" not in tiny


def test_a_picture_fades() -> None:
    screen = Screen()
    screen.add(snapshot(image=picture(30, 30)))
    bright = "".join(lines_of(screen, 100, 40))
    empty = picture(30, 30)
    empty["on"] = empty["off"] = "A" * len(empty["on"].rstrip("=")) + "=" * empty["on"].count("=")
    for _ in range(10):
        screen.add(snapshot(image=empty))
    faded = "".join(lines_of(screen, 100, 40))
    assert bright.count("-") > faded.count("-") + 30


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (0.31, "0.31"), (44.7, "44.7"), (1000, "1.00 k"),
     (999.6, "1.00 k"), (12345, "12.3 k"), (999_600, "1.00 M"), (3.4e9, "3.40 G"), (2e15, "2 P")],
)  # fmt: skip
def test_numbers_have_units(value: float, text: str) -> None:
    assert si(value) == text


def test_times_have_units() -> None:
    assert [seconds(us) for us in (12.3, 999.4, 1500, 2.5e6)] == [
        "12 us", "999 us", "1.5 ms", "2.5 s",
    ]  # fmt: skip


def test_a_curve_ends_with_the_latest() -> None:
    assert curve_of([0, 1, 2, 4], " 1234", 10) == " 124"
    assert curve_of([9, 0, 4], " 1234", 2) == " 4"
    assert curve_of([0, 0], " 1234", 5) == "  "


@pytest.mark.parametrize("ending", ["ended", "closed", "terminated"])
def test_the_process_ends_and_leaves_the_terminal_as_it_was(ending: str) -> None:
    ours, theirs = pty.openpty()
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=show_on, args=(its, os.ttyname(theirs)), daemon=True)
    process.start()
    its.close()
    try:
        mine.send(snapshot())
        assert b"\x1b[?25l" in read_until(b"says", ours)  # the cursor is hidden meanwhile
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)  # Ctrl-C is not for it
        mine.send(snapshot(ended=ending == "ended"))
        if ending == "terminated":
            process.terminate()
        if ending == "closed":
            mine.close()
        read_until(b"\x1b[?25h", ours)
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    finally:
        process.terminate()
        os.close(ours)
        os.close(theirs)


def read_until(words: bytes, terminal: int) -> bytes:
    """Read what a terminal shows, until these words are among it."""
    text = b""
    while words not in text:
        readable, _, _ = select.select([terminal], [], [], PATIENCE_S)
        assert readable, f"{words!r} does not come after {text!r}"
        text += os.read(terminal, 65536)
    return text


def show_on(frames: Any, terminal: str) -> None:
    os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    file = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    os.dup2(file, 1)
    show(frames)
