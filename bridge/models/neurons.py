"""The neurons of `eventsim` for backpropagation through time, with surrogate gradients.

In: the currents of a whole layer over all timesteps, and an `eventsim.LIF`, `IF`, `CUBALIF` or
`ALIF`, the one definition of the parameters. Out: its spikes, differentiable, also by decays and
thresholds. Called by `spiking_layer.py`.

With I[t] = W o_below[t] + b the forward pass is, as He et al. 2020 have it,

    u[t] = decay * r[t-1] + I[t]        o[t] = u[t] > threshold
    r[t] = u[t] * (1 - o[t])            reset "zero"
    r[t] = u[t] - threshold * o[t]      reset "subtract"

and the backward pass its exact derivative, the reset included, but for do/du, which is zero almost
everywhere: a surrogate s(u - threshold) takes its place. A CUBALIF is the same behind a leaky sum
of its input; an ALIF compares with threshold + adaptation * a[t], see its docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from eventsim.errors import EventsimError
from eventsim.network.neurons import ALIF, CUBALIF, IF, LIF, Neuron
from eventsim.network.parameters import float32s

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
    """What the two passes of a layer need to know, besides its numbers."""

    subtract: bool
    derivative: Callable[[Tensor, float], Tensor]
    width: float


def spike_trains(
    currents: Tensor,
    neuron: Neuron,
    surrogate: Surrogate,
    width: float,
    learned: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Run neurons over time: currents (steps, batch, channels, ...) to spikes, 0 or 1, as many.

    Membranes start at 0. `currents` hold bias and weighted input of each timestep. `surrogate` and
    its `width` (in units of the membrane) shape only the gradient. `learned` has numbers in place
    of the neuron's own, by name: decays and a threshold, () or (channels,), which get gradients.
    """
    check_trainable(neuron)

    def number(name: str) -> Tensor:
        fixed = float32s(getattr(neuron, name))
        value = (learned or {}).get(name)
        if value is None:
            value = torch.as_tensor(fixed, dtype=currents.dtype, device=currents.device)
        return value.reshape(-1, *[1] * (currents.dim() - 3)) if value.dim() else value

    if isinstance(neuron, CUBALIF):
        currents = _LeakySum.apply(currents, number("current_decay"))  # type: ignore[no-untyped-call]
    numbers = [number("decay"), number("threshold")]
    if isinstance(neuron, ALIF):
        numbers += [number("adaptation_decay"), number("adaptation")]
    rules = _Rules(neuron.reset == "subtract", DERIVATIVES[surrogate], width)
    spikes: Tensor = _SpikeTrains.apply(currents, rules, *numbers)  # type: ignore[no-untyped-call]
    return spikes


def check_trainable(neuron: Neuron) -> None:
    """Raise `EventsimError` for a neuron that torch could not train here."""
    if not isinstance(neuron, LIF | IF | CUBALIF | ALIF) or neuron != _trainable(neuron):
        raise EventsimError(
            f"neuron is {neuron!r}, expected LIF, IF, CUBALIF or ALIF with reset zero or subtract, "
            f"and none of the options that all models share, to run in torch"
        )


def _trainable(neuron: Neuron) -> Neuron | None:
    """Return the nearest neuron that torch could train."""
    if neuron.reset not in ("zero", "subtract"):
        return None
    own: Any = [getattr(neuron, field.name) for field in fields(neuron) if not field.kw_only]
    return type(neuron)(*own)


def check_surrogate(surrogate: str, width: float) -> None:
    """Raise `EventsimError` for an unknown surrogate or a width that is not above 0."""
    if surrogate not in SURROGATES:
        raise EventsimError(f"surrogate is {surrogate!r}, expected one of {SURROGATES}")
    if not 0 < width < float("inf"):
        raise EventsimError(f"surrogate_width is {width}, expected a number above 0")


