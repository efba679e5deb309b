"""A simulated event camera: what the pixels see over time -> recordings of events.

In: `CameraSettings`, and for each recording and pixel the logarithm L of the brightness, once a
millisecond. Out: `CameraRecordings`, cached on disk. `digits.py` and `gestures.py` draw what it
sees.

A pixel sends an event when L has left the level that it remembers by a contrast threshold, as in
Lichtsteiner, Posch and Delbruck, "A 128 x 128 120 dB 15 us latency asynchronous temporal contrast
vision sensor", IEEE J. Solid-State Circuits 43(2) (2008):

    ON when L >= level + threshold_on,  OFF when L <= level - threshold_off

After an event the pixel is blind for `refractory_us` and then remembers the L that it sees.

Everything after the settings is integer arithmetic, random numbers included, so that a seed gives
the same events on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from eventsim.events.arrays import EVENT_DTYPE, Events, Sensor
from eventsim.jit import Int64s, allocating_kernel, rule

from ..progress import progress_bar
from .cache import Arrays, cached_arrays

# Part of the cache's key: raise it whenever the same settings come to give other events.
CAMERA_VERSION = 1

Words = NDArray[np.uint64]
Scene = TypeVar("Scene")

# L and thresholds in 1/65536; L once in this time, linear between.
LOG_ONE = 65536
STEP_US = 1000

# An event as a word that sorts by time: microseconds, then 20 bits (y * width + x) * 2 + on.
CELL_BITS = 20


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """Times in microseconds, thresholds in e-folds of brightness.

    Raises `ValueError` for a setting outside its range.
    """

    seed: int = 0
    duration_us: int
    threshold_on: float
    threshold_off: float
    mismatch: float = 0.25  # standard deviation of a pixel's threshold, as a share of the threshold
    refractory_us: int = 1_700
    jitter_us: int = 1_000  # an event is late by 0 to this, uniformly
    noise_on_hz: float  # events a second and pixel with no cause in the scene
    noise_off_hz: float

    def __post_init__(self) -> None:
        """Refuse settings that no camera can have."""
        self._check_ranges(
            {
                "seed": (0, 2**63 - 1),
                "duration_us": (STEP_US, 60_000_000),
                "threshold_on": (0.01, 10),
                "threshold_off": (0.01, 10),
                "mismatch": (0, 1),
                "refractory_us": (STEP_US, 1_000_000),
                "jitter_us": (0, 20_000),
                "noise_on_hz": (0, 5),
                "noise_off_hz": (0, 5),
            }
        )

    def _check_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(
                    f"{type(self).__name__}: {name} is {value}, expected {low} to {high}"
                )


@dataclass(frozen=True, eq=False)
class CameraRecordings:
    """Labelled recordings: the events of i are `times` and `cells`[offsets[i]:offsets[i + 1]]."""

    key: str  # of everything that decides the events
    sensor: Sensor
    times: NDArray[np.uint32]  # (events,): microseconds, ascending within a recording
    cells: NDArray[np.uint16]  # (events,): (y * width + x) * 2 + on
    offsets: Int64s  # (recordings + 1,)
    labels: Int64s  # (recordings,)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.labels)

    def events(self, index: int) -> Events:
        """Return the events of one recording, `EVENT_DTYPE`, t from 0 us."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        pixel = self.cells[part] >> 1
        events = np.empty(len(pixel), EVENT_DTYPE)
        events["t"] = self.times[part]
        events["x"] = pixel % self.sensor.width
        events["y"] = pixel // self.sensor.width
        events["on"] = self.cells[part] & 1
        return events


def cached_recordings(
    name: str, key: str, sensor: Sensor, labels: Int64s, make: Callable[[], Arrays]
) -> CameraRecordings:
    """Return recordings with these labels from the cache folder, or make them and leave them there.

    `make` returns what `Camera.arrays` does; `key` says everything that decides the events.
    """

    def is_sound(arrays: Arrays) -> bool:
        times, cells, offsets = arrays["times"], arrays["cells"], arrays["offsets"]
        return bool(
            times.dtype == np.uint32
            and cells.dtype == np.uint16
            and offsets.dtype == np.int64
            and offsets.shape == (len(labels) + 1,)
            and offsets[0] == 0
            and times.shape == cells.shape == (offsets[-1],)
            and (np.diff(offsets) >= 0).all()
            and (cells < 2 * sensor.width * sensor.height).all()
        )

    key = f"{name} camera {CAMERA_VERSION} {key}"
    arrays = cached_arrays(name, key, make, is_sound)
    return CameraRecordings(key, sensor, **arrays, labels=labels)


class Pixels(NamedTuple):
    """What the kernels know of the pixels: see `Camera`."""

    thresholds: Int64s  # (height * width, 2): OFF and ON
    refractory_us: int
    jitter_us: int
    stream: Words
    words: Words  # the events of one recording, as yet unsorted


