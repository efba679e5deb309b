"""What `numba.cuda` is asked for by `cuda_run.py`, with a `Machine` in place of a GPU.

A stream does nothing until somebody waits for it, and then everything in its order: what is read
too early is not there yet, and what was freed or changed too early is missed.
"""

from __future__ import annotations

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
from numpy.typing import NDArray
from ptx_machine import UNUSED, Kernel, Machine, PtxError

from eventsim.clocked import cuda as kernels


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
    """An array that only kernels see."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        """Have memory that nothing was written to."""
        self.data = unwritten(shape, dtype)
        self.known = np.zeros(-(-self.data.nbytes // 4), np.bool_)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.data)

    def write(self, values: NDArray[Any]) -> None:
        """Fill it."""
        self.data[...] = values
        self.known[:] = True

    def copy_to_host(self, stream: Stream) -> NDArray[Any]:
        """Return an array that has the values when the stream has got so far."""
        found = unwritten(self.data.shape, self.data.dtype)
        data = self.data

        def copy() -> None:
            found[...] = data

        stream.add(copy)
        return found


def unwritten(shape: Any, dtype: Any) -> NDArray[Any]:
    """Return an array of what memory holds that nothing was written to."""
    array = np.empty(shape, dtype)
    array.view(np.uint8).reshape(-1)[:] = UNUSED
    return array


class FakeGpu:
    """The functions."""

    def __init__(self) -> None:
        """Have no pinned memory."""
        self._pinned: weakref.WeakValueDictionary[int, NDArray[Any]] = weakref.WeakValueDictionary()
        self.machine = Machine()

    def pinned_array(self, shape: Any, dtype: Any) -> NDArray[Any]:
        """Return an array from which a stream can copy."""
        array = unwritten(shape, dtype)
        self._pinned[id(array)] = array
        return array

    def to_device(self, values: NDArray[Any], stream: Stream | None = None) -> DeviceArray:
        """Copy an array, at once or when a stream gets there."""
        array = DeviceArray(values.shape, values.dtype)
        if stream is None:
            array.write(values)
            return array
        if self._pinned.get(id(values)) is not values:
            raise PtxError("a stream is to copy from memory that is not pinned")
        source, meant = weakref.ref(values), values.copy()

        def copy() -> None:
            there = source()
            if there is None or there.tobytes() != meant.tobytes():
                raise PtxError("memory was freed or changed before it was copied")
            array.write(there)

        stream.add(copy)
        return array


@cache
def compiled(kernel: str, weights: str) -> Kernel:
    """Return a kernel for this machine."""
    return Kernel(ptx_of(kernel, weights, "sm_90"))


class Launchable:
    """A kernel that is launched as numba's are: `kernel[blocks, threads, stream, shared](...)`."""

    def __init__(self, gpu: FakeGpu, name: str) -> None:
        """Name it."""
        self._gpu, self._name = gpu, name
        self.py_func = getattr(kernels, name).py_func

    def __getitem__(self, grid: tuple[int, int, Stream, int]) -> Callable[..., None]:
        """Return what launches it."""

        def launch(*arguments: Any) -> None:
            blocks, threads, stream, shared = grid
            weights = str(arguments[0].weights.data.dtype)
            kinds = argument_types(weights)
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
                self._gpu.machine.launch(
                    compiled(self._name, weights),
                    (blocks, threads, shared),
                    parameters,
                    [array.data for array in there if array is not None],
                    [array.known for array in there if array is not None],
                )

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
def fake_gpu() -> Iterator[FakeGpu]:
    """Have `cuda_run.py` find a GPU."""
    gpu = FakeGpu()
    device = SimpleNamespace(MULTIPROCESSOR_COUNT=1, compute_capability=(9, 0))
    context = SimpleNamespace(get_memory_info=lambda: (2**30, 2**30))
    launchable = {name: Launchable(gpu, name) for name in KERNELS}
    with (
        patch.multiple(
            "numba.cuda",
            is_available=lambda: True,
            stream=Stream,
            to_device=gpu.to_device,
            pinned_array=gpu.pinned_array,
            device_array=DeviceArray,
            get_current_device=lambda: device,
            current_context=lambda: context,
        ),
        patch.multiple(kernels, **launchable),
    ):
        yield gpu
