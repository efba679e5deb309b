"""Rows of weights added to vectors of membranes, written in the compiler's own terms.

For the loops of `clocked/`, `asynchronous/` and the bridge's sparse training to call; `vectors.py`
has what these are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir
from numba.core import types

from .jit import Compiled
from .vectors import (
    LANES,
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


def caught_up(
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
            moved = caught_up(builder, membranes, power, biased, b, k, gain, lanes)

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
