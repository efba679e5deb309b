"""Blocks of channels in the compiler's own terms: what the loops of `neurons.py` do a timestep.

As in `eventsim/vectors.py`, and for its reasons: with plain loops over 8 to 64 channels more time
went into what comes before and after each loop than into it, and membranes went through memory
from one to the next.
"""

from __future__ import annotations

from math import pi
from typing import Any

from llvmlite import ir
from numba.core import types

from eventsim.jit import Compiled
from eventsim.rows import sum_of_rows
from eventsim.vectors import as_bits, compiled_intrinsic, data_of, load_lanes, spread

RECTANGLE, ARCTAN, FAST_SIGMOID = range(3)  # in the order of `models.neurons.SURROGATES`

_INDEX, _SINGLE, _FLAG = types.uintp, types.float32, types.boolean


def _magnitude(builder: Any, x: Any, zeros: Any) -> Any:
    """Return absolute values."""
    return builder.select(builder.fcmp_ordered("<", x, zeros), builder.fsub(zeros, x), x)


def _element(builder: Any, rows: Any, slot: Any, base: Any, lanes: int) -> Any:
    """Return where the numbers of a row begin."""
    row = builder.zext(builder.load(builder.gep(rows, [slot])), base.type)
    return builder.add(base, builder.mul(row, base.type(lanes)))


def _value(builder: Any, values: Any, slot: Any, lanes: int) -> Any:
    return spread(builder, builder.load(builder.gep(values, [slot])), lanes)


