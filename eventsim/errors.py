"""The errors that eventsim raises about what it was given.

Each message is one sentence naming the file (where there is one), the field or record, the value
found and what was expected. All are `ValueError`s, so a caller may catch them together.
"""


class NetworkError(ValueError):
    """A network, layer or neuron was given parameters that cannot work."""


class NetworkFileError(ValueError):
    """A network file is damaged, of another version, or no network file at all."""
