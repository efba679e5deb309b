"""Rows of weights added to vectors of membranes, written in the compiler's own terms.

For the loops of `clocked/`, `asynchronous/` and the bridge's sparse training to call; `vectors.py`
has what these are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

from llvmlite import ir
from numba.core import types

from .jit import Compiled
from .vectors import (
    LANES,
    WIDTHS,
    as_bits,
    compiled_intrinsic,
    data_of,
    load_lanes,
    spread,
    vector_of,
)


def sum_of_rows(
    builder: Any, first: Any, stop: Any, start: Any, row: Callable[[Any], Any], add: Any = None
) -> Any:
    """Return `start` and what `row(slot)` gives for each slot from first on, in this order.

    Written in the compiler's own terms, since Numba knows no variable that is a vector. `add`: how
    two are added, as float32 by default.
    """
    before = builder.block
    loop, after = builder.append_basic_block("row"), builder.append_basic_block("added")
    builder.cbranch(builder.icmp_unsigned("<", first, stop), loop, after)
    builder.position_at_end(loop)
    slot, partial = builder.phi(first.type), builder.phi(start.type)
    added = (add or builder.fadd)(partial, row(slot))
    following = builder.add(slot, slot.type(1))
    for phi, at_first, then in ((slot, first, following), (partial, start, added)):
        phi.add_incoming(at_first, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, after)
    builder.position_at_end(after)
    result = builder.phi(start.type)
    result.add_incoming(start, before)
    result.add_incoming(added, loop)
    return result


def one_of(builder: Any, asked: Any, ways: Mapping[int, Callable[[], Any]]) -> Any:
    """Build some ways to a result, of which a run takes the one whose number is asked for."""
    blocks = [builder.append_basic_block("way") for _ in ways]
    after = builder.append_basic_block("after")
    choice = builder.switch(asked, blocks[0])
    found = []
    for (which, build), block in zip(ways.items(), blocks, strict=True):
        choice.add_case(asked.type(which), block)
        builder.position_at_end(block)
        found.append((build(), builder.block))
        builder.branch(after)
    builder.position_at_end(after)
    result = builder.phi(found[0][0].type)
    for pair in found:
        result.add_incoming(*pair)
    return result


def load_weights(builder: Any, kind: Any, data: Any, index: Any, lanes: int) -> Any:
    """Return neighbours in an array of weights as float32 (see `Weights`)."""
    if kind.dtype == types.float32:
        return load_lanes(builder, data, index, lanes)[1]
    if kind.dtype == types.int8:
        whole = ir.VectorType(ir.IntType(8), lanes).as_pointer()
        found = builder.load(builder.bitcast(builder.gep(data, [index]), whole), align=1)
        return builder.sitofp(found, vector_of(lanes))
    bits = ir.VectorType(ir.IntType(16), lanes).as_pointer()
    halves = builder.load(builder.bitcast(builder.gep(data, [index]), bits), align=2)
    return builder.fpext(
        builder.bitcast(halves, ir.VectorType(ir.HalfType(), lanes)), vector_of(lanes)
    )


@compiled_intrinsic
def add_lanes(typingctx: Any, u: Any, i: Any, w: Any, j: Any) -> Any:
    """Add w[j : j + 8] to u[i : i + 8]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        u, w = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2))
        to, membranes = load_lanes(builder, u, args[1], LANES)
        weights = load_weights(builder, signature.args[2], w, args[3], LANES)
        builder.store(builder.fadd(membranes, weights), to, align=4)
        return context.get_dummy_value()

    return types.void(u, types.uintp, w, types.uintp), codegen


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
        weight = load_weights(builder, signature.args[0], w, args[1], 1)
        return builder.extract_element(weight, ir.IntType(32)(0))

    return types.float32(w, types.uintp), codegen


def _moved(
    builder: Any, membranes: Any, power: Any, biased: Any, b: Any, c: Any, gain: Any, lanes: int
) -> Any:
    """Return membranes after some silent timesteps, as `lif.catch_up_plain` does."""
    before = builder.block
    decayed = builder.fmul(membranes, spread(builder, power, lanes))
    with builder.if_then(biased):
        _, biases = load_lanes(builder, b, c, lanes)
        raised = builder.fadd(decayed, builder.fmul(biases, spread(builder, gain, lanes)))
        raising = builder.block
    moved = builder.phi(decayed.type)
    moved.add_incoming(decayed, before)
    moved.add_incoming(raised, raising)
    return moved


