"""Numbers that threads share while a kernel runs: elements of an int64 array.

What a thread has written before it changes one of these is there for each thread that has read the
change.
"""

from __future__ import annotations

import os
from typing import Any

from numba.core import types

from .vectors import compiled_intrinsic

# Let another thread have the processor that this one runs on, if one waits for it.
give_way = types.ExternalFunction(
    "SwitchToThread" if os.name == "nt" else "sched_yield", types.int32()
)
_ORDER = "seq_cst"


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@compiled_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return array[index] as it is now."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(address, _ORDER, 8)

    return types.int64(array, types.int64), codegen


@compiled_intrinsic
def add(typing: Any, array: Any, index: Any, number: Any) -> Any:
    """Add a number to array[index]; return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        return builder.atomic_rmw("add", address, args[2], _ORDER)

    return types.int64(array, types.int64, types.int64), codegen


@compiled_intrinsic
def replace(typing: Any, array: Any, index: Any, old: Any, new: Any) -> Any:
    """Make array[index] `new` if it is `old`; return whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        found = builder.cmpxchg(address, args[2], args[3], _ORDER, _ORDER)
        return builder.extract_value(found, 1)

    return types.boolean(array, types.int64, types.int64, types.int64), codegen
