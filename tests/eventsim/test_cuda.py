"""The CUDA engine without a GPU: its kernels compiled and assembled, and what users are told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import run_command
from cuda_ptx import KERNELS, NETWORK, ptx_of

from eventsim.clocked.cuda.device import missing_gpu
from eventsim.errors import EventsimError
from eventsim.events.arrays import make_events
from eventsim.network.storage import save_network
from eventsim.simulator import simulate, simulate_batch

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
EVENTS = make_events([0, 5], [0, 1], [0, 0], [1, 1])

no_gpu = pytest.mark.skipif(missing_gpu() is None, reason="there is a GPU")


@no_gpu
def test_without_a_gpu_cuda_is_one_sentence_and_auto_the_cpu() -> None:
    for call in (
        lambda: simulate(NETWORK, EVENTS, device="cuda"),
        lambda: simulate_batch(NETWORK, [EVENTS], device="cuda"),
    ):
        with pytest.raises(EventsimError, match="device is 'cuda', expected a GPU that CUDA can"):
            call()
    on_cpu = simulate(NETWORK, EVENTS, device="auto")
    assert on_cpu.operations == simulate(NETWORK, EVENTS).operations


@no_gpu
def test_the_commands_end_in_a_sentence(tmp_path: Path) -> None:
    save_network(NETWORK, tmp_path / "net.h5")
    np.save(tmp_path / "events.npy", EVENTS)
    files = (tmp_path / "net.h5", tmp_path / "events.npy")
    sentence = run_command("run", *files, "--device", "cuda")
    assert isinstance(sentence, str)
    assert "device is 'cuda', expected a GPU" in sentence
    assert run_command("run", *files, "--device", "auto") == 0
    assert "expected one of" in str(run_command("run", *files, "--device", "gpu"))
    bench = subprocess.run(
        [sys.executable, "-m", "eventsim_tools.bench.gpu", "--out", tmp_path / "gpu"],
        capture_output=True,
        text=True,
    )
    assert bench.returncode == 1
    assert bench.stderr.startswith("eventsim: device is 'cuda', expected a GPU")
    assert "Traceback" not in bench.stderr
    assert not (tmp_path / "gpu").exists()


def test_bad_devices_are_refused() -> None:
    device: Any = "gpu"
    with pytest.raises(EventsimError, match="device is 'gpu', expected one of"):
        simulate(NETWORK, EVENTS, device=device)
    with pytest.raises(EventsimError, match='device is "cuda" in asynchronous time'):
        simulate(NETWORK, EVENTS, device="cuda", mode="async")


@pytest.fixture(scope="module", params=["sm_90", pytest.param("sm_80", marks=pytest.mark.slow)])
def assembled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str, str], Any]:
    """PTX, and what the assembler says of it, of each kernel and kind of weights."""
    return {
        (kernel, weights, request.param): assemble(
            kernel, weights, request.param, tmp_path_factory.mktemp("ptx")
        )
        for kernel in KERNELS
        for weights in ("float32", "float16")
    }


def assemble(kernel: str, weights: str, architecture: str, folder: Path) -> Any:
    ptx = ptx_of(kernel, weights, architecture)
    source = folder / f"{kernel}.ptx"
    source.write_text(ptx)
    said = subprocess.run(
        [assembler(), f"-arch={architecture}", "-v", source, "-o", folder / "out.cubin"],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    stack, stores, loads = re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said.stderr
    )[0]
    registers = int(re.findall(r"Used (\d+) registers", said.stderr)[0])
    return SimpleNamespace(
        ptx=ptx, stack=int(stack), spills=int(stores) + int(loads), registers=registers
    )


def assembler() -> Path:
    nvidia = pytest.importorskip("nvidia", reason="nvidia-cuda-nvcc is not installed")
    for folder in nvidia.__path__:
        for found in Path(folder).glob("*/bin/ptxas"):
            return found
    pytest.skip("nvidia-cuda-nvcc is not installed")


def test_no_kernel_spills_registers(assembled: dict[tuple[str, str, str], Any]) -> None:
    for key, kernel in assembled.items():
        print(*key, kernel.registers, kernel.stack, kernel.spills)
        assert kernel.stack == kernel.spills == 0, key


def test_registers_leave_room_for_many_warps(
    assembled: dict[tuple[str, str, str], Any],
) -> None:
    """A multiprocessor has 65,536: at 88 for five blocks of four warps, and at 128 for four."""
    most = {"visit_block": 88, "visit_wide_block": 88, "visit_in_step": 128}
    for (kernel, *_), found in assembled.items():
        assert found.registers <= most.get(kernel, 48), kernel


def test_products_are_rounded_before_they_are_added(
    assembled: dict[tuple[str, str, str], Any],
) -> None:
    """The compiler fuses them if it may: one rounding, and other spikes than on the CPU."""
    for (kernel, *_), found in assembled.items():
        assert "fma.rn.f32" not in found.ptx
        assert ("mul.rn.f32" in found.ptx) == kernel.startswith("visit"), kernel
        # A plain `mul.f32` behind which an addition follows may be fused by the assembler.
        for product in re.findall(r"mul\.f32\s+(%f\d+)", found.ptx):
            adds = re.findall(rf"add\.f32\s+%f\d+, .*{product}\b", found.ptx)
            assert not adds, (kernel, product)
