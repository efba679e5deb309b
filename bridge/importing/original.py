"""A model in the library that it comes from, run on the frames of a recording.

In: the module, and the paths of its neurons as `walk.py` found them. Out: the spikes that they
gave, as `agreement.py` asks for them. The library runs it by its own rules (`Library.run`);
hooks only listen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim.network.geometry import Shape
from eventsim.network.layers import WeightLayer
from eventsim.network.neurons import READOUTS_ONLY

from .graph import as_it_was
from .library import step_by_step
from .read import walk_through


class Original:
    """A module that tells its spikes, run in eval mode; afterwards it is as it was."""

    def __init__(self, module: nn.Module, input_shape: Shape) -> None:
        """Walk through the module; raises `NetworkError` where `from_torch` does."""
        self.walk = walk_through(module, input_shape)
        # of the last layer of the last run, (steps, outputs), where that never spikes
        self.membranes: NDArray[np.float64] | None = None
        self.model = module
        self.input_shape = (-1,) if self.walk.flattens_input else tuple(input_shape)
        self.layers: list[tuple[str, Shape, bool]] = []  # path, shape, whether it never spikes
        paths = iter(self.walk.neurons)
        for step, signal in zip(self.walk.steps, self.walk.signals[1:], strict=True):
            if isinstance(step.layer, WeightLayer):
                silent = isinstance(step.layer.neuron, READOUTS_ONLY)
                self.layers.append((next(paths), signal.shape, silent))

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (1, steps, *layer shape), of one recording.

        frames: (1, steps, *input shape). Of a layer that never spikes: zeros.
        """
        steps = frames.shape[1]
        with as_it_was(self.model), torch.no_grad():
            self.model.eval()
            heard = self.hear(frames[0])
        layers = []
        for path, shape, silent in self.layers:
            spikes = heard[path].cpu()
            if spikes.numel() != steps * math.prod(shape):
                raise EventsimError(
                    f"{path} gave {spikes.numel()} values of a layer of shape {shape}, expected "
                    f"those of {steps} timesteps: give the model's own number of them as steps"
                )
            spikes = spikes.reshape(1, steps, *shape)
            layers.append(torch.zeros_like(spikes) if silent else spikes.float())
            self.membranes = spikes[0].double().numpy() if silent else None
        return layers

    def hear(self, frames: Tensor) -> dict[str, Tensor]:
        """Run a recording (steps, *input shape) in the model's own mode; return what neurons gave.

        By their paths, flat, and with gradients where torch keeps them: to train with.
        """
        heard: dict[str, list[Tensor]] = {path: [] for path in self.walk.neurons}
        like = next(self.model.parameters(), torch.zeros(0))
        with as_it_was(self.model):
            for path, told in heard.items():
                self.model.get_submodule(path).register_forward_hook(listener(told))
            self._run(self.model, frames.reshape(len(frames), *self.input_shape).to(like))
        return {path: torch.cat([one.flatten() for one in told]) for path, told in heard.items()}

    def _run(self, model: nn.Module, frames: Tensor) -> None:
        """Run a recording by the library's rules, or as the model's own loop wants it."""
        library, takes = self.walk.library, self.walk.takes
        if library is not None:
            library.reset(model)
        if takes != "one":
            model(frames[:, None] if takes == "steps, batch" else frames[None])
        elif library is None:
            step_by_step(model, frames)
        else:
            library.run(model, frames)


def listener(told: list[Tensor]) -> Any:
    """Return a hook that notes what a module returns, of a tuple the first."""

    def listen(module: nn.Module, arguments: Any, returned: Any) -> None:
        told.append(returned[0] if isinstance(returned, tuple) else returned)

    return listen
