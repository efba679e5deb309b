"""JSON, a line for each thing that happened, to a file or a pipe that may fail."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from ..report import notes

encode = json.JSONEncoder(allow_nan=False).encode


class JsonLines:
    """A file of JSON lines, or stdout for the path "-".

    The lines of a call are written in one go: one by one they took twice as long, and after each
    the thread that reads the source could keep the interpreter. Lines that cannot be written,
    because the disk is full for instance, are counted in `lost` and said once; the next ones are
    tried again. The file never has half a line. `closed_by_reader`: whoever read the pipe has gone.
    Raises `OSError` where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; an older one is emptied."""
        self.is_stdout = str(path) == "-"
        self._name = "stdout" if self.is_stdout else str(path)
        if self.is_stdout:
            sys.stdout.flush()
            self._file = sys.stdout.fileno()
        else:
            binary = getattr(os, "O_BINARY", 0)  # of Windows, which would change ends of lines
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | binary, 0o666)
        self.lost = 0
        self.closed_by_reader = False

    def __enter__(self) -> Self:
        """Return the lines themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if not self.is_stdout:
            os.close(self._file)

    def write(self, documents: Iterable[dict[str, Any]]) -> None:
        """Append a line for each, at once: whoever reads along sees it now."""
        lines = b"".join(f"{encode(document)}\n".encode() for document in documents)
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._file, lines[written:])
        except BrokenPipeError:
            self.closed_by_reader = True
        except OSError as error:
            whole = lines.rfind(b"\n", 0, written) + 1
            self._lose(lines.count(b"\n", whole), written - whole, error)

    def _lose(self, lines: int, written: int, error: OSError) -> None:
        """Count lines, and take back what was written of the first of them."""
        if self.lost == 0:
            notes.print(
                f"{self._name}: a line cannot be written, {error.strerror}; the stream goes on, "
                f"lost lines are counted",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self.lost += lines
        if written and not self.is_stdout:
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR) - written)
            os.lseek(self._file, -written, os.SEEK_CUR)
