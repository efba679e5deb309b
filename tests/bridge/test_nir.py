"""NIR files become networks: what each library makes of them, and what files lack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nir_files import affine, chain, graph, lif, node, write

import eventsim as es
from eventsim.reference import run_reference

nir = pytest.importorskip("nir")

from eventsim_bridge.nir import AS_IN, from_nir, is_nir_file  # noqa: E402


def read(tmp_path: Path, tree: Any, **options: Any) -> Any:
    options = {"dt_us": 1000, "as_in": "exact", **options}
    return from_nir(write(tmp_path / "net.nir", tree), **options)


def neuron_of(tmp_path: Path, neuron: Any, **options: Any) -> tuple[Any, np.ndarray]:
    """Return the neuron and the weights of one layer of 3 with weights 1."""
    tree = chain(node("Linear", weight=np.ones((3, 4))), neuron)
    layer = read(tmp_path, tree, **options).network.layers[-1]
    return layer.neuron, layer.weight[:, 0]


def full(kind: str, size: int = 3, **numbers: float) -> Any:
    return node(kind, **{name: np.full(size, value) for name, value in numbers.items()})


CUBA = full("CubaLIF", tau_mem=0.02, tau_syn=0.01, r=2.0, v_leak=0.0, v_threshold=1.0, w_in=3.0)


def test_nothing_imports_torch() -> None:
    script = "import sys, eventsim_bridge.nir; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


# --- what each library makes of tau, r and the reset ----------------------------------------------


@pytest.mark.parametrize(
    ("as_in", "decay", "gain", "rules"),
    [
        ("exact", np.exp(-0.1), 2 * (1 - np.exp(-0.1)), {"comparison": ">"}),
        ("snntorch", 1 - 1e-4 / 0.01, 2 * 1e-4 / 0.01, {"comparison": ">"}),
        ("norse", 0.9, 0.2, {"comparison": ">"}),
        ("spikingjelly", 1 - 5e-3 / 0.01, 1.0, {"comparison": ">="}),  # r tells the dt, 5 ms
        ("lava-dl", round(0.99 * 4096) / 4096, 0.02, {"comparison": ">"}),
    ],
)
def test_a_lif(tmp_path: Path, as_in: str, decay: float, gain: float, rules: Any) -> None:
    neuron = full("LIF", tau=0.01, r=2.0, v_leak=0.0, v_threshold=0.5, v_reset=0.0)
    found, weights = neuron_of(tmp_path, neuron, as_in=as_in)
    assert type(found) is es.LIF
    assert found.decay == pytest.approx(decay)
    assert weights == pytest.approx(gain)
    assert (found.threshold, found.reset, found.spikes) == (0.5, "zero", "one")
    assert found.comparison == rules["comparison"]


def test_sinabs_counts_tau_in_timesteps(tmp_path: Path) -> None:
    """The first trap of reading its files: another dt_us changes nothing."""
    neuron = full("LIF", tau=20.0, r=1.0, v_leak=0.0, v_threshold=2.0, v_reset=0.0)
    for dt_us in (1, 1000, 50_000):
        found, weights = neuron_of(tmp_path, neuron, as_in="sinabs", dt_us=dt_us)
        assert found == es.LIF(
            np.exp(-1 / 20), 2.0, reset="subtract", comparison=">=", spikes="many"
        )
        assert (weights == 1).all()


def test_an_if_in_sinabs_has_a_floor(tmp_path: Path) -> None:
    neuron = full("IF", r=1.0, v_threshold=2.0, v_reset=0.0)
    found, _ = neuron_of(tmp_path, neuron, as_in="sinabs")
    assert found == es.IF(2.0, "subtract", comparison=">=", spikes="many", lower_bound=-2.0)


def test_rockpool_adds_the_input_before_the_current_decays(tmp_path: Path) -> None:
    tau, dt = 0.01, 0.001
    r = tau * np.exp(-dt / tau) / dt
    neuron = full("CubaLIF", tau_mem=tau, tau_syn=0.005, r=r, v_leak=0.0, v_threshold=1.0, w_in=1.0)
    found, weights = neuron_of(tmp_path, neuron, as_in="rockpool")
    a = np.exp(-dt / 0.005)
    assert found == es.CUBALIF(
        a, np.exp(-dt / tau), 1.0, reset="subtract", comparison=">=", spikes="many"
    )
    assert weights == pytest.approx(a)
    with pytest.raises(es.NetworkError, match=r"r is 9\.04.* expected 4\.09.*nir-dt-us"):
        neuron_of(tmp_path, neuron, as_in="rockpool", dt_us=2000)
    neuron_of(tmp_path, neuron, as_in="rockpool", dt_us=2000, nir_dt_us=1000)


@pytest.mark.parametrize(
    ("as_in", "gain"),
    [("exact", 1.0), ("snntorch", 1000.0), ("norse", 1000.0), ("spikingjelly", 1.0),
     ("lava-dl", 1000.0)],
)  # fmt: skip
def test_an_if_remembers_everywhere(tmp_path: Path, as_in: str, gain: float) -> None:
    """A trap: importers have made it a neuron that forgets."""
    neuron = full("IF", r=1000.0, v_threshold=1.0, v_reset=0.0)
    found, weights = neuron_of(tmp_path, neuron, as_in=as_in)
    assert type(found) is es.IF
    assert weights == pytest.approx(gain)


@pytest.mark.parametrize("as_in", ["snntorch", "spikingjelly", "lava-dl", "norse"])
def test_a_current_in_euler_steps(tmp_path: Path, as_in: str) -> None:
    found, weights = neuron_of(tmp_path, CUBA, as_in=as_in, nir_dt_us=1000)
    assert type(found) is es.CUBALIF
    assert found.current_decay == pytest.approx(0.9, abs=1e-3)
    assert found.decay == pytest.approx(0.95, abs=1e-3)
    assert weights == pytest.approx(2 * (1 / 20) * 3 * (1 / 10))


@pytest.mark.parametrize("tau_syn", [0.01, 0.02, 0.05])
def test_exact_is_the_solution_of_the_equations(tmp_path: Path, tau_syn: float) -> None:
    """In small steps of the differential equations: 2000 to a timestep."""
    fine, dt, tau, r, w_in = 2000, 1e-3, 0.02, 2.0, 3.0
    spikes = np.array([1, 0, 0, 2, 0, 1, 0, 0, 0, 0])
    current = membrane = 0.0
    expected = []
    for spike in spikes:
        current += w_in * spike * dt / tau_syn  # the area of a spike that lasts a timestep
        for _ in range(fine):
            middle = current * (1 - dt / fine / tau_syn / 2)
            membrane += dt / fine * (r * middle - membrane) / tau
            current -= dt / fine * middle / tau_syn
        expected.append(membrane)
    numbers = {"tau_mem": tau, "tau_syn": tau_syn, "r": r, "v_leak": 0.0, "w_in": w_in}
    tree = chain(node("Linear", weight=np.ones((1, 1))), full("CubaLI", 1, **numbers), shape=(1,))
    network = read(tmp_path, tree).network
    trace = run_reference(network, spikes.reshape(-1, 1))[0]
    assert trace.membranes[:, 0] == pytest.approx(expected, rel=1e-4)


def test_exact_lif_holds_its_input_for_a_timestep(tmp_path: Path) -> None:
    numbers = {"tau": 0.02, "r": 2.0, "v_leak": 0.0}
    tree = chain(node("Linear", weight=np.ones((1, 1))), full("LI", 1, **numbers), shape=(1,))
    trace = run_reference(read(tmp_path, tree).network, np.ones((100, 1)))[0]
    t = np.arange(1, 101) * 1e-3
    assert trace.membranes[:, 0] == pytest.approx(2 * (1 - np.exp(-t / 0.02)))


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_norse_writes_tau_times_dt(tmp_path: Path, kind: str) -> None:
    """A trap: dt multiplied twice. Its `LIFCell` adds its input to the current as it is."""
    common = {"r": 1.0, "v_leak": 0.0, "v_threshold": 1.0}
    taus = {"tau": 1e-5} if kind == "LIF" else {"tau_mem": 1e-5, "tau_syn": 5e-6, "w_in": 1.0}
    tree = chain(node("Linear", weight=np.ones((3, 4))), full(kind, **common, **taus))
    found = read(tmp_path, tree, as_in="norse")
    layer: Any = found.network.layers[-1]
    assert layer.neuron.decay == pytest.approx(0.9)
    assert layer.weight * layer.neuron.gain() == pytest.approx(0.1)
    if kind == "CubaLIF":
        assert layer.neuron.current_decay == pytest.approx(0.8)
    assert any("tau times dt" in note for note in found.notes)


def test_a_tau_below_the_timestep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(es.NetworkError, match=r"node 1 \(LIF\): tau is 1e-05 s, .*0\.0001 s"):
        neuron_of(tmp_path, lif(3, tau=1e-5), as_in="snntorch")


def test_spikingjellys_r_tells_its_timestep(tmp_path: Path) -> None:
    tree = chain(node("Linear", weight=np.ones((3, 4))), full("IF", r=200.0, v_threshold=1.0),
                 node("Linear", weight=np.ones((3, 3))), lif(3, tau=0.05))  # fmt: skip
    found = read(tmp_path, tree, as_in="spikingjelly")
    layers: Any = found.network.layers
    assert (layers[0].weight == 1).all()
    assert layers[1].neuron.decay == pytest.approx(0.9)
    assert any("timestep was 5000 us" in note for note in found.notes)


def test_a_decay_of_one_from_snntorch(tmp_path: Path) -> None:
    neuron = lif(3, tau=np.inf, r=np.inf)
    found, weights = neuron_of(tmp_path, neuron, as_in="snntorch")
    assert (found.decay, found.threshold) == (1.0, 1.0)
    assert (weights == 1).all()


# --- what files lack ------------------------------------------------------------------------------


def test_the_library_must_be_said(tmp_path: Path) -> None:
    tree = chain(affine(3, 4), lif(3))
    with pytest.raises(
        es.NetworkError, match=r"net\.nir does not say which library wrote it.*norse"
    ):
        read(tmp_path, tree, as_in=None)
    with pytest.raises(es.NetworkError, match="as_in is 'nest', expected one of exact"):
        read(tmp_path, tree, as_in="nest")
    with pytest.raises(es.NetworkError, match=r"no timestep.*dt_us"):
        read(tmp_path, tree, dt_us=None)


def test_the_library_is_read_off_the_metadata(tmp_path: Path) -> None:
    tree = chain(affine(3, 4), lif(3)) | {"metadata": {"generator": "Norse 1.1"}}
    assert read(tmp_path, tree, as_in=None).network.provenance["as_in"] == "norse"


def test_a_missing_reset_is_named(tmp_path: Path) -> None:
    """As in every file before nir 1.0.6."""
    neuron = lif(3)
    del neuron["v_reset"]
    tree = write(tmp_path / "old.nir", chain(affine(3, 4), neuron), version="1.0.1")
    found = from_nir(tree, dt_us=1000, as_in="exact")
    assert "node 1 (LIF): v_reset is not in the file, taken as 0" in found.notes
    assert found.network.layers[-1].neuron.reset == "zero"  # type: ignore[union-attr]
    assert found.network.provenance["imported_from"] == "NIR 1.0.1"


def test_levels_are_the_nodes(tmp_path: Path) -> None:
    neuron = lif(3, v_leak=0.25, v_reset=-0.5, v_threshold=2.0)
    found, _ = neuron_of(tmp_path, neuron)
    assert (found.rest, found.reset, found.reset_value) == (0.25, "value", -0.5)


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((2, 34, 34), None, (2, 34, 34)),
        ((1, 2, 34, 34), None, (2, 34, 34)),
        ((2312,), (2, 34, 34), (2, 34, 34)),
        ((1, 2312), (2, 34, 34), (2, 34, 34)),
        (None, (2, 34, 34), (2, 34, 34)),
        ((2312,), None, (2312,)),
        (None, (2312,), (2312,)),
    ],
)
def test_input_shapes(tmp_path: Path, shape: Any, given: Any, expected: Any) -> None:
    tree = chain(affine(3, 2312), lif(3), shape=shape)
    found = read(tmp_path, tree, input_shape=given)
    assert found.network.input_shape == expected
    assert (type(found.network.layers[0]) is es.Flatten) == (len(expected) > 1)


def test_input_shapes_that_do_not_fit(tmp_path: Path) -> None:
    tree = chain(affine(3, 2312), lif(3), shape=None)
    with pytest.raises(
        es.NetworkError, match=r"node input \(Input\) has no shape: set input_shape"
    ):
        read(tmp_path, tree)
    tree = chain(affine(3, 2312), lif(3), shape=(2, 34, 34))
    with pytest.raises(es.NetworkError, match=r"input_shape is \(2, 68, 17\)"):
        read(tmp_path, tree, input_shape=(2, 68, 17))


def test_a_missing_flatten_is_put_in_and_named(tmp_path: Path) -> None:
    """norse's exporter leaves it out."""
    conv = node(
        "Conv2d", weight=np.ones((2, 1, 3, 3)), stride=1, padding=b"same", dilation=[1],
        groups=1, bias=np.zeros(2),
    )  # fmt: skip
    conv["dilation"] = np.array([1, 1])
    tree = chain(conv, full("IF", r=1.0, v_threshold=1.0), affine(3, 32), lif(3), shape=(1, 4, 4))
    tree["nodes"]["1"] = node("IF", r=np.ones((2, 4, 4)), v_threshold=np.ones((2, 1, 1)))
    found = read(tmp_path, tree, as_in="norse")
    kinds = [type(layer).__name__ for layer in found.network.layers]
    assert kinds == ["Conv2d", "Flatten", "Dense"]
    assert found.network.layers[0].padding == (1, 1)  # type: ignore[union-attr]
    assert any("has no Flatten before it" in note for note in found.notes)


