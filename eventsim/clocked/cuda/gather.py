"""Layers position by position through time, on a GPU: the twin of `cpu/gather.py`.

A team of threads takes a block of channels of a site, four channels a thread, through the timesteps
of a stretch:

    for timestep:
        list the rows that the site's spikes bring (`visits.py`)
        catch up, add the rows, compare, reset; set the bits of those that fired

`visit_block` is for plain neurons that never fire again without input: their membranes stay in
registers, and teams know nothing of each other. `visit_in_step` is for all others. Where what a
team does concerns another one (layers with recurrence, sites of several blocks of channels) all of
them are in one block of threads, which waits after each timestep.

A membrane meets its weights in the order of the spikes, added up by one thread, and no product is
fused with the addition behind it: the same bits as on the CPU.
"""

from __future__ import annotations

from numba import cuda, float32, int32, int64, uint32

from ...jit import address, device_kernel, device_part, four, four_shared
from ...network.neurons.lif import (
    POWERS,
    add_product,
    catch_up_plain,
    decayed,
    fires,
    lengthened,
)
from ...wiring.program import Program
from .emission import note_spikes
from .layout import DeviceLayout, Layer, Level, Population
from .state import Outcome, State, Stretch
from .updates import (
    bias_of,
    count_threads,
    count_updates,
    four_of,
    keep_four,
    steps_of,
    update_four,
)
from .visits import ROOM, begin_rows, note_rows, team_of


