"""Lists of a map's sites: made of binned events, pooled, and laid out for a layer behind the map.

In and out: `SiteLists`, `Arrivals`. Called by `map_stack.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, Int32s, Int64s, inner_kernel, kernel

from .maps import SiteLists
from .neurons import Arrivals


@kernel
def list_sites(
    pointers: Int64s, cells: Int32s, values: Float32s | None, steps: int, found: SiteLists,
    found_values: Float32s | None, places: Int64s,
) -> None:  # fmt: skip
    """List the cells of a sample, (channel * sites + site), by site and timestep.

    `pointers`: where each timestep begins, (steps + 1,). `places`: room for (sites, steps + 1).
    """
    beyond = steps + 1
    sites = len(found.pointers) // beyond
    places[:] = 0
    for t in range(steps):
        for i in range(pointers[t], pointers[t + 1]):
            places[np.uintp(cells[i] % sites * beyond + t)] += 1
    filled = 0
    for site_and_step in range(sites * beyond):
        found.pointers[site_and_step] = filled
        filled += places[site_and_step]
        places[site_and_step] = found.pointers[site_and_step]
    for t in range(steps):
        for i in range(pointers[t], pointers[t + 1]):
            at = np.uintp(cells[i] % sites * beyond + t)
            to = np.uintp(places[at])
            found.channels[to] = cells[i] // sites
            if values is not None and found_values is not None:
                found_values[to] = values[i]
            places[at] += 1


@kernel
def pool_lists(
    lists: SiteLists, values: Float32s | None, children: NDArray[np.int32], maximum: bool,
    scale: np.float32, steps: int, found: SiteLists, found_values: Float32s | None, slots: Int64s,
) -> int:  # fmt: skip
    """List what the sites of each window give together; return how many entries there are.

    Sums keep every entry, with its value times `scale`; of a maximum, each channel has one.
    `slots`: 0 for each channel.
    """
    to, beyond = 0, steps + 1
    for window in range(len(children)):
        for t in range(steps):
            begin = to
            found.pointers[window * beyond + t] = to
            for child in range(children.shape[1]):
                at = children[window, child] * beyond + t
                for i in range(lists.pointers[at], lists.pointers[at + 1]):
                    channel, value = lists.channels[i], np.float32(1.0)
                    if values is not None:
                        value = values[i]
                    if maximum and slots[channel] > 0:
                        raise_to(found_values, slots[channel] - 1, value)
                        continue
                    found.channels[to] = channel
                    if found_values is not None:
                        found_values[to] = value * scale
                    to += 1
                    slots[channel] = to
            for i in range(begin, to):
                slots[found.channels[i]] = 0
        found.pointers[window * beyond + steps] = to
    return to


@inner_kernel
def raise_to(values: Float32s | None, at: int, value: np.float32) -> None:
    """Let an entry be at least a value."""
    if values is not None:
        values[at] = max(values[at], value)


@kernel
def count_timesteps(lists: SiteLists, steps: int, counts: Int64s) -> None:
    """Add up how many entries each timestep has."""
    beyond = steps + 1
    for site in range(len(lists.pointers) // beyond):
        for t in range(steps):
            at = site * beyond + t
            counts[t] += lists.pointers[at + 1] - lists.pointers[at]


@kernel
def arrive(
    lists: SiteLists, values: Float32s | None, steps: int, places: Int64s, to: Arrivals,
    to_values: Float32s | None,
) -> None:  # fmt: skip
    """Write a sample's entries as rows (channel * sites + site) of a layer behind.

    `places`: where the next entry of each timestep goes.
    """
    beyond = steps + 1
    sites = len(lists.pointers) // beyond
    for site in range(sites):
        for t in range(steps):
            at = site * beyond + t
            for i in range(lists.pointers[at], lists.pointers[at + 1]):
                to.rows[places[t]] = lists.channels[i] * sites + site
                if values is not None and to_values is not None:
                    to_values[places[t]] = values[i]
                places[t] += 1
