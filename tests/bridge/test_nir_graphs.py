"""NIR graphs become networks: edges, subgraphs and weights in a row, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nir_files import affine, chain, full, graph, lif, node, read

import eventsim as es
from eventsim.reference import run_reference

pytest.importorskip("nir")

from eventsim_bridge.nir import from_nir, is_nir_file


def recurrent(weight: np.ndarray) -> Any:
    back = node("Affine", weight=weight, bias=np.arange(3.0))
    ports = {"shape": np.array([3])}
    inner = {"lif": lif(3), "w_rec": back, "in": node("Input", **ports),
             "out": node("Output", **ports)}  # fmt: skip
    edges = [("in", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "out")]
    return graph(inner, edges)


@pytest.mark.parametrize("each_to_each", [True, False])
def test_recurrence_in_a_subgraph_and_out_of_it(tmp_path: Path, each_to_each: bool) -> None:
    """A trap: names. Some exporters open the subgraph "1" themselves and call its nodes "1.lif"."""
    weight = np.arange(9.0).reshape(3, 3) if each_to_each else np.diag([1.0, 2.0, 3.0])
    inside = chain(affine(3, 4), recurrent(weight), affine(2, 3, seed=1), lif(2))
    inner = inside["nodes"]["1"]["nodes"]
    nodes = {name: one for name, one in inside["nodes"].items() if name != "1"}
    outside = graph(
        nodes | {"1.lif": inner["lif"], "1.w_rec": inner["w_rec"]},
        [("input", "0"), ("0", "1.lif"), ("1.lif", "1.w_rec"), ("1.w_rec", "1.lif"),
         ("1.lif", "2"), ("2", "3"), ("3", "output")],
    )  # fmt: skip
    bias = inside["nodes"]["0"]["bias"] + np.arange(3)
    for tree in (inside, outside):
        layer: Any = read(tmp_path, tree).network.layers[0]
        assert np.array_equal(layer.recurrent, weight if each_to_each else [1, 2, 3])
        assert layer.bias == pytest.approx(bias)
        assert layer.neuron.input_gain == "one-minus-decay"


def test_an_edge_may_name_the_port_of_a_subgraph(tmp_path: Path) -> None:
    tree = chain(affine(3, 4), recurrent(np.eye(3)), affine(2, 3), lif(2))
    tree["edges"] = [("input", "0"), ("0", "1.in"), ("1.out", "2"), ("2", "3"), ("3", "output")]
    assert len(read(tmp_path, tree).network.layers) == 2


def test_what_several_edges_bring_is_summed(tmp_path: Path) -> None:
    """Two weights into one neuron, of which one comes from further back; and a skip."""
    rng = np.random.default_rng(0)
    first, second, back = (rng.normal(size=shape) for shape in ((5, 4), (3, 5), (3, 4)))
    nodes = {
        "input": node("Input", shape=np.array([4])), "output": node("Output", shape=np.array([3])),
        "a": node("Linear", weight=first), "b": node("Linear", weight=second),
        "c": node("Linear", weight=back), "n": lif(5, r=10.0), "m": lif(3, r=10.0),
    }  # fmt: skip
    edges = [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("input", "c"), ("c", "m"),
             ("m", "output")]  # fmt: skip
    network = read(tmp_path, graph(nodes, edges)).network
    frames = rng.integers(0, 2, (60, 4)).astype(float)
    traces = run_reference(network, frames)
    decay, gain = np.exp(-0.1), 10 * (1 - np.exp(-0.1))
    u, v = np.zeros(5), np.zeros(3)
    hidden, out = [], []
    for x in frames:
        u = decay * u + np.float32(gain * first) @ x
        s = (u > 1) * 1.0
        v = decay * v + np.float32(gain * second) @ s + np.float32(gain * back) @ x
        hidden.append(s)
        out.append(v > 1)
        u, v = np.where(s, 0, u), np.where(v > 1, 0, v)
    assert np.array_equal(traces[0].spikes, hidden)
    assert np.array_equal(traces[1].spikes, out)
    assert 0 < np.sum(out) < np.size(out)


def test_scales_and_weights_in_a_row_are_multiplied(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(5, 4)), rng.normal(size=(3, 5))
    before, between = rng.normal(size=4), rng.normal(size=5)
    tree = chain(
        node("Scale", scale=before), node("Affine", weight=first, bias=np.ones(5)),
        node("Scale", scale=between), node("Linear", weight=second),
        full("IF", r=1000.0, v_threshold=1.0),
    )  # fmt: skip
    layer: Any = read(tmp_path, tree).network.layers[-1]
    whole = second @ np.diag(between) @ first @ np.diag(before)
    assert layer.weight == pytest.approx(whole, rel=1e-6)
    assert layer.bias == pytest.approx(second @ between, rel=1e-6)


def test_a_scale_before_groups(tmp_path: Path) -> None:
    weight = np.arange(8.0).reshape(4, 2, 1, 1)
    conv = node("Conv2d", weight=weight, stride=1, padding=0, dilation=1, groups=2,
                bias=np.zeros(4))  # fmt: skip
    first = node("Conv2d", weight=np.ones((4, 1, 1, 1)), stride=1, padding=0, dilation=1, groups=1,
                 bias=np.zeros(4))  # fmt: skip
    neurons = [node("IF", r=np.full(4, 1000.0), v_threshold=np.ones(4)) for _ in range(2)]
    scale = node("Scale", scale=np.array([1.0, 2.0, 3.0, 4.0]))
    tree = chain(first, neurons[0], scale, conv, neurons[1], shape=(1, 2, 2))
    layer: Any = read(tmp_path, tree).network.layers[-1]
    assert layer.weight[:, :, 0, 0].tolist() == [[0, 2], [2, 6], [12, 20], [18, 28]]


def test_neurons_without_weights_and_weights_without_neurons(tmp_path: Path) -> None:
    tree = chain(full("Threshold", threshold=0.5), affine(2, 3), shape=(3,))
    found = read(tmp_path, tree)
    first, last = (layer for layer in found.network.layers if isinstance(layer, es.Dense))
    assert np.array_equal(first.weight, np.eye(3))
    assert first.neuron == es.LIF(0.0, 0.5)
    assert last.neuron == es.LI(0.0)
    assert found.network.readout == "mean-membrane"
    assert any("identity put in" in note for note in found.notes)


def test_integrators_and_delays(tmp_path: Path) -> None:
    tree = chain(
        affine(3, 4), lif(3), node("Delay", delay=np.array([0.0, 0.002, 0.005])),
        affine(3, 3), full("I", r=2.0),
    )  # fmt: skip
    network = read(tmp_path, tree).network
    assert network.layers[-2] == es.Delay((0, 2, 5))
    assert network.layers[-1].neuron == es.LI(1.0)  # type: ignore[union-attr]
    assert network.readout == "mean-membrane"
    tree["nodes"]["2"]["delay"] = np.array([0.0, 0.0025, 0.005])
    with pytest.raises(es.NetworkError, match=r"node 2 \(Delay\): delay is .*whole timesteps"):
        read(tmp_path, tree)


def test_convolutions_in_one_dimension(tmp_path: Path) -> None:
    conv = node("Conv1d", weight=np.ones((2, 3, 3)), stride=2, padding=1, dilation=1, groups=1,
                bias=np.zeros(2), input_shape=8)  # fmt: skip
    tree = chain(conv, node("IF", r=np.full((2, 4), 1000.0), v_threshold=np.ones((2, 4))),
                 node("Flatten", start_dim=0, end_dim=-1), affine(3, 8), lif(3),
                 shape=(1, 8))  # fmt: skip
    tree["nodes"]["0"]["weight"] = np.ones((2, 1, 3))
    network = read(tmp_path, tree).network
    assert network.input_shape == (1, 1, 8)
    assert network.shapes[1:3] == ((2, 1, 4), (8,))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda n, e: n.pop("1"), "an edge names 1, which is no node"),
        (lambda n, e: e.remove(("0", "1")), r"node 1 \(LIF\): nothing leads there"),
        (lambda n, e: n["0"].pop("type"), "node 0 has no type"),
        (lambda n, e: n["0"].update(type="MaxPool2d"), r"node 0 \(MaxPool2d\).*cannot be run here"),
        (lambda n, e: n["1"].pop("tau"), r"node 1 \(LIF\): tau is missing"),
        (lambda n, e: n["1"].update(tau=b"x"), r"node 1 \(LIF\): tau is .*expected numbers"),
        (lambda n, e: n["1"].update(tau=np.zeros(3)), r"node 1 \(LIF\): tau is 0"),
        (lambda n, e: n["1"].update(tau=np.ones(5)), r"tau has shape \(5,\), expected \(3,\)"),
        (lambda n, e: n["1"].update(v_threshold=-np.ones(3)), r"node 1 \(LIF\).*threshold is -1"),
        (lambda n, e: n["0"].update(weight=np.ones(3)), r"node 0 \(Affine\): weight has shape"),
        (lambda n, e: n["0"].update(weight=np.ones((3, 5))), "5 inputs, but 4 arrive"),
        (lambda n, e: n["0"].update(weight=np.full((3, 4), np.nan)), "weight at .* is nan"),
        (lambda n, e: n.update(more=node("Input", shape=np.array([4]))), "2 nodes of type Input"),
        (lambda n, e: e.append(("3", "0")), "form a cycle"),
        (lambda n, e: e.clear(), "nothing leads there"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Any, sentence: str) -> None:
    tree = chain(affine(3, 4), lif(3), affine(2, 3), lif(2))
    change(tree["nodes"], tree["edges"])
    with pytest.raises(es.EventsimError, match=sentence):
        read(tmp_path, tree)


@pytest.mark.parametrize("as_in", ["exact", "spikingjelly", "norse"])
@pytest.mark.parametrize("value", [None, b"text", np.float64("nan"), np.ones((2, 7)), -3, 10**9])
def test_any_field_may_be_anything(tmp_path: Path, value: Any, as_in: str) -> None:
    """Whatever it is, a network or one sentence comes of it."""
    conv = node("Conv2d", weight=np.ones((2, 1, 3, 3)), stride=1, padding=0, dilation=1, groups=1,
                bias=np.zeros(2))  # fmt: skip
    pool = node("SumPool2d", kernel_size=np.array([2, 2]), stride=2, padding=0)
    taus = {"tau_mem": 0.02, "tau_syn": 0.01, "r": 2.0, "v_leak": 0.0, "w_in": 3.0}
    cuba = full("CubaLIF", v_threshold=1.0, **taus)
    sound = chain(conv, node("IF", r=1.0, v_threshold=1.0), pool,
                  node("Flatten", start_dim=0, end_dim=-1), affine(3, 2), cuba,
                  shape=(1, 4, 4))  # fmt: skip
    read(tmp_path, sound, as_in=as_in)
    refused = 0
    for name, fields in sound["nodes"].items():
        for key in fields:
            changed = {k: v for k, v in fields.items() if k != key or value is not None}
            changed |= {} if value is None else {key: value}
            try:
                read(tmp_path, sound | {"nodes": sound["nodes"] | {name: changed}}, as_in=as_in)
            except es.EventsimError:
                refused += 1
    assert refused > 10


@pytest.mark.parametrize("edges", [3, b"x", np.ones((2, 3)), [("a",)], [("input", "0", "1")]])
def test_edges_that_are_no_pairs(tmp_path: Path, edges: Any) -> None:
    tree = chain(affine(3, 4), lif(3)) | {"edges": edges}
    with pytest.raises(es.NetworkFileError, match="edges are not pairs of names"):
        read(tmp_path, tree)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "expected what eventsim writes"),
        ("x", "expected what eventsim writes"),
        ('{"dt_us": "x", "as_in": "exact"}', "dt_us is 'x', expected whole microseconds"),
        ('{"dt_us": 5, "as_in": [2]}', r"as_in is \[2\], expected one of"),
        ('{"dt_us": 5, "as_in": "exact", "input_shape": ["a"]}', r"input_shape is \['a'\]"),
        ('{"dt_us": 5, "as_in": "exact", "steps": "many"}', "steps is 'many'"),
    ],
)
def test_metadata_that_nobody_wrote(tmp_path: Path, text: str, sentence: str) -> None:
    tree = chain(affine(3, 4), lif(3)) | {"metadata": {"eventsim": text}}
    with pytest.raises(es.NetworkError, match=sentence):
        read(tmp_path, tree, as_in=None, dt_us=None)


def test_what_is_no_nir_file(tmp_path: Path) -> None:
    (tmp_path / "a.nir").write_text("no")
    with h5py.File(tmp_path / "b.nir", "w") as file:
        file["x"] = 1
    for name in ("a.nir", "b.nir"):
        assert not is_nir_file(tmp_path / name)
        with pytest.raises(es.NetworkFileError, match=rf"{name} is no NIR file"):
            from_nir(tmp_path / name, dt_us=1, as_in="exact")
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "none.nir", dt_us=1, as_in="exact")