@device_kernel
def visit_block(
    program: Program, layout: DeviceLayout, number: int, state: State, stretch: Stretch,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Take blocks of channels of the sites of all samples through a stretch: a team each."""
    take_blocks(program, layout, number, state, stretch, outcome, 1)


@device_kernel
def visit_wide_block(
    program: Program, layout: DeviceLayout, number: int, state: State, stretch: Stretch,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Do as `visit_block` where a warp is a team: of more than 64 channels."""
    take_blocks(program, layout, number, state, stretch, outcome, None)


@device_part
def take_blocks(program, layout, number, state, stretch, outcome, narrow):
    """Take the block of channels of this thread's team through a stretch."""
    population, layer = program.populations[number], layout.layers[number]
    team = team_of(uint32(layer[Layer.lanes]), cuda.shared.array(0, uint32), narrow)
    thread = uint32(uint32(cuda.blockIdx.x) * uint32(cuda.blockDim.x) + uint32(cuda.threadIdx.x))
    blocks, work = uint32(layer[Layer.blocks]), uint32(thread // team.lanes)
    of_sample = uint32(uint32(population[Population.sites]) * blocks)
    sample, own = uint32(work // of_sample), uint32(work % of_sample)
    if sample >= uint32(stretch.samples):
        return
    site, block = uint32(own // blocks), uint32(own % blocks)
    channel, n = channels_of(population, team, block)
    neuron = uint32(site * uint32(population[Population.channels]) + channel)
    membranes, bits, counts = state.membranes[sample], state.bits[sample], state.counts[sample]
    at = uint32(uint32(population[Population.neuron]) + neuron)
    last, table = uint32(layer[Layer.last] + own), uint32(population[Population.powers])
    u, updated = four_of(membranes, at, n), state.last[sample, last]
    first, aligned = first_of(channel, n), layer[Layer.aligned] > 0
    biases = biases_of(program, population, site, channel, n)
    limit, level = program.levels[number, Level.limit], program.levels[number, Level.reset_value]
    end = uint32(population[Population.connection] + population[Population.connections])
    begin, rows, visits = begin_rows(layout, population, site), int64(0), uint32(0)
    t, steps = uint32(0), steps_of(stretch, sample)
    while t < steps:
        cursor, visited = begin, False
        while cursor.way < end:
            filled, _, cursor = note_rows(
                program, layout, end, bits, counts, site, t, team, None, cursor
            )
            if filled == uint32(0):
                break
            if not visited:
                now = int32(stretch.first + t)
                u = catch_up_block(program, table, biases, uint32(now - updated), u)
                visited, updated = True, now
            cuda.syncwarp(team.mask)
            u = add_rows(program.weights, first, team, None, filled, aligned, u)
            cuda.syncwarp(team.mask)
            rows += filled
        if visited:
            visits = uint32(visits + uint32(1))
            u, fired = reset_block(limit, level, n, u)
            if fired != uint32(0):
                note_spikes(layout, layer, bits, t, neuron, fired)
        t = uint32(t + uint32(1))
    keep_four(membranes, at, n, u)
    cuda.syncwarp(team.mask)  # all have read when the last update was
    if team.lane == uint32(0):
        state.last[sample, last] = updated
        if block == uint32(0):
            compares = int64(visits) * population[Population.channels]
            count_updates(population, visits, rows, compares, number, outcome.numbers[sample])


@device_part
def channels_of(population, team, block):
    """Return a thread's first channel, and how many there are from it on, up to four."""
    channel = uint32(uint32(4) * uint32(block * team.lanes + team.lane))
    channels = uint32(population[Population.channels])
    left = uint32(0)
    if channel < channels:
        left = uint32(channels - channel)
    return channel, uint32(min(left, uint32(4)))


@device_part
def first_of(channel, n):
    """Return the first of a row's weights for a thread; without channels what others read."""
    return channel if n > uint32(0) else uint32(0)


@device_part
def biases_of(program, population, site, channel, n):
    """Return the biases of a thread's channels, 0 where there are none."""
    if population[Population.bias] < 0:
        n = uint32(0)
    return four_of(program.biases, bias_of(population, site, channel), n)


@device_part
def catch_up_block(program, table, biases, silent, u):
    """Return four membranes of a plain layer after the timesteps since their last update.

    `table`: offset of its powers and gains. The rule `factors_of`, with unsigned numbers.
    """
    power, gain = float32(1), float32(0)
    while silent > uint32(0):
        k = uint32(min(silent, uint32(POWERS)))
        more, longer = program.powers[uint32(table + k)], program.gains[uint32(table + k)]
        gain, power = lengthened(gain, more, longer), decayed(power, more)
        silent = uint32(silent - k)
    a, b, c, d = biases
    return (
        catch_up_plain(u[0], power, a, gain), catch_up_plain(u[1], power, b, gain),
        catch_up_plain(u[2], power, c, gain), catch_up_plain(u[3], power, d, gain),
    )  # fmt: skip


@device_part
def reset_block(limit, level, n, u):
    """Compare four membranes and reset them; return them, and bits that say which fired."""
    a, b, c, d = u
    fired = uint32(0)
    if fires(a, limit):
        a, fired = level, uint32(1)
    if fires(b, limit):
        b, fired = level, uint32(fired | uint32(2))
    if fires(c, limit):
        c, fired = level, uint32(fired | uint32(4))
    if fires(d, limit):
        d, fired = level, uint32(fired | uint32(8))
    return (a, b, c, d), uint32(fired & uint32(uint32(15) >> uint32(uint32(4) - n)))


@device_part
def add_rows(weights, channel, team, values, filled, aligned, u):
    """Add the weights from `channel` on of the listed rows to four membranes, or inputs.

    `values`: what rows are multiplied by, unless four weights are one load (`aligned`) and as they
    are.
    """
    a, b, c, d = u
    k, one, own, rows = uint32(0), uint32(1), team.own, team.rows
    if aligned:
        base = address(weights, channel)
        while uint32(k + uint32(4)) <= filled:  # four loads on their way at a time
            first, second, third, fourth = four_shared(rows, uint32(own + k))
            e, f, g, h = four(weights, base, first)
            i, j, m, n = four(weights, base, second)
            o, p, q, r = four(weights, base, third)
            s, v, w, x = four(weights, base, fourth)
            a, b = (((a + e) + i) + o) + s, (((b + f) + j) + p) + v
            c, d = (((c + g) + m) + q) + w, (((d + h) + n) + r) + x
            k = uint32(k + uint32(4))
        while k < filled:
            e, f, g, h = four(weights, base, rows[uint32(own + k)])
            a, b, c, d = a + e, b + f, c + g, d + h
            k = uint32(k + one)
        return a, b, c, d
    value = float32(1)
    while k < filled:
        row = uint32(rows[uint32(own + k)] + channel)
        if values is not None:
            value = values[uint32(own + k)]
        a = add_product(a, float32(weights[row]), value)
        b = add_product(b, float32(weights[uint32(row + one)]), value)
        c = add_product(c, float32(weights[uint32(row + uint32(2))]), value)
        d = add_product(d, float32(weights[uint32(row + uint32(3))]), value)
        k = uint32(k + one)
    return a, b, c, d


@device_kernel
def visit_in_step(
    program: Program, layout: DeviceLayout, number: int, state: State, stretch: Stretch,
    outcome: Outcome,
) -> None:  # fmt: skip
    """Do as `visit_block` for every other layer, whose membranes stay in memory."""
    population, layer = program.populations[number], layout.layers[number]
    threads, lanes = uint32(cuda.blockDim.x), uint32(layer[Layer.lanes])
    values = cuda.shared.array(0, float32)[uint32(threads * uint32(ROOM)) :]
    team = team_of(lanes, cuda.shared.array(0, uint32), 1)
    # A unit is some sites of a sample; `members` teams share what there is to do.
    member, members = uint32(uint32(cuda.threadIdx.x) // lanes), uint32(threads // lanes)
    unit, together = uint32(cuda.blockIdx.x), layer[Layer.together] > 0
    if not together:
        unit, member, members = uint32(unit * members + member), uint32(0), uint32(1)
    sites, blocks = uint32(population[Population.sites]), uint32(layer[Layer.blocks])
    span = uint32(layer[Layer.span])
    units = uint32(sites // span)
    sample, first = uint32(unit // units), uint32(uint32(unit % units) * span)
    if sample >= uint32(stretch.samples):
        return
    visits, rows, multiplied = uint32(0), int64(0), int64(0)
    free, back, several = int64(0), int64(0), int64(0)
    t, steps = uint32(0), steps_of(stretch, sample)
    while t < steps:
        pair = member
        while pair < uint32(span * blocks):
            site, block = uint32(first + uint32(pair // blocks)), uint32(pair % blocks)
            visited, filled, more, frees, backs, severals = visit(
                program, layout, number, state, stretch, outcome, sample, site, block, t, team,
                values,
            )  # fmt: skip
            if block == uint32(0):
                visits = uint32(visits + visited)
                rows, multiplied = int64(rows + filled), int64(multiplied + more)
            free, back, several = (
                int64(free + frees),
                int64(back + backs),
                int64(several + severals),
            )
            pair = uint32(pair + members)
        if together:
            cuda.syncthreads()
        t = uint32(t + uint32(1))
    numbers = outcome.numbers[sample]
    if team.lane == uint32(0):
        count_updates(population, visits, rows, int64(0), number, numbers)
    count_threads(population, multiplied, free, back, several, number, numbers)


@device_part
def visit(program, layout, number, state, stretch, outcome, sample, site, block, t, team, values):
    """Update a block of channels of a site in timestep t of the stretch, if something is due.

    Returns 1 if so, how many rows came, how many of those that this thread listed are multiplied,
    and of its neurons how many were free to fire, had spikes of their own that came back, and
    several of these.
    """
    population, layer = program.populations[number], layout.layers[number]
    cuda.syncwarp(team.mask)  # what was noted in the timestep before is there
    now, bits = int32(stretch.first + t), state.bits[sample]
    due = state.due[sample, due_at(program, population, site, now)] == now
    due = due or population[Population.awake] > 0
    channel, n = channels_of(population, team, block)
    neuron = uint32(site * uint32(population[Population.channels]) + channel)
    at = uint32(uint32(population[Population.neuron]) + neuron)
    last = uint32(uint32(layer[Layer.last]) + uint32(site * uint32(layer[Layer.blocks])) + block)
    plain, zero = population[Population.plain] > 0, float32(0)
    silent, x = int32(now - state.last[sample, last]), (zero, zero, zero, zero)
    own = first_of(channel, n)
    aligned = layer[Layer.aligned] > 0 and population[Population.graded] == 0
    end = uint32(population[Population.connection] + population[Population.connections])
    rows, multiplied, visited = uint32(0), uint32(0), False
    cursor = begin_rows(layout, population, site)
    while cursor.way < end:
        filled, more, cursor = note_rows(
            program, layout, end, bits, state.counts[sample], site, t, team, values, cursor
        )
        if plain and not visited and (due or filled > uint32(0)):
            x = four_of(state.membranes[sample], at, n)
            biases = biases_of(program, population, site, channel, n)
            x = catch_up_block(
                program, uint32(population[Population.powers]), biases, uint32(silent), x
            )  # fmt: skip
        visited = visited or due or filled > uint32(0)
        cuda.syncwarp(team.mask)
        x = add_rows(program.weights, own, team, values, filled, aligned, x)
        cuda.syncwarp(team.mask)
        rows, multiplied = uint32(rows + filled), uint32(multiplied + more)
    free, back, several = uint32(0), uint32(0), uint32(0)
    if visited:
        if team.lane == uint32(0):
            state.last[sample, last] = now
        fired, again, free, back, several = update_four(
            program, layout, number, state, outcome, sample, site, neuron, channel, n, now, t,
            silent, x,
        )  # fmt: skip
        if fired != uint32(0):
            note_spikes(layout, layer, bits, t, neuron, fired)
        if again:
            following = int32(now + 1)
            state.due[sample, due_at(program, population, site, following)] = following
    return uint32(visited), rows, multiplied, free, back, several


@device_part
def due_at(program, population, site, now):
    """Return where it stands that a site has work in a timestep; of the next one elsewhere."""
    turn = uint32(uint32(now & int32(1)) * uint32(program.sites))
    return uint32(turn + uint32(uint32(population[Population.site]) + site))
