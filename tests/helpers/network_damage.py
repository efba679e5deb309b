"""Damaged network files: what is wrong with each, and the sentence that it gets."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from network_files import small

from eventsim.errors import NetworkFileError
from eventsim.network import storage
from eventsim.network.storage import load_network, save_network

WEIGHT = "layers/3/weight"  # of the Dense, (3, 2)


VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


@contextmanager
def folder() -> Iterator[Path]:
    """Run in a folder with net.h5, and with files that a link could lead to."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            save_network(small(), "net.h5")
            Path("raw.bin").write_bytes(VALUES.tobytes())
            with h5py.File("other.h5", "w") as file:
                file["weight"] = VALUES
            yield Path("net.h5")
        finally:
            os.chdir(before)


def refusal(path: Path) -> str:
    with pytest.raises(NetworkFileError) as refused:
        load_network(path)
    return str(refused.value)


def own(sentence: str) -> str:
    """Leave out what h5py and Python's JSON say themselves: their versions differ in it."""
    return re.sub(r"(says|JSON): .*", r"\1: ...", sentence)


Damage = Callable[[h5py.File], Any]


def delete(path: str) -> Damage:
    return lambda file: file.__delitem__(path)


def put(path: str, value: Any = None, **options: Any) -> Damage:
    """Put a dataset, a link, a type or a virtual dataset in a place, instead of what is there."""

    def damage(file: h5py.File) -> None:
        if path in file:
            del file[path]
        if isinstance(value, h5py.VirtualLayout):
            file.create_virtual_dataset(path, value)
        elif isinstance(value, h5py.SoftLink | h5py.ExternalLink | np.dtype):
            file[path] = value
        else:
            file.create_dataset(path, data=value, **options)

    return damage


def put_group(path: str) -> Damage:
    """Put an empty group in a place, instead of what is there."""

    def damage(file: h5py.File) -> None:
        if path in file:
            del file[path]
        file.create_group(path)

    return damage


def state(path: str, value: Any, dtype: Any = None) -> Damage:
    """Put an attribute, or with None remove it; the path ends with its name."""

    def damage(file: h5py.File) -> None:
        place, _, name = path.rpartition("/")
        if value is None:
            del file[place or "/"].attrs[name]
        else:
            file[place or "/"].attrs.create(name, value, dtype=dtype)

    return damage


def text(value: bytes | str) -> np.bytes_:
    return np.bytes_(value.encode() if isinstance(value, str) else value)


def swap(one: str, other: str) -> Damage:
    def damage(file: h5py.File) -> None:
        for source, target in ((one, "aside"), (other, one), ("aside", other)):
            file.move(source, target)

    return damage


def compact(path: str) -> Damage:
    def damage(file: h5py.File) -> None:
        values = file[path][...]
        del file[path]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(values.shape)
        kind = h5py.h5t.IEEE_F32LE
        stored = h5py.h5d.create(file.id, path.encode(), kind, space, properties)
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, values)

    return damage


NEURON = "layers/3/neuron"  # LIF


def virtual() -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "weight", (3, 2))
    return layout


