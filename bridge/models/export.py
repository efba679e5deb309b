"""From a spiking model in torch to a network of the engine, and back.

In: a `SpikingNetwork`, trained or not, or an `eventsim.Network`. Out: the other of the two, with
the same weights and neurons and so the same spikes. `training/`, the tools and users call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from eventsim.errors import EventsimError, NetworkError
from eventsim.events.arrays import InputEncoding
from eventsim.network.graph import Network, check_network
from eventsim.network.layers import WeightLayer

from .layers import TYPE_OF_LAYER
from .learned import Learnable, Per
from .neurons import Surrogate, check_trainable
from .spiking import SpikingNetwork
from .spiking_layer import SpikingLayer


def export_network(
    model: SpikingNetwork,
    *,
    dt_us: int,
    input_encoding: InputEncoding = "binary",
    steps: int | None = None,
    class_names: Sequence[str] = (),
    provenance: dict[str, Any] | None = None,
) -> Network:
    """Return the model as an `eventsim.Network`, which gives the model's own spikes.

    Batch normalisations are folded into the weights as they act in eval mode.
    The other parameters are those of `Network`: they say which input the model was made for.
    Raises `NetworkError` for another model, where the engine cannot run this one, or a weight is
    not finite.
    """
    if not isinstance(model, SpikingNetwork):
        raise NetworkError(
            f"model is of type {type(model).__name__}, expected a SpikingNetwork: "
            f"eventsim_bridge.from_torch makes a network of another library's model"
        )
    return Network(
        model.input_shape,
        dt_us,
        model.engine_layers(),
        input_encoding=input_encoding,
        steps=steps,
        class_names=class_names,
        provenance=provenance or {},
    )


def import_network(
    network: Network,
    *,
    surrogate: Surrogate = "rectangle",
    surrogate_width: float = 0.25,
    learn: Sequence[Learnable] = (),
    learn_per: Per = "layer",
) -> SpikingNetwork:
    """Return a network of the engine as a model with the same weights, for further training.

    What a network does not hold, the surrogate and what is learned, is given here, as in
    `SpikingNetwork`. Raises `NetworkError` for layers, and for neurons, naming the layer, that
    cannot be trained in the bridge.
    """
    layers = modules_of(network)
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, WeightLayer):
            continue
        try:
            check_trainable(layer.neuron)
        except EventsimError as error:
            raise NetworkError(f"{network.layer_name(index)}: {error}") from None
        layers[index] = SpikingLayer(
            layers[index], layer.neuron, surrogate, surrogate_width, learn, learn_per
        )
    return SpikingNetwork.of_layers(layers, network.input_shape)


def modules_of(network: Network) -> list[nn.Module]:
    """Return each layer as a torch module, weights without the neurons behind them.

    Raises `NetworkError` for layers that do not exist in the bridge.
    """
    check_network(network)
    if network.readout != "spike-count":
        raise NetworkError(f"readout is {network.readout!r}, expected spike-count to run in torch")
    modules: list[nn.Module] = []
    for index, layer in enumerate(network.layers):
        if type(layer) not in TYPE_OF_LAYER or getattr(layer, "recurrent", None) is not None:
            kinds = ", ".join(kind.__name__ for kind in TYPE_OF_LAYER)
            raise NetworkError(
                f"{network.layer_name(index)} cannot run in torch here, expected {kinds} "
                f"without recurrence"
            )
        modules.append(TYPE_OF_LAYER[type(layer)].to_torch(layer))
    return modules