def test_numbers_within_a_channel_must_agree(tmp_path: Path) -> None:
    conv = node("Conv2d", weight=np.ones((2, 1, 1, 1)), stride=1, padding=0, dilation=1, groups=1,
                bias=np.zeros(2))  # fmt: skip
    thresholds = np.ones((2, 4, 4))
    tree = chain(conv, node("IF", r=thresholds, v_threshold=thresholds * [[[1]], [[2]]]),
                 shape=(1, 4, 4))  # fmt: skip
    assert read(tmp_path, tree).network.layers[0].neuron.threshold == (1.0, 2.0)  # type: ignore[union-attr]
    thresholds = thresholds.copy()
    thresholds[1, 2, 2] = 3
    tree = chain(conv, node("IF", r=np.ones((2, 4, 4)), v_threshold=thresholds), shape=(1, 4, 4))
    with pytest.raises(
        es.NetworkError, match=r"node 1 \(IF\): v_threshold differs within a channel"
    ):
        read(tmp_path, tree)


def test_fields_that_nir_does_not_have_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, chain(affine(3, 4), lif(3) | {"refractory": 2.0}))
    assert "node 1 (LIF): refractory is none of NIR's, left out" in found.notes


# --- graphs ---------------------------------------------------------------------------------------


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


# --- what is refused ------------------------------------------------------------------------------


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


def test_sinabs_has_no_current(tmp_path: Path) -> None:
    with pytest.raises(es.NetworkError, match=r"node 1 \(CubaLIF\) does not exist in sinabs"):
        neuron_of(tmp_path, CUBA, as_in="sinabs")
    assert len(AS_IN) == 7
