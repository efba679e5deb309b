"""Documents in files of torch: a format, a version, and what else the format says.

Read with `weights_only=True`, so that a file can run no code. `checkpoints.py` and `model_files.py`
keep theirs in such files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eventsim.errors import EventsimError
from eventsim.files import replacing


def write_document(path: Path, head: tuple[str, int], fields: dict[str, Any]) -> None:
    """Put a document of the format and version in `head` in place of `path` in one go."""
    with replacing(path) as file:
        torch.save({"format": head[0], "version": head[1], **fields}, file)


def read_document(
    path: Path, head: tuple[str, int], what: str, expected: str, error: type[EventsimError]
) -> dict[str, Any]:
    """Read a document of the format and version in `head`, its tensors on the CPU.

    Raises `error` for a damaged file, saying that it is no `what` and that one `expected` was
    expected, and for one of another format or version; `OSError` where it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            document = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as damage:  # damaged bytes make the unpickler raise almost anything
            raise error(
                f"{path}: the file is cut off, or no {what} ({type(damage).__name__}), "
                f"expected one {expected}"
            ) from damage
    names = ("format", "version")
    found = tuple(document.get(name) for name in names) if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != head:
        raise error(f"{path}: format and version are {found}, expected {head}")
    return document
