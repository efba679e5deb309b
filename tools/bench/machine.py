"""The machine and the versions that figures belong to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import eventsim as es

from .peers import PEERS

PACKAGES = ("numba", "numpy")


def describe_machine() -> dict[str, Any]:
    """Return the processor, the cores that may be used, and the version of everybody installed."""
    peers = {peer.package: peer.version() for peer in PEERS if peer.installed()}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": es.available_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "eventsim": es.__version__,
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            **peers,
        },
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Return one line for the head of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['processor']}, {machine['cores']} cores; {versions}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
