"""What the importer asks of a library of spiking neurons; one file beside this one answers each.

In: a module of the library, and the shape of what arrives at it. Out: `Neurons`, the same as a
model of the engine. Numbers are taken as the library has them, in float32, and computed on in
float64. A factor of what arrives goes into the weights before they are rounded to float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eventsim.errors import NetworkError
from eventsim.network.geometry import Shape
from eventsim.network.neurons import Neuron
from eventsim.network.parameters import Values

from ..models.modules import float64s


class Neurons(NamedTuple):
    """The neurons behind some weights."""

    neuron: Neuron
    gain: NDArray[Any] | float = 1.0  # of all that arrives, bias and recurrence as well
    weight: NDArray[Any] | None = None  # (outputs, inputs), where the neurons hold them
    recurrent: NDArray[Any] | None = None  # (outputs, outputs) or (outputs,)
    bias: NDArray[Any] | None = None  # (outputs,), that of the recurrence


class Library(ABC):
    """One library."""

    name: ClassVar[str]  # its package

    def owns(self, module: nn.Module) -> bool:
        """Tell whether a module's class, or one that it inherits from, is the library's."""
        return any(one.__module__.split(".")[0] == self.name for one in type(module).__mro__)

    @abstractmethod
    def is_neuron(self, module: nn.Module) -> bool:
        """Tell whether a module has neurons, whether or not they can be imported."""

    @abstractmethod
    def neurons(self, module: Any, shape: Shape) -> Neurons:
        """Return what a module with neurons is in the engine, for currents of `shape`.

        Raises `NetworkError` for a parameter that cannot be represented.
        """

    def returns_state(self, module: Any) -> bool:
        """Tell whether a module with neurons returns a tuple, spikes first."""
        return False

    def inside(self, module: nn.Module) -> Iterable[tuple[str, nn.Module]] | None:
        """Return the modules that a container runs one after the other; None for no container.

        Only for those whose own forward cannot be traced. Their modules see one axis before the
        channels.
        """
        return None

    def axes(self, model: nn.Module) -> int:
        """Return how many axes stand before the channels: 1 for a batch, 2 for time and a batch."""
        return 1

    @abstractmethod
    def reset(self, model: Any) -> None:
        """Set the states that a model keeps to those before its first timestep."""

    @abstractmethod
    def run(self, model: Any, frames: Tensor) -> None:
        """Run a model that has been reset on frames (steps, *input shape), as one recording.

        What is changed in it meanwhile, and hooks, are taken back by the caller.
        """


def step_by_step(model: Any, frames: Tensor) -> None:
    """Call a model with one timestep after the other, a batch of one."""
    for frame in frames:
        model(frame[None])


def number(module: Any, name: str, shape: Shape) -> Values:
    """Return a parameter as one number, or one for each channel of currents of `shape`.

    Raises `NetworkError` for one that differs within a channel.
    """
    return values(getattr(module, name), type(module).__name__, name, shape)


def values(value: Any, owner: str, name: str, shape: Shape) -> Values:
    """Do as `number` for a value that is at hand."""
    found = float64s(torch.as_tensor(value))
    if found.size == 1:
        return float(found.reshape(()))
    full = (1,) * (len(shape) - found.ndim) + found.shape
    if full != (shape[0], *[1] * (len(shape) - 1)):
        raise NetworkError(
            f"{owner}: {name} has shape {found.shape}, expected one number, or one for each "
            f"channel of {shape}"
        )
    return tuple(float(one) for one in found.reshape(-1))


def each(function: Callable[..., Any], *operands: Values) -> Values:
    """Compute with parameters, one number or one for each channel."""
    result = np.asarray(function(*(np.asarray(one, np.float64) for one in operands)))
    return float(result) if result.ndim == 0 else tuple(float(one) for one in result)


def refuse(module: Any, option: str, value: Any, expected: str) -> NetworkError:
    """Return the error for an option that cannot be represented."""
    return NetworkError(f"{type(module).__name__}: {option} is {value!r}, expected {expected}")


def check_methods(module: nn.Module, kind: type[nn.Module], names: Iterable[str]) -> None:
    """Refuse a subclass of a known neuron that computes something else."""
    for name in names:
        owner = next((one for one in type(module).__mro__ if name in vars(one)), None)
        if owner is not None and owner not in kind.__mro__:
            raise NetworkError(
                f"{type(module).__name__} is a {kind.__name__} with a {name} of its own, "
                f"expected that of {kind.__name__}"
            )


def check_spike_function(module: Any, function: Any, at_threshold: bool) -> None:
    """Refuse what does not fire exactly above the threshold, or at it: a random surrogate."""
    below_at_above = torch.tensor([-1e-3, 0.0, 1e-3])
    with torch.no_grad():
        found = [float(one) for one in function(below_at_above)]
    expected = [0.0, float(at_threshold), 1.0]
    if found != expected:
        raise NetworkError(
            f"{type(module).__name__}: its spike function gives {found} below, at and above the "
            f"threshold, expected {expected}"
        )
