"""The spiking network in torch: layers of weights with neurons behind them.

In: a structure string (`layers.py`), or ready layers. Out: a trainable `SpikingNetwork` for
`training/`, and its layers as the engine's for `export.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError, NetworkError
from eventsim.events.arrays import InputShape
from eventsim.network.fixed_point import to_fixed_point
from eventsim.network.graph import Network, leaving
from eventsim.network.layers import Layer
from eventsim.network.neurons import LIF, Neuron
from eventsim.network.projections import Signal

from ..sparse.lists import BinnedBatch
from .layers import add_batch_norm, build_modules
from .learned import Learnable, Per
from .modules import SILENT, connection_of, float64s, kind_of, pathway_of
from .neurons import Surrogate, check_trainable
from .operations import Counted, area, sops_of
from .rounding import TrainedWeights, check_weights
from .sequences import LayeredModel, check_input_shape, run_layer
from .sparse_pass import run_sparsely
from .spiking_layer import SpikingLayer

PAPER_NEURON = LIF(decay=0.3, threshold=0.3)  # He et al. 2020

# Spikes per neuron and timestep that a layer should begin with. Of 1, 2, 5 and 10 % the first two
# trained alike, and better than the others (see wake_silent_layers).
AWAKE = 0.01
MOST_RAISES = 50  # 1.2^50 = 9100; an input without events cannot wake anything


class SpikingNetwork(LayeredModel):
    """A feed-forward spiking network of a structure in the paper's notation.

    structure: as in `layers.py`, such as "512FC-10"; every weight layer has neurons, the classes
        too.
    input_shape: (polarities, height, width).
    neuron: `eventsim.LIF`, `IF`, `CUBALIF` or `ALIF` of all layers.
    surrogate, surrogate_width: the gradient of a spike, see `neurons.py`: "rectangle", "arctan" or
        "fast-sigmoid", each with its peak of 1 / (2 width) at the threshold.
    learn: which numbers of the neurons are learned besides the weights: "decay" (all that the model
        has), "threshold"; `learn_per`: one for each "layer", or for each "channel". They begin with
        those of `neuron`, stay in range, and are exported. See `learned.py`.
    bias: whether the weight layers have one.
    batch_norm: whether a batch normalisation stands behind each weight layer in training. Export
        folds it into the weights; its shift is the layer's bias. After training, `eval()` puts the
        model into the state that the exported network has.

    weights: "float32", or "int8": rounded before they act, so that the integers of the exported
        network are what has been trained (`rounding.py`). "loihi": biases, thresholds and decays as
        well, as `eventsim.network.fixed_point` has them.

    Weights are drawn by torch from its global generator, biases begin at 0. Raises
    `StructureError` for a structure that cannot be read or does not fit `input_shape`,
    `NetworkError` for one that the engine cannot run (the maximum of pooled sums), and
    `EventsimError` for an unknown surrogate, for a neuron that does not exist in torch or cannot
    learn what it should, and for a normalisation without a bias.
    """

    def __init__(
        self,
        structure: str,
        input_shape: InputShape,
        *,
        neuron: Neuron = PAPER_NEURON,
        surrogate: Surrogate = "rectangle",
        surrogate_width: float = 0.25,
        learn: Sequence[Learnable] = (),
        learn_per: Per = "layer",
        bias: bool = True,
        batch_norm: bool = False,
        weights: TrainedWeights = "float32",
    ) -> None:
        """Build the layers."""
        super().__init__(input_shape)
        check_trainable(neuron)
        check_batch_norm(batch_norm, bias)
        check_weights(weights, batch_norm)
        share = 1.0
        for kind, module in build_modules(structure, input_shape, bias and not batch_norm):
            if isinstance(module, nn.AvgPool2d):
                share /= area(module)
            if kind.has_neurons:
                if batch_norm:
                    module = add_batch_norm(module, neuron.threshold)
                module = SpikingLayer(module, neuron, surrogate, surrogate_width, learn, learn_per)
                module.weights, module.share, share = weights, share, 1.0
            self.layers.append(module)
        # Refused here, before any training.
        network = Network(input_shape, 1, self.engine_layers())
        if weights == "loihi":
            to_fixed_point(network)
        self.apply(clear_biases)

    @classmethod
    def of_layers(cls, layers: Sequence[nn.Module], input_shape: InputShape) -> SpikingNetwork:
        """Build a network of ready layers that fit: `SpikingLayer`s, pools and flattens."""
        network = cls.__new__(cls)
        LayeredModel.__init__(network, input_shape)
        network.layers.extend(layers)
        return network

    def forward(self, frames: Tensor | BinnedBatch) -> Tensor:
        """Return what the last layer gives in each timestep, shape (batch, steps, outputs).

        `frames`: (batch, steps, polarities, height, width), as for `LayeredModel`; or the same as
        binned events (`Recordings.binned`), which run, and are differentiated, at the cost of
        their spikes. Raises `EventsimError` for binned events of another shape, and where a layer
        cannot take them (`sparse_pass.uncovered` says why not).
        """
        if isinstance(frames, BinnedBatch):
            return self.counted(frames).spikes
        return super().forward(frames)

    def counted(self, frames: Tensor | BinnedBatch) -> Counted:
        """Return what `forward` does, and the operations that the engine would count for it."""
        if isinstance(frames, BinnedBatch):
            check_input_shape(frames, self.input_shape)
            return run_sparsely(self.layers, frames)
        x = frames.transpose(0, 1)
        entering, pools = torch.count_nonzero(x, dim=0), list[nn.Module]()  # graded or not
        sops: list[Tensor] = []
        for layer in self.layers:
            if isinstance(layer, SpikingLayer):
                sops.append(sops_of(entering, pools, layer.connection))
            x = run_layer(layer, x)
            if isinstance(layer, SpikingLayer):
                entering, pools = x.sum(dim=0), []  # whole numbers, exact in float32
            elif isinstance(layer, nn.MaxPool2d):  # the engine is done with it before it adds rows
                entering, pools = x.sum(dim=0) if sops else torch.count_nonzero(x, dim=0), []
            elif kind_of(layer) not in SILENT:
                pools.append(layer)
        return Counted(x.transpose(0, 1).flatten(2), torch.stack(sops, dim=1))

    def engine_layers(self) -> list[Layer]:
        """Return the layers as the engine's, with batch normalisations folded into the weights.

        Raises `NetworkError` for a layer that the engine does not have, and for a weight that is
        not finite.
        """
        layers: list[Layer] = []
        signals = [Signal(self.input_shape)]
        for index, module in enumerate(self.layers):
            if kind_of(module) in SILENT:
                continue
            try:
                if isinstance(module, SpikingLayer):
                    connection = connection_of(module.connection)
                    if module.weights != "float32":
                        weight, bias, _ = module.acting()
                        connection = connection._replace(
                            weight=float64s(weight), bias=None if bias is None else float64s(bias)
                        )
                    layer: Layer = connection.layer(module.neuron)
                else:
                    layer = pathway_of(module, signals[-1].shape)
            except NetworkError as error:
                raise NetworkError(f"layer {index} ({type(module).__name__}): {error}") from None
            try:
                signals.append(leaving(len(layers), layer, signals))
            except NetworkError as error:
                raise NetworkError(f"layer {index} ({type(layer).__name__}): {error}") from None
            layers.append(layer)
        return layers

    def layer_spikes(self, frames: Tensor) -> list[Tensor]:
        """Return the spikes of each layer with neurons, (batch, steps, *layer shape)."""
        x = frames.transpose(0, 1)
        spikes = []
        for layer in self.layers:
            x = run_layer(layer, x)
            if isinstance(layer, SpikingLayer):
                spikes.append(x.transpose(0, 1))
        return spikes


def check_batch_norm(batch_norm: bool, bias: bool) -> None:
    """Raise `EventsimError` for a normalisation, which folds to a bias, in a network without."""
    if batch_norm and not bias:
        raise EventsimError(
            "bias is False with batch_norm, expected True: folded into the weights, the "
            "normalisation is a bias"
        )


def clear_biases(module: nn.Module) -> None:
    """Begin with biases of 0, so that a silent input leaves a network silent.

    The weights stay as torch draws them, uniformly within +-1 / sqrt(fan_in). For the paper's
    neuron on N-MNIST no other bound b / sqrt(fan_in) did better (512FC-10, 900 recordings, best
    validation accuracy on 100): at 15 steps of 20 ms b = 0.43 left every layer silent, 1 gave
    0.97, 1.7 0.88 and 3.5 0.78 (output neurons that fall silent for good); at 60 steps of 5 ms
    0.7, 1 and 1.4 gave 0.96 and 2.1 0.92.
    """
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def wake_silent_layers(model: SpikingNetwork, frames: Tensor) -> None:
    """Raise the weights of layers that hardly spike on `frames`, from the first layer to the last.

    In a deep network torch's initial weights leave the later layers silent, and no gradient reaches
    what is farther from the threshold than the surrogate's width: 16C3-AP2-32C3-AP2-128FC-10 on
    N-MNIST stayed at 10 % for twelve epochs, and reached 97 % in six after this (validation, 15
    steps of 20 ms). A layer whose neurons spike in fewer than `AWAKE` of the timesteps gets its
    weights (or the scale of their normalisation) multiplied by 1.2 until they do. Networks that
    spike already are not touched, but for the running statistics of normalisations.
    """
    x = frames.transpose(0, 1)
    with torch.no_grad():
        for layer in model.layers:
            y = run_layer(layer, x)
            if isinstance(layer, SpikingLayer):
                connection = layer.connection
                scaled = connection[-1] if isinstance(connection, nn.Sequential) else connection
                for _ in range(MOST_RAISES):
                    if y.mean() >= AWAKE:
                        break
                    scaled.get_parameter("weight").mul_(1.2)
                    y = run_layer(layer, x)
            x = y
