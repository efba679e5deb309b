"""Files of energy models, their mistakes, and `eventsim run --energy`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command

import eventsim as es
from eventsim.energy import DEFAULT_MODELS
from eventsim.errors import EventsimError
from eventsim_tools.energies import dense_counts

TEXT = {"name": "mine", "title": "Mine", "source": "me", "leaves_out": "much"}
MACHINE: dict[str, Any] = TEXT | {
    "arithmetic": {"add_pj": 1, "multiply_pj": 2.5},
    "integers": {"add_pj": 0.25, "multiply_pj": 1, "product_pj": 0.5},
    "sigmoid": {"adds": 0.5, "multiplies": 0, "loads": 0},
    "tanh": {"adds": 1, "multiplies": 2, "loads": 3},
    "memory": {
        "curve": [[16, 4], [64, 8]], "dram_pj": 100, "weights": "sram", "membranes": "update",
    },
}  # fmt: skip
CHIP: dict[str, Any] = TEXT | {"prices": {"acs": 2, "idle_updates": 3}}


def write_model(path: Path, model: dict[str, Any]) -> Path:
    """Write TOML as inline tables, which are JSON with `=`."""
    text = "\n".join(
        f"{key} = {json.dumps(value, separators=(', ', ' = '))}" for key, value in model.items()
    )
    path.write_text(text.replace("NaN", "nan").replace("Infinity", "inf"))
    return path


def test_models_of_ones_own(tmp_path: Path) -> None:
    machine = es.load_energy_model(write_model(tmp_path / "mine.toml", MACHINE))
    assert (machine.name, machine.leaves_out) == ("mine", "much")
    assert machine.prices["macs"] == 3.5
    assert machine.integer_prices["macs"] == 0.75
    assert machine.prices["sigmoids"] == 0.5
    assert machine.integer_prices["tanhs"] == 2.25
    assert machine.prices["tanhs"] == 6.0
    assert machine.table_loads == {"sigmoids": 0, "tanhs": 3}
    assert machine.memory is not None
    assert machine.memory.curve == ((16.0, 4.0), (64.0, 8.0))
    chip = es.load_energy_model(write_model(tmp_path / "chip.toml", CHIP))
    assert chip.prices == chip.integer_prices == {"acs": 2, "idle_updates": 3}
    assert chip.memory is None
    layer = replace(es.LayerOperations("layer", *[0] * 12), acs=10, dense_updates=100)
    assert es.energy_of(layer, es.Footprint(1, 1), chip) == 320


@pytest.mark.parametrize("name", es.energy_model_names())
def test_every_model_of_the_package_says_where_it_is_from(name: str) -> None:
    model = es.load_energy_model(name)
    assert model.name == name
    assert len(model.source) > 20
    assert model.leaves_out


@pytest.mark.parametrize(
    ("model", "path", "value", "expected"),
    [
        (MACHINE, ["name"], None, "the model has no 'name', expected name, title"),
        (MACHINE, ["name"], 3, "name is 3, expected a string"),
        (MACHINE, ["colour"], 3, "the model has the key 'colour', expected name, title"),
        (MACHINE, ["arithmetic"], 3, "arithmetic is 3, expected a section with add_pj"),
        (MACHINE, ["arithmetic", "add_pj"], None, "arithmetic has no 'add_pj'"),
        (MACHINE, ["arithmetic", "add_pj"], -0.1, "arithmetic.add_pj is -0.1, expected a number"),
        (MACHINE, ["arithmetic", "add_pj"], math.nan, "arithmetic.add_pj is nan"),
        (MACHINE, ["arithmetic", "add_pj"], math.inf, "arithmetic.add_pj is inf"),
        (MACHINE, ["arithmetic", "add_pj"], True, "arithmetic.add_pj is True"),
        (MACHINE, ["arithmetic", "add_pj"], "1", "arithmetic.add_pj is '1'"),
        (MACHINE, ["arithmetic", "add"], 1, "arithmetic has the key 'add'"),
        (MACHINE, ["integers"], None, "the model has no 'integers', expected name, title"),
        (MACHINE, ["integers", "product_pj"], None, "integers has no 'product_pj'"),
        (MACHINE, ["sigmoid"], None, "the model has no 'sigmoid'"),
        (MACHINE, ["tanh", "loads"], -1, "tanh.loads is -1"),
        (MACHINE, ["memory"], 3, "memory is 3, expected a section with curve"),
        (MACHINE, ["memory", "dram_pj"], -1, "memory.dram_pj is -1"),
        (MACHINE, ["memory", "weights"], "disk", "memory.weights is 'disk', expected 'sram' or"),
        (MACHINE, ["memory", "membranes"], 1, "memory.membranes is 1, expected 'sop' or 'update'"),
        (MACHINE, ["memory", "curve"], 3, "memory.curve is 3, expected two or more"),
        (MACHINE, ["memory", "curve"], [[1, 1]], "memory.curve is [[1, 1]], expected two or more"),
        (MACHINE, ["memory", "curve"], [[1, 1], [2]], "memory.curve[1] is [2], expected [bytes"),
        (MACHINE, ["memory", "curve"], [[2, 1], [2, 1]], "memory.curve[1] is [2, 1], expected"),
        (MACHINE, ["memory", "curve"], [[1, 0], [2, 1]], "memory.curve[0] is [1, 0], expected"),
        (MACHINE, ["memory", "curve"], [[1, "x"], [2, 1]], "memory.curve[0].pJ is 'x'"),
        (MACHINE, ["prices"], {}, "the model has the key 'arithmetic'"),
        (CHIP, ["prices"], 3, "prices is 3, expected a section with acs"),
        (CHIP, ["prices", "sops"], 3, "prices has the key 'sops', expected acs, macs"),
        (CHIP, ["prices", "acs"], -3, "prices.acs is -3, expected a number of 0 or more"),
    ],
)  # fmt: skip
def test_a_bad_model_is_told_where(
    model: dict[str, Any], path: list[str], value: Any, expected: str, tmp_path: Path
) -> None:
    model = json.loads(json.dumps(model))
    section = model
    for key in path[:-1]:
        section = section[key]
    if value is None:
        del section[path[-1]]
    else:
        section[path[-1]] = value
    file = write_model(tmp_path / "bad.toml", model)
    with pytest.raises(EventsimError) as caught:
        es.load_energy_model(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"\x00"])
def test_what_is_no_toml(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(EventsimError, match=r"bad\.toml is not TOML"):
        es.load_energy_model(path)


@pytest.fixture
def two_recordings(tmp_path: Path) -> tuple[es.Network, list[Path]]:
    weight = np.random.default_rng(0).normal(size=(2, 2 * 8 * 8))
    net = es.Network((2, 8, 8), 1000, [es.Flatten(), es.Dense(weight, neuron=es.LIF(0.5, 0.5))])
    es.save_network(net, tmp_path / "net.h5")
    for name, size in (("a", 100), ("b", 200)):
        rng = np.random.default_rng(size)
        t, x, y, on = rng.integers(0, [[9000], [8], [8], [2]], (4, size))
        np.save(tmp_path / f"{name}.npy", es.make_events(np.sort(t), x, y, on))
    return net, [tmp_path / "a.npy", tmp_path / "b.npy"]


def test_run_adds_energies(
    two_recordings: tuple[es.Network, list[Path]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    net, files = two_recordings
    run, out = ("run", tmp_path / "net.h5", *files, "--json", tmp_path / "out.json"), "out.json"
    total = es.Operations.sum(
        es.simulate(net, es.read_recording(file).events).operations for file in files
    ).total
    shares = [
        es.energy_of(total, es.footprint(net), model)
        / es.energy_of(dense_counts(total), es.footprint(net), model)
        for model in map(es.load_energy_model, es.energy_model_names())
        if model.table_loads  # chips multiply nothing
    ]
    low, high = min(shares), max(shares)
    mine = write_model(tmp_path / "mine.toml", MACHINE)
    for option, names in (
        ("default", DEFAULT_MODELS), ("all", es.energy_model_names()),
        (f"loihi,{mine},loihi", ("loihi", str(mine))),
    ):  # fmt: skip
        assert run_command(*run, "--energy", option) == 0
        document = json.loads((tmp_path / out).read_text())
        assert document["energy"] == option
        printed = capsys.readouterr().out
        assert f"all models of the package: {low:.2%} to {high:.2%}" in " ".join(printed.split())
        models = [es.load_energy_model(name) for name in names]
        assert list(document["layers"][0]["energy_pj"]) == [model.name for model in models]
        for model in models:
            found = [
                es.energy_of(
                    es.simulate(net, es.read_recording(file).events).operations.total,
                    es.footprint(net), model,
                )
                for file in files
            ]  # fmt: skip
            assert document["layers"][0]["energy_pj"][model.name] == found
            assert f" {sum(found) / 2e3:,.1f} " in printed
            assert model.name in printed
    assert run_command(*run) == 0
    assert json.loads((tmp_path / out).read_text())["energy"] is None
    assert "nJ" not in capsys.readouterr().out


def test_narrower_weights_take_less_energy(
    two_recordings: tuple[es.Network, list[Path]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    net, files = two_recordings
    out = tmp_path / "out.json"
    run = ("run", tmp_path / "net.h5", *files, "--json", out, "--energy", "45nm-gather")
    assert run_command(*run, "--weights", "int8") == 0
    assert "weights of 8 bits, all else float32" in capsys.readouterr().out
    layer = json.loads(out.read_text())["layers"][0]
    rounded, gather = es.round_weights(net, "int8"), es.load_energy_model("45nm-gather")
    for file, energy in zip(files, layer["energy_pj"]["45nm-gather"], strict=True):
        total = es.simulate(rounded, es.read_recording(file).events).operations.total
        assert energy == es.energy_of(total, es.footprint(rounded, weight_bits=8), gather)


def test_a_network_that_a_chip_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = es.Dense(np.ones((1, 4)), neuron=es.IF(1.0))
    net = es.Network((1, 2, 2), 1000, [es.Flatten(), dense], input_encoding="counts")
    es.save_network(net, tmp_path / "net.h5")
    np.save(tmp_path / "a.npy", es.make_events([0, 0], [0, 0], [0, 0], [0, 0]))
    run = ("run", tmp_path / "net.h5", tmp_path / "a.npy", "--json", tmp_path / "out.json")
    assert run_command(*run, "--energy", "loihi,45nm-gather") == 0
    energies = json.loads((tmp_path / "out.json").read_text())["layers"][0]["energy_pj"]
    assert energies["loihi"] == [None]
    assert energies["45nm-gather"][0] > 0
    assert "energy model loihi has no price for macs" in capsys.readouterr().err.replace("\n", " ")


def test_run_with_a_bad_model_is_one_sentence(tmp_path: Path) -> None:
    dense = es.Dense(np.ones((1, 4)), neuron=es.IF(1.0))
    es.save_network(es.Network((1, 2, 2), 1, [es.Flatten(), dense]), tmp_path / "net.h5")
    events = tmp_path / "a.npy"
    np.save(events, es.make_events([0], [0], [0], [0]))
    bad = write_model(tmp_path / "bad.toml", MACHINE | {"name": 3})
    run = ("run", tmp_path / "net.h5", events, "--energy")
    assert "bad.toml: name is 3" in str(run_command(*run, bad))
    missing = str(run_command(*run, tmp_path / "none.toml"))
    assert "none.toml: No such file or directory, expected a file or one of 45nm-gather" in missing
