"""What there is to wait for: an event in asynchronous time, silence, and the start of the command.

On a grid an event waits for its timestep to end, so a single event is fed to asynchronous time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eventsim as es

from ..report import progress_bar
from .timing import ENGINE, Contestant, take_turns

SILENCE_US = 10_000_000
PACKET = 1000  # events
COMMAND = (sys.executable, "-c", "from eventsim_tools.main import main; main()")


def measure_latency(network: es.Network, events: Any, repeats: int) -> dict[str, Any]:
    """Time single events, an empty recording of 10 s, and the command from the shell."""
    nothing = es.make_events([], [], [], [])
    steps = SILENCE_US // network.dt_us
    silence = partial(es.simulate, network, nothing, steps=steps, start_us=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar("latency", 4 * (repeats + 1)) as done,
    ):
        net, recording = Path(folder, "net.h5"), Path(folder, "recording.npy")
        es.save_network(network, net)
        np.save(recording, events)
        contestants = [
            Contestant(ENGINE, 1, silence),
            Contestant("run", 1, partial(_start, ["run", net, recording])),
            Contestant("help", 1, partial(_start, ["--help"])),
        ]
        # The first round, which is not counted, also fills the kernel cache on disk.
        silent, run, answer = take_turns(contestants, repeats, 1, done)
        single = time_events(network, events, repeats, done)
    return {
        **single,
        "silence_us": SILENCE_US,
        "silence_steps": steps,
        "silence_seconds": list(silent.seconds),
        "run_command_seconds": list(run.seconds),
        "help_command_seconds": list(answer.seconds),
    }


def time_events(
    network: es.Network, events: Any, repeats: int, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Feed the events one by one, in packets, and as one packet; each round begins at rest.

    The time of a single event is that of one call of `AsynchronousRun.feed`, with two looks at the
    clock in it. The first round warms up.
    """
    single = [events[i : i + 1] for i in range(len(events))]
    packets = [events[i : i + PACKET] for i in range(0, len(events), PACKET)]
    percentiles: list[Any] = []
    rates: dict[str, list[float]] = {"packets": [], "one_packet": []}
    for turn in range(repeats + 1):
        percentile = np.percentile(_time_each(network, single), (50, 99))
        in_turn = [len(events) / _time_each(network, p).sum() for p in (packets, [events])]
        if turn:
            percentiles.append(percentile)
            for name, rate in zip(rates, in_turn, strict=True):
                rates[name].append(float(rate))
        advance(1)
    medians, nearly_all = np.transpose(percentiles).tolist()
    return {
        "events": len(events),
        "event_median_seconds": medians,  # of each round
        "event_p99_seconds": nearly_all,
        "packet_events": PACKET,
        "packets_events_a_second": rates["packets"],
        "one_packet_events_a_second": rates["one_packet"],
    }


def _time_each(network: es.Network, packets: Sequence[Any]) -> NDArray[np.float64]:
    """Return the seconds that each packet took in a run of its own."""
    feed, clock = es.AsynchronousRun(network).feed, time.perf_counter_ns
    times = np.empty(len(packets))
    for number, packet in enumerate(packets):
        start = clock()
        feed(packet)
        times[number] = clock() - start
    return 1e-9 * times


def _start(arguments: Sequence[object]) -> None:
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)
