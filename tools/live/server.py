"""The server of the web view: hands snapshots of the engine's process to browsers.

    connection -> thread `_receive` -> Latest -> one task `_send` for each websocket
    websocket -> task `_obey` -> connection: pause, and the pace of a recording; nothing else

GET / is the page, which loads the files of `FILES`, and GET /live the websocket; there is nothing
else. Bound to loopback, it answers only requests that name this machine in their Host
header, so that no web page can reach it through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from importlib.resources import files
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

LINGER_S = 1.0  # after the end: for pages that are just being opened, and for slow clients
HEARTBEAT_S = 20.0  # a client that answers no ping for that long is cut off
MESSAGE_BYTES = 1024  # the largest message of a client, which has little to say
HISTORY_S = 10.0  # of the run that a page shows which comes later
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in ("page", "panels", "plots")},
}
# Own files and the own websocket; nothing within the page itself.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PACES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)  # that a client may ask for

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(frames: Connection, host: str, port: int, colours: str) -> None:
    """Serve the page until the connection's other side is gone.

    Meant as the target of a process. Sends ("listening", URL) or ("failed", one sentence) through
    `frames`, then receives snapshots from it, and sends ("opened", None) when the first page is
    there and ("asked", {"paused": bool} or {"pace": float}) when one asks for it. `colours` is
    style for the page. Port 0 lets the system choose. Ctrl-C is ignored:
    it is for the process that runs the engine, whose end is the end of this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listener = _listen(host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        frames.send(("failed", f"{host}:{port}: the web view cannot listen there, {reason}"))
        return
    asyncio.run(_serve(frames, listener, host, colours))


def _listen(host: str, port: int) -> socket.socket:
    """Bind one address: a name such as localhost may have two, and port 0 would give two ports."""
    family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two processes have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address[0], port, *address[2:]))
    listener.listen()
    return listener


async def _serve(frames: Connection, listener: socket.socket, host: str, colours: str) -> None:
    latest = Latest()
    address, port = listener.getsockname()[:2]
    app = _application(frames, latest, host, ipaddress.ip_address(address), colours)
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
        while (snapshot := frames.recv()) is not None:
            loop.call_soon_threadsafe(latest.put, snapshot)
    except (EOFError, OSError):
        pass  # the process that runs the engine is gone
    finally:
        loop.call_soon_threadsafe(latest.finish)


class Latest:
    """The latest snapshot as JSON. Each client waits for a newer one than it has, at its own pace.

    A client that is slow finds that snapshots in between are gone; one that comes later gets those
    of the last seconds first, without their images.
    """

    def __init__(self) -> None:
        """Begin without a snapshot."""
        self.finished = asyncio.Event()
        self._text = ""
        self._number = 0
        self._news = asyncio.Event()
        self._past: deque[tuple[float, str]] = deque()

    def put(self, snapshot: dict[str, Any]) -> None:
        """Replace the snapshot and wake who waits."""
        self._text = json.dumps(snapshot)
        self._number += 1
        now = snapshot["seconds"]
        self._past.append((now, json.dumps(_without_images(snapshot))))
        while not now - HISTORY_S <= self._past[0][0] <= now:  # old, or of a run before
            self._past.popleft()
        self._wake()

    def past(self) -> tuple[int, list[str]]:
        """Return the number of the snapshot before the latest, and those up to there."""
        return max(0, self._number - 1), [text for _, text in self._past][:-1]

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


def _without_images(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return what a curve or a raster shows of a snapshot that is past."""
    layers = [
        layer if len(layer["shape"]) == 1 else {**layer, "spikes": None}
        for layer in snapshot["layers"]
    ]
    return {**snapshot, "image": None, "layers": layers}


def _application(
    frames: Connection,
    latest: Latest,
    host: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    colours: str,
) -> web.Application:
    headers = {
        "Content-Security-Policy": POLICY, "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }  # fmt: skip
    names = {host.lower(), "localhost", "127.0.0.1", "::1"} if address.is_loopback else None
    texts = {path: (_read(name), kind) for path, (name, kind) in FILES.items()}
    texts["/colours.css"] = colours, "text/css"

    async def show(request: web.Request) -> web.Response:
        text, kind = texts[request.path]
        return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)

    async def live(request: web.Request) -> web.StreamResponse:
        return await _live(request, frames, latest)

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
    for path in texts:
        app.router.add_get(path, show, allow_head=False)
    app.router.add_get("/live", live, allow_head=False)
    return app


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


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


async def _live(request: web.Request, frames: Connection, latest: Latest) -> web.StreamResponse:
    """One client: snapshots until the end, or until it leaves."""
    client = web.WebSocketResponse(
        timeout=LINGER_S, heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MESSAGE_BYTES
    )
    await client.prepare(request)
    _tell(frames, "opened", None)
    tasks = [
        asyncio.create_task(_send(client, latest)),
        asyncio.create_task(_obey(client, frames)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    return client


async def _send(client: web.WebSocketResponse, latest: Latest) -> None:
    number, past = latest.past()
    for text in past:
        await client.send_str(text)
    while (news := await latest.newer(number)) is not None:
        number, text = news
        await client.send_str(text)  # waits while the client's socket is full


async def _obey(client: web.WebSocketResponse, frames: Connection) -> None:
    """Read what a client sends: what it may ask for, and pings and its close."""
    async for message in client:
        asked = _wish(message.data) if message.type == web.WSMsgType.TEXT else None
        if asked is not None:
            _tell(frames, "asked", asked)


def _wish(text: str) -> dict[str, Any] | None:
    """Return what a client asks for; None where that is nothing that it may."""
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if asked in ({"paused": True}, {"paused": False}):
        return {"paused": bool(asked["paused"])}
    if isinstance(asked, dict) and list(asked) == ["pace"] and asked["pace"] in PACES:
        return {"pace": float(asked["pace"])}
    return None


def _tell(frames: Connection, kind: str, what: Any) -> None:
    with contextlib.suppress(OSError):  # the process that runs the engine is gone
        frames.send((kind, what))
