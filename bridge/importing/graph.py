"""What a torch module calls, in order: torch.fx, with libraries' neurons and torch's layers whole.

In: a module. Out: a `torch.fx.Graph`, whose calls name modules by their path. Called by `walk.py`.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

from torch import fx, nn

from eventsim.errors import NetworkError


class _Tracer(fx.Tracer):
    """Traces through what is put together of other modules; `whole` says what is not."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is one call."""
        return bool(self.whole(m)) or super().is_leaf_module(m, module_qualified_name)


def graph_of(module: nn.Module, path: str, whole: Any) -> fx.Graph:
    """Return the calls of a module's forward; `whole(module)` tells what is not looked into.

    A copy is traced: a forward that keeps states in the module would keep what stands for them.
    Raises `NetworkError` for a forward that depends on what flows through it.
    """
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    try:
        return _Tracer(whole).trace(copy.deepcopy(module), given)
    except (fx.proxy.TraceError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"{path or type(module).__name__}: its forward cannot be traced ({reason}), expected "
            f"one timestep, or a library's own form of several, with no loop over timesteps and no "
            f"branch on what comes in"
        ) from None


def path_of(node: fx.Node, path: str) -> str:
    """Return the path of the module whose forward makes a call."""
    stack = node.meta.get("nn_module_stack") or {}
    inner = [str(where[0]) for where in stack.values()]
    return ".".join(part for part in (path, inner[-1] if inner else "") if part)
