"""A live run from beginning to end: steps to a monitor, what it knows to lines and a display."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..report import console, new_table, write_json

if TYPE_CHECKING:
    from eventsim.live.stream import Stream

    from .json_lines import JsonLines
    from .monitor import Monitor

SHOWN_S = 0.1  # from one snapshot on a display to the next
WRITTEN_S = 1.0  # from one account among JSON lines to the next


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or SIGTERM, into a call of `stop`; yield an event that is then set.

    The second one interrupts at once.
    """
    interrupted = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: object) -> None:
        for other in before:
            signal.signal(other, signal.default_int_handler)
        interrupted.set()
        stop()

    for number in before:
        signal.signal(number, handle)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(
    stream: Stream,
    monitor: Monitor,
    lines: JsonLines | None = None,
    show: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Run a stream to its end, or until it is stopped.

    Every answer and, each second, the account go to `lines`; snapshots go to `show`.
    """
    # What else runs in this process then waits for the interpreter at most so long.
    sys.setswitchinterval(1e-4)
    # What is there now stays: to look through it for garbage took 50 ms, now and then.
    gc.freeze()
    shown = written = time.monotonic()
    for step in stream:
        monitor.see(step)
        now = time.monotonic()
        if show is not None and now - shown >= SHOWN_S:
            show(monitor.snapshot())
            shown = now
        if lines is None:
            continue
        if step.answers:
            lines.write(monitor.answer_lines(step))
        if now - written >= WRITTEN_S:
            lines.write([{"kind": "status", **monitor.account()}])
            written = now
        if lines.closed_by_reader:
            stream.stop()
    if show is not None:
        show(monitor.snapshot(ended=True))


def conclude(
    stream: Stream, monitor: Monitor, lines: JsonLines | None, interrupted: bool, path: Path | None
) -> None:
    """Write the summary where it is wanted.

    Raises `EventsimError` where events are unaccounted for.
    """
    from eventsim import EventsimError

    summary = {
        "kind": "summary", **monitor.account(), "interrupted": interrupted,
        "lines_lost": 0 if lines is None else lines.lost,
    }  # fmt: skip
    if lines is not None:
        lines.write([summary])
        summary["lines_lost"] = lines.lost
    if path is not None:
        write_json(summary, path)
    if not (lines is not None and lines.is_stdout) and str(path) != "-":
        print_summary(summary)
    handed_out, received = stream.source.counters["received"], summary["events"]["received"]
    if handed_out != received:
        raise EventsimError(
            f"{handed_out - received} events are unaccounted for: the source handed out "
            f"{handed_out}, expected {received}, processed, dropped, filtered and queued together"
        )


def print_summary(summary: dict[str, Any]) -> None:
    """Print the account of events, what was executed, and what went wrong."""
    events, latency = summary["events"], summary["latency_us"]
    what = f"{summary['source']} -> {summary['network']}, {summary['mode']}"
    end = ", interrupted" if summary["interrupted"] else ""
    console.print(f"{what}: {summary['seconds']:.1f} s{end}", highlight=False, markup=False)
    table = new_table("Events", [], list(events))
    table.add_row(*(f"{count:,}" for count in events.values()))
    console.print(table)
    rate = f"{summary['events_per_second']:,.0f} events/s, {summary['answers']:,} answers"
    if latency["max"] is not None:
        p50, p99, most = (f"{latency[name]:,.0f}" for name in ("p50", "p99", "max"))
        rate += f", packet to outcome {p50} us (p99 {p99}, most {most})"
    console.print(rate, highlight=False)
    _print_predictions(summary["predictions"])
    _print_operations(summary["operations"])
    counts = {**summary["faults"], "lines_lost": summary["lines_lost"]}
    faults = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count]
    if faults:
        console.print(f"Went wrong: {', '.join(faults)}", highlight=False, style="yellow")
    console.print(
        "Received events are processed, dropped, filtered or queued, each once; packet to outcome "
        "is from the source to the answer. docs/live.md says more.",
        highlight=False,
    )


def _print_predictions(predictions: dict[str, int]) -> None:
    told = [f"{name} {count:,}" for name, count in predictions.items() if count]
    if told:
        console.print(f"Answers by class: {', '.join(told)}", highlight=False, markup=False)


def _print_operations(layers: list[dict[str, Any]]) -> None:
    table = new_table(
        "Operations", ["layer"], ["events in", "spikes out", "SOPs", "dense MACs", "SOPs / dense"]
    )
    for layer in layers:
        dense = layer["dense_macs"]
        share = f"{layer['sops'] / dense:.2%}" if dense else "-"
        counts = (layer["input_events"], layer["output_spikes"], layer["sops"], dense)
        table.add_row(layer["name"], *map("{:,}".format, counts), share)
    console.print(table)
