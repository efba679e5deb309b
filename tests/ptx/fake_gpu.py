"""What `numba.cuda` is asked for by `clocked/cuda/`, with a `Machine` in place of a GPU.

A stream does nothing until somebody waits for it, and then everything in its order: what is read
too early is not there yet, and what was freed or changed too early is missed.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numba
import numpy as np
from cuda_ptx import KERNELS, argument_types, ptx_of
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray
from ptx_machine import UNUSED, Kernel, Machine, PtxError

from eventsim.clocked.cuda import layer as kernels


class Stream:
    """Work that waits."""

    def __init__(self) -> None:
        """Have nothing to do."""
        self._waiting: list[Callable[[], None]] = []

    def add(self, work: Callable[[], None]) -> None:
        """Put off."""
        self._waiting.append(work)

    def synchronize(self) -> None:
        """Do everything."""
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()


class DeviceArray:
    """An array that only kernels see; nothing was written to it yet."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        """Have memory."""
        self.data = unwritten(shape, dtype)
        self.known = np.zeros(-(-self.data.nbytes // 4), np.bool_)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return how long each axis is."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of what it holds."""
        return self.data.dtype

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.data)

    def __getitem__(self, rows: slice) -> DeviceArray:
        """Return the first rows, in the same memory."""
        assert rows.start is rows.step is None
        part = DeviceArray.__new__(DeviceArray)
        part.data = self.data[rows]
        part.known = self.known[: -(-part.data.nbytes // 4)]
        return part

    def write(self, values: NDArray[Any]) -> None:
        """Fill it."""
        self.data[...] = values
        self.known[:] = True

    def copy_to_device(self, values: NDArray[Any], stream: Stream) -> None:
        """Copy from the host, when the stream gets there."""
        source, meant = pinned(values), values.copy()

        def copy() -> None:
            there = source()
            if there is None or view_of(there, meant).tobytes() != meant.tobytes():
                raise PtxError("memory was freed or changed before it was copied")
            self.write(meant)

        stream.add(copy)

    def copy_to_host(self, values: NDArray[Any], stream: Stream) -> None:
        """Copy to the host, when the stream gets there."""
        to = pinned(values)
        shape, data = values.shape, self.data
        assert data.shape == shape
        values.view(np.uint8).reshape(-1)[:] = UNUSED

        def copy() -> None:
            there = to()
            if there is None:
                raise PtxError("memory was freed before something was copied there")
            view_of(there, data)[...] = data

        stream.add(copy)


class Pinned(np.ndarray[Any, Any]):
    """Page-locked memory, from its beginning."""


def pinned_array(shape: Any, dtype: Any) -> NDArray[Any]:
    """Return an array from and to which a stream can copy."""
    return unwritten(shape, dtype).view(Pinned)


def pinned(values: NDArray[Any]) -> Any:
    """Return a weak reference to the page-locked array whose first rows these are."""
    whole = values.base if isinstance(values.base, Pinned) else values
    if not isinstance(whole, Pinned) or whole.ctypes.data != values.ctypes.data:
        raise PtxError("a stream is to copy from or to memory that is not page-locked")
    return weakref.ref(whole)


def view_of(whole: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Return the first rows of page-locked memory."""
    return np.asarray(whole)[: len(like)]


def to_device(values: NDArray[Any]) -> DeviceArray:
    """Copy an array at once."""
    array = DeviceArray(values.shape, values.dtype)
    array.write(values)
    return array


def unwritten(shape: Any, dtype: Any) -> NDArray[Any]:
    """Return an array of what memory holds that nothing was written to."""
    array = np.empty(shape, dtype)
    array.view(np.uint8).reshape(-1)[:] = UNUSED
    return array


@cache
def compiled(kernel: str, weights: str) -> Kernel:
    """Return a kernel for this machine."""
    return Kernel(ptx_of(kernel, weights, "sm_90"))


class Launchable:
    """A kernel that is launched as numba's are: `kernel[blocks, threads, stream, shared](...)`."""

    def __init__(self, machine: Machine, name: str) -> None:
        """Name it."""
        self._machine, self._name = machine, name
        self.py_func = getattr(kernels, name).py_func

    def __getitem__(self, grid: tuple[int, int, Stream, int]) -> Callable[..., None]:
        """Return what launches it; warn as Numba does."""
        if grid[0] < 128:
            warnings.warn("Grid size is small", NumbaPerformanceWarning, stacklevel=2)

        def launch(*arguments: Any) -> None:
            blocks, threads, stream, shared = grid
            programs = [given for given in arguments if hasattr(given, "weights")]
            weights = str(programs[0].weights.data.dtype) if programs else "float32"
            kinds = argument_types(self._name, weights)
            parameters: list[int] = []
            arrays: list[weakref.ref[DeviceArray]] = []
            for argument, kind in zip(arguments, kinds, strict=True):
                found = numba.typeof(on_host(argument))
                if found != kind:
                    raise PtxError(f"an argument is {found}, expected {kind}")
                flatten(argument, parameters, arrays)

            def run() -> None:
                there = [array() for array in arrays]
                if None in there:
                    raise PtxError("an array was freed before the kernel ran")
                try:
                    self._machine.launch(
                        compiled(self._name, weights),
                        (blocks, threads, shared),
                        parameters,
                        [array.data for array in there if array is not None],
                        [array.known for array in there if array is not None],
                    )
                except PtxError as error:
                    raise PtxError(f"{self._name}: {error}") from None

            stream.add(run)

        return launch


def on_host(value: Any) -> Any:
    """Return named tuples with arrays of NumPy for those of the device."""
    if isinstance(value, tuple):
        make: Any = value
        return make._make(map(on_host, value))
    return value.data if isinstance(value, DeviceArray) else value


def flatten(value: Any, parameters: list[int], arrays: list[weakref.ref[DeviceArray]]) -> None:
    """Append what numba hands to a kernel for a value: of an array seven words or more."""
    if isinstance(value, tuple):
        for item in value:
            flatten(item, parameters, arrays)
    elif isinstance(value, DeviceArray):
        data = value.data
        parameters += [0, 0, data.size, data.itemsize, data.ctypes.data]
        parameters += [*data.shape, *data.strides]
        arrays.append(weakref.ref(value))
    else:
        parameters.append(int(value))


@contextmanager
def fake_gpu() -> Iterator[Machine]:
    """Have `clocked/cuda/` find a GPU."""
    machine = Machine()
    device = SimpleNamespace(MULTIPROCESSOR_COUNT=1, compute_capability=(9, 0))
    context = SimpleNamespace(get_memory_info=lambda: (2**30, 2**30))
    with (
        patch.multiple(
            "numba.cuda",
            is_available=lambda: True,
            stream=Stream,
            to_device=to_device,
            pinned_array=pinned_array,
            device_array=DeviceArray,
            get_current_device=lambda: device,
            current_context=lambda: context,
        ),
        patch.multiple(kernels, **{name: Launchable(machine, name) for name in KERNELS}),
    ):
        yield machine
