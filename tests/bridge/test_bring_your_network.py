"""The examples of docs/bring-your-network.md run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from places import ROOT

import eventsim as es

PAGE = (ROOT / "docs" / "bring-your-network.md").read_text(encoding="utf-8")
EXAMPLE = r"^## ([^\n]+)$(?:(?!^## ).)*?^```python\n(.*?)^```$"
EXAMPLES = dict(re.findall(EXAMPLE, PAGE, re.MULTILINE | re.DOTALL))
NEURONS = {
    "snntorch": "LIF(decay=0.8999999761581421, threshold=1.0, reset='subtract-next')",
    "spikingjelly": "LIF(decay=0.5, threshold=1.0, reset='zero', comparison='>=')",
    "norse": "CUBALIF(current_decay=0.8, decay=0.9, threshold=1.0, reset='zero')",
    "sinabs": "IF(threshold=1.0, reset='subtract', comparison='>=', spikes='many')",
}


@pytest.mark.parametrize("library", NEURONS)
def test_five_lines_of_each_library(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(line != "" for line in EXAMPLES[library].splitlines()) == 5
    exec(EXAMPLES[library], {})
    assert capsys.readouterr().out.strip() == NEURONS[library]


def test_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)  # the example draws its weights
    exec(EXAMPLES["In Python, with the proof"], {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2
    for *_, of_torch, of_engine, differing in rows:
        assert int(of_torch) > 100
        assert abs(int(of_torch) - int(of_engine)) <= int(differing) <= 2
    assert es.load_network(tmp_path / "net.h5").input_shape == (2, 34, 34)


def test_nir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nir = pytest.importorskip("nir")
    if "v_reset" not in nir.IF.__dataclass_fields__:
        pytest.skip("nir is older than 1.0.6, expected later to write files")
    monkeypatch.chdir(tmp_path)
    exec(EXAMPLES["NIR"], {})
    neuron = "LIF(decay=0.9, threshold=1.0, reset='zero', input_gain='one-minus-decay')"
    assert capsys.readouterr().out.strip() == f"{neuron} ()"
    assert (tmp_path / "again.nir").exists()


def test_inputs_that_no_camera_made(capsys: pytest.CaptureFixture[str]) -> None:
    exec(EXAMPLES["Inputs that no camera made"], {})
    assert capsys.readouterr().out.split("\n")[:2] == ["[250, 250]", "5000"]
