"""What one running sample changes, for the kernels of `cpu.py`.

`new_states` allocates it for all workers of a batch before the first timestep; nothing is allocated
after that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..jit import Flags, Float32s, Int32s, kernel
from ..wiring import Program


class State(NamedTuple):
    """The state of one sample, or with one more axis in front that of several workers."""

    membranes: Float32s  # (neurons,)
    last: Int32s  # (sites,) timestep of the last update
    flags: Flags  # (sites,) 1 where a site has work in this timestep
    words: NDArray[np.uint64]  # the same memory as flags, eight at a time
    touched: Int32s  # (sites,) the flagged sites, ascending
    fills: Int32s  # (sites,) length of each row list
    rows: Int32s  # row lists: offsets into the weights
    row_values: Float32s  # their graded inputs; empty for binary input
    spikes: Int32s  # (neurons,) spikes of this timestep, at each layer's offset
    pooled: Int32s  # cells that are active behind a max pool
    pooled_values: Float32s  # (pooled_cells,) their values, 0 where inactive


# Two workers that write to one cache line (or two that are fetched together) wait for each other:
# with the rows of small arrays side by side, two threads took longer than one.
_APART = 256  # bytes


def new_states(program: Program, workers: int, graded: bool) -> State:
    """Allocate states for several workers, one row of each array for each, all silent.

    Row lists are as long as the fan-in; what is never touched takes no memory.
    """

    def rows(size: int, dtype: DTypeLike) -> NDArray[Any]:
        item = np.dtype(dtype).itemsize
        padded = (-(-size * item // _APART) + 1) * _APART // item
        return np.zeros((workers, padded), dtype)

    flags = rows(program.sites, np.uint8)
    return State(
        membranes=rows(program.neurons, np.float32),
        last=rows(program.sites, np.int32),
        flags=flags,
        words=flags.view(np.uint64),
        touched=rows(program.sites, np.int32),
        fills=rows(program.sites, np.int32),
        rows=rows(program.row_lists, np.int32),
        row_values=rows(program.row_lists, np.float32) if graded else np.zeros((workers, 0), "f4"),
        spikes=rows(program.neurons, np.int32),
        pooled=rows(program.pooled_cells, np.int32),
        pooled_values=rows(program.pooled_cells, np.float32),
    )


@kernel
def clear(state: State) -> None:
    """Silence a state, before each sample."""
    state.membranes[:] = 0
    state.last[:] = -1
    state.flags[:] = 0


@kernel
def state_of(states: State, worker: int) -> State:
    """Return the state of one worker from a State whose arrays have a row for each."""
    return State(
        states.membranes[worker],
        states.last[worker],
        states.flags[worker],
        states.words[worker],
        states.touched[worker],
        states.fills[worker],
        states.rows[worker],
        states.row_values[worker],
        states.spikes[worker],
        states.pooled[worker],
        states.pooled_values[worker],
    )
