"""A process of its own that shows snapshots: what draws must not hold up the engine."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self


class Display:
    """Runs `target(connection, *arguments)` in another process and sends it snapshots.

    Who draws slowly gets the latest and never the ones between. If the process dies, nobody else
    notices.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        """Start the process."""
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=target, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._latest: dict[str, Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()

    def __enter__(self) -> Self:
        """Return the display itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is left, and wait until the process has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._sender.join(timeout=2.0)
        if not self._sender.is_alive():
            # A word, for to close the connection does nothing while `listen` reads from it.
            with contextlib.suppress(OSError):
                self.connection.send(None)
            self._process.join(timeout=5.0)
        self.connection.close()
        if self._process.is_alive():
            self._process.terminate()

    def show(self, snapshot: dict[str, Any]) -> None:
        """Send a snapshot as soon as the one before is sent."""
        with self._changed:
            self._latest = snapshot
            self._changed.notify_all()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None or self._closed)
                snapshot, self._latest = self._latest, None
            if snapshot is None:
                return
            try:
                self.connection.send(snapshot)
            except OSError:
                return


def listen(connection: Connection, on_word: Callable[[str, Any], None]) -> None:
    """Call `on_word` from a thread for each (kind, what) that the server's process says."""

    def receive() -> None:
        try:
            while True:
                on_word(*connection.recv())
        except (EOFError, OSError):
            return

    threading.Thread(target=receive, name="eventsim view", daemon=True).start()


def wait_for_address(connection: Connection, seconds: float = 20.0) -> tuple[str, str]:
    """Return what the server's process says first: ("listening", URL) or ("failed", why)."""
    try:
        if connection.poll(seconds):
            kind, text = connection.recv()
            return kind, text
    except (EOFError, OSError):
        pass
    return "failed", "the server's process ended before it listened"