def _integrator(lanes: int, graded: bool = False) -> Compiled:
    def integrate(
        typingctx: Any, u: Any, before: Any, at: Any, decay: Any, threshold: Any, subtract: Any,
        b: Any, w: Any, base: Any, rows: Any, values: Any, first: Any, stop: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = (0, 3, 4, 6, 7, 9)
            u, decay, threshold, b, w, rows = (
                data_of(context, builder, signature.args[k], args[k]) for k in arrays
            )
            _, before, at, _, _, subtract, _, _, base, _, _, first, stop = args
            _, last = load_lanes(builder, u, before, lanes)
            decays, limit, biases = (
                load_lanes(builder, array, at.type(0), lanes)[1] for array in (decay, threshold, b)
            )
            zero = limit.type(None)
            reset = builder.select(subtract, builder.fsub(last, limit), zero)
            rest = builder.select(builder.fcmp_ordered(">", last, limit), reset, last)
            begun = builder.fadd(builder.fmul(rest, decays), biases)

            def row(slot: Any) -> Any:
                element = _element(builder, rows, slot, base, lanes)
                _, weights = load_lanes(builder, w, element, lanes)
                if graded:
                    values = data_of(context, builder, signature.args[10], args[10])
                    weights = builder.fmul(weights, _value(builder, values, slot, lanes))
                return weights

            result = sum_of_rows(builder, first, stop, begun, row)
            to, _ = load_lanes(builder, u, at, lanes)
            builder.store(result, to, align=4)
            return as_bits(builder, builder.fcmp_ordered(">", result, limit), lanes)

        return types.uint64(
            u, _INDEX, _INDEX, decay, threshold, _FLAG, b, w, _INDEX, rows, values, _INDEX, _INDEX
        ), codegen

    integrate.__doc__ = (
        f"Let u[at : at + {lanes}] be the membranes that follow on u[before : before + {lanes}]: "
        "reset, decay, biases, and the weights at base + "
        f"{lanes} row for each row in rows[first:stop]"
        + (", times its value" if graded else "")
        + "; return bits that say which are above the threshold."
    )
    return compiled_intrinsic(integrate)


integrate_8, integrate_16, integrate_32, integrate_64 = map(_integrator, (8, 16, 32, 64))
integrate_graded_8, integrate_graded_16, integrate_graded_32, integrate_graded_64 = (
    _integrator(n, graded=True) for n in (8, 16, 32, 64)
)


def _slope(builder: Any, surrogate: int, x: Any, reach: Any, lanes: int) -> Any:
    """Return the surrogate's derivative where membranes are x over the threshold."""
    constant = reach.type
    half = spread(builder, builder.fdiv(constant(0.5), reach), lanes)
    zero, one = (spread(builder, constant(n), lanes) for n in (0.0, 1.0))
    width = spread(builder, reach, lanes)
    if surrogate == RECTANGLE:
        near = builder.fcmp_ordered("<", _magnitude(builder, x, zero), width)
        return builder.select(near, half, zero)
    if surrogate == ARCTAN:
        scaled = builder.fmul(x, builder.fmul(half, spread(builder, constant(pi), lanes)))
        return builder.fdiv(half, builder.fadd(builder.fmul(scaled, scaled), one))
    scaled = builder.fadd(builder.fdiv(_magnitude(builder, x, zero), width), one)
    return builder.fdiv(half, builder.fmul(scaled, scaled))


def _differentiator(lanes: int) -> Compiled:
    def differentiate(
        typingctx: Any, u: Any, at: Any, by: Any, j: Any, by_next: Any, decay: Any,
        threshold: Any, subtract: Any, surrogate: Any, reach: Any, learns: Any, by_decay: Any,
        by_threshold: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = (0, 2, 4, 5, 6, 11, 12)
            u, by, by_next, decay, threshold, by_decay, by_threshold = (
                data_of(context, builder, signature.args[k], args[k]) for k in arrays
            )
            _, at, _, j, _, _, _, subtract, surrogate, reach, learns, _, _ = args
            to, membranes = load_lanes(builder, u, at, lanes)
            _, by_spikes = load_lanes(builder, by, j, lanes)
            carried, following = load_lanes(builder, by_next, at.type(0), lanes)
            decays, limit = (
                load_lanes(builder, array, at.type(0), lanes)[1] for array in (decay, threshold)
            )
            zero = limit.type(None)
            rest = builder.fmul(following, decays)
            over = builder.fsub(membranes, limit)
            slopes, done = [], builder.append_basic_block("slope")
            cases = [builder.append_basic_block("case") for _ in range(3)]
            switch = builder.switch(surrogate, cases[0])
            for kind, case in enumerate(cases):
                switch.add_case(surrogate.type(kind), case)
                builder.position_at_end(case)
                slopes.append(_slope(builder, kind, over, reach, lanes))
                builder.branch(done)
            builder.position_at_end(done)
            slope = builder.phi(membranes.type)
            for found, case in zip(slopes, cases, strict=True):
                slope.add_incoming(found, case)
            spiked = builder.fcmp_ordered(">", membranes, limit)
            # dr/do is -threshold or -u, dr/du is 1 or 1 - o.
            taken = builder.select(subtract, limit, membranes)
            left = builder.select(spiked, builder.select(subtract, rest, zero), rest)
            by_spike = builder.fsub(by_spikes, builder.fmul(taken, rest))
            by_over = builder.fmul(by_spike, slope)
            gradient = builder.fadd(by_over, left)
            builder.store(gradient, to, align=4)
            builder.store(gradient, carried, align=4)
            with builder.if_then(learns):
                reset = builder.select(subtract, builder.fsub(membranes, limit), zero)
                after = builder.select(spiked, reset, membranes)
                # dr/dthreshold is -o where it is subtracted.
                subtracted = builder.select(spiked, builder.select(subtract, rest, zero), zero)
                by_limit = builder.fadd(by_over, subtracted)
                for sums, more in (
                    (by_decay, builder.fmul(following, after)),
                    (by_threshold, builder.fsub(zero, by_limit)),
                ):
                    address, sum_so_far = load_lanes(builder, sums, at.type(0), lanes)
                    builder.store(builder.fadd(sum_so_far, more), address, align=4)
            return as_bits(builder, builder.fcmp_unordered("!=", gradient, zero), lanes)

        return types.uint64(
            u, _INDEX, by, _INDEX, by_next, decay, threshold, _FLAG, types.int64, _SINGLE, _FLAG,
            by_decay, by_threshold,
        ), codegen  # fmt: skip

    differentiate.__doc__ = (
        f"Turn the membranes u[at : at + {lanes}] into their gradients: from by[j : j + {lanes}], "
        f"those of the spikes, and by_next[:{lanes}], those of the membranes of the next timestep, "
        "which become those of this one. Return bits that say which are not 0. Where it learns, "
        "add what the timestep is to decays and thresholds."
    )
    return compiled_intrinsic(differentiate)


differentiate_8, differentiate_16, differentiate_32, differentiate_64 = map(
    _differentiator, (8, 16, 32, 64)
)


def _neighbourhood(lanes: int) -> Compiled:
    def near(typingctx: Any, u: Any, at: Any, threshold: Any, reach: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, threshold = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2))
            _, membranes = load_lanes(builder, u, args[1], lanes)
            _, limit = load_lanes(builder, threshold, args[1].type(0), lanes)
            zero, over = limit.type(None), builder.fsub(membranes, limit)
            distance, reach = _magnitude(builder, over, zero), spread(builder, args[3], lanes)
            return as_bits(builder, builder.fcmp_ordered("<", distance, reach), lanes)

        return types.uint64(u, _INDEX, threshold, _SINGLE), codegen

    near.__doc__ = (
        f"Return bits that say which of u[at : at + {lanes}] are within reach of the threshold."
    )
    return compiled_intrinsic(near)


near_8, near_16, near_32, near_64 = map(_neighbourhood, (8, 16, 32, 64))


def _interleave(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), 8), picks))


