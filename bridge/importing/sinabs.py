"""sinabs 3.1: IAF, LIF, ExpLeak, their squeezed forms, and IAFRecurrent and LIFRecurrent.

    IAF       v = v + x                        spikes = whole spike_thresholds in v (MultiSpike)
    LIF       v = alpha v + (1 - alpha) x      alpha = exp(-1 / tau_mem); norm_input=False: + x
    ExpLeak   as LIF, its membrane is the output
    tau_syn   x is replaced by i = alpha_syn (i + x)

A spike takes spike_threshold from v (MembraneSubtract), or sets it to 0 (MembraneReset); then v is
at least min_v_mem, which is never above 0, so that it makes no difference to apply it before the
comparison as the engine does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import CUBALI, CUBALIF, IF, LI, LIF

from ..models.modules import float64s
from .library import Library, Neurons, check_methods, each, number, refuse, values


class Sinabs(Library):
    """sinabs: all timesteps at once, (batch, steps, ...), or (batch * steps, ...) if squeezed."""

    name = "sinabs"

    def is_neuron(self, module: nn.Module) -> bool:
        """Tell whether it keeps a state."""
        from sinabs.layers import StatefulLayer

        return isinstance(module, StatefulLayer)

    def axes(self, model: nn.Module) -> int:
        """Return 1 where the neurons take squeezed input."""
        from sinabs.layers import SqueezeMixin

        return 1 if any(isinstance(module, SqueezeMixin) for module in model.modules()) else 2

    def neurons(self, module: Any, shape: Shape) -> Neurons:
        """Return an IF, LIF or CUBALIF, or what has no spikes of these."""
        import sinabs.layers as sinabs

        known = (
            sinabs.IAFSqueeze, sinabs.IAF, sinabs.IAFRecurrent, sinabs.ExpLeakSqueeze,
            sinabs.ExpLeak, sinabs.LIFSqueeze, sinabs.LIFRecurrent, sinabs.LIF,
        )  # fmt: skip
        kind = next((one for one in known if isinstance(module, one)), None)
        if kind is None:
            names = ", ".join(one.__name__ for one in known)
            raise NetworkError(f"{type(module).__name__} cannot be imported, expected {names}")
        check_methods(module, kind, ("forward", "squeeze_forward"))
        owner = type(module).__name__
        decay = values(module.alpha_mem_calculated, owner, "alpha_mem", shape)
        gain = each(lambda alpha: 1 - alpha, decay) if module.norm_input else 1.0
        current = None
        if module.alpha_syn_calculated is not None:
            current = values(module.alpha_syn_calculated, owner, "alpha_syn", shape)
            gain = each(lambda factor, alpha: factor * alpha, gain, current)
        levels = {} if module.spike_fn is None else self._spikes(module, shape)
        if module.min_v_mem is not None:
            levels["lower_bound"] = number(module, "min_v_mem", shape)
        neuron: Any
        if current is not None:
            made: Any = CUBALI if module.spike_fn is None else CUBALIF
            neuron = made(current_decay=current, decay=decay, **levels)
        elif module.spike_fn is None:
            neuron = LI(decay=decay, **levels)
        else:
            neuron = IF(**levels) if decay == 1 else LIF(decay=decay, **levels)
        return Neurons(neuron, np.asarray(gain), recurrent=self._recurrent(module))

    def reset(self, model: Any) -> None:
        """Reset every state."""
        import sinabs.utils

        sinabs.utils.reset_states(model)

    def run(self, model: Any, frames: Tensor) -> None:
        """Run all timesteps as one batch item."""
        from sinabs.layers import SqueezeMixin

        if self.axes(model) == 2:
            model(frames[None])
            return
        for module in model.modules():
            if isinstance(module, SqueezeMixin):  # for batches of a size, or of so many timesteps
                module.batch_size, module.num_timesteps = 1, -1
        model(frames)

    @staticmethod
    def _spikes(module: Any, shape: Shape) -> dict[str, Any]:
        """Return threshold, reset, and whether several spikes may come at once."""
        from sinabs.activation import (
            MaxSpike,
            MembraneReset,
            MembraneSubtract,
            MultiSpike,
            SingleSpike,
        )

        threshold = number(module, "spike_threshold", shape)
        spikes, how = module.spike_fn, module.reset_fn
        most = spikes.max_num_spikes_per_bin if isinstance(spikes, MaxSpike) else None
        if isinstance(spikes, MaxSpike) and most not in (None, 1):
            raise refuse(module, "max_num_spikes_per_bin", most, "1 or None")
        if not isinstance(spikes, MaxSpike) and spikes not in (MultiSpike, SingleSpike):
            raise refuse(module, "spike_fn", spikes, "MultiSpike, SingleSpike or MaxSpike")
        several = spikes is not SingleSpike and most is None
        levels = {
            "threshold": threshold, "comparison": ">=", "spikes": "many" if several else "one",
        }  # fmt: skip
        if isinstance(how, MembraneSubtract):
            taken = how.subtract_value
            if taken is not None and values(taken, "", "", shape) != threshold:
                raise refuse(module, "subtract_value", taken, f"the threshold, {threshold}")
            return levels | {"reset": "subtract"}
        if not isinstance(how, MembraneReset):
            raise refuse(module, "reset_fn", how, "MembraneSubtract or MembraneReset")
        if how.reset_value != 0:
            raise refuse(
                module, "reset_value", how.reset_value,
                "0: sinabs adds it to every membrane in every timestep",
            )  # fmt: skip
        return levels | {"reset": "zero"}

    @staticmethod
    def _recurrent(module: Any) -> Any:
        back = getattr(module, "rec_connect", None)
        if back is None:
            return None
        if type(back) is not nn.Linear:
            raise refuse(module, "rec_connect", type(back).__name__, "Linear")
        if back.bias is not None and bool((back.bias != 0).any()):
            raise refuse(
                module, "the bias of rec_connect", back.bias.tolist(),
                "none: sinabs adds it from the second timestep on",
            )  # fmt: skip
        return float64s(back.weight)
