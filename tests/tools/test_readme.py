"""The examples of the README run as they are written, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from live_runs import documents, start, wait_until_bound, wait_until_processed
from live_sources import free_port
from patience import PATIENCE_S
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    eventsim ")]
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands have run, net.h5 among what they left."""
    assert COMMANDS[0].startswith("eventsim train ")
    folder = tmp_path_factory.mktemp("readme")
    for command in COMMANDS:
        name, *arguments = shlex.split(command)
        run([str(Path(sys.executable).with_name(name)), *arguments], folder)
    return folder


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs_as_written(number: int, folder: Path) -> None:
    assert run([sys.executable, "-c", EXAMPLES[number]], folder).strip()


def test_two_terminals(folder: Path) -> None:
    """One command follows what the other one sends; the example before has saved it."""
    (block,) = re.findall(r"```sh\n(eventsim stream .*?)```", README, re.DOTALL)
    (port,) = {int(number) for number in re.findall(r"udp://[\d.]+:(\d+)", block)}
    ours = free_port(socket.SOCK_DGRAM)  # the README's may be taken here
    follow, send = (
        shlex.split(line.replace(f":{port}", f":{ours}"), comments=True)[1:]
        for line in block.splitlines()
    )
    saving = next(example for example in EXAMPLES if 'digits.npy", np.con' in example)
    run([sys.executable, "-c", saving], folder)
    count = len(np.load(folder / "digits.npy"))
    lines = folder / "lines.jsonl"
    with lines.open("w") as file, start(*follow, cwd=folder, stdout=file) as following:
        wait_until_bound(ours)
        run([str(Path(sys.executable).with_name("eventsim")), *send], folder)
        wait_until_processed(lines, count)
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, err) == (0, "")
    found = documents(lines.read_text())
    (summary,) = found["summary"]
    assert summary["events"]["received"] == summary["events"]["processed"] == count > 10_000
    assert len(found["answer"]) > 100


def test_there_is_an_example_for_each_use() -> None:
    assert len(EXAMPLES) >= 3
