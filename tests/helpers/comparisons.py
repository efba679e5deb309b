"""A small `eventsim compare`, which several files of tests look at (tests/tools/conftest.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import recording_files

import eventsim as es


def write_stripes(root: Path) -> None:
    """Write a data set in N-MNIST's layout whose digits are stripes at places of their own."""
    rng = np.random.default_rng(0)
    for split, count in (("Train", 4), ("Test", 2)):
        for digit in range(10):
            for i in range(count):
                path = root / split / str(digit) / f"{10 * i + digit + 1:05d}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                t, x, y, on = rng.integers(
                    [[0], [3 * digit], [0], [0]], [[40_000], [3 * digit + 4], [34], [2]], (4, 400)
                )
                path.write_bytes(recording_files.nmnist(es.make_events(np.sort(t), x, y, on)))


def arguments(root: Path, out: Path, *more: Any) -> tuple[Any, ...]:
    """Return the command line: three grid points, two seeds, and the SNN's structure as well."""
    data = ("--data", "nmnist", "--root", root, "--structure", "6FC-10")
    grid = ("--dt-us", 20_000, "--dt-us", 10_000, "--steps", 2, "--duration-us", 40_000)
    training = ("--epochs", 2, "--seeds", 2, "--batch-size", 8, "--learning-rate", 0.005)
    return ("compare", *data, *grid, *training, "--same-structure", "--out", out, *more)


def results_of(out: Path) -> Any:
    """Return what a comparison has written for others to compute on."""
    return json.loads((out / "results.json").read_text())
