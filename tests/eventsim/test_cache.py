"""Where compiled kernels are kept: by the state of the sources, and never beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsim import cache


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two files, whose kernels are kept under `tmp_path`."""
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("__init__.py", "part.py"):
        (folder / name).write_text("# as it was\n")
    module = types.ModuleType("two")
    module.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "two", module)
    monkeypatch.setenv("EVENTSIM_CACHE", str(tmp_path / "cache"))
    for kept in (cache.kernel_folder, cache._kernels):
        kept.cache_clear()
    yield folder
    for kept in (cache.kernel_folder, cache._kernels):
        kept.cache_clear()


def kept_in(name: str) -> Path:
    cache.kernel_folder.cache_clear()
    folder = Path(cache.kernel_folder(name))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_an_edit_of_any_file_has_kernels_of_its_own(package: Path, tmp_path: Path) -> None:
    first, engine = kept_in("two"), kept_in("eventsim")
    assert kept_in("two") == first
    assert first.is_relative_to(tmp_path / "cache" / "kernels")
    (package / "part.py").write_text("# as it is now\n")
    second = kept_in("two")
    assert second != first
    assert not first.exists()  # of a state that is gone
    assert kept_in("eventsim") == engine
    assert second.exists()


PROGRAM = (
    "import eventsim as es\n"
    "from eventsim.clocked.cpu.layer import run_stretches\n"
    "print(es.check_events(es.make_events([1], [2], [3], [1])), run_stretches._cache.cache_path)"
)


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
        env=own | environment,
    )  # fmt: skip


def test_kernels_are_kept_in_the_cache_folder(tmp_path: Path) -> None:
    done = run(EVENTSIM_CACHE=str(tmp_path))
    assert done.stdout.startswith("[(1, 2, 3,  True)] " + str(tmp_path / "kernels" / "eventsim-"))
    assert done.stderr == ""
    assert any(tmp_path.rglob("*.nbc"))


def test_without_a_cache_folder_kernels_are_kept_in_a_temporary_one(tmp_path: Path) -> None:
    done = run(EVENTSIM_CACHE="/proc/nope", TMPDIR=str(tmp_path))
    assert done.stdout.startswith("[(1, 2, 3,  True)]")
    assert done.stderr.count("compiled kernels cannot be kept") == 1
    (kernels,) = tmp_path.iterdir()
    assert kernels.stat().st_mode & 0o77 == 0
    assert any(kernels.rglob("*.nbc"))


@pytest.mark.usefixtures("package")
def test_without_any_folder_each_process_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSIM_CACHE", "/proc/nope")
    monkeypatch.setattr(cache, "_temporary", lambda: None)
    with pytest.warns(UserWarning, match="cannot be kept in the cache folder; each process"):
        assert cache.kernel_folder("two") == ""
