"""The machine that runs PTX: what instructions do, and that it sees what must not happen."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from cuda_ptx import compiled_to_ptx
from fake_gpu import DeviceArray, flatten
from numba import cuda, float32, int32, uint32
from ptx_machine import Kernel, Machine, PtxError
from ptx_translator import translate

from eventsim.jit import product


def run(
    function: Callable[..., None], *values: Any, threads: int = 2, blocks: int = 1, shared: int = 64
) -> None:
    """Run a kernel on arrays; those that are `DeviceArray`s may hold nothing yet."""
    arrays = [value if isinstance(value, DeviceArray) else filled(value) for value in values]
    kinds = tuple(numba.typeof(array.data) for array in arrays)
    parameters: list[int] = []
    flatten(tuple(arrays), parameters, [])
    Machine().launch(
        kernel_of(function, kinds),
        (blocks, threads, shared),
        parameters,
        [array.data for array in arrays],
        [array.known for array in arrays],
    )
    for value, array in zip(values, arrays, strict=True):
        if not isinstance(value, DeviceArray):
            value[...] = array.data


@cache
def kernel_of(function: Callable[..., None], kinds: tuple[Any, ...]) -> Kernel:
    return Kernel(compiled_to_ptx(function, kinds, "sm_90"))


def filled(values: Any) -> DeviceArray:
    array = DeviceArray(values.shape, values.dtype)
    array.write(values)
    return array


# -- what must not happen --------------------------------------------------------------------------


def write_one_word(a):  # type: ignore[no-untyped-def]
    a[0] = cuda.threadIdx.x


def write_one_value(a):  # type: ignore[no-untyped-def]
    a[0] = 7


def add_at_one_word(a):  # type: ignore[no-untyped-def]
    cuda.atomic.add(a, 0, cuda.threadIdx.x + 1)


def write_and_add(a):  # type: ignore[no-untyped-def]
    if cuda.threadIdx.x == 0:
        a[0] = 9
    else:
        cuda.atomic.add(a, 0, 1)


def read_the_neighbour(a):  # type: ignore[no-untyped-def]
    i = cuda.threadIdx.x
    a[i] = i
    a[i + 2] = a[1 - i]


def wait_for_the_neighbour(a):  # type: ignore[no-untyped-def]
    i = cuda.threadIdx.x
    a[i] = i
    cuda.syncthreads()
    a[i + 2] = a[1 - i]


def write_what_a_neighbour_reads(a):  # type: ignore[no-untyped-def]
    i = cuda.threadIdx.x
    found = a[1 - i]
    a[i] = found + 1


def count_blocks(a):  # type: ignore[no-untyped-def]
    a[0] = cuda.blockIdx.x


def read_beyond(a):  # type: ignore[no-untyped-def]
    a[0] = a[a.size + cuda.threadIdx.x]


def write_beyond_shared(a):  # type: ignore[no-untyped-def]
    words = cuda.shared.array(0, int32)
    words[uint32(cuda.threadIdx.x + 16)] = 1
    a[0] = 0


def read_shared(a):  # type: ignore[no-untyped-def]
    words = cuda.shared.array(0, int32)
    i = cuda.threadIdx.x
    a[i] = words[i]


def wait_at_two_barriers(a):  # type: ignore[no-untyped-def]
    if cuda.threadIdx.x == 0:
        cuda.syncthreads()
        a[0] = 1
    else:
        a[1] = 1
        cuda.syncthreads()
        a[2] = 1


def wait_alone(a):  # type: ignore[no-untyped-def]
    if cuda.threadIdx.x == 0:
        cuda.syncthreads()
    a[cuda.threadIdx.x] = 1


def hand_on(a, mask):  # type: ignore[no-untyped-def]
    i = cuda.threadIdx.x
    a[i] = i
    cuda.syncwarp(mask)
    a[i + 2] = a[1 - i]


def hand_on_in_the_warp(a):  # type: ignore[no-untyped-def]
    cuda.any_sync(3, a[cuda.threadIdx.x] > 0)
    hand_on_part(a, 3)


def hand_on_by_oneself(a):  # type: ignore[no-untyped-def]
    hand_on_part(a, 1 << cuda.threadIdx.x)


def hand_back_too_early(a):  # type: ignore[no-untyped-def]
    hand_on_part(a, 3)
    a[cuda.threadIdx.x] = 5


def vote_by_oneself(a):  # type: ignore[no-untyped-def]
    if cuda.threadIdx.x == 0:
        a[0] = cuda.any_sync(3, a[0] > 0)


def vote_in_place_of_others(a):  # type: ignore[no-untyped-def]
    a[0] = cuda.any_sync(2, a[0] > 0)


hand_on_part = cuda.jit(device=True)(hand_on)


@pytest.mark.parametrize(
    ("function", "blocks", "sentence"),
    [
        (write_one_word, 1, "in a race with lanes"),
        (write_and_add, 1, "in a race with lanes"),
        (read_the_neighbour, 1, "in a race with lanes"),
        (write_what_a_neighbour_reads, 1, "in a race with lanes"),
        (count_blocks, 2, "in a race with lanes"),
        (read_beyond, 1, "outside of every array"),
        (write_beyond_shared, 1, "outside of every array"),
        (read_shared, 1, "where nothing was written yet"),
        (wait_at_two_barriers, 1, "threads wait at different barriers"),
        (wait_alone, 1, "threads wait at different barriers"),
        (hand_on_by_oneself, 1, "in a race with lanes"),
        (hand_back_too_early, 1, "in a race with lanes"),
        (vote_by_oneself, 1, "others of its warp do not come"),
        (vote_in_place_of_others, 1, "others of its warp do not come"),
    ],
)
def test_a_fault_is_found(function: Any, blocks: int, sentence: str) -> None:
    with pytest.raises(PtxError, match=sentence):
        run(function, np.zeros(4, np.int64), blocks=blocks)


def test_memory_that_nothing_was_written_to_is_not_read() -> None:
    with pytest.raises(PtxError, match="where nothing was written yet"):
        run(write_what_a_neighbour_reads, DeviceArray(4, np.int64), threads=1)


def test_what_is_allowed() -> None:
    """One value from many threads, atomics, a barrier between a write and a read, own memory."""
    for function, expected in (
        (write_one_value, [7, 0, 0, 0]),
        (add_at_one_word, [3, 0, 0, 0]),
        (wait_for_the_neighbour, [0, 1, 1, 0]),
        (hand_on_in_the_warp, [0, 1, 1, 0]),
    ):
        found = np.zeros(4, np.int64)
        run(function, found)
        assert found.tolist() == expected, function
    unwritten = DeviceArray(4, np.int64)
    run(wait_for_the_neighbour, unwritten)
    assert unwritten.data.tolist() == [0, 1, 1, 0]


def test_unknown_instructions_are_refused() -> None:
    ptx = compiled_to_ptx(write_one_word, (numba.typeof(np.zeros(1, np.int64)),), "sm_90")
    with pytest.raises(NotImplementedError, match=r"line .*: vote"):
        translate(ptx.replace("ret;", "vote.sync.all.pred %p1, %p1, 0;\nret;"))


# -- what instructions do --------------------------------------------------------------------------


def whole(a, b, found):  # type: ignore[no-untyped-def]
    found[0], found[1], found[2] = a[0] + b[0], a[0] - b[0], a[0] * b[0]
    found[3], found[4], found[5] = a[0] & b[0], a[0] | b[0], a[0] ^ ~b[0]
    found[6], found[7] = min(a[0], b[0]), max(a[0], b[0])
    found[8], found[9], found[10] = a[0] == b[0], a[0] < b[0], a[0] >= b[0]
    found[11], found[12] = a[0] << (b[0] & 63), a[0] >> (b[0] & 63)
    if b[0] > 0:
        found[13], found[14] = uint32(a[0]) // uint32(b[0] | 1), uint32(a[0]) % uint32(b[0] | 1)
    found[15] = int32(a[0]) * int32(b[0])
    found[16] = (a[0] & 0xFFFFFFFF) // 3


def floating(a, b, found):  # type: ignore[no-untyped-def]
    found[0], found[1], found[2] = a[0] + b[0], a[0] - b[0], a[0] * b[0]
    found[3] = product(a[0], b[0]) + a[0]
    found[4] = a[0] / b[0] if b[0] != 0 else float32(0)
    found[5], found[6] = min(a[0], b[0]), max(a[0], b[0])
    found[7], found[8], found[9] = a[0] < b[0], a[0] <= b[0], a[0] != b[0]
    found[10], found[11] = -a[0], abs(b[0])
    found[12] = int32(a[0]) if abs(a[0]) < 2**30 else 0


def fused(a, b, found):  # type: ignore[no-untyped-def]
    found[0], found[1] = a[0] * b[0] + a[0], product(a[0], b[0]) + a[0]


def double(a, b, found):  # type: ignore[no-untyped-def]
    found[0], found[1], found[2] = a[0] + b[0], a[0] - b[0], a[0] * b[0]
    found[3] = math.expm1(a[0]) if abs(a[0]) < 50 else 0.0
    found[4] = math.log1p(b[0]) if b[0] > -0.9 else 0.0
    found[5] = a[0] / b[0] if b[0] != 0 else 0.0


def halves(a, found):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        found[i] = float32(a[i])


def bits(a, found):  # type: ignore[no-untyped-def]
    found[0], found[1] = cuda.popc(a[0]), cuda.ffs(int32(a[0]))


def lanes(a, found):  # type: ignore[no-untyped-def]
    i = cuda.threadIdx.x
    four = uint32(15) << uint32(i & 28)
    found[0, i] = cuda.shfl_up_sync(-1, a[i], 3)
    found[1, i] = cuda.shfl_sync(-1, a[i], (7 * i) & 31)
    found[2, i] = cuda.any_sync(four, a[i] > 0)
    found[3, i] = cuda.shfl_sync(four, a[i], i | 3)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2))
def test_integers(values: list[int]) -> None:
    check_on_one_thread(whole, np.array(values, np.int64), np.int64, 17)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2))
def test_single_precision(values: list[float]) -> None:
    check_on_one_thread(floating, np.array(values, np.float32), np.float32, 13)


def test_a_product_is_rounded_once_or_twice() -> None:
    """As the compiler would have it, and as `product` does."""
    a, b = np.array([0.3125], np.float32), np.array([1 / 3], np.float32)
    found = np.zeros(2, np.float32)
    run(fused, a, b, found, threads=1)
    exact = np.float64(a[0]) * np.float64(b[0])
    assert found[0] == np.float32(exact + np.float64(a[0]))
    assert found[1] == np.float32(exact) + a[0]
    assert found[0] != found[1]


@given(st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=2))
def test_double_precision(values: list[float]) -> None:
    """Functions of libdevice come within a rounding of those of the C library."""
    check_on_one_thread(double, np.array(values), np.float64, 6, ulp=2)


def check_on_one_thread(function: Any, values: Any, kind: Any, count: int, ulp: int = 0) -> None:
    first, second = values[:1].copy(), values[1:].copy()
    found, expected = np.zeros(count, kind), np.zeros(count, kind)
    on_cpu(function)(first, second, expected)
    run(function, first, second, found, threads=1)
    if ulp:
        np.testing.assert_array_max_ulp(found, expected, ulp)
    else:
        np.testing.assert_array_equal(found, expected)


@cache
def on_cpu(function: Any) -> Any:
    return numba.njit(error_model="numpy")(function)


def test_half_precision_is_widened() -> None:
    """Every number of 16 bits that is one."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[~np.isnan(every)]
    found = np.zeros(len(every), np.float32)
    run(halves, every, found, threads=1)
    np.testing.assert_array_equal(found, every.astype(np.float32))


@given(st.integers(0, 2**32 - 1))
def test_bits_are_counted_and_found(value: int) -> None:
    found = np.zeros(2, np.uint32)
    run(bits, np.array([value], np.uint32), found, threads=1)
    assert found.tolist() == [value.bit_count(), (value & -value).bit_length()]


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=32, max_size=32))
def test_lanes_of_a_warp_know_of_each_other(values: list[int]) -> None:
    """All of them, or the four that a mask names."""
    a = np.array(values, np.int32)
    found = np.zeros((4, 32), np.int32)
    run(lanes, a, found, threads=32)
    assert found[0].tolist() == [*values[:3], *values[:29]]
    assert found[1].tolist() == [values[(7 * lane) % 32] for lane in range(32)]
    some = a.reshape(8, 4)
    assert found[2].tolist() == np.repeat((some > 0).any(axis=1), 4).tolist()
    assert found[3].tolist() == np.repeat(some[:, 3], 4).tolist()
