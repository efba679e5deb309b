"""What a peer is asked for: its version, a network of the same weights, spikes for frames.

Every peer runs its network layer by layer, the weights of a layer as one product over all
timesteps, and then its own neurons over the timesteps.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eventsim import EventsimError, Network
from eventsim.network.layers import WeightLayer
from eventsim.network.neurons import IF, LIF, Neuron
from eventsim_bridge.models.export import modules_of
from eventsim_bridge.models.neurons import check_trainable

Neurons = Callable[[Tensor], Tensor]  # currents over time -> spikes of the same shape


class Rules(NamedTuple):
    """A neuron that may spike several times in a timestep, its numbers as the kernels have them."""

    decay: float
    threshold: float
    lower_bound: float  # -inf for none


class Peer(ABC):
    """One peer with one network."""

    name: ClassVar[str]
    package: ClassVar[str] = "torch"
    install: ClassVar[str] = "pip install 'eventsim-snn[peers]'"
    given: ClassVar[str] = "ready frames"  # what `ready` makes, for tables
    # The order of memory that the peer's neurons want: (batch, steps, ...) or (steps, batch, ...).
    batch_first: ClassVar[bool] = False
    # Whether its neurons can spike several times in a timestep; `neurons` gets such ones only then.
    several: ClassVar[bool] = False

    @classmethod
    def installed(cls) -> bool:
        """Tell whether the peer can be imported."""
        return importlib.util.find_spec(cls.package) is not None

    @classmethod
    def version(cls) -> str:
        """Return the installed version."""
        return importlib.metadata.version(cls.package)

    def build(self, network: Network) -> None:
        """Take over weights and neurons.

        Raises `EventsimError` for a network that the peer cannot run.
        """
        self.layers: list[tuple[nn.Module, Neurons | None]] = []
        for layer, module in zip(network.layers, modules_of(network), strict=True):
            if isinstance(layer, WeightLayer):
                self._check(layer.neuron)
                self.layers.append((module, self.neurons(layer.neuron)))
            else:
                self.layers.append((module, None))

    def _check(self, neuron: Neuron) -> None:
        """Refuse a neuron that would be run as another one."""
        if neuron.spikes == "one":
            check_trainable(neuron)
            if not isinstance(neuron, LIF | IF) or neuron.channels is not None:
                raise EventsimError(
                    f"neuron is {neuron!r}, expected LIF or IF with one decay and threshold"
                )
        elif not self.several:
            raise EventsimError("its neurons spike at most once in a timestep")
        else:
            rules_of(neuron)

    @abstractmethod
    def neurons(self, neuron: Neuron) -> Neurons:
        """Return the peer's form of a neuron: its membranes begin at 0 on each call."""

    def difference(self, neuron: Neuron) -> str:
        """Say how the peer's equation differs from the engine's; empty where it does not."""
        return ""

    def ready(self, frames: Tensor) -> Any:
        """Return frames (batch, steps, polarities, y, x) as `run` wants them; not timed."""
        return frames.contiguous() if self.batch_first else frames.transpose(0, 1).contiguous()

    def run(self, ready: Any) -> Tensor:
        """Return the output spike counts (batch, outputs); this is what is timed."""
        with torch.inference_mode():
            for spikes in self.spikes(ready):
                last = spikes
            return last.sum(dim=1 if self.batch_first else 0)

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (batch, steps, *layer shape)."""
        with torch.inference_mode():
            layers = list(self.spikes(self.ready(frames)))
        return layers if self.batch_first else [spikes.transpose(0, 1) for spikes in layers]

    def spikes(self, ready: Any) -> Iterator[Tensor]:
        """Give the spikes of each layer with neurons, in the peer's order of memory."""
        yield from run_layers(self.layers, ready)


def run_layers(layers: list[tuple[nn.Module, Neurons | None]], x: Tensor) -> Iterator[Tensor]:
    """Run layers over inputs that begin with the two axes of time and batch."""
    for module, neurons in layers:
        y = module(x.flatten(0, 1))
        x = y.reshape(*x.shape[:2], *y.shape[1:])
        if neurons is not None:
            x = neurons(x)
            yield x


def float32s(neuron: Neuron) -> tuple[float, float]:
    """Return decay and threshold as the engine's kernels have them."""
    (p,) = neuron.parameters()
    return float(p["decay"]), float(p["threshold"])


def rules_of(neuron: Neuron) -> Rules:
    """Return the numbers of a neuron that may spike several times in a timestep.

    Raises `EventsimError` for one with other parameters than LIF or IF, a reset by subtraction and
    a lower bound. (The bound is never above 0, so whether it is applied before the reset, as in the
    engine, or after it makes no difference.)
    """
    if isinstance(neuron, LIF | IF) and neuron.channels is None:
        expected = replace(
            neuron, reset="subtract", comparison=">=", spikes="many", refractory=0, rest=0.0,
            reset_value=0.0, input_gain="one",
        )  # fmt: skip
        if neuron == expected:
            (p,) = neuron.parameters()
            return Rules(float(p["decay"]), float(p["threshold"]), float(p["lower_bound"]))
    raise EventsimError(
        f"neuron is {neuron!r}, expected LIF or IF with one decay and threshold, reset by "
        f"subtraction, and no other parameters but a lower bound, to spike several times in torch"
    )


def just_above(threshold: float) -> float:
    """Return the next float32: `u >= just_above(threshold)` is `u > threshold`."""
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))
