"""A network as the kernels of every engine see it: flat arrays, made by `wire.py`."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import Flags, Float32s, Int32s, Int64s, Weights

# Rows, and visits of sites, that a gathered layer notes before it adds them; after that it ends the
# site that it is at.
NOTED = 2**14


class Columns(IntEnum):
    """Columns of a table, numbered from 0. The kernels read `table[row, Column.name]`.

    A table of plain numbers and not of records: with a record for each population a convolutional
    network took 12.2 instead of 11.0 ms a sample.
    """

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> int:
        return count


class Population(Columns):
    """What the kernels know of a population: columns of `Program.populations`."""

    connection = auto()  # number of the first connection, and how many there are
    connections = auto()
    groups = auto()
    sites = auto()  # groups included
    channels = auto()  # per site
    stored = auto()  # length of a weight row: the channels, or for one site whole cache lines
    rows_per_site = auto()  # the most rows that one timestep can bring to a site
    graded = auto()  # 1 where rows are multiplied by a value before they are added
    awake = auto()  # 1 where every site is updated in every timestep
    settles = auto()  # 1 where neurons in fixed point need no more than `fixed_rows.advance`
    plain = auto()  # 1 where the whole layer is LIF of one kind: a loop over arrays will do
    alike = auto()  # 1 where no channel has parameters of its own
    many = auto()  # 1 where a neuron may spike several times in a timestep
    neuron = auto()  # offset of the layer's membranes
    site = auto()  # offset of what is kept per site
    bias = auto()  # offset of the biases, -1 without
    biases = auto()  # likewise, but of zeros where a layer that is not plain has none
    recurrent = auto()  # offset of the weights from each neuron to itself, -1 without
    parameters = auto()  # offset of the records of `NEURON_DTYPE`, one for each channel
    powers = auto()  # plain: offset of the table of decay powers, and of their sums
    variables = auto()  # a neuron has: membrane, current or adaptation, refractory time
    leaks = auto()  # how many of them are multiplied by a decay other than 1
    changes = auto()  # 1 where time changes a neuron without input
    subtract = auto()  # plain: 1 where a reset subtracts the threshold
    spike = auto()  # offset of the spikes of a stretch of timesteps
    start = auto()  # offset of the pointers to the first spike of each timestep
    remembered = auto()  # timesteps before the stretch: the longest delay behind the layer
    together = auto()  # neighbouring sites that are updated together, each with its parameters
    width = auto()  # lanes that are gathered at a time, 0 where rows are never gathered
    gather_from = auto()  # spikes in a timestep, on average of a stretch, from which rows are,
    gather_least = auto()  # and beside that as many in a stretch
    chunk = auto()  # timesteps that are gathered at a time
    looks_up = auto()  # 1 where a site asks for the spikes of positions, 0 where all reach it
    blocks = auto()  # offset of the weights, block by block
    block = auto()  # their number in a block
    runs = auto()  # offset of the pointers to the runs of each site
    index = auto()  # length of a row of where the spikes of each position begin


class Level(Columns):
    """Levels of a population's membranes, where it is plain: columns of `Program.levels`."""

    limit = auto()  # a membrane above it fires
    threshold = auto()
    reset_value = auto()


class Value(Columns):
    """Parameters of a channel that its neurons compute with: rows of `Program.values`."""

    decay = auto()
    threshold = auto()
    reset_value = auto()
    lower_bound = auto()
    second_decay = auto()
    coupling = auto()


