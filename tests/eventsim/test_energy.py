"""Energy models, what they make of counts, and `eventsim run --energy`."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_command
from hypothesis import given
from hypothesis import strategies as st

import eventsim as es
from eventsim.energy import DEFAULT_MODELS
from eventsim.energy.model import ARITHMETIC
from eventsim.errors import EventsimError
from eventsim.operations import CountedLayer
from eventsim_bridge.counting import RecurrentLayerOperations, count_operations, footprint
from eventsim_bridge.models import RecurrentNetwork

GATHER, SCATTER, BOUND = (
    es.load_energy_model(f"45nm-{name}") for name in ("gather", "scatter", "arithmetic")
)
SMALL = es.Footprint(weights=2048, state=2048)  # 8 kB each: 5 pJ an access


def counts(kind: type[CountedLayer], **given: int) -> Any:
    """A layer in which everything is 0 but what is given."""
    zeros = {field.name: 0 for field in fields(kind) if field.name != "name"}
    return kind("layer", **zeros | given)  # type: ignore[arg-type]


def test_machines_are_those_of_horowitz() -> None:
    assert BOUND.prices["acs"] == pytest.approx(0.9)
    assert BOUND.prices["macs"] == pytest.approx(0.9 + 3.7)
    assert BOUND.integer_prices["acs"] == pytest.approx(0.1)
    assert BOUND.integer_prices["macs"] == pytest.approx(0.1 + 0.2)
    assert GATHER.integer_prices == SCATTER.integer_prices == BOUND.integer_prices
    assert BOUND.memory is None
    assert GATHER.prices == SCATTER.prices == BOUND.prices
    assert GATHER.memory == replace(SCATTER.memory, membranes="update")  # type: ignore[type-var]
    dram = es.load_energy_model("45nm-gather-dram")
    assert dram.memory == replace(GATHER.memory, weights="dram")  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("size", "pj"),
    [
        (2**13, 5.0), (2**15, 10.0), (2**20, 50.0),  # the points themselves
        (2**14, 5 * 2**0.5),  # from 5 to 10 over four times the bytes: a square root
        (2**11, 2.5),
        (2**25, 50 * 5.0),  # 32 times 1 MB, as 1 MB is 32 times 32 kB
    ],
)  # fmt: skip
def test_memory_costs_more_the_more_it_holds(size: int, pj: float) -> None:
    assert GATHER.memory is not None
    assert GATHER.memory.access(size) == pytest.approx(pj)


@given(st.integers(0, 2**40), st.floats(1.0, 1.1))
def test_memory_has_no_steps(size: int, factor: float) -> None:
    assert GATHER.memory is not None
    before, after = GATHER.memory.access(size), GATHER.memory.access(size * factor)
    assert before <= after <= 1.1 * before


@pytest.mark.parametrize(
    ("count", "arithmetic", "of_integers", "traffic"),
    [
        ("acs", 0.9, 0.1, 5.0),  # each reads a weight of 32 bits
        ("macs", 0.9 + 3.7, 0.1 + 0.2, 5.0),
        ("bias_adds", 0.9, 0.1, 5.0),
        ("updates", 0.0, 0.0, 10.0),  # a variable read and written
        ("site_updates", 0.0, 0.0, 10.0),
        ("decays", 3.7, 3.1, 0.0),
        ("compares", 0.9, 0.1, 0.0),
        ("resets", 0.0, 0.0, 0.0),
        ("input_events", 0.0, 0.0, 0.0),
        ("output_spikes", 0.0, 0.0, 0.0),
        ("dense_macs", 0.0, 0.0, 0.0),
        ("dense_updates", 0.0, 0.0, 0.0),
        ("recurrent_macs", 0.9 + 3.7, 0.1 + 0.2, 5.0),
        ("sigmoids", 0.9 + 3.7, 0.1 + 3.1, 10.0),
        ("tanhs", 0.9 + 3.7, 0.1 + 3.1, 10.0),
        ("multiplies", 3.7, 3.1, 0.0),
        ("adds", 0.9, 0.1, 0.0),
        ("pool_adds", 0.9, 0.1, 0.0),
        ("pool_compares", 0.9, 0.1, 0.0),
        ("recurrent_dense_macs", 0.0, 0.0, 0.0),
    ],
)
def test_what_one_of_each_count_takes(
    count: str, arithmetic: float, of_integers: float, traffic: float
) -> None:
    """Every count of both kinds of layer, with all memory in 8 kB."""
    kinds = [
        kind
        for kind in (es.LayerOperations, RecurrentLayerOperations)
        if count in {field.name for field in fields(kind)}
    ]
    assert kinds
    # Event by event, a synaptic operation reads and writes its membrane as well.
    membrane = 10.0 if count in ("acs", "macs", "recurrent_macs") else 0.0
    for kind in kinds:
        layer = counts(kind, **{count: 1000})
        assert es.energy_of(layer, SMALL, BOUND) == pytest.approx(1000 * arithmetic)
        narrow = replace(SMALL, weight_bits=8, integers=True)
        assert es.energy_of(layer, narrow, BOUND) == pytest.approx(1000 * of_integers)
        gathered = es.energy_of(layer, SMALL, GATHER)
        assert gathered == pytest.approx(1000 * (arithmetic + traffic))
        scattered = es.energy_of(layer, SMALL, SCATTER)
        assert scattered == pytest.approx(1000 * (arithmetic + traffic + membrane))


def test_no_count_is_forgotten() -> None:
    both = {f.name for kind in (es.LayerOperations, RecurrentLayerOperations) for f in fields(kind)}
    free = {
        "name", "input_events", "output_spikes", "resets", "updates", "site_updates", "dense_macs",
        "dense_updates", "recurrent_dense_macs",
    }  # fmt: skip
    assert set(ARITHMETIC) == both - free


def test_weights_are_charged_at_their_width() -> None:
    layer = counts(es.LayerOperations, acs=1000)
    narrow = es.energy_of(layer, es.Footprint(8192, 1, weight_bits=8), GATHER)  # 8 kB again
    assert narrow == pytest.approx(1000 * (0.9 + 5.0 / 4))


def test_narrow_weights_in_float32_membranes_change_no_arithmetic() -> None:
    layer, narrow = counts(es.LayerOperations, acs=1000, macs=10), replace(SMALL, weight_bits=8)
    assert es.energy_of(layer, narrow, BOUND) == es.energy_of(layer, SMALL, BOUND)


@pytest.mark.parametrize("name", [n for n in es.energy_model_names() if "45nm" not in n])
def test_a_chip_has_the_width_that_it_has(name: str) -> None:
    model, layer = es.load_energy_model(name), counts(es.LayerOperations, acs=1000)
    narrow = replace(SMALL, weight_bits=8, integers=True)
    assert es.energy_of(layer, narrow, model) == es.energy_of(layer, SMALL, model)


def test_weights_beside_the_chip() -> None:
    dram = es.load_energy_model("45nm-gather-dram")
    layer = counts(es.LayerOperations, acs=1000, updates=10)
    expected = 1000 * (0.9 + 650.0) + 2 * 10 * 5.0
    assert es.energy_of(layer, SMALL, dram) == pytest.approx(expected)


def test_loihi_charges_every_neuron_in_every_timestep() -> None:
    layer = counts(
        es.LayerOperations, acs=1000, compares=100, decays=100, output_spikes=7, dense_updates=400
    )
    assert layer.idle_updates == 300
    expected = 1000 * 23.6 + 100 * 81 + 300 * 52 + 7 * 1.7
    assert es.energy_of(layer, SMALL, es.load_energy_model("loihi")) == pytest.approx(expected)


@pytest.mark.parametrize("name", [n for n in es.energy_model_names() if "45nm" not in n])
def test_no_chip_says_what_it_does_not_do(name: str) -> None:
    model = es.load_energy_model(name)
    assert es.energy_of(counts(es.LayerOperations, acs=1), SMALL, model) > 0
    with pytest.raises(
        EventsimError, match=f"{name} has no price for macs, of which 'layer' has 3"
    ):
        es.energy_of(counts(es.LayerOperations, macs=3), SMALL, model)
    with pytest.raises(EventsimError, match="has no price for tanhs"):
        es.energy_of(counts(RecurrentLayerOperations, tanhs=1), SMALL, model)


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=12, max_size=12), min_size=1, max_size=4))
def test_the_total_is_the_sum_of_the_layers(rows: list[list[int]]) -> None:
    operations = es.Operations(tuple(es.LayerOperations("layer", *row) for row in rows))
    for model in (BOUND, GATHER, SCATTER):
        total = es.energy_of(operations.total, SMALL, model)
        layers = [es.energy_of(layer, SMALL, model) for layer in operations.layers]
        assert total == pytest.approx(math.fsum(layers))


def test_an_lstm_by_hand() -> None:
    """One unit, one input, two timesteps: every operation written out."""
    model = RecurrentNetwork("1FC-1", (1, 1, 1), cell="lstm")
    (counted,) = count_operations(model, torch.ones(1, 2, 1, 1, 1), loss="last")
    acs, macs, bias_adds = 2 * 4, 4 + 1, 2 * 4 + 1
    activations, multiplies, adds = 2 * 5, 2 * 3, 2
    bound = 0.9 * (acs + macs + bias_adds + activations + adds)
    bound += 3.7 * (macs + activations + multiplies)
    assert es.energy_of(counted.total, footprint(model), BOUND) == pytest.approx(bound)
    size = footprint(model)
    assert GATHER.memory is not None
    weight, state = (GATHER.memory.access(4 * words) for words in (size.weights, size.state))
    moved = (acs + macs + bias_adds) * weight + 2 * 2 * 2 * state  # h and c, read and written
    expected = bound + moved + 5.0 * 2 * activations
    assert es.energy_of(counted.total, size, GATHER) == pytest.approx(expected)


def test_footprint_of_a_network() -> None:
    rng = np.random.default_rng(0)
    current = es.CUBALIF(decay=0.5, current_decay=0.5, threshold=1.0, refractory=2)
    layers = [
        es.Conv2d(
            rng.normal(size=(6, 1, 3, 3)), bias=np.zeros(6), groups=2, neuron=es.LIF(0.5, 1.0)
        ),
        es.AvgPool2d(2),
        es.Flatten(),
        es.Dense(rng.normal(size=(5, 24)), recurrent=np.ones((5, 5)), neuron=current),
    ]
    found = es.footprint(es.Network((2, 6, 6), 1000, layers))
    assert found.weights == 6 * 9 + 6 + 5 * 24 + 5 * 5
    # membranes and sites of both groups; membrane, current, held time of 5 neurons, and their site
    assert found.state == 6 * 16 + 2 * 16 + 3 * 5 + 1


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
    layer = counts(es.LayerOperations, acs=10, dense_updates=100)
    assert es.energy_of(layer, SMALL, chip) == 320


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
    mine = write_model(tmp_path / "mine.toml", MACHINE)
    for option, names in (
        ("default", DEFAULT_MODELS), ("all", es.energy_model_names()),
        (f"loihi,{mine},loihi", ("loihi", str(mine))),
    ):  # fmt: skip
        assert run_command(*run, "--energy", option) == 0
        document = json.loads((tmp_path / out).read_text())
        assert document["energy"] == option
        printed = capsys.readouterr().out
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
    rounded = es.round_weights(net, "int8")
    for file, energy in zip(files, layer["energy_pj"]["45nm-gather"], strict=True):
        total = es.simulate(rounded, es.read_recording(file).events).operations.total
        assert energy == es.energy_of(total, es.footprint(rounded, weight_bits=8), GATHER)


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
