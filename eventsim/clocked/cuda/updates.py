"""Membranes on a GPU: accumulate and fire, neuron by neuron; the twin of `cpu/updates.py`.

What a rule returns is made float32 again: in Numba's simulator it is a number of Python.
"""

from __future__ import annotations

from numba import cuda, float32, int64, uint32

from ...events.arrays import MAX_STEPS
from ...jit import device_part
from ...network.neurons import catch_up, may_fire, step
from ...network.neurons.lif import POWERS, add_product, catch_up_plain, decayed, fires, lengthened
from ...operations import ACS, INPUT_EVENTS, MACS
from .layout import KINDS, Connection, Entry, Level, Lists, Population, Ring
from .routing import sops_of


@device_part
def add_listed(program, block, graded, channel, filled, membrane):
    """Add to one membrane the listed rows of a layer of one site."""
    weights, rows, k, one = program.weights, block.rows, uint32(0), uint32(1)
    if graded:
        while k < filled:
            weight = float32(weights[uint32(uint32(rows[k]) + channel)])
            membrane = float32(add_product(membrane, weight, block.row_values[k]))
            k = uint32(k + one)
        return membrane
    while k + uint32(4) <= filled:  # four loads on their way at a time
        first = float32(weights[uint32(uint32(rows[k]) + channel)])
        second = float32(weights[uint32(uint32(rows[uint32(k + one)]) + channel)])
        third = float32(weights[uint32(uint32(rows[uint32(k + uint32(2))]) + channel)])
        fourth = float32(weights[uint32(uint32(rows[uint32(k + uint32(3))]) + channel)])
        membrane = (((membrane + first) + second) + third) + fourth
        k = uint32(k + uint32(4))
    while k < filled:
        membrane = membrane + float32(weights[uint32(uint32(rows[k]) + channel)])
        k = uint32(k + one)
    return membrane


@device_part
def add_rows(weights, source, i, end, least, row, stride, membrane):
    """Add to one membrane the weights of source[i:end]; that of neuron `least` is at `row`."""
    one = uint32(1)
    while uint32(i + uint32(4)) <= end:  # four loads on their way at a time
        second, third, fourth = uint32(i + one), uint32(i + uint32(2)), uint32(i + uint32(3))
        a = float32(weights[uint32(row + (uint32(source[i]) - least) * stride)])
        b = float32(weights[uint32(row + (uint32(source[second]) - least) * stride)])
        c = float32(weights[uint32(row + (uint32(source[third]) - least) * stride)])
        d = float32(weights[uint32(row + (uint32(source[fourth]) - least) * stride)])
        membrane = (((membrane + a) + b) + c) + d
        i = uint32(i + uint32(4))
    while i < end:
        at = uint32(row + (uint32(source[i]) - least) * stride)
        membrane = membrane + float32(weights[at])
        i = uint32(i + one)
    return membrane


