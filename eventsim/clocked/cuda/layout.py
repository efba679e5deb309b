"""What the kernels look up beside the `Program`: where spikes stand, and what reaches each site.

In: a `Program`. Out: a `DeviceLayout`. Spikes are bits: a sample has a row of words for every
timestep, in it the input's cells, then the neurons of each layer, then what gets past each max
pool. How many spikes a bit stands for, where that may be many, is in a row of numbers beside it.
"""

from __future__ import annotations

from collections import namedtuple
from enum import auto
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...jit import Int32s
from ...wiring import program as columns
from ...wiring.program import Columns, Program

WORD, QUAD, WARP = 32, 4, 32  # bits, channels of a thread, threads
MOST = 2**31  # numbers of a sample that 32 bits can count


class WayColumns(Columns):
    """Where what arrives on a connection stands: `DeviceLayout.ways[connection, Way...]`.

    Eight, so that a row is two loads: `visits.note_rows` has them in this order.
    """

    bits = auto()  # offset in a row of bits, and of numbers (-1: each stands for one spike)
    counts = auto()
    words = auto()  # of its bits
    delay = auto()  # timesteps; that before a max pool has passed
    mask = auto()  # offset of a mask for each word, of the channels that have the delay; -1: all
    items = auto()  # offset of the pointers to the items of each site
    stride = auto()  # from the row of a bit to that of the next
    direct = auto()  # offset in `Program.direct` where rows are numbers of these; else -1


class LayerColumns(Columns):
    """How a layer is shared out: `DeviceLayout.layers[population, Layer...]`."""

    bits = auto()
    counts = auto()
    words = auto()  # of its bits
    lanes = auto()  # threads that share a block of channels of a site, four channels each
    blocks = auto()  # of channels
    last = auto()  # offset of the timestep of the last update of each site and block
    aligned = auto()  # 1 where four weights are one load
    in_step = auto()  # 1 for `gather.visit_in_step`, 0 for `visit_block`; of the former:
    together = auto()  # 1 where what one team does concerns another
    span = auto()  # sites that one block of threads takes then: all of a layer with recurrence


class ItemColumns(Columns):
    """A word of the source's bits that reaches a site: four numbers of `DeviceLayout.items`."""

    word = auto()
    mask = auto()  # 0 in what goes on with the item before
    row = auto()  # of its bit 0, whether or not that reaches the site
    count = auto()  # rows of each bit; those after the first are in the items behind this one


def _constants(columns: type[Columns]) -> Any:
    """Return columns as a tuple with names: numba-cuda takes no enum for an index."""
    make: Any = namedtuple
    kind = make(columns.__name__, [column.name for column in columns])
    return kind(*map(int, columns))


Population, Level = _constants(columns.Population), _constants(columns.Level)
Connection, Span = _constants(columns.Connection), _constants(columns.Span)
# Whatever of a plain layer `visit_block` does not do.
AGAIN = Population.subtract, Population.awake, Population.graded
Way, Layer, Item = map(_constants, (WayColumns, LayerColumns, ItemColumns))


class DeviceLayout(NamedTuple):
    """Tables for the kernels; see the columns above."""

    ways: NDArray[np.int32]  # (connections, Way)
    layers: NDArray[np.int32]  # (populations, Layer)
    items: Int32s  # (4 items,)
    pointers: Int32s
    masks: NDArray[np.uint32]
    input_words: int  # the first in a row,
    input_counted: int  # and 1 where the first of a row of numbers are how often each counts
    remembered: int  # rows before a stretch, for the longest delay
    words: int  # of a row of bits
    numbers: int  # of a row of numbers
    lasts: int


