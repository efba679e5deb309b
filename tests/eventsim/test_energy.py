"""Energy tables, what they make of counts, and `eventsim run --energy`."""

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
from eventsim.energy import ARITHMETIC, DEFAULT_TABLE, Activation, Memory
from eventsim.errors import EventsimError
from eventsim.operations import CountedLayer
from eventsim_bridge.counting import RecurrentLayerOperations, count_operations, footprint
from eventsim_bridge.models import RecurrentNetwork

TABLE = es.load_energy_table()
SMALL = es.Footprint(weight_bytes=8192, state_bytes=8192)


def counts(kind: type[CountedLayer], **given: int) -> Any:
    """A layer in which everything is 0 but what is given."""
    zeros = {field.name: 0 for field in fields(kind) if field.name != "name"}
    return kind("layer", **zeros | given)  # type: ignore[arg-type]


def test_the_default_table_is_that_of_horowitz() -> None:
    assert (TABLE.add_pj, TABLE.multiply_pj) == (0.9, 3.7)
    assert TABLE.sigmoid == TABLE.tanh == Activation(adds=1, multiplies=1, loads=2)
    assert [(memory.bytes, memory.access_pj) for memory in TABLE.memories] == [
        (2**13, 5), (2**15, 10), (2**20, 50), (None, 650),
    ]  # fmt: skip


def test_the_integers_of_the_default_table(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(DEFAULT_TABLE.read_text().replace('use = "float32"', 'use = "int32"'))
    assert es.load_energy_table(path) == replace(TABLE, add_pj=0.1, multiply_pj=3.1)


@pytest.mark.parametrize(
    ("count", "arithmetic", "traffic"),
    [
        ("acs", 0.9, 5.0),  # each reads a weight of 32 bits
        ("macs", 0.9 + 3.7, 5.0),
        ("bias_adds", 0.9, 5.0),
        ("updates", 0.0, 10.0),  # a variable read and written
        ("site_updates", 0.0, 10.0),
        ("decays", 3.7, 0.0),
        ("compares", 0.9, 0.0),
        ("resets", 0.0, 0.0),
        ("input_events", 0.0, 0.0),
        ("output_spikes", 0.0, 0.0),
        ("dense_macs", 0.0, 0.0),
        ("recurrent_macs", 0.9 + 3.7, 5.0),
        ("sigmoids", 0.9 + 3.7, 10.0),
        ("tanhs", 0.9 + 3.7, 10.0),
        ("multiplies", 3.7, 0.0),
        ("adds", 0.9, 0.0),
        ("pool_adds", 0.9, 0.0),
        ("pool_compares", 0.9, 0.0),
        ("recurrent_dense_macs", 0.0, 0.0),
    ],
)
def test_what_one_of_each_count_takes(count: str, arithmetic: float, traffic: float) -> None:
    """Every count of both kinds of layer, with all memory in 8 kB."""
    kinds = [
        kind
        for kind in (es.LayerOperations, RecurrentLayerOperations)
        if count in {field.name for field in fields(kind)}
    ]
    assert kinds
    for kind in kinds:
        energy = es.energy_of(counts(kind, **{count: 1000}), SMALL, TABLE)
        assert energy.bound_pj == pytest.approx(1000 * arithmetic)
        assert energy.estimate_pj == pytest.approx(1000 * (arithmetic + traffic))


def test_no_count_is_forgotten() -> None:
    both = {f.name for kind in (es.LayerOperations, RecurrentLayerOperations) for f in fields(kind)}
    free = {
        "name", "input_events", "output_spikes", "resets", "updates", "site_updates", "dense_macs",
        "recurrent_dense_macs",
    }  # fmt: skip
    assert set(ARITHMETIC) == both - free


@pytest.mark.parametrize(
    ("size", "access"),
    [(0, 5), (8192, 5), (8193, 10), (32768, 10), (32769, 50), (2**20, 50), (2**20 + 1, 650)],
)
def test_the_smallest_memory_that_holds_everything(size: int, access: float) -> None:
    layer = counts(es.LayerOperations, acs=1, updates=1)
    weights = es.energy_of(layer, es.Footprint(size, 0), TABLE)
    assert weights.estimate_pj == pytest.approx(0.9 + access + 2 * 5)
    state = es.energy_of(layer, es.Footprint(0, size), TABLE)
    assert state.estimate_pj == pytest.approx(0.9 + 5 + 2 * access)


@pytest.mark.parametrize("count", ["sigmoids", "tanhs"])
def test_tables_of_nonlinearities_lie_in_the_smallest_memory(count: str) -> None:
    layer = counts(RecurrentLayerOperations, **{count: 1})
    energy = es.energy_of(layer, es.Footprint(2**30, 2**30), TABLE)
    assert energy.estimate_pj == pytest.approx(0.9 + 3.7 + 2 * 5)


def test_a_network_that_fits_in_no_memory() -> None:
    table = replace(TABLE, memories=(Memory(5.0, 100),))
    with pytest.raises(EventsimError, match=r"holds 100 bytes, expected at least 104"):
        es.energy_of(counts(es.LayerOperations), es.Footprint(104, 0), table)


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=11, max_size=11), min_size=1, max_size=4))
def test_the_total_is_the_sum_of_the_layers(rows: list[list[int]]) -> None:
    operations = es.Operations(tuple(es.LayerOperations("layer", *row) for row in rows))
    total = es.energy_of(operations.total, SMALL, TABLE)
    layers = [es.energy_of(layer, SMALL, TABLE) for layer in operations.layers]
    assert total.bound_pj == pytest.approx(math.fsum(layer.bound_pj for layer in layers))
    assert total.estimate_pj == pytest.approx(math.fsum(layer.estimate_pj for layer in layers))
    assert total.bound_pj <= total.estimate_pj


