"""A GPU of one multiprocessor for translated kernels, which watches every access to memory.

Blocks run one after the other, and their threads one after the other between barriers, in an order
that is drawn anew each time. What compute-sanitizer looks for on a GPU is found here at the first
access that could go wrong, in whatever order the threads happened to run:

memory      an access outside of every array, or not aligned
races       two threads at one word between two barriers, or two blocks, and one of them writes; but
            for atomics among themselves, and for a write of what stands there already
beginnings  a word that is read before anything wrote it
barriers    threads of one block that wait at different ones
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import carray, types
from numpy.typing import NDArray
from ptx_instructions import MACHINE
from ptx_translator import ATOMIC, FAULT, FINISHED, READ, WRITE, translate

# Words of the machine behind those that the code reads. Epochs number the stretches between
# barriers; BLOCK and LAUNCH are the first epochs of this block and of this launch.
EPOCH, BLOCK, LAUNCH, FOUND, LINE, OTHER, COUNT = range(len(MACHINE), len(MACHINE) + 7)
HEADER = COUNT + 1  # then three words for each array, then those below for each of its words
THREAD, FOUND_ONE, FOUNDS = map(MACHINE.index, ("%tid.x", "found", "founds"))
BEGINS, ENDS, NOTES = range(3)
# What is noted of a word of four bytes: who wrote and who read it last, and in which epoch.
WRITTEN, WRITER, ATOMICALLY, WAS_READ, READER, KNOWN = range(6)
SEVERAL = -1
FAULTS = ("", "outside of every array", "not aligned", "in a race", "where nothing was written yet")
OUTSIDE, UNALIGNED, RACE, UNWRITTEN = range(1, len(FAULTS))
UNUSED = 0x5A  # what memory holds before anything is written
ANY = 2**60  # the length of an array whose length does not matter


class PtxError(AssertionError):
    """A kernel did what it must not do."""


@numba.njit
def live(machine, epoch):  # type: ignore[no-untyped-def]
    """Return whether nothing orders an access of an epoch and one of now."""
    now = epoch == machine[EPOCH]
    return now or (epoch >= machine[LAUNCH] and epoch < machine[BLOCK])


@numba.njit
def note(machine, at, how, same):  # type: ignore[no-untyped-def]
    """Note an access to a word, whose notes are at `at`; return what is wrong with it."""
    epoch, thread = machine[EPOCH], machine[THREAD]
    written, read = machine[at + WRITTEN], machine[at + WAS_READ]
    written_too = live(machine, written) and (written != epoch or machine[at + WRITER] != thread)
    read_too = live(machine, read) and (read != epoch or machine[at + READER] != thread)
    if how != READ and read_too:
        machine[OTHER] = machine[at + READER]
        return RACE
    atomics = how == ATOMIC and machine[at + ATOMICALLY] == 1
    if written_too and not atomics and not (how == WRITE and same):
        machine[OTHER] = machine[at + WRITER]
        return RACE
    if how != WRITE and machine[at + KNOWN] == 0:
        return UNWRITTEN
    if how == READ:
        machine[at + WAS_READ], machine[at + READER] = epoch, SEVERAL if read_too else thread
    else:
        machine[at + WRITTEN], machine[at + WRITER], machine[at + KNOWN] = epoch, thread, 1
        machine[at + ATOMICALLY] = how == ATOMIC
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
    at = machine[array + NOTES] + 6 * ((address - machine[array + BEGINS]) // 4)
    fault = 0
    for word in range(max(1, size // 4)):
        fault = max(fault, note(machine, at + 6 * word, how, same))
    return fault


@numba.cfunc(
    types.int32(
        types.CPointer(types.uint8), types.int64, types.int32, types.int32, types.int64,
        types.int32, types.CPointer(types.int64),
    )
)  # fmt: skip
def access(stored, address, size, how, value, line, pointer):  # type: ignore[no-untyped-def]
    """Return 0 if a thread may access so many bytes, and note that it did."""
    machine = carray(pointer, ANY)
    fault = check(machine, carray(stored, 8), address, size, how, value)
    if fault:
        machine[FOUND], machine[LINE] = fault, line
    return np.int32(fault)


class Kernel:
    """A kernel's PTX as machine code of this CPU."""

    def __init__(self, ptx: str) -> None:
        """Translate and compile it."""
        self._lines = ptx.splitlines()
        translation = translate(ptx)
        self.registers, self.sizes = translation.registers, np.array(translation.sizes)
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
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
        self.step = kind(self._engine.get_function_address("step"))

    def line(self, number: int) -> str:
        """Return a line of PTX."""
        return self._lines[number - 1].strip()


