"""spikingjelly 2.0: IFNode, LIFNode, ParametricLIFNode, in both step modes.

    IFNode              v = v + x                                   spike = v >= v_threshold
    LIFNode             v = v + (x - (v - v_reset)) / tau           with decay_input
                        v = v - (v - v_reset) / tau + x             without
    ParametricLIFNode   the same with 1 / tau = sigmoid(w)

v begins at v_reset and is set to it by a spike; v_reset=None: begins at 0, and loses v_threshold.
In the engine `rest` is v_reset, `decay` 1 - 1 / tau.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import IF, LIF

from .library import Library, Neurons, check_methods, check_spike_function, refuse, step_by_step

METHODS = (
    "forward", "single_step_forward", "multi_step_forward", "single_step_functional_forward",
    "multi_step_functional_forward", "apply_hard_reset", "apply_soft_reset",
)  # fmt: skip


class SpikingJelly(Library):
    """spikingjelly: a timestep a call (step_mode "s"), or all of them at once ("m")."""

    name = "spikingjelly"

    def is_neuron(self, module: nn.Module) -> bool:
        """Tell whether it keeps a membrane."""
        from spikingjelly.activation_based.neuron.base_node import BaseNode, SimpleBaseNode

        return isinstance(module, BaseNode | SimpleBaseNode)

    def inside(self, module: nn.Module) -> Iterable[tuple[str, nn.Module]] | None:
        """Return what the containers for several timesteps hold."""
        from spikingjelly.activation_based import layer

        if type(module) in (layer.SeqToANNContainer, layer.MultiStepContainer):
            return module.named_children()
        return None

    def axes(self, model: nn.Module) -> int:
        """Return 2 for models that take all timesteps at once."""
        modes = {module.step_mode for module in model.modules() if self.is_neuron(module)}
        whole = any(self.inside(module) is not None for module in model.modules())
        return 2 if whole or "m" in modes else 1

    def neurons(self, module: Any, shape: Shape) -> Neurons:
        """Return an IF or a LIF."""
        from spikingjelly.activation_based import neuron as nodes

        known = (nodes.IFNode, nodes.LIFNode, nodes.ParametricLIFNode)
        kind = next((one for one in known if isinstance(module, one)), None)
        if kind is None:
            names = ", ".join(one.__name__ for one in known)
            raise NetworkError(f"{type(module).__name__} cannot be imported, expected {names}")
        check_methods(module, kind, METHODS)
        check_spike_function(module, module.surrogate_function, at_threshold=True)
        soft = module.v_reset is None
        rest = 0.0 if soft else float(module.v_reset)
        start = module.get_reset_value("v")
        if start != rest:
            raise refuse(module, "the first v", start, str(rest))
        common: dict[str, Any] = {
            "reset": "subtract" if soft else "zero", "comparison": ">=", "rest": rest,
        }  # fmt: skip
        threshold = float(module.v_threshold)
        if kind is nodes.IFNode:
            return Neurons(IF(threshold, **common))
        if kind is nodes.LIFNode:
            rate = 1 / float(module.tau)
        else:
            rate = float(module.w.detach().sigmoid())
        neuron = LIF(1 - rate, threshold, **common)
        return Neurons(neuron, np.float64(rate) if module.decay_input else 1.0)

    def reset(self, model: Any) -> None:
        """Reset every memory."""
        from spikingjelly.activation_based import functional

        functional.reset_net(model)

    def run(self, model: Any, frames: Tensor) -> None:
        """Run as the step mode wants it."""
        if self.axes(model) == 2:
            model(frames[:, None])
        else:
            step_by_step(model, frames)
