"""Sites with work: brought up to date, compared, reset; their spikes go on to the layers behind.

As in clocked time there are two ways with the same outcome: loops over contiguous channels for
plain LIF and IF layers, which are brought up to date when something reaches them, before it is
added; and for other neurons one at a time, after what arrives has been summed apart.
"""

from __future__ import annotations

import numpy as np

from ..jit import Float32s, Int64s, inner_kernel, kernel, offset
from ..network.neurons import (
    MAX_SPIKES,
    RESET_SUBTRACT,
    adapt,
    after_reset,
    over_threshold,
    receive,
    spikes_over,
)
from ..network.neurons.lif import catch_up_plain, fires
from ..operations import (
    BIAS_ADDS,
    COMPARES,
    COUNTERS,
    DECAYS,
    OUTPUT_SPIKES,
    RESETS,
    SITE_UPDATES,
    UPDATES,
)
from ..rows import add_lanes, advance_lanes
from ..vectors import LANES, above_in_lanes, lowest_bit
from .membranes import catch_up_us, due_after, integral_us, model_of
from .schedule import enqueue, set_due, sort
from .tables import MEMO, NEVER, TRACE, Header, Population, Scalar, Trace

# Channels that are compared before anybody looks at the outcome: a bit for each. With blocks of 128
# that were searched again in blocks of 16 a spike cost about 60 ns more (2312-512-10).
BLOCK = 64


@inner_kernel
def list_site(tables: Int64s, ints: Int64s, population: int, site: int, touched: int) -> int:
    """Put a site on the list of those with work, once in an instant; return the list's length."""
    mark = tables[Header.marks] + tables[population + Population.site] + site
    if ints[mark] == ints[Scalar.instant]:
        return touched
    ints[mark] = ints[Scalar.instant]
    ints[tables[Header.touched] + touched] = site
    return touched + 1


@inner_kernel
def add_row(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, row: int, value: np.float32, t: int,
) -> None:  # fmt: skip
    """Add a row of weights, times `value`, to a site; first bring it up to date, where it is plain.

    The usual case, a value of 1, is one pass over the membranes: with rows of 512 an event took
    0.38 microseconds so, and 0.47 in two.
    """
    channels = tables[population + Population.channels]
    base = tables[population + Population.neuron] + site * channels
    if tables[population + Population.plain]:
        memo = factors_since(tables, weights, ints, floats, number, population, site, t)
    else:
        memo = -1
        base += tables[Header.inputs]
    to, begin, length = np.uintp(base), np.uintp(row), np.uintp(channels)
    whole = length & ~np.uintp(LANES - 1)
    if memo >= 0:
        bias = tables[population + Population.bias]
        if bias < 0 or value != 1:
            catch_up_plain_site(tables, weights, ints, floats, number, population, site, memo)
        else:
            power, gain = floats[memo], floats[memo + 1]
            first = np.uintp(bias + (site % tables[population + Population.groups]) * channels)
            for c in range(np.uintp(0), whole, np.uintp(LANES)):
                advance_lanes(floats, to + c, power, weights, first + c, gain, weights, begin + c)
            for c in range(whole, length):
                moved = catch_up_plain(floats[to + c], power, weights[first + c], gain)
                floats[to + c] = moved + weights[begin + c]
            return
    if value != 1:
        for c in range(length):
            floats[to + c] += weights[begin + c] * value
        return
    for c in range(np.uintp(0), whole, np.uintp(LANES)):
        add_lanes(floats, to + c, weights, begin + c)
    for c in range(whole, length):
        floats[to + c] += weights[begin + c]


@inner_kernel
def factors_since(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, t: int,
) -> int:  # fmt: skip
    """Note that a plain site is up to date; return where the power and the gain for it stand.

    Returns -1 where nothing changes.
    """
    last = offset(tables[Header.last] + tables[population + Population.site] + site)
    elapsed = t - ints[last]
    if elapsed == 0:
        return -1
    ints[last] = t
    bias, leaks = tables[population + Population.bias], tables[population + Population.leaks]
    channels = tables[population + Population.channels]
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    ints[counters + DECAYS] += leaks * channels
    if bias >= 0:
        ints[counters + BIAS_ADDS] += channels
    elif leaks == 0:
        return -1
    return factors_of(tables, weights, ints, floats, number, population, elapsed)


@inner_kernel
def factors_of(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, elapsed: int,
) -> int:  # fmt: skip
    """Return where the power and the gain of an elapsed time stand, found if they are not known."""
    place = number * MEMO + (elapsed & (MEMO - 1))
    memo, known = offset(tables[Header.powers] + 2 * place), offset(tables[Header.memo] + place)
    if ints[known] != elapsed:
        decay = np.float64(weights[tables[population + Population.levels]])
        f = np.float64(elapsed) / np.float64(tables[Header.dt])
        power = decay**f
        floats[memo] = power
        floats[memo + 1] = f if decay == 1 else (1 - power) / (1 - decay)
        ints[known] = elapsed
    return memo


