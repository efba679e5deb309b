"""Rows of a spike added to all that it reaches, for the loops of `clocked/cpu/scatter.py`.

`rows.py` has what this is made of.
"""

from __future__ import annotations

from typing import Any

from numba.core import types

from .jit import Compiled
from .rows import load_weights, sums_of_rows
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
        row_pitch: Any, stride: Any, spikes: Any, values: Any, origin: Any, first: Any, stop: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, w, spikes, values = (
                data_of(context, builder, signature.args[k], args[k]) for k in (0, 5, 9, 10)
            )
            _, at, count, pieces, pitch, _, base, row_pitch, stride, _, _, *rest = args
            origin, first, stop = rest
            index = at.type
            builder.assume(builder.icmp_unsigned("<", first, stop))

            def add(several: int, vectors: int, done: Any) -> None:
                shape = [
                    (index(k), index(lanes * v)) for k in range(several) for v in range(vectors)
                ]

                def places(start: Any, step: Any) -> list[Any]:
                    return [
                        builder.add(builder.add(start, builder.mul(k, step)), lane)
                        for k, lane in shape
                    ]

                found = [
                    load_lanes(builder, u, place, lanes)
                    for place in places(builder.add(at, done), pitch)
                ]

                def row(slot: Any) -> list[Any]:
                    spike = builder.zext(builder.load(builder.gep(spikes, [slot])), index)
                    start = builder.mul(builder.sub(spike, origin), stride)
                    elements = places(builder.add(builder.add(base, done), start), row_pitch)
                    kind = signature.args[5]
                    weights = [load_weights(builder, kind, w, each, lanes) for each in elements]
                    if graded:
                        value = spread(builder, builder.load(builder.gep(values, [slot])), lanes)
                        weights = [builder.fmul(each, value) for each in weights]
                    return weights

                sums = sums_of_rows(builder, first, stop, [each for _, each in found], row)
                for (to, _), result in zip(found, sums, strict=True):
                    builder.store(result, to, align=4)

            before = builder.block
            check, whole, rest, after = map(
                builder.append_basic_block, ("check", "whole", "rest", "after")
            )
            builder.branch(check)
            builder.position_at_end(check)
            done = builder.phi(index)
            done.add_incoming(index(0), before)
            left = builder.sub(count, done)
            block = index(VECTORS * lanes)
            builder.cbranch(builder.icmp_unsigned(">", left, block), whole, rest)
            builder.position_at_end(whole)
            add(1, VECTORS, done)
            done.add_incoming(builder.add(done, block), builder.block)
            builder.branch(check)
            builder.position_at_end(rest)
            vectors = builder.udiv(left, index(lanes))
            shape = builder.add(builder.mul(pieces, index(VECTORS)), vectors)
            choice = builder.switch(shape, after)
            shapes = [
                (several, length, done if several == 1 else index(0))
                for several in range(1, PIECES + 1) for length in range(1, VECTORS + 1)
            ]  # fmt: skip
            for several, length, begun in shapes:
                case = builder.append_basic_block("vectors")
                choice.add_case(index(several * VECTORS + length), case)
                builder.position_at_end(case)
                add(several, length, begun)
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        number = types.uintp
        return types.void(
            u, number, number, number, number, w, number, number, number, spikes, values, number,
            number, number,
        ), codegen  # fmt: skip

    scatter.__doc__ = (
        "Add to u[i : i + n], and to as many others as there are `pieces`, one each `pitch`, for "
        "each spike in spikes[first:stop], the weights from base + stride (spike - origin) on, and "
        "on from there each `row_pitch`" + (", times its value" if graded else "") + ", in this "
        f"order. n is a multiple of {lanes}, and of more than one piece at most {VECTORS * lanes}; "
        f"at most {PIECES} pieces, which do not overlap. There is at least one spike."
    )
    return compiled_intrinsic(scatter)


scatter_rows_8, scatter_rows_16 = (_scatterer(n, graded=False) for n in (8, 16))
scatter_graded_rows_8, scatter_graded_rows_16 = (_scatterer(n, graded=True) for n in (8, 16))
