"""The dense pass: every input of a layer, spike or not, where so many spike that it is faster.

A row that is fetched for one site is used again for the next one while it is in the nearest cache,
and nothing is listed. A membrane meets the same rows in the same order as on the other ways, those
of silent inputs multiplied by 0: the same spikes and the same counts, bit for bit.

Arguments are the arrays of `Program` and `State`, those of sites and neurons cut to the layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...jit import Flags, Float32s, Int32s, Int64s, Weights, inner_kernel, kernel
from ...vectors import add_map_to_8, add_map_to_16, add_map_to_32, add_map_to_64, weight_at
from ...wiring.program import Connection, Entry, Population
from .updates import catch_up_site


@kernel
def sweep(
    way: int,
    ways: NDArray[np.int64],
    population: Int64s,
    incoming_pointers: Int64s,
    incoming: NDArray[np.int32],
    source: Int32s,
    begin: int,
    end: int,
    t: int,
    weights: Weights,
    u: Float32s,
    last: Int32s,
    flags: Flags,
    begins: Int32s,
    frame: Float32s,
    powers: Float32s,
    gains: Float32s,
    biases: Float32s,
) -> int:
    """Bring the flagged sites to timestep t and add the rows of the spikes source[begin:end].

    `begins` is that of `routing.index`; `frame` is all 0, and left so. Returns how many rows of
    spikes were added, which does not count those of silent inputs.
    """
    first, reached = ways[way, Connection.incoming], 0
    for site in range(population[Population.sites]):
        if not flags[site]:
            continue
        if last[site] != t:
            catch_up_site(population, site, t - last[site], u, powers, gains, biases)
            last[site] = t
        for entry in range(incoming_pointers[first + site], incoming_pointers[first + site + 1]):
            position = incoming[entry, Entry.position]
            reached += begins[position + 1] - begins[position]
    for i in range(begin, end):
        frame[source[i]] = 1
    c, channels = np.uintp(0), np.uintp(population[Population.channels])
    while c < channels:
        left = channels - c
        width = np.uintp(64)
        while width > left:
            width //= np.uintp(2)
        add_channels(
            way, ways, population, incoming_pointers, incoming, weights, u, frame, c, width
        )
        c += width
    for i in range(begin, end):
        frame[source[i]] = 0
    return reached


@inner_kernel
def add_channels(
    way: int,
    ways: NDArray[np.int64],
    population: Int64s,
    incoming_pointers: Int64s,
    incoming: NDArray[np.int32],
    weights: Weights,
    u: Float32s,
    frame: Float32s,
    c: np.uintp,
    width: np.uintp,
) -> None:
    """Add to the channels c .. c + width - 1 of every site: its first position, its second, ...

    The rows of the n-th positions of two sites are mostly the same: those of one kernel tap. So
    `width` channels of one tap are read from the nearest cache, site after site. (All taps of a
    site, then the next site: half the speed.)
    """
    first, stride = np.uintp(ways[way, Connection.incoming]), np.uintp(ways[way, Connection.stride])
    in_channels, channels = (
        np.uintp(ways[way, Connection.in_channels]),
        np.uintp(population[Population.channels]),
    )
    position_column, row_column, one = np.uintp(Entry.position), np.uintp(Entry.row), np.uintp(1)
    for number in range(np.uintp(ways[way, Connection.fan_in])):
        for site in range(np.uintp(population[Population.sites])):
            entry = np.uintp(incoming_pointers[first + site]) + number
            if entry >= np.uintp(incoming_pointers[first + site + one]):
                continue
            begin = np.uintp(incoming[entry, position_column]) * in_channels
            row, to = np.uintp(incoming[entry, row_column]) + c, site * channels + c
            end = begin + in_channels
            if width == np.uintp(64):
                add_map_to_64(u, to, frame, begin, end, weights, row, stride)
            elif width == np.uintp(32):
                add_map_to_32(u, to, frame, begin, end, weights, row, stride)
            elif width == np.uintp(16):
                add_map_to_16(u, to, frame, begin, end, weights, row, stride)
            elif width == np.uintp(8):
                add_map_to_8(u, to, frame, begin, end, weights, row, stride)
            else:
                for k in range(width):
                    membrane, at = u[to + k], row + k
                    for i in range(begin, end):
                        membrane += frame[i] * weight_at(weights, at)
                        at += stride
                    u[to + k] = membrane
