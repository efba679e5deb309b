"""Which axis of what a module gets has the samples. Called by `count.py` and its counters."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from eventsim.errors import EventsimError


class Axes(NamedTuple):
    """Samples and timesteps of the model's input, and how a fold of both lies."""

    samples: int
    steps: int
    steps_first: bool
    name: str = ""  # of the module at hand, for messages

    def named(self, name: str) -> Axes:
        """Return the same for a module."""
        return self._replace(name=name)

    def batch_first(self, x: Tensor, kept: int) -> Tensor:
        """Return x (batch, ..., kept axes), from (steps, samples, ...) where the model has that.

        The batch is the samples, or their fold with something else. Raises `EventsimError` where
        it is neither, and where two readings fit.
        """
        lead = x.shape[: x.ndim - kept]
        both = (self.steps, self.samples)
        if self.steps_first and len(lead) > 1 and lead[:2] == both:
            if self.steps == self.samples > 1:
                raise EventsimError(
                    f"{self.name} gets a tensor of shape {tuple(x.shape)}, of which either axis "
                    f"may be the {self.samples} samples: count another number of them"
                )
            return x.transpose(0, 1)
        if not lead or lead[0] % self.samples:
            raise EventsimError(
                f"{self.name} gets a tensor of shape {tuple(x.shape)}, expected the first axis to "
                f"be the {self.samples} samples, or a fold of them with timesteps"
            )
        return x

    def fold(self, counts: Tensor) -> Tensor:
        """Add up the counts of a batch to those of the samples."""
        if self.steps_first:
            return counts.reshape(-1, self.samples).sum(dim=0)
        return counts.reshape(self.samples, -1).sum(dim=1)
