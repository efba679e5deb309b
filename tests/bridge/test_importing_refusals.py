"""What no network of the engine computes is refused, by its path in the model and by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import eventsim as es
from eventsim_bridge.importing import from_torch

SHAPE = (2, 6, 6)


def snntorch_mlp(kind: str, *decays: Any, **options: Any) -> nn.Module:
    import snntorch as snn

    return nn.Sequential(
        nn.Flatten(), nn.Linear(72, 10), getattr(snn, kind)(*decays, init_hidden=True, **options)
    )


def behind_weights(neurons: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), neurons)


def spikingjelly_node(kind: str, **options: Any) -> nn.Module:
    from spikingjelly.activation_based import neuron

    return behind_weights(getattr(neuron, kind)(**options))


def analog_surrogate() -> nn.Module:
    from spikingjelly.activation_based import neuron, surrogate

    function = surrogate.Sigmoid(spiking=False)
    return behind_weights(neuron.IFNode(surrogate_function=function))


def subclassed_node() -> nn.Module:
    from spikingjelly.activation_based import neuron

    class Noisy(neuron.IFNode):
        def single_step_forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            return super().single_step_forward(x + torch.randn_like(x))

    return behind_weights(Noisy())


def norse_cell(kind: str, parameters: str, **changed: Any) -> nn.Module:
    import norse.torch as norse

    p = getattr(norse, parameters)()._replace(**changed)
    return norse.SequentialState(nn.Conv2d(2, 4, 3), getattr(norse, kind)(p))


def subtracts_with_leak() -> nn.Module:
    from norse.torch.functional.reset import reset_subtract

    leak = torch.tensor(0.1)
    return norse_cell("LIFBoxCell", "LIFBoxParameters", reset_method=reset_subtract, v_leak=leak)


def sinabs_module(kind: str, **options: Any) -> nn.Module:
    import sinabs.layers as sinabs

    return getattr(sinabs, kind)(**options)


def sinabs_layer(kind: str, **options: Any) -> nn.Module:
    return behind_weights(sinabs_module(kind, batch_size=1, **options))


def resets_to(value: float) -> nn.Module:
    from sinabs.activation import MembraneReset

    return sinabs_layer("IAFSqueeze", reset_fn=MembraneReset(value))


def at_most(spikes: int) -> nn.Module:
    from sinabs.activation import MaxSpike

    return sinabs_layer("IAFSqueeze", spike_fn=MaxSpike(spikes))


def around(*modules: nn.Module) -> nn.Module:
    """Modules before a Flatten, weights and neurons."""
    import snntorch as snn

    return nn.Sequential(
        *modules, nn.Flatten(), nn.LazyLinear(10), snn.Leaky(0.5, init_hidden=True)
    )


def spiking(*modules: nn.Module) -> nn.Module:
    import snntorch as snn

    return nn.Sequential(*modules, snn.Leaky(0.5, init_hidden=True))


class Doubled(nn.AvgPool2d):
    def forward(self, input: Any) -> Any:
        return 2 * super().forward(input)


class Repeated(nn.Module):
    """The same input in several timesteps."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = snntorch_mlp("Leaky", 0.5)

    def forward(self, frame: Any) -> Any:
        return [self.inside(frame) for _ in range(3)][-1]


class Counted(nn.Module):
    """Weights behind the sum over timesteps."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.last = snntorch_mlp("Leaky", 0.5), nn.Linear(10, 10)

    def forward(self, frames: Any) -> Any:
        return self.last(torch.stack([self.inside(frame) for frame in frames]).sum(0))


class Depends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = snntorch_mlp("Leaky", 0.5)

    def forward(self, frame: Any) -> Any:
        return self.inside(frame) if frame.sum() > 0 else frame


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.ModuleDict({"weights": nn.Conv2d(2, 2, 3, padding=1)})
        self.neurons = nn.ModuleList([snn_leaky(), snn_leaky()])

    def forward(self, x: Any) -> Any:
        x = self.neurons[0](self.part["weights"](x))
        return self.neurons[1](self.part["weights"](x))


class Function(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = snntorch_mlp("Leaky", 0.5)

    def forward(self, x: Any) -> Any:
        return self.block(torch.relu(x))


class Branch(nn.Module):
    """Two layers of neurons side by side, of which the second would get the first one's spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (spiking(nn.Conv2d(2, 2, 1)) for _ in range(2))

    def forward(self, x: Any) -> Any:
        return self.left(x) + self.right(x)


