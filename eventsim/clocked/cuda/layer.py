"""The clocked engine on a GPU: for every timestep and layer route, accumulate, fire.

One block runs one sample from beginning to end, and then the next one that is due; its threads meet
at barriers of the block alone. The steps are those of `cpu.py`:

route       the spikes that arrive are listed as weight rows (a layer of one site), or else noted by
            the position that they come from, and the sites they reach are flagged
accumulate  a thread takes one neuron of a touched site, lets it catch up with the silent timesteps,
            and adds its weights in the order of the spikes
fire        it compares and resets; the neurons that fired are listed in ascending order

A membrane meets its weights in the same order as on the CPU, and no product is fused with the
addition behind it, so that spikes and counts are the same, bit for bit, every time. Counters alone
are added up by several threads at once, and they are integers.

Called by `run.py`. `layout.py` says where everything stands; arrays are those of
`Program`. Lists that several threads fill are filled in the order of `rank`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import cuda, float32, float64, int32, int64, uint32

from ...jit import device_kernel, device_part, rule
from ...network.graph import READOUTS
from ...operations import (
    BIAS_ADDS,
    COMPARES,
    DECAYS,
    OUTPUT_SPIKES,
    RESETS,
    SITE_UPDATES,
    UPDATES,
)
from ...wiring.program import Program
from .layout import KINDS, Batch, DeviceLayout, Memory, Outcomes, Population, Region, Ring
from .quads import accumulate_quads
from .routing import rank, route_all, touch
from .updates import integrate, site_of, update_plain

LAST_MEMBRANE, MEAN_MEMBRANE = map(READOUTS.index, ("last-membrane", "mean-membrane"))


class Block(NamedTuple):
    """What a block changes, and the recording that it runs; see `Region` for the arrays."""

    pending: Any
    heads: Any
    ends: Any
    rows: Any
    spikes: Any
    begins: Any
    last: Any
    flags: Any
    touched: Any
    pooled: Any
    arrived: Any
    free_from: Any
    membranes: Any
    row_values: Any
    values: Any
    arrived_values: Any
    seconds: Any
    returned: Any
    counters: Any
    words: Any  # uint32, three times as many as there are warps


@rule
def region(shared, own, at):
    """Return the array that begins at an offset of `DeviceLayout.regions`."""
    if at >= 0:
        return shared[at:]
    return own[-1 - at :]


@device_kernel
def run_listed(
    program: Program, layout: DeviceLayout, batch: Batch, memory: Memory, outcomes: Outcomes
) -> None:
    """Run every sample of a batch, block by block; add to `outcomes`, which says nothing yet.

    For networks of plain layers of one site whose rows are listed (`DeviceLayout.listed`).
    """
    run_samples(program, layout, batch, memory, outcomes, None, None)


@device_kernel
def run_plain(
    program: Program, layout: DeviceLayout, batch: Batch, memory: Memory, outcomes: Outcomes
) -> None:
    """Do as `run_listed`, for every network of plain layers."""
    run_samples(program, layout, batch, memory, outcomes, 1, None)


@device_kernel
def run_any(
    program: Program, layout: DeviceLayout, batch: Batch, memory: Memory, outcomes: Outcomes
) -> None:
    """Do as `run_listed`, for every network."""
    run_samples(program, layout, batch, memory, outcomes, 1, 1)


@device_part
def run_samples(program, layout, batch, memory, outcomes, maps, kinds):
    """Run a batch; without `maps` and `kinds` (of neurons) what they need is not even compiled.

    It takes registers, of which a block of `run_listed` has to get along with a quarter.
    """
    shared_ints, shared_floats = cuda.shared.array(0, int32), cuda.shared.array(0, float32)
    words, counters = cuda.shared.array(0, uint32), cuda.shared.array(0, int64)
    own = uint32(cuda.blockIdx.x)
    ints, floats, at = memory.ints[own], memory.floats[own], layout.regions
    sample = own
    while sample < uint32(batch.samples):
        block = Block(  # in the order of its fields: numba-cuda takes few keywords
            region(shared_ints, ints, at[Region.pending]),
            region(shared_ints, ints, at[Region.heads]),
            region(shared_ints, ints, at[Region.ends]),
            region(shared_ints, ints, at[Region.rows]),
            region(shared_ints, ints, at[Region.spikes]),
            region(shared_ints, ints, at[Region.begins]),
            region(shared_ints, ints, at[Region.last]),
            region(shared_ints, ints, at[Region.flags]),
            region(shared_ints, ints, at[Region.touched]),
            region(shared_ints, ints, at[Region.pooled]),
            region(shared_ints, ints, at[Region.arrived]),
            region(shared_ints, ints, at[Region.free_from]),
            region(shared_floats, floats, at[Region.membranes]),
            region(shared_floats, floats, at[Region.row_values]),
            region(shared_floats, floats, at[Region.values]),
            region(shared_floats, floats, at[Region.arrived_values]),
            region(shared_floats, floats, at[Region.seconds]),
            region(shared_floats, floats, at[Region.returned]),
            counters if layout.counted else outcomes.numbers[sample],
            words[uint32(layout.words) :],
        )
        run_sample(program, layout, batch, block, sample, outcomes, maps, kinds)
        sample = uint32(sample + uint32(cuda.gridDim.x))


@device_part
def run_sample(program, layout, batch, block, sample, outcomes, maps, kinds):
    """Run one sample from silence through all of its timesteps."""
    layers = uint32(len(program.populations))
    clear(program, block, layout)
    begin_outcomes(program, layout, outcomes, sample)
    cuda.syncthreads()
    turn, recorded, t, one = uint32(0), uint32(0), uint32(0), uint32(1)
    steps = uint32(batch.ints[uint32(uint32(batch.samples) + sample)])
    while t < steps:
        number = uint32(0)
        while number < layers:
            turn, recorded = run_layer(
                program, layout, batch, block, sample, number, t, outcomes, turn, recorded, maps,
                kinds,
            )  # fmt: skip
            number = uint32(number + one)
        t = uint32(t + one)
    i = uint32(cuda.threadIdx.x)
    while layout.counted and i < uint32(layout.counts):
        outcomes.numbers[sample, i] = block.counters[i]
        i = uint32(i + uint32(cuda.blockDim.x))
    if cuda.threadIdx.x == 0:
        outcomes.numbers[sample, uint32(layout.counts)] = recorded
    # Nothing depends on it, but without it the assembler kept more at hand: 80 registers of
    # run_listed on sm_90 where it takes 56, and 121 of run_plain where it takes 80.
    cuda.syncthreads()


@device_part
def begin_outcomes(program, layout, outcomes, sample):
    """Have nothing come out of a sample yet."""
    first = uint32(uint32(layout.counts) + uint32(1) + uint32(program.outputs))  # of first spikes
    i = uint32(cuda.threadIdx.x)
    while i < uint32(first + uint32(program.outputs)):
        outcomes.numbers[sample, i] = -1 if i >= first else 0
        i = uint32(i + uint32(cuda.blockDim.x))
    i = uint32(cuda.threadIdx.x)
    while i < uint32(outcomes.membranes.shape[1]):
        outcomes.membranes[sample, i] = 0.0
        i = uint32(i + uint32(cuda.blockDim.x))


@device_part
def clear(program, block, layout):
    """Silence a block, before each sample."""
    layers = uint32(len(program.populations))
    fill(block.membranes, uint32(program.neurons), float32(0))
    if layout.general:
        fill(block.seconds, uint32(program.neurons), float32(0))
        fill(block.returned, uint32(program.neurons), float32(0))
        fill(block.free_from, uint32(program.neurons), int32(0))
    fill(block.last, uint32(program.sites), int32(-1))
    fill(block.flags, uint32(program.sites), int32(0))
    fill(block.pooled, uint32(program.pooled_cells), int32(0))
    fill(block.pending, uint32(uint32(2) * layers), int32(0))
    if layout.counted:
        fill(block.counters, uint32(layers * uint32(KINDS)), int64(0))
    fill(block.words, uint32(uint32(3) * uint32((cuda.blockDim.x + 31) // 32)), uint32(0))


@device_part
def fill(array, size, value):
    """Fill the beginning of an array, all threads together."""
    i = uint32(cuda.threadIdx.x)
    while i < size:
        array[i] = value
        i = uint32(i + uint32(cuda.blockDim.x))


@device_part
def run_layer(
    program, layout, batch, block, sample, number, t, outcomes, turn, recorded, maps, kinds
):
    """Run one layer through one timestep; return the next turn of `rank`, and spikes recorded."""
    population = program.populations[number]
    thread, threads = uint32(cuda.threadIdx.x), uint32(cuda.blockDim.x)
    slot = uint32(t & uint32(layout.rings[number, Ring.last]))
    end = uint32(uint32(layout.rings[number, Ring.ends]) + slot)
    if thread == 0:
        block.ends[end] = 0
    waits = uint32(uint32(2) * number + t % uint32(2))
    pending = block.pending[waits] > 0
    filled, arrived, turn = route_all(
        program, layout, batch, block, sample, number, t, turn, maps
    )  # fmt: skip
    if not (arrived or pending or population[Population.awake]):
        return turn, recorded
    touched, turn = touch(layout, population, block, number, filled, pending, turn, maps)
    if thread == 0:
        block.pending[waits] = 0
    ring = uint32(
        uint32(layout.rings[number, Ring.spikes]) + slot * uint32(layout.rings[number, Ring.size])
    )
    if maps is not None and layout.rings[number, Ring.quads]:
        accumulate_quads(program, layout, batch, block, number, population, touched, t, maps)
        cuda.syncthreads()
    turn, emitted, spikes, compares = fire_touched(
        program, layout, batch, block, sample, number, population, touched, ring, t, filled,
        outcomes, turn, recorded, maps, kinds,
    )  # fmt: skip
    i = thread
    while i < touched:
        site = site_of(layout, population, block, number, i, maps)
        block.last[uint32(uint32(population[Population.site]) + site)] = t
        i = uint32(i + threads)
    if thread == 0:
        block.ends[end] = emitted
    count(population, block.counters, number, touched, emitted, spikes, compares)
    cuda.syncthreads()
    return turn, uint32(recorded + emitted)


@device_part
def fire_touched(
    program, layout, batch, block, sample, number, population, touched, ring, t, filled, outcomes,
    turn, recorded, maps, kinds,
):  # fmt: skip
    """Update the neurons of the touched sites, and list those that fire from `ring` on, ascending.

    Returns the next turn of `rank`, how many fired, and the spikes and comparisons of this thread.
    """
    thread, threads = uint32(cuda.threadIdx.x), uint32(cuda.blockDim.x)
    first, emitted, spikes, compares = uint32(0), uint32(0), uint32(0), uint32(0)
    while first < uint32(touched * uint32(population[Population.channels])):
        fired, neuron, item = uint32(0), uint32(0), uint32(first + thread)
        if item < uint32(touched * uint32(population[Population.channels])):
            fired, free, neuron = update(
                program, layout, batch, block, number, population, item, t, filled, maps, kinds
            )
            compares, spikes = uint32(compares + free), uint32(spikes + fired)
            if number == uint32(len(program.populations) - 1):
                read_out(program, layout, population, block, sample, neuron, fired, t, outcomes)
        before, total, turn = rank(fired > uint32(0), block.words, turn)
        if fired > uint32(0):
            place = uint32(emitted + before)
            block.spikes[uint32(ring + place)] = neuron
            if kinds is not None and population[Population.plain] == 0:
                block.values[uint32(ring + place)] = float32(fired)
            record(outcomes.spikes, sample, uint32(recorded + place), number, t, neuron, fired)
        emitted, first = uint32(emitted + total), uint32(first + threads)
    return turn, emitted, spikes, compares


@device_part
def update(program, layout, batch, block, number, population, item, t, filled, maps, kinds):
    """Update a neuron of a touched site: how often it fired, whether it was free to, and which."""
    channels = uint32(population[Population.channels])
    nth, channel = uint32(0), item
    if maps is not None:
        nth = uint32(item // channels)
        channel = uint32(item - nth * channels)
    site = site_of(layout, population, block, number, nth, maps)
    if kinds is not None and population[Population.plain] == 0:
        fired, free = integrate(
            program, layout, batch, block, number, population, site, channel, t, filled, maps
        )  # fmt: skip
    else:
        fired, free = update_plain(
            program, layout, batch, block, number, population, site, channel, t, filled, maps
        )  # fmt: skip
    return fired, free, uint32(site * channels + channel)


@device_part
def read_out(program, layout, population, block, sample, neuron, fired, t, outcomes):
    """Note the spikes of a neuron of the last layer, and its membrane where it is read out."""
    if fired > uint32(0):
        at = uint32(uint32(layout.counts) + uint32(1) + neuron)
        outcomes.numbers[sample, at] += int64(fired)
        first = uint32(at + uint32(program.outputs))
        if outcomes.numbers[sample, first] < 0:
            outcomes.numbers[sample, first] = t
    if program.readout == LAST_MEMBRANE or program.readout == MEAN_MEMBRANE:
        u = block.membranes[uint32(uint32(population[Population.neuron]) + neuron)]
        rest = program.rests[uint32(neuron % uint32(len(program.rests)))]
        membrane = float64(u + rest)
        if program.readout == MEAN_MEMBRANE:
            membrane += outcomes.membranes[sample, neuron]
        outcomes.membranes[sample, neuron] = membrane


@device_part
def record(spikes, sample, place, number, t, neuron, times):
    """Keep a spike, if there is room."""
    if place < uint32(spikes.shape[1]):
        spikes[sample, place, 0], spikes[sample, place, 1] = number, t
        spikes[sample, place, 2], spikes[sample, place, 3] = neuron, times


@device_part
def count(population, counters, number, touched, emitted, spikes, compares):
    """Add up what a layer did in a timestep, but for what the threads counted that did it.

    touched, emitted: of the layer; spikes, compares: of this thread.
    """
    first = uint32(number * uint32(KINDS))
    if spikes > uint32(0):
        cuda.atomic.add(counters, uint32(first + uint32(OUTPUT_SPIKES)), int64(spikes))
    if compares > uint32(0):
        cuda.atomic.add(counters, uint32(first + uint32(COMPARES)), int64(compares))
    if cuda.threadIdx.x == 0:
        neurons = int64(touched) * int64(population[Population.channels])
        updates, decays = (
            neurons * population[Population.variables],
            neurons * population[Population.leaks],
        )
        cuda.atomic.add(counters, uint32(first + uint32(RESETS)), int64(emitted))
        cuda.atomic.add(counters, uint32(first + uint32(SITE_UPDATES)), int64(touched))
        cuda.atomic.add(counters, uint32(first + uint32(UPDATES)), updates)
        cuda.atomic.add(counters, uint32(first + uint32(DECAYS)), decays)
        if population[Population.bias] >= 0:
            cuda.atomic.add(counters, uint32(first + uint32(BIAS_ADDS)), neurons)
