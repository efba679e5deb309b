"""Filters between a sensor and a network: packets of events -> the events that pass, each counted.

In: packets from a source of live events. Out: packets for the engine. An event goes through the
region of interest, downscaling, merged polarities, the refractory time of its pixel and the
background-activity filter, in this order; docs/sources.md defines each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import is_whole
from ..errors import EventsimError
from ..events.arrays import EVENT_DTYPE, Events, Sensor, as_events
from ..jit import Compiled, compiled_for, inner_kernel, kernel

MOST_PIXELS = 65536  # in a row or column: coordinates are u2
MOST_US = 2**63 - 1  # of a window
MOST_TIME = 2**62  # of a clock; sessions refuse later ones


@dataclass(frozen=True)
class FilterSettings:
    """What is filtered and how coordinates change; as it stands, nothing.

    region: x, y, width, height of the region of interest, in pixels of the sensor; what is outside
    is filtered, and coordinates then count from its corner. downscale: x and y are divided by it,
    rounded down. merge_polarities: all events become ON. refractory_us: a pixel (after cropping and
    downscaling, both polarities together) that sent an event is blind for so long. background_us:
    an event passes only if one of the 8 neighbours of its pixel sent one within so long before it
    (Delbruck, "Frame-free dynamic digital vision", 2008). Both in microseconds, and off at 0.

    Raises `EventsimError` for values that none of them can have.
    """

    region: tuple[int, int, int, int] | None = None
    downscale: int = 1
    merge_polarities: bool = False
    refractory_us: int = 0
    background_us: int = 0

    def __post_init__(self) -> None:
        """Refuse what fits no sensor."""
        if self.region is not None:
            object.__setattr__(self, "region", _checked_region(self.region))
        if type(self.merge_polarities) is not bool:
            raise EventsimError(
                f"merge_polarities is {self.merge_polarities!r}, expected True or False"
            )
        for name, least, most in (
            ("downscale", 1, MOST_PIXELS),
            ("refractory_us", 0, MOST_US),
            ("background_us", 0, MOST_US),
        ):
            value = getattr(self, name)
            if not is_whole(value, least, most):
                raise EventsimError(
                    f"{name} is {value!r}, expected a whole number {least} to {most}"
                )


def _checked_region(region: Any) -> tuple[int, int, int, int]:
    values = tuple(region) if isinstance(region, Iterable) else ()
    if len(values) != 4 or not all(
        is_whole(value, least, MOST_PIXELS)
        for value, least in zip(values, (0, 0, 1, 1), strict=True)
    ):
        raise EventsimError(
            f"region is {region!r}, expected four whole numbers x, y, width, height, "
            f"the last two 1 or more"
        )
    x, y, width, height = map(int, values)
    return x, y, width, height


class _Plan(NamedTuple):
    """The settings as the kernel has them."""

    x: int
    y: int
    width: int
    height: int
    downscale: int
    merge_polarities: bool
    refractory_us: int
    background_us: int
    stride: int  # pixels from a row of `last` to the next


class Filters:
    """The filters of one stream; their state lives between packets.

    sensor: what comes out, with one polarity if they are merged. A row or column of pixels that
    `downscale` does not divide evenly keeps its rest, as one narrower pixel. counters: events
    filtered as "outside" (of the region, the sensor, or the 2^62 us that a clock can have),
    "refractory" and "background", and those "passed"; together as many as came in.

    Raises `EventsimError` for a region that is not inside the sensor.
    """

    def __init__(self, settings: FilterSettings, sensor: Sensor) -> None:
        """Allocate the state: no pixel has sent an event."""
        x, y, width, height = settings.region or (0, 0, sensor.width, sensor.height)
        if x + width > sensor.width or y + height > sensor.height:
            raise EventsimError(
                f"region is {settings.region}, expected x, y, width, height inside the "
                f"{sensor.width} x {sensor.height} sensor"
            )
        self.sensor = Sensor(
            -(-width // settings.downscale),
            -(-height // settings.downscale),
            1 if settings.merge_polarities else sensor.polarities,
        )
        self.counters = {"outside": 0, "refractory": 0, "background": 0, "passed": 0}
        stride = self.sensor.width + 2  # a border of silent pixels, so that each has 8 neighbours
        has_state = settings.refractory_us > 0 or settings.background_us > 0
        self._last = np.zeros(stride * (self.sensor.height + 2) if has_state else 0, np.uint64)
        self._plan = _Plan(
            x, y, width, height, int(settings.downscale), settings.merge_polarities,
            int(settings.refractory_us), int(settings.background_us), stride,
        )  # fmt: skip
        self._filter = _compiled_filter()  # here, so that no packet waits for the compiler

    def __call__(self, events: Events) -> Events:
        """Return the events of a packet that pass, in their order, in an array of their own.

        How a stream is cut into packets changes nothing. Nothing is assumed of coordinates and
        times. Raises `RecordingError`, with nothing done, for anything but a 1-D array of
        `EVENT_DTYPE`.
        """
        array = as_events(events)
        passing = np.empty(len(array), EVENT_DTYPE)
        outside, refractory, background = self._filter(array, passing, self._last, self._plan)
        passed = len(array) - outside - refractory - background
        for name, number in zip(
            self.counters, (outside, refractory, background, passed), strict=True
        ):
            self.counters[name] += number
        # The rest is given back, as a queue may hold a few events of many packets. A copy of 2340
        # out of 4000 took 17 microseconds, the whole call without it 24.
        passing.resize(passed, refcheck=False)
        return passing


@cache
def _compiled_filter() -> Compiled:
    """Return the kernel for contiguous arrays, those that can only be read among them."""
    events, last = np.empty(1, EVENT_DTYPE), np.empty(1, np.uint64)
    return compiled_for(_filter, events, events, last, _Plan(0, 0, 1, 1, 1, False, 0, 0, 3))


@kernel
def _filter(
    events: Events, passing: Events, last: NDArray[np.uint64], plan: _Plan
) -> tuple[int, int, int]:
    """Write the events that pass to the beginning of `passing`, and count the others by filter.

    `last` has, for each pixel of the sensor that comes out and its border, the time of the last
    event that its refractory time let through, plus 1; 0 if there was none.
    """
    outside = refractory = background = kept = 0
    blind, recent = np.uint64(plan.refractory_us), np.uint64(plan.background_us)
    for i in range(len(events)):
        x, y = np.int64(events[i].x) - plan.x, np.int64(events[i].y) - plan.y
        on_sensor = 0 <= x < plan.width and 0 <= y < plan.height
        if not on_sensor or events[i].t >= np.uint64(MOST_TIME):
            outside += 1
            continue
        x, y = x // plan.downscale, y // plan.downscale
        if len(last) > 0:
            now = events[i].t + np.uint64(1)
            pixel = (y + 1) * plan.stride + x + 1
            if _is_within(last[pixel], now, blind):
                refractory += 1
                continue
            last[pixel] = now
            if recent > 0 and not _has_support(last, pixel, plan.stride, now, recent):
                background += 1
                continue
        passing[kept].t = events[i].t
        passing[kept].x = x
        passing[kept].y = y
        passing[kept].on = events[i].on or plan.merge_polarities
        kept += 1
    return outside, refractory, background


@inner_kernel
def _has_support(
    last: NDArray[np.uint64], pixel: int, stride: int, now: np.uint64, recent: np.uint64
) -> bool:
    """Tell whether one of the 8 neighbours sent an event recently."""
    for row in range(pixel - stride, pixel + stride + 1, stride):
        for other in range(row - 1, row + 2):
            if other != pixel and _is_within(last[other], now, recent):
                return True
    return False


@inner_kernel
def _is_within(before: np.uint64, now: np.uint64, window: np.uint64) -> bool:
    """Tell whether less than `window` has gone by; nothing has where time runs backwards."""
    elapsed = now - before if now > before else np.uint64(0)
    return bool(before != 0 and elapsed < window)
