"""Networks of other libraries in their own framework beside the engine, on N-MNIST (imports).

Two of each library, one fully connected and one convolutional, that differ in their neurons. Their
weights are drawn at random, scaled until every layer fires at the rate asked for, and then trained
in that library, by its own surrogate gradients, on the first recordings of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import eventsim as es
from eventsim.network.neurons import READOUTS_ONLY
from eventsim_bridge.agreement import compare
from eventsim_bridge.datasets import open_dataset
from eventsim_bridge.importing import read_torch

from ..report import progress_bar
from .networks import firing_rates
from .trained import train

SHAPE, DT_US, STEPS = (2, 34, 34), 5000, 60
SCALED_ON = 2  # recordings
TRAINED_ON = 500
MOST_TRIES = 60


def mlp(first: nn.Module, second: nn.Module, flat: int = 1, kind: Any = nn.Sequential) -> nn.Module:
    """Return 512FC-10."""
    model: nn.Module = kind(
        nn.Flatten(flat), nn.Linear(2312, 512), first, nn.Linear(512, 10), second
    )
    return model


def conv(
    first: nn.Module, second: nn.Module, third: nn.Module, norms: bool = False,
    kind: Any = nn.Sequential,
) -> nn.Module:  # fmt: skip
    """Return 8C5s2-AP2-16C3-AP2-10, with batch normalisations or without."""
    norm = [nn.BatchNorm2d(8), nn.BatchNorm2d(16)] if norms else [nn.Identity(), nn.Identity()]
    model: nn.Module = kind(
        nn.Conv2d(2, 8, 5, 2, 2), norm[0], first, nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, 1, 1), norm[1], second, nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(256, 10), third,
    )  # fmt: skip
    return model


def _snntorch() -> Iterator[tuple[str, nn.Module]]:
    import snntorch as snn

    def leaky() -> Any:
        return snn.Leaky(0.9, init_hidden=True)

    def synaptic() -> Any:
        return snn.Synaptic(0.8, 0.9, reset_mechanism="zero", init_hidden=True)

    yield "Leaky(0.9): subtract, in the next timestep", mlp(leaky(), leaky())
    model = conv(synaptic(), synaptic(), snn.Leaky(0.9, reset_delay=False, init_hidden=True))
    yield 'Synaptic(0.8, 0.9, "zero"), Leaky(0.9, reset_delay=False)', model


def _spikingjelly() -> Iterator[tuple[str, nn.Module]]:
    from spikingjelly.activation_based import functional, layer, neuron

    yield "LIFNode(tau=2.0)", mlp(neuron.LIFNode(), neuron.LIFNode())
    nodes = [neuron.IFNode(v_reset=None), neuron.ParametricLIFNode(), neuron.IFNode()]
    parts = [
        layer.SeqToANNContainer(part) if part not in nodes else part
        for part in conv(nodes[0], nodes[1], nodes[2], norms=True).children()
    ]
    model = nn.Sequential(*parts)
    functional.set_step_mode(model, "m")
    yield "IFNode(v_reset=None), ParametricLIFNode(), IFNode(), BatchNorm", model


def _norse() -> Iterator[tuple[str, nn.Module]]:
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract

    kind = norse.SequentialState
    yield "LIFCell()", mlp(norse.LIFCell(), norse.LIFCell(), kind=kind)
    box = norse.LIFBoxParameters(reset_method=reset_subtract)
    cells = norse.LIFBoxCell(box), norse.LIFBoxCell(box), norse.LICell()
    yield "LIFBoxCell(reset_subtract), LICell()", conv(*cells, kind=kind)


def _sinabs() -> Iterator[tuple[str, nn.Module]]:
    import sinabs.layers as sinabs

    layers = [sinabs.LIF(tau_mem=10.0, tau_syn=5.0) for _ in range(2)]
    yield "LIF(tau_mem=10, tau_syn=5), several spikes", mlp(layers[0], layers[1], flat=2)
    squeezed = [sinabs.IAFSqueeze(batch_size=1, min_v_mem=-1.0) for _ in range(3)]
    model = conv(squeezed[0], squeezed[1], squeezed[2])
    yield "IAFSqueeze(min_v_mem=-1), several spikes", model


MODELS: dict[str, Callable[[], Iterator[tuple[str, nn.Module]]]] = {
    "snntorch": _snntorch, "spikingjelly": _spikingjelly, "norse": _norse, "sinabs": _sinabs,
}  # fmt: skip


def measure_imports(root: Path | None, limit: int, rate: float) -> dict[str, Any]:
    """Compare every spike on the first recordings of the test part, and as many of training."""
    dataset = open_dataset("nmnist", root)
    test, training = (
        [part[index] for index in range(min(limit, len(part)))]
        for part in (dataset.test, dataset.train)
    )
    rows: list[dict[str, Any]] = []
    for library, models in MODELS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found = list(models())
        for name, (neurons, model) in zip(("512FC-10", "conv"), found, strict=True):
            row = {"library": library, "neurons": neurons, "network": name}
            rows.append(row | _compared(f"{library}, {name}", model, test, training, rate))
    return {
        "recordings": len(test) + len(training), "tested": len(test),
        "trained": min(TRAINED_ON, len(training)), "steps": STEPS, "dt_us": DT_US, "rows": rows,
    }  # fmt: skip


def _compared(
    title: str, model: nn.Module, test: Sequence[Any], training: Sequence[Any], rate: float
) -> dict[str, Any]:
    """Train a model, and compare it with its network on all recordings, (events, label) each."""
    few = [events for events, _ in (*training, *test)[:SCALED_ON]]
    _scale(model.eval(), few, rate)
    with progress_bar(f"{title}: training", min(TRAINED_ON, len(training))) as advance:
        train(model, SHAPE, _binned(training[:TRAINED_ON]), advance)
    network = read_torch(model.eval(), SHAPE, DT_US, steps=STEPS).network
    recordings = [events for events, _ in (*test, *training)]
    with progress_bar(f"{title}: comparing", len(recordings)) as advance:
        agreement = compare(model, network, recordings, progress=advance)
    found = es.simulate_batch(network, [events for events, _ in test])
    right = sum(one.prediction == label for one, (_, label) in zip(found, test, strict=True))
    return {
        **agreement.as_dict(),
        "right": right,
        "spikes": sum(layer.torch_spikes for layer in agreement.layers),
        "differing": agreement.differing, "origins": agreement.origins,
        "farthest": max(layer.largest_origin_distance for layer in agreement.layers),
    }  # fmt: skip


def _binned(recordings: Sequence[Any]) -> list[tuple[es.BinnedEvents, int]]:
    return [(es.bin_events(events, SHAPE, DT_US, STEPS), label) for events, label in recordings]


def _scale(model: nn.Module, recordings: Sequence[Any], rate: float) -> None:
    """Multiply the weights of each layer until its neurons spike in `rate` of the timesteps."""
    weights = [part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    for number, part in enumerate(weights):
        for _ in range(MOST_TRIES):
            network = read_torch(model, SHAPE, DT_US, steps=STEPS).network
            layer: Any = network.layers[network.neuron_layers[number]]
            found = firing_rates(network, recordings)[number]
            if isinstance(layer.neuron, READOUTS_ONLY) or found >= rate:
                break
            with torch.no_grad():
                part.weight.mul_(1.25)
        else:
            name = network.layer_name(network.neuron_layers[number])
            raise es.EventsimError(f"{name} spikes at {found:.2%}, expected {rate:.2%}")
