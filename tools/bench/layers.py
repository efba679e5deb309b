"""Single layers over input activity (layer-conv) and over size (layer-dense), against torch.

No peer but torch: a layer is a convolution or a product in all of them.

In the time of the engine: routing, adding, decay, compare and reset of the layer, listing its
spikes, and clearing the network's state before (`clocked.cpu.run_layer` on one stretch of
timesteps; the spikes that arrive lie ready). A layer of one neuron stands behind it, since the last
one is read out as well. In the time of torch: only the convolution or product, over all timesteps
at once, of ready frames; its neurons are left out, which favours torch.

A `Network` takes events of one or two polarities, so the 64 channels of layer-conv come from a
layer before it: a pixel for each channel and site, unpacked by an 8 x 8 convolution with stride 8
whose kernels are one-hot. It passes each event on as one spike and nothing else, before the clock
starts. (A 1 x 1 convolution of two polarities to 64 channels could not give each channel its own
pattern.)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import eventsim as es
from eventsim.clocked.cpu import layer as cpu
from eventsim.clocked.cpu.state import Outcome, clear, new_outcome, new_state
from eventsim.events.stretches import Stretch
from eventsim.wiring.wire import program_of
from eventsim_bridge.models.layers import TYPE_OF_LAYER

from ..report import progress_bar
from .contest import run_all
from .networks import random_dense, random_events
from .peers.torch_csr import to_csr
from .timing import ENGINE, Contestant, take_turns

ACTIVITIES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.4, 0.7)
SIZES = (128, 256, 512, 1024, 2048, 4096)
DENSE_ACTIVITY = 0.02
SIDE, IN_CHANNELS, OUT_CHANNELS = 32, 64, 128
CONV_STEPS, DENSE_STEPS = 20, 100
DT_US = 1000
NEURON = es.LIF(decay=0.3, threshold=0.3)
RATE_OUT = 0.001  # about, of the layer that is timed
UNPACK = 8  # IN_CHANNELS = UNPACK^2

Case = dict[str, Any]


def time_convolution(
    repeats: int,
    activities: Sequence[float] = ACTIVITIES,
    side: int = SIDE,
    steps: int = CONV_STEPS,
    out_channels: int = OUT_CHANNELS,
) -> dict[str, Any]:
    """Time a 3 x 3 convolution, padding 1, on `side` x `side`, at each input activity."""
    cases = []
    with progress_bar("layer-conv", len(activities)) as advance:
        for activity in activities:
            network, binned, frames = convolution_case(activity, side, steps, out_channels)
            case = _time_layer(network, binned, frames, repeats)
            cases.append({"activity": activity, **case})
            advance(1)
    return {
        "layer": f"{IN_CHANNELS}-to-{out_channels}-channel 3x3 on {side}x{side}",
        "steps": steps,
        "cases": cases,
        "break_even_activity": {
            name: break_even(list(activities), [case["ratio"][name] for case in cases])
            for name in cases[0]["ratio"]
        },
    }


def time_dense(
    repeats: int, sizes: Sequence[int] = SIZES, steps: int = DENSE_STEPS
) -> dict[str, Any]:
    """Time a fully connected layer n -> n at 2 % input activity, for each n."""
    cases = []
    with progress_bar("layer-dense", len(sizes)) as advance:
        for n in sizes:
            layer = random_dense(n, n, DENSE_ACTIVITY, RATE_OUT, NEURON, seed=n)
            shape = (1, 1, n)
            network = es.Network(shape, DT_US, [es.Flatten(), layer, _reader(n)], steps=steps)
            events = random_events(shape, DENSE_ACTIVITY, steps, DT_US, seed=n)
            binned = es.bin_events(events, shape, DT_US, steps, start_us=0)
            frames = torch.from_numpy(binned.frames()).flatten(1)
            case = _time_layer(network, binned, frames, repeats)
            cases.append({"n": n, **case})
            advance(1)
    return {"activity": DENSE_ACTIVITY, "steps": steps, "cases": cases}


def convolution_case(
    activity: float, side: int, steps: int, out_channels: int
) -> tuple[es.Network, es.BinnedEvents, Tensor]:
    """Return the network, its input, and frames for torch.

    The frames (steps, 64, side, side) are the spikes that the first layer passes on.
    """
    kernels = np.eye(IN_CHANNELS, dtype=np.float32).reshape(IN_CHANNELS, 1, UNPACK, UNPACK)
    unpack = es.Conv2d(kernels, stride=UNPACK, neuron=es.IF(0.5))
    # A dense layer as wide as a kernel's window has weights of the right scale.
    window = random_dense(IN_CHANNELS * 9, out_channels, activity, RATE_OUT, NEURON, seed=1)
    weight = window.weight.reshape(out_channels, IN_CHANNELS, 3, 3)
    convolution = es.Conv2d(weight, padding=1, neuron=NEURON)
    shape = (1, side * UNPACK, side * UNPACK)
    behind = (es.SumPool2d(side), es.Flatten(), _reader(out_channels))
    network = es.Network(shape, DT_US, [unpack, convolution, *behind], steps=steps)
    binned = es.bin_events(
        random_events(shape, activity, steps, DT_US), shape, DT_US, steps, start_us=0
    )
    frames = torch.from_numpy(binned.frames())
    return network, binned, nn.functional.pixel_unshuffle(frames, UNPACK)


def _reader(outputs: int) -> es.Dense:
    """Return a last layer behind one with so many outputs."""
    return es.Dense(np.zeros((1, outputs), np.float32), neuron=NEURON)


def only_timed_layer(network: es.Network, binned: es.BinnedEvents) -> Callable[[], Outcome]:
    """Return what runs the last layer but one from silence, on what came to it once."""
    program = program_of(network)
    if binned.steps > program.stretch:
        raise es.EventsimError(f"{binned.steps} timesteps, expected at most {program.stretch}")
    state = new_state(program)
    timed = len(program.populations) - 2

    def run(numbers: Iterable[int]) -> Outcome:
        outcome = new_outcome(program)
        for number in numbers:
            cpu.run_layer(program, number, state, None, 0, binned.steps, outcome)
        return outcome

    def run_timed() -> Outcome:
        clear(program, state)
        return run([timed])

    clear(program, state)
    recording = Stretch(binned.pointers, binned.cells, binned.values)
    cpu.begin_stretch(program, state, 0)
    cpu.take_in(program, state, recording, 0, binned.steps)
    run(range(timed))
    return run_timed


def _time_layer(network: es.Network, binned: es.BinnedEvents, frames: Tensor, repeats: int) -> Case:
    """Time the last layer but one with neurons, and its product in torch."""
    number = network.neuron_layers[-2]
    layer: Any = network.layers[number]
    module: Any = TYPE_OF_LAYER[type(layer)].to_torch(layer)
    contestants = [Contestant(ENGINE, 1, only_timed_layer(network, binned))]
    if isinstance(layer, es.Dense):
        sparse, weight = to_csr(frames), module.weight.detach().T.contiguous()
        contestants.append(
            Contestant("torch CSR", 1, partial(_run, partial(torch.sparse.mm, sparse), weight))
        )
    contestants.append(Contestant("torch", 1, partial(_run, module, frames)))
    timings = take_turns(contestants, repeats, 1, lambda done: None)
    seconds = {timing.name: np.array(timing.seconds) for timing in timings}
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    operations = es.run_binned(network, binned).operations[number]
    return {
        "sops": operations.sops,
        "dense_macs": operations.dense_macs,
        "firing_rate": operations.output_spikes / operations.dense_updates,
        "seconds": {name: times.tolist() for name, times in seconds.items()},
        "sops_a_second": operations.sops / medians[ENGINE],
        "macs_a_second": operations.dense_macs / medians["torch"],
        "ratio": {
            name: median / medians[ENGINE] for name, median in medians.items() if name != ENGINE
        },
    }


def _run(product: Any, operand: Tensor) -> None:
    with torch.inference_mode():
        run_all(product, [operand], threads=1)


def break_even(activities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """Return the activity at which a falling ratio comes to 1; None where it does not.

    Linear between measured points on two logarithmic axes.
    """
    x, y = np.log(np.array([activities, ratios]))
    for i in range(len(x) - 1):
        if y[i] >= 0 > y[i + 1]:
            return float(np.exp(x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1])))
    return None
