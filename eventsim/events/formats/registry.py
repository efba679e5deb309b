"""The one door to the formats of recordings: a file's suffix and first bytes -> its `Format`.

In: a path, from `recordings.py`. A new format is a file of its own and one entry in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import RecordingError
from .aedat import AEDAT4
from .csv import CSV
from .event_stream import EVENT_STREAM
from .format import Format
from .hdf5 import HDF5
from .nmnist import NMNIST
from .numpy_files import NPY, NPZ
from .prophesee import DAT, EVT

FORMATS: tuple[Format, ...] = (NMNIST, EVT, DAT, AEDAT4, EVENT_STREAM, CSV, NPY, NPZ, HDF5)
_OF_SUFFIX = {suffix: form for form in FORMATS for suffix in form.suffixes}


def format_of(path: Path) -> Format:
    """Return the format that the suffix says, unless the file begins like another or is empty."""
    if not path.exists():
        raise RecordingError("there is no such file")
    if not path.is_file():
        raise RecordingError("this is not a file, expected a recording")
    suffix = path.suffix.lower()
    if suffix not in _OF_SUFFIX:
        raise RecordingError(
            f"the suffix is {suffix or '(none)'}, expected one of {', '.join(_OF_SUFFIX)}"
        )
    form = _OF_SUFFIX[suffix]
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if not head:
        raise RecordingError(f"the file is empty (0 bytes), expected {form.name}")
    found = next((other for other in FORMATS if other.begins(head)), form)
    if found is not form:
        raise RecordingError(f"the suffix {suffix} says {form.name}, the contents are {found.name}")
    if not head.startswith(form.magic):
        raise RecordingError(
            f"the file begins with {head[: len(form.magic)]!r}, "
            f"expected {form.magic!r} ({form.name})"
        )
    return form
