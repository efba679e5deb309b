"""`eventsim run --record`: one HDF5 file of what `simulate` records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run_command, write_nmnist

import eventsim as es


@pytest.fixture
def network(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    layers = [
        es.Flatten(), es.Dense(rng.normal(0, 0.2, (5, 2312)), neuron=es.CUBALIF(0.5, 0.5, 1.0)),
        es.Dense(rng.normal(0, 1, (3, 5)), neuron=es.LIF(0.5, 0.5)),
    ]  # fmt: skip
    es.save_network(es.Network((2, 34, 34), 1000, layers), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_the_file_has_what_simulate_records(network: Path, tmp_path: Path) -> None:
    source, out = write_nmnist(tmp_path / "a.bin", 3), tmp_path / "out.h5"
    assert run_command("run", network, source, "--record", out, "--steps", 20) == 0
    net, events = es.load_network(network), es.read_recording(source).events
    result = es.simulate(net, events, steps=20, record_spikes=True, probe=["membranes", "currents"])
    assert result.spikes is not None
    assert result.probes is not None
    assert sum(map(len, result.spikes)) > 0
    with h5py.File(out) as file:
        assert dict(file.attrs) == {"recording": str(source), "dt_us": 1000, "steps": 20}
        assert list(file) == list(result.probes.names) == ["layer 1 (Dense)", "layer 2 (Dense)"]
        assert set(file["layer 1 (Dense)"]) == {"spikes", "membranes", "currents"}
        assert set(file["layer 2 (Dense)"]) == {"spikes", "membranes"}
        for (name, probed), spikes in zip(result.probes.items(), result.spikes, strict=True):
            for quantity, values in {"spikes": spikes, **probed}.items():
                np.testing.assert_array_equal(file[name][quantity][()], values)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--mode", "async"], "with --mode async and --device cpu, expected clocked and cpu"),
        (["TWICE"], "with 2 recordings, expected one"),
    ],
)
def test_what_cannot_be_recorded(
    options: list[Any], expected: str, network: Path, tmp_path: Path
) -> None:
    source, out = write_nmnist(tmp_path / "a.bin", 3), tmp_path / "out.h5"
    more = [source] if options == ["TWICE"] else options
    assert expected in str(run_command("run", network, source, *more, "--record", out))
    assert not out.exists()
