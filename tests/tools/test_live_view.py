"""`eventsim view`: the command around the page of `test_live_server.py`."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command
from live_runs import documents, small_network, start
from patience import PATIENCE_S

from eventsim import make_events
from eventsim_tools.main import main

aiohttp = pytest.importorskip("aiohttp")


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    network = small_network(tmp_path / "net.h5")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("view", network, "--from", "udp://127.0.0.1:0", "--port", port) as view:
            out, err = view.communicate(timeout=PATIENCE_S)
    assert (view.returncode, out) == (1, "")
    assert err.startswith(f"eventsim: 127.0.0.1:{port}: the web view cannot listen there, ")
    assert err.count("\n") == 1


def test_without_aiohttp_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small_network(tmp_path / "net.h5")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "eventsim_tools.live.server", raising=False)
    monkeypatch.setattr(sys, "argv", ["eventsim", "view", str(network), "--from", "x.npy"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == (
        "eventsim: aiohttp is not installed, and this needs it: pip install 'eventsim-snn[view]'"
    )


@contextmanager
def ending(view: subprocess.Popen[str]) -> Iterator[None]:
    """Press Ctrl-C at the end, whatever happened: else the test would wait for it to end."""
    try:
        yield
    finally:
        view.send_signal(signal.SIGINT)
        view.communicate(timeout=PATIENCE_S)
    assert view.returncode == 0


def address_of(view: subprocess.Popen[str]) -> str:
    """Return what it serves the page at, which it says when its kernels are compiled."""
    assert view.stderr is not None
    lines = iter(view.stderr.readline, "")
    return next(line for line in lines if line.startswith("http")).split()[0]


def test_a_recording_waits_for_a_browser_and_the_view_stays_until_ctrl_c(tmp_path: Path) -> None:
    network, recording = small_network(tmp_path / "net.h5"), tmp_path / "events.npy"
    np.save(recording, make_events(range(0, 500_000, 500), [1] * 1000, [2] * 1000, [1] * 1000))
    with start("view", network, "--from", recording, "--port", 0) as view:
        assert view.stderr is not None
        url = address_of(view)
        assert "begins when a browser has opened it" in view.stderr.readline()

        async def last() -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url + "live") as page,
            ):
                first = seen = await page.receive_json()
                assert first["events"]["processed"] < 1000
                while not seen["ended"]:
                    seen = await page.receive_json()
                return seen

        seen = asyncio.run(asyncio.wait_for(last(), PATIENCE_S))
        assert seen["events"]["processed"] == 1000
        assert seen["playback"] == {
            "pace": 1.0, "paused": False, "at_us": 499_500, "length_us": 499_501,
        }  # fmt: skip
        assert seen["score_unit"] == "spikes in 100 ms"
        assert "has ended" in view.stderr.readline()
        view.send_signal(signal.SIGINT)
        out, _ = view.communicate(timeout=PATIENCE_S)
    assert view.returncode == 0
    assert "1,000       1,000" in out


def test_the_demo_plays_digits_and_answers_them_and_can_be_paused(tmp_path: Path) -> None:
    lines = tmp_path / "answers.jsonl"
    with start(
        "view", "--demo", "--mode", "clocked", "--port", 0, "--json-lines", lines
    ) as view, ending(view):  # fmt: skip
        url = address_of(view)

        async def talk() -> None:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url + "live") as page,
            ):
                await page.send_str('{"pace": 4}')
                while (seen := await page.receive_json())["stream_us"] < 4_000_000:
                    assert [len(layer["shape"]) for layer in seen["layers"]] == [3, 3, 1]
                await page.send_str('{"paused": true}')
                while not (seen := await page.receive_json())["playback"]["paused"]:
                    pass
                stopped = [(await page.receive_json())["events"]["received"] for _ in range(5)]
                assert stopped[1] == stopped[-1]

        asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    answers = documents(lines.read_text())["answer"]
    for digit in range(10):  # one every 0.4 s
        slot = [each["class"] for each in answers if each["t_us"] // 400_000 == digit]
        assert max(set(slot), key=slot.count) == str(digit)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("view",), "no network to follow with, expected NET, or --demo"),
        (("view", "--demo", "--from", "camera"), "--demo is set with --from, camera, expected it"),
        (("stream", "NET"), "nothing to follow, expected --from SOURCE"),
    ],
)
def test_what_there_is_nothing_of_is_said(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    network = str(small_network(tmp_path / "net.h5"))
    end = run_command(*(network if each == "NET" else each for each in arguments))
    assert str(end).startswith(f"eventsim: {sentence}")
