"""Membranes on a GPU, apart from what reaches them; the twin of `cpu/updates.py`."""

from __future__ import annotations

from numba import cuda, float32, float64, int32, int64, uint32

from ...events.arrays import MAX_STEPS
from ...jit import device_kernel, device_part
from ...network.graph import READOUTS
from ...network.neurons import catch_up, is_late, may_fire, step
from ...network.neurons.lif import add_product, catch_up_plain, fires
from ...operations import (
    ACS,
    BIAS_ADDS,
    COMPARES,
    COUNTERS,
    DECAYS,
    INPUT_EVENTS,
    MACS,
    OUTPUT_SPIKES,
    RESETS,
    SITE_UPDATES,
    UPDATES,
)
from ...wiring.program import Program
from .binning import SEEN
from .layout import DeviceLayout, Layer, Level, Population, Way
from .state import Outcome, State, Stretch

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))
KINDS = len(COUNTERS)


@device_part
def steps_of(stretch, sample):
    """Return how many timesteps of the stretch a sample's recording has."""
    left = int32(stretch.lengths[sample]) - int32(stretch.first)
    return uint32(min(max(left, int32(0)), int32(stretch.steps)))


@device_part
def four_of(values, at, n):
    """Return values[at : at + n], up to four, and 0 for those that are not there."""
    a, b, c, d = float32(0), float32(0), float32(0), float32(0)
    if n > uint32(0):
        a = values[at]
    if n > uint32(1):
        b = values[uint32(at + uint32(1))]
    if n > uint32(2):
        c = values[uint32(at + uint32(2))]
    if n > uint32(3):
        d = values[uint32(at + uint32(3))]
    return a, b, c, d


@device_part
def keep_four(values, at, n, u):
    """Put up to four numbers where `four_of` finds them."""
    if n > uint32(0):
        values[at] = u[0]
    if n > uint32(1):
        values[uint32(at + uint32(1))] = u[1]
    if n > uint32(2):
        values[uint32(at + uint32(2))] = u[2]
    if n > uint32(3):
        values[uint32(at + uint32(3))] = u[3]


@device_part
def bias_of(population, site, channel):
    """Return which of the biases is that of a neuron, in a layer with biases."""
    return uint32(uint32(population[Population.biases]) + channel_of(population, site, channel))


@device_part
def channel_of(population, site, channel):
    """Return which of the layer's channels a site's is: of its group."""
    group = uint32(site % uint32(population[Population.groups]))
    return uint32(uint32(group * uint32(population[Population.channels])) + channel)


@device_part
def count_updates(population, visits, rows, compares, number, numbers):
    """Count what so many visits of sites took, and the rows that came; by one thread of a team."""
    first, channels = uint32(number * KINDS), int64(population[Population.channels])
    neurons = int64(visits) * channels
    cuda.atomic.add(numbers, uint32(first + ACS), int64(rows * channels))
    cuda.atomic.add(numbers, uint32(first + SITE_UPDATES), int64(visits))
    cuda.atomic.add(
        numbers, uint32(first + UPDATES), int64(neurons * population[Population.variables])
    )
    cuda.atomic.add(numbers, uint32(first + DECAYS), int64(neurons * population[Population.leaks]))
    cuda.atomic.add(numbers, uint32(first + COMPARES), compares)
    if population[Population.bias] >= 0:
        cuda.atomic.add(numbers, uint32(first + BIAS_ADDS), neurons)


@device_part
def count_threads(population, multiplied, free, back, several, number, numbers):
    """Count what each thread counted: rows that are multiplied, of those that have been counted as
    ACs; neurons free to fire; and their spikes that came back to them, `several` more than once."""
    first, macs = uint32(number * KINDS), multiplied * population[Population.channels]
    cuda.atomic.add(numbers, uint32(first + COMPARES), free)
    if back > 0:
        cuda.atomic.add(numbers, uint32(first + INPUT_EVENTS), back)
    cuda.atomic.add(numbers, uint32(first + ACS), int64(back - several - macs))
    cuda.atomic.add(numbers, uint32(first + MACS), int64(several + macs))


