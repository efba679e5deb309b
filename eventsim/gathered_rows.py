"""Blocks of membranes that gather their rows, in registers from the first addition to the last.

For the loops of `clocked/` and the bridge's sparse training, for weights that lie block by block;
`rows.py` has what this is made of.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from llvmlite import ir
from numba.core import types

from .jit import Compiled
from .rows import caught_up, load_weights, one_of, sum_of_rows
from .vectors import LANES, WIDTHS, as_bits, compiled_intrinsic, data_of, load_lanes, spread

_NUMBER = ir.IntType(64)


class _Rows:
    """The arguments of an intrinsic that say which rows are added."""

    def __init__(self, context: Any, builder: Any, kinds: Any, args: Any) -> None:
        """Take (w, base, rows, graded, values)."""
        self.builder, self.kind = builder, kinds[0]
        self.weights, self.rows = (data_of(context, builder, kinds[k], args[k]) for k in (0, 2))
        self.base, self.graded, self.values = args[1], args[3], None
        if kinds[4] != types.none:
            self.values = data_of(context, builder, kinds[4], args[4])

    def added(self, to: Any, first: Any, stop: Any, lanes: int, valued: bool) -> Any:
        """Return `to` with the rows first .. stop - 1 added, in this order."""
        builder = self.builder

        def row(slot: Any) -> Any:
            which = builder.zext(builder.load(builder.gep(self.rows, [slot])), _NUMBER)
            element = builder.add(self.base, builder.mul(which, _NUMBER(lanes)))
            weights = load_weights(builder, self.kind, self.weights, element, lanes)
            if valued:
                value = builder.load(builder.gep(self.values, [slot]))
                weights = builder.fmul(weights, spread(builder, value, lanes))
            return weights

        return sum_of_rows(builder, first, stop, to, row)

    def in_each_way(self, width: Any, widths: tuple[int, ...], build: Any, *flags: Any) -> Any:
        """Return what `build(lanes, *flags, valued)` does for the width and flags of a run.

        `valued` is there only where rows may be graded.
        """
        builder, asked, ways = self.builder, width, {}
        flags += () if self.values is None else (self.graded,)
        for bit, flag in enumerate(flags):
            shifted = builder.shl(builder.zext(flag, _NUMBER), _NUMBER(bit))
            asked = builder.or_(asked, shifted)
        for lanes, on in product(widths, product((False, True), repeat=len(flags))):
            bits = sum(one << bit for bit, one in enumerate(on))
            ways[lanes + bits] = partial(build, lanes, *on)
        return one_of(builder, asked, ways)


def _gatherer(widths: tuple[int, ...]) -> Compiled:
    """Make what brings a block of membranes up to date, compares and resets it."""

    def gather_rows(
        typingctx: Any, width: Any, u: Any, i: Any, power: Any, biased: Any, b: Any, c: Any,
        gain: Any, w: Any, base: Any, rows: Any, graded: Any, values: Any, first: Any, stop: Any,
        limit: Any, subtract: Any, level: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = signature.args
            u, b = (data_of(context, builder, kinds[k], args[k]) for k in (1, 5))
            width, _, at, power, biased, _, c, gain, *_ = args
            first, stop, limit, subtract, level = args[13:]
            rows = _Rows(context, builder, kinds[8:13], args[8:13])

            def gathered(lanes: int, valued: bool = False) -> Any:
                to, membranes = load_lanes(builder, u, at, lanes)
                begun = caught_up(builder, membranes, power, biased, b, c, gain, lanes)
                result = rows.added(begun, first, stop, lanes, valued)
                crossed = builder.fcmp_ordered(">", result, spread(builder, limit, lanes))
                new = spread(builder, level, lanes)
                reset = builder.select(subtract, builder.fsub(result, new), new)
                builder.store(builder.select(crossed, reset, result), to, align=4)
                return as_bits(builder, crossed, lanes)

            return rows.in_each_way(width, widths, gathered)

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


@compiled_intrinsic
def gather_visits(
    typingctx: Any, width: Any, u: Any, i: Any, powers: Any, biased: Any, b: Any, c: Any,
    gains: Any, w: Any, base: Any, rows: Any, graded: Any, values: Any, pointers: Any, first: Any,
    stop: Any, limit: Any, level: Any, timesteps: Any, masks: Any, mask: Any, stride: Any,
) -> Any:  # fmt: skip
    """Do as `gather_rows` for one visit after the other, from `first` to stop - 1.

    Visit k has powers[k], gains[k] and rows[pointers[k] : pointers[k + 1]]; its bits become
    masks[mask + stride timesteps[k]]. Membranes are set to `level`.

    With the loop over visits in Numba, through which membranes went by memory, a visit of 64 lanes
    took 12.4 ns where it has three rows, and 8.4 so.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        u, powers, b, gains, pointers, timesteps, masks = (
            data_of(context, builder, kinds[k], args[k]) for k in (1, 3, 5, 7, 13, 18, 19)
        )
        width, _, at, _, biased, _, c, *_ = args
        first, stop, limit, level, _, _, mask, stride = args[14:]
        rows = _Rows(context, builder, kinds[8:13], args[8:13])

        def number_at(array: Any, k: Any) -> Any:
            return builder.zext(builder.load(builder.gep(array, [k])), _NUMBER)

        def visited(lanes: int, raised: bool, valued: bool = False) -> Any:
            to, membranes = load_lanes(builder, u, at, lanes)
            above, new = (spread(builder, value, lanes) for value in (limit, level))
            before = builder.block
            loop, after = map(builder.append_basic_block, ("visit", "visited"))
            builder.cbranch(builder.icmp_unsigned("<", first, stop), loop, after)
            builder.position_at_end(loop)
            k, kept = builder.phi(_NUMBER), builder.phi(membranes.type)
            following = builder.add(k, _NUMBER(1))
            power, gain = (builder.load(builder.gep(array, [k])) for array in (powers, gains))
            known = ir.IntType(1)(raised)  # so that the loop does not ask
            begun = caught_up(builder, kept, power, known, b, c, gain, lanes)
            ends = number_at(pointers, k), number_at(pointers, following)
            total = rows.added(begun, *ends, lanes, valued)
            crossed = builder.fcmp_ordered(">", total, above)
            reset = builder.select(crossed, new, total)
            word = builder.add(mask, builder.mul(number_at(timesteps, k), stride))
            builder.store(as_bits(builder, crossed, lanes), builder.gep(masks, [word]))
            for phi, at_first, then in ((k, first, following), (kept, membranes, reset)):
                phi.add_incoming(at_first, before)
                phi.add_incoming(then, builder.block)
            added = builder.block
            builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, after)
            builder.position_at_end(after)
            result = builder.phi(membranes.type)
            result.add_incoming(membranes, before)
            result.add_incoming(reset, added)
            builder.store(result, to, align=4)
            return first

        rows.in_each_way(width, WIDTHS, visited, biased)
        return context.get_dummy_value()

    index, single, flag = types.uintp, types.float32, types.boolean
    return types.void(
        index, u, index, powers, flag, b, index, gains, w, index, rows, flag, values, pointers,
        index, index, single, single, timesteps, masks, index, index,
    ), codegen  # fmt: skip
