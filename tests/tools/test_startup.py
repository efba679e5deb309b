"""What starts: what `--help` must not import, and which compiled kernels are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from eventsim.asynchronous import kernels

HEAVY = ("torch", "tonic", "matplotlib", "numba", "sklearn", "h5py", "numpy")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from eventsim_tools.main import app\n"
        "import typer.main\n"
        "typer.main.get_command(app)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_kernels_are_cached_by_the_state_of_the_sources() -> None:
    """Without this, tests run kernels that were compiled before an edit (conftest.py)."""
    feed: Any = kernels.feed
    assert Path(feed._cache.cache_path).is_relative_to(os.environ["NUMBA_CACHE_DIR"])


def test_the_engine_imports_no_decoder_before_a_file_needs_it() -> None:
    script = "import sys, eventsim; print('faery' in sys.modules, 'torch' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == ["False", "False"]
