"""`eventsim view`: the command around the page of `test_live_server.py`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_runs import small_network, start
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


def test_a_view_stays_after_the_stream_until_ctrl_c(tmp_path: Path) -> None:
    network, recording = small_network(tmp_path / "net.h5"), tmp_path / "events.npy"
    np.save(recording, make_events(range(0, 50_000, 50), [1] * 1000, [2] * 1000, [1] * 1000))
    with start("view", network, "--from", recording, "--port", 0) as view:
        assert view.stderr is not None
        url = view.stderr.readline().split()[0]
        assert "has ended" in view.stderr.readline()

        async def last() -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url + "live") as page,
            ):
                return await page.receive_json()

        seen = asyncio.run(asyncio.wait_for(last(), PATIENCE_S))
        assert seen["ended"]
        assert seen["events"]["processed"] == 1000
        view.send_signal(signal.SIGINT)
        out, _ = view.communicate(timeout=PATIENCE_S)
    assert view.returncode == 0
    assert "1,000       1,000" in out