@device_part
def update_four(
    program, layout, number, state, outcome, sample, site, neuron, channel, n, now, t, silent, x
):
    """Bring up to four neighbouring neurons to a timestep, with what has come to them.

    x: the inputs; of plain neurons the membranes, caught up and with the inputs. Returns bits that
    say which fired, whether one may fire again without input, how many were free to fire, to how
    many spikes of their own came back, and to how many of them several.
    """
    population, layer = program.populations[number], layout.layers[number]
    reads = number == len(program.populations) - 1 and outcome.membranes.shape[1] > 0
    row = uint32(uint32(t + uint32(layout.remembered)) * uint32(layout.numbers))
    row = uint32(uint32(row + uint32(layer[Layer.counts])) + neuron)
    fired, again, free, k = uint32(0), False, uint32(0), uint32(0)
    back, several = uint32(0), uint32(0)
    while k < n:
        value = x[0]
        if k == uint32(1):
            value = x[1]
        if k == uint32(2):
            value = x[2]
        if k == uint32(3):
            value = x[3]
        at = uint32(uint32(population[Population.neuron]) + neuron + k)
        bias = float32(0)
        if population[Population.bias] >= 0:
            bias = program.biases[uint32(bias_of(population, site, channel) + k)]
        if population[Population.plain]:
            u, spikes, more = update_plain(program, population, number, value, bias)
            state.membranes[sample, at] = u
            free = uint32(free + uint32(1))
        else:
            own = uint32(
                bias_of(population, site, channel) + k - uint32(population[Population.biases])
            )
            u, spikes, more, frees, returned = update(
                program, population, state, sample, at, own, now, silent - 1, value, bias
            )
            free = uint32(free + frees)
            back = uint32(back + uint32(1 if returned > 0 else 0))
            several = uint32(several + uint32(1 if returned > 1 else 0))
        again = again or more
        if spikes > 0:
            fired = uint32(fired | uint32(uint32(1) << k))
            if layer[Layer.counts] >= 0:
                state.counts[sample, uint32(row + k)] = spikes
        if reads:
            read_membrane(program, outcome.membranes[sample], uint32(neuron + k), u)
        k = uint32(k + uint32(1))
    return fired, again, free, back, several


@device_part
def update_plain(program, population, number, u, bias):
    """Compare and reset a membrane; return it, how often it fired, and whether it may again."""
    limit = program.levels[number, Level.limit]
    if not fires(u, limit):
        return u, int32(0), False
    if population[Population.subtract] == 0:
        return program.levels[number, Level.reset_value], int32(1), False
    u = u - program.levels[number, Level.threshold]
    power = program.powers[uint32(uint32(population[Population.powers]) + uint32(1))]
    return u, int32(1), fires(catch_up_plain(u, power, bias, float32(1)), limit)


@device_part
def update(program, population, state, sample, at, own, now, silent, x, bias):
    """Bring a neuron of any model to a timestep, with input x, after so many silent timesteps.

    Returns its membrane, how often it fired, whether it may again without input, 1 if it was free
    to fire, and how many spikes of its own came back.
    """
    p = program.parameters[uint32(uint32(population[Population.parameters]) + own)]
    u, second, loop = (
        state.membranes[sample, at],
        state.seconds[sample, at],
        population[Population.recurrent],
    )
    since, returned = now - state.free_from[sample, at], float32(0)
    unheld, free = min(silent, max(int32(0), int32(since))), since >= 0
    u, second = catch_up(p, bias, u, second, int64(silent), int64(unheld))
    if loop >= 0:
        returned = float32(state.returned[sample, at])
    if returned > 0:
        x = add_product(x, program.recurrent[uint32(uint32(loop) + own)], returned)
    late = is_late(p)
    u, second, fired = step(p, bias, u, second, x, free, late)
    again = may_fire(p, bias, u, second, late)
    state.membranes[sample, at], state.seconds[sample, at] = u, second
    if fired > 0:
        free_from = min(int64(now) + 1 + p["refractory"], int64(MAX_STEPS + 1))
        state.free_from[sample, at] = free_from
    if loop >= 0:
        state.returned[sample, at] = fired
        again = again or fired > 0
    return u, fired, again, uint32(1 if free else 0), returned


@device_part
def read_membrane(program, membranes, neuron, u):
    """Note a membrane of the last layer, or add it to those of the timesteps before."""
    membrane = float64(u + program.rests[uint32(neuron % uint32(len(program.rests)))])
    if program.readout == MEAN_MEMBRANE:
        membrane += membranes[neuron]
    membranes[neuron] = membrane


