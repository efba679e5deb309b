"""Live sessions and the streams that they follow, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from eventsim.errors import EventsimError
from eventsim.events.arrays import EVENT_DTYPE, make_events
from eventsim.live.session import ANSWER_KINDS, Session
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.result import MODES
from eventsim.simulator import simulate

GAP_US = 20_000


def echo(**more: Any) -> Network:
    """One output for each of two pixels: an event is a spike."""
    return Network((1, 1, 2), 1000, [Flatten(), Dense(np.eye(2), neuron=LIF(0.5, 0.5))], **more)


def at(*times: int, x: int = 0) -> Any:
    return make_events(times, [x] * len(times), [0] * len(times), [1] * len(times))


@st.composite
def streams(draw: st.DrawFn, network: Network) -> Any:
    """Events whose clock now and then stands still, jumps ahead, back, or far back."""
    _, height, width = network.input_shape
    count = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    jumps = [0, 1, 150, 900, 3000, -1, -700, GAP_US, GAP_US + 1, 3 * GAP_US, -3 * GAP_US]
    odds = np.array([8, 8, 8, 8, 8, 2, 2, 1, 1, 1, 1])
    t = 10**6 + np.cumsum(rng.choice(jumps, count, p=odds / odds.sum()))
    where = rng.integers(0, [width, height, 2], (count, 3)).T
    return make_events(np.maximum(t, 0), *where)


def draw_session(data: Any, network: Network) -> Session:
    mode, answer = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from(ANSWER_KINDS))
    hop_us = data.draw(st.sampled_from([1000, 2000]))
    return Session(
        network,
        mode=mode,
        answer=answer,
        window_us=hop_us * data.draw(st.sampled_from([1, 3, 5])),
        hop_us=hop_us,
        leak_us=4000 if answer == "leaky" else None,
        gap_us=GAP_US,
        late_us=data.draw(st.sampled_from([700, GAP_US])),
        clock_us=data.draw(st.sampled_from([None, 2**16])),
    )


def told(answers: Any) -> Any:
    return [(a.t_us, a.spike_counts.tolist(), a.scores.tolist(), a.prediction) for a in answers]


def spiking(network: Network, mode: str) -> None:
    """Leave out networks that a session, or asynchronous time, refuses."""
    assume(not network.readout.endswith("membrane"))
    try:
        Session(network, mode=mode).feed(np.empty(0, EVENT_DTYPE))  # type: ignore[arg-type]
        simulate(network, np.empty(0, EVENT_DTYPE), mode=mode)  # type: ignore[arg-type]
    except EventsimError:
        assume(False)
