"""Networks in other frameworks, their NIR files by their own exporters, and their own spikes.

Each function builds a network with fixed weights in one framework and gives an `Exported`: the
graph that the framework's exporter makes of it, and the network to run beside the engine. The
convolutional ones have the structure of NIR's paper (Pedersen et al. 2024): 16C5 with stride 2,
16C3, a pool, 8C3, a pool, 256, 10 on N-MNIST; norse exports neither pools nor Flatten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SHAPE = (2, 34, 34)
PAPER = ((16, 16, 16), (16, 16, 16), (8, 8, 8), (256,), (10,))  # its layers with neurons


class Exported:
    """A network in its own framework, and what its exporter makes of it."""

    def __init__(
        self, model: nn.Module, neurons: list[nn.Module], graph: Any, step: Callable[..., None]
    ) -> None:
        self.model, self.graph, self._step = model, graph, step
        self._spikes: list[list[Tensor]] = [[] for _ in neurons]
        for index, neuron in enumerate(neurons):
            neuron.register_forward_hook(self._keep(index))

    def _keep(self, index: int) -> Callable[..., None]:
        def hook(module: Any, given: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            self._spikes[index].append(spikes.detach())

        return hook

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (1, steps, *shape)."""
        for kept in self._spikes:
            kept.clear()
        with torch.no_grad():
            self._step(frames[0])
        steps = frames.shape[1]
        return [torch.cat(kept).reshape(1, steps, *kept[0].shape[1:]) for kept in self._spikes]


class Case(NamedTuple):
    """One network of one framework."""

    library: str
    neuron: str
    structure: str
    build: Callable[[], Exported]


def _fill(model: nn.Module, gain: float) -> None:
    """Give every weight the size that keeps the network busy, the same on every run."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Linear | nn.Conv2d) and weight is not None:
            fan_in = weight[0].numel()
            values = torch.randn(weight.shape, generator=generator) + 0.15
            weight.data = gain * values / fan_in**0.5
            if module.bias is not None:
                module.bias.data = 0.02 * torch.randn(module.bias.shape, generator=generator)


def _mlp(neurons: Callable[..., nn.Module], linear: Any = nn.Linear) -> list[nn.Module]:
    return [linear(2312, 64), neurons(64), linear(64, 10), neurons(10)]


def _paper(
    neurons: Callable[..., nn.Module], pool: Any, conv: Any = nn.Conv2d, linear: Any = nn.Linear,
    flatten: Any = nn.Flatten,
) -> list[nn.Module]:  # fmt: skip
    last = neurons(*PAPER[4])
    return [
        conv(2, 16, 5, 2, 1, bias=False), neurons(*PAPER[0]),
        conv(16, 16, 3, 1, 1, bias=False), neurons(*PAPER[1]), pool(2),
        conv(16, 8, 3, 1, 1, bias=False), neurons(*PAPER[2]), pool(2),
        flatten(), linear(128, 256, bias=False), neurons(*PAPER[3]),
        linear(256, 10, bias=False), last,
    ]  # fmt: skip


def _of_type(model: nn.Module, *kinds: type) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kinds)]


# --- snntorch -------------------------------------------------------------------------------------


def _snntorch(model: nn.Module, gain: float) -> Exported:
    from snntorch import utils
    from snntorch._neurons import SpikingNeuron
    from snntorch.export_nir import export_to_nir

    _fill(model, gain)
    graph = export_to_nir(model, torch.zeros(1, *SHAPE), ignore_dims=[0])

    def run(frames: Tensor) -> None:
        utils.reset(model)
        for frame in frames:
            model(frame[None])

    return Exported(model, _of_type(model, SpikingNeuron), graph, run)


def _leaky(*shape: int, beta: float = 0.9, threshold: float = 1.0, **options: Any) -> nn.Module:
    import snntorch

    # In the layer's shape: the exporter checks shapes, and a number has the shape ().
    return snntorch.Leaky(
        beta=torch.full(shape, beta), threshold=torch.full(shape, threshold), init_hidden=True,
        reset_mechanism="zero", reset_delay=False, **options,
    )  # fmt: skip


def snntorch_mlp() -> Exported:
    """`Leaky`."""
    return _snntorch(nn.Sequential(nn.Flatten(), *_mlp(_leaky)), 3.0)


def snntorch_recurrent() -> Exported:
    """`RLeaky`, each to each, and `Synaptic`."""
    import snntorch

    common: Any = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
    recurrent = snntorch.RLeaky(beta=0.8, threshold=1.0, linear_features=64, **common)
    last = snntorch.Synaptic(
        alpha=torch.full((10,), 0.5), beta=torch.full((10,), 0.8), threshold=torch.full((10,), 1.0),
        **common,
    )  # fmt: skip
    layers = [nn.Flatten(), nn.Linear(2312, 64), recurrent, nn.Linear(64, 10), last]
    return _snntorch(nn.Sequential(*layers), 1.5)


def snntorch_conv() -> Exported:
    """`Leaky` and average pools."""
    return _snntorch(nn.Sequential(*_paper(_leaky, nn.AvgPool2d)), 1.5)


# --- norse ----------------------------------------------------------------------------------------


def _norse(layers: list[nn.Module], gain: float, flat: bool) -> Exported:
    import norse.torch as norse

    model = norse.SequentialState(*layers)
    _fill(model, gain)
    # Without a batch axis, or the exporter takes that as one of the input's.
    graph = norse.to_nir(model, torch.zeros(2312) if flat else torch.zeros(SHAPE))
    graph.infer_types()

    def run(frames: Tensor) -> None:
        state = None
        for frame in frames:
            _, state = model(frame.reshape(1, -1) if flat else frame[None], state)

    return Exported(model, layers[1::2], graph, run)


def _box(*shape: int) -> nn.Module:
    import norse.torch as norse

    numbers = {"tau_mem_inv": 200.0, "v_leak": 0.0, "v_th": 0.3, "v_reset": 0.0}
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(**{name: torch.full(shape, n) for name, n in numbers.items()})
    )


def norse_mlp() -> Exported:
    """`LIFBoxCell`."""
    return _norse(_mlp(_box), 3.0, flat=True)


def norse_conv() -> Exported:
    """`IAFCell` and `LIFCell`, and convolutions alone."""
    import norse.torch as norse

    def cell(*shape: int) -> nn.Module:
        numbers = {"tau_syn_inv": 200.0, "tau_mem_inv": 100.0, "v_leak": 0.0, "v_th": 0.3}
        numbers["v_reset"] = 0.0
        return norse.LIFCell(
            norse.LIFParameters(**{name: torch.full(shape, n) for name, n in numbers.items()})
        )

    layers = [
        nn.Conv2d(2, 16, 5, 2, 1), norse.IAFCell(norse.IAFParameters(v_th=torch.ones(16, 16, 16))),
        nn.Conv2d(16, 8, 3, 2), cell(8, 7, 7), nn.Conv2d(8, 10, 7), cell(10, 1, 1),
    ]  # fmt: skip
    return _norse(layers, 1.5, flat=False)


# --- sinabs ---------------------------------------------------------------------------------------


def _sinabs(model: nn.Module, gain: float) -> Exported:
    import sinabs
    import sinabs.layers
    from sinabs.nir import to_nir

    _fill(model, gain)
    model(torch.zeros(1, *SHAPE))
    graph = to_nir(model, torch.zeros(1, *SHAPE))
    graph.infer_types()

    def run(frames: Tensor) -> None:
        sinabs.reset_states(model)
        model(frames)

    return Exported(model, _of_type(model, sinabs.layers.StatefulLayer), graph, run)


def sinabs_mlp() -> Exported:
    """`LIF`, several spikes a timestep; norm_input=False, as the importer takes it."""
    import sinabs.layers as sl

    def lif(*shape: int) -> nn.Module:
        return sl.LIFSqueeze(
            tau_mem=torch.full(shape, 8.0), spike_threshold=torch.full(shape, 1.0),
            norm_input=False, batch_size=1,
        )  # fmt: skip

    return _sinabs(nn.Sequential(nn.Flatten(), *_mlp(lif)), 2.0)


def sinabs_conv() -> Exported:
    """`IAF` that stops at minus the threshold, and sum pools: the network of NIR's paper."""
    import sinabs.layers as sl

    def iaf(*shape: int) -> nn.Module:
        return sl.IAFSqueeze(spike_threshold=torch.tensor(1.0), min_v_mem=-1.0, batch_size=1)

    return _sinabs(nn.Sequential(*_paper(iaf, sl.SumPool2d)), 0.7)


