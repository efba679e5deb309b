"""How Numba compiles everything in the engine: every jit flag lives here and nowhere else.

Kernels are cached on disk (`cache=True`), so only the first run after an installation or an edit
compiles; `cache.py` says where they are.

Floating-point flags stay strict. `fastmath` would let the compiler reorder additions, and then
neither the reference nor a second thread count would give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import event, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .cache import kernel_folder, warn_of_kernels

# Types of the flat arrays that kernels take.
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Flags = NDArray[np.uint8]
Words = NDArray[np.uint64]  # of 64 bits each
# Weights are float32, or the bits of float16, which Numba does not know on a CPU, or int8: half the
# bytes of a row or a quarter, widened when they are added.
Weights = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.int8]

# A compiled function takes arrays of exactly one type each and returns what Numba infers, which
# a type checker cannot follow.
Compiled = Callable[..., Any]


def kernel(function: Compiled) -> Compiled:
    """Compile a loop over flat arrays for one CPU thread, to be called from Python.

    It can allocate nothing, so nobody counts the references of its arrays: tuples of arrays are
    handed on for nothing, and a call from Python with five arrays took 0.16 microseconds less.
    """
    return _compiled(function)


def allocating_kernel(function: Compiled) -> Compiled:
    """Compile a loop for one CPU thread that makes arrays of its own."""
    return _compiled(function, _nrt=True)


def kernel_part(function: Compiled) -> Compiled:
    """Compile what kernels call, and only they.

    Without what it takes to call one from Python a cold start took a fifth less.
    """
    return _compiled(function, no_cpython_wrapper=True)


def kernel_glue(function: Compiled) -> Compiled:
    """Compile a part of a kernel together with it, that holds others together and does little.

    Each compiled function is optimised with all that it calls, and again with whatever calls it:
    a chain of six took twice as long to compile as two.
    """
    return _compiled(function, inline="always")


def short_kernel(function: Compiled) -> Compiled:
    """Compile a loop of microseconds, which keeps Python's lock.

    Each time that a thread gives the lock away it may wait for it: with loops of 300 microseconds
    and four of these gaps in each, two threads did 1.6 times what one does, and 1.95 with one gap.
    """
    return _compiled(function, nogil=False)


def inner_kernel(function: Compiled) -> Compiled:
    """Compile a part of a kernel into it, where a call costs: an array is seven words to hand over.

    In turn with calls, six rounds on two N-MNIST networks: 9 to 15 % faster in five of them.
    """
    return _compiled(function, no_cpython_wrapper=True, forceinline=True)


def _compiled(function: Compiled, **more: Any) -> Compiled:
    # `forceinline` is said in any case, since Numba hands it down from a part to what that calls:
    # a kernel of asynchronous time was ten times as long.
    options = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True, "forceinline": False} | more
    return _cached(
        function,
        lambda cache: numba.njit(cache=cache, error_model="numpy", **options)(function),
    )


def _cached(function: Compiled, compile_with: Callable[[bool], Compiled]) -> Compiled:
    """Compile with a cache on disk: where NUMBA_CACHE_DIR says, else in `kernel_folder`.

    Numba raises `RuntimeError` where it can write to no folder.
    """
    settings: Any = numba.config
    given = settings.CACHE_DIR
    settings.CACHE_DIR = given or kernel_folder(function.__module__.partition(".")[0])
    try:
        return compile_with(bool(settings.CACHE_DIR))
    except RuntimeError:
        warn_of_kernels("each process compiles them")
        return compile_with(False)
    finally:
        settings.CACHE_DIR = given  # others in this process keep theirs where they did


def rule(function: Compiled) -> Compiled:
    """Compile a scalar formula, inlined into every kernel that calls it, of a CPU or a GPU."""
    return numba.njit(inline="always", error_model="numpy")(function)


@rule
def offset(number: int) -> int:
    """Return an index that is not negative, so that the compiler need not ask.

    Else every access to an array asks whether it counts from the end: three instructions.
    """
    return number & 0xFFFFFFFFFFFF


def _product(typing: Any, a: Any, b: Any) -> Any:
    """Multiply two float32, and round, also where an addition follows.

    A GPU's compiler would make one instruction of both, which rounds once: other spikes.
    """
    name, single = "llvm.nvvm.mul.rn.f", ir.FloatType()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        module = builder.module
        if "nvptx" not in module.triple:
            return builder.fmul(*args)
        kind = ir.FunctionType(single, [single, single])
        return builder.call(module.globals.get(name) or ir.Function(module, kind, name), args)

    return types.float32(types.float32, types.float32), codegen


product: Compiled = intrinsic(_product)


def _address(typing: Any, values: Any, at: Any) -> Any:
    """Return where a number of an array in a GPU's global memory is, for `four` and `one`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = ir.IntType(64)
        return builder.ptrtoint(builder.gep(array.data, [builder.zext(args[1], word)]), word)

    return types.uint64(values, at), codegen


