"""Work on a Dask cluster: all of it is done, in order, where a worker is killed too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, write_nmnist_set
from lost_workers import LOST, run_share

import eventsim as es
from eventsim_tools import simulating


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Ten outputs of random weights on N-MNIST's pixels."""
    weights = np.random.default_rng(0).normal(0, 0.2, (10, 2 * 34 * 34))
    layers = [es.Flatten(), es.Dense(weights, neuron=es.LIF(0.9, 0.5))]
    es.save_network(es.Network((2, 34, 34), 1000, layers), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_a_data_set_is_run_on_two_workers_of_which_one_is_killed(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tmp_path / "lost"
    monkeypatch.setenv(LOST, str(lost))
    data = ("run", network, "--data", "nmnist", "--root", write_nmnist_set(tmp_path / "set"))
    more = ("--split", "train", "--limit", 21, "--weights", "int8")
    assert run_command(*data, *more, "--json", tmp_path / "here.json") == 0
    monkeypatch.setattr(simulating, "SHARE", 4)
    monkeypatch.setattr(simulating, "run_share", run_share)
    assert run_command(*data, *more, "--cluster", 2, "--json", tmp_path / "there.json") == 0
    assert lost.exists()  # a worker was killed

    def found(name: str) -> Any:
        document = json.loads((tmp_path / name).read_text())
        del document["seconds"]
        return document

    assert found("there.json") == found("here.json")
    assert len(found("there.json")["names"]) == 21


def test_files_are_not_spread(network: Path) -> None:
    assert run_command("run", network, "a.bin", "--cluster", 2) == (
        "eventsim: --cluster is 2 without --data, expected both or none"
    )
