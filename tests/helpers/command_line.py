"""The command in this process, and recordings for it to read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import recording_files

import eventsim as es
from eventsim_tools.main import main


def run_command(*arguments: Any) -> int | str | None:
    """Run the command in this process; return its exit status, or the sentence it ends with."""
    before = sys.argv
    sys.argv = ["eventsim", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def train_quickly(nmnist: Path, out: Path, *options: Any) -> int | str | None:
    """Train for one epoch on four timesteps, with further options."""
    data = ("--data", "nmnist", "--root", nmnist, "--structure", "4C3s2-AP2-10")
    grid = ("--dt-us", 10000, "--steps", 4, "--epochs", 1, "--out", out)
    return run_command("train", *data, *grid, *options)


def write_nmnist_set(root: Path) -> Path:
    """Write a data set in N-MNIST's layout: digit 0 on the left, digit 1 on the right."""
    for split, count in (("Train", 12), ("Test", 3)):
        for digit in (0, 1):
            for i in range(count):
                number = 2 * i + digit + 1
                path = root / split / str(digit) / f"{number:05d}.bin"
                write_nmnist(path, 2 + 20 * digit, seed=number)
    return root


def write_nmnist(path: Path, x: int, seed: int = 0) -> Path:
    """Write an N-MNIST recording of 1500 events in the columns x to x + 9."""
    rng = np.random.default_rng(seed)
    low, high = [[0], [x], [0], [0]], [[40_000], [x + 10], [34], [2]]
    t, columns, rows, on = rng.integers(low, high, (4, 1500))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(recording_files.nmnist(es.make_events(np.sort(t), columns, rows, on)))
    return path
