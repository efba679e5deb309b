"""The page of the web view in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from live_server import serving, snapshot
from patience import PATIENCE_S


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; nothing may go wrong in it."""
    tab, troubles = browser.new_page(), []
    tab.set_default_timeout(1000 * PATIENCE_S)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    yield tab
    tab.close()
    assert [each for each in troubles if "favicon" not in each] == []


def shows(page: Any, *words: str) -> str:
    """Return the page's text as soon as it has all of these words."""
    page.wait_for_function(
        "words => words.every((word) => document.body.innerText.includes(word))", arg=list(words)
    )
    return str(page.inner_text("body"))


def test_a_browser_shows_what_snapshots_say(page: Any) -> None:
    with serving() as server:
        page.goto(server.url)
        shows(page, "Connected, no data yet")
        for number in range(30):
            server.frames.send(snapshot(number))
            shows(page, f"running for {0.1 * number:.1f} s")
        shows(page, *words_of(29), "net.h5\nLive\n", "full colour 9")  # it was, at 20
        server.frames.send(snapshot(1))  # earlier than the one before: another run
        shows(page, *words_of(1), "full colour 7")
        server.frames.send(snapshot(30, ended=True))
        text = shows(page, *words_of(30), "net.h5\nEnded\n")
        assert "backward" not in text  # a fault that did not occur


def words_of(number: int) -> list[str]:
    """Return what the page has to say of a snapshot."""
    return [
        "square<b>\nwith score 7",  # a name is text, not markup
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
