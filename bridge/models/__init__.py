"""The models in torch: spiking and recurrent ones, and the way of a spiking one to the engine.

    from eventsim_bridge.models import SpikingNetwork, export_network

    model = SpikingNetwork("512FC-10", (2, 34, 34))  # a structure in the paper's notation
    ...                                              # trained
    network = export_network(model, dt_us=1000)      # an `eventsim.Network`

`SpikingNetwork.of_layers` builds one of ready `SpikingLayer`s, pools and flattens. What it is set
beside stays in torch: the vanilla RNN or LSTM of a structure is a `RecurrentNetwork`, its quantised
ANN on summed frames a `QuantisedNetwork`.
"""

from .export import export_network, import_network
from .quantised import QuantisedNetwork
from .recurrent import RecurrentNetwork
from .spiking import PAPER_NEURON, SpikingNetwork
from .spiking_layer import SpikingLayer

__all__ = [
    "PAPER_NEURON",
    "QuantisedNetwork",
    "RecurrentNetwork",
    "SpikingLayer",
    "SpikingNetwork",
    "export_network",
    "import_network",
]
