"""Asynchronous time in networks small enough to say what must happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asynchronous_networks import run_all
from hypothesis import given
from hypothesis import strategies as st

from eventsim.asynchronous import AsynchronousRun
from eventsim.asynchronous.schedule import sort
from eventsim.asynchronous.tables import MEMO, MOST_ROWS, Trace
from eventsim.errors import EventsimError, NetworkError, RecordingError
from eventsim.events.arrays import make_events
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense
from eventsim.network.neurons import ALIF, CUBALIF, IF, LI, LIF
from eventsim.network.pathways import Add, Delay, Flatten
from eventsim.network.pools import MaxPool2d
from eventsim.simulator import simulate


def one_input(layers: list[Any], dt_us: int = 1000, **more: Any) -> Network:
    return Network((1, 1, 1), dt_us, [Flatten(), *layers], **more)


def events_at(*times: int) -> Any:
    return make_events(times, *[np.zeros(len(times), int)] * 3)


def times(network: Network, events: Any, stop: int, layer: int = -1, **more: Any) -> list[int]:
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
    assert times(network, events_at(5), 100) == [25]
    assert times(network, events_at(5), 100, delay_us=7) == [32]
    echo = one_input([Dense([[1.0]], recurrent=[1.0], neuron=IF(0.5))], dt_us=10)
    assert times(echo, events_at(5), 40, delay_us=7) == [5, 15, 25, 35]


def test_what_is_due_comes_before_the_events_of_the_same_time() -> None:
    network = one_input([Delay(1), Dense([[1.0]], neuron=IF(0.5))], dt_us=10)
    skip = Network((1, 1, 1), 10, [Delay(1), Add((-1, 0)), Flatten(), Dense([[0.6]], neuron=IF(1))])
    assert times(network, events_at(0, 0), 100) == [10]  # both arrive in one instant
    _, trace = run_all(skip, events_at(0, 10), 100)
    # 0.6 of the first event and 0.6 when it comes back; then both of the second
    assert trace[:, [Trace.t, Trace.event]].tolist() == [[10, -1], [20, -1]]


def test_simultaneous_events_are_instants_of_their_own() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(0.5))])
    assert times(network, events_at(3, 3, 3), 10) == [3, 3, 3]
    pooled = Network((2, 2, 2), 10, [MaxPool2d(2), Flatten(), Dense([[1.0, 1.0]], neuron=IF(9.0))])
    events = make_events([1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1])
    assert simulate(pooled, events, mode="async").operations.total.acs == 3


def test_a_layer_of_several_parts_takes_more_rows_than_it_lists() -> None:
    """Delayed, all arrive in one instant: blocks of 64 and of 16, more than 64, and some left."""
    channels, events = 64 * 64 + 64 + 21, 2 * MOST_ROWS + 3
    rng = np.random.default_rng(0)
    weight = rng.integers(-8, 9, (channels, events)) / 8
    bias = rng.integers(0, 3, channels) / 8
    behind = rng.integers(-8, 9, (3, channels)) / 8
    layers = [Delay(1), Flatten(), Dense(weight, bias, neuron=IF(4.0, "subtract"))]
    network = Network((1, 1, events), 8, [*layers, Dense(behind, neuron=IF(4.0, "subtract"))])
    all_at_once = make_events(*[[0] * events, range(events), *[[0] * events] * 2])
    spikes = simulate(network, all_at_once, steps=2, mode="async", record_spikes=True).spikes
    assert spikes is not None
    expected = np.maximum(np.ceil((weight.sum(axis=1) + bias) / 4 - 1), 0)
    first = spikes[2][spikes[2][:, 0] == 8]
    np.testing.assert_array_equal(np.bincount(first[:, 1], minlength=channels), expected)
    reached = np.maximum(np.ceil(behind @ expected / 4 - 1), 0)
    second = spikes[3][spikes[3][:, 0] == 8]
    np.testing.assert_array_equal(np.bincount(second[:, 1], minlength=3), reached)


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


def test_silences_with_one_place_in_the_memo_have_decays_of_their_own() -> None:
    layer = Dense([[1.0]], [0.01], neuron=LIF(0.5, 100.0))
    network = one_input([layer], readout="last-membrane")
    at = np.cumsum([0, 1, 1 + MEMO, 1, 1 + 2 * MEMO, 1 + MEMO])
    stop = int(at[-1]) + 1
    result = simulate(network, events_at(*at), steps=-(-stop // 1000), mode="async")
    f = (result.steps * 1000 - at) / 1000
    bias = 0.01 * (1 - 0.5**result.steps) / 0.5
    assert result.scores[0] == pytest.approx(np.sum(0.5**f) + bias, rel=1e-5)


@given(numbers=st.lists(st.integers(0, 50), max_size=200), before=st.integers(0, 3))
def test_a_stretch_is_sorted_and_what_is_around_it_is_left(numbers: list[int], before: int) -> None:
    ints = np.array([99] * before + numbers + [-1])
    sort(ints, before, len(numbers))
    assert ints.tolist() == [99] * before + sorted(numbers) + [-1]


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
