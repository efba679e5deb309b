"""Where a network file is damaged, and the sentence that it gets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from network_files import small

from eventsim.errors import NetworkFileError
from eventsim.network.storage import load_network, save_network

WEIGHT = "layers/3/weight"  # of the Dense, (3, 2)


VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


@contextmanager
def folder() -> Iterator[Path]:
    """Run in a folder with net.h5, and with files that a link could lead to."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            save_network(small(), "net.h5")
            Path("raw.bin").write_bytes(VALUES.tobytes())
            with h5py.File("other.h5", "w") as file:
                file["weight"] = VALUES
            yield Path("net.h5")
        finally:
            os.chdir(before)


def refusal(path: Path) -> str:
    with pytest.raises(NetworkFileError) as refused:
        load_network(path)
    return str(refused.value)
