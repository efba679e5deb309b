"""Asynchronous time against its dense reference, and its counts against brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from brute_force_async import count_operations
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import networks

from eventsim.asynchronous import AsynchronousRun
from eventsim.asynchronous.layout import T
from eventsim.asynchronous.reference import Instant, ReferenceRun, run_reference
from eventsim.errors import EventsimError, NetworkError, RecordingError
from eventsim.events import EVENT_DTYPE, make_events
from eventsim.layers import Conv2d, Dense, WeightLayer
from eventsim.network import Network
from eventsim.neurons import ALIF, CUBALIF, IF, LI, LIF
from eventsim.pathways import Add, Delay, Flatten, MaxPool2d
from eventsim.simulator import Result, available_threads, simulate, simulate_batch


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
            if isinstance(layer.neuron, CUBALIF) and layer.bias is not None:
                layer = replace(layer, bias=None)
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


def run_all(
    network: Network, events: Any, duration: int, packets: Any = (), **chosen: Any
) -> tuple[Result, NDArray[np.int64]]:
    """The result, and the trace, of a run whose events come in packets cut at `packets`."""
    run = AsynchronousRun(network, start_us=0, record_spikes=True, **chosen)
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
    return np.array(rows, np.int64).reshape(-1, len(T))


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


@pytest.mark.parametrize("lively", [False, True])
@pytest.mark.parametrize(("dt_us", "decays"), [(1, (0.0, 0.5, 1.0)), (16, (0.0, 1.0))])
@given(data=st.data())
@settings(max_examples=200)
def test_everything_equals_the_reference_where_arithmetic_is_exact(
    dt_us: int, decays: Any, lively: bool, data: Any
) -> None:
    """Every spike with its time and instant, every score, every count, in packets of any size."""
    if lively:
        network = data.draw(lively_networks(dt_us, decays))
    else:
        network = asynchronous(data.draw(networks(dyadic=True)), dt_us, decays)
    duration = data.draw(st.integers(1, 14 if dt_us == 1 else 70))
    events = data.draw(recordings(network, duration))
    chosen = data.draw(options(dt_us))
    reference = run_reference(network, events, 0, duration, **chosen)
    assume_exact(reference)
    packets = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    result, trace = run_all(network, events, duration, packets, **chosen)
    np.testing.assert_array_equal(trace, trace_of(network, reference))
    check_readout(network, result, reference)
    expected = count_operations(network, reference, duration, chosen["refractory_us"])
    for layer, counts in zip(result.operations.layers, expected, strict=True):
        assert {name: getattr(layer, name) for name in counts} == counts


@pytest.mark.parametrize("lively", [False, True])
@given(data=st.data())
@settings(max_examples=120)
def test_spikes_differ_from_float64_only_at_the_threshold(lively: bool, data: Any) -> None:
    """Any network: fed the engine's own spikes, a neuron's first difference is one of rounding."""
    dt_us = data.draw(st.sampled_from([7, 50]))
    if lively:
        network = data.draw(lively_networks(dt_us, None))
    else:
        network = asynchronous(data.draw(networks(dyadic=False)), dt_us)
    duration = data.draw(st.integers(1, 250))
    events = data.draw(recordings(network, duration))
    chosen = data.draw(options(dt_us))
    result, trace = run_all(network, events, duration, **chosen)
    passed_on = spikes_in(network, trace)
    run = run_reference(network, events, 0, duration, **chosen, passed_on=passed_on)
    same = True
    for index, instants in zip(network.neuron_layers, run.layers, strict=True):
        differed = np.zeros(network.shapes[index + 1], np.bool_)
        for one in instants:
            mine = passed_on(index, one.t, one.event)
            for neuron in map(tuple, np.argwhere((one.spikes != mine) & ~differed)):
                resets = min(one.spikes[neuron], mine[neuron])
                distance = from_threshold(network.layers[index], one, neuron, resets)
                assert distance < 1e-5 * max(1.0, abs(one.membranes[neuron]))
            differed |= one.spikes != mine
        same &= not differed.any()
    if same and network.readout.endswith("membrane"):
        membranes = run.mean if network.readout == "mean-membrane" else run.last
        expected = membranes.reshape(-1) + rests_of(network)
        np.testing.assert_allclose(result.scores, expected, rtol=1e-5, atol=1e-5)


def spikes_in(network: Network, trace: NDArray[np.int64]) -> Any:
    """A function that gives the spikes of a layer in an instant, as the trace has them."""
    fired: dict[tuple[int, int, int], NDArray[np.int64]] = {}
    for t, event, number, neuron, count in trace.tolist():
        index = network.neuron_layers[number]
        shape = network.shapes[index + 1]
        spikes = fired.setdefault((index, t, event), np.zeros(shape, np.int64))
        position, channel = divmod(neuron, shape[0])
        spikes.reshape(shape[0], -1)[channel, position] = count
    return lambda index, t, event: fired.get(
        (index, t, event), np.zeros(network.shapes[index + 1], np.int64)
    )


def from_threshold(layer: Any, one: Instant, neuron: Any, resets: int) -> float:
    """How far a membrane is from its threshold after so many resets in an instant."""
    u, threshold = one.membranes[neuron], one.thresholds[neuron]
    if layer.neuron.spikes == "many":
        return abs(u - max(1.0, np.rint(u / threshold)) * threshold)
    p = layer.neuron.parameters(len(one.spikes))[neuron[0]]
    raised = p["coupling"] * resets if isinstance(layer.neuron, ALIF) else 0.0
    return abs(u - resets * p["threshold"] - threshold - raised)


def rests_of(network: Network) -> NDArray[np.float64]:
    """The rest of each output neuron, channel-first."""
    rest: Any = np.float32(network.layers[-1].neuron.rest)  # type: ignore[union-attr]
    channels = network.shapes[-1][0]
    return np.repeat(np.broadcast_to(rest, channels), network.outputs // channels)


@given(data=st.data())
@settings(max_examples=25)
def test_batch_equals_single_runs_whatever_the_threads(data: Any) -> None:
    network = asynchronous(data.draw(networks(dyadic=False)), 100)
    samples = [data.draw(recordings(network, 800)) for _ in range(5)]
    single = [simulate(network, events, steps=8, mode="async") for events in samples]
    for threads in range(1, available_threads() + 1):
        batch = simulate_batch(network, samples, steps=8, threads=threads, mode="async")
        for one, other in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one.spike_counts, other.spike_counts)
            np.testing.assert_array_equal(one.first_spikes, other.first_spikes)
            np.testing.assert_array_equal(one.scores, other.scores)
            assert one.operations == other.operations


def one_input(layers: list[Any], dt_us: int = 1000, **more: Any) -> Network:
    return Network((1, 1, 1), dt_us, [Flatten(), *layers], **more)


def events_at(*times: int) -> Any:
    return make_events(times, *[np.zeros(len(times), int)] * 3)


def times(network: Network, events: Any, stop: int, layer: int = 0, **more: Any) -> list[int]:
    run = AsynchronousRun(network, start_us=0, record_spikes=True, **more)
    run.feed(events)
    spikes = run.finish(stop).spikes
    assert spikes is not None
    return spikes[layer][:, 0].tolist()


def test_a_membrane_decays_between_events_by_their_distance() -> None:
    """0.7 and 0.7 within tau ln(7/3) cross 1, further apart they do not."""
    decay = 0.5
    apart = -np.log(3 / 7) / np.log(2) * 1000  # microseconds until 0.7 is 0.3
    network = one_input([Dense([[0.7]], neuron=LIF(decay, 1.0))])
    soon, late = int(apart), int(apart) + 1
    assert times(network, events_at(0, soon), 9000) == [soon]
    assert times(network, events_at(0, late), 9000) == []


def test_a_bias_fires_at_the_first_microsecond_over_threshold() -> None:
    """u(f) = 2 (1 - 0.5^f) with bias 1 is over 1 right after one timestep: at 1001 us."""
    network = one_input([Dense([[0.0]], [1.0], neuron=LIF(0.5, 1.0))])
    assert times(network, events_at(), 3500) == [1001, 2002, 3003]
    network = one_input([Dense([[0.0]], [1.0], neuron=LIF(0.5, 1.0, comparison=">="))])
    assert times(network, events_at(), 3500) == [1000, 2000, 3000]


def test_a_current_carries_a_membrane_over_threshold_later() -> None:
    """u = 1 + f with decays 1: over 3.5 after 2.5 timesteps."""
    network = one_input([Dense([[1.0]], neuron=CUBALIF(1.0, 1.0, 3.5, comparison=">="))])
    assert times(network, events_at(100), 2600) == []
    assert times(network, events_at(100), 2601) == [2600]


def test_a_current_that_is_too_weak_never_fires() -> None:
    """With decays of 0.5, u = 0.5^f (1 + f) rises until f = 0.44."""
    u = 0.5 ** (np.arange(4000) / 1000) * (1 + np.arange(4000) / 1000)
    for threshold in (u.max() + 1e-6, u.max() - 1e-6, 1.03):
        network = one_input([Dense([[1.0]], neuron=CUBALIF(0.5, 0.5, threshold))])
        assert times(network, events_at(0), 4000)[:1] == np.flatnonzero(u > threshold)[:1].tolist()


def test_a_falling_threshold_meets_the_membrane() -> None:
    """After two spikes the threshold is 1 + 2 a: a membrane of 2 waits until it has halved."""
    neuron = ALIF(1.0, 1.0, 0.5, 1.0, reset="subtract", comparison=">=")
    network = one_input([Dense([[5.0]], neuron=neuron)])
    # 5 -> 4 with threshold 2, -> 3 with 3, -> 2 with 4; then 1 + 3 0.5^f = 2 at log2(3) timesteps
    first = [0, 0, 0]
    assert times(network, events_at(0), 1500) == first
    assert times(network, events_at(0), 1700) == [*first, 1585]


def test_a_soft_reset_fires_again_in_the_same_instant() -> None:
    layers = [
        Dense([[3.5]], neuron=IF(1.0, reset="subtract")),
        Dense([[0.5]], neuron=IF(1.25, reset="zero")),
    ]
    network = one_input(layers)
    result, trace = run_all(network, events_at(7), 10)
    assert result.operations.layers[0].output_spikes == 3
    assert result.operations.layers[1].acs == 3
    assert trace.tolist() == [[7, 0, 0, 0, 3], [7, 0, 1, 0, 1]]


def test_refractory_time_ends_at_exactly_its_end() -> None:
    neuron = IF(1.0, refractory=2)
    network = one_input([Dense([[1.5]], neuron=neuron)], dt_us=10)
    assert times(network, events_at(0, 5, 19, 20), 40) == [0, 20]
    assert times(network, events_at(0, 5, 19, 20), 40, refractory_us=5) == [0, 5, 19]
    assert times(network, events_at(0, 5, 19, 20), 40, refractory_us=0) == [0, 5, 19, 20]


def test_a_neuron_left_over_threshold_fires_when_its_refractory_time_ends() -> None:
    neuron = IF(1.0, "subtract", refractory=1)
    network = one_input([Dense([[3.5]], neuron=neuron)], dt_us=10)
    assert times(network, events_at(3), 100) == [3, 13, 23]


def test_delays_and_recurrence_in_microseconds() -> None:
    second = Dense([[1.0]], neuron=IF(0.5))
    network = one_input([Dense([[1.0]], neuron=IF(0.5)), Delay(2), second], dt_us=10)
    assert times(network, events_at(5), 100, layer=1) == [25]
    assert times(network, events_at(5), 100, layer=1, delay_us=7) == [32]
    echo = one_input([Dense([[1.0]], recurrent=[1.0], neuron=IF(0.5))], dt_us=10)
    assert times(echo, events_at(5), 40, delay_us=7) == [5, 15, 25, 35]


def test_what_is_due_comes_before_the_events_of_the_same_time() -> None:
    network = one_input([Delay(1), Dense([[1.0]], neuron=IF(0.5))], dt_us=10)
    skip = Network((1, 1, 1), 10, [Delay(1), Add((-1, 0)), Flatten(), Dense([[0.6]], neuron=IF(1))])
    assert times(network, events_at(0, 0), 100) == [10]  # both arrive in one instant
    _, trace = run_all(skip, events_at(0, 10), 100)
    # 0.6 of the first event and 0.6 when it comes back; then both of the second
    assert trace[:, [T.t, T.event]].tolist() == [[10, -1], [20, -1]]


def test_simultaneous_events_are_instants_of_their_own() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(0.5))])
    assert times(network, events_at(3, 3, 3), 10) == [3, 3, 3]
    pooled = Network((2, 2, 2), 10, [MaxPool2d(2), Flatten(), Dense([[1.0, 1.0]], neuron=IF(9.0))])
    events = make_events([1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1])
    assert simulate(pooled, events, mode="async").operations.total.acs == 3


def test_the_input_is_never_graded() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(9.0))], input_encoding="counts")
    result = simulate(network, events_at(3, 3, 4), mode="async")
    assert (result.operations.total.acs, result.operations.total.macs) == (3, 0)
    assert (result.mode, simulate(network, events_at(3)).mode) == ("async", "clocked")


def test_readouts_of_one_membrane() -> None:
    """1 at 0, then 0.5^f: 1/8 after three timesteps; mean (1 - 1/8) / (3 ln 2)."""
    for readout, score in (("last-membrane", 0.125), ("mean-membrane", 0.875 / np.log(8))):
        network = one_input([Dense([[1.0]], neuron=LI(0.5))], readout=readout)
        result = simulate(network, events_at(0), steps=3, mode="async")
        assert result.scores[0] == pytest.approx(score, rel=1e-6)


def test_a_long_recording_needs_no_more_memory() -> None:
    """Queues and heap keep their size while a million spikes pass through them."""
    layers = [Dense([[1.0]], neuron=IF(0.5)), Delay(3), Dense([[0.5]], [0.1], neuron=IF(1.0))]
    run = AsynchronousRun(one_input(layers), start_us=0)
    packet = events_at(*range(0, 100_000, 10))
    sizes = set()
    for _ in range(100):
        run.feed(packet)
        packet["t"] += 100_000
        sizes.add(run._ints.size)
    assert len(sizes) == 1
    assert run.finish(10**7 + 3000).operations.layers[1].input_events == 10**6


def test_early_and_late_events_are_counted() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(0.5))], dt_us=10, steps=2)
    result = simulate(network, events_at(3, 5, 24, 25, 99), start_us=5, mode="async")
    assert (result.events, result.events_early, result.events_late) == (5, 1, 2)
    assert (result.spike_counts[0], result.steps) == (2, 2)
    assert result.first_spikes[0] == 0


def test_bad_input_gets_one_sentence() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(0.5))])
    current = one_input([Dense([[1.0]], [0.5], neuron=CUBALIF(0.5, 0.5, 1.0))])
    run = AsynchronousRun(network)
    run.feed(events_at(5, 6))
    outside = events_at(7)
    outside["x"] = 1
    for call, error, sentence in (
        (lambda: simulate(current, events_at(0), mode="async"), NetworkError, "bias is not 0"),
        (lambda: simulate(network, events_at(), mode="x"), EventsimError, "mode is 'x'"),  # type: ignore[arg-type]
        (lambda: simulate(network, events_at(), delay_us=1), EventsimError, "delay_us is 1"),
        (lambda: AsynchronousRun(network, delay_us=-1), EventsimError, "delay_us is -1"),
        (lambda: AsynchronousRun(network, refractory_us=1.5), EventsimError, "refractory_us is"),  # type: ignore[arg-type]
        (lambda: run.feed(outside), RecordingError, "event 0: x is 1"),
        (lambda: run.feed(events_at(8, 7)), RecordingError, "event 1: time runs backwards"),
        (lambda: run.feed(events_at(5)), RecordingError, "event 0: time runs backwards"),
        (lambda: run.feed(events_at(2**62 + 5)), RecordingError, "less than 2.62"),
        (lambda: run.finish(6), EventsimError, "stop_us is 6, expected 7"),
    ):
        with pytest.raises(error, match=sentence):
            call()
    assert run.finish(7).spike_counts[0] == 2  # what was refused changed nothing
    with pytest.raises(EventsimError, match="finished"):
        run.feed(events_at(9))
    with pytest.raises(EventsimError, match="finished"):
        run.finish(9)


def test_an_untouched_layer_costs_nothing() -> None:
    conv = Conv2d(np.ones((4, 2, 3, 3)), padding=1, neuron=LIF(0.5, 100.0))
    layers = [conv, Flatten(), Dense(np.ones((3, 1024)), neuron=IF(1.0))]
    result = simulate(Network((2, 16, 16), 1000, layers), events_at(0), mode="async")
    first, second = result.operations.layers
    assert (first.acs, first.site_updates) == (4 * 4, 4)  # a corner pixel reaches 2 x 2 sites
    assert second.sops == second.updates == second.input_events == 0
