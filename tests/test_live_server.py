"""The web page of a live run: its server, and the page in a browser where there is one."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_runs import PATIENCE_S, small_network, start
from live_snapshots import snapshot

aiohttp = pytest.importorskip("aiohttp")

from eventsim_tools.live.display import Display, wait_for_address  # noqa: E402
from eventsim_tools.live.server import serve  # noqa: E402
from eventsim_tools.main import main  # noqa: E402


@pytest.fixture
def display() -> Iterator[Display]:
    with Display(serve, "127.0.0.1", 0) as display:
        yield display


@pytest.fixture
def url(display: Display) -> str:
    kind, url = wait_for_address(display.connection)
    assert kind == "listening"
    return url


def within(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE_S))


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        await response.read()
        return int(response.status)


def test_the_page_may_run_nothing_but_its_own_script(url: str) -> None:
    async def get() -> tuple[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text(), response.headers

    page, headers = within(get())
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'"
    nonce = re.fullmatch(r"'nonce-([\w-]+)'", rules["script-src"])
    assert nonce
    assert f'<script nonce="{nonce[1]}">' in page
    assert f'<style nonce="{nonce[1]}">' in page
    assert "{{" not in page
    assert headers["X-Content-Type-Options"] == "nosniff"
    other, _ = within(get())
    assert other != page  # a nonce serves once


@pytest.mark.parametrize(
    "path", ["page.html", "..%2f..%2fetc/passwd", "live/", "server.py", "?x=<script>", "live?a=1"]
)
def test_there_is_nothing_else(url: str, path: str) -> None:
    expected = {"?x=<script>": 200, "live?a=1": 400}.get(path, 404)  # 400: no websocket
    assert within(status(url + path)) == expected


def test_foreign_hosts_and_origins_are_refused(url: str) -> None:
    port = url.rsplit(":", 1)[1].strip("/")
    assert within(status(url, Host=f"localhost:{port}")) == 200
    assert within(status(url, Host="evil.example")) == 403
    assert within(status(url, Host="")) == 403

    async def connect(origin: str) -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(url + "live", origin=origin):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return int(error.status)

    assert within(connect(url.strip("/"))) == 101
    assert within(connect("http://evil.example")) == 403
    assert within(connect("null")) == 403


def test_snapshots_come_in_order_and_the_latest_at_once(display: Display, url: str) -> None:
    async def follow() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url + "live") as early,
        ):
            for number in range(5):
                display.show(snapshot(seconds=float(number)))
                assert (await early.receive_json())["seconds"] == number
            async with session.ws_connect(url + "live") as late:
                assert (await late.receive_json())["seconds"] == 4
                await late.send_str("what is said is not heard")
                display.show(snapshot(seconds=9.0))
                assert (await late.receive_json())["seconds"] == 9
                assert (await early.receive_json())["seconds"] == 9

    within(follow())


def test_who_does_not_read_holds_nobody_up(display: Display, url: str) -> None:
    """Snapshots of 3 MB fill every buffer on the way to a client that takes none."""
    large = snapshot(image={"width": 1, "height": 1, "on": "A" * 3_000_000, "off": "AA=="})

    async def follow() -> None:
        host, port = url.removeprefix("http://").strip("/").split(":")
        _, deaf = await asyncio.open_connection(host, int(port), limit=1)
        deaf.write(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await deaf.drain()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url + "live", max_msg_size=0) as other,
        ):
            for number in range(12):
                display.show({**large, "seconds": float(number)})
                assert (await other.receive_json())["seconds"] == number
        deaf.close()

    within(follow())


def test_the_last_snapshot_stays_until_the_end_and_then_all_is_closed() -> None:
    with Display(serve, "127.0.0.1", 0) as display:
        _, url = wait_for_address(display.connection)
        display.show(snapshot(ended=True))

        async def last() -> tuple[Any, Any]:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url + "live") as socket,
            ):
                seen = await socket.receive_json()
                threading.Thread(target=display.__exit__, args=(None, None, None)).start()
                return seen, await socket.receive()

        seen, end = within(last())
        assert seen["ended"]
        assert end.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert not display.is_alive


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    network = small_network(tmp_path / "net.h5")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("view", network, "--from", "udp://127.0.0.1:0", "--port", port) as view:
            out, err = view.communicate(timeout=PATIENCE_S)
    assert (view.returncode, out) == (1, "")
    assert err.startswith(f"eventsim: the page cannot be served at 127.0.0.1 port {port}: ")
    assert err.count("\n") == 1


def test_without_aiohttp_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small_network(tmp_path / "net.h5")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "eventsim_tools.live.server")
    monkeypatch.setattr(sys, "argv", ["eventsim", "view", str(network), "--from", "x.npy"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == (
        "eventsim: aiohttp is not installed, and this needs it: pip install 'eventsim[view]'"
    )


def test_a_view_stays_after_the_stream_until_ctrl_c(tmp_path: Path) -> None:
    import numpy as np

    from eventsim import make_events

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

        seen = within(last())
        assert seen["ended"]
        assert seen["events"]["processed"] == 1000
        view.send_signal(signal.SIGINT)
        out, _ = view.communicate(timeout=PATIENCE_S)
    assert view.returncode == 0
    assert "1,000       1,000" in out


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium in PATH")
def test_the_page_in_a_browser(display: Display, url: str, tmp_path: Path) -> None:
    """Hostile names stay text, numbers arrive, nothing is blocked and nothing raises."""
    hostile = "<img src=x onerror=alert(1)>"
    names = ["left", hostile, "right"]
    display.show(snapshot(class_names=names, source=hostile, faults={"backward": 4}))
    arguments = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path}", "--window-size=1280,900", "about:blank",
    ]  # fmt: skip
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as browser:
        try:
            text, width, said = within(looked_at(browser, url, names))
        finally:
            browser.kill()
    for told in ("1.25 M", "190 µs", "1.2 ms", "7,000", "= 6,990", "Went wrong: backward 4",
                 f"net.h5 follows {hostile}", "live"):  # fmt: skip
        assert told in text
    assert width <= 1280
    assert said == []


async def looked_at(browser: Any, url: str, names: list[str]) -> tuple[str, int, list[str]]:
    """Open the page; return its text, how wide it is, and what the browser had to say."""
    line = ""
    while not line.startswith("DevTools listening on"):
        line = await asyncio.to_thread(browser.stderr.readline)
    port = line.split(":")[2].split("/")[0]
    said: list[str] = []
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as response:
            pages = [one for one in await response.json(content_type=None) if one["type"] == "page"]
        async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as tools:
            number = 0

            async def call(method: str, **parameters: Any) -> Any:
                nonlocal number
                number += 1
                await tools.send_json({"id": number, "method": method, "params": parameters})
                while (answer := await tools.receive_json()).get("id") != number:
                    if answer["method"] in ("Log.entryAdded", "Runtime.exceptionThrown"):
                        said.append(json.dumps(answer))
                return answer["result"]

            async def value_of(expression: str) -> Any:
                result = await call("Runtime.evaluate", expression=expression)
                return result["result"].get("value")

            await call("Log.enable")
            await call("Runtime.enable")
            await call("Page.navigate", url=url)
            while names[1] != await value_of("document.getElementById('prediction')?.textContent"):
                await asyncio.sleep(0.05)
            text = await value_of("document.body.innerText")
            width = await value_of("document.documentElement.scrollWidth")
    return text, width, said