@inner_kernel
def catch_up_plain_site(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, memo: int,
) -> None:  # fmt: skip
    """Bring the membranes of a plain site up to date, by what `factors_since` has found."""
    bias, channels = tables[population + Population.bias], tables[population + Population.channels]
    power, gain = floats[memo], floats[memo + 1]
    base = np.uintp(tables[population + Population.neuron] + site * channels)
    if bias < 0:
        for c in range(np.uintp(channels)):
            floats[base + c] *= power
        return
    first = np.uintp(bias + (site % tables[population + Population.groups]) * channels)
    for c in range(np.uintp(channels)):
        floats[base + c] = catch_up_plain(floats[base + c], power, weights[first + c], gain)


@kernel
def update_sites(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, t: int, touched: int,
) -> int:  # fmt: skip
    """Compare and reset the sites with work, ascending; return how many neurons spiked."""
    listed = tables[Header.touched]
    for i in range(1, touched):
        if ints[listed + i] < ints[listed + i - 1]:
            sort(ints, listed, touched)
            break
    plain, spiked = tables[population + Population.plain], 0
    for i in range(touched):
        site = ints[listed + i]
        if plain:
            spiked = fire(tables, weights, ints, floats, number, population, site, t, spiked)
        else:
            spiked = integrate(tables, weights, ints, floats, number, population, site, t, spiked)
        if tables[population + Population.alone]:
            schedule(tables, weights, ints, floats, population, site, t)
    neurons = touched * tables[population + Population.channels]
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    ints[counters + SITE_UPDATES] += touched
    ints[counters + UPDATES] += neurons * tables[population + Population.variables]
    ints[counters + COMPARES] += neurons if plain else 0
    return spiked


@inner_kernel
def fire(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, t: int, spiked: int,
) -> int:  # fmt: skip
    """Compare and reset a plain site; return the length of the layer's list of spikes."""
    channels = tables[population + Population.channels]
    limit = weights[tables[population + Population.levels] + 6]
    base = np.uintp(tables[population + Population.neuron] + site * channels)
    for block in range(0, channels, BLOCK):
        crossed = above(floats, base + np.uintp(block), min(BLOCK, channels - block), limit)
        while crossed:
            neuron = site * channels + block + np.int64(lowest_bit(crossed))
            crossed &= crossed - np.uint64(1)
            spikes = reset_plain(tables, weights, floats, population, neuron, limit)
            spiked = emit(tables, ints, number, population, neuron, spikes, t, spiked)
    return spiked


@inner_kernel
def above(floats: Float32s, first: int, channels: int, limit: np.float32) -> np.uint64:
    """Return a number whose bit k says whether membrane `first` + k is over threshold."""
    crossed, whole = np.uint64(0), np.uintp(channels) & ~np.uintp(LANES - 1)
    for c in range(np.uintp(0), whole, np.uintp(LANES)):
        crossed |= above_in_lanes(floats, first + c, limit) << np.uint64(c)
    for c in range(whole, np.uintp(channels)):
        crossed |= np.uint64(fires(floats[first + c], limit)) << np.uint64(c)
    return crossed


@inner_kernel
def reset_plain(
    tables: Int64s, weights: Float32s, floats: Float32s, population: int, neuron: int,
    limit: np.float32,
) -> int:  # fmt: skip
    """Reset a membrane until it is not over threshold; return how often."""
    levels, count = offset(tables[population + Population.levels]), 0
    own = offset(tables[population + Population.neuron] + neuron)
    u = floats[own]
    while fires(u, limit) and count < MAX_SPIKES:
        count += 1
        if tables[population + Population.reset] == RESET_SUBTRACT:
            u = u - weights[levels + 1]
        else:
            u = weights[levels + 2]
    floats[own] = u
    return count


@inner_kernel
def emit(
    tables: Int64s, ints: Int64s, number: int, population: int,
    neuron: int, count: int, t: int, spiked: int,
) -> int:  # fmt: skip
    """Note a neuron's spikes of this instant wherever somebody needs them."""
    entry = offset(tables[population + Population.spikes] + 2 * spiked)
    ints[entry], ints[entry + 1] = neuron, count
    if tables[population + Population.queue] >= 0:
        enqueue(ints, tables[population + Population.queue], t, neuron, count)
    if number == tables[Header.populations] - 1:
        ints[tables[Header.spike_counts] + neuron] += count
        if ints[tables[Header.first_spikes] + neuron] < 0:
            ints[tables[Header.first_spikes] + neuron] = t
    if ints[Scalar.trace_rows] > 0:
        row = ints[Scalar.trace] + ints[Scalar.traced] * TRACE
        ints[row + Trace.t], ints[row + Trace.event] = t, ints[Scalar.current_event]
        ints[row + Trace.population], ints[row + Trace.neuron] = number, neuron
        ints[row + Trace.count] = count
        ints[Scalar.traced] += 1
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    ints[counters + OUTPUT_SPIKES] += count
    ints[counters + RESETS] += 1
    return spiked + 1


