"""Live commands in processes of their own, with a small network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE_S, wait_until

from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.network.storage import save_network


def small_network(path: Path, **more: Any) -> Path:
    """Three classes: left, middle and right third of 9 x 6 pixels."""
    third = (np.arange(108) % 9) // 3
    weight = (third == np.arange(3)[:, None]) * 0.3
    save_network(
        Network((2, 6, 9), 1000, [Flatten(), Dense(weight, neuron=LIF(0.9, 0.5))], **more), path
    )
    return path


class Command(subprocess.Popen[str]):
    """A process that ends where the test that uses it fails, instead of being waited for."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, traceback)


def start(*arguments: Any, stdout: Any = subprocess.PIPE, **more: Any) -> Command:
    """Start a command, for which Ctrl-C is not ignored, as it is for what a shell put behind it."""
    return Command(
        [Path(sys.executable).with_name("eventsim"), *map(str, arguments)],
        stdout=stdout, stderr=subprocess.PIPE, text=True,
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


def wait_until_bound(port: int) -> None:
    """Wait until somebody has the UDP port; to try it out could take it from under their hands."""
    table = Path("/proc/net/udp")
    if not table.exists():
        pytest.skip("this system does not tell which ports are bound")

    def is_bound() -> bool:
        places = [line.split()[1] for line in table.read_text().splitlines()[1:]]
        return any(int(place.partition(":")[2], 16) == port for place in places)

    wait_until(is_bound, f"nobody bound port {port}")


def wait_until_processed(path: Path, count: int) -> None:
    """Wait until an account among the lines of a file says that so many events are processed."""

    def is_processed() -> bool:
        accounts = documents(path.read_text())["status"] if path.exists() else []
        return bool(accounts) and accounts[-1]["events"]["processed"] >= count

    wait_until(is_processed, f"{path} does not tell of {count} processed events")
