"""What there is to wait for besides spikes: silence, and the start of the command.

Not measured here: the time from one event to the spike it causes, which only asynchronous time has;
on a grid an event waits for its timestep to end.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import eventsim as es

from ..report import progress_bar
from .timing import ENGINE, Contestant, take_turns

SILENCE_US = 10_000_000
COMMAND = (sys.executable, "-c", "from eventsim_tools.main import main; main()")


def measure_latency(network: es.Network, events: Any, repeats: int) -> dict[str, Any]:
    """Time an empty recording of 10 s, and `eventsim run` and `--help` from the shell."""
    nothing = es.make_events([], [], [], [])
    steps = SILENCE_US // network.dt_us
    silence = partial(es.simulate, network, nothing, steps=steps, start_us=0)
    with tempfile.TemporaryDirectory() as folder, progress_bar("latency", 3 * repeats + 3) as done:
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
    return {
        "silence_us": SILENCE_US,
        "silence_steps": steps,
        "silence_seconds": list(silent.seconds),
        "run_command_seconds": list(run.seconds),
        "help_command_seconds": list(answer.seconds),
    }


def _start(arguments: Sequence[object]) -> None:
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)
