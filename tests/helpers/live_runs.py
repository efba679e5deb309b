"""Live commands in processes of their own, with a small network."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.network.storage import save_network

PATIENCE_S = 60.0  # for processes that may have to compile


def small_network(path: Path, **more: Any) -> Path:
    """Three classes: left, middle and right third of 9 x 6 pixels."""
    third = (np.arange(108) % 9) // 3
    weight = (third == np.arange(3)[:, None]) * 0.3
    save_network(
        Network((2, 6, 9), 1000, [Flatten(), Dense(weight, neuron=LIF(0.9, 0.5))], **more), path
    )
    return path


def start(*arguments: Any, **more: Any) -> subprocess.Popen[str]:
    """Start a command, for which Ctrl-C is not ignored, as it is for what a shell put behind it."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("eventsim"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **more,
    )  # fmt: skip


def run(*arguments: Any, **more: Any) -> tuple[int, str, str]:
    """Run a command to its end: status, stdout, stderr."""
    with start(*arguments, **more) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def documents(text: str) -> dict[str, list[dict[str, Any]]]:
    """JSON lines by their kind."""
    kinds: dict[str, list[dict[str, Any]]] = {"answer": [], "status": [], "summary": []}
    for line in text.splitlines():
        document = json.loads(line)
        kinds[document["kind"]].append(document)
    return kinds


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_bound(port: int) -> None:
    """Wait until somebody else has the port."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody bound port {port}")


def wait_for(path: Path, kind: str, count: int) -> None:
    """Wait until a file has so many lines of a kind."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if path.exists() and len(documents(path.read_text())[kind]) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} has fewer than {count} lines of kind {kind}")
