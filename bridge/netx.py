"""Trained networks of lava-dl: its netx HDF5 files (.net) -> a `Network` in fixed point.

In: a file as lava-dl's SLAYER exports it, or the one before lava-dl (SLAYER-PyTorch's `genModel`).
Out: an `Imported`. Called by `eventsim convert`.

What the file has in /layer/0, 1, ..., by `type`:

    input    shape (channels, height, width). With neurons these take an image, as bias currents of
             weight (2 x - 1) + bias, cut off to whole numbers, for pixels x of 0 to 1
    dense    weight (outputs, inputs), or flat; shape
    conv     weight (out, in / groups, height, width), with a last axis of 1 or without any axis of
             1 (then inChannels, kernelSize); stride, padding, dilation, groups, shape
    pool     a convolution of each channel by itself
    flatten  channel by channel, line by line
    neuron   of each: type LOIHI or CUBA, iDecay, vDecay, vThMant, refDelay, wgtExp
    bias     of each neuron or channel; delay: timesteps by which their spikes leave later

Every synapse takes one timestep (Lava delivers what a layer emits at t to the next one at t + 1),
which is a `Delay` here. Where netx resets the neurons for each sample (`reset_interval`), every
layer begins one timestep after the one before it, and so with its first input: `aligned`, a network
without these delays, makes the same spikes in such a sample.

netx itself runs input, dense, conv and flatten; a pool is as SLAYER has it. Other types have no
arithmetic that the file states, and are refused by name, as are sigma-delta neurons and graded
spikes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from eventsim.checks import is_whole
from eventsim.errors import EventsimError, NetworkError, NetworkFileError
from eventsim.events.arrays import InputShape
from eventsim.network.graph import Network
from eventsim.network.layers import Conv2d, Dense, Layer
from eventsim.network.neurons import FixedCUBALIF
from eventsim.network.neurons.fixed import MOST_THRESHOLD
from eventsim.network.pathways import Delay, Flatten

TYPES = ("input", "dense", "conv", "pool", "flatten")
NEURONS = ("LOIHI", "CUBA")
WEIGHT, BIAS = 64, 0  # netx's own where an input layer does not state them


class Step(NamedTuple):
    """Where a layer of the network comes from."""

    path: str
    was: str


class Imported(NamedTuple):
    """A network, and of each of its layers what it was."""

    network: Network
    steps: list[Step]
    notes: list[str]  # what is left out or taken for granted


def from_netx(
    path: str | Path,
    *,
    dt_us: int | None = None,
    input_shape: InputShape | None = None,
    steps: int | None = None,
    input_encoding: str | None = None,
    readout: str | None = None,
    aligned: bool = False,
) -> Imported:
    """Read a file of lava-dl.

    input_shape: of the events of a timestep, where the file has no input layer. dt_us, steps: by
    default what the file says of its samples, or 1 ms and whole recordings. readout: by default
    the spikes, or the last membrane where the last threshold is the highest there is. aligned: see
    the top of this file. Where the input is an image, `image_levels` makes frames.

    Raises `NetworkFileError`, one sentence with the file, the field, what was found and what was
    expected, for anything that does not run as in lava-dl.
    """
    try:
        with h5py.File(path, "r") as file:
            return _Reader(file, input_shape, int(not aligned)).read(
                dt_us, steps, input_encoding, readout
            )
    except NetworkFileError as error:
        raise NetworkFileError(f"{path}: {error}") from None
    except NetworkError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    except OSError as error:
        raise NetworkFileError(f"{path}: cannot be read as HDF5, {error}") from error


def image_levels(network: Network, image: Any) -> NDArray[np.int64]:
    """Return one frame, (channels, height, width), of an image for a network of `from_netx`.

    image: as many numbers, 0 to 1. Each becomes its bias current above the least, which the input
    layer has as its bias. Raises `EventsimError` for another shape, and where there is no image.
    """
    transform = network.provenance.get("image")
    if transform is None:
        raise EventsimError("the network's input are events, expected one with an input layer")
    pixels = np.asarray(image, np.float64)
    if pixels.shape != network.input_shape or not ((pixels >= 0) & (pixels <= 1)).all():
        raise EventsimError(
            f"the image has shape {pixels.shape} and numbers {pixels.min():g} to "
            f"{pixels.max():g}, expected shape {network.input_shape} and 0 to 1"
        )
    weight, bias = transform["weight"], transform["bias"]
    return currents_as_levels(network, np.trunc(weight * (2 * pixels - 1) + bias))


def currents_as_levels(network: Network, currents: Any) -> NDArray[np.int64]:
    """Return one frame of the whole bias currents of an image; see `image_levels`."""
    layer: Any = network.layers[0]
    levels = np.asarray(currents) - int(layer.bias[0])
    return np.asarray(levels, np.int64)


class _Reader:
    """The layers of a file, one after the other."""

    def __init__(self, file: h5py.File, input_shape: InputShape | None, synapse: int) -> None:
        self.file, self.input_shape, self.synapse = file, input_shape, synapse
        self.layers: list[Layer] = []
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.shapes: dict[int, tuple[int, ...]] = {}  # of layers of the network, as stated
        self.image: dict[str, int] | None = None
        self.late: tuple[int, ...] = (0,)  # timesteps by which the last neurons' spikes leave later

    def read(
        self, dt_us: int | None, steps: int | None, encoding: str | None, readout: str | None
    ) -> Imported:
        """Read all of them."""
        if isinstance(self.file.get("simulation"), h5py.Group):
            sample = _Fields(self.file["simulation"])  # Ts in milliseconds
            dt_us = sample.number("Ts", 1) * 1000 if dt_us is None else dt_us
            steps = steps or sample.number("tSample", 0) or None
        group = self.file.get("layer")
        if not isinstance(group, h5py.Group) or not len(group):
            raise NetworkFileError("there is no group layer, expected a file of lava-dl's netx")
        for number in range(len(group)):
            layer = group.get(str(number))
            if not isinstance(layer, h5py.Group):
                raise NetworkFileError(f"layer/{number} is missing, expected 0 to {len(group) - 1}")
            with _named(f"layer/{number}"):
                self.add(number, _Fields(layer))
        if self.input_shape is None:
            raise NetworkFileError(
                "there is no input layer, expected the shape of the events (--input-shape)"
            )
        if self.late != (0,):
            self.notes.append("the delays of the last layer are left out: nothing is behind it")
        last: Any = self.layers[-1]
        silent = isinstance(last, Dense | Conv2d) and last.neuron.threshold == MOST_THRESHOLD
        network = Network(
            self.input_shape, 1000 if dt_us is None else dt_us, self.layers, steps=steps,
            input_encoding=encoding or ("counts" if self.image else "binary"),  # type: ignore[arg-type]
            readout=readout or ("last-membrane" if silent else "spike-count"),  # type: ignore[arg-type]
            provenance={"imported_from": "lava-dl"} | ({"image": self.image} if self.image else {}),
        )  # fmt: skip
        for index, expected in self.shapes.items():
            found = network.shapes[index + 1]
            if found != expected[: len(found)] or np.prod(found) != np.prod(expected):
                raise NetworkFileError(
                    f"{self.steps[index].path}: shape is {expected}, but {found} leaves the layer"
                )
        return Imported(network, self.steps, self.notes)

    def add(self, number: int, fields: _Fields) -> None:
        """Add what one layer of the file is."""
        kind = fields.text("type")
        if kind not in TYPES:
            raise NetworkFileError(f"type is {kind!r}, expected one of {', '.join(TYPES)}")
        if kind == "input":
            if number > 0:
                raise NetworkFileError("type is 'input', expected it in layer/0")
            self.add_input(fields)
        elif kind == "flatten":
            self.put(Flatten(), fields, kind)
        else:
            if number == 0 and kind == "dense" and len(self.input_shape or ()) > 1:
                self.put(Flatten(), fields, "(a map before dense)")
            self.put_neurons(kind, fields)

    def add_input(self, fields: _Fields) -> None:
        """Take the shape; and neurons, which integrate an image."""
        shape = tuple(int(n) for n in fields.array("shape"))
        if self.input_shape not in (None, shape):
            raise NetworkFileError(f"shape is {shape}, expected {self.input_shape} as asked for")
        self.input_shape = shape
        if not fields.has("neuron"):
            return
        weight, bias = fields.number("weight", WEIGHT), fields.number("bias", BIAS)
        self.image = {"weight": weight, "bias": bias}
        flat = len(shape) == 1
        self.input_shape = shape = (*shape, 1, 1)[:3] if flat else (1, *shape)[-3:]
        # Neurons that keep no current, so that a level is a bias of one timestep.
        neuron = fields.neuron()
        neuron = FixedCUBALIF(4096, neuron.decay, neuron.threshold, refractory=neuron.refractory)
        channels = shape[0]
        layer = Conv2d(
            np.ones((channels, 1, 1, 1), np.float32),
            np.full(channels, bias - abs(weight), np.float32), groups=channels, neuron=neuron,
        )  # fmt: skip
        self.put(layer, fields, "input")
        if flat:
            self.put(Flatten(), fields, "input")
        self.late = fields.delays()

    def put_neurons(self, kind: str, fields: _Fields) -> None:
        """Add a layer with weights, behind the delay of its synapses."""
        self.delay(fields)
        shape = tuple(int(n) for n in fields.array("shape"))
        weight, neuron = fields.array("weight"), fields.neuron()
        bias = fields.bias(shape[0])
        layer: Layer
        if kind == "dense":
            outputs = int(np.prod(shape))
            if weight.size % outputs or (weight.ndim > 1 and len(weight) != outputs):
                raise NetworkFileError(
                    f"weight has shape {weight.shape}, expected rows for {outputs} neurons"
                )
            layer = Dense(weight.reshape(outputs, -1), bias, neuron=neuron)
        else:
            groups = fields.number("groups", 1)
            if kind == "conv":
                weight = fields.kernels(weight, shape[0], groups)
            else:
                groups = shape[0]
                size = tuple(int(n) for n in np.broadcast_to(fields.array("kernelSize"), 2))
                weight = np.broadcast_to(weight.reshape(-1)[:1], (groups, 1, *size))
            pair: Any = {name: fields.pair(name) for name in ("stride", "padding", "dilation")}
            layer = Conv2d(weight, bias, groups=groups, neuron=neuron, **pair)
        self.shapes[len(self.layers)] = shape
        self.put(layer, fields, kind)
        self.late = fields.delays()

    def delay(self, fields: _Fields) -> None:
        """Add the delay of axons and synapses, in front of a Flatten: channels have their own."""
        delay = Delay(tuple(steps + self.synapse for steps in self.late))
        if delay.steps == (0,):
            return
        if self.layers and isinstance(self.layers[-1], Flatten) and len(self.layers) > 1:
            self.layers.insert(-1, delay)
            self.steps.insert(-1, Step(fields.path, "synapses"))
        else:
            self.put(delay, fields, "synapses")

    def put(self, layer: Layer, fields: _Fields, was: str) -> None:
        """Add a layer."""
        self.layers.append(layer)
        self.steps.append(Step(fields.path, was))


class _Fields:
    """The datasets of a layer; raises `NetworkFileError` naming the field."""

    def __init__(self, group: h5py.Group) -> None:
        self.group, self.path = group, group.name.lstrip("/")

    def has(self, name: str) -> bool:
        return name in self.group

    def array(self, name: str) -> NDArray[Any]:
        """Return whole numbers."""
        found = self.group.get(name)
        if isinstance(found, h5py.Group):
            raise NetworkFileError(f"{name} has {', '.join(found)}, expected real weights")
        if found is None:
            raise NetworkFileError(f"{name} is missing, expected a dataset")
        values = np.asarray(found[()])
        if values.dtype.kind not in "biuf" or not (values == np.rint(values)).all():
            raise NetworkFileError(f"{name} has dtype {values.dtype}, expected whole numbers")
        return values

    def kernels(self, weight: NDArray[Any], outputs: int, groups: int) -> NDArray[Any]:
        """Return weights (outputs, inputs of a group, height, width).

        They may have a last axis of 1; and SLAYER drops all axes of 1.
        """
        size = weight.shape[:4]
        if weight.ndim < 4:
            size = (outputs, self.required("inChannels") // groups, *self.pair("kernelSize"))
        if weight.size != np.prod(size):
            raise NetworkFileError(f"weight has shape {weight.shape}, expected {size}")
        return weight.reshape(size)

    def number(self, name: str, default: int) -> int:
        """Return one whole number."""
        if name not in self.group:
            return default
        values = self.array(name)
        if values.size != 1:
            raise NetworkFileError(f"{name} has {values.size} values, expected one")
        return int(values.reshape(-1)[0])

    def pair(self, name: str) -> tuple[int, int]:
        """Return (y, x)."""
        y, x = np.broadcast_to(self.array(name), 2).tolist()
        return int(y), int(x)

    def text(self, name: str) -> str:
        """Return text."""
        found = self.group.get(name)
        if not isinstance(found, h5py.Dataset):
            raise NetworkFileError(f"{name} is missing, expected a text")
        value = np.asarray(found[()]).reshape(-1)[0]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def bias(self, channels: int) -> NDArray[Any] | None:
        """Return one for each channel, or None."""
        if "bias" not in self.group:
            return None
        values = self.array("bias").reshape(-1)
        return np.broadcast_to(values, channels) if values.size == 1 else values

    def delays(self) -> tuple[int, ...]:
        """Return by how many timesteps the spikes of the layer, or of each channel, leave later."""
        values = self.array("delay").reshape(-1) if "delay" in self.group else np.zeros(1)
        steps = tuple(int(n) for n in values)
        return steps if len(set(steps)) > 1 else steps[:1]

    def neuron(self) -> FixedCUBALIF:
        """Return the neurons; the file counts a timestep without spikes as a refractory one."""
        if not isinstance(self.group.get("neuron"), h5py.Group):
            raise NetworkFileError("neuron is missing, expected a group")
        of_neuron = _Fields(self.group["neuron"])
        with _named("neuron"):
            kind = of_neuron.text("type")
            if kind not in NEURONS:
                raise NetworkFileError(f"type is {kind!r}, expected one of {', '.join(NEURONS)}")
            for name in ("gradedSpike", "weight_exp", "messageBits"):
                if (value := of_neuron.number(name, 0)) != 0:
                    raise NetworkFileError(f"{name} is {value}, expected 0: binary spikes")
            return FixedCUBALIF(
                of_neuron.required("iDecay"), of_neuron.required("vDecay"),
                of_neuron.required("vThMant"), weight_exponent=of_neuron.number("wgtExp", 0),
                refractory=of_neuron.refractory(),
            )  # fmt: skip

    def required(self, name: str) -> int:
        """Return one whole number that must be there."""
        if name not in self.group:
            raise NetworkFileError(f"{name} is missing, expected a whole number")
        return self.number(name, 0)

    def refractory(self) -> int:
        delay = self.number("refDelay", 1)
        if not is_whole(delay, 1):
            raise NetworkFileError(f"refDelay is {delay}, expected 1 or more timesteps")
        return delay - 1


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Name the layer or group in which something was found."""
    try:
        yield
    except (NetworkError, NetworkFileError) as error:
        raise NetworkFileError(f"{where}: {error}") from None
