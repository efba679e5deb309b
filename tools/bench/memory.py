"""The memory that one training step takes, in a process of its own (Linux)."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .training import Case

FORMS = {"sparse": "binned", "dense": "frames"}


def memory_of_step(case: Case, root: Path | None, limit: int) -> dict[str, int]:
    """Return the bytes by which resident memory rises in a step, for each kind of kernels.

    Gradients, frames and all that passes leave are part of it; weights and the state of Adam,
    which stay, are not. Empty where the system does not tell.
    """
    if not Path("/proc/self/clear_refs").exists():
        return {}
    found = {}
    for kernels, form in FORMS.items():
        arguments = json.dumps([list(case), None if root is None else str(root), limit, form])
        command = (sys.executable, "-m", "eventsim_tools.bench.memory", arguments)
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found[kernels] = int(answer.stdout)
    return found


def _main(arguments: str) -> None:
    import torch

    from .training import Case, Step, read_part, trained_for_a_while

    fields, root, limit, form = json.loads(arguments)
    case = Case(*fields)
    torch.set_num_threads(1)
    recordings = read_part(case, None if root is None else Path(root), limit)
    step = Step(case, recordings, trained_for_a_while(case, recordings), form)
    step()  # which makes the state of Adam, and loads kernels
    step.optimizer.zero_grad()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = _status("VmRSS")
    step()
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    """Return a field of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


if __name__ == "__main__":
    _main(sys.argv[1])
