"""Where what could be made again is kept: the cache folder, and in it compiled kernels.

The folder is the one that the environment variable EVENTSIM_CACHE names, else the user's. Anything
in it may be deleted at any time. Called by `jit.py`, and by the bridge for its data sets.

Kernels have a folder for each state of the sources. Numba would keep them beside the sources: where
`pip uninstall` leaves them, so that an editable installation in the same environment finds an empty
package; and by the file of each kernel only, so that after an upgrade a kernel would go on with the
old code of functions in other files.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import warnings
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the cache folder, which may not be there yet."""
    return Path(os.environ.get("EVENTSIM_CACHE") or platformdirs.user_cache_dir("eventsim"))


@functools.cache
def kernel_folder(package: str) -> str:
    """Return the folder for the compiled kernels of an installed package; "" without any.

    What an older state of the same installation left is deleted: a process that still runs it makes
    its folder again when it has something to keep.
    """
    root = _kernels()
    if root is None:
        return ""
    own = Path(__file__).parent
    folders = {own, *map(Path, getattr(sys.modules.get(package), "__path__", ()))}
    installed = root / f"{package}-{_digest(*sorted(map(str, folders)))}"
    folder = installed / _state(folders)
    if not folder.exists():
        shutil.rmtree(installed, ignore_errors=True)
    return str(folder)


def _state(folders: set[Path]) -> str:
    """Return a text that is another one when a source has changed: by sizes and times, 1 ms."""
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    statuses = [path.stat() for path in files]
    return _digest(*(f"{one.st_size} {one.st_mtime_ns}" for one in statuses))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


@functools.cache
def _kernels() -> Path | None:
    """Return a folder that can be written to, for all kernels."""
    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        temporary = _temporary()
        warn_of_kernels(
            "each process compiles them" if temporary is None else f"they are kept in {temporary}"
        )
        return temporary
    return folder


def warn_of_kernels(instead: str) -> None:
    """Warn that the cache folder cannot be used."""
    warnings.warn(
        f"compiled kernels cannot be kept in the cache folder; {instead} (EVENTSIM_CACHE names "
        f"another folder)",
        stacklevel=2,
    )


def _temporary() -> Path | None:
    """Return a folder that nobody else can write to, kept for the next process."""
    user = getattr(os, "getuid", lambda: 0)()  # on Windows everybody has a temporary folder
    folder = Path(tempfile.gettempdir()) / f"eventsim-kernels-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        # Kernels are run as they are found: a folder that another user made is none.
        others = 0 if os.name == "nt" else status.st_mode & 0o77
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or others:
            folder = Path(tempfile.mkdtemp(prefix="eventsim-kernels-"))
    except OSError:
        return None
    return folder
