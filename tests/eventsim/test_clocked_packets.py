"""Runs in packets: the same as in one call however a recording is cut, at constant memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import asynchronous_networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import DT_US, MOST_RECORDED, networks, recordings

from eventsim.clocked.run import ClockedRun, run_binned
from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import EVENT_DTYPE, MAX_STEPS, Events, make_events
from eventsim.events.binning import bin_events
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import IF, LIF
from eventsim.network.pathways import Delay, Flatten
from eventsim.result import Mode, Result
from eventsim.simulator import simulate, simulate_batch
from eventsim.wiring import wire as wiring


def cut(events: Events, places: Iterable[int]) -> list[Events]:
    """Cut a recording before the events at these places; some packets may be empty."""
    return [events[a:b] for a, b in pairwise([0, *sorted(places), len(events)])]


def assert_equal(one: Result, other: Result) -> None:
    """Compare everything in two results, bit by bit."""
    for field in fields(Result):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.name == "spikes" and left is not None:
            for a, b in zip(left, right, strict=True):
                np.testing.assert_array_equal(a, b)
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right, field.name


@pytest.mark.parametrize("stretch", [1, 3, 4096])
@given(data=st.data())
@settings(max_examples=100)
def test_however_a_recording_is_cut_the_result_is_the_same(stretch: int, data: Any) -> None:
    """Compared with a run of the whole grid at once, binned before it began."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "LONGEST_STRETCH", stretch)
        network = data.draw(networks(dyadic=False))
        events = data.draw(recordings(network))
        events["t"] += np.uint64(data.draw(st.sampled_from([0, 700, 2**40])))
        silence = data.draw(st.integers(0, len(events)))
        events["t"][silence:] += np.uint64(data.draw(st.sampled_from([0, 11 * DT_US])))
        steps = data.draw(st.none() | st.integers(0, 24))
        first = int(events["t"][0]) if len(events) else 0
        start = data.draw(st.none() | st.integers(max(0, first - 3000), first + 3000))
        packets = cut(events, data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
        grid: Any = {"start_us": start, "steps": steps}
        once = simulate(network, events, **grid)
        options = grid | {"record_spikes": once.operations.total.output_spikes <= MOST_RECORDED}
        binned = bin_events(
            events, network.input_shape, DT_US, encoding=network.input_encoding, **grid
        )
        whole = run_binned(network, binned, record_spikes=options["record_spikes"])
        run = ClockedRun(network, **options)
        for packet in packets:
            run.feed(packet)
        assert_equal(run.finish(), whole)
        for given_as in (events, packets, iter(packets)):
            assert_equal(simulate(network, given_as, **options), whole)


@given(data=st.data())
@settings(max_examples=50)
def test_a_recording_that_is_refused_halfway_leaves_nothing_to_the_next(data: Any) -> None:
    """`simulate` uses a network's memory again; compared with a run that has memory of its own."""
    network = data.draw(networks(dyadic=False))
    events = data.draw(recordings(network))
    run = ClockedRun(network, steps=network.steps)
    run.feed(events)
    outside = np.zeros(1, EVENT_DTYPE)
    outside["t"], outside["x"] = 2**40, 60000
    with pytest.raises(RecordingError):
        simulate(network, [events, outside])
    assert_equal(simulate(network, events), run.finish())


def test_binned_events_may_be_arrays_of_other_types_and_strides() -> None:
    """The kernel's machine code is called as it is, for arrays of one type each."""
    network = one_input([Dense(np.ones((1, 1)), neuron=LIF(0.5, 0.5))], steps=9)
    binned = bin_events(events_at(0, 2000, 3000, 7500), (1, 1, 1), DT_US, 9)
    expected = run_binned(network, binned)
    assert expected.spike_counts.sum() > 0
    wide = replace(
        binned,
        pointers=np.repeat(binned.pointers, 2)[::2],
        cells=binned.cells.astype(np.int64),
        values=np.repeat(binned.values.astype(np.float64), 3)[::3],
    )
    wide.values.flags.writeable = False
    assert_equal(run_binned(network, wide), expected)


@given(data=st.data())
@settings(max_examples=60)
def test_asynchronous_runs_take_packets_too(data: Any) -> None:
    network = asynchronous_networks.asynchronous(data.draw(networks(dyadic=False)), 100)
    events = data.draw(asynchronous_networks.recordings(network, 800))
    asynchronous_networks.assume_tame(network, events, 900 + 10 * 100)  # the longest run below
    options: Any = {
        "steps": data.draw(st.none() | st.integers(0, 10)),
        "start_us": data.draw(st.none() | st.integers(0, 900)),
        "mode": "async",
    }
    packets = cut(events, data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
    whole = simulate(network, events, **options)
    assert_equal(simulate(network, iter(packets), **options), whole)
    (batched,) = simulate_batch(network, [packets], **options)
    assert_equal(batched, whole)


def one_input(layers: Any, **options: Any) -> Network:
    return Network((1, 1, 1), DT_US, [Flatten(), *layers], **options)


def events_at(*times: int) -> Events:
    return make_events(times, [0] * len(times), [0] * len(times), [0] * len(times))


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_a_packet_is_done_with_when_the_next_is_drawn(mode: Mode) -> None:
    """So a source may fill the same array again and again."""

    def source() -> Iterator[Events]:
        packet = events_at(0, 1200, 2900)
        for _ in range(20):
            yield packet
            packet["t"] += 5000

    network = one_input([Dense([[0.4]], neuron=LIF(0.9, 1.0))])
    whole = np.concatenate([packet.copy() for packet in source()])
    assert_equal(simulate(network, source(), mode=mode), simulate(network, whole, mode=mode))


def test_a_timestep_is_run_when_an_event_after_it_comes() -> None:
    run = ClockedRun(one_input([Dense([[1.0]], neuron=IF(0.5))]))
    counts = run._sample._outcome.spike_counts
    run.feed(events_at(0))
    run.feed(events_at(DT_US - 1))
    assert counts[0] == 0  # open: more may come
    run.feed(events_at(DT_US))
    assert counts[0] == 1
    result = run.finish()
    assert (result.spike_counts[0], result.steps, result.events_merged) == (2, 2, 1)


def test_the_grid_ends_where_finish_says() -> None:
    """With a bias: every timestep of silence is one more spike."""
    network = one_input([Dense([[0.0]], [1.0], neuron=IF(0.5))], steps=7)
    for stop_us, steps in ((None, 3), (2501, 3), (3000, 3), (3001, 4), (90_500, 91)):
        run = ClockedRun(network, start_us=0)
        run.feed(events_at(2500))
        result = run.finish(stop_us)
        assert (result.steps, result.spike_counts[0]) == (steps, steps)
    assert ClockedRun(network, start_us=0, steps=5).finish().spike_counts[0] == 5
    assert ClockedRun(network, start_us=0).finish(1500).spike_counts[0] == 2
    assert ClockedRun(network).finish().steps == 0
    assert simulate(network, [events_at(2500)]).steps == network.steps


def test_bad_input_gets_one_sentence() -> None:
    network = one_input([Dense([[1.0]], neuron=IF(0.5))])
    run = ClockedRun(network)
    run.feed(events_at(5, 6))
    fixed = ClockedRun(network, steps=3)
    outside = events_at(7)
    outside["x"] = 1
    most = MAX_STEPS * DT_US + 5
    for call, error, sentence in (
        (lambda: ClockedRun(network, steps=-1), EventsimError, "steps is -1"),
        (lambda: ClockedRun(network, start_us=1.5), EventsimError, "start_us is 1.5"),  # type: ignore[arg-type]
        (lambda: run.feed(outside), RecordingError, "^event 2: x is 1, expected 0 to 0"),
        (lambda: run.feed(events_at(8, 7)), RecordingError, "^event 3: time runs backwards"),
        (lambda: run.feed(events_at(5)), RecordingError, "^event 2: time runs backwards, t is 5 us "
         "after 6 us"),
        (lambda: run.feed(events_at(most)), RecordingError, "^event 2: t is .*, 2147483647 times"),
        (lambda: run.feed([1]), RecordingError, "events have dtype int64"),  # type: ignore[arg-type]
        (lambda: run.finish(6), EventsimError, f"stop_us is 6, expected 7 to {most}: after"),
        (lambda: run.finish(most + 1), EventsimError, f"stop_us is {most + 1}, expected 7 to"),
        (lambda: run.finish(7.5), EventsimError, "stop_us is 7.5, expected whole microseconds"),  # type: ignore[arg-type]
        (lambda: fixed.finish(9), EventsimError, "stop_us is 9, expected None with 3 steps"),
        (lambda: simulate(network, 3), RecordingError, "events have dtype int64"),  # type: ignore[arg-type]
        (lambda: simulate(network, [events_at(9), events_at(8)]), RecordingError, "^event 1: time"),
        (lambda: simulate(network, [events_at(9), events_at(8)], mode="async"), RecordingError,
         "^event 1: time runs backwards"),
    ):  # fmt: skip
        with pytest.raises(error, match=sentence):
            call()
    assert run.finish(7).spike_counts[0] == 1  # what was refused changed nothing
    with pytest.raises(EventsimError, match="finished"):
        run.feed(events_at(9))
    with pytest.raises(EventsimError, match="finished"):
        run.finish()


def hour(events: int, pixels: int) -> Iterator[Events]:
    """Packets over an hour of 3.6 million timesteps: bursts, and silences of up to minutes."""
    rng = np.random.default_rng(0)
    ends = np.sort(rng.integers(1, 3600, 99))
    for number, (a, b) in enumerate(pairwise([0, *ends.tolist(), 3600])):
        t = np.sort(rng.integers(a * 10**6, b * 10**6, 1 if number % 5 == 0 else events // 80))
        x, on = rng.integers(0, pixels, len(t)), rng.integers(0, 2, len(t))
        yield make_events(t, x, [0] * len(t), on)


@pytest.mark.parametrize("mode", ["clocked", "async"])
def test_a_long_recording_needs_no_more_memory(mode: Mode) -> None:
    """An hour at 1 ms, with delays; NumPy reports its arrays to tracemalloc."""
    rng = np.random.default_rng(1)
    layers = [
        Dense(rng.normal(0, 0.4, (40, 128)), neuron=LIF(0.9, 1.0)),
        Delay(20),
        Dense(rng.normal(0, 0.4, (10, 40)), neuron=LIF(0.9, 1.0)),
    ]
    network = Network((2, 1, 64), DT_US, [Flatten(), *layers])
    peaks: list[int] = []

    def watched(packets: Iterator[Events]) -> Iterator[Events]:
        for packet in packets:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
            yield packet

    simulate(network, hour(800, 64), mode=mode)  # compiles and lays out
    tracemalloc.start()
    try:
        result = simulate(network, watched(hour(80_000, 64)), mode=mode)
    finally:
        tracemalloc.stop()
    assert result.steps > 3_590_000
    assert result.operations.layers[0].input_events > 50_000
    assert max(peaks[50:]) < max(peaks[:20]) + 100_000
