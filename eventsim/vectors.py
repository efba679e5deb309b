"""What the compiler does not find by itself: vectors of numbers, bits, cache lines.

Written in the compiler's own terms, for the loops of `clocked/` and `asynchronous/` to call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import types
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
    address = builder.bitcast(builder.gep(data, [index]), _vector(lanes).as_pointer())
    return address, builder.load(address, align=4)


def as_bits(builder: Any, compared: Any, lanes: int) -> Any:
    """Return a comparison of lanes as the bits of one number."""
    bits = builder.bitcast(compared, ir.IntType(lanes))
    return bits if lanes == 64 else builder.zext(bits, ir.IntType(64))


def sum_of_rows(builder: Any, first: Any, stop: Any, start: Any, row: Callable[[Any], Any]) -> Any:
    """Return `start` and what `row(slot)` gives for each slot from first on, in this order.

    Written in the compiler's own terms, since Numba knows no variable that is a vector.
    """
    before = builder.block
    loop, after = builder.append_basic_block("row"), builder.append_basic_block("added")
    builder.cbranch(builder.icmp_unsigned("<", first, stop), loop, after)
    builder.position_at_end(loop)
    slot, partial = builder.phi(first.type), builder.phi(start.type)
    added, following = builder.fadd(partial, row(slot)), builder.add(slot, slot.type(1))
    for phi, at_first, then in ((slot, first, following), (partial, start, added)):
        phi.add_incoming(at_first, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, after)
    builder.position_at_end(after)
    result = builder.phi(start.type)
    result.add_incoming(start, before)
    result.add_incoming(added, loop)
    return result


def _load_weights(builder: Any, kind: Any, data: Any, index: Any, lanes: int) -> Any:
    """Return neighbours in an array of weights as float32 (see `Weights`)."""
    if kind.dtype == types.float32:
        return load_lanes(builder, data, index, lanes)[1]
    if kind.dtype == types.int8:
        whole = ir.VectorType(ir.IntType(8), lanes).as_pointer()
        found = builder.load(builder.bitcast(builder.gep(data, [index]), whole), align=1)
        return builder.sitofp(found, _vector(lanes))
    bits = ir.VectorType(ir.IntType(16), lanes).as_pointer()
    halves = builder.load(builder.bitcast(builder.gep(data, [index]), bits), align=2)
    return builder.fpext(
        builder.bitcast(halves, ir.VectorType(ir.HalfType(), lanes)), _vector(lanes)
    )


@compiled_intrinsic
def add_lanes(typingctx: Any, u: Any, i: Any, w: Any, j: Any) -> Any:
    """Add w[j : j + 8] to u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, w = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2))
        to, membranes = load_lanes(builder, u, args[1], LANES)
        weights = _load_weights(builder, signature.args[2], w, args[3], LANES)
        builder.store(builder.fadd(membranes, weights), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, w, types.uintp), codegen


