"""A network <-> one HDF5 file, exact to the bit.

In: a `Network`. Out: a file; and from a file the same network, or a `NetworkFileError`. Called by
the bridge, the command line and the user.

The file, version 2. Whole numbers are int64, others float64, weights and biases float32, all
little-endian. Text is UTF-8 in fixed-length strings. Datasets are contiguous and uncompressed. The
HDF5 layout is that of HDF5 1.8 or later, which has checksums. A field that is None is absent; all
other fields must be there, and nothing else may be.

    /                     attributes
      format              "eventsim-network"
      version             2
      input_shape         (3,): polarities or channels, height, width; (1,): units
      dt_us               length of a timestep in microseconds, from 1
      input_encoding      "binary" or "counts"
      steps               timesteps of a simulation, from 1; absent: whole recordings
      readout             "spike-count", "first-spike", "last-membrane" or "mean-membrane"
    /class_names          dataset of strings (outputs,), or (0,) without names
    /provenance           dataset, one string: a JSON object
    /layers/0, 1, ...     a group for each layer, from input to output, with
      type                attribute: the name of the layer's class
      ...                 and the parameters of that class:

    Dense                 datasets weight (outputs, inputs), bias (outputs,) or absent, recurrent
                          (outputs, outputs), (outputs,) or absent; group neuron
    Conv2d                datasets weight (out_channels, in_channels / groups, height, width), bias
                          and recurrent (out_channels,) or absent; attributes groups, and
                          stride, padding, dilation (2,): y, x; group neuron
    Conv1d                the same without height; stride, padding, dilation: one number
    SumPool2d, AvgPool2d, MaxPool2d     attributes kernel_size, stride (2,): y, x; padding (2,) or
                          absent: none; of AvgPool2d divisor or absent: the cells of a window
    Delay                 attribute steps (1,) or (channels,)
    Add, Concatenate      attribute sources (n,): numbers of layers before, -1 for the input
    Flatten               nothing
    .../neuron            attribute type: the name of the neuron model's class, and its parameters,
                          one number for the layer, or (channels,)

The code below knows no layer and no neuron model: fields and types are those of the dataclasses.
A file is nothing but data: whatever could lead outside it (links, external and virtual storage) or
needs other code to read (filters, pickles) is refused, and an array is read only after all of its
bytes are known to be in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError, NetworkFileError
from ..files import replacing
from . import provenance
from .file_fields import FileField, file_fields_of
from .graph import Network, check_network
from .layers import LAYER_TYPES

FORMAT = "eventsim-network"
VERSION = 2

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# The layout of HDF5 1.8: all structure carries checksums. In the older one, changed bytes have made
# the library take memory until none was left.
_LIBVER = ("v108", "v108")
_SUPERBLOCKS = (2, 3)  # of this layout and later ones
_LAYOUTS = {getattr(h5py.h5d, name.upper()): name for name in ("compact", "chunked", "virtual")}


_TEXT = FileField("attribute")
_GROUP = FileField("group")
_LAYER = FileField("group", types=tuple(LAYER_TYPES.values()))


_HEAD = {"format": _TEXT, "version": FileField("attribute", "<i8")}
_NETWORK = file_fields_of(Network, leave_out=("layers", "class_names", "provenance")) | {
    "class_names": FileField("dataset", shape=(None,)),
    "provenance": FileField("dataset"),
}


def _path(node: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return how messages call a field, such as "layers/2/weight"."""
    path = f"{node.name}/{name}".lstrip("/")
    return path if path.isprintable() else repr(path)


# --- saving ---------------------------------------------------------------------------------------


def save_network(network: Network, path: str | Path) -> None:
    """Write a network to one HDF5 file (see the module's docstring).

    The file is written under another name beside `path`, then renamed: either all of it is there,
    or nothing has changed. Equal networks give equal files.

    Raises `NetworkFileError` naming the file, where it cannot be written; and where the provenance
    is not what JSON would give back the same (a tuple, a key that is no string, NaN), or a class
    name not what HDF5 can hold.
    """
    check_network(network)
    try:
        image = network_image(network)
        with replacing(path) as file:
            file.write(image)
    except NetworkFileError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    except OSError as error:
        raise NetworkFileError(f"{path}: cannot be written, {error.strerror or error}") from error


def network_image(network: Network) -> bytes:
    """Return the bytes of the file. Made in memory, so that HDF5 never meets a full disk."""
    with h5py.File("image", "w", driver="core", backing_store=False, libver=_LIBVER) as file:
        values = {"format": FORMAT, "version": VERSION}
        values |= {name: getattr(network, name) for name in _NETWORK}
        values["provenance"] = provenance.to_json(network.provenance)
        for name, expected in (_HEAD | _NETWORK).items():
            _write(file, name, expected, values[name])
        layers = file.create_group("layers")
        for index, layer in enumerate(network.layers):
            _write(layers, str(index), _LAYER, layer)
        file.flush()
        return bytes(file.id.get_file_image())


