"""Commands on NIR files: convert, run, inspect and stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, write_nmnist
from nir_files import affine, chain, lif, node, write

import eventsim as es

nir = pytest.importorskip("nir")

from eventsim_bridge.nir import from_nir, to_nir  # noqa: E402

OPTIONS = ("--dt-us", 1000, "--as-in", "snntorch", "--input-shape", "2,34,34")


@pytest.fixture
def nir_file(tmp_path: Path) -> Path:
    tree = chain(affine(8, 2312), lif(8, tau=1e-3, r=10.0), affine(4, 8), lif(4, tau=1e-3, r=10.0),
                 shape=(2312,))  # fmt: skip
    return write(tmp_path / "net.nir", tree)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_nmnist(tmp_path / "one.bin", 5)


def test_convert_prints_what_became_what(
    nir_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("convert", nir_file, tmp_path / "net.h5", *OPTIONS) == 0
    printed = capsys.readouterr()
    out, err = (" ".join(text.split()) for text in printed)
    assert "from NIR 1.0.8 as in snntorch" in out
    for row in ("0, 1", "Affine, LIF", "layer 1 (Dense), 8", "decay=0.9"):
        assert row in out
    assert "decays are those of timesteps of 100 us" in err
    network = es.load_network(tmp_path / "net.h5")
    expected = from_nir(nir_file, dt_us=1000, as_in="snntorch", input_shape=(2, 34, 34)).network
    assert repr(network.layers[1].neuron) == repr(expected.layers[1].neuron)  # type: ignore[union-attr]
    assert network.provenance["as_in"] == "snntorch"


def test_run_inspect_and_stream_take_nir_files(
    nir_file: Path, recording: Path, tmp_path: Path
) -> None:
    run_command("convert", nir_file, tmp_path / "net.h5", *OPTIONS)
    found: dict[str, Any] = {}
    for name, network, options in (("h5", tmp_path / "net.h5", ()), ("nir", nir_file, OPTIONS)):
        out = tmp_path / f"{name}.json"
        assert run_command("run", network, recording, "--json", out, *options) == 0
        document = json.loads(out.read_text())
        found[name] = {key: document[key] for key in ("spike_counts", "layers", "dt_us")}
        assert run_command("inspect", network, "--json", out, *options) == 0
        found[name] |= {"inspect": json.loads(out.read_text())["layers"]}
        streamed = ("--from", recording, "--pace", 0, "--mode", "clocked", "--json", out)
        assert run_command("stream", network, *streamed, *options) == 0
        found[name] |= {"events": json.loads(out.read_text())["events"]}
    assert found["h5"] == found["nir"]
    assert sum(found["nir"]["spike_counts"][0]) > 0


def test_check_runs_the_file_in_the_library_it_is_read_as(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("snntorch")
    rng = np.random.default_rng(0)
    weights = [rng.normal(0.02, 0.1, shape).astype("f4") for shape in ((8, 2312), (4, 8))]
    layers = [es.Dense(weight, neuron=es.LIF(0.9, 0.2)) for weight in weights]
    network = es.Network((2, 34, 34), 5000, [es.Flatten(), *layers])
    to_nir(network, tmp_path / "net.nir", as_in="snntorch")
    for number in (1, 2):
        write_nmnist(tmp_path / "data" / "Test" / "3" / f"{number:05d}.bin", 9, seed=number)
    check = ("--check", "nmnist", "--root", tmp_path / "data")
    assert run_command("convert", tmp_path / "net.nir", tmp_path / "net.h5", *check) == 0
    out = capsys.readouterr().out
    compared = out[out.index("Spikes of torch and engine (2 recordings)") :].splitlines()
    rows = [line.split() for line in compared if line.split()[:1] == ["layer"] and "(" in line]
    assert [row[3:6] for row in rows] == [[row[3], row[3], "0"] for row in rows]
    assert int(rows[0][3].replace(",", "")) > 10


def test_a_network_to_nir_and_back(tmp_path: Path) -> None:
    if "v_reset" not in nir.IF.__dataclass_fields__:
        pytest.skip("nir is older than 1.0.6, expected later to write files")
    weight = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    there = es.Network((2, 2, 2), 500, [es.Flatten(), es.Dense(weight, neuron=es.LIF(0.9, 1.0))])
    es.save_network(there, tmp_path / "net.h5")
    assert run_command("convert", tmp_path / "net.h5", "--to-nir", tmp_path / "net.nir") == 0
    assert run_command("convert", tmp_path / "net.nir", tmp_path / "back.h5") == 0
    back = es.load_network(tmp_path / "back.h5")
    assert back.dt_us == 500
    assert np.array_equal(back.layers[1].weight, weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "{nir}", "{bin}"), "does not say which library wrote it: set as_in (--as-in)"),
        (("run", "{nir}", "{bin}", "--as-in", "norse"), "has no timestep"),
        (("run", "{nir}", "{bin}", *OPTIONS[:2], "--as-in", "nest"), "--as-in is 'nest', expected"),
        (("run", "{nir}", "{bin}", *OPTIONS[:4], "--input-shape", "x"), "--input-shape is 'x'"),
        (("run", "{bin}", "{bin}", "--as-in", "norse"), "--as-in is norse, but"),
        (("convert", "{nir}"), "nothing to write, expected OUT or --to-nir FILE"),
        (("convert", "{bin}", "--to-nir", "{out}", "--dt-us", 5), "what a network file says"),
        (("inspect", "{bin}x.nir"), "No such file or directory"),
    ],
)
def test_bad_input_is_one_sentence(
    nir_file: Path, recording: Path, tmp_path: Path, arguments: Any, sentence: str
) -> None:
    names = {"nir": nir_file, "bin": recording, "out": tmp_path / "out.nir"}
    given = [str(one).format(**names) for one in arguments]
    end = run_command(*given)
    assert isinstance(end, str)
    assert end.startswith("eventsim: ")
    assert sentence in end
    assert not (tmp_path / "out.nir").exists()


def test_damage_is_named_with_file_and_node(tmp_path: Path, recording: Path) -> None:
    tree = chain(node("MaxPool2d"), affine(3, 4), lif(3))
    end = run_command("run", write(tmp_path / "net.nir", tree), recording, *OPTIONS[:4])
    assert isinstance(end, str)
    assert "net.nir: node 0 (MaxPool2d)" in end
