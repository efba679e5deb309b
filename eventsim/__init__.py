"""Event-driven sparse simulation of trained spiking neural networks, every operation counted.

import eventsim as es

network = es.load_network("net.h5")
events, sensor = es.read_recording("00001.bin")
result = es.simulate(network, events)
result.prediction, result.operations.total.sops
"""

from .asynchronous import AsynchronousRun
from .clocked.run import ClockedRun, run_binned
from .energy import (
    EnergyModel,
    Footprint,
    energy_model_names,
    energy_of,
    footprint,
    load_energy_model,
)
from .errors import EventsimError, NetworkError, NetworkFileError, RecordingError
from .events.arrays import EVENT_DTYPE, Sensor, check_events, make_events
from .events.binning import BinnedEvents, bin_events
from .events.recordings import Packets, Recording, read_packets, read_recording
from .events.spikes import from_frames, from_spikes
from .live.answers import Answer
from .live.filters import Filters, FilterSettings
from .live.queue import EventQueue
from .live.session import Session
from .live.sources import Source, open_source
from .live.stream import Step, Stream
from .network.graph import Network
from .network.layers import Conv1d, Conv2d, Dense
from .network.neurons import ALIF, CUBALI, CUBALIF, IF, LI, LIF
from .network.pathways import Add, Concatenate, Delay, Flatten
from .network.pools import AvgPool2d, MaxPool2d, SumPool2d, Upsample
from .network.rounding import round_weights
from .network.storage import is_network_file, load_network, save_network
from .operations import LayerOperations, Operations
from .reference import run_reference
from .result import PerLayer, Result
from .simulator import available_threads, simulate, simulate_batch

__version__ = "0.1.0"


def __dir__() -> list[str]:
    """Return the public names, without the modules that they come from."""
    return [*__all__, "__version__"]


__all__ = [
    "ALIF",
    "CUBALI",
    "CUBALIF",
    "EVENT_DTYPE",
    "IF",
    "LI",
    "LIF",
    "Add",
    "Answer",
    "AsynchronousRun",
    "AvgPool2d",
    "BinnedEvents",
    "ClockedRun",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "Delay",
    "Dense",
    "EnergyModel",
    "EventQueue",
    "EventsimError",
    "FilterSettings",
    "Filters",
    "Flatten",
    "Footprint",
    "LayerOperations",
    "MaxPool2d",
    "Network",
    "NetworkError",
    "NetworkFileError",
    "Operations",
    "Packets",
    "PerLayer",
    "Recording",
    "RecordingError",
    "Result",
    "Sensor",
    "Session",
    "Source",
    "Step",
    "Stream",
    "SumPool2d",
    "Upsample",
    "available_threads",
    "bin_events",
    "check_events",
    "energy_model_names",
    "energy_of",
    "footprint",
    "from_frames",
    "from_spikes",
    "is_network_file",
    "load_energy_model",
    "load_network",
    "make_events",
    "open_source",
    "read_packets",
    "read_recording",
    "round_weights",
    "run_binned",
    "run_reference",
    "save_network",
    "simulate",
    "simulate_batch",
]
