"""Small models of each library, one for each of its neurons' options, and recordings for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import eventsim as es

SHAPE = (2, 6, 6)
STEPS = 40


def recordings(count: int = 2) -> list[Any]:
    made = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        cells = np.nonzero(rng.random((STEPS, *SHAPE)) < 0.15)
        made.append(es.make_events(cells[0] * 1000, cells[3], cells[2], cells[1]))
    return made


def drawn(model: nn.Module, scale: float = 0.8) -> nn.Module:
    """Weights that make most neurons spike, whatever the library began with; in eval mode."""
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for name, least in (("running_mean", -0.2), ("running_var", 0.5), ("bias", -0.2)):
                    values = getattr(module, name)
                    values.copy_(torch.from_numpy(rng.uniform(least, least + 0.4, values.shape)))
            elif not isinstance(module, nn.Sequential):
                for name, values in module.named_parameters(recurse=False):
                    size = {"bias": 0.05, "recurrent_weights": 0.1}.get(name, scale)
                    if name in ("weight", "bias", "input_weights", "recurrent_weights"):
                        made = rng.normal(size / 4, size, values.shape)
                        values.copy_(torch.from_numpy(made))
    return model.eval()


def snntorch_models() -> dict[str, Callable[[], nn.Module]]:
    import snntorch as snn

    def mlp(kind: Any, *decays: Any, **options: Any) -> Callable[[], nn.Module]:
        def make() -> nn.Module:
            own = {name: value for name, value in options.items() if name != "linear_features"}
            recurrent = "linear_features" in options
            hidden = {"linear_features": 24} if recurrent else {}
            output = {"linear_features": 10} if recurrent else {}
            return drawn(nn.Sequential(
                nn.Flatten(), nn.Linear(72, 24), kind(*decays, init_hidden=True, **own, **hidden),
                nn.Linear(24, 10), kind(*decays, init_hidden=True, output=True, **own, **output),
            ))  # fmt: skip

        return make

    def conv() -> nn.Module:
        of_channels = {
            "beta": torch.tensor([0.5, 0.7, 0.9, 1.2]).reshape(4, 1, 1),  # clipped to 1
            "threshold": torch.tensor([0.5, 1.0, 1.5, 2.0]).reshape(4, 1, 1),
        }
        return drawn(nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4),
            snn.Leaky(**of_channels, init_hidden=True), nn.MaxPool2d(2), nn.Flatten(),
            nn.Dropout(0.5), nn.Linear(36, 10), snn.Synaptic(0.6, 0.5, init_hidden=True),
        ))  # fmt: skip

    class Stepped(nn.Module):
        """States as arguments, functions in place of modules, and a skip connection."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(2, 4, 3, padding=1)
            self.lif1 = snn.Leaky(0.5)
            self.second = nn.Conv2d(4, 4, 3, padding=1)
            self.lif2 = snn.RLeaky(0.5, all_to_all=False, V=0.25)
            self.last = nn.Linear(36, 10)
            self.lif3 = snn.Leaky(0.8, reset_mechanism="none")

        def forward(self, x: Any, mem1: Any = None, mem2: Any = None, spk2: Any = None) -> Any:
            first, mem1 = self.lif1(self.first(x), mem1)
            second, mem2 = self.lif2(self.second(first), spk2, mem2)
            pooled = nn.functional.avg_pool2d(first + second, 2)
            pooled = nn.functional.dropout(pooled, 0.5, self.training)
            return self.lif3(self.last(pooled.view(x.size(0), -1)))

    class Looped(nn.Module):
        """A loop over the timesteps of the input, as the library's tutorials write it."""

        def __init__(self, steps: int | None = None) -> None:
            super().__init__()
            self.steps = steps
            self.fc1, self.lif1 = nn.Linear(72, 24), snn.Leaky(0.8)
            self.fc2, self.lif2 = nn.Linear(24, 10), snn.Leaky(0.9)

        def forward(self, x: Any) -> Any:
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            spikes = []
            for step in range(x.size(0) if self.steps is None else self.steps):
                spk1, mem1 = self.lif1(self.fc1(x[step].flatten(1)), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                spikes.append(spk2)
            return torch.stack(spikes, dim=0).sum(dim=0), mem2

    models = {
        "conv": conv,
        "stepped": lambda: drawn(Stepped()),
        "looped": lambda: drawn(Looped()),
        "looped so often": lambda: drawn(Looped(STEPS)),
    }
    for reset in ("subtract", "zero", "none"):
        models[f"Lapicque {reset}"] = mlp(snn.Lapicque, 0.7, reset_mechanism=reset)
        for delay in (True, False):
            options = {"reset_mechanism": reset, "reset_delay": delay}
            name = f"{reset} {'next' if delay else 'now'}"
            models[f"Leaky {name}"] = mlp(snn.Leaky, 0.7, **options)
            models[f"Synaptic {name}"] = mlp(snn.Synaptic, 0.4, 0.6, **options)
            models[f"RLeaky {name}"] = mlp(snn.RLeaky, 0.6, linear_features=True, **options)
    models["RLeaky each to itself"] = mlp(snn.RLeaky, 0.6, all_to_all=False, V=-0.5)
    models["RSynaptic"] = mlp(snn.RSynaptic, 0.4, 0.6, linear_features=True)
    models["RSynaptic zero"] = mlp(
        snn.RSynaptic, 0.4, 0.6, linear_features=True, reset_mechanism="zero"
    )
    models["Leaky of each"] = mlp(snn.Leaky, 0.7, threshold=0.8)
    return models


def spikingjelly_models() -> dict[str, Callable[[], nn.Module]]:
    from spikingjelly.activation_based import functional, layer, neuron

    def mlp(node: Any, **options: Any) -> Callable[[], nn.Module]:
        return lambda: drawn(nn.Sequential(
            layer.Flatten(), layer.Linear(72, 24), node(**options), layer.Linear(24, 10),
            node(**options),
        ))  # fmt: skip

    def conv(mode: str) -> Callable[[], nn.Module]:
        def make() -> nn.Module:
            model = drawn(nn.Sequential(
                layer.Conv2d(2, 4, 3, padding=1), layer.BatchNorm2d(4), neuron.IFNode(),
                layer.AvgPool2d(2), layer.Flatten(), layer.Dropout(0.5), layer.Linear(36, 10),
                neuron.LIFNode(v_reset=None),
            ))  # fmt: skip
            functional.set_step_mode(model, mode)
            return model

        return make

    def contained() -> nn.Module:
        return drawn(nn.Sequential(
            layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)),
            neuron.LIFNode(step_mode="m"),
            layer.SeqToANNContainer(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 10)),
            neuron.IFNode(v_reset=-0.25, step_mode="m"),
        ))  # fmt: skip

    models = {"conv s": conv("s"), "conv m": conv("m"), "containers": contained}
    for reset in (0.0, -0.25, None):
        models[f"IFNode {reset}"] = mlp(neuron.IFNode, v_reset=reset)
        models[f"LIFNode {reset}"] = mlp(neuron.LIFNode, tau=3.0, v_reset=reset)
        models[f"LIFNode {reset}, input not decayed"] = mlp(
            neuron.LIFNode, tau=3.0, v_reset=reset, decay_input=False, v_threshold=0.8
        )
        models[f"ParametricLIFNode {reset}"] = mlp(
            neuron.ParametricLIFNode, init_tau=4.0, v_reset=reset
        )
    return models


