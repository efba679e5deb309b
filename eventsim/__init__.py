"""Event-driven sparse simulation of trained spiking neural networks, every operation counted.

import eventsim as es

network = es.load_network("net.h5")
events, sensor = es.read_recording("00001.bin")
result = es.simulate(network, events)
result.prediction, result.operations.total.sops
"""

from .asynchronous import AsynchronousRun
from .binning import BinnedEvents, bin_events
from .clocked.run import ClockedRun, run_binned
from .energy import Energy, EnergyTable, Footprint, energy_of, footprint, load_energy_table
from .errors import EventsimError, NetworkError, NetworkFileError, RecordingError
from .event_queue import EventQueue
from .events import EVENT_DTYPE, Sensor, check_events, make_events
from .filters import Filters, FilterSettings
from .layers import Conv1d, Conv2d, Dense
from .network import Network
from .neurons import ALIF, CUBALIF, IF, LI, LIF
from .operations import LayerOperations, Operations
from .pathways import Add, AvgPool2d, Concatenate, Delay, Flatten, MaxPool2d, SumPool2d
from .recordings import Packets, Recording, read_packets, read_recording
from .reference import run_reference
from .result import Result
from .rounding import round_weights
from .session import Answer, Session
from .simulator import available_threads, simulate, simulate_batch
from .sources import Source, open_source
from .storage import is_network_file, load_network, save_network
from .stream import Step, Stream

__version__ = "0.1.0"

__all__ = [
    "ALIF",
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
    "Energy",
    "EnergyTable",
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
    "Recording",
    "RecordingError",
    "Result",
    "Sensor",
    "Session",
    "Source",
    "Step",
    "Stream",
    "SumPool2d",
    "available_threads",
    "bin_events",
    "check_events",
    "energy_of",
    "footprint",
    "is_network_file",
    "load_energy_table",
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
