"""Where the asynchronous kernels find what, in `tables`, `weights`, `ints` and `floats`.

`layout.py` fills them.
"""

from __future__ import annotations

from enum import auto

from ..wiring.program import Columns

NEVER = 2**62  # later than any event

# Of how many elapsed times a plain population remembers the decay: a power took 25 ns. In N-MNIST
# 99 % of the times between events are below 1024 us. A power of two.
MEMO = 1024


class Header(Columns):
    """The header of `tables`."""

    populations = auto()  # how many; the rows of `Population` begin at `population`
    population = auto()
    ways = auto()  # how many; the rows of `Way` begin at `way`
    way = auto()
    dt = auto()
    width = auto()
    height = auto()
    polarities = auto()
    outputs = auto()
    mean = auto()  # 1 where the readout is the mean membrane
    waits = auto()  # 1 where anything can happen between events
    alone = auto()  # 1 where a neuron can fire by itself
    # offsets into `ints`:
    counters = auto()
    spike_counts = auto()
    first_spikes = auto()
    integrals = auto()  # float64 in disguise
    lengths = auto()  # spikes of each population in this instant
    last = auto()  # time of each site's last update
    marks = auto()  # the instant in which each site was reached last
    touched = auto()  # sites with work in this instant
    due = auto()  # time at which a site fires by itself
    places = auto()  # where in the heap it stands, -1 if nowhere
    heap = auto()  # sites, the earliest first
    ready = auto()  # sites that are due now
    free_from = auto()  # time at which each neuron's refractory time ends
    pooled = auto()  # active cells of a max pool
    queues = auto()  # rows of `Queue`, and how many
    queue_rows = auto()
    input_queue = auto()  # the row of the input's, -1 where no event waits
    heads = auto()  # of each way: the next spike in the queue to arrive
    memo = auto()  # the elapsed times whose decay is known, MEMO for each population
    hop_counts = auto()  # what `spike_counts` was at the last hops, a row each
    hop_room = auto()  # how many rows there is room for
    # offsets into `floats`; membranes begin at 0:
    seconds = auto()  # currents or adaptations
    inputs = auto()  # what arrives at each neuron in this instant, where it is kept apart
    pooled_values = auto()
    powers = auto()  # power and gain for each entry of `memo`


class Population(Columns):
    """A population: a row of `tables`."""

    sites = auto()
    channels = auto()  # per site
    groups = auto()
    site = auto()  # number of the first site, and of the first neuron
    neuron = auto()
    way = auto()  # offset of the first way's row, and how many
    ways = auto()
    plain = auto()  # 1 where vector loops will do
    alone = auto()  # 1 where a neuron can fire without input
    kind = auto()
    at_threshold = auto()
    many = auto()
    reset = auto()
    refractory = auto()  # microseconds
    bias = auto()  # offset into `weights`, -1 without
    levels = auto()  # offset into `weights` of a row of LEVELS for each channel
    variables = auto()
    leaks = auto()
    spikes = auto()  # offset into `ints` of (neuron, how often) of this instant's spikes
    queue = auto()  # offset of the row of `Queue`, -1 where no spike waits
    stored = auto()  # length of a row of weights
    rows = auto()  # offset into `ints` of the list of `dense.py`, -1 for other layers


class Way(Columns):
    """A way on which spikes reach a population: a row of `tables`."""

    source = auto()  # population, -1 is the input
    delay = auto()  # microseconds
    channels_delayed = auto()  # offset of a flag for each channel of the source; -1: all arrive
    graded = auto()
    in_channels = auto()
    offset = auto()
    in_group = auto()
    reach = auto()  # offset into `tables` of the first span of each position
    stride = auto()
    pooled = auto()
    direct = auto()  # offset into `tables` of the row of each spike, -1 where it has several
    to_itself = auto()  # offset into `weights` of the weights of each neuron to itself, or -1
    queue = auto()


class Scalar(Columns):
    """Single numbers at the beginning of `ints`."""

    start = auto()  # time of the start, microseconds of the recording's clock
    now = auto()  # of the last event, since the start
    instant = auto()
    event = auto()  # events seen, the early ones not counted
    current_event = auto()  # the one whose instant it is, -1 for none
    early = auto()
    waiting = auto()  # sites in the heap
    ready = auto()
    input_cell = auto()  # a list of one spike: the cell, and how often
    input_count = auto()
    traced = auto()  # rows in the trace
    trace_rows = auto()  # room in the trace, 0 without one
    trace = auto()  # its offset
    hop = auto()  # microseconds from the end of a hop to that of the next
    hop_end = auto()  # of the next one, since the start; NEVER where nobody asks
    hops_until = auto()  # the hops that end up to here are passed, events or not
    hops = auto()  # rows in `hop_counts`


class Queue(Columns):
    """A queue of spikes that wait: a row of `ints`."""

    offset = auto()  # of its ring of (time, neuron, how often)
    mask = auto()  # its length - 1, a power of two minus 1
    tail = auto()  # spikes that were ever put in
    burst = auto()  # most that an instant can put in


class Trace(Columns):
    """A row of the trace: a neuron that fired in an instant."""

    t = auto()
    event = auto()  # number of the event whose instant it was, -1 where it was none's
    population = auto()
    neuron = auto()
    count = auto()


# Lengths of rows: the kernels cannot ask for the len() of columns.
POPULATION, WAY, TRACE = len(Population), len(Way), len(Trace)

# Rows that a layer of `dense.py` lists before it adds them.
MOST_ROWS = 256

LEVELS = ("decay", "threshold", "reset_value", "lower_bound", "second_decay", "coupling", "limit")
