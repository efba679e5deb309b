"""snntorch 1.0: Leaky, Lapicque, Synaptic, and RLeaky and RSynaptic with recurrence.

    Leaky      mem = beta mem + input                                spk = mem > threshold
    Lapicque   mem = (1 - T / RC) mem + (T / C) input                (T: time_step)
    Synaptic   syn = alpha syn + input;  mem = beta mem + syn
    R...       the same with input + recurrent(spk)

beta and alpha are clipped to 0 .. 1. What a spike does to mem, with reset_delay in the next
timestep (so by default, and always in Lapicque):

    "subtract"   mem less threshold, after decay and input      reset "subtract-next"
    "zero"       Leaky: mem is 0 before decay and input         reset "zero"
                 others: mem is 0 after them, input lost        reset "zero", refractory 1
    "none"       nothing                                        reset "none"

and without it at once: "zero", and "subtract-doubled", for a mem that is still over threshold after
the reset loses another threshold before the next comparison, and gets it back if it does not fire.

Alpha is refused: its reset clears its currents too, which no model of the engine does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import CUBALIF, LIF
from eventsim.network.parameters import Values

from ..models.modules import float64s
from .library import (
    Library,
    Neurons,
    check_methods,
    check_spike_function,
    each,
    number,
    refuse,
)

METHODS = ("forward", "fire", "mem_reset", "_base_state_function", "_base_sub", "_base_zero")
RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


class SnnTorch(Library):
    """snntorch: one timestep a call, membranes kept in the module."""

    name = "snntorch"

    def is_neuron(self, module: nn.Module) -> bool:
        """Tell whether it is a SpikingNeuron."""
        from snntorch import SpikingNeuron

        return isinstance(module, SpikingNeuron)

    def returns_state(self, module: Any) -> bool:
        """Tell whether states come back beside the spikes."""
        return bool(module.output or not module.init_hidden)

    def neurons(self, module: Any, shape: Shape) -> Neurons:
        """Return a LIF or a CUBALIF."""
        import snntorch

        known = (
            snntorch.Leaky, snntorch.Lapicque, snntorch.Synaptic, snntorch.RLeaky,
            snntorch.RSynaptic,
        )  # fmt: skip
        kind = next((one for one in known if isinstance(module, one)), None)
        if kind is None:
            names = ", ".join(one.__name__ for one in known)
            raise NetworkError(f"{type(module).__name__} cannot be imported, expected {names}")
        check_methods(module, kind, METHODS)
        self._check(module)
        threshold, gain = number(module, "threshold", shape), 1.0
        if kind is snntorch.Lapicque:
            decay, gain = self._lapicque(module, shape)
        else:
            decay = self._decay(module, "beta", shape)
        how = self._reset(module, kind is snntorch.Leaky)
        neuron: Any = LIF(decay, threshold, **how)
        if kind in (snntorch.Synaptic, snntorch.RSynaptic):
            neuron = CUBALIF(self._decay(module, "alpha", shape), decay, threshold, **how)
        if kind not in (snntorch.RLeaky, snntorch.RSynaptic):
            return Neurons(neuron, gain)
        return self._recurrent(module, neuron, shape)

    def reset(self, model: Any) -> None:
        """Begin with membranes of 0."""
        for module in model.modules():
            if self.is_neuron(module):
                module.reset_mem()

    def run(self, model: Any, frames: Tensor) -> None:
        """Step by step; states that the model's forward asks for are None, its own."""
        from inspect import signature

        states = [None] * (len(signature(model.forward).parameters) - 1)
        if isinstance(model, nn.Sequential):
            states = []
        for frame in frames:
            model(frame[None], *states)

    @staticmethod
    def _check(module: Any) -> None:
        if module.inhibition:
            raise refuse(module, "inhibition", True, "False")
        if module.state_quant:
            raise refuse(module, "state_quant", module.state_quant, "False")
        factor = float(module.graded_spikes_factor)
        if factor != 1:
            raise refuse(module, "graded_spikes_factor", factor, "1")
        check_spike_function(module, module.spike_grad, at_threshold=False)

    @staticmethod
    def _decay(module: Any, name: str, shape: Shape) -> Values:
        return each(lambda decay: np.clip(decay, 0.0, 1.0), number(module, name, shape))

    @staticmethod
    def _lapicque(module: Any, shape: Shape) -> tuple[Values, Any]:
        # R C and T / C as the library keeps them, in float32
        resistance, capacity = number(module, "R", shape), number(module, "C", shape)
        step = number(module, "time_step", shape)
        decay = each(lambda r, c, t: 1 - t / (r * c), resistance, capacity, step)
        return decay, np.asarray(each(lambda c, t: t / c, capacity, step))

    @staticmethod
    def _reset(module: Any, leaky: bool) -> dict[str, Any]:
        """Return the reset, by the function that runs: it is chosen when the module is made."""
        mechanism = RESETS[module.state_function.__name__]
        if module.reset_mechanism != mechanism:
            raise refuse(
                module, "reset_mechanism", module.reset_mechanism,
                f"{mechanism!r}, with which the module was made",
            )  # fmt: skip
        delayed = getattr(module, "reset_delay", True)
        if mechanism == "subtract":
            return {"reset": "subtract-next" if delayed else "subtract-doubled"}
        if mechanism == "zero" and delayed and not leaky:
            return {"reset": "zero", "refractory": 1}
        return {"reset": mechanism}

    @staticmethod
    def _recurrent(module: Any, neuron: Any, shape: Shape) -> Neurons:
        back = module.recurrent
        if not module.all_to_all:
            weights = np.broadcast_to(np.asarray(number(module, "V", shape)), shape[0])
            return Neurons(neuron, recurrent=weights)
        if type(back) is not nn.Linear:
            raise refuse(
                module, "recurrent", type(back).__name__,
                "Linear, or a weight of each neuron to itself (all_to_all=False)",
            )  # fmt: skip
        bias = None if back.bias is None else float64s(back.bias)
        return Neurons(neuron, recurrent=float64s(back.weight), bias=bias)
