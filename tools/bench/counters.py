"""What others count as synaptic operations of one layer, for the workload `counts`.

Each gets the layer's module with weights, the average and sum pools in front of it, and what enters
the first of these, (steps, ...): the same spikes for all.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Counter(ABC):
    """A library's counter of synaptic operations."""

    name: ClassVar[str]
    package: ClassVar[str]

    @classmethod
    def installed(cls) -> bool:
        """Tell whether the library can be imported."""
        return importlib.util.find_spec(cls.package) is not None

    @abstractmethod
    def count(self, pools: Sequence[nn.Module], connection: nn.Module, entering: Tensor) -> int:
        """Return the operations of all timesteps."""


class SpikingJellyCounter(Counter):
    """`SynOpCounter`, which looks at the products that torch dispatches."""

    name = "spikingjelly"
    package = "spikingjelly"

    def count(self, pools: Sequence[nn.Module], connection: nn.Module, entering: Tensor) -> int:
        """Count while the layer runs: of products with tensors of 0 and 1 only."""
        from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

        counter = SynOpCounter()
        with torch.no_grad():  # not in inference mode, where it sees no convolutions
            x = nn.Sequential(*pools)(entering)
            with DispatchCounterMode([counter]):
                connection(x)
        return int(counter.get_total())


class SinabsCounter(Counter):
    """`sinabs.hooks`: a mean over the timesteps, which average pools in front are made up for."""

    name = "sinabs"
    package = "sinabs"

    def count(self, pools: Sequence[nn.Module], connection: nn.Module, entering: Tensor) -> int:
        """Multiply the mean by the timesteps; in double, as it is of sums."""
        from copy import deepcopy

        from sinabs.hooks import register_synops_hooks

        model = nn.Sequential(*pools, deepcopy(connection)).double()
        register_synops_hooks(model)
        with torch.no_grad():
            model(entering.double())
        found: Any = model.hook_data
        return round(float(found["total_synops_per_timestep"]) * len(entering))


class NeuroBenchCounter(Counter):
    """NeuroBench's effective operations: those with inputs and weights that are not 0."""

    name = "NeuroBench"
    package = "neurobench"

    def count(self, pools: Sequence[nn.Module], connection: nn.Module, entering: Tensor) -> int:
        """Count what its metric of synaptic operations adds up."""
        from neurobench.metrics.utils.layers import single_layer_MACs

        with torch.no_grad():
            return int(single_layer_MACs(nn.Sequential(*pools)(entering), connection)[0])


COUNTERS: tuple[type[Counter], ...] = (SpikingJellyCounter, SinabsCounter, NeuroBenchCounter)
