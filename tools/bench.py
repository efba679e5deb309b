"""Time the engine against torch's dense forward pass on the same network, recordings and machine.

    python -m eventsim_tools.bench NET --data nmnist --root DIR [--limit N] [--json FILE]

In turn, several times over: `simulate_batch` on one thread, on all, and torch's dense pass on the
same numbers of threads. torch gets the frames ready made, and runs each layer's weights as one
product over all timesteps, a batch at a time; the engine gets raw events and bins them in the time
that is measured. Medians and their ratios are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .report import console, new_table, progress_bar, write_json

TORCH_BATCH = 32


def bench(
    network: Annotated[Path, typer.Argument(metavar="NET")],
    data: Annotated[str, typer.Option()],
    root: Annotated[Path | None, typer.Option()] = None,
    split: Annotated[str, typer.Option()] = "test",
    limit: Annotated[int, typer.Option(min=1)] = 50,
    repeats: Annotated[int, typer.Option(min=1)] = 7,
    json: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Print milliseconds a sample and ratios."""
    import eventsim as es
    from eventsim_bridge.datasets import open_dataset

    net = es.load_network(network)
    dataset = open_dataset(data, root)
    part = dataset.train if split == "train" else dataset.test
    recordings = [part[index][0] for index in range(min(limit, len(part)))]
    runs = _runs(net, recordings)
    times: dict[str, list[float]] = {name: [] for name in runs}
    with progress_bar("timing", (repeats + 1) * len(runs)) as advance:
        for repeat in range(repeats + 1):  # the first one warms up and is not counted
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if repeat:
                    times[name].append((time.perf_counter() - start) / len(recordings))
                advance(1)
    sops = es.Operations.sum(
        result.operations for result in es.simulate_batch(net, recordings)
    ).total.sops
    _print(times, len(recordings), sops / len(recordings))
    if json is not None:
        write_json({"samples": len(recordings), "sops": sops, "seconds_a_sample": times}, json)


def _runs(net: Any, recordings: list[Any]) -> dict[str, Callable[[], object]]:
    import torch

    import eventsim as es
    from eventsim_bridge.models import import_network

    steps = net.steps
    model = import_network(net)
    binned = [
        es.bin_events(r, net.input_shape, net.dt_us, steps, encoding=net.input_encoding)
        for r in recordings
    ]
    longest = max(one.steps for one in binned)
    frames = torch.zeros(longest, len(binned), *net.input_shape)
    for sample, one in enumerate(binned):
        frames[: one.steps, sample] = torch.from_numpy(one.frames())
    batches = [
        frames[:, first : first + TORCH_BATCH].contiguous().transpose(0, 1)
        for first in range(0, len(binned), TORCH_BATCH)
    ]

    def dense(threads: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for batch in batches:
                model(batch)

    runs: dict[str, Callable[[], object]] = {}
    for threads in sorted({1, es.available_threads()}):
        sparse = partial(es.simulate_batch, net, recordings, threads=threads)
        runs[f"eventsim, threads: {threads}"] = sparse
        runs[f"torch dense, threads: {threads}"] = partial(dense, threads)
    return runs


def _print(times: dict[str, list[float]], samples: int, sops: float) -> None:
    table = new_table(
        f"{samples} samples, {sops:,.0f} SOPs each",
        [""],
        ["ms a sample (median)", "min", "max", "times faster than torch"],
    )
    for name, seconds in times.items():
        peer = times[name.replace("eventsim", "torch dense")]
        ratio = statistics.median(peer) / statistics.median(seconds)
        milliseconds = (statistics.median(seconds), min(seconds), max(seconds))
        table.add_row(name, *(f"{1e3 * value:.3f}" for value in milliseconds), f"{ratio:.1f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(bench)
