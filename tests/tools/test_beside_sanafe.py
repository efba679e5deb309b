"""SANA-FE beside the model `loihi`: the same operations and spikes, and what each charges."""

from __future__ import annotations

import numpy as np
import pytest

import eventsim as es
from eventsim_tools.beside_sanafe import check, of_loihi_model, run_sanafe

EVENTS = es.make_events(*np.random.default_rng(0).integers(0, 4, (3, 60)), [0] * 60)

LIF = es.LIF(0.5, 0.75)


def two_layers() -> es.Network:
    """4 x 4 cells, 6 neurons, 3 neurons; weights of which every sum is exact."""
    rng = np.random.default_rng(1)
    first, second = (rng.integers(-4, 9, shape) / 16 for shape in ((6, 16), (3, 6)))
    layers = [es.Flatten(), es.Dense(first, neuron=LIF), es.Dense(second, neuron=LIF)]
    return es.Network((1, 4, 4), 1, layers, steps=4)


def events() -> es.Events:
    order = np.argsort(EVENTS["t"], kind="stable")
    return EVENTS[order]


def test_the_model_loihi_is_its_prices_times_the_counts() -> None:
    network = two_layers()
    total = es.simulate(network, events()).operations.total
    found = of_loihi_model(network, es.simulate(network, events()).operations)
    assert found["pJ, all"] == pytest.approx(
        23.6 * total.sops + 81 * total.compares + 52 * total.idle_updates
        + 1.7 * total.output_spikes
    )  # fmt: skip
    assert found["synaptic operations"] == total.sops > 100
    layers = es.simulate(network, events()).operations.layers
    assert found["ns, all"] == max(
        3.5 * layer.sops + 8.4 * layer.compares + 5.3 * layer.idle_updates for layer in layers
    )


def test_both_execute_the_same() -> None:
    pytest.importorskip("sanafe")
    network = two_layers()
    result = es.simulate(network, events())
    ours, theirs = of_loihi_model(network, result.operations), run_sanafe(network, events(), 4)
    for name in ("input events", "synaptic operations", "spikes"):
        assert ours[name] == theirs[name] > 0
    # 35.5 pJ an operation; each of 9 neurons is looked at in each of 6 timesteps.
    assert theirs["pJ, synaptic operations"] == pytest.approx(35.5 * ours["synaptic operations"])
    assert theirs["pJ, neurons"] == pytest.approx(
        51.2 * 9 * 6 + 21.6 * theirs["neurons updated, active"] + 69.3 * theirs["spikes"]
    )


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (es.Conv2d(np.ones((1, 1, 3, 3)), neuron=LIF), "expected only fully"),
        (es.Dense(np.ones((2, 16)), np.ones(2), neuron=LIF), "without a bias"),
        (es.Dense(np.ones((2, 16)), neuron=es.IF(1.0)), "expected a plain LIF"),
    ],
)
def test_other_networks_are_refused(layer: es.Layer, expected: str) -> None:
    flatten = [] if isinstance(layer, es.Conv2d) else [es.Flatten()]
    with pytest.raises(es.EventsimError, match=expected):
        check(es.Network((1, 4, 4), 1, [*flatten, layer]))
