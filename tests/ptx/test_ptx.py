"""The kernels as they are compiled for a GPU, run on the CPU: see `ptx_machine.py`.

The checks are those of `cuda_checks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from cuda_checks import *  # noqa: F403
from cuda_checks import check_same
from fake_gpu import fake_gpu
from ptx_machine import Machine

from eventsim.events.arrays import make_events
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.simulator import simulate


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[Machine]:
    """Instead of a GPU."""
    with fake_gpu() as found:
        yield found


def test_a_network_of_full_size(machine: Machine) -> None:
    """2312-512-10 with blocks as on a GPU, and about as many instructions as docs/cuda.md says."""
    rng = np.random.default_rng(8)
    layers = [
        Flatten(),
        Dense(rng.normal(0, 0.04, (512, 2312)), neuron=LIF(0.3, 0.3)),
        Dense(rng.normal(0, 0.1, (10, 512)), neuron=LIF(0.3, 0.3)),
    ]
    network = Network((2, 34, 34), 1000, layers, steps=300)
    t = np.sort(rng.integers(0, 300_000, 3300))
    events = make_events(t, *rng.integers(0, 34, (2, 3300)), rng.integers(0, 2, 3300))
    before = machine.instructions
    found = simulate(network, events, record_spikes=True, device="cuda")
    check_same(found, simulate(network, events, record_spikes=True))
    assert found.operations.layers[0].output_spikes > 1000
    print(f"{machine.instructions - before} instructions of warps")
    assert machine.instructions - before < 1e6
