"""Statistics of event recordings, to set a simulated data set beside a recorded one.

In: the training recordings of "digits" and of a copy of N-MNIST.
Out: the table in docs/digits.md and the picture docs/digits.png, both written by

    python -m eventsim_bridge.statistics --root FOLDER_OF_NMNIST --out docs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.colours import LIGHT, mixed
from eventsim.events.arrays import Events, Sensor, join_events
from eventsim.jit import Int64s

from .datasets import DataSet, open_dataset

Floats = NDArray[np.float64]

# The rate and the place of the events over time are taken in windows of this length.
WINDOW_US = 5_000
WINDOWS = 64
FIRST_SACCADE_US = 100_000

TABLE_BEGINS = "<!-- table of statistics: begin -->"
TABLE_ENDS = "<!-- table of statistics: end -->"


@dataclass(frozen=True, eq=False)
class EventStatistics:
    """What a set of recordings looks like; shapes in terms of recordings R and windows W."""

    events: Int64s  # (R,)
    on_share: Floats  # (R,)
    last_us: Int64s  # (R,): time of the last event
    active_pixels: Int64s  # (R,): with at least one event
    busy_pixels: Int64s  # (R,): with at least four events
    border_share: Floats  # (R,): share of the events that lie on the outermost pixels
    events_per_pixel: Int64s  # of each active pixel of each recording
    intervals_us: Int64s  # between neighbouring events of a pixel, all recordings
    same_polarity: float  # share of these intervals with the same polarity at both ends
    rate: Floats  # (W, 2): mean OFF and ON events a recording and window
    place: Floats  # (W, 2): mean x and y of the events of a window


def event_statistics(recordings: Sequence[Events], sensor: Sensor) -> EventStatistics:
    """Measure recordings of one sensor; all must hold events, and their times start near 0 us."""
    per_recording = [_measure(events, sensor) for events in recordings]
    columns = {name: np.array([row[name] for row in per_recording]) for name in per_recording[0]}
    counts, intervals, same = zip(*(_per_pixel(e, sensor) for e in recordings), strict=True)
    every = join_events(recordings)
    window = np.minimum(every["t"] // np.uint64(WINDOW_US), WINDOWS - 1).astype(np.int64)
    rate = np.bincount(2 * window + every["on"], minlength=2 * WINDOWS).reshape(WINDOWS, 2)
    sums = [np.bincount(window, weights=every[axis], minlength=WINDOWS) for axis in ("x", "y")]
    place = np.stack(sums, axis=1) / np.maximum(rate.sum(axis=1, keepdims=True), 1)
    return EventStatistics(
        **columns,
        events_per_pixel=np.concatenate(counts),
        intervals_us=np.concatenate(intervals),
        same_polarity=float(np.concatenate(same).mean()),
        rate=rate / len(recordings),
        place=place,
    )


def _measure(events: Events, sensor: Sensor) -> dict[str, float]:
    x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
    per_pixel = np.bincount(y * sensor.width + x)
    border = (x == 0) | (y == 0) | (x == sensor.width - 1) | (y == sensor.height - 1)
    return {
        "events": len(events),
        "on_share": events["on"].mean(),
        "last_us": int(events["t"][-1]),
        "active_pixels": int((per_pixel > 0).sum()),
        "busy_pixels": int((per_pixel >= 4).sum()),
        "border_share": border.mean(),
    }


def _per_pixel(events: Events, sensor: Sensor) -> tuple[Int64s, Int64s, NDArray[np.bool_]]:
    """Return events of each active pixel, intervals within pixels, and whether polarity stays."""
    pixel = events["y"].astype(np.int64) * sensor.width + events["x"]
    order = np.argsort(pixel, kind="stable")  # time order stays within a pixel
    neighbours = np.diff(pixel[order]) == 0
    intervals = np.diff(events["t"][order].astype(np.int64))[neighbours]
    same = (np.diff(events["on"][order].astype(np.int64)) == 0)[neighbours]
    counts = np.bincount(pixel)
    return counts[counts > 0], intervals, same


Row = tuple[str, Callable[[EventStatistics], str]]


def _spread(values: NDArray[Any], digits: int, scale: float = 1.0) -> str:
    low, median, high = np.percentile(values, [5, 50, 95]) * scale
    mean = values.mean() * scale
    return f"{mean:.{digits}f} ({low:.{digits}f}, {median:.{digits}f}, {high:.{digits}f})"


def _peaks(s: EventStatistics) -> str:
    # The rests between the saccades lie near 100 and 205 ms.
    thirds = np.split(s.rate.sum(axis=1), [20, 41])
    return ", ".join(f"{third.max() / WINDOW_US * 1000:.1f}" for third in thirds)


def _rest(s: EventStatistics) -> str:
    total = s.rate.sum(axis=1)
    return f"{100 * total[[17, 18, 19, 20, 40, 41, 42, 43]].sum() / total.sum():.1f}"


_BEFORE: list[Row] = [
    ("recordings", lambda s: f"{len(s.events)}"),
    ("events a recording", lambda s: _spread(s.events, 0)),
    ("ON events, %", lambda s: _spread(s.on_share, 1, 100)),
    ("time of the last event, ms", lambda s: _spread(s.last_us, 0, 1e-3)),
]
_SACCADES: list[Row] = [
    ("peak rate in each saccade, events/ms", _peaks),
    ("events at rest (85-105 and 200-220 ms), %", _rest),
]
_BEHIND: list[Row] = [
    ("active pixels", lambda s: _spread(s.active_pixels, 0)),
    ("pixels with four events or more", lambda s: _spread(s.busy_pixels, 0)),
    ("events of an active pixel", lambda s: _spread(s.events_per_pixel, 1)),
    ("interval between events of a pixel, ms", lambda s: _spread(s.intervals_us, 1, 1e-3)),
    ("intervals below 1 ms, %", lambda s: f"{100 * (s.intervals_us < 1000).mean():.2f}"),
    ("neighbours in a pixel of the same polarity, %", lambda s: f"{100 * s.same_polarity:.1f}"),
    ("events on the border, %", lambda s: _spread(s.border_share, 2, 100)),
]


def statistics_table(
    columns: Sequence[tuple[str, EventStatistics]], *, saccades: bool = True
) -> str:
    """Return a Markdown table, one column for each (title, statistics).

    A spread is written as mean (5th, 50th, 95th percentile). Without `saccades` the rows about
    N-MNIST's are left out.
    """
    rows = [*_BEFORE, *(_SACCADES if saccades else []), *_BEHIND]
    lines = ["| | " + " | ".join(title for title, _ in columns) + " |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for title, value in rows:
        lines.append(f"| {title} | " + " | ".join(value(s) for _, s in columns) + " |")
    return "\n".join(lines)


def write_table(table: str, page: Path) -> None:
    """Put a table in its place in a page; raises `ValueError` where the page has none."""
    before, _, rest = page.read_text(encoding="utf-8").partition(TABLE_BEGINS)
    _, found, after = rest.partition(TABLE_ENDS)
    if not found:
        raise ValueError(
            f"{page}: no place for the table, expected {TABLE_BEGINS} and {TABLE_ENDS}"
        )
    page.write_text(
        f"{before}{TABLE_BEGINS}\n{table}\n{TABLE_ENDS}{after}", encoding="utf-8", newline="\n"
    )


def save_picture(columns: Sequence[tuple[str, DataSet, EventStatistics]], path: Path) -> None:
    """Draw events over time, their place over time, and the first saccade of one sample a class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.add_gridspec(4, 10, height_ratios=(2, 1.4, 1, 1))
    rate_axes = [figure.add_subplot(grid[0, :5])]
    rate_axes.append(figure.add_subplot(grid[0, 5:], sharey=rate_axes[0]))
    place_axes = [figure.add_subplot(grid[1, :5])]
    place_axes.append(figure.add_subplot(grid[1, 5:], sharey=place_axes[0]))
    time = (np.arange(WINDOWS) + 0.5) * WINDOW_US / 1000
    for column, (title, dataset, statistics) in enumerate(columns):
        rates, places = rate_axes[column], place_axes[column]
        for polarity, (name, colour) in enumerate((("OFF", LIGHT.off), ("ON", LIGHT.on))):
            per_ms = statistics.rate[:, polarity] / WINDOW_US * 1000
            rates.plot(time, per_ms, color=colour, label=name)
        moving = statistics.rate.sum(axis=1) > 10  # elsewhere the mean is one of noise
        for axis, name in enumerate("xy"):
            mean = np.where(moving, statistics.place[:, axis], np.nan)
            places.plot(time, mean, color=LIGHT.curves[axis], label=f"mean {name}")
        rates.set(title=title, ylabel="events/ms", xlim=(0, 320))
        places.set(xlabel="time (ms)", ylabel="pixel", xlim=(0, 320))
        rates.legend(frameon=False)
        places.legend(frameon=False)
        for label in range(10):
            first = int(np.flatnonzero(dataset.train.labels == label)[0])
            axes = figure.add_subplot(grid[2 + column, label])
            events = dataset.train[first][0]
            saccade = events[events["t"] < FIRST_SACCADE_US]
            axes.imshow(event_picture(saccade, dataset.sensor, full=6))
            axes.set(xticks=[], yticks=[])
            if label == 0:
                axes.set_ylabel(title.replace(", ", ",\n"))
    figure.savefig(path, dpi=80)


