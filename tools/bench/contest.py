"""Whole networks on recordings: the engine beside every peer (mlp, conv, gesture, graded).

The engine is timed twice: from raw events, which it bins in the time that is measured, and from
binned ones. Ratios are to the former. Peers get frames that are ready made, in batches, in the
memory layout that they want.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import torch

import eventsim as es
from eventsim.network.neurons import Neuron
from eventsim_bridge.agreement import Agreement, compare_spikes

from ..report import notes, progress_bar
from .inputs import bin_all, dense_frames
from .networks import firing_rates
from .peers import PEERS
from .peers.peer import Peer
from .timing import ENGINE, ENGINE_BINNED, ENGINE_ONE_BY_ONE, Contestant, take_turns

CHECKED = 4  # recordings on which every spike is compared before anything is timed
ROUNDING = 1e-5  # membranes that come nearer to the threshold may cross it on one side only


class Beside(Protocol):
    """What is timed beside the engine: see `Peer`."""

    @property
    def name(self) -> str:
        """Who it is."""

    @property
    def given(self) -> str:
        """What `ready` makes, for tables."""

    def version(self) -> str:
        """Return the version."""

    def difference(self, neuron: Neuron) -> str:
        """Say how its equation differs from the engine's; empty where it does not."""

    def layer_spikes(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Return the spikes of each layer with neurons, (batch, steps, *layer shape)."""

    def ready(self, frames: torch.Tensor) -> Any:
        """Return frames as `run` wants them; not timed."""

    def run(self, ready: Any) -> object:
        """Run them; this is timed."""


def run_contest(
    network: es.Network, recordings: Sequence[Any], repeats: int,
    beside: Sequence[Beside] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compare the spikes of all, then time all in turn; return everything for JSON and tables.

    beside: who runs beside the engine; by default all peers that can.
    """
    built: Sequence[Beside]
    built, left_out = build_peers(network, PEERS) if beside is None else (beside, {})
    agreement = []
    for peer in built:
        notes.print(f"comparing the spikes of {peer.name} with the engine's", highlight=False)
        agreement.append(check(peer, network, recordings[:CHECKED]))
    contestants = _contestants(network, recordings, built)
    with progress_bar("timing", (repeats + 1) * len(contestants)) as advance:
        timings = take_turns(contestants, repeats, len(recordings), advance)
    results = es.simulate_batch(network, recordings)
    operations = es.Operations.sum(result.operations for result in results).total
    samples = len(recordings)
    return {
        "samples": samples,
        "steps": max(result.steps for result in results),
        "dt_us": network.dt_us,
        "events_a_sample": sum(result.events for result in results) / samples,
        "sops_a_sample": operations.sops / samples,
        "dense_macs_a_sample": operations.dense_macs / samples,
        "firing_rates": firing_rates(network, recordings),
        "agreement": agreement,
        "left_out": left_out,
        "timings": [timing.as_dict(timings) for timing in timings],
    }


def build_peers(
    network: es.Network, peers: Iterable[type[Peer]]
) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that can run a network, and for each other one the reason."""
    built, left_out = [], {}
    for kind in peers:
        if not kind.installed():
            left_out[kind.name] = f"not installed: {kind.install}"
            continue
        peer = kind()
        try:
            peer.build(network)
        except es.EventsimError as error:
            left_out[kind.name] = str(error)
            continue
        built.append(peer)
    return built, left_out


def check(peer: Beside, network: es.Network, recordings: Sequence[Any]) -> dict[str, Any]:
    """Compare every spike of a peer with the engine's; say how many differ, and why."""
    agreement = compare_spikes(peer, network, recordings)
    differences = {peer.difference(network.layers[i].neuron) for i in network.neuron_layers}  # type: ignore[union-attr]
    return {
        "peer": peer.name,
        "version": peer.version(),
        "recordings": agreement.recordings,
        "engine_spikes": [layer.engine_spikes for layer in agreement.layers],
        "differing": [layer.differing for layer in agreement.layers],
        "farthest_from_threshold": max(layer.largest_origin_distance for layer in agreement.layers),
        "verdict": _verdict(agreement, "; ".join(sorted(differences - {""}))),
    }


def _verdict(agreement: Agreement, difference: str) -> str:
    if agreement.differing == 0:
        return "equal"
    if difference:
        return difference
    if agreement.all_origins_within(ROUNDING):
        farthest = max(layer.largest_origin_distance for layer in agreement.layers)
        return f"rounding: each difference begins within {farthest:.1e} of the threshold"
    return "NOT THE SAME NETWORK"


def _contestants(
    network: es.Network, recordings: Sequence[Any], peers: Iterable[Beside]
) -> list[Contestant]:
    threads = sorted({1, es.available_threads()})
    binned = bin_all(network, recordings)
    contestants = []
    for n in threads:
        raw = partial(es.simulate_batch, network, recordings, threads=n)
        contestants.append(Contestant(ENGINE, n, raw, "raw events"))
        if n > 1 and any(len(network.shapes[index + 1]) > 1 for index in network.neuron_layers):
            shared = partial(run_one_by_one, network, recordings, n)
            contestants.append(Contestant(ENGINE_ONE_BY_ONE, n, shared, "raw events"))
        ready = partial(run_all_binned, network, binned, n)
        contestants.append(Contestant(ENGINE_BINNED, n, ready, "binned events"))
    batches = dense_frames(network, recordings)
    for peer in peers:
        frames = [peer.ready(batch) for batch in batches]
        contestants += [
            Contestant(peer.name, n, partial(run_all, peer.run, frames, n), peer.given)
            for n in threads
        ]
    return contestants


def run_one_by_one(network: es.Network, recordings: Sequence[Any], threads: int) -> None:
    """Run recordings in the engine, each on so many threads."""
    for events in recordings:
        es.simulate(network, events, threads=threads)


def run_all_binned(network: es.Network, binned: Sequence[es.BinnedEvents], threads: int) -> None:
    """Run binned recordings in the engine, spread over so many threads."""

    def run(share: Sequence[es.BinnedEvents]) -> None:
        for one in share:
            es.run_binned(network, one)

    if threads == 1:
        return run(binned)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [binned[first::threads] for first in range(threads)]))


def run_all(run: Callable[[Any], object], batches: Iterable[Any], threads: int) -> None:
    """Run batches in torch on so many threads."""
    torch.set_num_threads(threads)
    for batch in batches:
        run(batch)