def _gatherer(widths: tuple[int, ...]) -> Compiled:
    """Make what brings a block of membranes up to date, compares and resets it.

    For weights that lie block by block. The membranes stay in registers.
    """

    def gather_rows(
        typingctx: Any, width: Any, u: Any, i: Any, power: Any, biased: Any, b: Any, c: Any,
        gain: Any, w: Any, base: Any, rows: Any, graded: Any, values: Any, first: Any, stop: Any,
        limit: Any, subtract: Any, level: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds, number = signature.args, ir.IntType(64)
            u, b, w, rows = (data_of(context, builder, kinds[k], args[k]) for k in (1, 5, 8, 10))
            width, _, at, power, biased, _, c, gain, _, base, _, graded, _, *rest = args
            first, stop, limit, subtract, level = rest

            def gathered(lanes: int, valued: bool) -> Any:
                to, membranes = load_lanes(builder, u, at, lanes)
                moved = _moved(builder, membranes, power, biased, b, c, gain, lanes)

                def row(slot: Any) -> Any:
                    which = builder.zext(builder.load(builder.gep(rows, [slot])), number)
                    element = builder.add(base, builder.mul(which, number(lanes)))
                    weights = load_weights(builder, kinds[8], w, element, lanes)
                    if valued:
                        values = data_of(context, builder, kinds[12], args[12])
                        value = builder.load(builder.gep(values, [slot]))
                        weights = builder.fmul(weights, spread(builder, value, lanes))
                    return weights

                result = sum_of_rows(builder, first, stop, moved, row)
                crossed = builder.fcmp_ordered(">", result, spread(builder, limit, lanes))
                new = spread(builder, level, lanes)
                reset = builder.select(subtract, builder.fsub(result, new), new)
                builder.store(builder.select(crossed, reset, result), to, align=4)
                return as_bits(builder, crossed, lanes)

            ways = {lanes: partial(gathered, lanes, False) for lanes in widths}
            if kinds[12] != types.none:
                ways |= {lanes + 1: partial(gathered, lanes, True) for lanes in widths}
            return one_of(builder, builder.or_(width, builder.zext(graded, number)), ways)

        index, single, flag = types.uintp, types.float32, types.boolean
        return types.uint64(
            index, u, index, single, flag, b, index, single, w, index, rows, flag, values, index,
            index, single, flag, single,
        ), codegen  # fmt: skip

    gather_rows.__doc__ = (
        f"Let u[i : i + width] be u[i : i + width] power, where `biased` and b[c : c + width] "
        f"gain, and add to it, for each row in rows[first:stop], the weights from base + width row "
        f"on, times its value where `graded`, strictly in this order. Those above `limit` are set "
        f"to `level`, or with `subtract` get it taken away; returns bits that say which. `width` "
        f"is one of {widths}; without `values`, which may be None, nothing is graded."
    )
    return compiled_intrinsic(gather_rows)


gather_rows = _gatherer(WIDTHS)
gather_any_rows = _gatherer((*WIDTHS, LANES))  # in training, where layers may be narrow


PIECES, VECTORS = 3, 6  # of membranes that rows are added to at once: pieces, vectors of each


def _scatterer(lanes: int, graded: bool) -> Compiled:
    """Make what adds the rows of some spikes, which follow each other, to pieces of membranes.

    The membranes stay in registers meanwhile, all of up to three short pieces, or six vectors of a
    long one at a time. All vectors are of the same length, which divides a site: what was stored a
    moment ago is only handed on to a load of the same place and length.
    """

    def scatter(
        typingctx: Any, u: Any, i: Any, n: Any, pieces: Any, pitch: Any, w: Any, base: Any,
        row_pitch: Any, stride: Any, spikes: Any, values: Any, first: Any, stop: Any, beyond: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, w, spikes, values = (
                data_of(context, builder, signature.args[k], args[k]) for k in (0, 5, 9, 10)
            )
            _, at, n, pieces, pitch, _, base, row_pitch, stride, _, _, first, stop, beyond = args
            index = at.type

            def add(several: int, vectors: int, done: Any) -> Any:
                shape = [
                    (index(k), index(lanes * v)) for k in range(several) for v in range(vectors)
                ]

                def places(start: Any, step: Any) -> list[Any]:
                    start = builder.add(start, done)
                    return [
                        builder.add(builder.add(start, builder.mul(k, step)), lane)
                        for k, lane in shape
                    ]

                found = [load_lanes(builder, u, place, lanes) for place in places(at, pitch)]
                before, loop = builder.block, builder.append_basic_block("spike")
                after = builder.append_basic_block("added")
                builder.branch(loop)
                builder.position_at_end(loop)
                slot, sums = builder.phi(index), [builder.phi(each.type) for _, each in found]
                spike = builder.zext(builder.load(builder.gep(spikes, [slot])), index)
                rows = places(builder.add(base, builder.mul(spike, stride)), row_pitch)
                added = [load_weights(builder, signature.args[5], w, row, lanes) for row in rows]
                if graded:
                    value = spread(builder, builder.load(builder.gep(values, [slot])), lanes)
                    added = [builder.fmul(each, value) for each in added]
                added = [builder.fadd(*pair) for pair in zip(sums, added, strict=True)]
                following = builder.add(slot, index(1))
                starts = [first, *(each for _, each in found)]
                for phi, start, then in zip(
                    [slot, *sums], starts, [following, *added], strict=True
                ):
                    phi.add_incoming(start, before)
                    phi.add_incoming(then, loop)
                spike = builder.load(builder.gep(spikes, [following]))
                more = builder.and_(
                    builder.icmp_unsigned("<", following, stop),
                    builder.icmp_signed("<", spike, beyond),
                )
                builder.cbranch(more, loop, after)
                builder.position_at_end(after)
                for (to, _), result in zip(found, added, strict=True):
                    builder.store(result, to, align=4)
                return following

            before, block = builder.block, index(VECTORS * lanes)
            check, whole, rest, none, after = map(
                builder.append_basic_block, ("check", "whole", "rest", "none", "after")
            )
            builder.branch(check)
            builder.position_at_end(check)
            done = builder.phi(index)
            done.add_incoming(index(0), before)
            left = builder.sub(n, done)
            builder.cbranch(builder.icmp_unsigned(">", left, block), whole, rest)
            builder.position_at_end(whole)
            add(1, VECTORS, done)
            done.add_incoming(builder.add(done, block), builder.block)
            builder.branch(check)
            builder.position_at_end(none)
            builder.unreachable()
            builder.position_at_end(rest)
            vectors = builder.udiv(left, index(lanes))
            shape = builder.add(builder.mul(pieces, index(VECTORS)), vectors)
            choice, ends = builder.switch(shape, none), []
            for several, length in product(range(1, PIECES + 1), range(1, VECTORS + 1)):
                case = builder.append_basic_block("vectors")
                choice.add_case(index(several * VECTORS + length), case)
                builder.position_at_end(case)
                ends.append(
                    (add(several, length, done if several == 1 else index(0)), builder.block)
                )
                builder.branch(after)
            builder.position_at_end(after)
            end = builder.phi(index)
            for pair in ends:
                end.add_incoming(*pair)
            return end

        number = types.uintp
        return number(
            u, number, number, number, number, w, number, number, number, spikes, values, number,
            number, types.int32,
        ), codegen  # fmt: skip

    scatter.__doc__ = (
        "Add to u[i : i + n], and to as many others as there are `pieces`, one each `pitch`, for "
        "spikes[first], and on while they are below `beyond`, and before `stop`, the weights from "
        "base + stride spike on, and on from there each `row_pitch`"
        + (", times its value" if graded else "")
        + ", in this order; returns where they end. n is "
        f"a multiple of {lanes}, and of more than one piece at most {VECTORS * lanes}; at most "
        f"{PIECES} pieces, which do not overlap."
    )
    return compiled_intrinsic(scatter)


scatter_rows_8, scatter_rows_16 = (_scatterer(n, graded=False) for n in (8, 16))
scatter_graded_rows_8, scatter_graded_rows_16 = (_scatterer(n, graded=True) for n in (8, 16))


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
            k = builder.add(bias, c)
            moved = _moved(builder, membranes, power, biased, b, k, gain, lanes)

            def row(slot: Any) -> Any:
                where = builder.add(builder.load(builder.gep(rows, [slot])), builder.add(column, c))
                return load_weights(builder, signature.args[7], w, where, lanes)

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