def event_picture(events: Events, sensor: Sensor, full: int) -> NDArray[np.uint8]:
    """Return a picture, (height, width, 3); `full` events of a pixel have its whole colour."""
    counts = np.zeros((2, sensor.height, sensor.width))
    np.add.at(counts, (events["on"].astype(np.int64), events["y"], events["x"]), 1 / full)
    off, on = np.minimum(1, counts)
    return mixed(on, off)


def main() -> None:
    """Write the table into digits.md of the output folder, and digits.png beside it."""
    parser = argparse.ArgumentParser(prog="python -m eventsim_bridge.statistics")
    parser.add_argument("--root", required=True, type=Path, help="folder of N-MNIST recordings")
    parser.add_argument("--out", required=True, type=Path, help="folder that holds digits.md")
    arguments = parser.parse_args()
    columns = []
    for title, dataset in (
        ("N-MNIST, recorded", open_dataset("nmnist", arguments.root)),
        ("digits, simulated", open_dataset("digits")),
    ):
        recordings = [events for events, _ in dataset.train]
        columns.append((title, dataset, event_statistics(recordings, dataset.sensor)))
    table = statistics_table([(title, statistics) for title, _, statistics in columns])
    write_table(table, arguments.out / "digits.md")
    save_picture(columns, arguments.out / "digits.png")


if __name__ == "__main__":
    main()
