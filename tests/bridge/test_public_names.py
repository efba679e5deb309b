"""What users call has its name in `eventsim_bridge`, and brings torch only where it needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import eventsim_bridge
from eventsim.errors import NetworkError


def test_every_name_is_there_and_no_module_is_shown() -> None:
    assert sorted(dir(eventsim_bridge)) == sorted(eventsim_bridge.__all__)
    assert sorted(eventsim_bridge._MODULES) == sorted(eventsim_bridge.__all__)
    for name in eventsim_bridge.__all__:
        assert getattr(eventsim_bridge, name).__name__ == name
    with pytest.raises(AttributeError, match=r"'eventsim_bridge' has no attribute 'trian'"):
        eventsim_bridge.trian  # noqa: B018


def test_what_is_no_network_and_no_model_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"eventsim\.load_network\('net\.h5'\) reads it"):
        eventsim_bridge.to_nir("net.h5", tmp_path / "net.nir")  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match=r"model is of type Linear, expected a SpikingNetwork"):
        eventsim_bridge.export_network(torch.nn.Linear(2, 2), dt_us=1000)  # type: ignore[arg-type]


def test_what_needs_no_torch_brings_none() -> None:
    script = (
        "import sys, eventsim_bridge as bridge\n"
        "bridge.open_dataset, bridge.from_mappings, bridge.from_nir, bridge.OwnData\n"
        "print('torch' in sys.modules)\n"
        "bridge.SpikingNetwork\n"
        "print('torch' in sys.modules)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", script]).split() == [b"False", b"True"]
