"""How Numba compiles everything in the engine: every jit flag lives here and nowhere else.

Kernels are cached on disk (`cache=True`), so only the first run after an installation compiles.
Numba keys that cache on the file of the kernel alone: after editing a function that a kernel in
*another* file calls, the old machine code would be used. `tests/conftest.py` therefore points
`NUMBA_CACHE_DIR` at a folder named by a hash of the sources; do the same when you work on an
editable installation.

Floating-point flags stay strict. `fastmath` would let the compiler reorder additions, and then
neither the reference nor a second thread count would give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a loop over flat arrays for one CPU thread."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def parallel_kernel(function: F) -> F:
    """Compile a loop whose `numba.prange` runs on several CPU threads."""
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", parallel=True)(function)
    return cast(F, compiled)


def rule(function: F) -> F:
    """Compile a scalar formula, inlined into every CPU (and later CUDA) kernel that calls it."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))
