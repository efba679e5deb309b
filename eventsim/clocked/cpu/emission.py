"""Spikes that leave a layer: as bits while it gathers, and as lists, ascending in each timestep."""

from __future__ import annotations

import numpy as np

from ...jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel_part
from ...vectors import (
    BLOCK,
    LANES,
    above_in_block,
    above_in_lanes,
    lowest_bit,
    number_of_bits,
)
from ...wiring.program import Population
from .state import State


@inner_kernel
def bits_of(x: Float32s, first: int, width: int) -> np.uint64:
    """Return bits that say which of the `width` neurons from `first` on spiked."""
    at = np.uintp(first)
    if width == BLOCK:
        return above_in_block(x, at, np.float32(0))
    bits = np.uint64(0)
    for k in range(np.uintp(width // LANES)):
        some = above_in_lanes(x, at + k * np.uintp(LANES), np.float32(0))
        bits |= some << np.uint64(k * np.uintp(LANES))
    return bits


@inner_kernel
def note_visit(visited: Words, t: int, site: int, sites: int) -> None:
    """Note that a site is visited in a timestep: each of its blocks then has a word of spikes.

    Only these words are ever read, so no other needs to be 0.
    """
    word = np.uintp(t * ((sites + 63) >> 6) + (site >> 6))
    visited[word] |= np.uint64(1) << np.uint64(site & 63)


@kernel_part
def emit_noted(population: Int64s, state: State, steps: int, slot: int) -> np.int64:
    """Append the neurons that spiked in the timesteps of a chunk, ascending in each.

    Those of timestep t begin at starts[slot + t]; the first is given. Returns the spikes, of which
    a neuron may emit many in a timestep. Bits, and not lists of the sites or neurons that fired:
    blocks come one after the other, so that a list would have to be sorted.
    """
    masks, visited, spikes, starts = state.masks, state.visited, state.spikes, state.starts
    width, channels = population[Population.width], population[Population.channels]
    sites, blocks = population[Population.sites], -(-channels // width)
    words, end, one = np.uintp((sites + 63) >> 6), np.uintp(starts[slot]), np.uintp(1)
    at, begin, several = np.uintp(0), np.uintp(starts[slot]), np.int64(0)
    for t in range(np.uintp(steps)):
        for word in range(words):
            noted = visited[at]
            at += one
            while noted != 0:
                site = np.int64(word << np.uintp(6)) + np.int64(lowest_bit(noted))
                noted &= noted - np.uint64(1)
                first = np.uintp((np.int64(t) * sites + site) * blocks)
                for block in range(blocks):
                    neuron = np.uintp(site * channels + block * width)
                    end = emit(spikes, end, neuron, masks[first + np.uintp(block)])
        starts[slot + np.int64(t) + 1] = end
        if population[Population.many]:
            of_step = np.uintp(np.int64(t) * sites * channels)
            for k in range(np.uintp(starts[slot + np.int64(t)]), end):
                value = state.multiples[of_step + np.uintp(spikes[k])]
                state.spike_values[k] = value
                several += np.int64(value)
    return several if population[Population.many] else np.int64(end - begin)


@inner_kernel
def emit(spikes: Int32s, end: np.uintp, neuron: np.uintp, crossed: np.uint64) -> np.uintp:
    """Append the neurons whose bits are set, bit 0 being `neuron`; return the new end.

    Four at a time, so that up to three places behind the end are written to as well: how many
    there are is hard to predict. 9,700 spikes in 2,400 words: 17 us one by one, 5 so; two or eight
    at a time are faster only where one or ten are set.
    """
    to, one = end, np.uint64(1)
    end += np.uintp(number_of_bits(crossed))
    while crossed != 0:
        for k in range(np.uintp(4)):
            spikes[to + k] = neuron + lowest_bit(crossed)
            crossed &= crossed - one
        to += np.uintp(4)
    return end