@device_part
def add_arriving(program, layout, batch, block, way, head, population, site, channel, membrane):
    """Add to one membrane of a site what arrives on a connection; return it, and how many rows."""
    ways, one, added = program.connections, uint32(1), uint32(0)
    if block.heads[head] == block.heads[uint32(head + one)]:
        return membrane, added
    source, values = block.spikes, block.values
    if layout.lists[way, Lists.arrived] >= 0:
        source, values = block.arrived, block.arrived_values
    elif ways[way, Connection.source] < 0:
        source, values = batch.ints, batch.values
    groups, in_channels = (
        uint32(population[Population.groups]),
        uint32(ways[way, Connection.in_channels]),
    )
    place, group = uint32(site // groups), uint32(site % groups)
    offset, in_group = uint32(ways[way, Connection.offset]), uint32(ways[way, Connection.in_group])
    stride, first = (
        uint32(ways[way, Connection.stride]),
        uint32(uint32(ways[way, Connection.incoming]) + place),
    )
    entry = uint32(program.incoming_pointers[first])
    stop = uint32(program.incoming_pointers[uint32(first + one)])
    begins = uint32(layout.lists[way, Lists.begins])
    if layout.lists[way, Lists.simple]:
        while entry < stop:
            position = uint32(program.incoming[entry, Entry.position])
            at = uint32(begins + position)
            i, beyond = uint32(block.begins[at]), uint32(block.begins[uint32(at + one)])
            row, least = uint32(program.incoming[entry, Entry.row]), uint32(position * in_channels)
            row = uint32(row + channel)
            membrane = add_rows(program.weights, source, i, beyond, least, row, stride, membrane)
            added, entry = uint32(added + beyond - i), uint32(entry + one)
        return membrane, added
    valued = ways[way, Connection.graded] > 0
    while entry < stop:
        position, following = program.incoming[entry, Entry.position], uint32(entry + one)
        while following < stop and program.incoming[following, Entry.position] == position:
            following = uint32(following + one)
        at = uint32(begins + uint32(position))
        i, beyond = uint32(block.begins[at]), uint32(block.begins[uint32(at + one)])
        while i < beyond:
            come = uint32(uint32(source[i]) - uint32(position) * in_channels)
            k = entry
            if groups > one and uint32(uint32(offset + come) // in_group) != group:
                k = following
            while k < following:
                row = uint32(uint32(program.incoming[k, Entry.row]) + come * stride)
                weight = float32(program.weights[uint32(row + channel)])
                if valued:
                    membrane = float32(add_product(membrane, weight, values[i]))
                else:
                    membrane = membrane + weight
                added, k = uint32(added + one), uint32(k + one)
            i = uint32(i + one)
        entry = following
    return membrane, added


@device_part
def accumulate(
    program, layout, batch, block, number, population, site, channel, filled, membrane, maps
):
    """Add to one membrane everything that arrives, in the order of the spikes; count the rows."""
    if maps is None or layout.rings[number, Ring.listed]:  # counted when they were listed
        return add_listed(
            program, block, population[Population.graded] > 0, channel, filled, membrane
        )
    head, way = uint32(0), uint32(population[Population.connection])
    beyond = uint32(way + uint32(population[Population.connections]))
    while way < beyond:
        membrane, rows = add_arriving(
            program, layout, batch, block, way, head, population, site, channel, membrane
        )
        if channel == uint32(0) and rows > uint32(0):
            counter = uint32(number * uint32(KINDS) + sops_of(program.connections, way))
            added = int64(rows) * int64(population[Population.channels])
            cuda.atomic.add(block.counters, counter, added)
        head, way = uint32(head + uint32(2)), uint32(way + uint32(1))
    return membrane


@device_part
def fire(program, population, number, block, site, channel, t, u, maps):
    """Compare and reset a membrane of a plain layer; return it, and how often it fired."""
    limit = program.levels[number, Level.limit]
    if not fires(u, limit):
        return u, uint32(0)
    if population[Population.subtract] == 0:
        return program.levels[number, Level.reset_value], uint32(1)
    u = u - program.levels[number, Level.threshold]
    bias = bias_of(program, population, site, channel, maps)
    one_step = program.powers[uint32(uint32(population[Population.powers]) + uint32(1))]
    if fires(catch_up_plain(u, one_step, bias, float32(1)), limit):
        keep_awake(population, block, number, site, t)
    return u, uint32(1)


@device_part
def bias_of(program, population, site, channel, maps):
    """Return the bias of a neuron, 0 where the layer has none."""
    if population[Population.bias] < 0:
        return float32(0)
    of_layer = bias_at(population, site, channel, maps)
    return program.biases[uint32(uint32(population[Population.bias]) + of_layer)]


@device_part
def bias_at(population, site, channel, maps):
    """Return which of the layer's biases a neuron has."""
    if maps is None:
        return channel
    group = uint32(site % uint32(population[Population.groups]))
    return uint32(group * uint32(population[Population.channels]) + channel)


@device_part
def catch_up_one(program, population, u, of_layer, power, gain):
    """Return a membrane of a plain layer after a silence; of_layer: which bias it has."""
    if population[Population.bias] < 0:
        return float32(decayed(u, power))
    bias = program.biases[uint32(uint32(population[Population.bias]) + of_layer)]
    return float32(catch_up_plain(u, power, bias, gain))


@device_part
def keep_awake(population, block, number, site, t):
    """Have a site updated in the next timestep too."""
    block.flags[uint32(uint32(population[Population.site]) + site)] = 1
    turn = uint32(t + uint32(1)) % uint32(2)
    block.pending[uint32(uint32(2) * number + turn)] = 1


@device_part
def site_of(layout, population, block, number, nth, maps):
    """Return the n-th site with work: see `touch`."""
    if maps is None or population[Population.awake] or layout.rings[number, Ring.listed]:
        return uint32(nth)
    return uint32(block.touched[nth])


@device_part
def factors_of(program, population, t, last):
    """Do as the rule of the name, for the timesteps after `last`, which may be -1, through t.

    The gain is that of a layer with a bias.
    """
    silent = uint32(uint32(t + uint32(1)) - uint32(last + 1))
    table, biased = uint32(population[Population.powers]), population[Population.bias] >= 0
    power, gain = float32(1), float32(0)
    while silent > uint32(0):
        k = min(silent, uint32(POWERS))
        more = program.powers[uint32(table + k)]
        if biased:
            gain = float32(lengthened(gain, more, program.gains[uint32(table + k)]))
        power = float32(decayed(power, more))
        silent = uint32(silent - k)
    return power, gain


@device_part
def update_plain(program, layout, batch, block, number, population, site, channel, t, filled, maps):
    """Update one neuron of a plain layer; return how often it fired, and 1: it was free to.

    Those of `quads.py` have caught up, and what arrives is added already.
    """
    neuron = uint32(
        uint32(population[Population.neuron])
        + site * uint32(population[Population.channels])
        + channel
    )
    u = block.membranes[neuron]
    if maps is None or layout.rings[number, Ring.quads] == 0:
        at = uint32(uint32(population[Population.site]) + site)
        power, gain = factors_of(program, population, t, block.last[at])
        u = catch_up_one(
            program, population, u, bias_at(population, site, channel, maps), power, gain
        )
        u = accumulate(
            program, layout, batch, block, number, population, site, channel, filled, u, maps
        )  # fmt: skip
    u, fired = fire(program, population, number, block, site, channel, t, u, maps)
    block.membranes[neuron] = u
    return fired, uint32(1)


@device_part
def integrate(program, layout, batch, block, number, population, site, channel, t, filled, maps):
    """Update one neuron of any kind; return how often it fired, and whether it was free to."""
    channels = uint32(population[Population.channels])
    neuron = uint32(uint32(population[Population.neuron]) + site * channels + channel)
    of_layer = uint32(site % uint32(population[Population.groups]) * channels + channel)
    p = program.parameters[uint32(uint32(population[Population.parameters]) + of_layer)]
    bias = bias_of(program, population, site, channel, maps)
    at, now = uint32(uint32(population[Population.site]) + site), int64(t)
    silent, since = now - 1 - int64(block.last[at]), now - int64(block.free_from[neuron])
    unheld, free = min(silent, max(int64(0), since)), since >= 0
    u, second = catch_up(p, bias, block.membranes[neuron], block.seconds[neuron], silent, unheld)
    u, second = float32(u), float32(second)
    x = accumulate(
        program, layout, batch, block, number, population, site, channel, filled, float32(0), maps
    )  # fmt: skip
    if block.returned[neuron] > 0:
        x = come_back(program, population, block, number, of_layer, neuron, x, p["many"])
    u, second, fired = step(p, bias, u, second, x, free)
    u, second = float32(u), float32(second)
    block.membranes[neuron], block.seconds[neuron] = u, second
    if fired > 0:
        block.free_from[neuron] = min(now + 1 + p["refractory"], int64(MAX_STEPS + 1))
        if population[Population.recurrent] >= 0:
            block.returned[neuron] = float32(fired)
            keep_awake(population, block, number, site, t)
    if may_fire(p, bias, u, second):
        keep_awake(population, block, number, site, t)
    return uint32(fired), uint32(1 if free else 0)


@device_part
def come_back(program, population, block, number, of_layer, neuron, x, many):
    """Add a neuron's own spikes of the timestep before to its input; return that."""
    weight = program.recurrent[uint32(uint32(population[Population.recurrent]) + of_layer)]
    x = float32(add_product(x, weight, block.returned[neuron]))
    block.returned[neuron] = 0
    first = uint32(number * uint32(KINDS))
    kind = uint32(MACS) if many else uint32(ACS)
    cuda.atomic.add(block.counters, uint32(first + uint32(INPUT_EVENTS)), 1)
    cuda.atomic.add(block.counters, uint32(first + kind), 1)
    return x
