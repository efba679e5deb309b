"""The `eventsim` command."""
