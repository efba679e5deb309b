"""How time grows (workload growth): with operations, recording length, network size, and batch.

Everything on one thread, the engine from raw events, binning included.

operations  Networks n-n-n whose input and both layers fire at one rate, about, for rates and sizes
            far apart. If the time is a + b SOPs, with one a and one b for all of them, then the
            engine's cost is the number of operations and nothing else. The points in which it is
            not show beside the line.
length      A small network on recordings of 10^4 to 10^8 events.
size        A network n-n-n at one rate, so about n^2 SOPs.
batch       So many recordings of one network at once.

For the last three the time is taken to be c x^slope: a line in log-log, fitted by least squares.
Torch is timed beside the engine where its frames fit in `MOST_FRAME_BYTES`, and its spikes are
compared first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from statistics import median
from typing import Any

import numpy as np

import eventsim as es

from ..report import progress_bar
from .contest import CHECKED, build_peers, check, run_all
from .inputs import dense_frames
from .networks import Events, random_dense, random_events
from .peers.torch_csr import TorchCsr
from .peers.torch_dense import TorchDense
from .timing import ENGINE, Contestant, take_turns

RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
RATE = 0.02  # where there is one
SIZES = (32, 128, 512, 2048, 4096)
BATCHES = (1, 4, 16, 64, 256)
BATCH_SIZE = 512  # of the network
STEPS, DT_US = 100, 1000
NEURON = es.LIF(decay=0.3, threshold=0.3)

SHORTEST = 10**4  # events of a recording
SENSOR = (2, 34, 34)
PACKET, EVENTS_A_STEP = 10**5, 100
PACKET_US = PACKET // EVENTS_A_STEP * DT_US
PACKETS = "packets"

MOST_FRAME_BYTES = 2**28

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Fit:
    """The line y = a + b x of least squares."""

    a: float
    b: float
    r_squared: float  # 1 - (sum of squared residuals) / (sum of squares about the mean of y)


def fit_line(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Fit a line to at least two points with different x, and not all with one y."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    b, a = np.polyfit(xs, ys, 1).tolist()
    residuals, about_mean = ys - (a + b * xs), ys - ys.mean()
    return Fit(a, b, float(1 - (residuals @ residuals) / (about_mean @ about_mean)))


def measure_growth(
    repeats: int,
    longest: int = 10**8,
    rates: Sequence[float] = RATES,
    sizes: Sequence[int] = SIZES,
    batches: Sequence[int] = BATCHES,
    steps: int = STEPS,
) -> dict[str, Any]:
    """Time all four; `longest`: events of the longest recording, at least 10^5."""
    lengths = [10**k for k in range(20) if SHORTEST <= 10**k <= longest]
    points = len(rates) * len(sizes) + len(lengths) + len(sizes) + len(batches)
    with progress_bar("growth", points) as advance:
        return {
            "operations": _over_operations(rates, sizes, steps, repeats, advance),
            "length": _axis([_of_length(x, repeats, advance) for x in lengths]),
            "size": _axis([_of_size(x, steps, repeats, advance) for x in sizes]),
            "batch": _axis([_of_batch(x, steps, repeats, advance) for x in batches]),
        }


# --- operations -----------------------------------------------------------------------------------


def _over_operations(
    rates: Sequence[float], sizes: Sequence[int], steps: int, repeats: int, advance: Advance
) -> dict[str, Any]:
    """Time every rate and size, and fit the line."""
    points = []
    for n in sizes:
        for rate in rates:
            points.append(_of_operations(n, rate, steps, repeats))
            advance(1)
    fit = fit_line([p["sops"] for p in points], [p["seconds"] for p in points])
    return {
        "steps": steps,
        "points": points,
        "a_seconds": fit.a,
        "b_seconds_a_sop": fit.b,
        "r_squared": fit.r_squared,
    }


def _of_operations(n: int, rate: float, steps: int, repeats: int) -> dict[str, Any]:
    network, events = square_network(n, rate, steps), square_events(n, rate, steps)
    run = partial(es.simulate, network, events, start_us=0)
    (timing,) = take_turns([Contestant(ENGINE, 1, run)], repeats, 1, lambda done: None)
    operations = run().operations
    return {
        "n": n,
        "rate": rate,
        "measured_rates": [layer.output_spikes / (n * steps) for layer in operations.layers],
        "sops": operations.total.sops,
        "seconds": timing.median,
    }


def square_network(n: int, rate: float, steps: int) -> es.Network:
    """Return a network n-n-n that fires at a rate, about, where its input does."""
    layers = [random_dense(n, n, rate, rate, NEURON, seed=seed) for seed in (1, 2)]
    return es.Network((1, 1, n), DT_US, [es.Flatten(), *layers], steps=steps)


def square_events(n: int, rate: float, steps: int, seed: int = 0) -> Events:
    """Return events for a network n-n-n."""
    return random_events((1, 1, n), rate, steps, DT_US, seed=n + seed)


# --- length, size, batch --------------------------------------------------------------------------


def packets(events: int) -> Iterator[Events]:
    """Give so many events in packets of 10^5 or fewer: the same events, each time a second later.

    There are one drawn packet and one copy in memory, however many there are to give.
    """
    drawn = _draw_packet()
    for first in range(0, events, PACKET):
        # bytes: to copy the records themselves took ten times as long as the addition
        packet = drawn[: events - first].view(np.uint8).copy().view(drawn.dtype)
        packet["t"] += first // PACKET * PACKET_US
        yield packet


@cache
def _draw_packet() -> Events:
    """Draw events all over the sensor and over a second, 100 a millisecond."""
    rng = np.random.default_rng(0)
    polarities, height, width = SENSOR
    times = np.sort(rng.integers(0, PACKET_US, PACKET))
    x, y, on = (rng.integers(0, most, PACKET) for most in (width, height, polarities))
    return es.make_events(times, x, y, on)


def _of_length(events: int, repeats: int, advance: Advance) -> dict[str, Any]:
    """Time a recording of so many events through 2312-64-10, as it is made packet by packet."""
    inputs = int(np.prod(SENSOR))
    hidden = random_dense(inputs, 64, EVENTS_A_STEP / inputs, RATE, NEURON, seed=1)
    output = random_dense(64, 10, RATE, RATE, NEURON, seed=2)
    network = es.Network(SENSOR, DT_US, [es.Flatten(), hidden, output])

    def run() -> None:
        es.simulate(network, packets(events))

    def make() -> None:
        for _ in packets(events):
            pass

    fit = events // EVENTS_A_STEP * inputs * 4 <= MOST_FRAME_BYTES
    recordings = [np.concatenate(list(packets(events)))] if fit else []
    making = Contestant(PACKETS, 1, make)
    return _point(
        events, network, recordings, [Contestant(ENGINE, 1, run), making], repeats, advance
    )


def _of_size(n: int, steps: int, repeats: int, advance: Advance) -> dict[str, Any]:
    network, events = square_network(n, RATE, steps), square_events(n, RATE, steps)
    run = partial(es.simulate, network, events)
    return _point(n, network, [events], [Contestant(ENGINE, 1, run)], repeats, advance)


def _of_batch(batch: int, steps: int, repeats: int, advance: Advance) -> dict[str, Any]:
    network = square_network(BATCH_SIZE, RATE, steps)
    recordings = [square_events(BATCH_SIZE, RATE, steps, seed=seed) for seed in range(batch)]
    run = partial(es.simulate_batch, network, recordings, threads=1)
    return _point(batch, network, recordings, [Contestant(ENGINE, 1, run)], repeats, advance)


def _point(
    x: int,
    network: es.Network,
    recordings: Sequence[Events],
    contestants: list[Contestant],
    repeats: int,
    advance: Advance,
) -> dict[str, Any]:
    """Time contestants, and torch on ready frames of `recordings` where there are some."""
    verdicts = {}
    peers = build_peers(network, (TorchCsr, TorchDense))[0] if recordings else []
    batches = dense_frames(network, recordings) if recordings else []
    for peer in peers:
        verdicts[peer.name] = check(peer, network, recordings[:CHECKED])["verdict"]
        run = partial(run_all, peer.run, [peer.ready(batch) for batch in batches], 1)
        contestants = [*contestants, Contestant(peer.name, 1, run, peer.given)]
    timings = take_turns(contestants, repeats, 1, lambda done: None)
    advance(1)
    seconds = {timing.name: list(timing.seconds) for timing in timings}
    return {"x": x, "seconds": seconds, "verdicts": verdicts}


def _axis(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the points with the slopes of everybody who is in two of them or more."""
    slopes = {}
    for name in points[0]["seconds"]:
        chosen = [point for point in points if name in point["seconds"]]
        if len(chosen) > 1:
            x = [point["x"] for point in chosen]
            slopes[name] = slopes_of(x, [median(point["seconds"][name]) for point in chosen])
    return {"points": points, "slopes": slopes}


def slopes_of(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Return the slope in log-log by least squares, its R², and that between the last two points.

    The latter is nearer to what follows: a constant cost bends the line at small x.
    """
    logs = np.log10([x, y])
    fit = fit_line(*logs.tolist())
    (dx, dy) = logs[:, -1] - logs[:, -2]
    return {"slope": fit.b, "r_squared": fit.r_squared, "last_slope": float(dy / dx)}
