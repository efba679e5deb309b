"""What any torch model executes on real samples, module by module, by the engine's own rules.

In: a torch module, run inside `with count(module) as counts`. Out: `Counts`. Forward hooks look at
every value that a module really gets. One unit of each count:

input_events   one non-zero value that arrives at a module with weights
acs            one weight added as it is, as the value that arrives is exactly 1
macs           one weight multiplied by another value that is not 0, then added
recurrent_macs one weight of an RNN's W2 multiplied by a non-zero h[t-1]: never an AC
products       two values that are not 0 multiplied and added, in attention: queries with keys,
               attention with values
bias_adds      one bias added to one sum; torch's two biases of a gate only add up and count as one,
               but where a GRU multiplies between them
updates        h, or c, of one unit in one timestep
sigmoids, tanhs, exponentials, multiplies, adds, divisions, compares
               elementwise work, zeros included (`modules.py`, `cells.py` say how much of each)
pool_adds, pool_compares
               one non-zero value added to a sum, or compared with a maximum, in a pool
dense_macs, recurrent_dense_macs, dense_products
               what a dense framework executes for macs, recurrent_macs and products

Zeros are skipped; what a weight cannot reach beyond the border of a map is not touched. Pools come
first, and are work. Everything that torch computes elsewhere stands in `Counts.unknown`.
docs/counts.md sets the counts beside those of spikingjelly, sinabs and NeuroBench.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from eventsim.errors import EventsimError

from .axes import Axes
from .counted import Counted
from .modules import counter_of, own_axis
from .operations import ModelOperations, ModuleOperations

_COUNTS = [field.name for field in fields(ModuleOperations) if field.name != "name"]
# Operations of torch that move or make values and compute none, beside views.
_FREE = frozenset({
    "arange", "cat", "clone", "constant_pad_nd", "copy", "copy_", "detach", "detach_", "empty",
    "empty_like", "empty_strided", "fill_", "flip", "full", "full_like", "gather", "index",
    "index_select", "lift_fresh", "new_empty", "new_empty_strided", "new_full", "new_ones",
    "new_zeros", "ones", "ones_like", "repeat", "roll", "scalar_tensor", "stack", "zero_", "zeros",
    "zeros_like", "_local_scalar_dense", "_reshape_alias", "_reshape_copy", "_to_copy",
    "_unsafe_view",
})  # fmt: skip


class Counts:
    """What a model executed; calls add up, so that it may be called timestep by timestep.

    unknown: what was executed and is not counted, for each module, as "path (class)": how many
    elements each of torch's operations gave there, all samples together.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.unknown: dict[str, Counter[str]] = {}
        self._counted: dict[str, dict[str, Tensor]] = {}
        self._samples: int | None = None

    @property
    def samples(self) -> list[ModelOperations]:
        """The operations of each sample, modules in the order in which they first ran."""
        return [
            ModelOperations(
                tuple(
                    ModuleOperations(name, **{c: int(found[c][sample]) for c in _COUNTS})
                    for name, found in self._counted.items()
                )
            )
            for sample in range(self._samples or 0)
        ]

    def begin(self, samples: int) -> None:
        """Note a call of the model with so many samples; raises where they were others before."""
        if self._samples not in (None, samples):
            raise EventsimError(
                f"the model is called with {samples} samples, expected {self._samples} as before: "
                f"calls add up; count other samples by themselves"
            )
        self._samples = samples

    def add(self, name: str, counted: Counted, axes: Axes) -> None:
        """Add what a module's call took; counts of each row of its batch, or for every row."""
        sums = self._counted.setdefault(
            name, {c: torch.zeros(axes.samples, dtype=torch.int64) for c in _COUNTS}
        )
        for count, found in counted.counts.items():
            sums[count] += axes.fold(torch.as_tensor(found).cpu().expand(counted.batch))


@contextmanager
def count(
    module: nn.Module, *, sample_axis: int = 0, steps_first: bool = False
) -> Iterator[Counts]:
    """Count what `module` executes while the context is open.

    sample_axis: of what the module gets, 0 or 1. (nn.RNN and its like, and attention, say it
    themselves.) steps_first: whether a model that folds timesteps and samples into one axis has the
    timesteps outside, as (steps, samples, ...) flattened, or keeps both in this order.

    Raises `EventsimError` for a call with other samples than before, and where a module gets
    tensors whose samples cannot be told.
    """
    if sample_axis not in (0, 1):
        raise EventsimError(f"sample_axis is {sample_axis!r}, expected 0 or 1")
    watch = _Watch(sample_axis, steps_first)
    with ExitStack() as hooks:
        for path, part in module.named_modules():
            name = f"{path} ({type(part).__name__})" if path else f"({type(part).__name__})"
            watch.hook(part, name, hooks)
        hooks.enter_context(watch)
        yield watch.counts


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The hooks of all modules, which of them are running, and what torch computes outside."""

    def __init__(self, sample_axis: int, steps_first: bool) -> None:
        """Begin outside of the model."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = Counts()
        self.sample_axis, self.steps_first = sample_axis, steps_first
        self.axes: Axes | None = None
        self.running: list[tuple[str, Any]] = []  # names, and how each is counted

    def hook(self, module: nn.Module, name: str, hooks: ExitStack) -> None:
        """Hook a module until `hooks` closes."""

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            outermost = not self.running
            within = bool(self.running and self.running[-1][1])
            counter = None if within else counter_of(module, args, kwargs)
            self.running.append((self.running[-1][0] if within else name, counter or within))
            if outermost:
                self._begin(module, name, args, kwargs)

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            counter = self.running[-1][1]
            if callable(counter) and output is not None:
                assert self.axes is not None
                with torch.no_grad():
                    counted = counter(module, self.axes.named(name), args, kwargs, output)
                self.counts.add(name, counted, self.axes)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            self.running.pop()

        hooks.enter_context(module.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.enter_context(module.register_forward_hook(leave, with_kwargs=True))
        hooks.enter_context(module.register_forward_hook(end, always_call=True))

    def _begin(self, module: nn.Module, name: str, args: Any, kwargs: Any) -> None:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        axis = own_axis(module)
        axis = self.sample_axis if axis is None else axis
        if not tensors or tensors[0].ndim <= axis:
            got = tuple(tensors[0].shape) if tensors else "no tensor"
            raise EventsimError(f"{name} gets {got}, expected a tensor with samples in axis {axis}")
        shape = tensors[0].shape
        steps = shape[1 - axis] if len(shape) > 1 else 1
        self.axes = Axes(shape[axis], steps, self.steps_first)
        self.counts.begin(shape[axis])

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation of torch, and note it where no counter stands for it."""
        output = function(*args, **(kwargs or {}))
        if self.running and not self.running[-1][1] and not function.is_view:
            operation = function.overloadpacket.__name__
            if operation not in _FREE:
                first = output[0] if isinstance(output, tuple | list) and output else output
                elements = first.numel() if isinstance(first, Tensor) else 1
                unknown = self.counts.unknown.setdefault(self.running[-1][0], Counter())
                unknown[operation] += elements
        return output
