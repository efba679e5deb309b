"""Statistics of the simulated gestures beside recorded ones, and a picture of both.

In: the training recordings of "gestures" and of a copy of DVS Gesture.
Out: the table in docs/gestures.md and the picture docs/gestures.png, both written by

    python -m eventsim_bridge.gesture_statistics --root FOLDER_OF_DVSGESTURE --out docs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.events.arrays import Events, Sensor

from .datasets import DataSet, open_dataset
from .statistics import event_picture, event_statistics, statistics_table, write_table

# Of every recording its beginning, as all are at least so long.
LENGTH_US = 1_450_000
# The picture: windows of so long, one every so often.
WINDOW_US = 40_000
WINDOWS = 8
EVERY_US = 150_000


def beginning(events: Events) -> Events:
    """Return the events of the first 1.45 s, times from the first event on."""
    events = events.copy()
    events["t"] -= events["t"][0]
    return events[events["t"] < LENGTH_US]


def save_picture(rows: Sequence[tuple[str, Events, Sensor]], path: Path) -> None:
    """Draw one recording a row: windows over time, then all its events."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.16 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), WINDOWS + 1, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for row, (title, events, sensor) in enumerate(rows):
        for column, axes in enumerate(grid[row]):
            begin = column * EVERY_US
            inside = (events["t"] >= begin) & (events["t"] < begin + WINDOW_US)
            if column < WINDOWS:
                axes.imshow(event_picture(events[inside], sensor, full=2))
            else:
                axes.imshow(event_picture(events, sensor, full=15))
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(f"{begin // 1000} ms" if column < WINDOWS else "1.45 s", fontsize=9)
        grid[row, 0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(path, dpi=80)


def _example(dataset: DataSet, label: int, number: int) -> Any:
    """Return a row of the picture: recording `number` of a class, modulo how many there are."""
    members = np.flatnonzero(dataset.train.labels == label)
    events = beginning(dataset.train[int(members[number % len(members)])][0])
    return dataset.class_names[label].replace(" arm ", " arm\n"), events, dataset.sensor


def main() -> None:
    """Write the table into gestures.md of the output folder, and gestures.png beside it."""
    parser = argparse.ArgumentParser(prog="python -m eventsim_bridge.gesture_statistics")
    parser.add_argument("--root", required=True, type=Path, help="folder of DVS Gesture recordings")
    parser.add_argument("--out", required=True, type=Path, help="folder that holds gestures.md")
    arguments = parser.parse_args()
    recorded, simulated = open_dataset("dvsgesture", arguments.root), open_dataset("gestures")
    classes = np.unique(recorded.train.labels)  # a partial copy may lack some
    columns = []
    for title, dataset in (("DVS Gesture, recorded", recorded), ("gestures, simulated", simulated)):
        members = np.flatnonzero(np.isin(dataset.train.labels, classes))
        recordings = [beginning(dataset.train[int(index)][0]) for index in members]
        columns.append((title, event_statistics(recordings, dataset.sensor)))
    write_table(statistics_table(columns, saccades=False), arguments.out / "gestures.md")
    rows = []
    for label in range(len(simulated.class_names)):
        title, *row = _example(simulated, label, number=7 * label)
        rows.append((title, *row))
        if label in classes[[1, -1]]:
            title, *row = _example(recorded, label, number=0)
            rows.append((f"{title}\n(recorded)", *row))
    save_picture(rows, arguments.out / "gestures.png")


if __name__ == "__main__":
    main()