@kernel
def integrate(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, t: int, spiked: int,
) -> int:  # fmt: skip
    """Catch up and `fire` with any neuron model; takes what has arrived out of `inputs`."""
    catch_up_site(tables, weights, ints, floats, number, population, site, t)
    channels, group = (
        tables[population + Population.channels],
        site % tables[population + Population.groups],
    )
    first = tables[population + Population.neuron] + site * channels
    refractory, compares = tables[population + Population.refractory], 0
    for c in range(channels):
        p = model_of(tables, weights, population, group * channels + c)
        neuron, free_from = first + c, tables[Header.free_from] + first + c
        second = tables[Header.seconds] + neuron
        x = floats[tables[Header.inputs] + neuron]
        floats[tables[Header.inputs] + neuron] = 0
        free = t >= ints[free_from]
        floats[neuron], floats[second] = receive(p, floats[neuron], floats[second], x, free)
        if not free:
            continue
        compares += 1
        if over_threshold(p, floats[neuron], floats[second]):
            count = reset(floats, p, neuron, second, refractory > 0)
            ints[free_from] = t + refractory
            spiked = emit(tables, ints, number, population, site * channels + c, count, t, spiked)
    ints[tables[Header.counters] + number * len(COUNTERS) + COMPARES] += compares
    return spiked


@kernel
def reset(floats, p, neuron, second, once):  # type: ignore[no-untyped-def]
    """Reset a neuron that is over threshold until it is not, or `once`; return its spikes."""
    count = 0
    while count < MAX_SPIKES and over_threshold(p, floats[neuron], floats[second]):
        spikes = spikes_over(p, floats[neuron], p.threshold)
        floats[neuron] = after_reset(p, floats[neuron], spikes)
        floats[second] = adapt(p, floats[second], spikes)
        count += spikes
        if once or p.many:
            break
    return count


@kernel
def catch_up_site(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    number: int, population: int, site: int, t: int,
) -> None:  # fmt: skip
    """Bring a site of any neurons up to date."""
    last = tables[Header.last] + tables[population + Population.site] + site
    elapsed = t - ints[last]
    if elapsed == 0:
        return
    ints[last] = t
    channels, group = (
        tables[population + Population.channels],
        site % tables[population + Population.groups],
    )
    first, bias = tables[population + Population.neuron] + site * channels, np.float32(0.0)
    dt = np.float64(tables[Header.dt])
    means = tables[Header.mean] > 0 and number == tables[Header.populations] - 1
    for c in range(channels):
        p = model_of(tables, weights, population, group * channels + c)
        if tables[population + Population.bias] >= 0:
            bias = weights[tables[population + Population.bias] + group * channels + c]
        neuron = first + c
        second = tables[Header.seconds] + neuron
        held = max(0, ints[tables[Header.free_from] + neuron] - (t - elapsed))
        before, second_before = floats[neuron], floats[second]
        u, after = catch_up_us(p, bias, before, second_before, elapsed, held, dt)
        if means:
            index = tables[Header.integrals] + site * channels + c
            ints[index : index + 1].view(np.float64)[0] += integral_us(
                p, bias, before, second_before, u, elapsed, held, dt
            )
        floats[neuron], floats[second] = u, after
    counters = offset(tables[Header.counters] + number * len(COUNTERS))
    ints[counters + DECAYS] += channels * tables[population + Population.leaks]
    ints[counters + BIAS_ADDS] += channels if tables[population + Population.bias] >= 0 else 0


@kernel
def schedule(
    tables: Int64s, weights: Float32s, ints: Int64s, floats: Float32s,
    population: int, site: int, t: int,
) -> None:  # fmt: skip
    """Note when the first neuron of a site will fire without input."""
    channels, group = (
        tables[population + Population.channels],
        site % tables[population + Population.groups],
    )
    plain, dt = tables[population + Population.plain], np.float64(tables[Header.dt])
    second, held, bias, soonest = np.float32(0.0), 0, np.float32(0.0), NEVER
    for c in range(channels):
        p = model_of(tables, weights, population, group * channels + c)
        neuron = tables[population + Population.neuron] + site * channels + c
        if tables[population + Population.bias] >= 0:
            bias = weights[tables[population + Population.bias] + group * channels + c]
        if not plain:
            second = floats[tables[Header.seconds] + neuron]
            held = max(0, ints[tables[Header.free_from] + neuron] - t)
        soonest = min(soonest, due_after(p, bias, floats[neuron], second, held, dt))
    due = t + soonest if soonest < NEVER - t else NEVER
    set_due(tables, ints, tables[population + Population.site] + site, due)
