"""Where training runs: on the CPU, on a GPU, or shared by the processes that `torchrun` starts.

With several processes each takes its share of every batch, and the gradients are added up before
each step, so that all of them hold the same weights: those of one process with the whole batches,
but for the order in which gradients are added up. Batch normalisation sees only its process's
share, as is usual, and its running statistics are averaged.

torch's `DistributedDataParallel` would share gradients too, but ends the connection of the
processes while it holds Python's lock, for which the connection's own thread may wait: with torch
2.13 one run in ten never ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.jit import Int64s

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Placement:
    """The device of this process, and which of how many it is."""

    device: torch.device
    rank: int = 0
    processes: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, indices: Int64s) -> Int64s:
        """Return this process's part of a batch."""
        return indices[self.rank :: self.processes]

    def add_gradients(self, model: nn.Module) -> None:
        """Add up a model's gradients over the processes; average its running statistics."""
        if self.processes == 1:
            return
        for parameter in model.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
        for statistic in model.buffers():
            if statistic.is_floating_point():
                torch.distributed.all_reduce(statistic)
                statistic /= self.processes

    def total(self, *values: float) -> tuple[float, ...]:
        """Add up numbers over the processes."""
        if self.processes == 1:
            return values
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(summed)
        return tuple(summed.tolist())

    def autocast(self, mixed: bool) -> Any:
        """Return a context in which products are of bfloat16, where `mixed`."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=mixed)

    def move(self, values: Tensor) -> Tensor:
        """Bring values to the device."""
        return values.to(self.device, non_blocking=True)


@contextmanager
def choose_placement(device: Device) -> Iterator[Placement]:
    """Find where to run, and join the other processes of a `torchrun` for as long.

    "auto" takes a GPU where there is one. Raises `EventsimError` for "cuda" without one.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise EventsimError(
            "device is 'cuda', expected one that torch can use, and torch finds none: "
            "'cpu', or 'auto' for whatever there is"
        )
    on_gpu = available and device != "cpu"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield Placement(torch.device("cuda" if on_gpu else "cpu"))
        return
    chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    # The optimiser imports it otherwise, and its defaults then keep the group that exists, whose
    # threads outlive its end: torch 2.13 aborts as the process exits.
    import_module("torch.distributed.nn.functional")
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Placement(chosen, torch.distributed.get_rank(), processes)
    finally:
        torch.distributed.destroy_process_group()
