"""The examples of the README run as they are written, and what the pages name is there."""

from __future__ import annotations

import importlib.util
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

from eventsim_bridge.datasets import open_dataset

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a page has to run: lines of commands, and blocks of Python.
RUNS = re.compile(r"^    (eventsim [^\n]+)$|^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"\b(?:eventsim|bridge|tools|tests)/[\w/]+\.(?:py|toml)\b", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []
    modules = re.findall(r"\b(?:from|python -m) (eventsim_(?:bridge|tools)[\w.]*)", text)
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


def command(line: str) -> list[str]:
    name, *arguments = shlex.split(line, comments=True)
    return [str(Path(sys.executable).with_name(name)), *arguments]


@pytest.mark.parametrize("name", ["README.md", "docs/networks.md"])
def test_all_of_it_runs_as_it_is_written(name: str, tmp_path: Path) -> None:
    """In one test, as what comes later reads the files that what comes before has written."""
    found = RUNS.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(found) >= 3
    for line, example in found:
        arguments = command(line) if line else [sys.executable, "-c", example]
        assert run(arguments, tmp_path).strip(), line or example
    if name == "README.md":
        follow_in_two_terminals(tmp_path)


def follow_in_two_terminals(folder: Path) -> None:
    """One command follows what the other one sends."""
    (block,) = re.findall(r"^eventsim stream .*?\n.*?$", README, re.MULTILINE)
    (port,) = set(re.findall(r"udp://[\d.]+:(\d+)", block))
    free = free_port(socket.SOCK_DGRAM)  # the README's may be taken here
    events = open_dataset("digits").test[0][0]
    np.save(folder / "digit.npy", events)
    block = block.replace(f":{port}", f":{free}").replace("RECORDING", "digit.npy")
    follow, send = block.splitlines()
    count = len(events)
    lines = folder / "lines.jsonl"
    with (
        lines.open("w") as file,
        start(*command(follow)[1:], cwd=folder, stdout=file) as following,
    ):
        wait_until_bound(free)
        run(command(send), folder)
        wait_until_processed(lines, count)
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=PATIENCE_S)
    assert following.returncode == 0
    assert err in ("", "compiling kernels, once\n")
    found = documents(lines.read_text())
    (summary,) = found["summary"]
    assert summary["events"]["received"] == summary["events"]["processed"] == count > 1000
    assert len(found["answer"]) > 10


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
