"""The server of the web view in a process of its own, and snapshots for it."""

from __future__ import annotations

import base64
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from patience import PATIENCE_S

from eventsim_tools.live.colours import colours_css
from eventsim_tools.live.server import serve

COLOURS = colours_css()
Snapshot = dict[str, Any]


def snapshot(number: int, *, ended: bool = False, side: int = 34, playback: Any = None) -> Snapshot:
    """The snapshot of that number, a tenth of a second after the one before it."""

    def coded(size: int) -> str:
        return base64.b64encode(bytes((number * 7 + place) % 5 for place in range(size))).decode()

    image = coded(side**2)
    parts = {"processed": 1_000_000, "dropped": 100_000, "filtered": 10_000, "queued": 1_111}
    work = {"spikes_per_second": 3000.0, "sops_per_second": 2.0e6, "dense_per_second": 8.0e7}
    layers = [
        {"name": "maps1", "neurons": 8, "shape": [2, 2, 2], "spikes": coded(8)},
        {"name": "dense1", "neurons": 512, "shape": [512], "spikes": coded(512)},
    ]
    what = {"network": "net.h5", "source": "udp://127.0.0.1:7777", "mode": "async"}
    return what | {
        "class_names": ["circle", "square<b>", "triangle"],
        "seconds": 0.1 * number,
        "stream_us": 100_000 * number,
        "interval_s": 0.1,
        "events_per_second": 1.2e6,
        "answers_per_second": 100.0,
        "latency_us": {"p50": 120.0, "p99": 4800.0} if number else {"p50": None, "p99": None},
        "events": {name: part * number for name, part in ({"received": 1_111_111} | parts).items()},
        "queue_capacity": 1_000_000,
        "faults": {"malformed_datagrams": number, "backward": 0},
        "layers": [layer | work for layer in layers],
        "score_unit": "spikes in 100 ms",
        "playback": playback,
        "scores": [-1.5, 9.0 if number == 20 else 7.0, 0.0],
        "prediction": 1,
        "image": {"width": side, "height": side, "on": image, "off": image},
        "ended": ended,
    }


@dataclass
class Server:
    """A server as its parent sees it."""

    process: SpawnProcess
    frames: Connection
    answer: tuple[str, str]

    @property
    def url(self) -> str:
        assert self.answer[0] == "listening", self.answer
        return self.answer[1]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def assert_it_ends(self) -> None:
        self.process.join(PATIENCE_S)
        assert self.process.exitcode == 0


@contextmanager
def serving(host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    context = multiprocessing.get_context("spawn")
    frames, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, host, port, COLOURS), daemon=True)
    process.start()
    theirs.close()
    try:
        assert frames.poll(PATIENCE_S), "the server said nothing"
        yield Server(process, frames, frames.recv())
    finally:
        frames.close()
        process.join(PATIENCE_S)
        process.kill()
        process.join()


def past(of: Snapshot) -> Snapshot:
    """What a page that comes later is told of a snapshot."""
    layers = [
        {**layer, "spikes": layer["spikes"] if len(layer["shape"]) == 1 else None}
        for layer in of["layers"]
    ]
    return {**of, "image": None, "layers": layers}
