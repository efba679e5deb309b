"""Sessions: live packets in, answers out, against whole simulations and an obvious clock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import networks
from session_streams import GAP_US, at, draw_session, echo, spiking, streams, told

from eventsim.asynchronous import layout
from eventsim.asynchronous.run import AsynchronousRun
from eventsim.clocked.run import ClockedRun
from eventsim.errors import EventsimError, RecordingError
from eventsim.events.arrays import make_events
from eventsim.live.session import Session
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LI, LIF
from eventsim.network.pathways import Flatten
from eventsim.result import MODES
from eventsim.simulator import simulate


@given(data=st.data())
@settings(max_examples=120)
def test_the_split_into_packets_changes_nothing(data: Any) -> None:
    network = data.draw(networks(dyadic=False, plain=True))
    for mode in MODES:
        spiking(network, mode)
    # A bias that fires by itself would do so in every microsecond of a gap.
    assume(all(getattr(layer, "bias", None) is None for layer in network.layers))
    events = data.draw(streams(network))
    whole = draw_session(data, network)
    parts = Session(
        network, mode=whole.mode, answer=whole.answer, window_us=whole.window_us,
        hop_us=whole.hop_us, leak_us=whole.leak_us, gap_us=GAP_US,
        late_us=whole.late_us, clock_us=whole.clock_us,
    )  # fmt: skip
    expected = whole.feed(events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
    found = [answer for part in np.split(events, cuts) for answer in parts.feed(part)]
    later = int(events["t"].max(initial=0)) + 3000
    expected += whole.advance(later)
    found += parts.advance(later)
    assert told(found) == told(expected)
    assert parts.counters == whole.counters
    assert parts.operations == whole.operations
    counts = whole.counters
    assert counts["received"] == len(events)
    assert counts["received"] == counts["processed"] + counts["backward"]


@given(data=st.data())
@settings(max_examples=50)
def test_spikes_taken_between_packets_are_those_of_a_simulation(data: Any) -> None:
    network = data.draw(networks(dyadic=False, plain=True))
    for mode in MODES:
        spiking(network, mode)
    drawn = draw_session(data, network)
    session = Session(
        network, mode=drawn.mode, answer=drawn.answer, window_us=drawn.window_us,
        hop_us=drawn.hop_us, leak_us=drawn.leak_us, record_spikes=True,
    )  # fmt: skip
    _, height, width = network.input_shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    t = np.sort(rng.integers(500, 9500, data.draw(st.integers(1, 40))))
    events = make_events(t, *rng.integers(0, [width, height, 2], (len(t), 3)).T)
    found = session.take_spikes()
    for part in np.array_split(events, data.draw(st.integers(1, 4))):
        session.feed(part)
        found = tuple(np.add(*pair) for pair in zip(found, session.take_spikes(), strict=True))
    session.reset()  # which runs the timestep that is still open, and forgets nothing
    found = tuple(np.add(*pair) for pair in zip(found, session.take_spikes(), strict=True))
    result = simulate(network, events, steps=None, mode=drawn.mode, record_spikes=True)
    total = session.operations.layers
    for layer, counts, spikes in zip(total, found, result.spikes or (), strict=True):
        assert counts.sum() == layer.output_spikes
        if drawn.mode == "clocked" and network.steps is None:
            expected = np.zeros((*counts.shape, 1, 1)[:3], np.int64)
            np.add.at(expected, tuple(spikes[:, 1:].T), 1)
            assert counts.tolist() == expected.reshape(counts.shape).tolist()
    with pytest.raises(EventsimError, match="record_spikes is False"):
        drawn.take_spikes()


@given(data=st.data())
@settings(max_examples=100)
def test_answers_are_the_spikes_of_a_simulation_in_their_windows(data: Any) -> None:
    network = data.draw(networks(dyadic=False, plain=True))
    for mode in MODES:
        spiking(network, mode)
    session = draw_session(data, network)
    _, height, width = network.input_shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.integers(1, 40))
    t = np.sort(rng.choice(9000, count, replace=False)) + 500
    events = make_events(t, *rng.integers(0, [width, height, 2], (count, 3)).T)
    start, until = int(t[0]), int(t[0]) + 12_000
    answers = session.feed(events) + session.advance(until)
    result = simulate(
        network, events, steps=12, start_us=start, mode=session.mode, record_spikes=True
    )
    assume(result.operations.total.output_spikes < 10**5)
    assert result.spikes is not None
    times, channel, y, x = result.spikes[-1].T
    maps = (*network.shapes[-1], 1, 1)[:3]
    output = np.ravel_multi_index((channel, y, x), maps)
    # A clocked spike stands at the end of its timestep.
    scale, late = (network.dt_us, 1) if session.mode == "clocked" else (1, 0)
    times = start + (times + late) * scale

    def window(end: int) -> Any:
        # Hops end before `end`; a spike's own answer includes its time.
        upper = times <= end if session.answer == "spike" or late else times < end
        lower = times > end - session.window_us
        if session.answer != "spike" and not late:
            lower = times >= end - session.window_us
        return np.bincount(output[upper & lower], minlength=network.outputs)

    if session.answer == "spike":
        expected = np.unique(times[times <= until] if late else times)
    else:
        expected = np.arange(start + session.hop_us, until + 1, session.hop_us)
    if session.answer == "spike":  # the last of several at one time has them all
        answers = [a for a, b in pairwise([*answers, None]) if b is None or a.t_us != b.t_us]
    assert [answer.t_us for answer in answers] == expected.tolist()
    for answer in answers:
        np.testing.assert_array_equal(answer.spike_counts, window(answer.t_us))


@given(data=st.data())
@settings(max_examples=60)
def test_hops_in_one_call_are_those_of_many(data: Any) -> None:
    """With room for one hop or two before they must be fetched, and for all."""
    network = data.draw(networks(dyadic=False, plain=True))
    room = data.draw(st.sampled_from([1, 2 * network.outputs, layout.HOP_COUNTS]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "HOP_COUNTS", room)  # which a network keeps
        spiking(network, "async")
    assume(all(getattr(layer, "bias", None) is None for layer in network.layers))
    _, height, width = network.input_shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    t = np.sort(rng.integers(500, 9500, data.draw(st.integers(0, 40))))
    events = make_events(t, *rng.integers(0, [width, height, 2], (len(t), 3)).T)
    hop = data.draw(st.integers(100, 3000))
    until = data.draw(st.integers(max(t.max(initial=0), 600), 12_000))
    run = AsynchronousRun(network, start_us=500)
    found = run.feed_in_hops(events, 500 + hop, hop, until)
    slowly = AsynchronousRun(network, start_us=500)
    expected, first = [], 0
    for end in range(500 + hop, until + 1, hop):
        stop = int(np.searchsorted(t, end))
        slowly.feed(events[first:stop])
        slowly.advance(end)
        expected.append(slowly.spike_counts.tolist())
        first = stop
    slowly.feed(events[first:])
    assert found.tolist() == expected
    np.testing.assert_array_equal(run.counters, slowly.counters)
    np.testing.assert_array_equal(run.spike_counts, slowly.spike_counts)


def test_the_leaky_score_falls_from_hop_to_hop() -> None:
    session = Session(echo(), answer="leaky", leak_us=2000, hop_us=1000, window_us=1000)
    answers = session.feed(at(0, 100, 1200)) + session.advance(3000)
    fall = np.exp(-0.5)
    scores = [answer.scores[0] for answer in answers]
    np.testing.assert_allclose(scores, [2, 2 * fall + 1, (2 * fall + 1) * fall])
    assert [answer.prediction for answer in answers] == [0, 0, 0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("times", "counts", "new_start"),
    [
        ((5000, 4000, 6000), {"backward": 1, "processed": 2}, None),
        ((5000, 5000, 6000), {"duplicates": 1, "processed": 3}, None),
        ((5000, 25_000), {"gaps": 0}, None),
        ((5000, 25_001), {"gaps": 1, "processed": 2}, 25_001),
        ((50_000, 45_000, 50_100), {"restarts": 0, "backward": 1, "processed": 2}, None),
        ((50_000, 44_999, 45_100), {"restarts": 1, "backward": 0, "processed": 3}, 44_999),
        ((65_000, 100, 300), {"wraps": 1, "restarts": 0, "processed": 3}, None),
        ((65_000, 100, 65_200, 300), {"wraps": 1, "gaps": 0, "backward": 1, "processed": 3}, None),
        ((10, 65_530, 20), {"wraps": 0, "gaps": 0, "backward": 1, "processed": 2}, None),
        ((65_000, 100, 60_000), {"wraps": 1, "gaps": 1, "processed": 3}, 2**16 + 60_000),
    ],
)  # fmt: skip
def test_each_fault_of_a_clock(mode: Any, times: Any, counts: Any, new_start: Any) -> None:
    session = Session(
        echo(), mode=mode, hop_us=1000, window_us=1000, gap_us=GAP_US, late_us=5000, clock_us=2**16
    )
    answers = session.feed(at(*times))
    found = session.counters
    assert {name: found[name] for name in counts} == counts
    ends = [answer.t_us for answer in answers]
    if new_start is not None:
        later = session.advance(new_start + 5000)
        assert (later[0].t_us - new_start) % 1000 == 0
        # The old hops end within the gap after the last event before.
        assert all((end - times[0]) % 1000 == 0 for end in ends if end < new_start)
    else:
        assert ends == list(range(times[0] + 1000, ends[-1] + 1, 1000)) if ends else True


@pytest.mark.parametrize("mode", MODES)
def test_ticks_bring_answers_without_events_and_make_what_follows_late(mode: Any) -> None:
    session = Session(echo(), mode=mode, hop_us=1000, window_us=2000)
    assert session.advance(10**6) == []  # nothing before the first event
    assert session.feed(at(1000)) == []
    answers = session.advance(4500)
    assert [(a.t_us, a.spike_counts[0]) for a in answers] == [(2000, 1), (3000, 1), (4000, 0)]
    assert session.advance(4500) == []
    assert session.feed(at(4499, 4500)) == []
    assert session.counters["backward"] == 1
    assert [a.spike_counts[0] for a in session.advance(5000)] == [1]
    # A tick cannot go further than a gap: a silence that long ends the run.
    assert session.advance(10**9)[-1].t_us <= 4500 + session.gap_us


@pytest.mark.parametrize("mode", MODES)
def test_a_gap_is_answered_to_its_end(mode: Any) -> None:
    session = Session(echo(), mode=mode, hop_us=1000, window_us=2000, gap_us=GAP_US)
    answers = session.feed(at(500, 10**6))
    assert [answer.t_us for answer in answers] == list(range(1500, 500 + GAP_US + 1, 1000))
    assert [answer.spike_counts[0] for answer in answers[:3]] == [1, 1, 0]
    # Nothing is left of the time before: the hops are those of the new beginning.
    assert [answer.t_us for answer in session.advance(10**6 + 2500)] == [10**6 + 1000, 10**6 + 2000]


@pytest.mark.parametrize("kind", [ClockedRun, AsynchronousRun])
def test_a_run_that_has_gone_on_refuses_what_is_earlier(kind: Any) -> None:
    run = kind(echo())
    run.advance(9000)  # nothing is known of the start yet
    run.feed(at(0))
    run.advance(3000)
    run.advance(1000)  # it is further already
    counted = run.counters.copy()
    with pytest.raises(RecordingError, match="t is 2999, expected 3000 us or later"):
        run.feed(at(2999))
    np.testing.assert_array_equal(run.counters, counted)
    run.feed(at(3000))
    assert run.finish(5000).events == 2
    np.testing.assert_array_equal(run.spike_counts, [2, 0])


@pytest.mark.parametrize("mode", MODES)
def test_reset_silences_the_network_and_keeps_the_counts(mode: Any) -> None:
    network = Network(
        (1, 1, 2), 1000, [Flatten(), Dense(np.full((1, 2), 0.4), neuron=LIF(1.0, 0.5))]
    )
    session = Session(network, mode=mode, answer="spike", window_us=10_000)
    assert session.feed(at(0)) == []
    session.reset()
    assert session.feed(at(1500)) + session.advance(5000) == []
    assert session.operations.total.acs == 2
    without = Session(network, mode=mode, answer="spike", window_us=10_000)
    assert len(without.feed(at(0, 1500)) + without.advance(5000)) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_recording_played_again_is_followed_again(mode: Any) -> None:
    again = at(1000, 2000, 500_000)
    session = Session(echo(), mode=mode, window_us=1000)
    first, second = session.feed(again), session.feed(again)
    assert told(second) == told(first) != []
    assert session.counters["restarts"] == 1
    assert session.counters["backward"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_gap_after_a_reset_is_a_gap(mode: Any) -> None:
    session = Session(echo(), mode=mode, window_us=1000, gap_us=GAP_US)
    session.feed(at(0))
    session.reset()
    assert session.feed(at(10**6)) == []
    assert session.counters["gaps"] == 1
    assert [answer.t_us for answer in session.advance(10**6 + 1000)] == [10**6 + 1000]


def test_a_bad_packet_changes_nothing() -> None:
    session = Session(echo(), window_us=1000)
    session.feed(at(0))
    before = session.counters, session.operations
    with pytest.raises(RecordingError, match="event 1: x is 7, expected 0 to 1"):
        session.feed(np.concatenate([at(10), at(20, x=7)]))
    with pytest.raises(RecordingError, match="expected a 1-D array"):
        session.feed(np.zeros(3))
    assert (session.counters, session.operations) == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mode": "live"}, "mode is 'live', expected one of"),
        ({"answer": "all"}, "answer is 'all', expected one of"),
        ({"window_us": 0}, "window_us is 0, expected a whole number of microseconds"),
        ({"hop_us": 1.5}, "hop_us is 1.5, expected a whole number"),
        ({"mode": "clocked", "hop_us": 1500}, "hop_us is 1500, expected a multiple of"),
        (
            {"window_us": 15_000, "hop_us": 10_000},
            "window_us is 15000 with hop_us 10000, expected a multiple of it",
        ),
        ({"window_us": 1000, "hop_us": 10_000}, "window_us is 1000 with hop_us 10000, expected"),
        ({"leak_us": 5}, "leak_us is 5, expected a time with the answer 'leaky'"),
        ({"answer": "leaky"}, "leak_us is None, expected a time"),
        ({"gap_us": -1}, "gap_us is -1"),
        ({"late_us": 0}, "late_us is 0"),
        ({"clock_us": 5}, "clock_us is 5, expected None or a period of at least 65536 us"),
    ],
)
def test_bad_settings_are_one_sentence(settings: Any, expected: str) -> None:
    with pytest.raises(EventsimError, match=expected):
        Session(echo(), **settings)


def test_readouts_of_membranes_are_refused() -> None:
    layers = [Flatten(), Dense(np.eye(2), neuron=LI(0.5))]
    network = Network((1, 1, 2), 1000, layers, readout="last-membrane")
    with pytest.raises(EventsimError, match="readout is 'last-membrane', expected one of spikes"):
        Session(network)
