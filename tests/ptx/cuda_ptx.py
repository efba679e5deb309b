"""The kernels compiled to PTX for an architecture, on a machine without a GPU."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numba
import numpy as np

from eventsim.clocked.cuda.layout import Batch, Memory, Outcomes, lay_out
from eventsim.clocked.cuda.run import device_program
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.wiring.wire import program_of

KERNELS = ("run_listed", "run_plain", "run_any")
NETWORK = Network((1, 1, 2), 1000, [Flatten(), Dense(np.full((2, 2), 0.3), neuron=LIF(0.3, 0.3))])


@cache
def argument_types(weights: str) -> tuple[Any, ...]:
    """Return the types of what a kernel takes, the same for every network."""
    program = program_of(NETWORK)
    on_device = device_program(program)._replace(weights=np.zeros(1, weights))
    ints, floats = np.zeros((1, 1), np.int32), np.zeros((1, 1), np.float32)
    batch, memory = Batch(1, ints[0], floats[0]), Memory(ints, floats)
    outcomes = Outcomes(np.zeros((1, 1), np.int64), np.zeros((1, 1)), ints.reshape(1, 1, 1))
    arguments = on_device, lay_out(program, 256, 2**15), batch, memory, outcomes
    return tuple(map(numba.typeof, arguments))


@cache
def ptx_of(kernel: str, weights: str, architecture: str) -> str:
    """Compile one of `KERNELS` for weights of a type, and an architecture such as sm_90.

    It takes seconds, so it is kept beside Numba's own cache, which follows the sources
    (conftest.py).
    """
    from eventsim.clocked.cuda import layer as kernels

    kept = Path(os.environ["NUMBA_CACHE_DIR"], f"{kernel}-{weights}-{architecture}.ptx")
    if not kept.exists():
        function = getattr(kernels, kernel).py_func
        aside = kept.with_suffix(f".{os.getpid()}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(compiled_to_ptx(function, argument_types(weights), architecture))
        aside.replace(kept)
    return kept.read_text()


@cache
def compiled_to_ptx(function: Any, kinds: tuple[Any, ...], architecture: str) -> str:
    """Compile a function for arguments of these types."""
    from numba import cuda

    capability = (int(architecture[3:-1]), int(architecture[-1]))
    # Parts of a kernel are compiled for the current device, and here is none.
    device = SimpleNamespace(compute_capability=capability)
    with patch("numba.cuda.dispatcher.get_current_device", lambda: device):
        ptx, _ = cuda.compile_ptx(function, kinds, cc=capability)
    return str(ptx)
