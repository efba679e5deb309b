"""What `eventsim run` simulates: recordings by their files, or part of a data set.

In: the options of the command. Out: `Inputs`, whose recordings are read when they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .images import image_frames
from .options import Parting
from .reading import Fit, Reading

if TYPE_CHECKING:
    from eventsim import Network, Packets

# Files of more bytes are read in packets while they run, so that their length takes no memory.
LONG_FILE = 2**24


class Inputs(NamedTuple):
    """What to run: names, labels where known, and how to read the recording of an index."""

    names: Sequence[str]
    labels: list[int] | None
    read: Any  # (index) -> events, or packets of a long recording; and what fits them
    class_names: Sequence[str]


def from_data_set(
    net: Network,
    name: str,
    root: Path | None,
    split: str,
    reading: Reading,
    parting: Parting,
    download: bool = False,
) -> Inputs:
    """Return a part of a data set; raises `EventsimError` where the network cannot take it."""
    import eventsim as es

    if split not in ("train", "test"):
        raise es.EventsimError(f"--split is {split!r}, expected train or test")
    dataset = reading.data_set(name, root, parting, download=download)
    part = dataset.train if split == "train" else dataset.test
    labels = [int(label) for label in part.labels]
    fit = Fit(reading, net, dataset.sensor)
    return Inputs(part.names, labels, lambda index: (part[index][0], fit), dataset.class_names)


def from_files(net: Network, paths: Sequence[Path], reading: Reading, whole: bool) -> Inputs:
    """Return files; long ones are read in packets, unless they must be read `whole`."""
    import eventsim as es

    def read(index: int) -> Any:
        path = paths[index]
        is_long = path.is_file() and path.stat().st_size > LONG_FILE
        source = reading.packets(path) if is_long and not whole else reading.recording(path)
        with _naming(str(path)):
            fit = Fit(reading, net, source.sensor if source.about.states_sensor else None)
        return source if isinstance(source, es.Packets) else source.events, fit

    return Inputs([str(path) for path in paths], None, read, ())


def from_images(net: Network, paths: Sequence[Path], steps: int | None) -> Inputs:
    """Return images, as what a network in a chip's integers gets of them in each timestep."""

    def read(index: int) -> Any:
        return image_frames(net, paths[index], steps), lambda frames: frames

    return Inputs([str(path) for path in paths], None, read, ())


def read_inputs(chosen: Inputs, indices: Iterable[int], advance: Any) -> Iterator[Any]:
    """Read recordings, or begin to."""
    import eventsim as es

    for index in indices:
        name, (source, fit) = chosen.names[index], chosen.read(index)
        if isinstance(source, es.Packets):
            yield _stream(name, source, fit, advance)
        else:
            with _naming(name):
                yield fit(source)


def read_first(chosen: Inputs) -> tuple[Inputs, Any]:
    """Read the first recording; return inputs that have it, and itself."""
    (first,) = read_inputs(chosen, range(1), lambda *_: None)
    return chosen._replace(read=lambda index: (first, lambda fitting: fitting)), first


def _stream(name: str, packets: Packets, fit: Fit, advance: Any) -> Iterator[Any]:
    import eventsim as es

    count = 0
    try:
        for packet in Reading().told(packets):
            with _naming(name):
                fitting = fit(packet, count)
            yield fitting
            count += len(packet)
            advance(0, len(packet))
    except es.RecordingError as error:  # which a batch would number, but it has a name here
        raise es.EventsimError(str(error)) from None


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name a recording that does not fit the network here, where its file is known."""
    import eventsim as es

    try:
        yield
    except es.EventsimError as error:
        raise type(error)(f"{name}: {error}") from None
