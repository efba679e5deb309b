"""Arrays kept on disk that could be made again: simulated recordings and binned samples.

In: a key, which says everything that decides the arrays, and a function that makes them.
Out: the arrays, from the cache folder where it has them. `camera.py` and `frames.py` call it.
"""

from __future__ import annotations

import hashlib
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.cache import cache_folder
from eventsim.files import replacing

Arrays = dict[str, NDArray[Any]]


def cached_arrays(
    name: str, key: str, make: Callable[[], Arrays], is_sound: Callable[[Arrays], bool]
) -> Arrays:
    """Return the arrays of a key: those in the cache folder, else newly made and left there.

    The file is `<name>-<hash of the key>.npz` and holds the key as well. One that is damaged, of
    another key, or that `is_sound` refuses (it may raise `KeyError`), is made again. Where nothing
    can be written, a warning says so once, and the arrays are returned all the same.
    """
    folder = cache_folder()
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    arrays = _read(path, key, is_sound)
    if arrays is None:
        arrays = make()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.savez(file, key=np.array(key), **arrays)  # type: ignore[arg-type]
        except OSError as error:
            # One text a folder, and thus one warning: Python shows a text once.
            warnings.warn(
                f"{folder}: {name} could not be cached and will be made again next time "
                f"({error.strerror})",
                stacklevel=1,
            )
    return arrays


def _read(path: Path, key: str, is_sound: Callable[[Arrays], bool]) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:  # zip: a checksum guards every array
            arrays = {name: file[name] for name in file.files}
        same = arrays.pop("key").tolist() == key
        return arrays if same and is_sound(arrays) else None
    except FileNotFoundError:
        return None
    # What NumPy and zip raise for a damaged file; a flipped bit can ask for another compression,
    # and a bare array is no context manager.
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, TypeError):
        return None
    except (zipfile.BadZipFile, zlib.error):
        return None
