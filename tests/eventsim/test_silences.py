"""Silences of any length against powers of a matrix in float64, and how soon a site can sleep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eventsim.events.arrays import make_events
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import ALIF, CUBALIF, IF, LIF
from eventsim.network.pathways import Flatten
from eventsim.result import MODES
from eventsim.simulator import simulate


@st.composite
def decays(draw: st.DrawFn) -> tuple[float, float]:
    """Two decays: any, or close to each other from above and below, where closed forms cancel."""
    near = st.sampled_from([0.0, 1e-7, 1e-6, 1e-4, 9e-4, 1.1e-3])
    first = draw(st.sampled_from([0.1, 0.3, 0.5, 0.9, 0.999]) | st.floats(0, 1, width=32))
    other = (
        st.floats(0, 1, width=32) | near.map(lambda d: first + d) | near.map(lambda d: first - d)
    )
    second = min(1.0, max(0.0, draw(other)))
    return float(np.float32(first)), float(np.float32(second))


def membrane_after(a: float, b: float, current: bool, silent: int) -> float:
    """The membrane of a neuron that got 1 and then nothing for so many timesteps, in float64."""
    if not current:
        return float(np.float64(b) ** silent)
    # (u, i) -> (b u + a i, a i) in every timestep
    matrix = np.array([[b, a], [0.0, a]], np.float64)
    return float((np.linalg.matrix_power(matrix, silent) @ [1.0, 1.0])[0])


@given(
    decays=decays(),
    kind=st.sampled_from([LIF, CUBALIF, ALIF]),
    silent=st.integers(1, 3000) | st.integers(1, 10**8),
    mode=st.sampled_from(MODES),
    touched=st.booleans(),
)
@settings(max_examples=500)
def test_a_silence_leaves_what_a_power_of_its_matrix_leaves(
    decays: tuple[float, float], kind: type, silent: int, mode: Any, touched: bool
) -> None:
    """Seen by neurons whose thresholds lie a little below and above what a late input must make."""
    a, b = decays
    most = 1.0
    if kind is CUBALIF:
        most += float(CUBALIF(a, b, 1.0).parameters()["coupling"][0])
        assume(np.isfinite(most))
    late = 2 * most  # what is in a silence does not fire
    before = membrane_after(a, b, kind is CUBALIF, silent) if touched else 0.0
    levels = ((late + before) * (1 - 1e-5), (late + before) * (1 + 1e-5))
    neuron: Any = {
        LIF: lambda: LIF(b, levels),
        CUBALIF: lambda: CUBALIF(a, b, levels),
        ALIF: lambda: ALIF(b, levels, a, 0.5),
    }[kind]()
    dense = Dense([[1.0, late], [1.0, late]], neuron=neuron)
    net = Network((1, 1, 3), 1, [Flatten(), Dense(np.eye(2, 3), neuron=IF(0.5)), dense])
    events = make_events([0, silent], [0 if touched else 2, 1], [0, 0], [1, 1])
    result = simulate(net, events, mode=mode, steps=silent + 1)
    assert result.spike_counts.tolist() == [1, 0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("a", "b", "silence_us"),
    [
        (0.301, 0.3, 215_000_000),  # 0.3^215000 is 0, (0.301 / 0.3)^215000 is infinite
        (0.101, 0.1, 72_000_000),
        (0.3, 0.301, 215_000_000),
    ],
)
def test_a_current_that_outlives_its_membrane_leaves_a_number(
    a: float, b: float, silence_us: int, mode: Any
) -> None:
    """Every event must fire, before a silence in which all fades and after it; a site never
    touched before too."""
    dt = 1000
    times = [0, 0, silence_us, silence_us + 50 * dt, silence_us + 100 * dt]
    events = make_events(times, [0, 1, 0, 0, 2], [0] * 5, [1] * 5)
    dense = Dense(np.eye(3), neuron=CUBALIF(a, b, 0.5))
    result = simulate(Network((1, 1, 3), dt, [Flatten(), dense]), events, mode=mode)
    assert result.spike_counts.tolist() == [3, 1, 1]


@pytest.mark.parametrize(("a", "b"), [(0.9995, 0.999), (0.998, 0.9), (0.9, 0.9995), (1.0, 0.9)])
def test_a_current_that_can_no_longer_fire_lets_its_site_sleep(a: float, b: float) -> None:
    """However small it has become: 10^6 timesteps are two updates, not 10^6."""
    weights = np.tile(np.float32([[0.001, 0.0]]), (8, 1))
    net = Network((1, 1, 2), 10, [Flatten(), Dense(weights, neuron=CUBALIF(a, b, 50.0))])
    events = make_events([0, 10**7], [0, 1], [0, 0], [1, 1])
    assert simulate(net, events).operations.total.site_updates == 2


@given(decays=decays())
@settings(max_examples=300)
def test_the_most_that_a_current_adds_is_that_of_all_timesteps(decays: tuple[float, float]) -> None:
    a, b = decays
    (p,) = CUBALIF(a, b, 1.0).parameters()
    if max(a, b) > 0.999:
        return
    total = most = 0.0
    for k in range(1, 20_000):
        total = total * b + a**k
        most = max(most, total)
        if total < most / 2 or a**k < 1e-12 * most:
            break
    assert p["coupling"] == pytest.approx(most, rel=1e-6)
