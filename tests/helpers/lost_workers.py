"""Work for a cluster during which a worker is lost, in functions that workers can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from eventsim_tools import simulating

simulate_share = simulating.run_share
LOST = "EVENTSIM_TEST_LOST"  # the file that the worker leaves that was lost


def run_share(source: Any, count: int, options: Any, share: range) -> Any:
    """Run a share of `eventsim run`; who comes to the second one first is killed."""
    if share.start > 0:
        _die_once(Path(os.environ[LOST]))
    return simulate_share(source, count, options, share)


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