def _write(group: h5py.Group, name: str, expected: FileField, value: Any) -> None:
    if value is None:
        return
    if expected.place == "group":
        part = group.create_group(name)
        _write(part, "type", _TEXT, type(value).__name__)
        for field, inner in file_fields_of(type(value)).items():
            _write(part, field, inner, getattr(value, field))
    elif expected.place == "dataset":
        group.create_dataset(name, data=_array(value, expected, _path(group, name)))
    else:
        group.attrs.create(name, _array(value, expected, _path(group, name)))


def _array(value: Any, expected: FileField, field: str) -> NDArray[Any]:
    if expected.dtype is not None:
        return np.asarray(value, expected.dtype)
    texts = [value] if isinstance(value, str) else list(value)
    try:
        encoded = [_refuse_nul(text, field).encode() for text in texts]
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise NetworkFileError(f"{field} has {error.object!r}, expected valid Unicode") from None
    dtype = h5py.string_dtype("utf-8", max([1, *map(len, encoded)]))
    return np.array(encoded[0] if isinstance(value, str) else encoded, dtype)


# --- loading --------------------------------------------------------------------------------------


def is_network_file(path: str | Path) -> bool:
    """Tell whether a file is HDF5 and says that it holds a network, of whatever version.

    One that does not say what it is but has a group `layers` counts as a damaged network, so that
    `load_network` can say what is wrong with it.
    """
    try:
        with _open(Path(path)) as file:
            try:
                return bool(_read(file, "format", _TEXT) == FORMAT)
            except NetworkFileError:
                return _read(file, "layers", _GROUP) is not None
    except (NetworkFileError, OSError):
        return False


def load_network(path: str | Path) -> Network:
    """Read a network from a file that `save_network` wrote.

    Raises `NetworkFileError`, one sentence with the file, the field, what was found and what was
    expected, for anything else: no such file, no HDF5, another format or version, a field that is
    missing, extra, of another type or shape, not finite, or that does not fit its neighbours.
    """
    try:
        with _open(Path(path)) as file:
            return _read_network(file)
    except NetworkFileError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    except OSError as error:
        raise NetworkFileError(f"{path}: cannot be opened, {error.strerror or error}") from error


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    if not path.exists():
        raise NetworkFileError("there is no such file")
    if not path.is_file():
        raise NetworkFileError("this is not a file, expected a network file")
    with path.open("rb") as raw:
        head, superblock = raw.read(len(_SIGNATURE)), raw.read(1)
    if head != _SIGNATURE:
        raise NetworkFileError(f"the file begins with {head!r}, expected {_SIGNATURE!r} (HDF5)")
    if superblock and superblock[0] not in _SUPERBLOCKS:
        raise NetworkFileError(
            f"the HDF5 superblock has version {superblock[0]}, expected one with checksums, "
            f"{' or '.join(map(str, _SUPERBLOCKS))} (in h5py, libver='v108' or later)"
        )
    with _reading("the HDF5 structure"), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _reading(field: str) -> Iterator[None]:
    """Turn whatever is raised while a field is read into a `NetworkFileError` that names it."""
    try:
        yield
    except NetworkFileError:
        raise
    except NetworkError as error:
        raise NetworkFileError(f"{field}: {error}") from error
    except Exception as error:  # on damaged files h5py raises half a dozen types
        reason = " ".join(str(error).strip("'").split()) or type(error).__name__
        raise NetworkFileError(f"{field} cannot be read, h5py says: {reason}") from error


def _read_network(file: h5py.File) -> Network:
    for name, expected in (("format", FORMAT), ("version", VERSION)):
        if (found := _read(file, name, _HEAD[name])) != expected:
            raise NetworkFileError(f"{name} is {found!r}, expected {expected!r}")
    _refuse_extra(file, _HEAD | _NETWORK | {"layers": _GROUP})
    values = {name: _read(file, name, expected) for name, expected in _NETWORK.items()}
    values["provenance"] = provenance.from_json(values["provenance"])
    groups = _read(file, "layers", _GROUP)
    numbered = {str(index): _LAYER for index in range(len(groups))}
    if set(groups) != numbered.keys():
        raise NetworkFileError(f"layers holds {', '.join(groups)}, expected {', '.join(numbered)}")
    _refuse_extra(groups, numbered)
    values["layers"] = [_read(groups, number, expected) for number, expected in numbered.items()]
    try:
        return Network(**values)
    except NetworkError as error:
        raise NetworkFileError(str(error)) from error