def test_an_lstm_by_hand() -> None:
    """One unit, one input, two timesteps: every operation written out."""
    model = RecurrentNetwork("1FC-1", (1, 1, 1), cell="lstm")
    (counted,) = count_operations(model, torch.ones(1, 2, 1, 1, 1), loss="last")
    acs, macs, bias_adds = 2 * 4, 4 + 1, 2 * 4 + 1
    activations, multiplies, adds = 2 * 5, 2 * 3, 2
    bound = 0.9 * (acs + macs + bias_adds + activations + adds)
    bound += 3.7 * (macs + activations + multiplies)
    words = acs + macs + bias_adds + 2 * 2 * 2  # h and c of two timesteps, read and written
    energy = es.energy_of(counted.total, footprint(model), TABLE)
    assert energy.bound_pj == pytest.approx(bound)
    assert energy.estimate_pj == pytest.approx(bound + 5 * (words + 2 * activations))


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
    assert found.weight_bytes == 4 * (6 * 9 + 6 + 5 * 24 + 5 * 5)
    # membranes and sites of both groups; membrane, current, held time of 5 neurons, and their site
    assert found.state_bytes == 4 * (6 * 16 + 2 * 16 + 3 * 5 + 1)


MINIMAL: dict[str, Any] = {
    "name": "mine",
    "use": "x",
    "arithmetic": {"x": {"add_pj": 1, "multiply_pj": 2.5}},
    "sigmoid": {"adds": 0.5, "multiplies": 0, "loads": 0},
    "tanh": {"adds": 1, "multiplies": 2, "loads": 3},
    "memories": [{"bytes": 16, "access_pj": 4}],
}


def write_table(path: Path, table: dict[str, Any]) -> Path:
    """Write TOML as inline tables, which are JSON with `=`."""
    text = "\n".join(
        f"{key} = {json.dumps(value, separators=(', ', ' = '))}" for key, value in table.items()
    )
    path.write_text(text.replace("NaN", "nan").replace("Infinity", "inf"))
    return path


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    assert es.load_energy_table(write_table(tmp_path / "mine.toml", MINIMAL)) == es.EnergyTable(
        "mine", 1, 2.5, Activation(0.5, 0, 0), Activation(1, 2, 3), (Memory(4, 16),)
    )


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["name"], None, "the table has no 'name', expected name, use"),
        (["name"], 3, "name is 3, expected a string"),
        (["colour"], 3, "the table has the key 'colour', expected name, use"),
        (["use"], "y", "use is 'y', expected one of the sections of arithmetic"),
        (["use"], ["x"], "use is ['x'], expected one of"),
        (["arithmetic"], 3, "expected one of the sections of arithmetic"),
        (["arithmetic", "x"], 3, "arithmetic.x is 3, expected a section with add_pj"),
        (["arithmetic", "x", "add_pj"], None, "arithmetic.x has no 'add_pj'"),
        (["arithmetic", "x", "add_pj"], -0.1, "arithmetic.x.add_pj is -0.1, expected a number"),
        (["arithmetic", "x", "add_pj"], math.nan, "arithmetic.x.add_pj is nan"),
        (["arithmetic", "x", "add_pj"], math.inf, "arithmetic.x.add_pj is inf"),
        (["arithmetic", "x", "add_pj"], True, "arithmetic.x.add_pj is True"),
        (["arithmetic", "x", "add_pj"], "1", "arithmetic.x.add_pj is '1'"),
        (["arithmetic", "x", "add"], 1, "arithmetic.x has the key 'add'"),
        (["sigmoid"], None, "the table has no 'sigmoid'"),
        (["tanh", "loads"], -1, "tanh.loads is -1"),
        (["memories"], [], "memories is [], expected one or more [[memories]]"),
        (["memories"], 3, "memories is 3"),
        (["memories"], [3], "memories[0] is 3, expected a section"),
        (["memories"], [{"bytes": 4.5, "access_pj": 1}], "memories[0].bytes is 4.5"),
        (["memories"], [{"bytes": 0, "access_pj": 1}], "memories[0].bytes is 0"),
        (["memories"], [{"bytes": 4}], "memories[0] has no 'access_pj'"),
        (["memories"], [{"access_pj": 1}, {"access_pj": 1}], "memories[0] has no 'bytes'"),
        (
            ["memories"],
            [{"bytes": 4, "access_pj": 1}, {"bytes": 4, "access_pj": 1}],
            "memories[1].bytes is 4, expected a whole number from 5",
        ),
    ],
)
def test_a_bad_table_is_told_where(
    path: list[str], value: Any, expected: str, tmp_path: Path
) -> None:
    table = json.loads(json.dumps(MINIMAL))
    section = table
    for key in path[:-1]:
        section = section[key]
    if value is None:
        del section[path[-1]]
    else:
        section[path[-1]] = value
    file = write_table(tmp_path / "bad.toml", table)
    with pytest.raises(EventsimError) as caught:
        es.load_energy_table(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"\x00"])
