"""Rows of weights for neurons whose membranes are no plain sums, those in fixed point first of all.

Rows of int8 are added as integers of 16 bits: half the instructions of float32, from a quarter of
the bytes. Called by `clocked/cpu/others.py`; `vectors.py` has what these are made of.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types

from .network.neurons.fixed import INPUT_LIMIT, MOST, OVERFLOWED, SHIFT, UNITY
from .rows import load_weights, one_of, sum_of_rows
from .vectors import (
    WIDTHS,
    as_bits,
    compiled_intrinsic,
    data_of,
    load_lanes,
    spread,
    vector_of,
)

# So many int8 have a sum of 16 bits: 256 times -128 is -2^15.
MOST_ROWS = 256


def _sum(
    builder: Any, kind: Any, w: Any, base: Any, rows: Any, first: Any, stop: Any, lanes: int
) -> Any:
    """Return the sum of the weights at base + lanes row for each row in rows[first:stop]."""

    def element(slot: Any) -> Any:
        number = builder.zext(builder.load(builder.gep(rows, [slot])), base.type)
        return builder.add(base, builder.mul(number, base.type(lanes)))

    if kind.dtype != types.int8:
        return sum_of_rows(
            builder, first, stop, ir.Constant(vector_of(lanes), None),
            lambda slot: load_weights(builder, kind, w, element(slot), lanes),
        )  # fmt: skip

    def whole_row(slot: Any) -> Any:
        packed = ir.VectorType(ir.IntType(8), lanes).as_pointer()
        row = builder.load(builder.bitcast(builder.gep(w, [element(slot)]), packed), align=1)
        return builder.sext(row, ir.VectorType(ir.IntType(16), lanes))

    return builder.sitofp(_whole_sum(builder, first, stop, lanes, whole_row), vector_of(lanes))


def _whole_sum(builder: Any, first: Any, stop: Any, lanes: int, row: Any) -> Any:
    """Return the sum of `row(slot)`, int16, as int32: of `MOST_ROWS` at a time in 16 bits."""
    wide = ir.VectorType(ir.IntType(32), lanes)
    before = builder.block
    some, after = builder.append_basic_block("some"), builder.append_basic_block("summed")
    builder.branch(some)
    builder.position_at_end(some)
    slot, total = builder.phi(first.type), builder.phi(wide)
    beyond = builder.add(slot, slot.type(MOST_ROWS))
    end = builder.select(builder.icmp_unsigned("<", beyond, stop), beyond, stop)
    nothing = ir.Constant(ir.VectorType(ir.IntType(16), lanes), None)
    partial = sum_of_rows(builder, slot, end, nothing, row, builder.add)
    added = builder.add(total, builder.sext(partial, wide))
    for phi, at_first, then in ((slot, first, end), (total, ir.Constant(wide, None), added)):
        phi.add_incoming(at_first, before)
        phi.add_incoming(then, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", end, stop), some, after)
    builder.position_at_end(after)
    return added


@compiled_intrinsic
def sum_rows(
    typingctx: Any, width: Any, x: Any, i: Any, w: Any, base: Any, rows: Any, first: Any, stop: Any
) -> Any:
    """Let x[i : i + width] be the sum of the weights at base + width row for each row in
    rows[first:stop]. `width` is one of `WIDTHS`.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, w, rows = (data_of(context, builder, signature.args[k], args[k]) for k in (1, 3, 5))
        width, _, at, _, base, _, first, stop = args

        def summed(lanes: int) -> Any:
            result = _sum(builder, signature.args[3], w, base, rows, first, stop, lanes)
            builder.store(result, load_lanes(builder, x, at, lanes)[0], align=4)
            return width

        one_of(builder, width, {lanes: partial(summed, lanes) for lanes in WIDTHS})
        return context.get_dummy_value()

    index = types.uintp
    return types.void(index, x, index, w, index, rows, index, index), codegen


@compiled_intrinsic
def advance(
    typingctx: Any, width: Any, u: Any, seconds: Any, i: Any, w: Any, base: Any, rows: Any,
    first: Any, stop: Any, biases: Any, j: Any, decay: Any, scale: Any, threshold: Any,
) -> Any:  # fmt: skip
    """Bring u[i : i + width] and the currents beside it through a timestep, with the rows
    rows[first:stop] of weights as for `sum_rows` and biases[j : j + width]. `decay` is the part
    that stays. Returns bits that say which neurons spiked.

    It is `network.neurons.fixed.charge` and what follows, for neurons that keep no current and are
    not refractory: 31 ns for 64 neurons and 20 rows of int8, and 43 as a sum and a loop of steps.
    A membrane above its 24 bits is over any threshold, and so reset.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, seconds, w, rows, biases = (
            data_of(context, builder, signature.args[k], args[k]) for k in (1, 2, 4, 6, 9)
        )
        width, _, _, at, _, base, _, first, stop, _, own, decay, scale, threshold = args

        def advanced(lanes: int) -> Any:
            def all_of(value: Any) -> Any:
                number = ir.FloatType()(float(value)) if isinstance(value, int | float) else value
                return spread(builder, number, lanes)

            def cut_off(value: Any) -> Any:
                whole = builder.fptosi(value, ir.VectorType(ir.IntType(32), lanes))
                return builder.sitofp(whole, vector_of(lanes))

            total = _sum(builder, signature.args[4], w, base, rows, first, stop, lanes)
            arriving = builder.fmul(total, all_of(scale))
            to_second, held = load_lanes(builder, seconds, at, lanes)
            wraps = builder.fcmp_ordered("==", held, all_of(OVERFLOWED))
            for compared, limit in ((">=", INPUT_LIMIT), ("<=", -INPUT_LIMIT)):
                too_large = builder.fcmp_ordered(compared, arriving, all_of(limit))
                wraps = builder.or_(wraps, too_large)
            builder.store(builder.select(wraps, all_of(OVERFLOWED), arriving), to_second, align=4)
            to, before = load_lanes(builder, u, at, lanes)
            high = builder.fmul(cut_off(builder.fmul(before, all_of(1 / UNITY))), all_of(UNITY))
            low = builder.fmul(builder.fsub(before, high), all_of(decay))
            left = builder.fadd(builder.fmul(high, all_of(decay)), cut_off(low))
            _, bias = load_lanes(builder, biases, own, lanes)
            moved = builder.fadd(builder.fadd(left, arriving), builder.fmul(bias, all_of(2**SHIFT)))
            least = all_of(-MOST)
            moved = builder.select(builder.fcmp_ordered("<", moved, least), least, moved)
            crossed = builder.fcmp_ordered(">", moved, all_of(threshold))
            builder.store(builder.select(crossed, all_of(0), moved), to, align=4)
            return as_bits(builder, crossed, lanes)

        return one_of(builder, width, {lanes: partial(advanced, lanes) for lanes in WIDTHS})

    index, single = types.uintp, types.float32
    return types.uint64(
        index, u, seconds, index, w, index, rows, index, index, biases, index, single, single,
        single,
    ), codegen  # fmt: skip