def _refuse_extra(node: h5py.Group | h5py.Dataset, fields: Mapping[str, FileField]) -> None:
    members = node if isinstance(node, h5py.Group) else ()
    attributes = {name for name, expected in fields.items() if expected.place == "attribute"}
    for kind, found, expected in (
        ("attribute", node.attrs, attributes),
        ("member", members, fields.keys() - attributes),
    ):
        for name in found:
            if name not in expected:
                raise NetworkFileError(
                    f"{_path(node, name)} is an extra {kind}, "
                    f"expected {', '.join(sorted(expected)) or 'none'}"
                )


def _read(group: h5py.Group, name: str, expected: FileField) -> Any:
    """Read a number, a tuple, text, an array, an object, or a group of whatever else."""
    field = _path(group, name)
    with _reading(field):
        if expected.place == "attribute":
            if name in group.attrs:
                return _read_values(group.attrs.get_id(name), group.file, expected, field)
        elif (link := group.get(name, getlink=True)) is not None:
            if not isinstance(link, h5py.HardLink):
                raise NetworkFileError(f"{field} is a link, expected {expected} in this place")
            return _read_member(group[name], expected, field)
        if not expected.optional:
            raise NetworkFileError(f"{field} is missing, expected {expected}")
        return None


def _read_member(member: Any, expected: FileField, field: str) -> Any:
    kind = type(member).__name__.lower()
    if kind != expected.place:
        raise NetworkFileError(f"{field} is a {kind}, expected {expected}")
    if expected.place == "dataset":
        _refuse_extra(member, {})
        return _read_values(member.id, member.file, expected, field)
    return _read_object(member, expected) if expected.types else member


def _read_object(group: h5py.Group, expected: FileField) -> Any:
    types = {kind.__name__: kind for kind in expected.types}
    name = _read(group, "type", _TEXT)
    if name not in types:
        raise NetworkFileError(
            f"{_path(group, 'type')} is {name!r}, expected one of {', '.join(types)}"
        )
    fields = file_fields_of(types[name])
    _refuse_extra(group, {"type": _TEXT} | fields)
    values = {field: _read(group, field, inner) for field, inner in fields.items()}
    made = types[name](**values)
    for field, value in values.items():
        if value is None and getattr(made, field) is not None:  # a default is not what was saved
            raise NetworkFileError(f"{_path(group, field)} is missing, expected {fields[field]}")
    return made


def _read_values(
    stored: h5py.h5a.AttrID | h5py.h5d.DatasetID, file: h5py.File, expected: FileField, field: str
) -> Any:
    dtype, shape = stored.dtype, stored.shape
    string = h5py.check_string_dtype(dtype)
    fixed_text = string is not None and string.length is not None
    if not fixed_text if expected.dtype is None else dtype != expected.dtype:
        raise NetworkFileError(f"{field} has dtype {dtype}, expected {expected.content}")
    if stored.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        raise NetworkFileError(f"{field} holds no value, expected {expected}")
    if not expected.admits(shape):
        raise NetworkFileError(f"{field} has shape {shape}, expected {expected.sizes}")
    _check_held(stored, math.prod(shape) * dtype.itemsize, file.id.get_filesize(), field)
    array = np.empty(shape, dtype)
    if isinstance(stored, h5py.h5a.AttrID):
        stored.read(array)
    else:
        stored.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    if expected.place == "dataset" and expected.dtype is not None:
        return array
    values = tuple(_decode(value, field) for value in array.reshape(-1).tolist())
    return values if shape else values[0]


def _check_held(
    stored: h5py.h5a.AttrID | h5py.h5d.DatasetID, size: int, file_size: int, field: str
) -> None:
    """Refuse values that are not, all of them, plain bytes in the file itself."""
    start = 0
    if isinstance(stored, h5py.h5d.DatasetID):
        properties = stored.get_create_plist()
        if (layout := properties.get_layout()) != h5py.h5d.CONTIGUOUS:
            raise NetworkFileError(f"{field} is stored {_LAYOUTS[layout]}, expected contiguous")
        if properties.get_external_count():
            raise NetworkFileError(f"{field} is stored in another file, expected in this one")
        offset = stored.get_offset()
        if size and offset is None:
            raise NetworkFileError(f"{field} was never written, expected {size} bytes")
        start = offset or 0
    if start + size > file_size:
        raise NetworkFileError(
            f"{field} has {size} bytes from byte {start} on, expected no more than the "
            f"{file_size} of the file"
        )


def _decode(value: Any, field: str) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return _refuse_nul(value.decode(), field)
    except UnicodeDecodeError:
        raise NetworkFileError(f"{field} is {value!r}, expected UTF-8") from None


def _refuse_nul(text: str, field: str) -> str:
    if "\0" in text:  # HDF5 pads text with NULs, so one at the end would be lost
        raise NetworkFileError(f"{field} has {text!r}, expected text without NUL")
    return text
