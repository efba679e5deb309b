"""Pictures of recordings, networks and runs, which `run`, `inspect` and `demo` draw."""
