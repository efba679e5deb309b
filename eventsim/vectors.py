"""What the compiler does not find by itself: vectors of numbers, bits, cache lines.

Written in the compiler's own terms, for the loops of `clocked/` and `asynchronous/` to call.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numpy.typing import NDArray

from .jit import Compiled


def compiled_intrinsic(function: Compiled) -> Compiled:
    """Make code for the compiler of what `function` returns: a signature, and how to build it."""
    made: Compiled = intrinsic(function)
    return made


# In float32: eight are a register of AVX2, and 64 are eight of its sixteen. With plain loops the
# compiler tests before every short row whether the row overlaps the membranes that it is added to,
# writes membranes and reads them again for every few rows of a list, and finds spikes with a branch
# for each neuron.
LANES = 8
BLOCK = 64
WIDTHS = (BLOCK, 32, 16)  # of what the engine gathers at a time
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


def vector_of(lanes: int) -> ir.VectorType:
    """Return the type of so many float32."""
    return ir.VectorType(ir.FloatType(), lanes)


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector with the same number in every lane."""
    index = ir.IntType(32)
    one = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(one, value, index(0))
    zeros = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
    return builder.shuffle_vector(one, one, zeros)


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the address of an array's first element."""
    return context.make_array(kind)(context, builder, array).data


def load_lanes(builder: Any, data: Any, index: Any, lanes: int) -> tuple[Any, Any]:
    """Return the address of neighbours in an array, and their values."""
    address = builder.bitcast(builder.gep(data, [index]), vector_of(lanes).as_pointer())
    return address, builder.load(address, align=4)


def as_bits(builder: Any, compared: Any, lanes: int) -> Any:
    """Return a comparison of lanes as the bits of one number."""
    bits = builder.bitcast(compared, ir.IntType(lanes))
    return bits if lanes == 64 else builder.zext(bits, ir.IntType(64))


@compiled_intrinsic
def scale_lanes(typingctx: Any, u: Any, i: Any, power: Any) -> Any:
    """Multiply u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = data_of(context, builder, signature.args[0], args[0])
        to, membranes = load_lanes(builder, data, args[1], LANES)
        builder.store(builder.fmul(membranes, spread(builder, args[2], LANES)), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, types.float32), codegen


@compiled_intrinsic
def shift_8(typingctx: Any, to: Any, i: Any, values: Any, j: Any, constant: Any) -> Any:
    """Let to[i : i + 8] be values[j : j + 8] plus a constant; all int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, values = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2))
        kind = ir.VectorType(ir.IntType(32), LANES).as_pointer()
        found = builder.load(builder.bitcast(builder.gep(values, [args[3]]), kind), align=4)
        shifted = builder.add(found, spread(builder, args[4], LANES))
        builder.store(shifted, builder.bitcast(builder.gep(to, [args[1]]), kind), align=4)
        return context.get_dummy_value()

    return types.void(to, types.uintp, values, types.uintp, types.int32), codegen