class Connection(Columns):
    """What the kernels know of a connection: columns of `Program.connections`."""

    source = auto()  # number of the population whose spikes arrive; -1 is the input
    start = auto()  # offset of the source's pointers to its spikes of the stretch's first timestep
    delay = auto()  # timesteps
    delayed = auto()  # offset of a flag for each channel of the source; -1: all arrive
    arriving = auto()  # offset of the pointers to what arrives in the stretch's first timestep: to
    # the source's spikes of `delay` timesteps before, or to a list of what of them gets past a max
    # pool and delays
    admitted = auto()  # offset of the spikes of such a list, -1 where there is none
    graded = auto()  # 1 where spikes come with a value
    in_channels = auto()  # of the source
    offset = auto()  # channels that arrive before those of the source
    in_group = auto()  # input channels that share a group of output channels
    reach = auto()  # offset of the pointers: first entry of each input position
    patches = auto()  # likewise in `patch_pointers`
    stride = auto()  # from the weight row of one channel to that of the next
    twice = auto()  # 1 where a position may reach a site twice, through pools that overlap
    direct = auto()  # offset of the row of each input, where each reaches one site; otherwise -1
    positions = auto()  # of the source
    fan_out = auto()  # offset of the number of sites that each position reaches
    index = auto()  # offset in that row
    pooled = auto()  # offset of the max pool's pointers, -1 without one
    pooled_cells = auto()  # cells x channels of the max pool


class Span(Columns):
    """A span, neighbouring sites whose weight rows follow each other: as `Program.spans`.

    For a max pool each span is a cell, and `row` the number of the cell's channel 0.
    """

    site = auto()  # first site, before groups
    sites = auto()  # how many
    row = auto()  # offset in `weights` of the first site's row for channel 0 of the source


class Run(Columns):
    """A run (see `runs.py`): as `Program.runs`, those of a site one after the other."""

    first = auto()  # the entry of the index where its spikes begin,
    beyond = auto()  # and where they end
    constant = auto()  # what is added to the number of a spike to make that of its row
    graded = auto()  # 1 where they come with a value


class Patch(Columns):
    """Spans of a position that spikes scatter to at once, as `Program.patches`.

    Up to `scattered_rows.PIECES` of as many sites, equally far apart.
    """

    site = auto()  # of the first span, in group 0
    sites = auto()
    row = auto()
    pieces = auto()  # how many spans
    site_pitch = auto()  # from the site of one to that of the next, and from row to row
    row_pitch = auto()


class Program(NamedTuple):
    """A network as the kernels see it; see the columns above for offsets into the arrays."""

    populations: NDArray[np.int64]  # (populations, Population)
    levels: NDArray[np.float32]  # (populations, Level)
    connections: NDArray[np.int64]  # (connections, Connection)
    pointers: Int64s  # reach: spans of input position p are pointers[reach + p : reach + p + 2]
    spans: NDArray[np.int32]  # (spans, Span)
    patch_pointers: Int64s  # likewise from Connection.patches on
    patches: NDArray[np.int32]  # (patches, Patch)
    run_pointers: Int64s  # with p from Population.runs on: site s has runs[p[s] : p[s + 1]]
    runs: NDArray[np.int32]  # (runs, Run)
    fan_outs: Int32s
    blocks: Weights  # those of gathered layers again, block by block
    direct: Int32s  # offset in `weights` of the row of each input of a fully connected layer
    weights: Weights
    biases: Float32s
    recurrent: Float32s
    parameters: NDArray[Any]  # records of NEURON_DTYPE
    values: NDArray[np.float32]  # (Value, channels): what of them vectors are made of
    powers: Float32s  # decay^k, k = 0 .. POWERS
    gains: Float32s  # 1 + decay + ... + decay^(k-1)
    delayed: Flags
    rests: Float32s  # (channels of the last layer,) what its membranes are measured from
    neurons: int  # of all layers
    sites: int
    input_spike: int  # of the input cells, as the fields of a population
    input_start: int
    input_remembered: int
    stretch: int  # timesteps that a layer runs through before the next one follows
    spikes: int  # that all layers together can emit in a stretch, with those remembered
    starts: int
    masks: int  # words of 64 spikes that a gathered layer can emit in a chunk
    visited: int  # words of 64 sites, of its timesteps
    multiples: int  # neurons times timesteps of a chunk, where they may spike several times
    inputs: int  # what comes to the largest layer that is not plain, at a time
    begins: int  # entries of where the spikes of positions begin, of a layer in a chunk
    words: int  # positions of all connections of a gathered layer
    visits: int  # that are noted at a time
    most_sites: int  # of a layer
    visit_rows: int
    pooled_cells: int  # of the largest max pool
    outputs: int
    readout: int  # index into READOUTS
    graded: bool  # whether any population is
