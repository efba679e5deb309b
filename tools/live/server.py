"""The server of the web view: hands snapshots of the engine's process to browsers.

    connection -> thread `_receive` -> Latest -> one task `_send` for each websocket

GET / is the page and GET /live the websocket; there is nothing else, and what clients send is
thrown away. Bound to loopback, it answers only requests that name this machine in their Host
header, so that no web page can reach it through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import json
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from importlib.resources import files
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from aiohttp import web

LINGER_S = 1.0  # after the end: for pages that are just being opened, and for slow clients
HEARTBEAT_S = 20.0  # a client that answers no ping for that long is cut off
MESSAGE_BYTES = 1024  # the largest message of a client, which has nothing to say

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(frames: Connection, host: str, port: int) -> None:
    """Serve the page until the connection's other side is gone.

    Meant as the target of a process. Sends ("listening", URL) or ("failed", one sentence) through
    `frames`, then receives snapshots from it. Port 0 lets the system choose. Ctrl-C is ignored:
    it is for the process that runs the engine, whose end is the end of this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listener = _listen(host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        frames.send(("failed", f"{host}:{port}: the web view cannot listen there, {reason}"))
        return
    asyncio.run(_serve(frames, listener, host))


def _listen(host: str, port: int) -> socket.socket:
    """Bind one address: a name such as localhost may have two, and port 0 would give two ports."""
    family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two processes have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address[0], port, *address[2:]))
    listener.listen()
    return listener


async def _serve(frames: Connection, listener: socket.socket, host: str) -> None:
    latest = Latest()
    address, port = listener.getsockname()[:2]
    app = _application(latest, host, ipaddress.ip_address(address))
    silent = logging.getLogger(__name__)  # a client's nonsense is not for the run's terminal
    silent.addHandler(logging.NullHandler())
    runner = web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=LINGER_S)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    name = "localhost" if ipaddress.ip_address(address).is_unspecified else host
    url = f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
    loop = asyncio.get_running_loop()
    threading.Thread(target=_receive, args=(frames, url, loop, latest), daemon=True).start()
    await latest.finished.wait()
    await asyncio.sleep(LINGER_S)
    await runner.cleanup()


def _receive(frames: Connection, url: str, loop: asyncio.AbstractEventLoop, latest: Latest) -> None:
    """Receive snapshots until the end. A thread, as a connection has no asynchronous way to."""
    try:
        frames.send(("listening", url))
        while True:
            loop.call_soon_threadsafe(latest.put, json.dumps(frames.recv()))
    except (EOFError, OSError):
        pass  # the process that runs the engine is gone
    finally:
        loop.call_soon_threadsafe(latest.finish)


class Latest:
    """The latest snapshot as JSON. Each client waits for a newer one than it has, at its own pace.

    Nothing is queued: a client that is slow finds that snapshots in between are gone.
    """

    def __init__(self) -> None:
        """Begin without a snapshot."""
        self.finished = asyncio.Event()
        self._text = ""
        self._number = 0
        self._news = asyncio.Event()

    def put(self, text: str) -> None:
        """Replace the snapshot and wake who waits."""
        self._text = text
        self._number += 1
        self._wake()

    def finish(self) -> None:
        """Say that no other snapshot will come."""
        self.finished.set()
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def newer(self, number: int) -> tuple[int, str] | None:
        """Wait for a snapshot after `number`; None where no other will come."""
        while self._number == number and not self.finished.is_set():
            await self._news.wait()
        return None if self._number == number else (self._number, self._text)


def _application(
    latest: Latest, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> web.Application:
    page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": _policy(page),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    names = {host.lower(), "localhost", "127.0.0.1", "::1"} if address.is_loopback else None

    async def show_page(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def live(request: web.Request) -> web.StreamResponse:
        return await _live(request, latest)

    @web.middleware
    async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
        if names is not None and _host_name(request.host) not in names:
            raise web.HTTPForbidden(text="The Host header does not name this machine.\n")
        origin = request.headers.get("Origin")
        if origin is not None and _netloc(origin) != request.host.lower():
            raise web.HTTPForbidden(text="The Origin header is another site's.\n")
        return await handler(request)

    async def forbid_sniffing(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Content-Type-Options"] = "nosniff"

    app = web.Application(middlewares=[refuse_foreign])
    app.on_response_prepare.append(forbid_sniffing)
    app.router.add_get("/", show_page, allow_head=False)
    app.router.add_get("/live", live, allow_head=False)
    return app


def _policy(page: str) -> str:
    """Allow the page's own style and script, by their hashes, and its own websocket."""

    def source(tag: str) -> str:
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [hashlib.sha256(text.encode()).digest() for text in inline]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; style-src {source('style')}; script-src {source('script')}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _netloc(url: str) -> str:
    """Return a URL's host and port; empty, which equals no Host, where it has none or is no URL."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _host_name(host: str) -> str | None:
    """Return a Host header's name without its port and brackets; None where it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def _live(request: web.Request, latest: Latest) -> web.StreamResponse:
    """One client: snapshots until the end, or until it leaves."""
    client = web.WebSocketResponse(
        timeout=LINGER_S, heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MESSAGE_BYTES
    )
    await client.prepare(request)
    tasks = [asyncio.create_task(_send(client, latest)), asyncio.create_task(_ignore(client))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    return client


async def _send(client: web.WebSocketResponse, latest: Latest) -> None:
    number = 0
    while (news := await latest.newer(number)) is not None:
        number, text = news
        await client.send_str(text)  # waits while the client's socket is full


async def _ignore(client: web.WebSocketResponse) -> None:
    """Read what a client sends, for pings and its close are among it."""
    async for _ in client:
        pass
