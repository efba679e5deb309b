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

from eventsim.clocked.cuda import layer as kernels
from eventsim.clocked.cuda.layout import lay_out
from eventsim.clocked.cuda.run import device_program
from eventsim.clocked.cuda.state import DTYPES, Outcome, State, Stretch
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.wiring.wire import program_of

KERNELS = (
    "begin_stretch", "next_stretch", "admit", "visit_block", "visit_wide_block", "visit_in_step",
    "read_out",
)  # fmt: skip
NETWORK = Network((1, 1, 2), 1000, [Flatten(), Dense(np.full((2, 2), 0.3), neuron=LIF(0.3, 0.3))])


@cache
def argument_types(kernel: str, weights: str) -> tuple[Any, ...]:
    """Return the types of what a kernel takes, the same for every network."""
    program = program_of(NETWORK)
    whole, single = np.zeros(1, np.int64), np.zeros(1, np.int32)
    stretch = Stretch(
        np.zeros(1, np.uint8), whole, np.zeros(1, np.uint64), single, 1, 0, 1, 0, 1000, 1, 1, 1
    )
    given = {
        "program": device_program(program)._replace(weights=np.zeros(1, weights)),
        "layout": lay_out(program, 2),
        "state": State(*(np.zeros((1, 1), kind) for kind in DTYPES.values())),
        "stretch": stretch,
        "outcome": Outcome(np.zeros((1, 1), np.int64), np.zeros((1, 1))),
    }
    code = getattr(kernels, kernel).py_func.__code__
    names = code.co_varnames[: code.co_argcount]
    return tuple(numba.typeof(given.get(name, 1)) for name in names)


@cache
def ptx_of(kernel: str, weights: str, architecture: str) -> str:
    """Compile one of `KERNELS` for weights of a type, and an architecture such as sm_90.

    It takes seconds, so it is kept beside Numba's own cache, which follows the sources
    (conftest.py).
    """
    kept = Path(os.environ["NUMBA_CACHE_DIR"], f"{kernel}-{weights}-{architecture}.ptx")
    if not kept.exists():
        function = getattr(kernels, kernel).py_func
        aside = kept.with_suffix(f".{os.getpid()}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(compiled_to_ptx(function, argument_types(kernel, weights), architecture))
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
