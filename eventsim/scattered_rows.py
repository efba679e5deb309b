"""Rows of a spike added to all that it reaches, for the loops of `clocked/cpu/scatter.py`.

`rows.py` has what this is made of.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from numba.core import types

from .jit import Compiled
from .rows import load_weights
from .vectors import compiled_intrinsic, data_of, load_lanes, spread

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
