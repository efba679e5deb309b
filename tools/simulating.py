"""Inputs through the engine, in chunks on this machine or in shares on the workers of a cluster.

In: a network and `Inputs`. Out: a `Result` for each, in order, and the seconds that it took.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cluster import run_on_cluster
from .images import nothing, takes_image
from .inputs import Inputs, from_data_set, read_inputs
from .networks import NirOptions, open_network
from .options import Parting
from .reading import Reading
from .report import progress_bar

if TYPE_CHECKING:
    from eventsim import Network, Result

# Recordings in memory at a time: a full data set need not fit.
CHUNK = 1024
# Recordings that a worker takes at a time: few, so that all are busy to the end.
SHARE = 32


@dataclass(frozen=True)
class Source:
    """What a worker opens: the network and the data set, as the options of the command say."""

    network: Path
    nir: NirOptions
    weights: str | None
    data: str
    root: Path | None
    split: str
    reading: Reading
    parting: Parting


def simulate_here(
    net: Network, chosen: Inputs, count: int, options: dict[str, Any]
) -> tuple[list[Result], float]:
    """Run in chunks; the seconds are those of the engine, and of reading files in packets."""
    import eventsim as es

    little: Any = nothing(net) if takes_image(net) else es.make_events([0], [0], [0], [0])
    results: list[Result] = []
    seconds = 0.0
    with progress_bar("simulating", count) as advance:
        # Compiles (or loads from the cache on disk) every kernel before the clock starts.
        _run_chunk(net, [little], count, options)
        for first in range(0, count, CHUNK):
            chunk = range(first, min(first + CHUNK, count))
            recordings = list(read_inputs(chosen, chunk, advance))
            start = time.perf_counter()
            results += _run_chunk(net, recordings, count, options, advance)
            seconds += time.perf_counter() - start
    return results, seconds


def simulate_on_cluster(
    cluster: str, source: Source, count: int, options: dict[str, Any]
) -> tuple[list[Result], float]:
    """Run in shares on the workers; the seconds are those of everything, their start too."""
    shares = [range(first, min(first + SHARE, count)) for first in range(0, count, SHARE)]
    found: dict[range, list[Result]] = {}
    start = time.perf_counter()
    with progress_bar("simulating", count) as advance:

        def done(share: range, results: list[Result]) -> None:
            found[share] = results
            advance(len(share))

        run_on_cluster(cluster, partial(run_share, source, count, options), shares, done)
    results = [result for share in shares for result in found[share]]
    return results, time.perf_counter() - start


def run_share(source: Source, count: int, options: dict[str, Any], share: range) -> list[Result]:
    """Run some of `count` recordings on a worker, which keeps the network and the data set open."""
    net, chosen = _opened(source)
    recordings = list(read_inputs(chosen, share, lambda done: None))
    return _run_chunk(net, recordings, count, options)


@lru_cache(maxsize=1)
def _opened(source: Source) -> tuple[Network, Inputs]:
    net = network_of(source.network, source.nir, source.weights)
    chosen = from_data_set(
        net, source.data, source.root, source.split, source.reading, source.parting
    )
    return net, chosen


def network_of(path: Path, nir: NirOptions, weights: str | None) -> Network:
    """Open a network, its weights rounded where that is asked for."""
    import eventsim as es

    net = open_network(path, nir)
    return net if weights is None else es.round_weights(net, weights)  # type: ignore[arg-type]


def _run_chunk(
    net: Network,
    recordings: list[Any],
    count: int,
    options: dict[str, Any],
    advance: Any = lambda done: None,
) -> list[Result]:
    """Run some of `count` recordings, spread over the threads; the only one has all of them."""
    import eventsim as es

    if count > 1:
        return es.simulate_batch(net, recordings, progress=advance, **options)
    result = es.simulate(net, recordings[0], **options)
    advance(1)
    return [result]
