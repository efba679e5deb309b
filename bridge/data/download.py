"""Data sets that are missing, fetched by tonic; nothing is unless somebody asks for it.

In: the name of a set and a folder. Out: the set in tonic's layout in that folder, where
`datasets.py` finds it.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from .sets import DataSetError

# Their names in tonic.
IN_TONIC = {
    "nmnist": "NMNIST",
    "dvsgesture": "DVSGesture",
    "ncaltech101": "NCALTECH101",
    "cifar10dvs": "CIFAR10DVS",
    "asldvs": "ASLDVS",
}


def download(name: str, root: Path | None) -> None:
    """Let tonic fetch a data set into `root`, and unpack it there.

    Raises `DataSetError` for a set that tonic has not, without tonic, and where it fails.
    """
    if name not in IN_TONIC:
        raise DataSetError(f"data set {name} cannot be downloaded, expected one of "
                           f"{', '.join(IN_TONIC)}")  # fmt: skip
    if root is None:
        raise DataSetError(f"data set {name}: root is missing, expected a folder to download to")
    try:
        from tonic import datasets
    except ImportError:
        raise DataSetError(
            f"data set {name} is downloaded by the package tonic, which is not installed: pip "
            f"install tonic"
        ) from None
    kind: Any = getattr(datasets, IN_TONIC[name])
    parts = inspect.signature(kind).parameters
    try:
        for which in [{"train": True}, {"train": False}] if "train" in parts else [{}]:
            kind(str(root), **which)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataSetError(f"data set {name} cannot be downloaded to {root}: {reason}") from error
