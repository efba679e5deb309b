"""The server of the web view: what it answers, to whom, and when it ends."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

import aiohttp
from live_server import COLOURS, Server, past, serving, snapshot
from patience import PATIENCE_S

from eventsim_tools.live.server import FILES, serve


@pytest.fixture(scope="module", name="server")
def standing_server() -> Iterator[Server]:
    """One that stays, for requests that leave nothing behind; it has snapshot 1."""
    with serving() as server:
        server.frames.send(snapshot(1))
        yield server


def talk(conversation: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Run a conversation of clients with a server; one that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            await conversation(session)

    asyncio.run(bounded())


def raw(port: int, head: str) -> tuple[int, str]:
    """Send a request as it is written, which a client library would tidy up; status and text."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall((head.replace("\n", "\r\n") + "\r\nConnection: close\r\n\r\n").encode())
        text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    return int(text.split()[1]), text


def upgrade(port: int, headers: str) -> int:
    """Ask for the websocket with these headers; the status, 101 where it is opened."""
    request = (
        f"GET /live HTTP/1.1\n{headers}\nUpgrade: websocket\nConnection: Upgrade\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(request.replace("\n", "\r\n").encode())
        return int(client.recv(4096).split()[1])


def test_the_page_is_served_with_its_headers(server: Server) -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        async with session.get(server.url) as response:
            assert response.status == 200
            assert response.content_type == "text/html"
            assert "<title>eventsim" in await response.text()
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get(f"{server.url}colours.css") as response:
            assert response.content_type == "text/css"
            assert await response.text() == COLOURS
        for name in ("page.js", "panels.js", "plots.js"):
            async with session.get(f"{server.url}{name}") as response:
                assert response.content_type == "text/javascript"

    talk(conversation)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    folder = Path(serve.__code__.co_filename).parent
    parts = [folder / name for name, _ in FILES.values()]
    assert {part.name for part in parts} == {path.name for path in folder.glob("p*.*s*")} | {
        path.name for path in folder.glob("*.html")
    }
    for part in parts:
        text = part.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 400
        for forbidden in ("http://", "https://", "@import", "url(", "innerHTML", "style="):
            assert forbidden not in text


PATHS = (
    "/../../etc/passwd /..%2f..%2fetc/passwd //etc/passwd /%2e%2e/%2e%2e/etc/passwd "
    "/live/ /live/../page.html /page.html /server.py /index.html /static /favicon.ico "
    "/demo_files/network.h5"
)


@pytest.mark.parametrize("path", PATHS.split())
def test_nothing_else_exists(server: Server, path: str) -> None:
    status, text = raw(server.port, f"GET {path} HTTP/1.1\nHost: 127.0.0.1")
    assert status == 404
    assert "root:" not in text
    assert "x-content-type-options: nosniff" in text.lower()


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_no_other_method_exists(server: Server, method: str) -> None:
    assert raw(server.port, f"{method} / HTTP/1.1\nHost: 127.0.0.1")[0] == 405


FOREIGN = "evil.example evil.example:80 127.0.0.1.evil.example localhost.evil.example [::2] ["


@pytest.mark.parametrize("host", [*FOREIGN.split(), ""])
def test_a_foreign_host_is_refused(server: Server, host: str) -> None:
    assert upgrade(server.port, f"Host: {host}") in (400, 403)
    assert raw(server.port, f"GET / HTTP/1.1\nHost: {host}")[0] in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST", "[::1]:{}"])
def test_names_of_this_machine_are_answered(server: Server, host: str) -> None:
    host = host.format(server.port)
    assert upgrade(server.port, f"Host: {host}") == 101
    assert upgrade(server.port, f"Host: {host}\nOrigin: http://{host}") == 101
    assert raw(server.port, f"GET / HTTP/1.1\nHost: {host}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "http://["]
)
def test_a_foreign_origin_is_refused(server: Server, origin: str) -> None:
    assert upgrade(server.port, f"Host: 127.0.0.1:{server.port}\nOrigin: {origin}") == 403


@pytest.mark.parametrize("head", ["GARBAGE", "GET / HTTP/1.1\nHost: localhost\nX: \1"])
def test_nonsense_is_refused_and_leaves_the_terminal_alone(
    head: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        assert raw(server.port, head)[0] == 400
    assert "".join(capfd.readouterr()) == ""


def test_where_everybody_may_come_any_host_does_but_no_foreign_origin() -> None:
    with serving("0.0.0.0") as server:
        assert server.url == f"http://localhost:{server.port}/"
        assert upgrade(server.port, "Host: camera.example") == 101
        assert upgrade(server.port, "Host: camera.example\nOrigin: http://evil.example") == 403


def test_snapshots_come_in_order_and_those_before_to_who_comes_late() -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{server.url}live") as first:
            for number in range(5):
                server.frames.send(snapshot(number))
                assert await first.receive_json() == snapshot(number)
            async with session.ws_connect(f"{server.url}live") as late:
                for number in range(4):
                    assert await late.receive_json() == past(snapshot(number))
                assert await late.receive_json() == snapshot(4)
                server.frames.send(snapshot(5))
                assert await late.receive_json() == await first.receive_json() == snapshot(5)

    with serving() as server:
        talk(conversation)


def test_no_more_is_replayed_than_ten_seconds_of_this_run() -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        for numbers, expected in (([0, 60, 120, 150], [60, 120, 150]), ([5, 10], [5, 10])):
            async with session.ws_connect(f"{server.url}live") as first:
                for number in numbers:
                    server.frames.send(snapshot(number))
                    while (await first.receive_json())["seconds"] != 0.1 * number:
                        pass
            async with session.ws_connect(f"{server.url}live") as late:
                seen = [(await late.receive_json())["seconds"] for _ in expected]
                assert seen == [0.1 * number for number in expected]

    with serving() as server:
        talk(conversation)


def test_a_client_may_ask_for_a_pause_and_a_pace_and_nothing_else() -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{server.url}live") as client:
            for nonsense in (
                '{"ended": true}', "{", "[" * 900, "1", "null", '{"pace": 3}', '{"pace": "1"}',
                '{"pace": [1]}', '{"paused": 0.5}', '{"paused": true, "pace": 1}', '{"pace": NaN}',
            ):  # fmt: skip
                await client.send_str(nonsense)
            await client.send_bytes(b"\0" * 1000)
            await client.send_str('{"paused": true}')
            await client.send_str('{"pace": 0.5}')
            server.frames.send(snapshot(0))
            assert await client.receive_json() == snapshot(0)
            words = [await asyncio.to_thread(server.frames.recv) for _ in range(3)]
            assert words == [
                ("opened", None),
                ("asked", {"paused": True}),
                ("asked", {"pace": 0.5}),
            ]
            await client.send_str("x" * 5000)
            assert (await client.receive()).data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        async with session.ws_connect(f"{server.url}live") as client:
            assert await client.receive_json() == snapshot(0)

    with serving() as server:
        talk(conversation)


def test_a_client_that_does_not_read_holds_up_nobody_and_skips() -> None:
    """40 snapshots of 2.8 MB are more than the sockets between the two hold."""
    count, side = 40, 1024

    async def conversation(session: aiohttp.ClientSession) -> None:
        stalled = await session.ws_connect(f"{server.url}live", max_msg_size=0)
        transport = stalled._response.connection.transport
        transport.pause_reading()
        async with session.ws_connect(f"{server.url}live", max_msg_size=0) as reader:
            for number in range(count):
                await asyncio.to_thread(server.frames.send, snapshot(number, side=side))
                assert (await reader.receive_json())["seconds"] == 0.1 * number
            assert memory_of(server.process) < 250
            transport.resume_reading()
            seen = [(await stalled.receive_json())["seconds"]]
            while seen[-1] < 0.1 * (count - 1):
                seen.append((await stalled.receive_json())["seconds"])
            assert seen == sorted(set(seen))
            assert len(seen) < count / 2

    with serving() as server:
        talk(conversation)


def memory_of(process: SpawnProcess) -> float:
    """Return a process's resident memory in MB; 0 where the system does not tell."""
    file = Path(f"/proc/{process.pid}/statm")
    pages = int(file.read_text().split()[1]) if file.exists() else 0
    return pages * mmap.PAGESIZE / 1e6


def test_the_end_comes_to_every_client_and_ends_the_server() -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        stalled = await session.ws_connect(f"{server.url}live")
        stalled._response.connection.transport.pause_reading()
        async with session.ws_connect(f"{server.url}live", max_msg_size=0) as client:
            for number in range(12):  # more than the sockets to the stalled client hold
                await asyncio.to_thread(server.frames.send, snapshot(number, side=1024))
                await client.receive()
            server.frames.send(snapshot(12, ended=True))
            assert await client.receive_json() == snapshot(12, ended=True)
            async with session.ws_connect(f"{server.url}live") as late:  # the run is over
                while not (seen := await late.receive_json())["ended"]:
                    assert seen["image"] is None
                assert seen == snapshot(12, ended=True)
            server.frames.close()
            assert (await client.receive()).type == aiohttp.WSMsgType.CLOSE
            assert client.close_code == aiohttp.WSCloseCode.OK
        await asyncio.to_thread(server.assert_it_ends)  # the stalled client is still connected

    with serving() as server:
        talk(conversation)


@pytest.mark.parametrize("begun", [False, True])
def test_it_ends_with_its_parent(begun: bool) -> None:
    with serving() as server:
        if begun:
            server.frames.send(snapshot(0))
        server.frames.close()
        server.assert_it_ends()


def test_ctrl_c_is_its_parents() -> None:
    with serving() as server:
        assert server.process.pid is not None
        os.kill(server.process.pid, signal.SIGINT)
        assert raw(server.port, "GET / HTTP/1.1\nHost: localhost")[0] == 200
        server.frames.close()
        server.assert_it_ends()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(port=port) as server:
            assert server.answer == (
                "failed",
                f"127.0.0.1:{port}: the web view cannot listen there, Address already in use",
            )
            server.assert_it_ends()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("a" * 64, 0), ("127.0.0.1", 70000)])
def test_what_cannot_be_bound_is_said(host: str, port: int) -> None:
    with serving(host, port) as server:
        assert server.answer[0] == "failed"
        assert server.answer[1].startswith(f"{host}:{port}: the web view cannot listen there, ")
        server.assert_it_ends()