class Machine:
    """Runs kernels."""

    def __init__(self) -> None:
        """Begin with the first order of threads that is drawn."""
        self._rng = np.random.default_rng(0)
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
        shared = np.empty(-(-shared_bytes // 8), np.int64)
        watched, sizes = [shared, *arrays], [-(-a.nbytes // 4) for a in (shared, *arrays)]
        firsts = HEADER + 3 * len(watched) + 6 * (np.cumsum(sizes) - sizes)
        machine = np.zeros(HEADER + 3 * len(watched) + 6 * sum(sizes), np.int64)
        ends = [shared.ctypes.data + shared_bytes, *(a.ctypes.data + a.nbytes for a in arrays)]
        table = sorted(zip((a.ctypes.data for a in watched), ends, firsts, strict=True))
        machine[HEADER : HEADER + 3 * len(table)] = np.ravel(table)
        notes = [machine[f : f + 6 * n].reshape(-1, 6) for f, n in zip(firsts, sizes, strict=True)]
        for of_array, words in zip(notes[1:], known, strict=True):
            of_array[:, KNOWN] = words
        given = np.array(parameters, np.uint64).view(np.int64)
        visits = np.zeros(len(kernel.sizes), np.int64)
        machine[: len(MACHINE)] = (
            given.ctypes.data, shared.ctypes.data, visits.ctypes.data, shared_bytes, 0, threads, 0,
            blocks, 0, 0,
        )  # fmt: skip
        machine[COUNT], machine[LAUNCH] = len(table), self._epoch
        for block in range(blocks):
            shared.view(np.uint8)[:] = UNUSED
            notes[0][:] = 0
            machine[MACHINE.index("%ctaid.x")] = block
            machine[BLOCK] = self._epoch
            self._run_block(kernel, threads, machine, visits)
        for of_array, words in zip(notes[1:], known, strict=True):
            words[:] = of_array[:, KNOWN]

    def _run_block(
        self, kernel: Kernel, threads: int, machine: NDArray[np.int64], visits: NDArray[np.int64]
    ) -> None:
        registers = np.zeros((threads, kernel.registers), np.int64)
        own = [registers[thread].ctypes.data for thread in range(threads)]
        at, pointer = [0] * threads, machine.ctypes.data
        while at[0] != FINISHED:
            machine[EPOCH] = self._epoch
            founds = 0  # threads that come to a barrier which counts them with something found
            of_warps = np.zeros((-(-threads // 32), len(visits)), np.int64)
            for thread in self._order(threads):
                machine[THREAD], visits[:] = thread, 0
                at[thread] = kernel.step(own[thread], at[thread], pointer)
                if at[thread] == FAULT:
                    raise PtxError(self._sentence(kernel, machine))
                founds += machine[FOUND_ONE]
                machine[FOUND_ONE] = 0
                np.maximum(of_warps[thread // 32], visits, out=of_warps[thread // 32])
            machine[FOUNDS] = founds
            self._epoch += 1
            if min(at) != max(at):
                raise PtxError(f"threads wait at different barriers: {sorted(set(at))}")
            self.instructions += int((of_warps @ kernel.sizes).sum())

    def _order(self, threads: int) -> list[int]:
        """Return an order of threads: forward, backward, or any."""
        turn = self._epoch % 3
        if turn == 2:
            return self._rng.permutation(threads).tolist()  # type: ignore[no-any-return]
        return list(range(threads))[:: 1 if turn == 0 else -1]

    def _sentence(self, kernel: Kernel, machine: NDArray[np.int64]) -> str:
        fault, line = int(machine[FOUND]), int(machine[LINE])
        other = f" with thread {machine[OTHER]}" if fault == RACE else ""
        who = f"thread {machine[THREAD]} is {FAULTS[fault]}{other}"
        return f"{who}: line {line}: {kernel.line(line)}"
