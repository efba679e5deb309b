"""Random networks and recordings for asynchronous time, and runs of them in one form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import MOST_RECORDED

from eventsim.asynchronous import AsynchronousRun
from eventsim.asynchronous.reference import ReferenceRun
from eventsim.asynchronous.tables import Trace
from eventsim.errors import EventsimError
from eventsim.events.arrays import EVENT_DTYPE
from eventsim.network.graph import Network
from eventsim.network.layers import Dense, WeightLayer
from eventsim.network.neurons import ALIF, CUBALI, CUBALIF, LIF
from eventsim.network.neurons.neuron import LATE
from eventsim.network.pathways import Flatten
from eventsim.operations import COUNTERS
from eventsim.result import Result


def with_decays(layer: Any, decays: Any) -> Any:
    """The layer with every decay that is not among `decays` replaced."""
    neuron, changed = layer.neuron, {}
    for name in ("decay", "current_decay", "adaptation_decay"):
        if name in vars(neuron):
            values = np.atleast_1d(getattr(neuron, name)).tolist()
            allowed = [v if v in decays else 1.0 for v in values]
            changed[name] = tuple(allowed) if len(allowed) > 1 else allowed[0]
    return replace(layer, neuron=replace(neuron, **changed)) if changed else layer


def asynchronous(network: Network, dt_us: int, decays: Any = None) -> Network:
    """The network at another dt, without what asynchronous time refuses."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, WeightLayer):
            if decays is not None:
                layer = with_decays(layer, decays)
            if isinstance(layer.neuron, CUBALIF | CUBALI) and layer.bias is not None:
                layer = replace(layer, bias=None)
            if layer.neuron.reset in (*LATE, "none"):
                layer = replace(layer, neuron=replace(layer.neuron, reset="subtract"))
        layers.append(layer)
    return Network(
        network.input_shape, dt_us, layers,
        input_encoding=network.input_encoding, readout=network.readout,
    )  # fmt: skip


@st.composite
def recordings(draw: st.DrawFn, network: Network, duration: int) -> Any:
    """No event, one, a few, many, or every pixel at once; some of them at one time."""
    _, height, width = network.input_shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["empty", "one", "sparse", "busy", "all at once"]))
    most = {"empty": 0, "one": 1, "sparse": 4, "busy": 40, "all at once": 2 * height * width}[kind]
    events = np.zeros(most, EVENT_DTYPE)
    events["x"] = rng.integers(0, width, len(events))
    events["y"] = rng.integers(0, height, len(events))
    events["on"] = rng.integers(0, 2, len(events))
    if kind == "all at once":
        events["t"] = draw(st.integers(0, duration - 1))
    else:
        events["t"] = np.sort(rng.integers(0, duration, len(events)))
    return events


@st.composite
def options(draw: st.DrawFn, dt_us: int) -> dict[str, Any]:
    few = st.integers(0, 3 * dt_us)
    return {
        "refractory_us": draw(st.none() | st.none() | few),
        "delay_us": draw(st.just(0) | few),
    }


def assume_tame(network: Network, events: Any, duration: int, **chosen: Any) -> None:
    """Leave out networks that run away: recurrence multiplies their spikes from dt to dt."""
    run = AsynchronousRun(network, start_us=0, **chosen)
    for t in range(0, duration, network.dt_us):
        first, stop = np.searchsorted(events["t"], np.uint64([t, t + network.dt_us]))
        run.feed(events[first:stop])
        try:
            run.advance(t + network.dt_us)
        except EventsimError:  # within one dt
            assume(False)
        assume(run.counters[:, COUNTERS.index("output_spikes")].sum() <= MOST_RECORDED)


def run_all(
    network: Network, events: Any, duration: int, packets: Any = (), **chosen: Any
) -> tuple[Result, NDArray[np.int64]]:
    """The result, and the trace, of a run whose events come in packets cut at `packets`."""
    assume_tame(network, events, duration, **chosen)
    for record in (False, True):
        run = AsynchronousRun(network, start_us=0, record_spikes=record, **chosen)
        for packet in np.split(events, sorted(packets)):
            run.feed(packet)
        result = run.finish(duration)
    return result, run.trace()


