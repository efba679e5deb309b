"""`python -m eventsim_tools.bench.gpu`: checks and times the CUDA engine on a machine with a GPU.

Needs nothing from a network: recordings are simulated, weights random and scaled to a firing rate.
With a checkout of the project beside it, it runs the tests' own checks on the GPU too, and
compute-sanitizer where that is installed. Writes gpu.json.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

import eventsim as es
from eventsim.clocked.cuda.device import require_gpu
from eventsim_bridge.models import PAPER_NEURON

from ..report import console, new_table, notes, progress_bar, write_json
from .inputs import dense_frames, read_recordings
from .machine import describe_machine, machine_line
from .networks import GESTURE, MLP, random_network, scale_to_rate
from .timing import Contestant, take_turns

if TYPE_CHECKING:
    from .peers.peer import Peer

SANITIZERS = ("memcheck", "racecheck", "synccheck")
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
L2_BYTES_A_SECOND = 5e12  # of an H100, about


class Timed(NamedTuple):
    """Somebody who is timed, and how many samples a run goes through."""

    name: str
    samples: int
    run: Callable[[], object]


def gpu(
    out: Annotated[Path, typer.Option(help="Folder for gpu.json.")] = Path("gpu"),
    samples: Annotated[int, typer.Option(help="Samples in the largest batch.", min=1)] = 4096,
    repeats: Annotated[
        int, typer.Option(help="Rounds, all in turn; the median counts.", min=1)
    ] = 7,
    rate: Annotated[float, typer.Option(help="Firing rate of every layer.")] = 0.02,
    tests: Annotated[Path, typer.Option(help="Folder of the project's tests.")] = Path("tests"),
    gestures: Annotated[bool, typer.Option(help="Time the DVS Gesture network too.")] = True,
) -> None:
    """Check the CUDA engine against the CPU engine, and time both beside torch on the GPU."""
    require_gpu()
    out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"machine": describe_machine(), "gpu": device_name()}
    console.print(f"{document['gpu']}; {machine_line(document['machine'])}", highlight=False)
    document["checks"] = run_checks(tests)
    workloads = [("digits", MLP, (1000, 300), samples)]
    if gestures:
        workloads.append(("gestures", GESTURE, (20_000, 60), max(1, samples // 16)))
    document["workloads"] = [
        time_workload(data, structure, grid, most, repeats, rate)
        for data, structure, grid, most in workloads
    ]
    write_json(document, out / "gpu.json")


def device_name() -> str:
    """Return what the GPU calls itself."""
    from numba import cuda

    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def run_checks(tests: Path) -> dict[str, str]:
    """Run the tests of the kernels on the GPU, and with each tool of compute-sanitizer."""
    checks = tests / "helpers" / "cuda_checks.py"
    if not checks.exists():
        notes.print(f"{checks} is not there: the tests are left out")
        return {}
    pytest = [sys.executable, "-m", "pytest", str(checks)]
    runs = {"tests": pytest}
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        notes.print("compute-sanitizer is not installed: left out")
    else:
        few = [*pytest, "-k", "kind or batches or blocks"]
        for tool in SANITIZERS:
            runs[tool] = [sanitizer, "--tool", tool, "--error-exitcode", "9", *few]
    outcomes = {}
    for name, command in runs.items():
        run = subprocess.run(command, capture_output=True, text=True)
        outcomes[name] = "passed" if run.returncode == 0 else run.stdout + run.stderr
        console.print(f"{name}: {'passed' if run.returncode == 0 else outcomes[name]}")
    return outcomes


def time_workload(
    data: str, structure: str, grid: tuple[int, int], most: int, repeats: int, rate: float
) -> dict[str, Any]:
    """Time one network on the GPU, on the CPU, and in torch on the GPU."""
    recordings = read_recordings(data, None, min(most, 128))
    events = list(recordings.events)
    dt_us, steps = grid
    network = random_network(
        structure, recordings.input_shape, PAPER_NEURON, dt_us=dt_us, steps=steps
    )
    network = scale_to_rate(network, events[:4], rate)
    on_cpu = es.simulate_batch(network, events)
    on_gpu = es.simulate_batch(network, events, device="cuda")
    same = all(a.operations == b.operations for a, b in zip(on_cpu, on_gpu, strict=True))
    sops = statistics.fmean(result.operations.total.sops for result in on_cpu)
    halves = es.round_weights(network, "float16")

    def run(of: es.Network, size: int) -> None:
        """Run so many recordings from raw events; transfers from and to the host count."""
        es.simulate_batch(of, repeated(events, size), device="cuda")

    contestants = [
        Timed("eventsim, CPU", len(events), lambda: es.simulate_batch(network, events)),
        *(
            Timed(f"eventsim, GPU, {size} samples", size, partial(run, network, size))
            for size in BATCHES
            if size <= most
        ),
        Timed(f"eventsim, GPU, {most} samples, float16", most, partial(run, halves, most)),
        *torch_contestants(network, events),
    ]
    seconds = time_in_turn(contestants, repeats)
    changed = spikes_changed(network, halves, events[:4])
    print_times(f"{data}, {structure}", sops, same, seconds)
    console.print(f"with float16 weights {100 * changed:.3g} % of the spikes differ")
    return {
        "data": data, "structure": structure, "dt_us": dt_us, "steps": steps, "rate": rate,
        "sops": sops, "same_as_cpu": same, "seconds_a_sample": seconds,
        "spikes_changed_by_float16": changed,
    }  # fmt: skip


def spikes_changed(network: es.Network, other: es.Network, recordings: list[Any]) -> float:
    """Return how many spikes one of two networks has and not the other, for each spike."""
    changed = spikes = 0
    for events in recordings:
        both = [es.simulate(each, events, record_spikes=True).spikes for each in (network, other)]
        for mine, others in zip(*(found or () for found in both), strict=True):
            _, times = np.unique(np.concatenate([mine, others]), axis=0, return_counts=True)
            changed += int((times == 1).sum())
            spikes += len(mine)
    return changed / max(1, spikes)


def repeated(items: Sequence[Any], size: int) -> list[Any]:
    """Return so many items, the first again after the last."""
    return [items[index % len(items)] for index in range(size)]


def torch_contestants(network: es.Network, events: list[Any]) -> list[Timed]:
    """Return dense passes on the GPU, frames there already, in float32 and in TF32: torch's, and
    spikingjelly's where it is installed, with cupy if that is, too."""
    import torch

    from .peers.spikingjelly import SpikingJelly
    from .peers.torch_dense import TorchDense

    if not torch.cuda.is_available():
        notes.print("torch has no CUDA: left out")
        return []
    peers: list[Peer] = [TorchDense()]
    if SpikingJelly.installed():
        jelly = SpikingJelly()
        jelly.backend = "torch" if importlib.util.find_spec("cupy") is None else "cupy"
        peers.append(jelly)
    else:
        notes.print("spikingjelly is not installed: left out")

    def run(peer: Peer, allowed: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        for batch in frames:
            peer.run(batch)
        torch.cuda.synchronize()

    for peer in peers:
        peer.build(network)
        for module, _ in peer.layers:
            module.to("cuda")
    # Both want time first.
    frames = [peers[0].ready(batch.to("cuda")) for batch in dense_frames(network, events)]
    return [
        Timed(f"{peer.name}, GPU, {kind}", len(events), partial(run, peer, kind == "TF32"))
        for peer in peers
        for kind in ("float32", "TF32")
    ]


def time_in_turn(contestants: list[Timed], repeats: int) -> dict[str, float]:
    """Return the median seconds a sample of each, all of them in turn."""
    threads = es.available_threads()
    with progress_bar("timing", (repeats + 1) * len(contestants)) as advance:
        timings = take_turns(
            [Contestant(one.name, threads, one.run) for one in contestants], repeats, 1, advance
        )
    pairs = zip(contestants, timings, strict=True)
    return {one.name: timing.median / one.samples for one, timing in pairs}


def print_times(title: str, sops: float, same: bool, seconds: dict[str, float]) -> None:
    """Print one workload."""
    agreement = "counts equal to the CPU's" if same else "COUNTS DIFFER FROM THE CPU'S"
    table = new_table(
        f"{title}: {sops:,.0f} SOPs a sample, {agreement}",
        ["contestant"],
        ["us a sample", "samples/s", "SOP/s", "of the floor"],
    )
    for name, value in seconds.items():
        floor = sops * (2 if "float16" in name else 4) / L2_BYTES_A_SECOND
        share = f"{100 * floor / value:.0f} %" if "eventsim, GPU" in name else ""
        rate = f"{sops / value:.3g}"
        table.add_row(name, f"{1e6 * value:,.1f}", f"{1 / value:,.0f}", rate, share)
    console.print(table)
    console.print(
        f"floor: every weight once from the L2 cache, {L2_BYTES_A_SECOND:.0e} bytes/s assumed"
    )


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(gpu)
    try:
        app()
    except es.EventsimError as error:
        sys.exit(f"eventsim: {error}")
