"""`eventsim bench`: eventsim beside every peer that is installed, in turn, on one machine."""