class _LeakySum(torch.autograd.Function):
    """The synaptic current of CUBALIF: i[t] = decay * i[t-1] + I[t]."""

    @staticmethod
    def forward(ctx: Any, arriving: Tensor, decay: Tensor) -> Tensor:
        """Return the currents, (steps, ...)."""
        currents = arriving.clone()
        for t in range(1, len(currents)):
            currents[t].addcmul_(currents[t - 1], decay)
        ctx.save_for_backward(currents, decay)
        return currents

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the gradients of what arrives and of the decay."""
        currents, decay = ctx.saved_tensors
        by_arriving = gradients[0].clone()
        for t in range(len(currents) - 2, -1, -1):
            by_arriving[t].addcmul_(by_arriving[t + 1], decay)
        if not ctx.needs_input_grad[1]:
            return by_arriving, None
        return by_arriving, (by_arriving[1:] * currents[:-1]).sum_to_size(decay.shape)


class _SpikeTrains(torch.autograd.Function):
    """All timesteps of a layer in one node of the graph.

    A node for each operation and timestep takes the same time on a dense layer of 512, but 5.4
    times as long on a map of 16 x 34 x 34 (batch 50, 15 steps, 2 cores: 333 against 61 ms forward
    and backward), where memory traffic decides, and keeps every intermediate array.

    Numbers have shapes that fit one timestep. `adapting`: of ALIF, its adaptation_decay and
    adaptation; the latter gets no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, rules: _Rules, decay: Tensor, threshold: Tensor,
        *adapting: Tensor,
    ) -> Tensor:  # fmt: skip
        """Return the spikes; keeps membranes, spikes and adaptations for the backward pass."""
        membranes = torch.empty_like(currents)
        spikes = torch.empty_like(currents)
        adaptations = torch.zeros_like(currents) if adapting else None
        rest = currents.new_zeros(currents.shape[1:])
        for t in range(len(currents)):
            u = torch.addcmul(currents[t], rest, decay, out=membranes[t])
            torch.gt(u, _limit(threshold, adapting, adaptations, t), out=spikes[t])
            if adaptations is not None and t + 1 < len(currents):
                torch.addcmul(spikes[t], adaptations[t], adapting[0], out=adaptations[t + 1])
            rest = _after_reset(rules, threshold, u, spikes[t])
        ctx.save_for_backward(membranes, spikes, adaptations, decay, threshold, *adapting)
        ctx.rules = rules
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the currents, which are those of the membranes u, and numbers."""
        membranes, spikes, adaptations, decay, threshold, *adapting = ctx.saved_tensors
        rules: _Rules = ctx.rules
        (by_spikes,) = gradients
        by_currents = torch.empty_like(membranes)
        by_rest, by_threshold, by_adaptation, by_fading = (
            by_currents.new_zeros(by_currents.shape[1:]) for _ in range(4)
        )
        for t in range(len(membranes) - 1, -1, -1):
            u, o = membranes[t], spikes[t]
            if rules.subtract:  # dr/do = -threshold, dr/du = 1, dr/dthreshold = -o
                by_spike = torch.addcmul(by_spikes[t], by_rest, threshold, value=-1)
                if ctx.needs_input_grad[3]:
                    by_threshold.addcmul_(o, by_rest, value=-1)
            else:  # dr/do = -u, dr/du = 1 - o
                by_spike = torch.addcmul(by_spikes[t], u, by_rest, value=-1)
                by_rest.mul_(1 - o)
            over = u - _limit(threshold, adapting, adaptations, t)
            if adapting:
                by_spike.add_(by_adaptation)
            by_over = by_spike.mul_(rules.derivative(over, rules.width))
            if ctx.needs_input_grad[3]:
                by_threshold.sub_(by_over)
            if adapting:
                by_adaptation.mul_(adapting[0]).addcmul_(by_over, adapting[1], value=-1)
                if t:
                    by_fading.addcmul_(by_adaptation, adaptations[t - 1])
            torch.add(by_over, by_rest, out=by_currents[t])
            torch.mul(by_currents[t], decay, out=by_rest)
        by_decay = None
        if ctx.needs_input_grad[2]:
            rests = _after_reset(rules, threshold, membranes[:-1], spikes[:-1])
            by_decay = (by_currents[1:] * rests).sum_to_size(decay.shape)
        by_numbers = [by_decay, by_threshold.sum_to_size(threshold.shape)]
        if adapting:
            by_numbers += [by_fading.sum_to_size(adapting[0].shape), None]
        return by_currents, None, *by_numbers


def _limit(threshold: Tensor, adapting: Any, adaptations: Tensor | None, t: int) -> Tensor:
    """Return what the membranes of a timestep are compared with."""
    return threshold if adaptations is None else threshold + adapting[1] * adaptations[t]


def _after_reset(rules: _Rules, threshold: Tensor, u: Tensor, o: Tensor) -> Tensor:
    """Return membranes after the reset."""
    return torch.addcmul(u, o, threshold, value=-1) if rules.subtract else u * (1 - o)
