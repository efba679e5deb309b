"""Files of records that are all equally long: N-MNIST's and Prophesee's, read in parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faults import HALF
from .format import Asked


def read_records(
    path: Path, start: int, asked: Asked, dtype: str, width: int = 1
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield records of `width` numbers as rows, `asked.size` at a time, and the first's number.

    They reach from byte `start` to the end of the file; one that is cut short there is refused, or
    dropped, before any is read.
    """
    bytes_each = np.dtype(dtype).itemsize * width
    with path.open("rb") as file:
        count, rest = divmod(os.fstat(file.fileno()).st_size - start, bytes_each)
        if rest:
            asked.faults.found(
                HALF, 1, f"cut short: record {count} has {rest} bytes, expected {bytes_each}"
            )
        file.seek(start)
        for first in range(0, count, asked.size):
            some = min(asked.size, count - first)
            yield first, np.fromfile(file, dtype, some * width).reshape(some, width)