def _loader(lanes: int) -> Compiled:
    """Make what reads neighbours in an array with one load; float16 are widened.

    From an address that was found before: the compiler added up 64 bits for each load.
    """

    def load(typing: Any, values: Any, base: Any, at: Any) -> Any:
        halves, kind = values.dtype == types.float16, ir.IntType(32)
        if values.dtype in (types.float16, types.float32):
            kind = ir.HalfType() if halves else ir.FloatType()

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word, size = ir.IntType(64), 2 if halves else 4
            behind = builder.mul(builder.zext(args[2], word), word(size))
            place = builder.add(args[1], behind)
            # 1 is global memory; a load that has to find out which memory takes longer.
            vector = builder.inttoptr(place, ir.PointerType(ir.VectorType(kind, lanes), 1))
            found = builder.load(vector, align=lanes * size)
            numbers = [builder.extract_element(found, ir.IntType(32)(n)) for n in range(lanes)]
            if halves:
                numbers = [builder.fpext(number, ir.FloatType()) for number in numbers]
            if lanes == 1:
                return numbers[0]
            return context.make_tuple(builder, signature.return_type, numbers)

        returned = types.float32 if halves else values.dtype
        several = types.UniTuple(returned, lanes) if lanes > 1 else returned
        return several(values, base, at), codegen

    load.__doc__ = f"Return the {lanes} numbers that are `at` behind an `address` in an array."
    return load


SHARED = 3  # the number of that memory


def _address_shared(typing: Any, values: Any, at: Any) -> Any:
    """Return where a number of an array in a block's shared memory is, in 32 bits.

    For `four_shared` and `put_shared`: where the memory begins, the compiler asked each time.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [builder.zext(args[1], ir.IntType(64))])
        there = ir.PointerType(place.type.pointee, SHARED)
        return builder.ptrtoint(builder.addrspacecast(place, there), ir.IntType(32))

    return types.uint32(values, at), codegen


def _four_shared(typing: Any, at: Any) -> Any:
    """Return four neighbours of 32 bits at an `address_shared`, with one load."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.PointerType(ir.VectorType(ir.IntType(32), 4), SHARED)
        found = builder.load(builder.inttoptr(args[0], vector), align=16)
        numbers = [builder.extract_element(found, ir.IntType(32)(n)) for n in range(4)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(types.uint32, 4)(at), codegen


def _put_shared(typing: Any, at: Any, value: Any) -> Any:
    """Store a number of 32 bits at an `address_shared`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.PointerType(ir.IntType(32), SHARED)
        builder.store(args[1], builder.inttoptr(args[0], pointer), align=4)
        return context.get_dummy_value()

    return types.void(at, value), codegen


address: Compiled = intrinsic(_address)
one, four = (intrinsic(_loader(lanes)) for lanes in (1, 4))
address_shared: Compiled = intrinsic(_address_shared)
four_shared: Compiled = intrinsic(_four_shared)
put_shared: Compiled = intrinsic(_put_shared)


def compiled_for(function: Compiled, *arguments: object) -> Compiled:
    """Return a kernel's machine code for arguments of exactly these types, to be called as it is.

    It skips finding out the types of its arguments, and would misread any others: a call with five
    arrays took 0.64 microseconds instead of 1.2.
    """
    compiled: Compiled = function.compile(  # type: ignore[attr-defined]
        tuple(map(numba.typeof, arguments))
    )
    return compiled


class _Compiling(event.Listener):
    """Calls a function when the first kernel is compiled, and not again."""

    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice: Callable[[], None] | None = notice

    def on_start(self, event: event.Event) -> None:
        notice, self._notice = self._notice, None
        if notice is not None:
            notice()

    def on_end(self, event: event.Event) -> None:
        pass


def call_when_compiling(notice: Callable[[], None]) -> None:
    """Call `notice` once when a kernel is compiled: no cache on disk has it yet."""
    event.register("numba:compile", _Compiling(notice))


def device_kernel(function: Compiled) -> Any:
    """Compile what runs on a GPU, thread by thread; called from Python with a grid."""
    from numba import cuda

    return _cached(function, lambda cache: cuda.jit(cache=cache)(function))


def device_part(function: Compiled) -> Compiled:
    """Compile a part of a `device_kernel` into it."""
    from numba import cuda

    options = {"forceinline": True}  # unknown to Numba's own types
    compiled: Compiled = cuda.jit(device=True, **options)(function)
    return compiled
