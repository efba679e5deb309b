"""Time a sample against the synaptic operations in it (workload scaling).

Networks n-n-n whose input and both layers fire at one rate, about, for rates and sizes far apart.
If the time is a + b SOPs, with one a and one b for all of them, then the engine's cost is the
number of operations and nothing else. The points in which it is not show beside the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import eventsim as es

from ..report import progress_bar
from .networks import random_dense, random_events
from .timing import ENGINE, Contestant, take_turns

RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
SIZES = (32, 128, 512, 2048, 4096)
STEPS, DT_US = 100, 1000
NEURON = es.LIF(decay=0.3, threshold=0.3)


@dataclass(frozen=True)
class Fit:
    """The line y = a + b x of least squares."""

    a: float
    b: float
    r_squared: float  # 1 - (sum of squared residuals) / (sum of squares about the mean of y)


def fit_line(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit a line to at least two points with different x."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    centred = xs - xs.mean()
    b = float(centred @ (ys - ys.mean()) / (centred @ centred))
    a = float(ys.mean() - b * xs.mean())
    residuals, about_mean = ys - (a + b * xs), ys - ys.mean()
    return Fit(a, b, float(1 - (residuals @ residuals) / (about_mean @ about_mean)))


def measure_scaling(
    repeats: int,
    rates: Sequence[float] = RATES,
    sizes: Sequence[int] = SIZES,
    steps: int = STEPS,
) -> dict[str, Any]:
    """Time every rate and size on one thread, binning included, and fit the line."""
    points = []
    with progress_bar("scaling", len(rates) * len(sizes)) as advance:
        for n in sizes:
            for rate in rates:
                points.append(_measure(n, rate, steps, repeats))
                advance(1)
    fit = fit_line([p["sops"] for p in points], [p["seconds"] for p in points])
    return {
        "steps": steps,
        "points": points,
        "a_seconds": fit.a,
        "b_seconds_a_sop": fit.b,
        "r_squared": fit.r_squared,
    }


def _measure(n: int, rate: float, steps: int, repeats: int) -> dict[str, Any]:
    shape = (1, 1, n)
    layers = [random_dense(n, n, rate, rate, NEURON, seed=seed) for seed in (1, 2)]
    network = es.Network(shape, DT_US, [es.Flatten(), *layers], steps=steps)
    events = random_events(shape, rate, steps, DT_US, seed=n)
    run = partial(es.simulate, network, events, steps=steps, start_us=0)
    (timing,) = take_turns([Contestant(ENGINE, 1, run)], repeats, 1, lambda done: None)
    operations = run().operations
    return {
        "n": n,
        "rate": rate,
        "measured_rates": [layer.output_spikes / (n * steps) for layer in operations.layers],
        "sops": operations.total.sops,
        "seconds": timing.median,
    }