def test_what_is_no_toml(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(EventsimError, match=r"bad\.toml is not TOML"):
        es.load_energy_table(path)


def test_run_adds_energies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 2 * 8 * 8))
    net = es.Network((2, 8, 8), 1000, [es.Flatten(), es.Dense(weight, neuron=es.LIF(0.5, 0.5))])
    es.save_network(net, tmp_path / "net.h5")
    for name, size in (("a", 100), ("b", 200)):
        rng = np.random.default_rng(size)
        t, x, y, on = rng.integers(0, [[9000], [8], [8], [2]], (4, size))
        np.save(tmp_path / f"{name}.npy", es.make_events(np.sort(t), x, y, on))
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    out = tmp_path / "out.json"
    table = write_table(tmp_path / "mine.toml", MINIMAL | {"memories": [{"access_pj": 4}]})
    for energy in ("default", table):
        run = ("run", tmp_path / "net.h5", *files, "--energy", energy, "--json", out)
        assert run_command(*run) == 0
        costs = es.load_energy_table(None if energy == "default" else energy)
        found = [
            es.energy_of(
                es.simulate(net, es.read_recording(file).events).operations.total,
                es.footprint(net),
                costs,
            )
            for file in files
        ]
        document = json.loads(out.read_text())
        assert document["energy"] == str(energy)
        assert document["layers"][0]["energy_bound_pj"] == [one.bound_pj for one in found]
        assert document["layers"][0]["energy_estimate_pj"] == [one.estimate_pj for one in found]
        printed = capsys.readouterr().out
        for mean in (
            sum(one.bound_pj for one in found) / 2e3,
            sum(one.estimate_pj for one in found) / 2e3,
        ):
            assert f" {mean:,.1f} " in printed
        assert printed.index("a lower bound") < printed.index("an estimate")
    assert run_command("run", tmp_path / "net.h5", *files, "--json", out) == 0
    assert json.loads(out.read_text())["energy"] is None
    assert "nJ" not in capsys.readouterr().out


def test_run_with_a_bad_table_is_one_sentence(tmp_path: Path) -> None:
    dense = es.Dense(np.ones((1, 4)), neuron=es.IF(1.0))
    es.save_network(es.Network((1, 2, 2), 1, [es.Flatten(), dense]), tmp_path / "net.h5")
    events = tmp_path / "a.npy"
    np.save(events, es.make_events([0], [0], [0], [0]))
    bad = write_table(tmp_path / "bad.toml", MINIMAL | {"use": "y"})
    small = write_table(tmp_path / "small.toml", MINIMAL)
    run = ("run", tmp_path / "net.h5", events, "--energy")
    assert "bad.toml: use is 'y'" in str(run_command(*run, bad))
    assert "none.toml: No such file" in str(run_command(*run, tmp_path / "none.toml"))
    assert run_command(*run, small) == 0
    small = write_table(small, MINIMAL | {"memories": [{"bytes": 8, "access_pj": 1}]})
    assert "holds 8 bytes, expected at least 16" in str(run_command(*run, small))