def norse_models() -> dict[str, Callable[[], nn.Module]]:
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract

    number = torch.tensor
    cuba = norse.LIFParameters(tau_syn_inv=number(500.0), tau_mem_inv=number(300.0))
    levels = cuba._replace(v_leak=number(-0.125), v_reset=number(-0.5), v_th=number(0.5))
    box = norse.LIFBoxParameters(tau_mem_inv=number(400.0), v_th=number(0.4))

    def mlp(cell: Any, p: Any) -> Callable[[], nn.Module]:
        return lambda: drawn(norse.SequentialState(
            nn.Flatten(), nn.Linear(72, 24), cell(p), nn.Linear(24, 10), cell(p)
        ))  # fmt: skip

    def readout(cell: Any) -> Callable[[], nn.Module]:
        return lambda: drawn(norse.SequentialState(
            nn.Conv2d(2, 4, 3), norse.LIFBoxCell(box), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(16, 10), cell(),
        ))  # fmt: skip

    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif = nn.Conv2d(2, 4, 3), norse.LIFCell(cuba)
            self.out, self.readout = nn.Linear(64, 10), norse.LICell()

        def forward(self, x: Any) -> Any:
            steps, samples, *_ = x.shape
            s1 = s2 = None
            voltages = []
            for step in range(steps):
                z, s1 = self.lif(self.conv(x[step]), s1)
                v, s2 = self.readout(self.out(z.view(samples, -1)), s2)
                voltages.append(v)
            return torch.stack(voltages).mean(0)

    def recurrent() -> nn.Module:
        return drawn(norse.SequentialState(
            nn.Flatten(), norse.LIFRecurrentCell(72, 24, levels), nn.Linear(24, 10),
            norse.LIFCell(cuba),
        ))  # fmt: skip

    def over_time() -> nn.Module:
        return drawn(norse.SequentialState(
            norse.Lift(nn.Conv2d(2, 4, 3)), norse.LIF(levels), nn.Flatten(2), nn.Linear(64, 10),
            norse.LI(),
        ))  # fmt: skip

    return {
        "LIFCell": mlp(norse.LIFCell, cuba),
        "LIFCell with levels": mlp(norse.LIFCell, levels),
        "LIFBoxCell": mlp(norse.LIFBoxCell, box),
        "LIFBoxCell subtract": mlp(norse.LIFBoxCell, box._replace(reset_method=reset_subtract)),
        "LICell": readout(norse.LICell),
        "LIBoxCell": readout(norse.LIBoxCell),
        "LIFRecurrentCell": recurrent,
        "looped": lambda: drawn(Looped()),
        "LIF and LI over time": over_time,
    }


