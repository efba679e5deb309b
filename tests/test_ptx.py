"""The kernels as they are compiled for a GPU, run on the CPU: see `ptx_machine.py`.

The checks are those of `cuda_checks.py`, which the simulator runs from the kernels' Python.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from cuda_checks import *  # noqa: F403
from fake_gpu import fake_gpu


@pytest.fixture(scope="module", autouse=True)
def gpu() -> Iterator[None]:
    """Instead of one."""
    with fake_gpu():
        yield
