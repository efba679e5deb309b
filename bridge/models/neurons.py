"""The neurons of `eventsim` for backpropagation through time, with surrogate gradients.

In: the currents of a whole layer over all timesteps, and an `eventsim.LIF` or `eventsim.IF`, the
one definition of the parameters. Out: its spikes, differentiable. Called by `spiking.py`.

With I[t] = W o_below[t] + b the forward pass is, as He et al. 2020 have it,

    u[t] = decay * r[t-1] + I[t]        o[t] = u[t] > threshold
    r[t] = u[t] * (1 - o[t])            reset "zero"
    r[t] = u[t] - threshold * o[t]      reset "subtract"

and the backward pass its exact derivative, the reset included, but for do/du, which is zero almost
everywhere: a surrogate s(u - threshold) takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from eventsim.errors import EventsimError
from eventsim.network.neurons import IF, LIF, Neuron

Surrogate = Literal["rectangle", "arctan", "fast-sigmoid"]
SURROGATES: tuple[Surrogate, ...] = get_args(Surrogate)


def rectangle(x: Tensor, width: float) -> Tensor:
    """Return 1 / (2 width) where |x| < width, else 0 (Wu et al. 2018, h1; He et al. 2020)."""
    return (x.abs() < width).to(x.dtype).mul_(1 / (2 * width))


def arctan(x: Tensor, width: float) -> Tensor:
    """Return (1 / (2 width)) / (1 + (pi x / (2 width))^2), the derivative of an arctan.

    The surrogate of Fang et al. 2021 with alpha = 1 / width.
    """
    return (x * (torch.pi / (2 * width))).square_().add_(1).reciprocal_().mul_(1 / (2 * width))


def fast_sigmoid(x: Tensor, width: float) -> Tensor:
    """Return (1 / (2 width)) / (1 + |x| / width)^2, the derivative of a fast sigmoid.

    Zenke and Ganguli 2018 (SuperSpike) with beta = 1 / width, scaled to an area of 1.
    """
    return (x.abs() / width).add_(1).square_().reciprocal_().mul_(1 / (2 * width))


# Each takes x = u - threshold and the width, has an area of 1 and a peak of 1 / (2 width), so that
# one width means the same steepness in all of them.
DERIVATIVES: dict[Surrogate, Callable[[Tensor, float], Tensor]] = {
    "rectangle": rectangle,
    "arctan": arctan,
    "fast-sigmoid": fast_sigmoid,
}


class _Rules(NamedTuple):
    """What the two passes need to know; the numbers as the engine's kernels have them."""

    decay: float
    threshold: float
    subtract: bool
    derivative: Callable[[Tensor, float], Tensor]
    width: float


def spike_trains(currents: Tensor, neuron: Neuron, surrogate: Surrogate, width: float) -> Tensor:
    """Run neurons over time: currents (steps, ...) to spikes of the same shape, 0 or 1.

    Membranes start at 0. `currents` hold bias and weighted input of each timestep. `surrogate` and
    its `width` (in units of the membrane) shape only the gradient.
    """
    check_trainable(neuron)
    (p,) = neuron.parameters()
    subtract = neuron.reset == "subtract"
    rules = _Rules(
        float(p["decay"]), float(p["threshold"]), subtract, DERIVATIVES[surrogate], width
    )
    spikes: Tensor = _SpikeTrains.apply(currents, rules)  # type: ignore[no-untyped-call]
    return spikes


def check_trainable(neuron: Neuron) -> None:
    """Raise `EventsimError` for a neuron that torch could not train here."""
    if not isinstance(neuron, LIF | IF) or neuron != _trainable(neuron):
        raise EventsimError(
            f"neuron is {neuron!r}, expected LIF or IF with one decay and threshold, reset "
            f"zero or subtract, and no other parameters, to run in torch"
        )


def _trainable(neuron: LIF | IF) -> Neuron | None:
    """Return the nearest neuron that torch could train."""
    if neuron.channels is not None or neuron.reset not in ("zero", "subtract"):
        return None
    if isinstance(neuron, IF):
        return IF(neuron.threshold, neuron.reset)
    return LIF(neuron.decay, neuron.threshold, neuron.reset)


def check_surrogate(surrogate: str, width: float) -> None:
    """Raise `EventsimError` for an unknown surrogate or a width that is not above 0."""
    if surrogate not in SURROGATES:
        raise EventsimError(f"surrogate is {surrogate!r}, expected one of {SURROGATES}")
    if not 0 < width < float("inf"):
        raise EventsimError(f"surrogate_width is {width}, expected a number above 0")


class _SpikeTrains(torch.autograd.Function):
    """All timesteps of a layer in one node of the graph.

    A node for each operation and timestep takes the same time on a dense layer of 512, but 5.4
    times as long on a map of 16 x 34 x 34 (batch 50, 15 steps, 2 cores: 333 against 61 ms forward
    and backward), where memory traffic decides, and keeps every intermediate array.
    """

    @staticmethod
    def forward(ctx: Any, currents: Tensor, rules: _Rules) -> Tensor:
        """Return the spikes; keeps membranes and spikes for the backward pass."""
        membranes = torch.empty_like(currents)
        spikes = torch.empty_like(currents)
        rest = torch.zeros(currents.shape[1:], dtype=currents.dtype, device=currents.device)
        for t in range(len(currents)):
            u = torch.add(currents[t], rest, alpha=rules.decay, out=membranes[t])
            torch.gt(u, rules.threshold, out=spikes[t])
            if rules.subtract:
                torch.sub(u, spikes[t], alpha=rules.threshold, out=rest)
            else:
                torch.mul(u, 1 - spikes[t], out=rest)
        ctx.save_for_backward(membranes, spikes)
        ctx.rules = rules
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the currents, which is that of the membranes u."""
        membranes, spikes = ctx.saved_tensors
        rules: _Rules = ctx.rules
        (by_spikes,) = gradients
        by_currents = torch.empty_like(membranes)
        by_rest = torch.zeros_like(by_currents[0])
        for t in range(len(membranes) - 1, -1, -1):
            u = membranes[t]
            if rules.subtract:  # dr/do = -threshold, dr/du = 1
                by_spike = torch.sub(by_spikes[t], by_rest, alpha=rules.threshold)
            else:  # dr/do = -u, dr/du = 1 - o
                by_spike = torch.addcmul(by_spikes[t], u, by_rest, value=-1)
                by_rest.mul_(1 - spikes[t])
            by_spike.mul_(rules.derivative(u - rules.threshold, rules.width))
            torch.add(by_spike, by_rest, out=by_currents[t])
            torch.mul(by_currents[t], rules.decay, out=by_rest)
        return by_currents, None