@compiled_intrinsic
def turn_8(typingctx: Any, source: Any, i: Any, apart: Any, to: Any, j: Any, to_apart: Any) -> Any:
    """Let to[j + n to_apart + k] be source[i + k apart + n], for k and n below 8."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, to = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 3))
        _, i, apart, _, j, to_apart = args

        def index(first: Any, step: Any, k: int) -> Any:
            return builder.add(first, builder.mul(step, step.type(k)))

        rows = [load_lanes(builder, source, index(i, apart, k), 8)[1] for k in range(8)]
        # Pairs, fours and eights of rows change places, at distances of 1, 2 and 4 columns.
        for distance in (1, 2, 4):
            turned = list(rows)
            for k in (n for n in range(8) if not n & distance):
                a, b = rows[k], rows[k + distance]
                low = [n if not n & distance else n - distance + 8 for n in range(8)]
                high = [n + distance if not n & distance else n + 8 for n in range(8)]
                turned[k] = _interleave(builder, a, b, low)
                turned[k + distance] = _interleave(builder, a, b, high)
            rows = turned
        for n, row in enumerate(rows):
            address, _ = load_lanes(builder, to, index(j, to_apart, n), 8)
            builder.store(row, address, align=4)
        return context.get_dummy_value()

    return types.void(source, _INDEX, _INDEX, to, _INDEX, _INDEX), codegen


def _spreader(lanes: int, graded: bool = False) -> Compiled:
    def spread(
        typingctx: Any, w: Any, base: Any, rows: Any, values: Any, first: Any, stop: Any, g: Any,
        i: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, rows, g = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 2, 6))
            _, base, _, _, first, stop, _, at = args
            _, block = load_lanes(builder, g, at, lanes)
            before = builder.block
            loop, after = builder.append_basic_block("row"), builder.append_basic_block("added")
            builder.cbranch(builder.icmp_unsigned("<", first, stop), loop, after)
            builder.position_at_end(loop)
            slot = builder.phi(first.type)
            to, sums = load_lanes(builder, w, _element(builder, rows, slot, base, lanes), lanes)
            part = block
            if graded:
                values = data_of(context, builder, signature.args[3], args[3])
                part = builder.fmul(block, _value(builder, values, slot, lanes))
            builder.store(builder.fadd(sums, part), to, align=4)
            following = builder.add(slot, slot.type(1))
            slot.add_incoming(first, before)
            slot.add_incoming(following, loop)
            builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(w, _INDEX, rows, values, _INDEX, _INDEX, g, _INDEX), codegen

    spread.__doc__ = (
        f"Add g[i : i + {lanes}] to the {lanes} numbers at base + {lanes} row of w, for each row "
        f"in rows[first:stop]" + (", times its value." if graded else ".")
    )
    return compiled_intrinsic(spread)


spread_8, spread_16, spread_32, spread_64 = map(_spreader, (8, 16, 32, 64))
spread_graded_8, spread_graded_16, spread_graded_32, spread_graded_64 = (
    _spreader(n, graded=True) for n in (8, 16, 32, 64)
)