def _sorter(lanes: int) -> Compiled:
    """Make what sorts numbers without a branch: each goes where the count of those below it says.

    In Numba's terms, with a loop for each 16 that are compared, this took 13.6 us for an N-MNIST
    recording at 1 ms, and 8.5 so; a network of comparisons and swaps took as long.
    """

    def sort(typingctx: Any, numbers: Any, i: Any, count: Any, end: Any, values: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers, values = (
                data_of(context, builder, signature.args[k], args[k]) for k in (0, 4)
            )
            _, first, count, end, _ = args
            index, kind = count.type, ir.VectorType(ir.IntType(32), lanes).as_pointer()
            unsorted, to = builder.gep(numbers, [first]), builder.gep(numbers, [end])
            compared = builder.load(builder.bitcast(unsorted, kind), align=4)
            used = builder.lshr(index(-1), builder.sub(index(64), count))
            ones, _ = load_lanes(builder, values, end, lanes)
            builder.store(spread(builder, ir.FloatType()(1), lanes), ones, align=4)
            before = builder.block
            loop, after = builder.append_basic_block("number"), builder.append_basic_block("sorted")
            builder.branch(loop)
            builder.position_at_end(loop)
            slot, pairs = builder.phi(index), builder.phi(index)
            number = builder.load(builder.gep(unsorted, [slot]))
            below = builder.icmp_signed("<", compared, spread(builder, number, lanes))
            rank = builder.ctpop(builder.and_(as_bits(builder, below, lanes), used))
            builder.store(number, builder.gep(to, [rank]))
            following, ranked = builder.add(slot, index(1)), builder.add(pairs, rank)
            for phi, then in ((slot, following), (pairs, ranked)):
                phi.add_incoming(index(0), before)
                phi.add_incoming(then, loop)
            builder.cbranch(builder.icmp_unsigned("<", following, count), loop, after)
            builder.position_at_end(after)
            return ranked

        index = types.uintp
        return types.uintp(numbers, index, index, index, values), codegen

    sort.__doc__ = (
        f"Put the int32 numbers[i : i + count], of 1 to {lanes}, at numbers[end:] in ascending "
        f"order, and ones at values[end:], of which {lanes} are written; returns how many pairs "
        f"of different numbers there are. Where two are equal, the order is incomplete. "
        f"{lanes} numbers are read, and none that is read may lie where they go."
    )
    return compiled_intrinsic(sort)


sort_16, sort_32, sort_64 = map(_sorter, (16, 32, 64))


def _comparison(lanes: int) -> Compiled:
    def above(typingctx: Any, u: Any, i: Any, limit: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = data_of(context, builder, signature.args[0], args[0])
            _, membranes = load_lanes(builder, data, args[1], lanes)
            crossed = builder.fcmp_ordered(">", membranes, spread(builder, args[2], lanes))
            return as_bits(builder, crossed, lanes)

        return types.uint64(u, types.uintp, types.float32), codegen

    above.__doc__ = f"Return bits that say whether u[i + k] > limit, k < {lanes} (see rules.fires)."
    return compiled_intrinsic(above)


above_in_lanes, above_in_block = _comparison(LANES), _comparison(BLOCK)


def _firing(lanes: int) -> Compiled:
    """Make what compares and resets neighbours, and lists those that fired.

    Without a branch: how many there are is hard to predict.
    """

    def fire(
        typingctx: Any, u: Any, i: Any, used: Any, limit: Any, subtract: Any, level: Any,
        spikes: Any, values: Any, end: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, spikes = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 6))
            _, at, used, limit, subtract, level, _, _, end = args
            number, flag = ir.IntType(32), ir.IntType(1)
            to, membranes = load_lanes(builder, u, at, lanes)
            above = builder.fcmp_ordered(">", membranes, spread(builder, limit, lanes))
            own = builder.bitcast(
                builder.trunc(used, ir.IntType(lanes)), ir.VectorType(flag, lanes)
            )
            crossed, new = builder.and_(above, own), spread(builder, level, lanes)
            reset = builder.select(subtract, builder.fsub(membranes, new), new)
            builder.store(builder.select(crossed, reset, membranes), to, align=4)
            kind = ir.VectorType(number, lanes)
            first = spread(builder, builder.trunc(at, number), lanes)
            neurons = builder.add(first, ir.Constant(kind, list(range(lanes))))

            def append(array: Any, each: Any, name: str) -> None:
                to_list = builder.bitcast(builder.gep(array, [end]), each.type.as_pointer())
                compress = get_or_insert_function(  # type: ignore[no-untyped-call]
                    builder.module,
                    ir.FunctionType(each.type, [each.type, crossed.type, each.type]),
                    f"llvm.experimental.vector.compress.v{lanes}{name}",
                )
                none = ir.Constant(each.type, ir.Undefined)
                builder.store(builder.call(compress, [each, crossed, none]), to_list, align=4)

            append(spikes, neurons, "i32")
            if signature.args[7] != types.none:
                append(data_of(context, builder, signature.args[7], args[7]), membranes, "f32")
            return builder.ctpop(as_bits(builder, crossed, lanes))

        index, single = types.uintp, types.float32
        return types.uint64(
            u, index, types.uint64, single, types.boolean, single, spikes, values, index
        ), codegen  # fmt: skip

    fire.__doc__ = (
        f"Set those of u[i : i + {lanes}] that are above `limit`, and `used` by its bits, to "
        f"`level`, or with `subtract` take it away; append which to spikes[:end], and what they "
        f"were to values[:end], unless it is None; {lanes} places are written to. Returns how many."
    )
    return compiled_intrinsic(fire)


fire_8, fire_16 = _firing(LANES), _firing(LINE)


@compiled_intrinsic
def take_flags(typingctx: Any, flags: Any, i: Any, count: Any) -> Any:
    """Return bits that say which of flags[i : i + count], 1 to 64, are not 0, and clear these.

    64 are read and written.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = data_of(context, builder, signature.args[0], args[0])
        kind, word = ir.VectorType(ir.IntType(8), 64), ir.IntType(64)
        to = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        found, none = builder.load(to, align=1), ir.Constant(kind, [0] * 64)
        used = builder.lshr(word(-1), builder.sub(word(64), args[2]))
        own = builder.bitcast(used, ir.VectorType(ir.IntType(1), 64))
        builder.store(builder.select(own, none, found), to, align=1)
        return builder.and_(as_bits(builder, builder.icmp_unsigned("!=", found, none), 64), used)

    return types.uint64(flags, types.uintp, types.uintp), codegen


@compiled_intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the position of the lowest 1 in a number; 64 in 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@compiled_intrinsic
def number_of_bits(typingctx: Any, bits: Any) -> Any:
    """Return how many bits of a number are 1."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen
