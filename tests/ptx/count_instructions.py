"""How many instructions of warps a sample takes: `python tests/ptx/count_instructions.py`.

For the two networks of docs/cuda.md and each kernel: those of PTX, and, if nvdisasm is on the path
(it is in the package nvidia-cuda-nvdisasm), those that the assembler makes of them. Each line of
PTX becomes some; where a loop was unrolled, its copies share the visits of its basic block. How
many copies there are is taken from how often its accesses to memory stand there: an estimate.
"""

from __future__ import annotations

import bisect
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp())

import numpy as np
from cuda_ptx import KERNELS, assembler
from fake_gpu import compiled, fake_gpu
from numpy.typing import NDArray
from ptx_machine import Kernel

import eventsim as es
from eventsim_bridge.models import PAPER_NEURON
from eventsim_tools.bench.inputs import read_recordings
from eventsim_tools.bench.networks import GESTURE, MLP, random_network, scale_to_rate

WORKLOADS = ("digits", MLP, 1000, 300, 8), ("gestures", GESTURE, 20_000, 60, 1)
PTX_ACCESS = re.compile(r"\b(?:ld\.global|ld\.shared|st\.|atom|popc)")
ACCESS = re.compile(r"\b(?:LDS|LDG|STS|STG|ATOM|RED|POPC)")


def main() -> None:
    """Print a line for each kernel: instructions of PTX, and assembled."""
    for data, structure, dt_us, steps, samples in WORKLOADS:
        found = read_recordings(data, None, max(4, samples))
        recordings = list(found.events)
        network = random_network(
            structure, found.input_shape, PAPER_NEURON, dt_us=dt_us, steps=steps
        )
        network = scale_to_rate(network, recordings[:4], 0.02)
        kernels = {name: compiled(name, "float32") for name in KERNELS}
        for kernel in kernels.values():
            kernel.visits[:] = 0
        with fake_gpu():
            results = es.simulate_batch(network, recordings[:samples], device="cuda")
        sops = sum(result.operations.total.sops for result in results)
        print(f"{structure}: {sops / samples:.0f} SOPs a sample")
        total = np.zeros(2)
        for name, kernel in kernels.items():
            counts = kernel.visits @ np.stack([kernel.sizes, assembled(kernel)], axis=1)
            print(f"  {name}: {(counts / samples).round()}")
            total += counts
        print(f"  together: {(total / samples).round()}")
        print(f"  for 32 SOPs: {(32 * total / sops).round(1)}")


def assembled(kernel: Kernel, architecture: str = "sm_90") -> NDArray[np.float64]:
    """Return how many instructions of the GPU each basic block is, nan without nvdisasm."""
    sizes = np.zeros(len(kernel.sizes))
    disassembler = shutil.which("nvdisasm")
    if disassembler is None:
        return sizes + np.nan
    copies = defaultdict(list)
    for line, instructions in by_line(kernel, architecture, disassembler).items():
        block = bisect.bisect_left(kernel.firsts, line) - 1
        sizes[block] += sum(instructions.values())
        accesses = sum(n for name, n in instructions.items() if ACCESS.match(name))
        if PTX_ACCESS.search(kernel.lines[line - 1]) and accesses:
            copies[block].append(accesses)
    for block, several in copies.items():
        sizes[block] /= statistics.median_high(several)
    return sizes


def by_line(kernel: Kernel, architecture: str, disassembler: str) -> dict[int, Counter[str]]:
    """Return the GPU's instructions that each line of PTX becomes."""
    marked, inside = [], False
    for number, line in enumerate(kernel.lines, 1):
        text = line.split("//")[0].strip()
        if inside and text and not text.startswith((".", "{", "}", "$")):
            marked.append(f".loc 1 {number} 0")
        marked.append(line)
        if text.startswith(".address_size"):
            marked.append('.file 1 "marked.ptx"')
        inside = inside or text == "{"
    with tempfile.TemporaryDirectory() as folder:
        ptx, cubin = Path(folder, "marked.ptx"), Path(folder, "marked.cubin")
        ptx.write_text("\n".join(marked))
        flags = [f"-arch={architecture}", "-lineinfo"]
        subprocess.run([assembler(), *flags, ptx, "-o", cubin], check=True)
        listing = subprocess.check_output([disassembler, "-g", "-c", cubin], text=True)
    found: defaultdict[int, Counter[str]] = defaultdict(Counter)
    number = 0
    for line in listing.splitlines():
        if place := re.search(r'//## File ".*marked\.ptx", line (\d+)', line):
            number = int(place[1])
        elif said := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+ +)?([A-Z][\w.]*)", line):
            found[number][said[1]] += number > 0 and said[1] != "NOP"
    return found


if __name__ == "__main__":
    main()