def lay_out(program: Program, cells: int) -> DeviceLayout:
    """Place the spikes of a network with so many input cells, and find what reaches each site.

    Raises `NetworkError` for a network whose numbers 32 bits cannot count.
    """
    row, tables, ways = _Row(), _Tables(), program.connections
    graded = bool((ways[ways[:, Connection.source] < 0, Connection.graded] > 0).any())
    sources = {-1: row.place(cells, graded)}  # the first in a row: `binning.py` relies on it
    layers = np.zeros((len(program.populations), len(Layer)), np.int32)
    lasts = 0
    for number, population in enumerate(program.populations):
        sites, channels = population[[Population.sites, Population.channels]].tolist()
        quads = -(-channels // QUAD)
        lanes = min(WARP, 1 << (quads - 1).bit_length())
        blocks = -(-quads // lanes)
        sources[number] = row.place(sites * channels, bool(population[Population.many]))
        first = population[Population.connection]
        own = ways[first : first + population[Population.connections], Connection.source] == number
        in_step = own.any() or not population[Population.plain] or population[list(AGAIN)].any()
        span = sites if own.any() else 1
        layers[number] = (
            *sources[number], lanes, blocks, lasts, population[Population.stored] % QUAD == 0,
            in_step, span * blocks > 1, span,
        )  # fmt: skip
        lasts += sites * blocks
    placed = np.zeros((len(ways), len(Way)), np.int32)
    for population in program.populations:
        number = population[Population.connection]
        for way in range(number, number + population[Population.connections]):
            bits, counts, words = sources[int(ways[way, Connection.source])]
            delay = ways[way, Connection.delay]
            if ways[way, Connection.pooled] >= 0:
                bits, counts, words = row.place(ways[way, Connection.pooled_cells], counts >= 0)
                delay = 0
            placed[way] = bits, counts, words, delay, *tables.add(program, population, ways[way])
    remembered = int(ways[:, Connection.delay].max())
    size = (remembered + 1) * max(row.words, row.numbers)
    if size >= MOST:
        raise NetworkError(f"{size} words of spikes a sample, expected fewer than 2^31 on a GPU")
    return DeviceLayout(
        placed, layers, *tables.joined(), sources[-1][2], int(graded), remembered, row.words,
        row.numbers, lasts,
    )  # fmt: skip


class _Row:
    """Where the spikes of a timestep stand."""

    def __init__(self) -> None:
        self.words = self.numbers = 0

    def place(self, neurons: int, counted: bool) -> tuple[int, int, int]:
        """Take room; return where in a row of bits, and of numbers, and how many words."""
        words = -(-int(neurons) // WORD)
        place = self.words, self.numbers if counted else -1, words
        self.words += words
        self.numbers += int(neurons) * counted
        return place


class _Tables:
    """The items of all connections laid end to end."""

    def __init__(self) -> None:
        self._items = [np.zeros((0, len(Item)), np.int64)]
        self._pointers = [np.zeros(0, np.int64)]
        self._masks = [np.zeros(0, np.uint32)]

    def add(self, program: Program, population: Any, connection: Any) -> tuple[int, int, int, int]:
        """Add the items of a connection; return the fields of `Way` from `mask` on."""
        positions, channels = connection[[Connection.positions, Connection.in_channels]].tolist()
        direct, stride = connection[[Connection.direct, Connection.stride]].tolist()
        size, mask = positions * channels, -1
        arrive = np.full(-(-size // WORD), 2**WORD - 1, np.int64)
        if connection[Connection.delayed] >= 0 and connection[Connection.pooled] < 0:
            flags = program.delayed[connection[Connection.delayed] :][:channels]
            bits = np.packbits(np.tile(flags, positions), bitorder="little")
            arrive = np.resize(np.append(bits, np.zeros(3, np.uint8)), 4 * len(arrive))
            arrive = arrive.view("<u4").astype(np.int64)
            mask = sum(map(len, self._masks))
            self._masks.append(arrive.astype(np.uint32))
        if direct >= 0:
            numbers, stride = np.arange(len(arrive)), 1
            whole = np.minimum(size - WORD * numbers, WORD)
            ones = np.ones(len(arrive), np.int64)
            items = np.stack([numbers, (ones << whole) - 1, WORD * numbers, ones], axis=1)
            site = np.zeros(len(arrive), np.int64)
        else:
            site, items = _items(program, population, connection)
        items[:, Item.mask] &= arrive[items[:, Item.word]]
        counts = np.bincount(site, minlength=population[Population.sites])
        first, pointer = sum(map(len, self._items)), sum(map(len, self._pointers))
        self._items.append(items)
        self._pointers.append(first + np.concatenate([[0], np.cumsum(counts)]))
        return mask, pointer, stride, direct

    def joined(self) -> tuple[Int32s, Int32s, NDArray[np.uint32]]:
        """Return items, pointers and masks."""
        items = np.concatenate(self._items).reshape(-1).astype(np.uint32).view(np.int32)
        return items, np.concatenate(self._pointers).astype(np.int32), np.concatenate(self._masks)


def _items(program: Program, population: Any, connection: Any) -> tuple[Any, Any]:
    """Return the sites, ascending, and the items of what reaches them."""
    reach, positions, channels, stride = (
        int(connection[column]) for column in (
            Connection.reach, Connection.positions, Connection.in_channels, Connection.stride
        )
    )  # fmt: skip
    groups, in_group = int(population[Population.groups]), int(connection[Connection.in_group])
    pointers = program.pointers[reach : reach + positions + 1]
    spans = program.spans[pointers[0] : pointers[-1]].astype(np.int64)
    several = spans[:, Span.sites]
    position = np.repeat(np.repeat(np.arange(positions), np.diff(pointers)), several)
    nth = _counted(several)
    site = np.repeat(spans[:, Span.site], several) + nth
    row = np.repeat(spans[:, Span.row], several) + nth * population[Population.stored]
    row -= position * channels * stride  # of the source's first bit
    found = []
    for group in range(groups):  # of the source's channels those that the group has
        first, stop = (n * in_group - connection[Connection.offset] for n in (group, group + 1))
        first, stop = max(first, 0), min(stop, channels)
        if first < stop:
            begin, end = position * channels + first, position * channels + stop
            words = (end - 1) // WORD - begin // WORD + 1
            word = np.repeat(begin // WORD, words) + _counted(words)
            low = np.maximum(np.repeat(begin, words) - WORD * word, 0)
            high = np.minimum(np.repeat(end, words) - WORD * word, WORD)
            mask = (np.int64(1) << high) - (np.int64(1) << low)
            rows = np.repeat(row, words) + WORD * word * stride
            of = np.repeat(np.stack([site * groups + group, position]), words, axis=1)
            found.append(np.stack([*of, word, mask, rows]))
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, len(Item)), np.int64)
    entries = np.concatenate(found, axis=1)
    site, position, word, mask, rows = entries[:, np.lexsort(entries[2::-1])]
    again = np.zeros(len(site), np.bool_)  # one more row for the same bits
    again[1:] = (np.diff(site) == 0) & (np.diff(position) == 0) & (np.diff(word) == 0)
    firsts = np.flatnonzero(~again)
    count = np.repeat(np.diff(np.append(firsts, len(site))), np.diff(np.append(firsts, len(site))))
    return site, np.stack([word, np.where(again, 0, mask), rows, count], axis=1)


def _counted(several: Any) -> Any:
    """Return 0 .. n - 1 for each n."""
    return np.arange(several.sum()) - np.repeat(np.cumsum(several) - several, several)
