"""Writing a file in one go: whoever looks sees the old one or the new one, never half of it.

Called wherever the three packages write a file: networks, checkpoints, caches, JSON, pictures.
Only regular files are replaced. What else stands under a name (a pipe, a device, an open file of
this process such as /dev/stdout) is written to, as a shell's `>` would.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Names of files that a process has open already: to replace one would lose what is written there.
_OPENED = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends.

    It is written aside, in the same folder, and renamed. After a failure, in the block or here,
    the folder is as it was. What is no regular file is written to, when the block has ended.
    Raises `OSError` naming `path` where it cannot be written.
    """
    if not _is_replaced(path):
        whole = io.BytesIO()
        yield whole
        try:
            with open(path, "wb") as node:
                node.write(whole.getvalue())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        return
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    aside = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        if error.filename != str(aside):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def check_writable(path: str | Path) -> None:
    """Find out before the work whether `replacing` will be able to write there.

    Raises `OSError` naming `path`: for a folder, a folder that is missing, and one that this user
    may not write to.
    """
    name, target = str(path), os.path.realpath(path)
    if os.path.isdir(target):
        raise OSError(errno.EISDIR, "this is a folder, expected a file to write", name)
    if not _is_replaced(path):
        if not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
        return
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OSError(errno.ENOENT, f"the folder {Path(path).parent} does not exist", name)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"the folder {Path(path).parent} cannot be written to", name)


def _is_replaced(path: str | Path) -> bool:
    """Tell whether a regular file stands there, or nothing yet."""
    name = os.path.abspath(path)
    for _ in range(40):  # links to links; a circle of them is found by `stat`
        if _OPENED.fullmatch(name):
            return False
        if not os.path.islink(name):
            break
        name = os.path.abspath(os.path.join(os.path.dirname(name), os.readlink(name)))
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
