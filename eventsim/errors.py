"""The errors that eventsim raises about what it was given.

Each message is one sentence naming the file (where there is one), the field or record, the value
found and what was expected. The command line prints it and ends, without a traceback.
"""


class EventsimError(ValueError):
    """The base of them all: something that the caller handed in cannot be used."""


class RecordingError(EventsimError):
    """A recording or an event array is not what it should be."""


class NetworkError(EventsimError):
    """A network, layer or neuron was given parameters that cannot work."""


class NetworkFileError(EventsimError):
    """A network file is damaged, of another version, or no network file at all."""
