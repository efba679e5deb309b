"""A convolution with neurons through one sample, forwards and backwards, site by site.

A site is a position of a map. In: for each site and timestep the channels that are active there.
Out: the same of the neurons; and of the backward pass gradients. Called by `map_stack.py`, whose
threads take some of the samples each.

Each site is a fully connected layer over what reaches it, so `neurons.py` does the work: this file
finds the rows of weights that arrive, and lists what comes of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.jit import Float32s, Int32s, Int64s, Words, inner_kernel, kernel
from eventsim.vectors import lowest_bit

from .neurons import (
    Arrivals,
    Rules,
    RuleSums,
    add_cost,
    counts,
    differentiate,
    gather_values,
    integrate,
    spread_gradient,
)


class SiteLists(NamedTuple):
    """What is not 0 in a map: of site s in timestep t those from pointers[s, t] to [s, t + 1].

    A channel may stand there several times: their values add up.
    """

    pointers: Int64s  # (sites, timesteps + 1), flat
    channels: Int32s
    values: Float32s | None  # None: 1 each


class Taps(NamedTuple):
    """What reaches each site of a map: the taps of a kernel, and the site that each looks at."""

    pointers: Int64s  # (sites + 1,)
    sources: Int32s
    rows: Int32s  # the weights of the tap: those of its first channel


class LayerWeights(NamedTuple):
    """Weights and neurons of a convolution, as kernels read them."""

    rules: Rules
    blocks: Float32s  # [block][row][channel of the block], a row for each tap and channel below
    bias: Float32s  # of all channels of all blocks
    width: int  # channels of a block
    channels: int
    inputs: int  # rows


class Behind(NamedTuple):
    """What the backward pass of a map comes from: the layer behind, and the pool in front of it."""

    children: NDArray[np.int32]  # (windows, sites of a window): the pool's
    maximum: bool  # of a window, or the sum, which is multiplied by:
    scale: np.float32
    gradients: Arrivals  # of the membranes behind that a window reaches
    first: int  # where the pointers of the first timestep stand
    blocks: Float32s  # weights of the layer behind, turned round: [block][row][channel]
    rows: int  # in a block
    apart: int  # blocks from one window to the next; 0: all have the same
    fan_outs: Float32s  # operations behind that a spike leaving each window causes
    by_operations: np.float32  # their gradient


class MapRoom(NamedTuple):
    """What a thread writes to meanwhile."""

    arrivals: Arrivals  # of each site of a window, (sites of a window, timesteps + 1) pointers
    u: Float32s  # (sites of a window, blocks, timesteps, width)
    by_window: Float32s  # (timesteps, width)
    by_spikes: Float32s  # (sites of a window, timesteps, width)
    by_next: Float32s  # (width,)
    bits: Words  # (sites of a window, blocks, timesteps)
    active: Int64s  # taps of a site


class MapGradients(NamedTuple):
    """What comes of the backward pass of a map."""

    blocks: Float32s  # of the weights, as they lie in blocks; samples add to it
    bias: Float32s  # of all channels of all blocks; samples add to it
    rules: RuleSums  # samples add to them
    membranes: SiteLists  # those that are not 0; none where no layer before asks for them


@inner_kernel
def note(
    taps: Taps, site: int, lists: SiteLists, values: Float32s | None, steps: int, to: Arrivals,
    to_values: Float32s | None, active: Int64s, pointer: int, filled: int,
) -> np.int64:  # fmt: skip
    """Note the rows that arrive at a site in each timestep, the first at `filled`.

    `active`: room for the taps that see something. Values are arguments of their own, so that
    Numba knows whether they are. Returns where the rows end.
    """
    n, one, beyond, p = np.uintp(filled), np.uintp(1), np.uintp(steps + 1), np.uintp(pointer)
    seen = np.uintp(0)
    for k in range(np.uintp(taps.pointers[site]), np.uintp(taps.pointers[site + 1])):
        begin = np.uintp(taps.sources[k]) * beyond
        if lists.pointers[begin + np.uintp(steps)] > lists.pointers[begin]:
            active[seen] = k
            seen += one
    for t in range(np.uintp(steps)):
        to.pointers[p + t] = n
        for a in range(seen):
            tap = np.uintp(active[a])
            at, row = np.uintp(taps.sources[tap]) * beyond + t, taps.rows[tap]
            for i in range(np.uintp(lists.pointers[at]), np.uintp(lists.pointers[at + one])):
                to.rows[n] = row + lists.channels[i]
                if values is not None and to_values is not None:
                    to_values[n] = values[i]
                n += one
    to.pointers[p + np.uintp(steps)] = n
    return np.int64(n)


@inner_kernel
def rests(layer: LayerWeights, steps: int, room: MapRoom, backwards: bool) -> bool:
    """Tell whether a site at which nothing arrives neither spikes nor, `backwards`, has a gradient.

    All that moves it are the biases, the same at every site.
    """
    width, size = layer.width, layer.inputs * layer.width
    room.arrivals.pointers[: steps + 1] = 0
    for block in range(len(layer.bias) // width):
        integrate(
            layer.rules, block, layer.blocks, block * size, width, layer.bias, room.arrivals,
            room.arrivals.values, 0, steps, room.u, room.bits,
        )  # fmt: skip
        for t in range(steps):
            if room.bits[t] != 0:
                return False
            if backwards and counts(layer.rules, block, room.u, t * width, width):
                return False
    return True


@kernel
def run_map(
    layer: LayerWeights, taps: Taps, lists: SiteLists, steps: int, room: MapRoom, found: SiteLists
) -> int:
    """Run all sites of a map through time; list their spikes, and return how many there are."""
    width, blocks, filled = layer.width, len(layer.bias) // layer.width, 0
    size = layer.inputs * width
    silent = rests(layer, steps, room, False)
    for site in range(len(taps.pointers) - 1):
        arrived = note(
            taps, site, lists, lists.values, steps, room.arrivals, room.arrivals.values,
            room.active, 0, 0,
        )  # fmt: skip
        if silent and arrived == 0:
            end_of_site = (site + 1) * (steps + 1)
            found.pointers[end_of_site - steps - 1 : end_of_site] = filled
            continue
        for block in range(blocks):
            integrate(
                layer.rules, block, layer.blocks, block * size, width, layer.bias, room.arrivals,
                room.arrivals.values, 0, steps, room.u, room.bits[block * steps :],
            )  # fmt: skip
        filled = list_bits(room.bits, site, blocks, steps, width, found, filled)
    return filled


@inner_kernel
def list_bits(
    bits: Words, site: int, blocks: int, steps: int, width: int, found: SiteLists, filled: int
) -> np.int64:
    """List the channels of a site whose bits are 1; return where the list ends."""
    to, pointer = np.uintp(filled), np.uintp(site * (steps + 1))
    for t in range(steps):
        found.pointers[pointer] = to
        pointer += np.uintp(1)
        for block in range(blocks):
            word = bits[block * steps + t]
            while word != 0:
                found.channels[to] = block * width + np.int64(lowest_bit(word))
                word &= word - np.uint64(1)
                to += np.uintp(1)
    found.pointers[pointer] = to
    return np.int64(to)


@kernel
def differentiate_map(
    layer: LayerWeights, taps: Taps, lists: SiteLists, behind: Behind, behind_taps: Taps | None,
    behind_lists: SiteLists | None, steps: int, room: MapRoom, found: MapGradients, wanted: bool,
) -> int:  # fmt: skip
    """Run all sites of a map through time and back, a window of the pool behind them at a time.

    `behind_taps`, `behind_lists`: of a convolution behind; without, a fully connected layer is, all
    of whose membranes reach each window. Where it is `wanted`, lists the gradients of the membranes
    and returns how many there are. Sites that no window has get no gradient.
    """
    width, blocks, filled = layer.width, len(layer.bias) // layer.width, 0
    size, children = layer.inputs * width, behind.children.shape[1]
    silent = rests(layer, steps, room, True)
    for window in range(len(behind.children)):
        end = 0
        for child in range(children):
            end = note(
                taps, behind.children[window, child], lists, lists.values, steps, room.arrivals,
                room.arrivals.values, room.active, child * (steps + 1), end,
            )  # fmt: skip
        if silent and end == 0:
            continue
        if behind_taps is not None and behind_lists is not None:
            note(
                behind_taps, window, behind_lists, behind_lists.values, steps, behind.gradients,
                behind.gradients.values, room.active, 0, 0,
            )  # fmt: skip
        for block in range(blocks):
            for child in range(children):
                own = (child * blocks + block) * steps
                integrate(
                    layer.rules, block, layer.blocks, block * size, width, layer.bias,
                    room.arrivals, room.arrivals.values, child * (steps + 1), steps,
                    room.u[own * width :], room.bits[own:],
                )  # fmt: skip
            collect_window(layer, behind, window, block, blocks, steps, room)
            if behind.maximum:
                route(layer.rules.threshold, block, blocks, children, steps, width, room)
            by_bias = found.bias[block * width :]
            for child in range(children):
                own = (child * blocks + block) * steps
                u, words, by_spikes = room.u[own * width :], room.bits[own:], room.by_window
                if behind.maximum:
                    by_spikes = room.by_spikes[child * steps * width :]
                differentiate(
                    layer.rules, block, width, steps, u, by_spikes, room.by_next, words,
                    found.rules,
                )  # fmt: skip
                for t in range(steps):
                    if words[t] != 0:
                        spread_gradient(
                            found.blocks, block * size, width, by_bias, room.arrivals,
                            room.arrivals.values, child * (steps + 1) + t, u, t * width,
                        )  # fmt: skip
        if wanted:
            for child in range(children):
                filled = list_numbers(
                    room.u[child * blocks * steps * width :],
                    room.bits[child * blocks * steps :], behind.children[window, child],
                    blocks, steps, width, found.membranes, found.membranes.values, filled,
                )  # fmt: skip
    return filled


@inner_kernel
def collect_window(
    layer: LayerWeights, behind: Behind, window: int, block: int, blocks: int, steps: int,
    room: MapRoom,
) -> None:  # fmt: skip
    """Sum up the gradient of a window over the layer behind; 0 where it counts for nothing."""
    width, by_window = layer.width, room.by_window
    base = (window * behind.apart + block) * behind.rows * width
    for t in range(steps):
        asked = False
        for child in range(behind.children.shape[1]):
            at = ((child * blocks + block) * steps + t) * width
            asked = asked or counts(layer.rules, block, room.u, at, width)
        if asked:
            gather_values(
                by_window, t * width, behind.blocks, base, width, behind.gradients,
                behind.gradients.values, behind.first + t,
            )  # fmt: skip
        else:
            by_window[t * width : (t + 1) * width] = 0
    if behind.scale != 1:
        for k in range(np.uintp(steps * width)):
            by_window[k] *= behind.scale
    cost, channels = behind.by_operations * behind.fan_outs[window], layer.channels - block * width
    for t in range(steps):
        add_cost(by_window, t * width, min(width, channels), cost)


@inner_kernel
def route(
    threshold: Float32s, block: int, blocks: int, children: int, steps: int, width: int,
    room: MapRoom,
) -> None:  # fmt: skip
    """Give the gradient of a maximum to the first site of the window that spikes.

    Where none does all are equal, and the first of all gets it, as in torch.
    """
    u, by_window, by_spikes, size = room.u, room.by_window, room.by_spikes, steps * width
    for k in range(size):
        chosen, limit = 0, threshold[block * width + k % width]
        for child in range(children):
            by_spikes[child * size + k] = 0
        for child in range(children - 1, -1, -1):
            if u[(child * blocks + block) * size + k] > limit:
                chosen = child
        by_spikes[chosen * size + k] = by_window[k]


@inner_kernel
def list_numbers(
    u: Float32s, bits: Words, site: int, blocks: int, steps: int, width: int, found: SiteLists,
    values: Float32s | None, filled: int,
) -> np.int64:  # fmt: skip
    """List a site's numbers (blocks, timesteps, width) whose bits are 1; return where it ends."""
    to, pointer = np.uintp(filled), np.uintp(site * (steps + 1))
    for t in range(steps):
        found.pointers[pointer] = to
        pointer += np.uintp(1)
        for block in range(blocks):
            at = np.uintp(block * steps + t)
            word, first = bits[at], at * np.uintp(width)
            while word != 0 and values is not None:
                k = lowest_bit(word)
                found.channels[to] = block * width + np.int64(k)
                values[to] = u[first + k]
                word &= word - np.uint64(1)
                to += np.uintp(1)
    found.pointers[pointer] = to
    return np.int64(to)
