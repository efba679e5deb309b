"""A recording as a picture: its events over time, and where on the sensor they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsim.colours import LIGHT, mixed

from .drawing import bare, dots, picture

if TYPE_CHECKING:
    from eventsim import Sensor
    from eventsim.events.arrays import Events

WINDOWS = 6  # images of the sensor, of an equal part of the time each
BINS = 200  # of the rate over time


def draw_recording(path: Path, events: Events, sensor: Sensor, title: str) -> None:
    """Draw x and y of events over time, their rate, and what the sensor saw in six windows."""
    with picture(path, 11, 8.5) as figure:
        figure.suptitle(f"{title}: {len(events):,} events, {sensor.width} x {sensor.height} pixels")
        grid = figure.add_gridspec(4, WINDOWS, height_ratios=(1, 1, 0.6, 1))
        start_ms, end_ms = _span_ms(events)
        first = figure.add_subplot(grid[0, :])
        for row, name in enumerate("xy"):
            axes = first if row == 0 else figure.add_subplot(grid[row, :], sharex=first)
            draw_dots(axes, events, events[name], f"{name} (pixel)")
        axes.invert_yaxis()  # as the sensor counts rows
        first.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, markerscale=6)
        rates = figure.add_subplot(grid[2, :], sharex=first)
        _draw_rates(rates, events, start_ms, end_ms)
        borders = np.linspace(start_ms, end_ms, WINDOWS + 1)
        for number in range(WINDOWS):
            axes = figure.add_subplot(grid[3, number])
            inside = (_ms(events) >= borders[number]) & (_ms(events) <= borders[number + 1])
            draw_image(axes, events[inside], sensor.height, sensor.width)
            axes.set_title(f"{borders[number]:.4g} to {borders[number + 1]:.4g} ms", fontsize=8)


def draw_dots(axes: Any, events: Events, places: Any, label: str) -> None:
    """Draw a dot for each event at its time, in the colour of its polarity."""
    for on, colour, name in ((True, LIGHT.on, "ON"), (False, LIGHT.off, "OFF")):
        chosen = events["on"] == on
        axes.plot(
            _ms(events)[chosen], places[chosen], **dots(len(events)), color=colour, label=name
        )
    axes.set_ylabel(label)


def draw_image(axes: Any, events: Events, height: int, width: int) -> None:
    """Draw where events were; full colour is twice the mean of the pixels that had any."""
    axes.imshow(mixed(*strengths(events, height, width)), interpolation="nearest")
    bare(axes)


def strengths(events: Events, height: int, width: int) -> tuple[Any, Any]:
    """Return the strength of ON and of OFF at each pixel, 0 to 1."""
    counts = np.zeros((2, height, width))
    np.add.at(counts, (events["on"].astype(np.int64), events["y"], events["x"]), 1)
    active = counts[counts > 0]
    full = max(1.0, 2 * float(active.mean())) if active.size else 1.0
    off, on = np.minimum(1, counts / full)
    return on, off


def _draw_rates(axes: Any, events: Events, start_ms: float, end_ms: float) -> None:
    borders = np.linspace(start_ms, end_ms, BINS + 1)
    for on, colour in ((True, LIGHT.on), (False, LIGHT.off)):
        counts, _ = np.histogram(_ms(events)[events["on"] == on], borders)
        axes.stairs(counts / (borders[1] - borders[0]), borders, color=colour)
    axes.set(ylabel="events/ms", xlabel="time since the first event (ms)", ylim=(0, None))
    axes.set_xlim(start_ms, end_ms)


def _ms(events: Events) -> Any:
    """Return times since the first event."""
    return (events["t"] - events["t"][:1]) / 1000


def _span_ms(events: Events) -> tuple[float, float]:
    return 0.0, max(float(_ms(events)[-1]) if len(events) else 0.0, 1e-3)