# --- spikingjelly ---------------------------------------------------------------------------------


def _spikingjelly(model: nn.Module, gain: float, dt: float) -> Exported:
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    _fill(model, gain)
    graph = export_to_nir(model, torch.zeros(1, *SHAPE), dt=dt)

    def run(frames: Tensor) -> None:
        functional.reset_net(model)
        for frame in frames:
            model(frame[None])

    return Exported(model, _of_type(model, neuron.BaseNode), graph, run)


def spikingjelly_mlp() -> Exported:
    """`LIFNode`, with and without decay_input."""
    from spikingjelly.activation_based import layer, neuron

    decays = iter((True, False))

    def lif(*shape: int) -> nn.Module:
        return neuron.LIFNode(tau=4.0, decay_input=next(decays))

    return _spikingjelly(nn.Sequential(layer.Flatten(), *_mlp(lif, layer.Linear)), 5.0, 1e-4)


def spikingjelly_conv() -> Exported:
    """`IFNode`, a `CUBALIFNode` and average pools, exported with another timestep."""
    from spikingjelly.activation_based import layer, neuron

    def node(*shape: int) -> nn.Module:
        if shape == PAPER[3]:
            return neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0)
        return neuron.IFNode()

    layers = _paper(node, layer.AvgPool2d, layer.Conv2d, layer.Linear, layer.Flatten)
    return _spikingjelly(nn.Sequential(*layers), 1.5, 1e-3)


CASES = (
    Case("snntorch", "Leaky", "MLP", snntorch_mlp),
    Case("snntorch", "RLeaky, Synaptic", "MLP, recurrent", snntorch_recurrent),
    Case("snntorch", "Leaky", "conv, AvgPool", snntorch_conv),
    Case("norse", "LIFBoxCell", "MLP", norse_mlp),
    Case("norse", "IAFCell, LIFCell", "conv", norse_conv),
    Case("sinabs", "LIF", "MLP", sinabs_mlp),
    Case("sinabs", "IAF", "conv, SumPool", sinabs_conv),
    Case("spikingjelly", "LIFNode", "MLP", spikingjelly_mlp),
    Case("spikingjelly", "IFNode, CUBALIFNode", "conv, AvgPool", spikingjelly_conv),
)
