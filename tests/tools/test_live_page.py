"""The page of the web view in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from live_server import Server, serving, snapshot
from patience import PATIENCE_S, wait_until


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; nothing may go wrong in it."""
    tab, troubles = browser.new_page(), []
    tab.set_default_timeout(1000 * PATIENCE_S)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    yield tab
    tab.close()
    assert troubles == []


def shows(page: Any, *words: str) -> str:
    """Return the page's text as soon as it has all of these words."""
    page.wait_for_function(
        "words => words.every((word) => document.body.innerText.includes(word))", arg=list(words)
    )
    return str(page.inner_text("body"))


def told(page: Any, server: Server, first: int, words: Sequence[str], **changed: Any) -> int:
    """Send snapshots until the page shows these words; return the number of the next one.

    A single one would not do: the page soon says that no more come.
    """
    numbers = count(first)

    def is_shown() -> bool:
        server.frames.send(snapshot(next(numbers)) | changed)
        text = page.inner_text("body")
        return all(word in text for word in words)

    wait_until(is_shown, f"{words} are not shown")
    return next(numbers)


def test_a_browser_shows_what_snapshots_say(page: Any) -> None:
    with serving() as server:
        page.goto(server.url)
        shows(page, "Connected, no data yet")
        for number in range(30):
            server.frames.send(snapshot(number))
            shows(page, f"running for {0.1 * number:.1f} s")
        shows(
            page, *words_of(29), "net.h5\nLive\n", "full colour 9 spikes in 100 ms"
        )  # it was, at 20
        server.frames.send(snapshot(1))  # earlier than the one before: another run
        shows(page, *words_of(1), "full colour 7")
        server.frames.send(snapshot(30, ended=True))
        text = shows(page, *words_of(30), "net.h5\nEnded\n")
        assert "backward" not in text  # a fault that did not occur


def test_neurons_are_images_and_rasters(page: Any) -> None:
    with serving() as server:
        page.goto(server.url)
        shows(page, "Connected, no data yet")
        for number in range(5):
            server.frames.send(snapshot(number))
        shows(page, "maps1: 2 maps of 2 × 2", "dense1: 512 neurons", "running for 0.4 s")
        sizes = page.eval_on_selector_all(
            "#neurons canvas", "all => all.map(c => [c.width, c.height])"
        )
        assert sizes == [[5, 2], [200, 256]]
        inked = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        for canvas in page.query_selector_all("#neurons canvas"):
            assert len(set(canvas.evaluate(inked))) > 5  # shades


def test_a_page_that_comes_late_shows_what_was(page: Any) -> None:
    with serving() as server:
        for number in range(21):
            server.frames.send(snapshot(number))
        server.frames.send(snapshot(21, ended=True))
        page.goto(server.url)
        shows(page, "full colour 9 spikes in 100 ms", "Ended")  # 9 was the score at 20 only


def test_a_recording_can_be_paused_and_played_slowly(page: Any) -> None:
    playback = {"paused": False, "pace": 1.0, "at_us": 1_200_000, "length_us": 4_000_000}
    with serving() as server:
        page.goto(server.url)
        number = told(page, server, 1, ["Playing", "1.20 of 4.00 s"], playback=playback)
        page.click("#pause")
        page.select_option("#pace", "0.25")
        words = [server.frames.recv() for _ in range(3)]
        assert words == [("opened", None), ("asked", {"paused": True}), ("asked", {"pace": 0.25})]
        paused = playback | {"paused": True, "pace": 0.25}
        number = told(page, server, number, ["Paused"], playback=paused)
        page.wait_for_selector("#pause:text-is('Play')")
        assert page.input_value("#pace") == "0.25"
        server.frames.send(snapshot(number, playback=playback, ended=True))
        shows(page, "Ended: the recording is over", "4.00 of 4.00 s")
        assert page.is_disabled("#pause")


def test_silence_of_the_source_and_of_the_server_is_said(page: Any) -> None:
    with serving() as server:
        page.goto(server.url)
        told(page, server, 1, ["Idle: no events for 5 s"], events_per_second=0.0)
    shows(page, "Disconnected, trying again")


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(browser: Any, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    with serving() as server:
        page.goto(server.url)
        server.frames.send(snapshot(1))
        shows(page, "running for 0.1 s")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = page.evaluate(
            "['color', 'backgroundColor'].map(name => Math.max("
            "...getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3)))"
        )
        assert abs(ink - paper) > 150
    page.close()


def words_of(number: int) -> list[str]:
    """Return what the page has to say of a snapshot."""
    return [
        "square<b>\n7 spikes in 100 ms",  # a name is text, not markup
        *(f"\n{number * part:,}\n" for part in (1_111_111, 1_000_000, 100_000, 10_000, 1_111)),
        "1.2 M/s",
        "120 µs",
        "4.8 ms",
        "2.5 %",
        "40 times fewer than dense",
        f"Dropped: {100_000 * number:,} events, 9 % of those received",
        f"Fault: malformed datagrams, {number} so far",
        "34 × 34 pixels",
    ]
