"""The one door to the formats of recordings: a file's first bytes and suffix -> its `Format`.

In: a path, from `recordings.py`. A new format is a file of its own and one entry in `FORMATS`. What
the contents say decides; the suffix does where they say nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ...errors import RecordingError
from .aedat2 import AEDAT2
from .aedat4 import AEDAT4
from .aedat31 import AEDAT31
from .event_stream import EVENT_STREAM
from .format import Format
from .hdf5 import HDF5
from .matlab import MAT
from .nmnist import NMNIST
from .numpy_files import NPY, NPZ
from .prophesee import DAT, EVT
from .rosbag import BAG1, MCAP, SQLITE
from .text import TEXT

FORMATS: tuple[Format, ...] = (
    NMNIST, EVT, DAT, AEDAT2, AEDAT31, AEDAT4, EVENT_STREAM, NPY, NPZ, MAT, HDF5, BAG1, MCAP,
    SQLITE, TEXT,
)  # fmt: skip
_OF_SUFFIX = {suffix: form for form in FORMATS for suffix in form.suffixes}
HEAD = 1 << 16  # bytes by which a format is recognised

# What stands in the place of a recording that was not fetched.
_NO_RECORDINGS = {
    b"version https://git-lfs": "a pointer of Git LFS, expected the recording (git lfs pull)",
    b"<!doctype html": "a web page, expected a recording",
    b"<html": "a web page, expected a recording",
}


class Recognised(NamedTuple):
    """A file's format, and how it was recognised."""

    format: Format
    how: str


def recognise(path: Path) -> Recognised:
    """Return the format that the contents say, or else the suffix."""
    if not path.exists():
        raise RecordingError("there is no such file")
    if not path.is_file():
        raise RecordingError("this is not a file, expected a recording")
    suffix = path.suffix.lower()
    usual = _OF_SUFFIX.get(suffix)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        name = usual.name if usual else "a recording"
        raise RecordingError(f"the file is empty (0 bytes), expected {name}")
    for begin, what in _NO_RECORDINGS.items():
        if head.lower().startswith(begin):
            raise RecordingError(f"the file is {what}")
    if found := next((form for form in FORMATS if form.begins(head)), None):
        more = f"; the suffix {suffix} says {usual.name}" if usual not in (None, found) else ""
        return Recognised(found, f"by its first bytes{more}")
    if usual is not None and head.startswith(usual.magic):
        return Recognised(usual, f"by its suffix {suffix}")
    if usual is None:
        raise RecordingError(
            f"the file begins with {head[:8]!r} and has the suffix {suffix or '(none)'}, expected "
            f"the first bytes of a known format, or one of {', '.join(_OF_SUFFIX)}"
        )
    found_bytes = head[: len(usual.magic)]
    raise RecordingError(
        f"the file begins with {found_bytes!r}, expected {usual.magic!r} ({usual.name})"
    )
