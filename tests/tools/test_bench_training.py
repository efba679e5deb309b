"""`eventsim bench --workload training`: who trains what, and that all see the same spikes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import run_command, write_nmnist

from eventsim_tools.bench import training
from eventsim_tools.bench.timing import ENGINE

CASES = (
    training.Case("nmnist", "12FC-10", 10_000, 5, 4, True),
    training.Case("nmnist", "3C3s2-AP2-10", 10_000, 5, 4, False),
    training.Case("dvsgesture", "AP4-4FC-11", 10_000, 5, 4, False),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(8):
        write_nmnist(tmp_path / "Train" / str(number % 2) / f"{number:05}.bin", number % 2, number)
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave torch as it was (conftest.py): contestants set its threads."""
    yield
    torch.set_num_threads(1)


def test_a_case_without_recordings_is_left_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "CASES", CASES)
    monkeypatch.setattr(training, "IN_A_ROW_S", 1e-9)
    out = tmp_path / "bench.json"
    options = ("--root", root, "--repeats", 1, "--limit", 8, "--json", out)
    assert run_command("bench", "--workload", "training", *options) == 0
    told = capsys.readouterr()
    assert "AP4-4FC-11 is left out" in told.err
    assert "memory of a step on sparse kernels" in told.out
    cases = json.loads(out.read_text())["workloads"]["training"]["cases"]
    assert [case["structure"] for case in cases] == ["12FC-10", "3C3s2-AP2-10"]
    first, second = ({row["name"] for row in case["timings"]} for case in cases)
    assert {ENGINE, training.DENSE} <= first
    assert second == {ENGINE, training.DENSE}
    assert all(rate > 0 for case in cases for rate in case["firing_rates"])
    memory = cases[0]["memory_bytes"]
    assert set(memory) in (set(), {"sparse", "dense"})


def test_steps_are_timed_on_the_same_weights(root: Path) -> None:
    case = CASES[0]
    recordings = training.read_part(case, root, 8)
    model = training.trained_for_a_while(case, recordings)
    weights = copy.deepcopy(model.state_dict())
    for form in ("binned", "frames"):
        step = training.Step(case, recordings, model, form)
        step()
        step()
        assert all(bool(parameter.grad.any()) for parameter in model.parameters())
        for name, value in model.state_dict().items():
            assert torch.equal(value, weights[name])


@pytest.mark.parametrize("name", list(training.PEERS))
def test_peers_train_the_same_network(name: str, root: Path) -> None:
    case: Any = CASES[0]
    recordings = training.read_part(case, root, 8)
    model = training.trained_for_a_while(case, recordings)
    peer = training.PeerModel(model, training.PEERS[name])
    frames = recordings.frames(training.batch_of(case, recordings, 0))
    spikes = peer(frames)
    assert torch.equal(spikes, model(frames))
    spikes.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
