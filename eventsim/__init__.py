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
from .reference import run_reference
from .simulator import Result, run_binned, simulate, simulate_batch

__version__ = "0.1.0"
