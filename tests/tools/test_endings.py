"""How commands end: one sentence in the words of the command line, and never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command, write_nmnist

import eventsim as es
from eventsim_tools import main as main_module


@pytest.fixture
def network(tmp_path: Path) -> Path:
    dense = es.Dense(np.ones((2, 2 * 34 * 34)), neuron=es.IF(1.0))
    es.save_network(es.Network((2, 34, 34), 1000, [es.Flatten(), dense]), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_options_are_named_as_they_are_typed(network: Path, tmp_path: Path) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    late = tmp_path / "late.npy"
    np.save(late, es.make_events([10, 5], [0, 0], [0, 0], [0, 0]))
    stream = ("stream", network, "--from", file)
    for arguments, sentence in (
        (("run", network, file, "--threads", 999), "--threads is 999, expected"),
        (("run", network, file, "--mode", "fast"), "--mode is 'fast', expected one of"),
        ((*stream, "--window-us", 15, "--hop-us", 10), "--window-us is 15 with --hop-us 10, exp"),
        ((*stream, "--queue", 0), "--queue is 0, expected"),
        ((*stream, "--pace", "inf"), "--pace is inf, expected 0 to 1,000,000,000"),
        (("send", file, "--to", "udp://127.0.0.1:9", "--pace", "inf"), "--pace is inf, expected"),
        (("train", "--data", "digits", "--structure", "10", "--out", tmp_path / "n.h5",
          "--learning-rate", -1), "--learning-rate is -1.0, expected"),
    ):  # fmt: skip
        assert str(run_command(*arguments)).startswith(f"eventsim: {sentence}")
    assert "(--sort puts them in order)" in str(run_command("run", network, late))


def test_a_reader_that_has_gone_ends_it_in_silence(tmp_path: Path) -> None:
    file = write_nmnist(tmp_path / "a.bin", 0)
    command = [Path(sys.executable).with_name("eventsim"), "inspect", file, "--json", "-"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_kernels_are_compiled_ends_it_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LLVM loses the interrupt, and Numba then has no machine code of what it compiled."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise RuntimeError("no compiled object yet for <Library 'receive' at 0x1>")

    monkeypatch.setattr(main_module, "app", interrupted)
    assert run_command("--version") == "eventsim: interrupted"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--version") == 0
    assert capsys.readouterr().out == f"eventsim {es.__version__}\n"


@pytest.mark.parametrize("options", [
    ("--structure", "999999FC-999999FC-10"), ("--structure", f"{10**30}FC-10"),
    ("--structure", "10", "--steps", 10**9), ("--structure", "10", "--batch-size", 10**12),
])  # fmt: skip
def test_absurd_trainings_are_refused_before_they_begin(options: Any, tmp_path: Path) -> None:
    for command in ("train", "compare"):
        sentence = run_command(command, "--data", "digits", "--out", tmp_path / "new", *options)
        assert re.match(
            r"eventsim: (--)?structure ('10' with|'9{6}|'10{30}).*(GiB|large)", str(sentence)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    sentence = run_command(
        "compare", "--data", "digits", "--structure", "4FC-10", "--out", tmp_path, "--cluster", 2
    )
    assert sentence == (
        "eventsim: distributed is not installed, and this needs it: "
        "pip install 'eventsim-snn[cluster]'"
    )
    assert list(tmp_path.iterdir()) == []
