"""Writing a file in one go: whoever looks sees the old one or the new one, never half of it.

Called wherever the three packages write a file: networks, checkpoints, caches, JSON, pictures.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends.

    It is written aside, in the same folder, and renamed. After a failure, in the block or here,
    the folder is as it was. Raises `OSError` naming `path` where it cannot be written.
    """
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
