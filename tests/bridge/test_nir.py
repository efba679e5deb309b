"""NIR files become networks: what each library makes of them, and what files lack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_files import affine, chain, full, lif, node, read, write

import eventsim as es
from eventsim.reference import run_reference

nir = pytest.importorskip("nir")

from eventsim_bridge.nir import AS_IN, from_nir  # noqa: E402


def neuron_of(tmp_path: Path, neuron: Any, **options: Any) -> tuple[Any, np.ndarray]:
    """Return the neuron and the weights of one layer of 3 with weights 1."""
    tree = chain(node("Linear", weight=np.ones((3, 4))), neuron)
    layer = read(tmp_path, tree, **options).network.layers[-1]
    return layer.neuron, layer.weight[:, 0]


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


def test_sinabs_has_no_current(tmp_path: Path) -> None:
    with pytest.raises(es.NetworkError, match=r"node 1 \(CubaLIF\) does not exist in sinabs"):
        neuron_of(tmp_path, CUBA, as_in="sinabs")
    assert len(AS_IN) == 7
