"""The examples of the README run as they are written, and what the pages name is there."""

from __future__ import annotations

import importlib.util
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live_runs import PATIENCE_S, documents, start, wait_until_bound
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    eventsim ")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"\b(?:eventsim|bridge|tools|tests)/[\w/]+\.(?:py|toml)\b", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []
    modules = re.findall(r"\b(?:from|python -m) (eventsim_(?:bridge|tools)[\w.]*)", text)
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


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
    follow, send = (shlex.split(line, comments=True)[1:] for line in block.splitlines())
    saving = next(example for example in EXAMPLES if 'digits.npy", np.con' in example)
    run([sys.executable, "-c", saving], folder)
    with start(*follow, cwd=folder) as following:
        wait_until_bound(7777)
        run([str(Path(sys.executable).with_name("eventsim")), *send], folder)
        time.sleep(0.5)
        following.send_signal(signal.SIGINT)
        out, err = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, err) == (0, "")
    lines = documents(out)
    (summary,) = lines["summary"]
    assert summary["events"]["received"] == summary["events"]["processed"] > 10_000
    assert len(lines["answer"]) > 100


def test_there_is_an_example_for_each_use() -> None:
    assert len(EXAMPLES) >= 3