DAMAGE: dict[str, Damage] = {
    # what the file is
    "format missing": state("format", None),
    "another format": state("format", text("nir")),
    "format a number": state("format", 1),
    "format without a value": state("format", h5py.Empty("S5")),
    "a later version": state("version", 3),
    "version missing": state("version", None),
    "version a fraction": state("version", 1.0),
    # extra fields
    "extra attribute": state("colour", 1),
    "extra dataset": put("extra", 1),
    "extra link": put("extra", h5py.SoftLink("/nowhere")),
    "extra attribute of the layers": state("layers/n", 4),
    "extra attribute of a layer": state("layers/3/groups", 1),
    "extra group in a layer": put_group("layers/2/neuron"),
    "extra attribute of a weight": state(f"{WEIGHT}/unit", 1),
    "extra attribute of a neuron": state(f"{NEURON}/tau", 0.5),
    "extra dataset in a neuron": put(f"{NEURON}/tau", 0.5),
    "a name of several lines": state("layers/a\nb", 1),
    # input, timestep, names
    "input_shape missing": state("input_shape", None),
    "input_shape of four": state("input_shape", [1, 1, 4, 4]),
    "input_shape of fractions": state("input_shape", [1.0, 4, 4]),
    "an input too large": state("input_shape", [2, 2**20, 2**20]),
    "dt_us missing": state("dt_us", None),
    "dt_us zero": state("dt_us", 0),
    "dt_us of 32 bits": state("dt_us", 1000, np.int32),
    "dt_us a list": state("dt_us", [1000]),
    "dt_us a dataset": lambda file: (state("dt_us", None)(file), put("dt_us", 1000)(file)),
    "input_encoding missing": state("input_encoding", None),
    "another input_encoding": state("input_encoding", text("rate")),
    "input_encoding of any length": state("input_encoding", "binary"),
    "steps zero": state("steps", 0),
    "steps a fraction": state("steps", 1.5),
    "class_names missing": delete("class_names"),
    "a class_name too few": put("class_names", np.array([b"a", b"b"])),
    "class_names no list": put("class_names", text("a")),
    "class_names of numbers": put("class_names", [1, 2, 3]),
    "class_names not UTF-8": put("class_names", np.array([b"a", b"\xff", b"c"])),
    "class_names with NUL": put("class_names", np.array([b"a", b"b\0b", b"c"])),
    "class_names a group": lambda file: (
        delete("class_names")(file),
        file.create_group("class_names"),
    ),
    # provenance
    "provenance missing": delete("provenance"),
    "provenance no JSON": put("provenance", text("{")),
    "provenance a list": put("provenance", text("[1]")),
    "provenance with NaN": put("provenance", text('{"a": [NaN]}')),
    "provenance too large a number": put("provenance", text('{"a": 1e999}')),
    "provenance nested": put("provenance", text('{"a":' * 9000)),
    "provenance not UTF-8": put("provenance", text(b"\xff")),
    "provenance twice": put("provenance", np.array([b"{}", b"{}"])),
    # layers
    "layers missing": delete("layers"),
    "layers a dataset": put("layers", 1),
    "no layers": lambda file: (delete("layers")(file), file.create_group("layers")),
    "a layer missing": delete("layers/1"),
    "a layer of another name": lambda file: file.move("layers/3", "layers/03"),
    "a layer a dataset": put("layers/2", 1),
    "a layer linked": put("layers/2", h5py.SoftLink("/layers/1")),
    "the last layer missing": delete("layers/3"),
    "layers swapped": swap("layers/2", "layers/3"),
    "type missing": state("layers/1/type", None),
    "another type": state("layers/1/type", text("LSTM")),
    "type of another layer": state("layers/1/type", text("Dense")),
    # weights
    "weight missing": delete(WEIGHT),
    "weight of 64 bits": put(WEIGHT, VALUES.astype(np.float64)),
    "weight big-endian": put(WEIGHT, VALUES.astype(">f4")),
    "weight with NaN": put(WEIGHT, VALUES * np.float32(np.nan)),
    "weight infinite": put(WEIGHT, np.array([[1, 2], [3, np.inf], [5, 6]], np.float32)),
    "weight of one axis": put(WEIGHT, VALUES[0]),
    "weight of nothing": put(WEIGHT, VALUES[:0]),
    "weight of another layer": put(WEIGHT, VALUES.T.copy()),
    "weight without a value": put(WEIGHT, h5py.Empty("f4")),
    "weight never written": put(WEIGHT, None, shape=(3, 2), dtype="f4"),
    "weight of a tebibyte": put(WEIGHT, None, shape=(2**20, 2**18), dtype="f4"),
    "weight in chunks": put(WEIGHT, VALUES, chunks=(3, 2)),
    "weight compressed": put(WEIGHT, VALUES, compression="gzip"),
    "weight compact": compact(WEIGHT),
    "weight virtual": put(WEIGHT, virtual()),
    "weight in a raw file": put(
        WEIGHT, None, shape=(3, 2), dtype="f4", external=[("raw.bin", 0, 24)]
    ),
    "weight behind a soft link": put(WEIGHT, h5py.SoftLink("/layers/0/weight")),
    "weight behind a link nowhere": put(WEIGHT, h5py.SoftLink("/nowhere")),
    "weight in another file": put(WEIGHT, h5py.ExternalLink("other.h5", "/weight")),
    "weight a type": lambda file: (delete(WEIGHT)(file), file.__setitem__(WEIGHT, np.dtype("f4"))),
    "bias of another length": put("layers/0/bias", VALUES[0, :1]),
    # parameters of layers
    "stride missing": state("layers/0/stride", None),
    "stride of three": state("layers/0/stride", [1, 1, 1]),
    "stride zero": state("layers/0/stride", [0, 1]),
    "groups that do not divide": state("layers/0/groups", 3),
    "groups of fewer channels": state("layers/0/groups", 2),
    "a pool without stride": state("layers/1/stride", None),
    "a pool too large": state("layers/1/kernel_size", [9, 9]),
    # neurons
    "neuron missing": delete(NEURON),
    "neuron a dataset": put(NEURON, 1),
    "another neuron": state(f"{NEURON}/type", text("Izhikevich")),
    "decay missing": state(f"{NEURON}/decay", None),
    "decay too large": state(f"{NEURON}/decay", 2.0),
    "decay NaN": state(f"{NEURON}/decay", np.nan),
    "threshold of 32 bits": state(f"{NEURON}/threshold", 1.0, np.float32),
    "threshold negative": state(f"{NEURON}/threshold", -1.0),
    "another reset": state(f"{NEURON}/reset", text("soft")),
}


def without_checksums() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "old.h5"
        with h5py.File(path, "w", libver="earliest") as file:
            file.attrs["format"] = text(storage.FORMAT)
        return path.read_bytes()


# What is no HDF5 file, or not all of one: bytes instead of the file's.
FILES: dict[str, Callable[[bytes], bytes]] = {
    "an empty file": lambda data: b"",
    "a text": lambda data: b"weights",
    "a file of PyTorch": lambda data: b"PK\x03\x04" + bytes(100),
    "cut in the signature": lambda data: data[:5],
    "cut after the signature": lambda data: data[:8],
    "cut in half": lambda data: data[: len(data) // 2],
    "the last byte missing": lambda data: data[:-1],
    "HDF5 without checksums": lambda data: without_checksums(),
    "zeros instead of the structure": lambda data: data[:48] + bytes(len(data) - 48),
    "a flipped bit in the structure": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
}
