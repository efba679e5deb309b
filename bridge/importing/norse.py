"""norse 1.1: LIFCell, LIFBoxCell, LIFRecurrentCell, LICell, LIBoxCell, LILinearCell; LIF, LI over
time.

With m = dt tau_mem_inv and s = dt tau_syn_inv:

    LIFCell    i = i + x;  v = v + m ((v_leak - v) + i);  i = i - s i       z = v > v_th
    LIFBoxCell             v = v + m ((v_leak - v) + x)
    LI...      the same without z

So the current of the engine is i before its decay: current_decay 1 - s, decay 1 - m, rest v_leak,
and all that arrives is multiplied by m. A spike sets v to v_reset, or takes v_th from it
(LIFBoxCell with reset_subtract). v begins at v_leak.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import CUBALI, CUBALIF, LI, LIF
from eventsim.network.parameters import Values

from ..models.modules import float64s
from .library import Library, Neurons, each, refuse, step_by_step, values

METHODS = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")  # all fire above v_th


class Norse(Library):
    """norse: a timestep a call, states handed from call to call; or all timesteps at once."""

    name = "norse"

    def is_neuron(self, module: nn.Module) -> bool:
        """Tell whether it is made of one of norse's bases."""
        from norse.torch import LILinearCell
        from norse.torch.module import snn

        bases = (snn.SNNCell, snn.SNNRecurrentCell, snn.SNN, snn.SNNRecurrent, LILinearCell)
        return isinstance(module, bases)

    def returns_state(self, module: Any) -> bool:
        """All do."""
        return True

    def inside(self, module: nn.Module) -> Iterable[tuple[str, nn.Module]] | None:
        """Return what is lifted over the timesteps."""
        from norse.torch.module.lift import Lift

        return module.named_children() if type(module) is Lift else None

    def axes(self, model: nn.Module) -> int:
        """Return 2 for models of neurons over time."""
        from norse.torch.module import snn

        whole = (snn.SNN, snn.SNNRecurrent)
        return 2 if any(isinstance(module, whole) for module in model.modules()) else 1

    def neurons(self, module: Any, shape: Shape) -> Neurons:
        """Return a LIF, CUBALIF, LI or CUBALI."""
        import norse.torch as norse

        kinds = {
            norse.LIFCell: CUBALIF, norse.LIF: CUBALIF, norse.LIFRecurrentCell: CUBALIF,
            norse.LIFRecurrent: CUBALIF, norse.LIFBoxCell: LIF, norse.LICell: CUBALI,
            norse.LI: CUBALI, norse.LIBoxCell: LI, norse.LILinearCell: CUBALI,
        }  # fmt: skip
        if type(module) not in kinds:
            names = ", ".join(kind.__name__ for kind in kinds)
            raise NetworkError(f"{type(module).__name__} cannot be imported, expected {names}")
        made: Any = kinds[type(module)]
        gain = self._rate(module, "tau_mem_inv", shape)
        levels: dict[str, Any] = {
            "decay": each(lambda m: 1 - m, gain), "rest": self._value(module, "v_leak", shape)
        }  # fmt: skip
        if made in (CUBALIF, CUBALI):
            rate = self._rate(module, "tau_syn_inv", shape)
            levels["current_decay"] = each(lambda s: 1 - s, rate)
        if made in (CUBALIF, LIF):
            levels |= self._spikes(module, levels["rest"], shape)
        weight, recurrent = (
            float64s(getattr(module, name)) if hasattr(module, name) else None
            for name in ("input_weights", "recurrent_weights")
        )
        return Neurons(made(**levels), gain, weight, recurrent)  # type: ignore[arg-type]

    def reset(self, model: Any) -> None:
        """Models keep none."""

    def run(self, model: Any, frames: Tensor) -> None:
        """Run all at once, or step by step; what is not handed a state gets its last one."""
        if self.axes(model) == 2:
            model(frames[:, None])
            return
        states: dict[nn.Module, Any] = {}

        def hand_on(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            x, state = (*arguments, None)[:2]
            return x, states.get(module) if state is None else state

        def keep(module: nn.Module, arguments: Any, returned: tuple[Any, Any]) -> None:
            states[module] = returned[1]

        for module in model.modules():
            if self.is_neuron(module):
                module.register_forward_pre_hook(hand_on)
                module.register_forward_hook(keep)
        step_by_step(model, frames)

    @staticmethod
    def _value(module: Any, name: str, shape: Shape) -> Values:
        return values(getattr(module.p, name), type(module).__name__, name, shape)

    def _rate(self, module: Any, name: str, shape: Shape) -> Values:
        return each(lambda rate: float(module.dt) * rate, self._value(module, name, shape))

    def _spikes(self, module: Any, rest: Values, shape: Shape) -> dict[str, Any]:
        """Return threshold and reset."""
        from norse.torch.functional.reset import reset_subtract, reset_value

        if module.p.method not in METHODS:
            raise refuse(module, "method", module.p.method, f"one of {', '.join(METHODS)}")
        threshold = self._value(module, "v_th", shape)
        how = getattr(module.p, "reset_method", reset_value)
        if how is reset_subtract:
            if rest != 0:
                raise refuse(module, "v_leak", rest, "0 with reset_subtract, which takes v_th")
            return {"threshold": threshold, "reset": "subtract"}
        if how is not reset_value:
            raise refuse(module, "reset_method", how.__name__, "reset_value or reset_subtract")
        to = self._value(module, "v_reset", shape)
        if to == rest:
            return {"threshold": threshold, "reset": "zero"}
        return {"threshold": threshold, "reset": "value", "reset_value": to}
