"""The examples run as they stand, and each leaves the picture that the gallery shows."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# Where `make docs` looks for the pictures, so that it need not run again what the tests ran.
FOLDER = ROOT / "build" / "examples"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_stands(path: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=FOLDER, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it prints what it found"
    picture = (FOLDER / path.stem).with_suffix(".png")
    assert picture.stat().st_mtime >= begun - 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    title, line, gap, *rest = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert (line, gap) == ("=" * len(title), "")
    assert len(rest) >= 2
