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

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

# Types of the flat arrays that kernels take.
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Flags = NDArray[np.uint8]
# Weights are float32, or the bits of float16, which Numba does not know on a CPU: half the bytes
# of a row, widened when they are added.
Weights = NDArray[np.float32] | NDArray[np.uint16]

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


# What the compiler does not find by itself, in vectors of float32: eight are a register of AVX2,
# and 64 are eight of its sixteen. With plain loops it tests before every short row whether the row
# overlaps the membranes that it is added to, writes membranes and reads them again for every few
# rows of a list, and finds spikes with a branch for each neuron.
LANES = 8
BLOCK = 64
LINE = 16  # float32 in a cache line


def widens_float16() -> bool:
    """Tell whether this processor has an instruction for it (x86: F16C; every ARM of 64 bits)."""
    features = llvmlite.binding.get_host_cpu_features()
    return bool(features.get("f16c") or features.get("neon"))


def new_array(size: int, dtype: Any) -> NDArray[Any]:
    """Allocate an array that begins with a cache line: its contents are whatever lies there.

    Else every second vector of eight lies across two lines. Rows of 128 weights in a cache: 16.8
    billion SOP/s aligned, 12.5 at an offset of 16 bytes, as NumPy allocates.
    """
    item = np.dtype(dtype).itemsize
    line = LINE * 4
    memory = np.empty(size * item + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size * item].view(dtype)


def _vector(lanes: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), lanes)


def _all(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector with the same number in every lane."""
    index = ir.IntType(32)
    one = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(one, value, index(0))
    zeros = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
    return builder.shuffle_vector(one, one, zeros)


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _load(builder: Any, data: Any, index: Any, lanes: int) -> tuple[Any, Any]:
    """Return the address of neighbours in an array, and their values."""
    address = builder.bitcast(builder.gep(data, [index]), _vector(lanes).as_pointer())
    return address, builder.load(address, align=4)


def _load_weights(builder: Any, kind: Any, data: Any, index: Any, lanes: int) -> Any:
    """Return neighbours in an array of weights as float32 (see `Weights`)."""
    if kind.dtype == types.float32:
        return _load(builder, data, index, lanes)[1]
    bits = ir.VectorType(ir.IntType(16), lanes).as_pointer()
    halves = builder.load(builder.bitcast(builder.gep(data, [index]), bits), align=2)
    return builder.fpext(
        builder.bitcast(halves, ir.VectorType(ir.HalfType(), lanes)), _vector(lanes)
    )


def _prefetch(builder: Any, data: Any, index: Any) -> None:
    """Ask for the cache line of an element that will be read soon."""
    number, address = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
    insert: Compiled = cgutils.get_or_insert_function
    function = insert(builder.module, kind, "llvm.prefetch.p0i8")
    for_reading, keep, data_cache = number(0), number(3), number(1)
    where = builder.bitcast(builder.gep(data, [index]), address)
    builder.call(function, [where, for_reading, keep, data_cache])


@_compiled_intrinsic
def add_lanes(typingctx: Any, u: Any, i: Any, w: Any, j: Any) -> Any:
    """Add w[j : j + 8] to u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, w = (_data(context, builder, signature.args[k], args[k]) for k in (0, 2))
        to, membranes = _load(builder, u, args[1], LANES)
        weights = _load_weights(builder, signature.args[2], w, args[3], LANES)
        builder.store(builder.fadd(membranes, weights), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, w, types.uintp), codegen


@_compiled_intrinsic
def weight_at(typingctx: Any, w: Any, i: Any) -> Any:
    """Return w[i] as float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = _data(context, builder, signature.args[0], args[0])
        weight = _load_weights(builder, signature.args[0], w, args[1], 1)
        return builder.extract_element(weight, ir.IntType(32)(0))

    return types.float32(w, types.uintp), codegen


def _row_adder(lanes: int) -> Compiled:
    """Make what brings some neighbouring membranes up to date, which stay in registers meanwhile.

    The loop over rows is written here in the compiler's own terms, since Numba knows no variable
    that is a vector. For each row it also fetches the part from `ahead` on, which is added next.
    """

    def add(
        typingctx: Any, u: Any, i: Any, power: Any, w: Any, rows: Any, first: Any, stop: Any,
        c: Any, ahead: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, w, rows = (_data(context, builder, signature.args[k], args[k]) for k in (0, 3, 4))
            _, at, power, _, _, first, stop, column, ahead = args
            to, membranes = _load(builder, u, at, lanes)
            decayed = builder.fmul(membranes, _all(builder, power, lanes))
            before = builder.block
            loop, after = builder.append_basic_block("row"), builder.append_basic_block("added")
            builder.cbranch(builder.icmp_unsigned("<", first, stop), loop, after)
            builder.position_at_end(loop)
            slot, partial = builder.phi(first.type), builder.phi(decayed.type)
            row = builder.zext(builder.load(builder.gep(rows, [slot])), column.type)
            kind = signature.args[3]
            weights = _load_weights(builder, kind, w, builder.add(row, column), lanes)
            for k in range(0, lanes, LINE * 32 // kind.dtype.bitwidth):
                _prefetch(builder, w, builder.add(builder.add(row, ahead), row.type(k)))
            added, following = builder.fadd(partial, weights), builder.add(slot, slot.type(1))
            for phi, at_first, then in ((slot, first, following), (partial, decayed, added)):
                phi.add_incoming(at_first, before)
                phi.add_incoming(then, loop)
            builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, after)
            builder.position_at_end(after)
            result = builder.phi(decayed.type)
            result.add_incoming(decayed, before)
            result.add_incoming(added, loop)
            builder.store(result, to, align=4)
            return context.get_dummy_value()

        index = types.uintp
        return types.void(u, index, types.float32, w, rows, *[index] * 4), codegen

    add.__doc__ = (
        f"u[i : i + {lanes}] *= power, then add w[row + c : row + c + {lanes}] for each row in "
        f"rows[first:stop], strictly in this order."
    )
    return _compiled_intrinsic(add)


add_rows_to_lanes, add_rows_to_block = _row_adder(LANES), _row_adder(BLOCK)


def _comparison(lanes: int) -> Compiled:
    def above(typingctx: Any, u: Any, i: Any, limit: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = _data(context, builder, signature.args[0], args[0])
            _, membranes = _load(builder, data, args[1], lanes)
            crossed = builder.fcmp_ordered(">", membranes, _all(builder, args[2], lanes))
            bits = builder.bitcast(crossed, ir.IntType(lanes))
            return bits if lanes == 64 else builder.zext(bits, ir.IntType(64))

        return types.uint64(u, types.uintp, types.float32), codegen

    above.__doc__ = f"Return bits that say whether u[i + k] > limit, k < {lanes} (see rules.fires)."
    return _compiled_intrinsic(above)


above_in_lanes, above_in_block = _comparison(LANES), _comparison(BLOCK)


@_compiled_intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the position of the lowest 1 in a number other than 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@_compiled_intrinsic
def borrowed(context, array):  # type: ignore[no-untyped-def]
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