@device_kernel
def read_out(
    program: Program, layout: DeviceLayout, state: State, stretch: Stretch, outcome: Outcome
) -> None:
    """Count the spikes of a stretch, those that arrive, and those of outputs: a block a sample."""
    sample, layers = uint32(cuda.blockIdx.x), uint32(len(program.populations))
    numbers, steps, seen = outcome.numbers[sample], steps_of(stretch, sample), layers * KINDS
    number = uint32(0)
    while number < layers:
        population, layer = program.populations[number], layout.layers[number]
        first, way = uint32(number * KINDS), uint32(population[Population.connection])
        resets, spikes = count_bits(
            layout, state, sample, layer[Layer.bits], layer[Layer.counts], layer[Layer.words], -1,
            0, steps,
        )  # fmt: skip
        cuda.atomic.add(numbers, uint32(first + RESETS), resets)
        cuda.atomic.add(numbers, uint32(first + OUTPUT_SPIKES), spikes)
        end = uint32(way + uint32(population[Population.connections]))
        while way < end:
            place = layout.ways[way]
            arrived, _ = count_bits(
                layout, state, sample, place[Way.bits], -1, place[Way.words], place[Way.mask],
                place[Way.delay], steps,
            )  # fmt: skip
            cuda.atomic.add(numbers, uint32(first + INPUT_EVENTS), arrived)
            way = uint32(way + uint32(1))
        number = uint32(number + uint32(1))
    neuron, at = uint32(cuda.threadIdx.x), uint32(seen + SEEN)
    while neuron < uint32(program.outputs):
        read_output(program, layout, state, sample, steps, stretch.first, numbers, at, neuron)
        neuron = uint32(neuron + uint32(cuda.blockDim.x))


@device_part
def count_bits(layout, state, sample, bits, counts, words, mask, delay, steps):
    """Count a thread's share of the bits that come from a source: those, and their spikes.

    A warp takes a timestep, a thread a word of it.
    """
    found, spikes, t = int64(0), int64(0), uint32(uint32(cuda.threadIdx.x) >> uint32(5))
    while t < steps:
        word, row = uint32(cuda.threadIdx.x & 31), uint32(t + uint32(layout.remembered - delay))
        first = uint32(uint32(row * uint32(layout.words)) + uint32(bits))
        number = uint32(uint32(row * uint32(layout.numbers)) + uint32(counts))
        while word < uint32(words):
            some = state.bits[sample, uint32(first + word)]
            if mask >= 0:
                some = uint32(some & layout.masks[uint32(uint32(mask) + word)])
            found += cuda.popc(some)
            while counts >= 0 and some != uint32(0):
                neuron = uint32(uint32(word << uint32(5)) + uint32(cuda.ffs(int32(some)) - 1))
                some = uint32(some & uint32(some - uint32(1)))
                spikes += state.counts[sample, uint32(number + neuron)]
            word = uint32(word + uint32(32))
        t = uint32(t + uint32(uint32(cuda.blockDim.x) >> uint32(5)))
    return found, spikes if counts >= 0 else found


@device_part
def read_output(program, layout, state, sample, steps, first, numbers, at, neuron):
    """Note how often an output fired, and when first; that of all stands from `at` on."""
    layer = layout.layers[uint32(len(program.populations) - 1)]
    spikes, t = uint32(at + neuron), uint32(0)
    firsts = uint32(spikes + uint32(program.outputs))
    own = uint32(uint32(layer[Layer.bits]) + uint32(neuron >> uint32(5)))
    while t < steps:
        row = uint32(t + uint32(layout.remembered))
        word = state.bits[sample, uint32(uint32(row * uint32(layout.words)) + own)]
        if (word >> uint32(neuron & uint32(31))) & uint32(1):
            times = int32(1)
            if layer[Layer.counts] >= 0:
                number = uint32(uint32(row * uint32(layout.numbers)) + uint32(layer[Layer.counts]))
                times = state.counts[sample, uint32(number + neuron)]
            numbers[spikes] += int64(times)
            if numbers[firsts] < 0:
                numbers[firsts] = int64(first + t)
        t = uint32(t + uint32(1))