@compiled_intrinsic
def add_scaled_lanes(typingctx: Any, u: Any, i: Any, w: Any, j: Any, value: Any) -> Any:
    """Add w[j : j + 8], times a value, to u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, w = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2))
        to, membranes = load_lanes(builder, u, args[1], LANES)
        weights = _load_weights(builder, signature.args[2], w, args[3], LANES)
        scaled = builder.fmul(weights, spread(builder, args[4], LANES))
        builder.store(builder.fadd(membranes, scaled), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, w, types.uintp, types.float32), codegen


@compiled_intrinsic
def advance_lanes(
    typingctx: Any, u: Any, i: Any, power: Any, b: Any, k: Any, gain: Any, w: Any, j: Any
) -> Any:
    """Let u[i : i + 8] be u[i : i + 8] power + b[k : k + 8] gain + w[j : j + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, b, w = (data_of(context, builder, signature.args[n], args[n]) for n in (0, 3, 6))
        to, membranes = load_lanes(builder, u, args[1], LANES)
        _, biases = load_lanes(builder, b, args[4], LANES)
        _, weights = load_lanes(builder, w, args[7], LANES)
        kept = builder.fmul(membranes, spread(builder, args[2], LANES))
        moved = builder.fadd(kept, builder.fmul(biases, spread(builder, args[5], LANES)))
        builder.store(builder.fadd(moved, weights), to, align=4)
        return context.get_dummy_value()

    f4, index = types.float32, types.uintp
    return types.void(u, index, f4, b, index, f4, w, index), codegen


@compiled_intrinsic
def weight_at(typingctx: Any, w: Any, i: Any) -> Any:
    """Return w[i] as float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = data_of(context, builder, signature.args[0], args[0])
        weight = _load_weights(builder, signature.args[0], w, args[1], 1)
        return builder.extract_element(weight, ir.IntType(32)(0))

    return types.float32(w, types.uintp), codegen


def _gatherer(lanes: int, graded: bool = False) -> Compiled:
    """Make what brings a block of membranes up to date, compares and resets it.

    For weights that lie block by block. The membranes stay in registers. Rows are multiplied by a
    value each where they are `graded`; `values` is not read else.
    """

    def gather(
        typingctx: Any, u: Any, i: Any, power: Any, w: Any, base: Any, rows: Any, values: Any,
        first: Any, stop: Any, limit: Any, subtract: Any, level: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, w, rows = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 3, 5))
            _, at, power, _, base, _, _, first, stop, limit, subtract, level = args
            to, membranes = load_lanes(builder, u, at, lanes)
            decayed = builder.fmul(membranes, spread(builder, power, lanes))

            def row(slot: Any) -> Any:
                number = builder.zext(builder.load(builder.gep(rows, [slot])), base.type)
                element = builder.add(base, builder.mul(number, base.type(lanes)))
                weights = _load_weights(builder, signature.args[3], w, element, lanes)
                if graded:
                    values = data_of(context, builder, signature.args[6], args[6])
                    value = builder.load(builder.gep(values, [slot]))
                    weights = builder.fmul(weights, spread(builder, value, lanes))
                return weights

            result = sum_of_rows(builder, first, stop, decayed, row)
            crossed = builder.fcmp_ordered(">", result, spread(builder, limit, lanes))
            levels = spread(builder, level, lanes)
            reset = builder.select(subtract, builder.fsub(result, levels), levels)
            builder.store(builder.select(crossed, reset, result), to, align=4)
            return as_bits(builder, crossed, lanes)

        index, single, flag = types.uintp, types.float32, types.boolean
        return types.uint64(
            u, index, single, w, index, rows, values, index, index, single, flag, single
        ), codegen

    gather.__doc__ = (
        f"Multiply u[i : i + {lanes}] by `power` and add to it, for each row in rows[first:stop], "
        f"the {lanes} weights at base + {lanes} row"
        + (", times its value" if graded else "")
        + ", strictly in this order. Those above `limit` "
        "are set to `level`, or with `subtract` get it taken away; returns bits that say which."
    )
    return compiled_intrinsic(gather)


gather_8, gather_16, gather_32, gather_64 = (_gatherer(n) for n in (8, 16, 32, 64))
gather_graded_8, gather_graded_16, gather_graded_32, gather_graded_64 = (
    _gatherer(n, graded=True) for n in (8, 16, 32, 64)
)


def _receiver(lanes: int) -> Compiled:
    """Make what brings all membranes of a layer up to date, block by block, and compares them.

    All loops are written here: with that over blocks in Numba, whose variables filled the
    registers, an event of 2312-512-10 in asynchronous time took 164 ns, and 140 so.
    """

    def receive(
        typingctx: Any, u: Any, i: Any, power: Any, biased: Any, b: Any, k: Any, gain: Any, w: Any,
        c: Any, rows: Any, first: Any, stop: Any, limit: Any, to: Any, blocks: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, b, w, rows = (
                data_of(context, builder, signature.args[n], args[n]) for n in (0, 4, 7, 9)
            )
            _, at, power, biased, _, bias, gain, _, column, _, first, stop, limit, to, blocks = args
            number = at.type
            start = builder.block
            block, done = builder.append_basic_block("block"), builder.append_basic_block("done")
            builder.branch(block)
            builder.position_at_end(block)
            which, crossed = builder.phi(number), builder.phi(number)
            c = builder.mul(which, number(lanes))
            address, membranes = load_lanes(builder, u, builder.add(at, c), lanes)
            decayed = builder.fmul(membranes, spread(builder, power, lanes))
            with builder.if_then(biased):
                _, biases = load_lanes(builder, b, builder.add(bias, c), lanes)
                raised = builder.fadd(decayed, builder.fmul(biases, spread(builder, gain, lanes)))
                raising = builder.block
            moved = builder.phi(decayed.type)
            moved.add_incoming(decayed, block)
            moved.add_incoming(raised, raising)

            def row(slot: Any) -> Any:
                where = builder.add(builder.load(builder.gep(rows, [slot])), builder.add(column, c))
                return _load_weights(builder, signature.args[7], w, where, lanes)

            result = sum_of_rows(builder, first, stop, moved, row)
            added = builder.block
            builder.store(result, address, align=4)
            over = builder.fcmp_ordered(">", result, spread(builder, limit, lanes))
            bits = as_bits(builder, over, lanes)
            builder.store(bits, builder.gep(rows, [builder.add(to, which)]))
            some = builder.zext(builder.icmp_unsigned("!=", bits, number(0)), number)
            found = builder.or_(crossed, builder.shl(some, which))
            next_block = builder.add(which, number(1))
            for phi, then in ((which, next_block), (crossed, found)):
                phi.add_incoming(number(0), start)
                phi.add_incoming(then, added)
            builder.cbranch(builder.icmp_unsigned("<", next_block, blocks), block, done)
            builder.position_at_end(done)
            return found

        index, single = types.uintp, types.float32
        return types.uint64(
            u, index, single, types.boolean, b, index, single, w, index, rows, index, index, single,
            index, index,
        ), codegen  # fmt: skip

    receive.__doc__ = (
        f"Let each u[i + n] be u[i + n] power, and b[k + n] gain more where `biased`, and add "
        f"w[row + c + n] for each row in rows[first:stop], strictly in this order. Those above "
        f"`limit` are the bits of rows[to : to + blocks], {lanes} each; returns bits that say "
        f"which of these are not 0. For n < {lanes} `blocks`, which are 1 to 64."
    )
    return compiled_intrinsic(receive)


receive_16, receive_64 = map(_receiver, (16, 64))


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


@compiled_intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the position of the lowest 1 in a number other than 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen
