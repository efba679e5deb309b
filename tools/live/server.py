"""The web page of `eventsim view`: snapshots in, a page and a websocket out.

Runs in a process of its own. What browsers send is not read: a request chooses between the page and
the websocket, and reaches nothing else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from importlib.resources import files
from ipaddress import ip_address
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, web

CLOSE_S = 1.0  # for clients to take the last snapshot


class _Latest:
    """The latest snapshot, and whoever waits for it."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.number = 0
        self.changed = asyncio.Condition()
        self.closed = False

    async def set(self, text: str | None) -> None:
        """Show a snapshot to all clients; None: there will be no more."""
        async with self.changed:
            if text is None:
                self.closed = True
            else:
                self.text, self.number = text, self.number + 1
            self.changed.notify_all()

    async def after(self, number: int) -> tuple[int, str | None]:
        """Wait for a later snapshot than that; return its number and text, None at the end."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.number > number or self.closed)
            return self.number, self.text if self.number > number else None


def serve(frames: Connection, host: str, port: int) -> None:
    """Serve snapshots that come over a connection until it ends.

    Sends ("listening", URL) over it, or ("failed", why) where it cannot listen. Port 0 lets the
    system choose.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which ends this too
    asyncio.run(_serve(frames, host, port))


async def _serve(frames: Connection, host: str, port: int) -> None:
    latest = _Latest()
    app = web.Application(middlewares=[_guard(host)])
    app.router.add_get("/", _page)
    app.router.add_get("/live", lambda request: _live(request, latest))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        frames.send(("failed", f"the page cannot be served at {host} port {port}: {why}"))
        await runner.cleanup()
        return
    frames.send(("listening", f"http://{_in_url(host)}:{runner.addresses[0][1]}/"))
    await _relay(frames, latest)
    await latest.set(None)
    await runner.cleanup()


async def _relay(frames: Connection, latest: _Latest) -> None:
    """Pass snapshots on until the connection ends."""
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(frames.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            while frames.poll():
                await latest.set(json.dumps(frames.recv()))
    except (EOFError, OSError):
        pass
    finally:
        asyncio.get_running_loop().remove_reader(frames.fileno())


async def _page(request: web.Request) -> web.Response:
    nonce = secrets.token_urlsafe(16)
    page = files(__package__).joinpath("page.html").read_text("utf-8").replace("{{nonce}}", nonce)
    rules = (
        "default-src 'none'", f"script-src 'nonce-{nonce}'", f"style-src 'nonce-{nonce}'",
        "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'",
    )  # fmt: skip
    headers = {
        "Content-Security-Policy": "; ".join(rules),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return web.Response(text=page, content_type="text/html", headers=headers)


async def _live(request: web.Request, latest: _Latest) -> web.WebSocketResponse:
    """Send snapshots to one client: the latest whenever it has taken the one before."""
    socket = web.WebSocketResponse(max_msg_size=1024, heartbeat=20.0)
    await socket.prepare(request)
    sending = asyncio.create_task(_send(socket, latest))
    async for _ in socket:  # what it says is nothing to us, but when it goes
        pass
    sending.cancel()
    return socket


async def _send(socket: web.WebSocketResponse, latest: _Latest) -> None:
    number = 0
    while True:
        number, text = await latest.after(number)
        if text is None:
            await socket.close(code=WSCloseCode.GOING_AWAY)
            return
        try:
            await socket.send_str(text)
        except ConnectionError:
            return


def _guard(host: str) -> Any:
    """Refuse requests that a foreign page or name has led here (DNS rebinding)."""
    local = {"localhost", "127.0.0.1", "::1", host} if _is_loopback(host) else None

    @web.middleware
    async def refuse(request: web.Request, handler: Any) -> web.StreamResponse:
        asked = urlsplit(f"//{request.headers.get('Host', '')}")
        if local is not None and asked.hostname not in local:
            raise web.HTTPForbidden(text="another host was asked for\n")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != asked.netloc:
            raise web.HTTPForbidden(text="the page of another origin asks\n")
        response: web.StreamResponse = await handler(request)
        return response

    return refuse


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
