"""Whether there is a GPU that can be used."""

from __future__ import annotations

import importlib.util

from ...errors import EventsimError


def missing_gpu() -> str | None:
    """Return why no GPU can be used, None where one can."""
    if importlib.util.find_spec("numba_cuda") is None:
        return 'numba-cuda is not installed (pip install "eventsim-snn[cuda]")'
    from numba import cuda

    if cuda.is_available():
        return None
    try:
        cuda.current_context()
    except Exception as error:  # whatever the driver says
        reason = " ".join(str(error).split()).rstrip(" :.")
        return f"numba-cuda finds none ({reason or type(error).__name__})"
    return "numba-cuda finds none"


def require_gpu() -> None:
    """Raise `EventsimError` where no GPU can be used."""
    reason = missing_gpu()
    if reason is not None:
        raise EventsimError(f"device is 'cuda', expected a GPU that CUDA can use: {reason}")
