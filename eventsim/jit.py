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
from llvmlite import ir
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


def inner_kernel(function: Compiled) -> Compiled:
    """Compile a part of a kernel into it, where a call costs: an array is seven words to hand over.

    In turn with calls, six rounds on two N-MNIST networks: 9 to 15 % faster in five of them.
    """
    return numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)


def bare_kernel(function: Compiled) -> Compiled:
    """Compile a loop as `kernel` does, for arrays whose references nobody counts.

    Nothing in it can allocate. A call from Python with five arrays took 0.16 microseconds less, as
    much as a third of an event in asynchronous time, all of whose kernels are bare. Between kernels
    it makes no difference, where they are compiled into each other.
    """
    return _bare(function)


def bare_inner_kernel(function: Compiled) -> Compiled:
    """Compile a part of a bare kernel into it."""
    return _bare(function, forceinline=True)


def _bare(function: Compiled, **more: bool) -> Compiled:
    # `_nrt`, Numba's runtime for references, is an option that its type hints do not list.
    compiled: Compiled = numba.njit(  # type: ignore[call-overload]
        cache=True, nogil=True, error_model="numpy", _nrt=False, **more
    )(function)
    return compiled


def rule(function: Compiled) -> Compiled:
    """Compile a scalar formula, inlined into every CPU (and later CUDA) kernel that calls it."""
    return numba.njit(inline="always", error_model="numpy")(function)


def compiled_for(function: Compiled, *arguments: object) -> Compiled:
    """Return a kernel's machine code for arguments of exactly these types, to be called as it is.

    It skips finding out the types of its arguments, and would misread any others: a call with five
    arrays took 0.64 microseconds instead of 1.2.
    """
    compiled: Compiled = function.compile(  # type: ignore[attr-defined]
        tuple(map(numba.typeof, arguments))
    )
    return compiled


def _compiled_intrinsic(function: Compiled) -> Compiled:
    """Make code for the compiler of what `function` returns: a signature, and how to build it."""
    made: Compiled = intrinsic(function)
    return made


# What the compiler does not find by itself, in vectors of eight float32. With plain loops it tests
# before every short row whether the row overlaps the membranes that it is added to, and finds
# spikes with a branch for each neuron.
LANES = 8
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> tuple[Any, Any]:
    """Return the address of eight neighbours in an array, and their values."""
    data = context.make_array(kind)(context, builder, array).data
    address = builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())
    return address, builder.load(address, align=4)


def _spread(builder: Any, number: Any) -> Any:
    """Return a vector with the same number in every lane."""
    index = ir.IntType(32)
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, index(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(index, LANES), [0] * LANES))


@_compiled_intrinsic
def add_lanes(typingctx: Any, u: Any, i: Any, w: Any, j: Any) -> Any:
    """Add w[j : j + 8] to u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, membranes = _load(context, builder, signature.args[0], args[0], args[1])
        _, weights = _load(context, builder, signature.args[2], args[2], args[3])
        builder.store(builder.fadd(membranes, weights), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, w, types.uintp), codegen


@_compiled_intrinsic
def advance_lanes(
    typingctx: Any, u: Any, i: Any, power: Any, b: Any, k: Any, gain: Any, w: Any, j: Any
) -> Any:
    """Let u[i : i + 8] be u[i : i + 8] power + b[k : k + 8] gain + w[j : j + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, membranes = _load(context, builder, signature.args[0], args[0], args[1])
        _, biases = _load(context, builder, signature.args[3], args[3], args[4])
        _, weights = _load(context, builder, signature.args[6], args[6], args[7])
        kept = builder.fmul(membranes, _spread(builder, args[2]))
        moved = builder.fadd(kept, builder.fmul(biases, _spread(builder, args[5])))
        builder.store(builder.fadd(moved, weights), to, align=4)
        return context.get_dummy_value()

    f4, index = types.float32, types.uintp
    return types.void(u, index, f4, b, index, f4, w, index), codegen


@_compiled_intrinsic
def above_lanes(typingctx: Any, u: Any, i: Any, limit: Any) -> Any:
    """Return a number whose bit k says whether u[i + k] > limit, k = 0 .. 7 (see rules.fires)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, membranes = _load(context, builder, signature.args[0], args[0], args[1])
        above = builder.fcmp_ordered(">", membranes, _spread(builder, args[2]))
        return builder.zext(builder.bitcast(above, ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(u, types.uintp, types.float32), codegen


@_compiled_intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the position of the lowest 1 in a number other than 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen
