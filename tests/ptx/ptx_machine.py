"""A GPU of one multiprocessor for translated kernels, which watches every access to memory.

Blocks run one after the other, and their threads one after the other between the places where they
wait for each other, in an order that is drawn each time. What compute-sanitizer looks for on a GPU
is found here at the first access that could go wrong, in whatever order threads happened to run:

memory      an access outside of every array, or not aligned
races       two threads at one word, and one of them writes, with no barrier of the block and no
            `bar.warp.sync` of both in between; but for atomics among themselves, and for a write of
            what stands there already
beginnings  a word that is read before anything wrote it
barriers    threads of one block that wait at different ones; threads of a warp that are to vote,
            shuffle or wait together and do not all come there
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from ptx_instructions import MACHINE
from ptx_translator import (
    ATOMIC,
    BARRIER,
    FAULT,
    FINISHED,
    INDEX,
    READ,
    SYNC,
    UP,
    WRITE,
    translate,
)

# Words of the machine behind those that the code reads. Epochs number the stretches between
# barriers of a block; BLOCK and LAUNCH are the first epochs of this block and of this launch. CLOCK
# goes on with each `bar.warp.sync`.
EPOCH, BLOCK, LAUNCH, FOUND, LINE, OTHER, COUNT, CLOCK = range(len(MACHINE), len(MACHINE) + 8)
SYNCED = CLOCK + 1  # when each thread waited for others of its warp last,
PARTNERS = SYNCED + 1024  # and for whom
HEADER = PARTNERS + 1024  # then three words for each array, then those below for each of its words
BEGINS, ENDS, NOTES = range(3)
# What is noted of a word of four bytes: who wrote it last and who has read it, and when. Readers
# are lanes of a warp, SEVERAL where they are of more than one.
WRITTEN, WRITER, WRITE_TIME, ATOMICALLY, WAS_READ, WARP, READERS, READ_TIME, KNOWN = range(9)
WORDS = 9
SEVERAL = -1
SHARED, VISITS, THREAD, BLOCK_INDEX, MASK, GIVEN, FROM, RETURNED = map(
    MACHINE.index,
    ("shared", "visits", "%tid.x", "%ctaid.x", "mask", "given", "from", "returned"),
)
FAULTS = (
    "", "outside of every array", "not aligned", "in a race", "where nothing was written yet",
    "where threads wait at different barriers", "where others of its warp do not come",
)  # fmt: skip
OUTSIDE, UNALIGNED, RACE, UNWRITTEN, APART, ALONE = range(1, len(FAULTS))
UNUSED = 0x5A  # what memory holds before anything is written
ENDLESS = 2**60  # the length of an array whose length does not matter


class PtxError(AssertionError):
    """A kernel did what it must not do."""


@numba.njit
def live(machine, epoch):  # type: ignore[no-untyped-def]
    """Return whether no barrier of a block orders an access of an epoch and one of now."""
    now = epoch == machine[EPOCH]
    return now or (epoch >= machine[LAUNCH] and epoch < machine[BLOCK])


@numba.njit
def apart(machine, epoch, warp, lanes, time):  # type: ignore[no-untyped-def]
    """Return whether nothing orders accesses of lanes of a warp, the last at a time, and now's."""
    thread = machine[THREAD]
    if not live(machine, epoch):
        return False
    if epoch != machine[EPOCH] or warp != thread // 32:
        return True
    others = lanes & ~(1 << (thread % 32))
    met = others & ~machine[PARTNERS + thread] == 0 and machine[SYNCED + thread] > time
    return others != 0 and not met


@numba.njit
def note(machine, at, how, same):  # type: ignore[no-untyped-def]
    """Note an access to a word, whose notes are at `at`; return what is wrong with it."""
    epoch, thread, clock = machine[EPOCH], machine[THREAD], machine[CLOCK]
    writer, lane = machine[at + WRITER], 1 << (thread % 32)
    if how != READ and apart(
        machine, machine[at + WAS_READ], machine[at + WARP], machine[at + READERS],
        machine[at + READ_TIME],
    ):  # fmt: skip
        machine[OTHER] = machine[at + READERS]
        return RACE
    if apart(
        machine, machine[at + WRITTEN], writer // 32, 1 << (writer % 32), machine[at + WRITE_TIME]
    ):
        atomics = how == ATOMIC and machine[at + ATOMICALLY] == 1
        if not atomics and not (how == WRITE and same):
            machine[OTHER] = 1 << (writer % 32)
            return RACE
    if how != WRITE and machine[at + KNOWN] == 0:
        return UNWRITTEN
    if how == READ:
        again = live(machine, machine[at + WAS_READ])
        if again and machine[at + WARP] != thread // 32:
            machine[at + WARP] = SEVERAL
        else:
            machine[at + WARP] = thread // 32
        machine[at + READERS] = (machine[at + READERS] | lane) if again else lane
        machine[at + WAS_READ], machine[at + READ_TIME] = epoch, clock
    else:
        machine[at + WRITTEN], machine[at + WRITER], machine[at + KNOWN] = epoch, thread, 1
        machine[at + WRITE_TIME], machine[at + ATOMICALLY] = clock, how == ATOMIC
    return 0


@numba.njit
def array_of(machine, address):  # type: ignore[no-untyped-def]
    """Return where the table has the last array that begins at an address or before."""
    low, high = 0, machine[COUNT]
    while low < high:
        middle = (low + high) // 2
        if machine[HEADER + 3 * middle + BEGINS] <= address:
            low = middle + 1
        else:
            high = middle
    return HEADER + 3 * (low - 1)


@numba.njit
def check(machine, stored, address, size, how, value):  # type: ignore[no-untyped-def]
    """Return what is wrong with an access, 0 if nothing is, and note it."""
    array = array_of(machine, address)
    if array < HEADER or address + size > machine[array + ENDS]:
        return OUTSIDE
    if address % size != 0:
        return UNALIGNED
    same = how == WRITE
    for byte in range(size * same):
        same = same and stored[byte] == (value >> (8 * byte)) & 255
    at = machine[array + NOTES] + WORDS * ((address - machine[array + BEGINS]) // 4)
    fault = 0
    for word in range(max(1, size // 4)):
        fault = max(fault, note(machine, at + WORDS * word, how, same))
    return fault


@numba.cfunc(
    types.int32(
        types.CPointer(types.uint8), types.int64, types.int32, types.int32, types.int64,
        types.int32, types.CPointer(types.int64),
    )
)  # fmt: skip
def access(stored, address, size, how, value, line, pointer):  # type: ignore[no-untyped-def]
    """Return 0 if a thread may access so many bytes, and note that it did."""
    machine = carray(pointer, ENDLESS)
    fault = check(machine, carray(stored, 8), address, size, how, value)
    if fault:
        machine[FOUND], machine[LINE] = fault, line
    return np.int32(fault)


@intrinsic
def call(typing, step, registers, at, machine):  # type: ignore[no-untyped-def]
    """Run a thread: see `ptx_translator.py`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        whole, half = ir.IntType(64), ir.IntType(32)
        kind = ir.FunctionType(half, [whole, half, whole])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, args[1:])

    word = types.int64
    return types.int32(word, word, types.int32, word), codegen


@numba.njit
def run_grid(step, machine, pointer, blocks, threads, registers, shared, notes, waits, visits):  # type: ignore[no-untyped-def]
    """Run blocks one after the other; return the fault. `visits`: of warps, by basic block."""
    for block in range(blocks):
        shared[:], notes[:] = UNUSED, 0
        machine[SYNCED:HEADER] = 0
        machine[BLOCK_INDEX], machine[BLOCK] = block, machine[EPOCH]
        at = np.zeros(threads, np.int32)
        asked = np.zeros((threads, 4), np.int64)  # mask, given, from, and what is returned
        while at[0] != FINISHED:
            for warp in order(machine, -(-threads // 32)):
                first = 32 * warp
                some = at[first : first + 32]
                fault = run_warp(
                    step, machine, pointer, first, some, registers, asked[first : first + 32],
                    waits, visits,
                )  # fmt: skip
                if fault:
                    return fault
            if at.min() != at.max():
                return APART
            machine[EPOCH] += 1
    return 0


@numba.njit
def seed(number):  # type: ignore[no-untyped-def]
    """Have `order` draw the same orders again."""
    np.random.seed(number)  # noqa: NPY002 - compiled code has no other


@numba.njit
def order(machine, n):  # type: ignore[no-untyped-def]
    """Return an order of n threads, or warps: forward, backward, or any."""
    turn = (machine[EPOCH] + machine[CLOCK]) % 3
    if turn == 2:
        return np.random.permutation(n)  # noqa: NPY002
    return np.arange(n) if turn == 0 else np.arange(n - 1, -1, -1)


@numba.njit
def run_warp(step, machine, pointer, first, at, registers, asked, waits, total):  # type: ignore[no-untyped-def]
    """Run a warp until all of its threads wait for the block, or are finished."""
    n, ready = len(at), at != FINISHED
    visits, most = np.zeros(len(total), np.int64), np.zeros(len(total), np.int64)
    machine[VISITS] = visits.ctypes.data
    while ready.any():
        most[:] = 0
        for lane in order(machine, n):
            if not ready[lane]:
                continue
            thread = first + lane
            machine[THREAD], machine[RETURNED], visits[:] = thread, asked[lane, 3], 0
            here = registers.ctypes.data + 8 * thread * registers.shape[1]
            at[lane] = call(step, here, at[lane], pointer)
            if at[lane] == FAULT:
                return FAULT
            asked[lane, 0], asked[lane, 1] = machine[MASK], machine[GIVEN]
            asked[lane, 2] = machine[FROM]
            np.maximum(most, visits, most)
        total += most
        for lane in range(n):
            ready[lane] = at[lane] > 0 and waits[at[lane] - 1] != BARRIER
        for lane in range(n):
            if ready[lane] and not meet(machine, first, lane, at, asked, waits[at[lane] - 1]):
                machine[THREAD] = first + lane
                return ALONE
        if ready.any():
            machine[CLOCK] += 1
    return 0


@numba.njit
def meet(machine, first, lane, at, asked, kind):  # type: ignore[no-untyped-def]
    """Give a thread what those bring whom it waits for; return whether all of them are there."""
    mask = asked[lane, 0]
    some = 0
    for other in range(32):
        if mask >> other & 1:
            if other >= len(at) or at[other] != at[lane] or asked[other, 0] != mask:
                return False
            some |= asked[other, 1]
    result, source = some, asked[lane, 2]
    if kind in (UP, INDEX):
        source = lane - source if kind == UP else source & 31
        source = lane if source < 0 else source
        result = asked[source, 1] if mask >> source & 1 else UNUSED
    asked[lane, 3] = result
    if kind == SYNC:
        machine[SYNCED + first + lane] = machine[CLOCK] + 1
        machine[PARTNERS + first + lane] = mask
    return bool(mask >> lane & 1)


class Kernel:
    """A kernel's PTX as machine code of this CPU."""

    def __init__(self, ptx: str) -> None:
        """Translate and compile it."""
        self._lines = ptx.splitlines()
        translation = translate(ptx)
        self.registers = translation.registers
        self.sizes, self.firsts = np.array(translation.sizes), translation.firsts
        self.waits = np.array(translation.waits, np.int64)
        self.visits = np.zeros_like(self.sizes)  # of warps to each basic block, in all launches
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.add_symbol("access", access.address)
        module = llvm.parse_assembly(translation.ir)
        module.verify()
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=1
        )
        self._engine = llvm.create_mcjit_compiler(module, target)
        self._engine.finalize_object()
        self.step = self._engine.get_function_address("step")

    def line(self, number: int) -> str:
        """Return a line of PTX."""
        return self._lines[number - 1].strip()


class Machine:
    """Runs kernels."""

    def __init__(self) -> None:
        """Begin with the first order of threads that is drawn."""
        seed(0)
        self._epoch = 1
        self.instructions = 0  # of warps: a warp takes the ways of all its threads, one by one

    def launch(
        self,
        kernel: Kernel,
        grid: tuple[int, int, int],
        parameters: list[int],
        arrays: list[NDArray[Any]],
        known: list[NDArray[np.bool_]],
    ) -> None:
        """Run a grid: blocks, threads, bytes of shared memory.

        arrays, known: all that its threads may touch, and which words of them have been written.

        Raises `PtxError` at the first access or barrier that is wrong.
        """
        blocks, threads, shared_bytes = grid
        shared = np.empty(-(-shared_bytes // 16) * 2 + 1, np.int64)
        shared = shared[shared.ctypes.data % 16 // 8 :]  # at a multiple of 16 bytes
        watched, sizes = [shared, *arrays], [-(-a.nbytes // 4) for a in (shared, *arrays)]
        firsts = HEADER + 3 * len(watched) + WORDS * (np.cumsum(sizes) - sizes)
        machine = np.zeros(HEADER + 3 * len(watched) + WORDS * sum(sizes), np.int64)
        ends = [shared.ctypes.data + shared_bytes, *(a.ctypes.data + a.nbytes for a in arrays)]
        table = sorted(zip((a.ctypes.data for a in watched), ends, firsts, strict=True))
        machine[HEADER : HEADER + 3 * len(table)] = np.ravel(table)
        notes = [
            machine[f : f + WORDS * n].reshape(-1, WORDS)
            for f, n in zip(firsts, sizes, strict=True)
        ]
        for of_array, words in zip(notes[1:], known, strict=True):
            of_array[:, KNOWN] = words
        given = np.array(parameters, np.uint64).view(np.int64)
        machine[: len(MACHINE)] = (
            given.ctypes.data, shared.ctypes.data, 0, shared_bytes, 0, threads, 0, blocks,
            0, 0, 0, 0,
        )  # fmt: skip
        machine[COUNT], machine[EPOCH], machine[LAUNCH] = len(table), self._epoch, self._epoch
        registers = np.zeros((threads, kernel.registers), np.int64)
        visits = np.zeros(len(kernel.sizes), np.int64)
        fault = run_grid(
            kernel.step, machine, machine.ctypes.data, blocks, threads, registers,
            shared.view(np.uint8), notes[0], kernel.waits, visits,
        )  # fmt: skip
        kernel.visits += visits
        self._epoch, self.instructions = (
            int(machine[EPOCH]), self.instructions + int(visits @ kernel.sizes)
        )  # fmt: skip
        if fault:
            raise PtxError(self._sentence(kernel, machine, fault))
        for of_array, words in zip(notes[1:], known, strict=True):
            words[:] = of_array[:, KNOWN]

    def _sentence(self, kernel: Kernel, machine: NDArray[np.int64], fault: int) -> str:
        who = f"thread {machine[THREAD]} of block {machine[BLOCK_INDEX]}"
        if fault != FAULT:
            return f"{who} is {FAULTS[fault]}"
        fault, line = int(machine[FOUND]), int(machine[LINE])
        other = f" with lanes {int(machine[OTHER]):b}" if fault == RACE else ""
        return f"{who} is {FAULTS[fault]}{other}: line {line}: {kernel.line(line)}"
