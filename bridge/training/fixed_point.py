"""A trained network in fixed point, its scales chosen by what they cost on recordings.

In: a spiking network with float weights, and the recordings that validate it. Out: the network in
fixed point (`eventsim/network/fixed_point.py`), and what both of them do on those recordings.
Called by `eventsim train --fixed-point loihi`, for networks trained with float32 or for whole
numbers (`models/rounding.py`).

Layer by layer, from the input on, each step of `STEPS` is tried with those chosen so far, and the
one of the least loss stays: the mean squared distance of the output neurons' firing rates from the
one-hot label, as in training. Small steps show more of the small weights and cut off the largest.
Where a current would leave the chip's bits, all exponents are one less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import EventsimError
from eventsim.network.fixed_point import Scale, to_fixed_point
from eventsim.network.graph import Network
from eventsim.network.neurons import CUBALIF
from eventsim.network.neurons.fixed import EXPONENTS, CurrentOverflowError
from eventsim.result import Result
from eventsim.simulator import simulate_batch

from ..datasets import DataSet
from .loop import build_model
from .settings import TrainingError, TrainingSettings

STEPS = (1.0, 0.9, 0.8, 0.65, 0.5)


class Judged(NamedTuple):
    """What a network does on recordings, on average."""

    accuracy: float
    loss: float
    spikes: float  # of all layers, a recording
    sops: float

    def as_dict(self) -> dict[str, float]:
        """Return it for JSON."""
        return self._asdict()


class FixedPoint(NamedTuple):
    """A network in fixed point beside the one that it comes from."""

    network: Network
    scales: list[Scale]
    before: Judged  # of the float network,
    after: Judged  # and in fixed point, on the same recordings


def check_counterpart(settings: TrainingSettings, dataset: DataSet) -> None:
    """Raise `EventsimError` for a network that has none in fixed point, before it is trained."""
    if settings.bias and isinstance(settings.neuron, CUBALIF):
        raise TrainingError(
            "neuron is CUBALIF with a bias, expected none for fixed point: train with --no-bias"
        )
    shape = dataset.sensor.input_shape
    model: Any = build_model(settings, shape)
    to_fixed_point(Network(shape, settings.dt_us, model.engine_layers()))


def choose_fixed_point(
    network: Network,
    recordings: Sequence[Any],
    labels: Sequence[int],
    progress: Callable[[], None] = lambda: None,
) -> FixedPoint:
    """Return the network in fixed point with the scales that cost the least loss.

    `recordings`: events, or what `simulate_batch` takes. Raises `NetworkError` for a network that
    has no counterpart, and `EventsimError` where no exponent is small enough.
    """
    chosen = [Scale(1.0)] * len(network.neuron_layers)
    before = judge(network, recordings, labels)
    chosen, after = _without_overflow(network, chosen, recordings, labels)
    for layer in range(len(chosen)):
        for step in STEPS[1:]:
            tried = list(chosen)
            tried[layer] = tried[layer]._replace(step=step)
            try:
                found = judge(to_fixed_point(network, tried), recordings, labels)
            except CurrentOverflowError:
                found = after
            if found.loss < after.loss:
                chosen, after = tried, found
            progress()
    return FixedPoint(to_fixed_point(network, chosen), chosen, before, after)


def _without_overflow(
    network: Network, scales: list[Scale], recordings: Sequence[Any], labels: Sequence[int]
) -> tuple[list[Scale], Judged]:
    """Return the scales with the largest exponents with which the recordings run, and how."""
    for exponent in range(0, EXPONENTS[0] - 1, -1):
        tried = [scale._replace(exponent=exponent) for scale in scales]
        try:
            return tried, judge(to_fixed_point(network, tried), recordings, labels)
        except CurrentOverflowError:
            continue
    raise EventsimError(
        f"currents leave the chip's bits with every weight_exponent down to {EXPONENTS[0]}, "
        f"expected inputs or weights that add up to less"
    )


def judge(network: Network, recordings: Sequence[Any], labels: Sequence[int]) -> Judged:
    """Run recordings event by event, and return what came of them."""
    return judged(simulate_batch(network, recordings), labels)


def judged(results: Sequence[Result], labels: Sequence[int]) -> Judged:
    """Return what results are on average."""
    loss = correct = spikes = sops = 0.0
    for result, label in zip(results, labels, strict=True):
        rates = result.spike_counts / max(1, result.steps)
        rates[label] -= 1
        loss += float(np.mean(rates**2))
        correct += result.prediction == label
        spikes += sum(layer.output_spikes for layer in result.operations.layers)
        sops += result.operations.total.sops
    return Judged(*(value / len(results) for value in (correct, loss, spikes, sops)))
