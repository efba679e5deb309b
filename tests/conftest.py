"""Shared by all tests: caches that follow the sources, one thread, real recordings, a browser."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def _hash_of_sources() -> str:
    digest = hashlib.sha256()
    files = [ROOT / "constraints.txt"]  # what compiles them
    for folder in ("eventsim", "bridge", "tests/ptx"):
        files += sorted((ROOT / folder).rglob("*.py"))
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# Before numba is imported: Numba does not notice an edit to a function that a kernel in another
# file calls, so every state of the sources gets a cache of its own (see eventsim/jit.py).
_HASH = _hash_of_sources()
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"eventsim-kernels-{_HASH}")
)
# For the same reason simulated and binned recordings, and to leave the user's folder alone.
os.environ.setdefault(
    "EVENTSIM_CACHE", str(Path(tempfile.gettempdir()) / f"eventsim-recordings-{_HASH}")
)

# Before torch is imported: its second thread spins when small tensors leave it nothing to do, and
# takes the core of pytest's other worker (21 seconds of processor time for test_counting.py, and 3
# so). And sums of floats depend on how many threads take part.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# Compiling a kernel takes longer than any deadline; the examples are the same on every run.
settings.register_profile("eventsim", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("eventsim")


def pytest_configure(config: pytest.Config) -> None:
    """Let slow kernels fail.

    Not in pyproject.toml: pytest would import numba for it before it reads this file, and then the
    kernel cache above comes too late, and tests run what was compiled before an edit.
    """
    config.addinivalue_line("filterwarnings", "error::numba.core.errors.NumbaPerformanceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, for which a worker would else be waited for at the end."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("EVENTSIM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (EVENTSIM_DATA names another folder)")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a screen, as playwright has it; tests that need it skip where it is absent.

    Of a module, for while playwright runs nothing else can run asyncio in this thread.
    """
    programs = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    program = next(filter(None, programs), None)
    if program is None:
        pytest.skip("no Chromium (`make browser` installs it on Debian)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # Root, who often runs tests in a container, has no sandbox; the pages are our own.
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
