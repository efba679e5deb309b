"""What a torch module calls, in order: torch.fx, with libraries' neurons and torch's layers whole.

In: a module. Out: a `torch.fx.Graph`, whose calls name modules by their path. Called by `walk.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape


class _Tracer(fx.Tracer):
    """Traces through what is put together of other modules; `whole` says what is not."""

    def __init__(self, whole: Any, input_shape: Shape | None) -> None:
        super().__init__()
        self.whole = whole
        self.input_shape = input_shape

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Let the input of a model tell its sizes."""
        if node.op == "placeholder" and self.input_shape is not None:
            shape, self.input_shape = (1, 1, *self.input_shape), None
            return _Input(node, self, shape)
        return super().proxy(node)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is one call."""
        return bool(self.whole(m)) or super().is_leaf_module(m, module_qualified_name)


class _Input(fx.Proxy):
    """Stands for a recording of one timestep and one sample: a loop over either runs once."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, shape: Shape) -> None:
        super().__init__(node, tracer)
        self.shape = shape

    def size(self, axis: int | None = None) -> Any:
        """Return all sizes, or one."""
        return self.shape if axis is None else self.shape[axis]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[fx.Proxy]:
        yield self[0]  # type: ignore[index]


def graph_of(
    module: nn.Module, path: str, whole: Any, input_shape: Shape | None = None
) -> fx.Graph:
    """Return the calls of a module's forward; `whole(module)` tells what is not looked into.

    Where `input_shape` is given, a loop over the timesteps of the input is that of one.
    What a forward keeps in the module meanwhile, stand-ins for its states, is taken out again.
    Raises `NetworkError` for a forward that depends on what flows through it.
    """
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    try:
        with as_it_was(module):
            return _Tracer(whole, input_shape).trace(module, given)
    except (fx.proxy.TraceError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"{path or type(module).__name__}: its forward cannot be traced ({reason}), expected "
            f"one timestep, or a loop over those of the input, and no branch on what comes in"
        ) from None


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Give a model's modules back what they hold (states, modes, hooks), without copies of it."""
    held = [(vars(module), _shallow(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for values, before in held:
            for name in values.keys() - before.keys():
                del values[name]
            for name, value in before.items():
                if isinstance(value, dict):  # as modules keep buffers, parameters and memories
                    values[name].clear()
                    values[name].update(value)
                else:
                    values[name] = value


def _shallow(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dict(value) if isinstance(value, dict) else value for name, value in values.items()
    }


def path_of(node: fx.Node, path: str) -> str:
    """Return the path of the module whose forward makes a call."""
    stack = node.meta.get("nn_module_stack") or {}
    inner = [str(where[0]) for where in stack.values()]
    return ".".join(part for part in (path, inner[-1] if inner else "") if part)
