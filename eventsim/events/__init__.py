"""What comes in: event arrays, recordings of every format, and the grid of timesteps."""

from .arrays import EVENT_DTYPE, Events, Sensor, check_events, make_events

__all__ = ["EVENT_DTYPE", "Events", "Sensor", "check_events", "make_events"]
