"""Networks without measure end with a sentence: too many spikes to record, too many at one time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eventsim import result as results
from eventsim.asynchronous import AsynchronousRun
from eventsim.clocked.run import ClockedRun
from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import IF, LI
from eventsim.network.pathways import Flatten
from eventsim.result import MODES
from eventsim.simulator import simulate

EVENT = make_events([0], [0], [0], [1])


def one_input(*layers: Any, **more: Any) -> Network:
    return Network((1, 1, 1), 1000, [Flatten(), *layers], **more)


@pytest.mark.parametrize("mode", MODES)
def test_more_spikes_than_can_be_recorded_are_refused_by_layer(
    mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MOST_RECORDED", 100)
    neuron = IF(1.0, "subtract", comparison=">=", spikes="many")
    net = one_input(
        Dense(np.full((4, 1), 30.0), neuron=neuron), Dense(np.ones((1, 4)), neuron=neuron)
    )
    sentence = r"layer 1 \(Dense\): 120 spikes to record, expected at most 100; without record_"
    with pytest.raises(EventsimError, match=sentence):
        simulate(net, EVENT, record_spikes=True, mode=mode)
    assert simulate(net, EVENT, mode=mode).operations.layers[0].output_spikes == 120


def test_only_spikes_that_are_kept_count_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that asks for none, or takes them out as it goes, may spike for ever."""
    monkeypatch.setattr(results, "MOST_RECORDED", 100)
    net = one_input(Dense(np.ones((4, 1)), neuron=IF(0.5)))
    for record in (False, True):
        run = AsynchronousRun(net, start_us=0, record_spikes=record)
        for number in range(100):
            run.feed(make_events([number * 10], [0], [0], [1]))
            assert len(list(run.take_output_spikes())) == record
        assert run.spike_counts.tolist() == [100] * 4


@pytest.mark.parametrize("record", [False, True])
def test_asynchronous_recurrence_that_multiplies_its_spikes_ends(record: bool) -> None:
    """Each spike makes a hundred after each timestep, and so on."""
    dense = Dense(np.ones((4, 1)), recurrent=np.ones((4, 4)), neuron=IF(0.01, "subtract"))
    sentence = r"layer 1 \(Dense\): 16777216 spikes or more at one time, .* runs away"
    run = AsynchronousRun(one_input(dense), start_us=0, record_spikes=record)
    run.feed(EVENT)
    with pytest.raises(EventsimError, match=sentence):
        run.finish(50_000)
    with pytest.raises(EventsimError, match="the run is finished"):
        run.feed(EVENT)


def test_asynchronous_reset_that_never_comes_below_its_threshold_ends_at_its_event() -> None:
    dense = Dense([[1.0]], neuron=IF(1e-9, "subtract"))
    with pytest.raises(EventsimError, match=r"layer 1 \(Dense\): 16777216 spikes or more"):
        simulate(one_input(dense), EVENT, mode="async")


@pytest.mark.parametrize("run_type", [ClockedRun, AsynchronousRun])
@pytest.mark.parametrize("until_us", [2**63, 10**30, 1.5, True])
def test_a_run_goes_on_only_to_times_that_a_clock_can_show(run_type: Any, until_us: Any) -> None:
    run = run_type(one_input(Dense([[1.0]], neuron=IF(0.5))))
    run.feed(EVENT)
    with pytest.raises(EventsimError, match=r"until_us is .*, expected a whole number below 2\^63"):
        run.advance(until_us)
    run.advance(5000)
    run.state()


def test_a_clocked_run_goes_on_only_to_timesteps_that_it_can_number() -> None:
    run = ClockedRun(one_input(Dense([[1.0]], neuron=IF(0.5))))
    run.feed(EVENT)
    with pytest.raises(EventsimError, match=r"until_us is .* timesteps of 1000 us .* at most"):
        run.advance(2**62)
    run.advance(5000)
    run.state()


def test_no_timestep_leaves_the_membranes_at_rest() -> None:
    net = one_input(
        Dense([[1.0], [1.0]], neuron=LI(0.5, rest=(-0.5, 0.25))), readout="last-membrane"
    )
    for mode in MODES:
        for steps in (0, None):
            result = simulate(net, make_events([], [], [], []), steps=steps, mode=mode)
            assert (result.scores.tolist(), result.prediction) == ([-0.5, 0.25], 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recurrent", [[-0.25], [[-0.25]]])
def test_a_spike_of_the_last_timestep_does_not_come_back(recurrent: Any, mode: Any) -> None:
    net = one_input(Dense([[1.0]], None, np.float32(recurrent), neuron=IF(0.5)))
    for steps, returned in ((1, 0), (2, 1)):
        total = simulate(net, EVENT, steps=steps, mode=mode).operations.total
        assert (total.input_events, total.acs) == (1 + returned, 1 + returned)


@pytest.mark.slow
def test_a_refractory_time_beyond_the_last_timestep_holds() -> None:
    late = 2**30
    dense = Dense([[0.0, 1.0]], neuron=IF(0.5, refractory=2**30))
    net = Network((1, 1, 2), 1, [Flatten(), dense])
    events = make_events([0, late + 5, late + 6, late + 9], [0, 1, 1, 1], [0] * 4, [1] * 4)
    spikes = simulate(net, events, record_spikes=True).spikes
    assert spikes is not None
    assert spikes[-1][:, 0].tolist() == [late + 5]