def sinabs_models() -> dict[str, Callable[[], nn.Module]]:
    import sinabs.layers as sinabs
    from sinabs.activation import MaxSpike, MembraneReset, SingleSpike

    def squeezed(kind: Any, **options: Any) -> Callable[[], nn.Module]:
        options = {"batch_size": 1} | options
        return lambda: drawn(nn.Sequential(
            nn.Conv2d(2, 4, 3, bias=False), kind(**options), sinabs.SumPool2d(2),
            nn.Flatten(), nn.Linear(16, 10), kind(**options),
        ))  # fmt: skip

    def mlp(kind: Any, **options: Any) -> Callable[[], nn.Module]:
        return lambda: drawn(nn.Sequential(
            nn.Flatten(2), nn.Linear(72, 24), kind(**options), nn.Linear(24, 10), kind(**options)
        ))  # fmt: skip

    def recurrent() -> nn.Module:
        back = nn.Linear(24, 24, bias=False)
        return drawn(nn.Sequential(
            nn.Flatten(2), nn.Linear(72, 24),
            sinabs.LIFRecurrent(tau_mem=5.0, rec_connect=back, spike_fn=SingleSpike),
            nn.Linear(24, 10), sinabs.ExpLeak(tau_mem=10.0, norm_input=True),
        ))  # fmt: skip

    return {
        "IAFSqueeze": squeezed(sinabs.IAFSqueeze),
        "IAFSqueeze for batches": squeezed(sinabs.IAFSqueeze, batch_size=4, num_timesteps=7),
        "IAFSqueeze bounded": squeezed(sinabs.IAFSqueeze, min_v_mem=-1.0, spike_threshold=0.5),
        "LIFSqueeze": squeezed(sinabs.LIFSqueeze, tau_mem=5.0),
        "LIFSqueeze single, to zero": squeezed(
            sinabs.LIFSqueeze, tau_mem=5.0, spike_fn=SingleSpike, reset_fn=MembraneReset()
        ),
        "IAF": mlp(sinabs.IAF),
        "IAF one at most": mlp(sinabs.IAF, spike_fn=MaxSpike(1)),
        "LIF": mlp(sinabs.LIF, tau_mem=5.0, norm_input=False),
        "LIF with a current": mlp(sinabs.LIF, tau_mem=5.0, tau_syn=3.0, spike_threshold=0.2),
        "LIF alphas": mlp(sinabs.LIF, tau_mem=5.0, train_alphas=True, min_v_mem=-0.5),
        "LIFRecurrent and ExpLeak": recurrent,
    }


MODELS = {
    "snntorch": snntorch_models, "spikingjelly": spikingjelly_models, "norse": norse_models,
    "sinabs": sinabs_models,
}  # fmt: skip