def snn_leaky() -> nn.Module:
    import snntorch as snn

    return snn.Leaky(0.5, init_hidden=True)


def two_libraries() -> nn.Module:
    from spikingjelly.activation_based import neuron

    return nn.Sequential(nn.Conv2d(2, 2, 3), snn_leaky(), nn.Conv2d(2, 2, 3), neuron.IFNode())


def hooked() -> nn.Module:
    model = snntorch_mlp("Leaky", 0.5)
    model.get_submodule("1").register_forward_hook(lambda module, given, returned: 2 * returned)
    return model


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    # snntorch
    "Alpha": (
        lambda: snntorch_mlp("Alpha", 0.9, 0.8),
        "2: Alpha cannot be imported, expected Leaky, Lapicque, Synaptic, RLeaky, RSynaptic",
    ),
    "inhibition": (
        lambda: snntorch_mlp("Leaky", 0.5, inhibition=True),
        "2: Leaky: inhibition is True, expected False",
    ),
    "state_quant": (
        lambda: snntorch_mlp("Leaky", 0.5, state_quant=torch.round),
        "2: Leaky: state_quant is <built-in method round",
    ),
    "graded spikes": (
        lambda: snntorch_mlp("Leaky", 0.5, graded_spikes_factor=2.0),
        "2: Leaky: graded_spikes_factor is 2.0, expected 1",
    ),
    "another spike function": (
        lambda: snntorch_mlp("Leaky", 0.5, spike_grad=lambda x: (x >= 0).float()),
        "2: Leaky: its spike function gives [0.0, 1.0, 1.0] below, at and above the threshold, "
        "expected [0.0, 0.0, 1.0]",
    ),
    "beta of each site": (
        lambda: spiking_with_beta(torch.full((4, 4, 4), 0.5)),
        "1: Leaky: beta has shape (4, 4, 4), expected one number, or one for each channel of "
        "(4, 4, 4)",
    ),
    "Lapicque that overshoots": (
        lambda: snntorch_mlp("Lapicque", 0.3),
        "2: LIF: decay is -0.2",
    ),
    "a recurrent convolution": (
        lambda: recurrent_convolution(),
        "1: RLeaky: recurrent is 'Conv2d', expected Linear, or a weight of each neuron to itself",
    ),
    # spikingjelly
    "QIFNode": (
        lambda: spikingjelly_node("QIFNode"),
        "1: QIFNode cannot be imported, expected IFNode, LIFNode, ParametricLIFNode",
    ),
    "an analog surrogate": (analog_surrogate, "1: IFNode: its spike function gives [0."),
    "a node with a step of its own": (
        subclassed_node,
        "1: Noisy is a IFNode with a single_step_forward of its own, expected that of IFNode",
    ),
    "a threshold under the rest": (
        lambda: spikingjelly_node("IFNode", v_threshold=0.5, v_reset=0.5),
        "1: IF: threshold is 0.5, expected above rest",
    ),
    # norse
    "LSNNCell": (
        lambda: norse_cell("LSNNCell", "LSNNParameters"),
        "1: LSNNCell cannot be imported, expected LIFCell,",
    ),
    "a method by chance": (
        lambda: norse_cell("LIFCell", "LIFParameters", method="logistic"),
        "1: LIFCell: method is 'logistic', expected one of heaviside, super,",
    ),
    "dt longer than tau": (
        lambda: norse_cell("LIFCell", "LIFParameters", tau_mem_inv=torch.tensor(2000.0)),
        "1: CUBALIF: decay is -1.0, expected 0 to 1",
    ),
    "reset_subtract with a leak": (
        subtracts_with_leak,
        "1: LIFBoxCell: v_leak is 0.10000000149011612, expected 0 with reset_subtract",
    ),
    # sinabs
    "ALIF": (
        lambda: behind_weights(sinabs_module("ALIF", tau_mem=2.0, tau_adapt=4.0)),
        "1: ALIF cannot be imported, expected IAFSqueeze, IAF,",
    ),
    "MembraneReset to a value": (
        lambda: resets_to(-0.5),
        "1: IAFSqueeze: reset_value is -0.5, expected 0: sinabs adds it to every membrane",
    ),
    "MaxSpike": (
        lambda: at_most(4),
        "1: IAFSqueeze: max_num_spikes_per_bin is 4, expected 1 or None",
    ),
    "a bound with a current": (
        lambda: sinabs_layer("LIFSqueeze", tau_mem=5.0, tau_syn=3.0, min_v_mem=-1.0),
        "1: CUBALIF: lower_bound is -1.0, expected None",
    ),
    # layers
    "ReLU": (
        lambda: around(nn.ReLU()),
        "0: ReLU cannot run in the engine, expected Linear, Conv2d",
    ),
    "BatchNorm first": (
        lambda: around(nn.BatchNorm2d(2)),
        "0: BatchNorm2d has no weights before it, expected some to fold it into",
    ),
    "BatchNorm of each batch": (
        lambda: spiking(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        "1: a BatchNorm has no running statistics, expected some to fold",
    ),
    "padding_mode": (
        lambda: spiking(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular")),
        "0: Conv2d: padding_mode is 'circular', expected 'zeros'",
    ),
    "padding same of an even kernel": (
        lambda: spiking(nn.Conv2d(2, 4, 2, padding="same")),
        "0: Conv2d: padding is 'same', expected a number: 'same' pads one side more",
    ),
    "dilated pool": (
        lambda: around(nn.MaxPool2d(2, dilation=2)),
        "0: MaxPool2d: dilation is 2, expected 1",
    ),
    "ceil_mode": (
        lambda: around(nn.AvgPool2d(4, ceil_mode=True)),
        "0: AvgPool2d: ceil_mode is True, expected False for a map of (6, 6), which it cuts off",
    ),
    "padding that does not count": (
        lambda: around(nn.AvgPool2d(2, padding=1, count_include_pad=False)),
        "0: AvgPool2d: count_include_pad is False, expected True with padding",
    ),
    "a pool behind weights": (
        lambda: spiking(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2)),
        "1: AvgPool2d stands between weights (0) and neurons",
    ),
    "Flatten of the map only": (
        lambda: nn.Sequential(nn.Flatten(2), nn.Linear(36, 10), snn_leaky()),
        "0: Flatten: start_dim is 2, expected 1",
    ),
    "Linear on a map": (
        lambda: spiking(nn.Linear(6, 4)),
        "0: Linear acts on the last axis of a map (2, 6, 6), expected a Flatten before it",
    ),
    "a pool with a forward of its own": (
        lambda: around(Doubled(2)),
        "0: calls mul, expected modules, pools, flatten, +, cat and dropout only",
    ),
    "a hook": (hooked, "1: Linear has a forward hook, expected none"),
    # graphs
    "timesteps of the same input": (
        Repeated,
        "the model runs several timesteps on the same input, expected a loop over its own",
    ),
    "weights behind a sum over timesteps": (Counted, "last: Linear is given no layer's output"),
    "a branch on what comes in": (Depends, "Depends: its forward cannot be traced ("),
    "weights that are called twice": (
        Twice,
        "part.weights: is called twice, expected once in a timestep",
    ),
    "a function": (Function, "forward: calls relu, expected modules, pools, flatten,"),
    "branches": (
        Branch,
        "right.1: takes the output of layer -1, expected that of the layer before, 0: only sums",
    ),
    "two libraries": (
        two_libraries,
        "the model has neurons of snntorch and spikingjelly, expected",
    ),
    "nothing": (nn.Sequential, "the model returns a layer that is not its last, expected the last"),
}


def spiking_with_beta(beta: Any) -> nn.Module:
    import snntorch as snn

    return behind_weights(snn.Leaky(beta, init_hidden=True))


def recurrent_convolution() -> nn.Module:
    import snntorch as snn

    return behind_weights(snn.RLeaky(0.5, conv2d_channels=4, kernel_size=3, init_hidden=True))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_represented_is_refused_by_name_and_path(name: str) -> None:
    build, sentence = REFUSED[name]
    model = build().eval()
    before = {key: id(value) for key, value in vars(model).items()}
    with pytest.raises(es.EventsimError) as refused:
        from_torch(model, SHAPE, 1000)
    assert str(refused.value).startswith(sentence), str(refused.value)
    assert {key: id(value) for key, value in vars(model).items()} == before


def test_the_input_has_one_to_three_axes() -> None:
    with pytest.raises(es.EventsimError, match=r"^input_shape is \(1, 2, 6, 6\), expected 1 to 3"):
        from_torch(snntorch_mlp("Leaky", 0.5), (1, 2, 6, 6), 1000)
