"""Networks into NIR files and back: the same, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from random_networks import networks as random_networks

import eventsim as es
from eventsim.reference import run_reference

nir = pytest.importorskip("nir")

from eventsim_bridge.nir import AS_IN, from_nir, graph_of, to_nir  # noqa: E402

if "v_reset" not in nir.IF.__dataclass_fields__:
    pytest.skip("nir is older than 1.0.6, expected later to write files", allow_module_level=True)

MANY: dict[str, Any] = {"reset": "subtract", "comparison": ">=", "spikes": "many"}
EXPRESSIBLE: list[tuple[str, Any]] = [
    ("exact", es.LIF(0.9, 1.0)),
    ("exact", es.LIF(0.3, 0.3)),  # the paper's
    ("exact", es.LIF(0.9, 1.0, input_gain="one-minus-decay")),
    ("exact", es.LIF(0.9, 1.5, rest=0.5)),
    ("exact", es.LIF(0.9, 1.0, "value", reset_value=-0.25)),
    ("exact", es.LIF(0.0, 1.0)),
    ("exact", es.LIF((0.5, 0.6, 0.7), (1.0, 2.0, 3.0))),
    ("exact", es.IF(0.7)),
    ("exact", es.CUBALIF(0.8, 0.9, 1.0)),
    ("exact", es.CUBALIF(0.9, 0.9, 1.0)),
    ("snntorch", es.LIF(0.9, 1.0)),
    ("snntorch", es.LIF(0.0, 1.0)),
    ("snntorch", es.CUBALIF(0.8, 0.9, 1.0)),
    ("norse", es.LIF(0.9, 1.0, input_gain="one-minus-decay")),
    ("norse", es.IF(2.0)),
    ("norse", es.CUBALIF(0.8, 0.9, 1.0)),
    ("sinabs", es.LIF(0.9, 1.0, **MANY)),
    ("sinabs", es.IF(1.5, lower_bound=-1.5, **MANY)),
    ("spikingjelly", es.LIF(0.75, 1.0, comparison=">=", input_gain="one-minus-decay")),
    ("spikingjelly", es.IF(1.0, comparison=">=")),
    ("spikingjelly", es.CUBALIF(0.5, 0.75, 1.0, comparison=">=")),
    ("lava-dl", es.CUBALIF(0.5, 1 - 128 / 4096, 1.0)),
    ("rockpool", es.LIF(0.9, 1.0, **MANY)),
]


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def network(neuron: Any, **options: Any) -> es.Network:
    last = neuron if neuron.channels is None else es.IF(1.0)
    layers = [
        es.Conv2d(weights(3, 2, 3, 3), weights(3), stride=2, padding=1, neuron=neuron),
        es.SumPool2d(2),
        es.Flatten(),
        es.Dense(weights(4, 12), recurrent=weights(4, 4), neuron=last),
    ]
    return es.Network((2, 8, 8), 1000, layers, **options)


def assert_same(left: es.Network, right: es.Network) -> None:
    """The same spikes on the same input, and the same of everything that NIR has no place for."""
    rng = np.random.default_rng(0)
    polarities, height, width = left.input_shape
    count = 4000
    events = es.make_events(
        np.sort(rng.integers(0, 50_000, count)), rng.integers(0, width, count),
        rng.integers(0, height, count), rng.integers(0, polarities, count),
    )  # fmt: skip
    results = [es.simulate(net, events, record_spikes=True) for net in (left, right)]
    assert results[0].spikes is not None
    assert results[1].spikes is not None
    for a, b in zip(results[0].spikes, results[1].spikes, strict=True):
        assert np.array_equal(a, b)
    assert results[0].operations == results[1].operations
    assert np.array_equal(results[0].spike_counts, results[1].spike_counts)
    for name in ("dt_us", "input_shape", "input_encoding", "steps", "readout", "class_names"):
        assert getattr(left, name) == getattr(right, name)


@pytest.mark.parametrize(("as_in", "neuron"), EXPRESSIBLE, ids=repr)
def test_there_and_back(tmp_path: Path, as_in: Any, neuron: Any) -> None:
    there = network(neuron)
    to_nir(there, tmp_path / "net.nir", as_in=as_in)
    found = from_nir(tmp_path / "net.nir")
    assert found.notes == ()
    back = found.network
    for a, b in zip(there.layers, back.layers, strict=True):
        assert type(a) is type(b)
        if isinstance(a, es.Conv2d | es.Dense):
            assert np.array_equal(a.weight, b.weight)  # type: ignore[union-attr]
            left, right = (one.neuron.parameters(3) for one in (a, b))  # type: ignore[union-attr]
            assert np.array_equal(left, right) or neuron.channels


def test_convolutions_that_the_nir_package_does_not_know(tmp_path: Path) -> None:
    """Its check of shapes takes kernels for square, and knows no groups."""
    for layer in (
        es.Conv2d(weights(4, 1, 3, 3), groups=2, neuron=es.IF(1.0)),
        es.Conv2d(weights(4, 2, 3, 2), neuron=es.IF(1.0)),
    ):
        there = es.Network((2, 8, 8), 1000, [layer])
        notes = to_nir(there, tmp_path / "net.nir")
        assert ["type_check=False" in note for note in notes] == [True]
        assert_same(there, from_nir(tmp_path / "net.nir").network)
    assert to_nir(network(es.IF(1.0)), tmp_path / "net.nir") == ()


def test_what_nir_has_no_place_for(tmp_path: Path) -> None:
    there = network(
        es.LIF(0.9, 1.0), input_encoding="counts", steps=40, readout="first-spike",
        class_names=["a", "b", "c", "d"],
    )  # fmt: skip
    to_nir(there, tmp_path / "net.nir")
    assert_same(there, from_nir(tmp_path / "net.nir").network)


def test_another_timestep_is_another_decay(tmp_path: Path) -> None:
    """Exactly read, a file is continuous in time again."""
    to_nir(network(es.LIF(0.9, 1.0), steps=40), tmp_path / "net.nir")
    other = from_nir(tmp_path / "net.nir", dt_us=2000).network
    assert other.layers[0].neuron.decay == pytest.approx(0.9**2)  # type: ignore[union-attr]
    assert (other.dt_us, other.steps) == (2000, None)


def test_delays_sums_and_recurrence(tmp_path: Path) -> None:
    there = es.Network(
        (1, 4, 4), 1000,
        [es.Flatten(), es.Dense(weights(5, 16), neuron=es.LIF(0.9, 1.0)), es.Delay((0, 1, 2, 3, 4)),
         es.Dense(weights(5, 5), recurrent=weights(5), neuron=es.LIF(0.9, 1.0)), es.Add((1, 3)),
         es.Dense(weights(2, 5), neuron=es.LI(0.9))],
        readout="mean-membrane",
    )  # fmt: skip
    to_nir(there, tmp_path / "net.nir")
    assert_same(there, from_nir(tmp_path / "net.nir").network)


def test_one_dimension(tmp_path: Path) -> None:
    there = es.Network(
        (2, 1, 8), 1000,
        [es.Conv1d(weights(3, 2, 3), padding=1, recurrent=weights(3), neuron=es.LIF(0.9, 1.0)),
         es.Flatten(), es.Dense(weights(2, 24), neuron=es.IF(1.0))],
    )  # fmt: skip
    to_nir(there, tmp_path / "net.nir")
    assert_same(there, from_nir(tmp_path / "net.nir").network)


@pytest.mark.parametrize(
    ("as_in", "neuron", "sentence"),
    [
        ("exact", es.LIF(0.9, 1.0, comparison=">="), r"layer 0 \(Conv2d\): at_threshold of LIF"),
        ("exact", es.LIF(0.9, 1.0, reset="subtract"), r"layer 0 \(Conv2d\): reset of LIF"),
        ("exact", es.LIF(0.9, 1.0, refractory=2), r"layer 0 \(Conv2d\): refractory of LIF"),
        ("exact", es.LIF(0.9, 1.0, lower_bound=-1.0), r"layer 0 \(Conv2d\): lower_bound of LIF"),
        ("exact", es.ALIF(0.9, 1.0, 0.5, 0.5), r"layer 0 \(Conv2d\): neuron is ALIF"),
        ("exact", es.CUBALIF(1.0, 0.9, 1.0), r"layer 0 \(Conv2d\): neuron is CUBALIF.*no r"),
        ("sinabs", es.LIF(0.9, 1.0), "at_threshold and many and reset of LIF"),
        ("lava-dl", es.LIF(0.9, 1.0), "decay of LIF"),
        ("rockpool", es.CUBALIF(0.8, 0.9, 1.0, **MANY), "weight would be another one"),
        ("rockpool", es.IF(1.0), r"0_if \(IF\) does not exist in rockpool"),
    ],
)
def test_neurons_that_nir_cannot_express(as_in: Any, neuron: Any, sentence: str) -> None:
    with pytest.raises(es.NetworkError, match=sentence):
        graph_of(network(neuron), as_in=as_in)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [(es.MaxPool2d(2), 32), (es.Upsample(2), 512)],
)
def test_layers_that_nir_does_not_have(tmp_path: Path, layer: Any, inputs: int) -> None:
    layers = [layer, es.Flatten(), es.Dense(weights(3, inputs), neuron=es.IF(1.0))]
    name = rf"layer 0 \({type(layer).__name__}\): NIR has no node"
    with pytest.raises(es.NetworkError, match=name):
        to_nir(es.Network((2, 8, 8), 1000, layers), tmp_path / "net.nir")
    assert list(tmp_path.iterdir()) == []


def test_concatenations_are_refused() -> None:
    layers = [
        es.Flatten(), es.Dense(weights(5, 16), neuron=es.IF(1.0)), es.Concatenate((0, 1)),
        es.Dense(weights(2, 21), neuron=es.IF(1.0)),
    ]  # fmt: skip
    with pytest.raises(es.NetworkError, match=r"layer 2 \(Concatenate\): NIR has no node"):
        graph_of(es.Network((1, 4, 4), 1000, layers))


def test_the_nir_package_reads_them(tmp_path: Path) -> None:
    """With its check of every shape."""
    to_nir(network(es.CUBALIF(0.8, 0.9, 1.0, rest=0.25)), tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    node = graph.nodes["0_cubalif"]
    assert node.v_leak.shape == (3, 4, 4)
    assert node.tau_mem.flat[0] == pytest.approx(-1e-3 / np.log(0.9))
    with h5py.File(tmp_path / "net.nir") as file:
        assert "eventsim" in file["node/metadata"]


def fitted(there: es.Network, as_in: str) -> es.Network:
    """Give neurons the comparison and reset of a library, and nothing that NIR has not."""
    many = as_in in ("sinabs", "rockpool")
    rules: dict[str, Any] = {
        "comparison": ">=" if many or as_in == "spikingjelly" else ">",
        "reset": "subtract" if many else "zero",
        "spikes": "many" if many else "one",
    }
    layers: list[Any] = []
    for layer in there.layers:
        if isinstance(layer, es.MaxPool2d):
            layers.append(es.SumPool2d(layer.kernel_size, layer.stride, layer.padding))
            continue
        neuron: Any = getattr(layer, "neuron", None)
        if neuron is not None and np.isfinite(np.max(neuron.threshold)):
            plain = dict.fromkeys(("refractory", "reset_value"), 0) | {"lower_bound": None}
            if isinstance(neuron, es.ALIF):
                neuron = es.LIF(neuron.decay, neuron.threshold, rest=neuron.rest)
            layer = replace(layer, neuron=replace(neuron, **rules, **plain))  # type: ignore[type-var]
        layers.append(layer)
    return replace(there, layers=layers)


@settings(max_examples=150)
@given(random_networks(dyadic=False), st.sampled_from(AS_IN), st.sampled_from([True] * 3 + [False]))
def test_random_networks_come_back_the_same_or_are_refused(
    there: es.Network, as_in: Any, fits: bool
) -> None:
    if fits:
        kinds = (es.Upsample, es.Concatenate)
        assume(not any(isinstance(layer, kinds) for layer in there.layers))
        there = fitted(there, as_in)
    try:
        graph = graph_of(there, as_in=as_in)
    except es.NetworkError as error:
        event(f"refused: {str(error)[:60]}")
        return
    event("came back")
    back = from_nir(graph).network
    frames = np.random.default_rng(0).integers(0, 2, (12, *there.input_shape))
    traces = [run_reference(net, frames, np.float32) for net in (there, back)]
    for left, right in zip(*traces, strict=True):
        assert np.array_equal(left.spikes, right.spikes)
        assert np.array_equal(left.membranes, right.membranes)
