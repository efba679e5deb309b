"""`eventsim bench --workload training`: whole training steps on sparse and on dense kernels.

A step is what a training loop does with a batch: inputs from binned recordings, forward and
backward pass, Adam. Everybody has the weights of a model that has been trained for a while, and
keeps them (a learning rate of 0), so that all see the same spikes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eventsim_bridge.data.frames import Recordings, bin_split
from eventsim_bridge.datasets import DataSetError, open_dataset
from eventsim_bridge.models import SpikingLayer, SpikingNetwork
from eventsim_bridge.models.spiking import wake_silent_layers
from eventsim_bridge.training.losses import error_of

from ..report import notes, progress_bar
from .memory import memory_of_step
from .networks import AVERAGED, GESTURE, MLP
from .peers.peer import run_layers
from .peers.snntorch import SnnTorch
from .peers.spikingjelly import SpikingJelly
from .timing import ENGINE, Contestant, take_turns

DENSE = "torch, dense kernels"
LEARNING_STEPS = 30  # before the clock starts
SEED = 0
# A training does one step after the other: the first one after somebody else's finds its weights
# and its memory far away, and took 2.5 times as long (512FC-10, 10 ms x 15).
IN_A_ROW_S = 0.3


class Case(NamedTuple):
    """A model on a grid of timesteps, and who trains it beside eventsim."""

    data: str
    structure: str
    dt_us: int
    steps: int
    batch: int
    peers: bool


CASES = (
    Case("nmnist", MLP, 1000, 300, 20, True),
    Case("nmnist", MLP, 5000, 60, 20, True),
    Case("nmnist", MLP, 10_000, 15, 20, True),
    Case("nmnist", AVERAGED, 20_000, 15, 20, False),
    Case("dvsgesture", GESTURE, 20_000, 60, 4, False),
)


def measure_training(
    root: Path | None, limit: int, repeats: int, threads: tuple[int, ...]
) -> dict[str, Any]:
    """Time a step of each case, and measure the memory of the first; cases without data are left.

    Raises `DataSetError` where there are no recordings for the first case.
    """
    cases = []
    for number, case in enumerate(CASES):
        try:
            cases.append(_measure(case, root, limit, repeats, threads, memory=number == 0))
        except DataSetError as error:
            if not number:
                raise
            notes.print(f"{case.structure} is left out: {error}", highlight=False)
    return {"cases": cases}


def _measure(
    case: Case, root: Path | None, limit: int, repeats: int, threads: tuple[int, ...], memory: bool
) -> dict[str, Any]:
    recordings = read_part(case, root, limit)
    model = trained_for_a_while(case, recordings)
    batch = batch_of(case, recordings, 0)
    with torch.no_grad():
        rates = [float(spikes.mean()) for spikes in model.layer_spikes(recordings.frames(batch))]
    contestants = [
        Contestant(name, number, _on_threads(number, step))
        for number in threads
        for name, step in _contestants(case, recordings, model).items()
    ]
    with progress_bar(f"{case.structure}, {case.steps}", (repeats + 1) * len(contestants)) as done:
        timings = take_turns(contestants, repeats, case.batch, done, shortest_s=IN_A_ROW_S)
    return {
        **case._asdict(),
        "firing_rates": rates,
        "timings": [timing.as_dict(timings) for timing in timings],
        "memory_bytes": memory_of_step(case, root, limit) if memory else {},
    }


def read_part(case: Case, root: Path | None, limit: int) -> Recordings:
    """Read some recordings of the training set, of all classes."""
    dataset = open_dataset(case.data, root)
    split = dataset.train
    count = min(max(limit, case.batch), len(split))
    chosen = np.linspace(0, len(split) - 1, count).astype(int)
    part = replace(
        split, names=tuple(split.names[i] for i in chosen), labels=split.labels[chosen],
        identity=None, users=split.users and tuple(split.users[i] for i in chosen),
    )  # fmt: skip
    return bin_split(part, case.dt_us, case.steps)


def batch_of(case: Case, recordings: Recordings, number: int) -> Any:
    """Return the recordings of a batch, which follow from its number."""
    order = np.random.default_rng([SEED, number]).permutation(len(recordings))
    return order[: case.batch]


def trained_for_a_while(case: Case, recordings: Recordings) -> SpikingNetwork:
    """Return a model whose layers spike as those of a training do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = SpikingNetwork(case.structure, recordings.input_shape)
    wake_silent_layers(model, recordings.frames(batch_of(case, recordings, 0)))
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, fused=True)
    for number in range(LEARNING_STEPS):
        batch = batch_of(case, recordings, number)
        train_on(model, optimizer, recordings.binned(batch), recordings.labels[batch])
    return model


def train_on(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Any, labels: Any) -> None:
    """Do one step of training."""
    loss = error_of(model(inputs), torch.from_numpy(labels), "rate")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


class Step:
    """A step of training, on another batch each time."""

    def __init__(self, case: Case, recordings: Recordings, model: nn.Module, form: str) -> None:
        """Take a model; `form` is the method of `Recordings` that makes its inputs."""
        self.case, self.recordings, self.model, self.form = case, recordings, model, form
        self.optimizer = torch.optim.Adam(model.parameters(), 0.0, fused=True)
        self.number = 0

    def __call__(self) -> None:
        """Do the next step."""
        batch = batch_of(self.case, self.recordings, self.number % 16)
        self.number += 1
        inputs = getattr(self.recordings, self.form)(batch)
        train_on(self.model, self.optimizer, inputs, self.recordings.labels[batch])


def _contestants(case: Case, recordings: Recordings, model: SpikingNetwork) -> dict[str, Step]:
    """Return a step of each, who all have a copy of the model."""
    steps = {
        ENGINE: Step(case, recordings, copy.deepcopy(model), "binned"),
        DENSE: Step(case, recordings, copy.deepcopy(model), "frames"),
    }
    for name, neurons in PEERS.items() if case.peers else ():
        try:
            peer = PeerModel(copy.deepcopy(model), neurons)
        except ImportError:
            notes.print(f"{name} is left out: pip install 'eventsim-snn[peers]'", highlight=False)
            continue
        steps[name] = Step(case, recordings, peer, "frames")
    return steps


def _on_threads(threads: int, step: Step) -> Callable[[], None]:
    def run() -> None:
        torch.set_num_threads(threads)
        step()

    return run


class PeerModel(nn.Module):
    """A model with the neurons of a peer, which has a surrogate gradient of its own."""

    def __init__(self, model: SpikingNetwork, neurons: Callable[[Any], Any]) -> None:
        """Take over the weights."""
        super().__init__()
        self.model = model
        self.layers_of_peer = [
            (layer.connection, neurons(layer.neuron))
            if isinstance(layer, SpikingLayer)
            else (layer, None)
            for layer in model.layers
        ]

    def forward(self, frames: Tensor) -> Tensor:
        """Return the spikes of the last layer, (batch, steps, outputs)."""
        *_, last = run_layers(self.layers_of_peer, frames.transpose(0, 1))
        return last.transpose(0, 1)


PEERS: dict[str, Callable[[Any], Any]] = {
    "snntorch": partial(SnnTorch.neurons, SnnTorch()),
    "spikingjelly": partial(SpikingJelly.neurons, SpikingJelly()),
}