class Camera:
    """Takes one recording after another, with the same pixels and one stream of random numbers."""

    def __init__(self, settings: CameraSettings, sensor: Sensor) -> None:
        """Draw the thresholds of the pixels."""
        self.random = Random(settings.seed)
        self._sensor = sensor
        self._steps = settings.duration_us // STEP_US
        thresholds = (settings.threshold_off, settings.threshold_on)
        means = np.array([round(threshold * LOG_ONE) for threshold in thresholds], np.int64)
        self.pixels = Pixels(
            _mismatched(
                means,
                round(settings.mismatch * LOG_ONE),
                sensor.height * sensor.width,
                self.random.stream,
            ),
            settings.refractory_us,
            settings.jitter_us,
            self.random.stream,
            # An event a pixel and step, and two of noise a row; what is not used takes no memory.
            np.empty(self._steps * sensor.height * (sensor.width + 2), np.uint64),
        )
        # A chance in 2^32 a row of pixels and step.
        per_row = sensor.width * STEP_US * 1e-6 * 2**32
        rates = (settings.noise_off_hz, settings.noise_on_hz)
        self._chances = np.array([round(rate * per_row) for rate in rates], np.int64)
        self._taken: list[Words] = []

    def finish(self, count: int, noise: int = LOG_ONE) -> None:
        """End a recording whose first `count` words are written; `noise` scales its rates."""
        chances = self._chances * noise // LOG_ONE
        sensor, pixels = self._sensor, self.pixels
        count = _add_noise(chances, self._steps, sensor.height, sensor.width, pixels, count)
        self._taken.append(np.sort(pixels.words[:count]))

    def arrays(self) -> Arrays:
        """Return times, cells and offsets of all recordings, as `CameraRecordings` has them."""
        words = np.concatenate(self._taken)
        offsets = np.zeros(len(self._taken) + 1, np.int64)
        offsets[1:] = np.cumsum([len(part) for part in self._taken])
        return {
            "times": (words >> np.uint64(CELL_BITS)).astype(np.uint32),
            "cells": (words & np.uint64(2**CELL_BITS - 1)).astype(np.uint16),
            "offsets": offsets,
        }


def with_progress(scenes: Iterable[Scene], sentence: str) -> Iterator[Scene]:
    """Go through what the camera is shown, and show how far it is."""
    total = len(scenes) if isinstance(scenes, Sized) else None
    with progress_bar(sentence, total) as advance:
        for scene in scenes:
            yield scene
            advance(1)


class Random:
    """A stream of random numbers, from which kernels draw as well."""

    def __init__(self, seed: int) -> None:
        """Begin the stream of a seed."""
        self.stream: Words = np.array([seed], np.uint64)

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(random_below(high - low + 1, self.stream))


@rule
def random_word(stream: Words) -> np.uint64:
    """Advance the stream and return 64 random bits (SplitMix64: Steele, Lea and Flood 2014)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    word: np.uint64 = stream[0]
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@rule
def random_below(bound: int, stream: Words) -> np.int64:
    """Return a random number from 0 to bound - 1, bound up to 2^32."""
    return np.int64(((random_word(stream) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@allocating_kernel
def _mismatched(means: Int64s, deviation: int, pixels: int, stream: Words) -> Int64s:
    """Return each pixel's thresholds, (pixels, 2), normal around the means.

    The sum of twelve uniform numbers stands for a normal one; no threshold below a quarter.
    """
    thresholds = np.empty((pixels, 2), np.int64)
    for pixel in range(pixels):
        for on in range(2):
            normal = -6 * LOG_ONE
            for _ in range(12):
                normal += random_below(LOG_ONE, stream)
            share = LOG_ONE + (normal * deviation) // LOG_ONE
            thresholds[pixel, on] = max(share, LOG_ONE // 4) * means[on] // LOG_ONE
    return thresholds


@allocating_kernel
def watch_pixel(levels: Int64s, pixel: int, pixels: Any, count: int) -> int:
    """Write the events of one pixel that sees L = `levels`, (steps + 1,); return the new count."""
    before = level = levels[0]
    blind, blind_until = False, 0
    for step in range(1, len(levels)):
        after = levels[step]
        # Most pixels of most scenes are still most of the time.
        if after == before:
            continue
        change = after - before
        begins = (step - 1) * STEP_US
        if blind_until < begins + STEP_US:
            if blind:
                level = before + change * max(blind_until - begins, 0) // STEP_US
                blind = False
            on = change > 0
            thresholds = pixels.thresholds[pixel]
            target = level + thresholds[1] if on else level - thresholds[0]
            if (on and after >= target) or (not on and after <= target):
                time = max(begins + (target - before) * STEP_US // change, blind_until)
                blind, blind_until = True, time + pixels.refractory_us
                late = random_below(pixels.jitter_us + 1, pixels.stream)
                pixels.words[count] = ((time + late) << CELL_BITS) | (2 * pixel + on)
                count += 1
        before = after
    return count


@allocating_kernel
def _add_noise(
    chances: Int64s, steps: int, height: int, width: int, pixels: Any, count: int
) -> int:
    """Add ON and OFF events with no cause in the scene; return the new number of events."""
    stream = pixels.stream
    for step in range(steps):
        for row in range(height):
            for on in range(2):
                if random_below(2**32, stream) < chances[on]:
                    pixel = row * width + random_below(width, stream)
                    time = step * STEP_US + random_below(STEP_US, stream)
                    pixels.words[count] = (time << CELL_BITS) | (2 * pixel + on)
                    count += 1
    return count
