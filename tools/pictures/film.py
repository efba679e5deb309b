"""A recording that moves, and with a network the spikes, answers and operations that it causes.

In: events, and a result with its spikes. Out: a GIF that plays for a few seconds, however long the
recording is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventsim.colours import LIGHT, mixed

from .drawing import bare, figure_of, tiled
from .sample import NAMED, class_name, image_shape

if TYPE_CHECKING:
    from eventsim import Network, Result, Sensor
    from eventsim.events.arrays import Events

FRAMES, FRAME_MS, LAST_MS = 75, 80, 2000
FADE = 0.07  # of the whole length: until an event's or spike's trace is 1/e
COLOURS = 128  # of the GIF
PIXELS_AN_INCH = 100


class Frame(NamedTuple):
    """What has happened up to a time, and since the frame before it."""

    until_us: int  # since the first event
    events: NDArray[np.int64]  # (2, height, width), OFF and ON, since the frame before
    spikes: list[NDArray[np.int64]]  # of each layer (channels, height, width), likewise
    seen: int  # events so far
    sops: int  # so far, of all layers
    dense: int  # what a dense network would have executed
    outputs: NDArray[np.int64]  # spikes of each output so far


def film_recording(path: Path, events: Events, sensor: Sensor, title: str) -> None:
    """Write a GIF of the events of a recording."""
    duration_us = int(events["t"][-1] - events["t"][0]) + 1 if len(events) else 1
    borders = np.unique(np.linspace(0, duration_us, FRAMES + 1).astype(np.int64))
    height = min(5.0, 5.0 * sensor.height / sensor.width)
    with figure_of(5.2, height + 0.6) as figure:
        axes = figure.add_subplot()
        painter = _Events(axes, (sensor.height, sensor.width))
        words = figure.suptitle("", x=0.02, ha="left", family="monospace", fontsize=9)
        pictures = []
        for until, counts, seen in _parts(events, borders, (sensor.height, sensor.width)):
            painter.paint(counts)
            axes.set_title(title)
            words.set_text(f"{until / 1000:8.1f} ms {seen:10,} events")
            pictures.append(_pixels(figure))
    _write(path, pictures)


def film_run(path: Path, network: Network, events: Events, result: Result, title: str) -> None:
    """Write a GIF of a recording and what it caused; `result` must have recorded its spikes."""
    assert result.spikes is not None
    hidden = [
        (number, network.layer_name(index), (*network.shapes[index + 1], 1, 1)[:3])
        for number, index in enumerate(network.neuron_layers[:-1])
    ]
    frames = list(_frames(network, events, result))
    columns = 2 + min(len(hidden), 3)
    rows = max(1, -(-len(hidden) // 3))
    with figure_of(2.35 * columns + 0.6, 2.5 * rows + 1.0) as figure:
        grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[2.5] * rows, 0.5])
        sensor = figure.add_subplot(grid[:rows, 0])
        input_events = _Events(sensor, image_shape(network))
        sensor.set_title("events")
        layers = []
        for place, (number, name, shape) in enumerate(hidden):
            axes = figure.add_subplot(grid[place // 3, 1 + place % 3])
            axes.set_title(f"spikes of {name}", fontsize=9)
            layers.append((number, _Spikes(axes, shape)))
        outputs = _Outputs(figure.add_subplot(grid[:rows, -1]), network, result)
        work = _Work(figure.add_subplot(grid[rows, :]), frames[-1])
        figure.suptitle(title, x=0.01, ha="left")
        pictures = []
        for frame in frames:
            input_events.paint(frame.events)
            for number, painter in layers:
                painter.paint(frame.spikes[number])
            outputs.paint(frame.outputs, frame is frames[-1])
            work.paint(frame)
            pictures.append(_pixels(figure))
    _write(path, pictures)


def _parts(
    events: Events, borders: NDArray[np.int64], shape: tuple[int, ...]
) -> Iterator[tuple[int, NDArray[np.int64], int]]:
    """Yield the end of each frame, its events as an image of OFF and of ON, and events so far."""
    times = (events["t"] - events["t"][:1]).astype(np.int64)
    ends = np.searchsorted(times, borders)
    for number, until in enumerate(borders[1:]):
        part = events[ends[number] : ends[number + 1]]
        counts = np.zeros((2, *shape), np.int64)
        np.add.at(counts, (part["on"].astype(np.int64), part["y"], part["x"]), 1)
        yield int(until), counts, int(ends[number + 1])


def _frames(network: Network, events: Events, result: Result) -> Iterator[Frame]:
    """Run the recording again, and look at the counts at the end of each frame."""
    from eventsim.asynchronous.run import AsynchronousRun
    from eventsim.clocked.run import ClockedRun
    from eventsim.operations import COUNTERS

    steps = np.unique(np.linspace(0, max(1, result.steps), FRAMES + 1).round().astype(np.int64))
    borders, start = steps * network.dt_us, int(events["t"][0]) if len(events) else 0
    kind = ClockedRun if result.mode == "clocked" else AsynchronousRun
    run = kind(network, start_us=start)
    sops = [COUNTERS.index("acs"), COUNTERS.index("macs")]
    dense = sum(network.counted_layers[1])
    shape, seen_before = image_shape(network), 0
    for number, (until, counts, seen) in enumerate(_parts(events, borders, shape)):
        run.feed(events[seen_before:seen])
        run.advance(start + until)
        seen_before = seen
        yield Frame(
            until, counts, _spikes_between(network, result, borders[number], until), seen,
            int(run.counters[:, sops].sum()), dense * int(steps[number + 1]),
            run.spike_counts.copy(),
        )  # fmt: skip


def _spikes_between(
    network: Network, result: Result, from_us: int, until_us: int
) -> list[NDArray[np.int64]]:
    """Return the number of spikes of each neuron of each layer in a time."""
    counted, unit = [], network.dt_us if result.mode == "clocked" else 1
    for index, spikes in zip(network.neuron_layers, result.spikes or (), strict=True):
        counts = np.zeros((*network.shapes[index + 1], 1, 1)[:3], np.int64)
        times = spikes[:, 0] * unit
        part = spikes[(times >= from_us) & (times < until_us), 1:]
        np.add.at(counts, tuple(part.T), 1)
        counted.append(counts)
    return counted


class _Events:
    """The sensor, on which events fade."""

    def __init__(self, axes: Any, shape: tuple[int, ...]) -> None:
        self._levels = np.zeros((2, *shape))
        self._image = axes.imshow(mixed(*self._levels), interpolation="nearest")
        self._full = 1.0
        bare(axes)
        axes.spines[:].set(visible=True, color=LIGHT.dense)

    def paint(self, counts: NDArray[np.int64]) -> None:
        self._levels = self._levels * np.exp(-1 / FRAMES / FADE) + counts
        active = counts[counts > 0]
        # Slower than pixels fade, so that what is left of an image fades too.
        self._full = max(1.0, 0.95 * self._full, 2 * active.mean() if active.size else 0.0)
        off, on = np.minimum(1, self._levels / self._full)
        self._image.set_data(mixed(on, off))


class _Spikes:
    """The neurons of a layer, on which spikes fade: maps side by side, or a vector in rows."""

    def __init__(self, axes: Any, shape: tuple[int, ...]) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list(
            "spikes",
            [LIGHT.paper, LIGHT.ink],
            bad=LIGHT.dense,  # between maps
        )
        self._levels = np.zeros(shape)
        image = tiled(self._levels, np.nan)
        self._image = axes.imshow(image, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        bare(axes)
        axes.spines[:].set(visible=True, color=LIGHT.dense)

    def paint(self, counts: NDArray[np.int64]) -> None:
        self._levels = np.minimum(1, self._levels * np.exp(-1 / FRAMES / FADE) + counts)
        self._image.set_data(tiled(self._levels, np.nan))


class _Outputs:
    """A bar for each output, the highest in the colour of answers; of many the ten best."""

    def __init__(self, axes: Any, network: Network, result: Result) -> None:
        counts, self._result = result.spike_counts, result
        self._by_count = network.readout == "spike-count"
        self._shown = np.arange(network.outputs)
        if network.outputs > NAMED:
            self._shown = np.sort(np.argsort(-counts, kind="stable")[:10])
        self._names = [class_name(network, one) for one in range(network.outputs)]
        self._bars = axes.barh(range(len(self._shown)), 0, color=LIGHT.dense)
        axes.set_yticks(range(len(self._shown)), [self._names[one] for one in self._shown])
        axes.set_xlim(0, max(1, int(counts.max(initial=0))))
        axes.invert_yaxis()
        axes.set_xlabel("output spikes")
        self._axes = axes

    def paint(self, counts: NDArray[np.int64], last: bool) -> None:
        answer = -1
        if last:
            answer = self._result.prediction
        elif self._by_count and counts.any():
            answer = int(np.argmax(counts))
        for bar, one in zip(self._bars, self._shown, strict=True):
            bar.set_width(counts[one])
            bar.set_color(LIGHT.answer if one == answer else LIGHT.dense)
        self._axes.set_title(f"answer: {self._names[answer] if answer >= 0 else '-'}")


class _Work:
    """Synaptic operations so far, beside those of a dense network."""

    def __init__(self, axes: Any, last: Frame) -> None:
        self._bars = axes.barh((0, 1), (0, 0), color=(LIGHT.dense, LIGHT.executed))
        axes.set_yticks((0, 1), ("dense network", "executed"))
        axes.set_xlim(0, 1.02 * max(last.dense, last.sops, 1))
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        self._words = axes.set_xlabel("", family="monospace", fontsize=9)

    def paint(self, frame: Frame) -> None:
        for bar, value in zip(self._bars, (frame.dense, frame.sops), strict=True):
            bar.set_width(value)
        share = f"{frame.sops / frame.dense:.1%}" if frame.dense else "-"
        self._words.set_text(
            f"{frame.until_us / 1000:6.0f} ms   {frame.seen:9,} events   {frame.sops:12,} of "
            f"{frame.dense:12,} synaptic operations ({share})"
        )


def _pixels(figure: Any) -> Any:
    """Draw the figure; the layout is that of its first picture, so that nothing jumps."""
    from PIL import Image

    figure.set_dpi(PIXELS_AN_INCH)
    figure.canvas.draw()
    figure.set_layout_engine("none")
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())


def _write(path: Path, pictures: list[Any]) -> None:
    """Write a GIF with one palette: of the most colourful picture, and our own colours as well."""
    from PIL import Image, ImageDraw

    from eventsim.files import replacing

    richest = max(pictures, key=lambda one: len(one.getcolors(2**24))).copy()
    pen = ImageDraw.Draw(richest)
    for number, colour in enumerate(LIGHT[:7]):  # where it is paper, and large enough to be heeded
        pen.rectangle((30 * number, 0, 30 * number + 29, 29), fill=colour)
    palette = richest.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    few = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    durations = [FRAME_MS] * (len(few) - 1) + [LAST_MS]
    with replacing(path) as file:
        few[0].save(
            file, format="GIF", save_all=True, append_images=few[1:], duration=durations, loop=0,
            optimize=False,
        )  # fmt: skip
