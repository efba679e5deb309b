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
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

# Types of the flat arrays that kernels take.
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Flags = NDArray[np.uint8]

# A compiled function takes arrays of exactly one type each and returns what Numba infers, which
# a type checker cannot follow.
Compiled = Callable[..., Any]


def kernel(function: Compiled) -> Compiled:
    """Compile a loop over flat arrays for one CPU thread."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def parallel_kernel(function: Compiled) -> Compiled:
    """Compile a loop whose `numba.prange` runs on several CPU threads."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", parallel=True)(function)


def rule(function: Compiled) -> Compiled:
    """Compile a scalar formula, inlined into every CPU (and later CUDA) kernel that calls it."""
    return numba.njit(inline="always", error_model="numpy")(function)


def compiled_for(function: Compiled, *arguments: object) -> Compiled:
    """Return a kernel's machine code for arguments of exactly these types, to be called as it is.

    It skips finding out the types of its arguments, and would misread any others: a call with five
    arrays took 0.64 microseconds instead of 1.2.
    """
    return function.compile(tuple(map(numba.typeof, arguments)))  # type: ignore[attr-defined]


@intrinsic
def _borrowed(context, array):  # type: ignore[no-untyped-def]
    """Return the same array without its owner, for the time of a kernel's call.

    Numba counts a reference for each array that a compiled function hands to another one, and
    atomically; for an array without an owner there is nothing to count. An event in asynchronous
    time took 0.70 microseconds with this and 0.83 without (2312-512-10).
    """
    del context
    assert isinstance(array, types.Array)

    def build(context, builder, signature, args):  # type: ignore[no-untyped-def]
        struct = context.make_array(signature.args[0])(context, builder, value=args[0])
        struct.meminfo = struct.meminfo.type(None)
        struct.parent = struct.parent.type(None)
        return struct._getvalue()

    return array(array), build


borrowed: Compiled = _borrowed
