"""The least memory that a training takes, so that an absurd one is refused before it begins.

In: settings and the shape of the input. Out: bytes, found without making a single weight.
"""

from __future__ import annotations

import math
import os

import torch

from eventsim.errors import EventsimError

from ..models.layers import parse_structure
from .settings import TrainingError, TrainingSettings

GATES = {"snn": 1, "rnn": 1, "lstm": 4, "ann": 1}  # sums of a cell for each of its states
NUMBER = 4  # bytes of a float32
OF_WEIGHT = 4  # itself, its gradient, and Adam's two means


def check_memory(
    settings: TrainingSettings, shape: tuple[int, ...], memory: int | None = None
) -> None:
    """Refuse what needs more memory than there is (by default, in this machine).

    Windows does not say how much it has, and nothing is refused there. Raises `TrainingError`.
    """
    if memory is None:
        if not hasattr(os, "sysconf"):
            return
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = least_bytes(settings, shape)
    if needed > memory:
        raise TrainingError(
            f"structure {settings.structure!r} with {settings.steps} steps and a batch of "
            f"{settings.batch_size} takes {needed / 2**30:,.1f} GiB of memory at least, expected "
            f"at most the {memory / 2**30:,.1f} GiB of this machine"
        )


def least_bytes(settings: TrainingSettings, shape: tuple[int, ...]) -> int:
    """Return the bytes of the weights and of the states that a batch keeps for its gradients.

    Each population keeps at least one number a timestep, and so does the input.
    """
    weights, cells = 0, math.prod(shape)
    try:
        with torch.device("meta"):
            for spec in parse_structure(settings.structure):
                module, shape = spec.type.build(spec.numbers, shape, settings.bias)
                weights += sum(parameter.numel() for parameter in module.parameters())
                cells += math.prod(shape)
    except EventsimError:
        return 0  # it is no structure for this input, which whoever builds it says better
    except (RuntimeError, OverflowError, TypeError) as error:  # numbers beyond 64 bits
        raise TrainingError(f"structure {settings.structure!r} is too large to build") from error
    states = settings.batch_size * settings.steps * cells
    return NUMBER * (OF_WEIGHT * weights * GATES[settings.model] + states)
