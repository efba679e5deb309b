"""MATLAB's files: one array for each field of events, as ASL-DVS has them -> packets of events.

In: a path, from `registry.py`. SciPy reads the arrays, those of MATLAB 5 to 7.2; later files are
HDF5, of a kind that is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import RecordingError
from .fields import find_fields
from .format import Asked, Contents, Format, decoding_by
from .numpy_files import decode_fields


def _decode(path: Path, asked: Asked) -> Contents:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise RecordingError(
            "a file of MATLAB is read by the package scipy, which is not installed: pip install "
            "'eventsim-snn[train]'"
        ) from None
    with path.open("rb") as file:
        if file.read(10) == b"MATLAB 7.3":
            raise RecordingError("the file is of MATLAB 7.3, expected 5 to 7.2 (in MATLAB, -v7)")
    with decoding_by("scipy"):
        loaded = loadmat(path)
    names = [name for name in loaded if not name.startswith("__")]
    layout = find_fields(names)
    wanted = list(layout.names.values()) if layout else names
    arrays = {name: np.squeeze(np.asarray(loaded[name])) for name in wanted}  # columns are (n, 1)
    arrays = {name: np.atleast_1d(array) for name, array in arrays.items()}
    return decode_fields(arrays, asked, layout.others if layout else ())


MAT = Format("MATLAB", (".mat",), b"MATLAB ", _decode)
