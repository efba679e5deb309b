"""torch dense with its neurons compiled by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from eventsim import EventsimError, Network
from eventsim.network.neurons import Neuron

from .peer import Neurons, Peer, float32s, rules_of

# (currents, membranes after the last reset) -> (spikes, membranes after this one)
Timestep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Timesteps unrolled into one compiled kernel; 300 and 340 are multiples. Others were not tried.
BLOCK = 20
# Each shape of a layer is compiled by itself. Past its limit (8) torch would run the code
# uncompiled and only log that, and the figures would be those of something else.
MOST_SHAPES = 256


class TorchCompiled(Peer):
    """Dense products as in `TorchDense`; the neurons of a block of timesteps are one kernel."""

    name = "torch.compile"
    several = True

    def build(self, network: Network) -> None:
        """Take over weights and neurons; refuse where there is no working compiler."""
        torch.compiler.reset()
        super().build(network)
        try:
            self.neurons(network.layers[network.neuron_layers[0]].neuron)(torch.zeros(1, 1))  # type: ignore[union-attr]
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise EventsimError(f"torch.compile does not work here: {reason}") from None

    def neurons(self, neuron: Neuron) -> Neurons:
        """Return a compiled form of the engine's equation."""
        timestep = _several_spikes(neuron) if neuron.spikes == "many" else _one_spike(neuron)

        @torch.compile(dynamic=False, fullgraph=True)
        def run_block(currents: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
            spikes = []
            for t in range(len(currents)):
                fired, rest = timestep(currents[t], rest)
                spikes.append(fired)
            return torch.stack(spikes), rest

        def run(currents: Tensor) -> Tensor:
            flat = currents.flatten(1)  # one rank for dense layers and maps
            rest = torch.zeros_like(flat[0])
            blocks = []
            with torch._dynamo.config.patch(
                recompile_limit=MOST_SHAPES, fail_on_recompile_limit_hit=True
            ):
                for first in range(0, len(flat), BLOCK):
                    spikes, rest = run_block(flat[first : first + BLOCK], rest)
                    blocks.append(spikes)
            return torch.cat(blocks).reshape(currents.shape)

        return run


def _one_spike(neuron: Neuron) -> Timestep:
    """Return a timestep of neurons that spike at most once in it."""
    decay, threshold = float32s(neuron)
    subtract = neuron.reset == "subtract"

    def timestep(current: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        u = current + decay * rest
        fired = u > threshold
        rest = u - threshold * fired if subtract else torch.where(fired, 0.0, u)
        return fired.to(u.dtype), rest

    return timestep


def _several_spikes(neuron: Neuron) -> Timestep:
    """Return a timestep of neurons that may spike several times in it."""
    decay, threshold, lower_bound = rules_of(neuron)

    def timestep(current: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        u = (current + decay * rest).clamp(min=lower_bound)
        fired = torch.floor(u / threshold).clamp(min=0.0)
        return fired, u - threshold * fired

    return timestep
