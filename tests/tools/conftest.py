"""A comparison that is run once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run_command
from comparisons import arguments, write_stripes


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small data set."""
    root = tmp_path_factory.mktemp("stripes")
    write_stripes(root)
    return root


@pytest.fixture(scope="session")
def comparison(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `eventsim compare` has written of it."""
    out = tmp_path_factory.mktemp("comparison")
    assert run_command(*arguments(stripes, out)) == 0
    return out