def trace_of(network: Network, run: ReferenceRun) -> NDArray[np.int64]:
    """The trace that the engine should have written."""
    rows = []
    for which in range(len(run.layers[0])):
        for number, instants in enumerate(run.layers):
            one = instants[which]
            spikes = one.spikes.reshape(len(one.spikes), -1).T.reshape(-1)
            for neuron in np.flatnonzero(spikes):
                rows.append((one.t, one.event, number, neuron, spikes[neuron]))
    return np.array(rows, np.int64).reshape(-1, len(Trace))


def assume_exact(run: ReferenceRun) -> None:
    """Only where float32 holds every value that the reference met."""
    for instants in run.layers:
        for one in instants:
            for exact in (one.u, one.second, one.membranes, one.thresholds):
                assume((exact == exact.astype(np.float32)).all())


def check_readout(network: Network, result: Result, run: ReferenceRun) -> None:
    fired = [(one.t, one.spikes.reshape(-1)) for one in run.layers[-1]]
    counts = np.sum([spikes for _, spikes in fired], axis=0, dtype=np.int64)
    counts = counts + np.zeros(network.outputs, np.int64)
    first = np.full(network.outputs, -1)
    for t, spikes in reversed(fired):
        first[spikes > 0] = t
    np.testing.assert_array_equal(result.spike_counts, counts)
    np.testing.assert_array_equal(result.first_spikes, first)
    if network.readout == "last-membrane":
        np.testing.assert_array_equal(result.scores, run.last.reshape(-1) + rests_of(network))
    elif network.readout == "mean-membrane":
        expected = run.mean.reshape(-1) + rests_of(network)
        np.testing.assert_allclose(result.scores, expected, rtol=1e-9, atol=1e-9)
    elif network.readout == "first-spike":
        np.testing.assert_array_equal(result.scores, np.where(first < 0, -np.inf, -first))
    else:
        np.testing.assert_array_equal(result.scores, counts)


@st.composite
def lively_networks(draw: st.DrawFn, dt_us: int, decays: Any) -> Network:
    """One layer of neurons that often fire without input: for one of several reasons."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outputs = draw(st.integers(1, 4))
    decay = st.sampled_from(decays) if decays else st.floats(0.0, 1.0, width=32)
    p: dict[str, Any] = {
        "decay": draw(decay),
        "threshold": draw(st.integers(4, 24)) / 16.0,
        "reset": draw(st.sampled_from(["subtract", "subtract", "zero"])),
        "comparison": draw(st.sampled_from([">", ">="])),
        "refractory": draw(st.sampled_from([0, 0, 1, 3])),
    }
    kind = draw(st.sampled_from([LIF, ALIF, CUBALIF]))
    bias = None if kind is CUBALIF else rng.integers(-8, 13, outputs) / 16.0
    if kind is CUBALIF:
        p["current_decay"] = draw(decay)
    elif draw(st.booleans()):
        p["lower_bound"] = draw(st.integers(-16, 0)) / 16.0
    if kind is ALIF:
        p |= {"adaptation_decay": draw(decay), "adaptation": draw(st.integers(0, 24)) / 16.0}
    weight = rng.integers(-16, 65, (outputs, 8)) / 16.0
    if decays is None:
        weight = weight + rng.normal(0, 0.01, weight.shape)
    layers = [Flatten(), Dense(weight, bias if draw(st.booleans()) else None, neuron=kind(**p))]
    readout = draw(st.sampled_from(["spike-count", "last-membrane", "mean-membrane"]))
    return Network((2, 2, 2), dt_us, layers, readout=readout)


def rests_of(network: Network) -> NDArray[np.float64]:
    """The rest of each output neuron, channel-first."""
    rest: Any = np.float32(network.layers[-1].neuron.rest)  # type: ignore[union-attr]
    channels = network.shapes[-1][0]
    return np.repeat(np.broadcast_to(rest, channels), network.outputs // channels)
