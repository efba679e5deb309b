"""The state of a `Session` <-> one HDF5 file, exact to the bit.

In: settings and arrays, by name. Out: a file; and from a file the same, or an `EventsimError`.
`session.py` says what the arrays are.

The file, version 1: a user block of 512 bytes, "eventsim-session sha256 " and the hash of all that
follows it, so that no damaged byte reaches the HDF5 library; and then

    /               attributes
      version       1
      eventsim      the version that wrote it: arrays are as that version's kernels have them
      network       SHA-256 of everything that decides what the network does
      settings      JSON: the arguments of `Session`
    /run/membranes  and other datasets, one for each array

Offsets in the arrays are trusted: do not restore what a stranger has made. Nothing in the file
depends on the machine.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError
from ..files import replacing
from ..network.graph import Network
from ..network.storage import network_image

VERSION = 1
MARK = b"eventsim-session sha256 "
BLOCK = 512  # bytes before the HDF5 file

Arrays = Mapping[str, NDArray[Any]]


def save_session(path: str | Path, network: Network, settings: Any, arrays: Arrays) -> None:
    """Write a file in one go. Raises `EventsimError` naming it, where it cannot be written."""
    image = io.BytesIO()  # in memory, so that HDF5 never meets a full disk
    with h5py.File(image, "w", userblock_size=BLOCK) as file:
        for name, value in _head(network).items():
            file.attrs[name] = value
        file.attrs["settings"] = json.dumps(settings)
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    content = image.getvalue()[BLOCK:]
    try:
        with replacing(path) as out:
            out.write((MARK + _hash(content)).ljust(BLOCK, b"\0") + content)
    except OSError as error:
        raise EventsimError(f"{path}: cannot be written, {error.strerror or error}") from error


def load_session(path: str | Path, network: Network) -> tuple[dict[str, Any], Arrays]:
    """Return settings and arrays.

    Raises `EventsimError`, one sentence, for a file that is damaged or something else, of another
    version, or of another network.
    """
    try:
        image = Path(path).read_bytes()
    except OSError as error:
        raise EventsimError(f"{path}: cannot be read, {error.strerror or error}") from error
    if not image.startswith(MARK):
        raise EventsimError(f"{path}: the file begins with {image[:24]!r}, expected {MARK!r}")
    stated, found = image[len(MARK) : BLOCK].rstrip(b"\0"), _hash(image[BLOCK:])
    if stated != found:
        raise EventsimError(f"{path}: sha256 is {found!r}, expected {stated!r}: it is damaged")
    with h5py.File(io.BytesIO(image), "r") as file:
        for name, value in _head(network).items():
            if file.attrs[name] != value:
                raise EventsimError(f"{path}: {name} is {file.attrs[name]}, expected {value}")
        settings: dict[str, Any] = json.loads(file.attrs["settings"])
        return settings, _arrays(file)


def _head(network: Network) -> dict[str, Any]:
    from .. import __version__

    return {"version": VERSION, "eventsim": __version__, "network": _digest(network)}


def _digest(network: Network) -> str:
    """Return a hash of what a network does, whatever it is called and whoever made it."""
    digest = hashlib.sha256()

    def add(name: str, node: Any) -> None:
        for attribute, value in sorted(node.attrs.items()):
            digest.update(repr((name, attribute, np.asarray(value).tolist())).encode())

    image = network_image(replace(network, class_names=(), provenance={}))
    with h5py.File(io.BytesIO(image), "r") as file:
        add("", file)
        file.visititems(add)
        for name, array in _arrays(file).items():
            digest.update(repr((name, array.dtype.str, array.shape)).encode() + array.tobytes())
    return digest.hexdigest()


def _arrays(file: h5py.File) -> dict[str, NDArray[Any]]:
    """Return every dataset by its path."""
    found: dict[str, NDArray[Any]] = {}

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = np.asarray(node[()])

    file.visititems(add)
    return found


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
