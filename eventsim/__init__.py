"""Event-driven sparse simulation of trained spiking neural networks, every operation counted.

import eventsim as es

network = es.load_network("net.h5")
events, sensor = es.read_recording("00001.bin")
result = es.simulate(network, events)
result.prediction, result.operations.total.sops
"""

from .errors import EventsimError, NetworkError, NetworkFileError, RecordingError
from .events import (
    EVENT_DTYPE,
    BinnedEvents,
    Sensor,
    bin_events,
    check_events,
    make_events,
)
from .layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d, SumPool2d
from .network import Network
from .neurons import IF, LIF
from .operations import LayerOperations, Operations
from .recordings import Recording, read_recording
from .reference import run_reference
from .simulator import Result, available_threads, run_binned, simulate, simulate_batch
from .storage import is_network_file, load_network, save_network

__version__ = "0.1.0"

__all__ = [
    "EVENT_DTYPE",
    "IF",
    "LIF",
    "AvgPool2d",
    "BinnedEvents",
    "Conv2d",
    "Dense",
    "EventsimError",
    "Flatten",
    "LayerOperations",
    "MaxPool2d",
    "Network",
    "NetworkError",
    "NetworkFileError",
    "Operations",
    "Recording",
    "RecordingError",
    "Result",
    "Sensor",
    "SumPool2d",
    "available_threads",
    "bin_events",
    "check_events",
    "is_network_file",
    "load_network",
    "make_events",
    "read_recording",
    "run_binned",
    "run_reference",
    "save_network",
    "simulate",
    "simulate_batch",
]
