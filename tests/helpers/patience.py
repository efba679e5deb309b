"""How a test waits: for what it needs, and not for a time that a busy machine exceeds."""

from __future__ import annotations

import time
from collections.abc import Callable

# Until a test that waits in vain gives up and fails: a command may have to compile first, beside
# other tests that do.
PATIENCE_S = 180.0


def wait_until(condition: Callable[[], bool], complaint: str) -> None:
    """Wait until something holds, or fail."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, complaint
        time.sleep(0.005)
