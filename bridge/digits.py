"""The embedded data set: scikit-learn's handwritten digits seen by a simulated N-MNIST camera.

In: the 1797 images of 8 x 8 pixels that come with scikit-learn, and `DigitsSettings`.
Out: `DigitRecordings`, one array of events an image, made in seconds and cached on disk.
`datasets.py` calls it for the data set "digits"; docs/digits.md tells the statistics of the events
beside those of the real N-MNIST recordings.

The camera. The image is printed dark on a bright ground and moves over 34 x 34 pixels along a
triangle, in three saccades, as in Orchard et al., "Converting static image datasets to spiking
neuromorphic datasets using saccades", Frontiers in Neuroscience 9:437 (2015). A pixel follows the
logarithm L of its brightness and sends an event when L has left the level that it remembers by a
contrast threshold, as in Lichtsteiner, Posch and Delbruck, "A 128 x 128 120 dB 15 us latency
asynchronous temporal contrast vision sensor", IEEE J. Solid-State Circuits 43(2) (2008):

    u, v = cell of the image under the pixel = (pixel - centre(t)) / pixels_per_cell
    ink  = bilinear interpolation of the image at (u, v), 0 to 1
    dark = clip((ink - ink_edge) / (1 - 2 ink_edge), 0, 1)
    L    = ln(1 - contrast * dark)
    ON   when L >= level + threshold_on,  OFF when L <= level - threshold_off

After an event the pixel is blind for `refractory_us` and then remembers the L that it sees.

Everything after the settings is integer arithmetic, random numbers included, so that a seed gives
the same events on every machine.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from eventsim.events import EVENT_DTYPE, Events, Sensor
from eventsim.files import replacing
from eventsim.jit import Int64s, kernel, rule

WIDTH = HEIGHT = 34
SENSOR = Sensor(WIDTH, HEIGHT)
CLASS_NAMES = tuple("0123456789")

# Part of the cache's key: raise it whenever the same settings come to give other events.
CAMERA_VERSION = 1

Packed = NDArray[np.uint32]
Words = NDArray[np.uint64]

# Fixed point: lengths in 1/4096 of an image cell, ink in 0 to 4096, L and thresholds in 1/65536.
CELL = 4096
FULL_INK = 4096
LOG_ONE = 65536

# The brightness is evaluated once a millisecond, linear between; at the peak of a saccade the
# image moves an eighth of a pixel in that time.
STEP_US = 1000

# An event packed into 32 bits: time in us (20 bits), then the cell (y * 34 + x) * 2 + on.
CELL_BITS = 12


@dataclass(frozen=True)
class DigitsSettings:
    """The simulated camera; the defaults are tuned to the real N-MNIST recordings.

    Lengths are in camera pixels, times in microseconds, thresholds in e-folds of brightness.
    Raises `ValueError` for a setting outside its range.
    """

    seed: int = 0
    duration_us: int = 308_000
    pixels_per_cell: float = 2.5  # size of one of the 8 x 8 image pixels
    centre: tuple[float, float] = (14.0, 15.5)  # x, y of the image centre before the first saccade
    # One tuple a saccade: start and duration in us, displacement of the image in x and y.
    saccades: tuple[tuple[int, int, float, float], ...] = (
        (6_000, 86_000, 2.2, 5.2),
        (104_000, 86_000, 3.2, -5.2),
        (210_000, 88_000, -5.4, 0.0),
    )
    contrast: float = 0.9  # share of the light that full ink takes away
    ink_edge: float = 0.2  # ink below this share is paper, above one minus it full ink
    threshold_on: float = 0.235
    threshold_off: float = 0.205
    mismatch: float = 0.25  # standard deviation of a pixel's threshold, as a share of the threshold
    refractory_us: int = 1_700
    jitter_us: int = 1_000  # an event is late by 0 to this, uniformly
    noise_on_hz: float = 0.38  # events a second and pixel with no cause in the image
    noise_off_hz: float = 0.015

    def __post_init__(self) -> None:
        """Refuse settings that no camera can have."""
        ranges: dict[str, tuple[float, float]] = {
            "seed": (0, 2**63 - 1),
            "duration_us": (STEP_US, 1_000_000),
            "pixels_per_cell": (0.1, 34),
            "contrast": (0, 0.999),
            "ink_edge": (0, 0.49),
            "threshold_on": (0.01, 10),
            "threshold_off": (0.01, 10),
            "mismatch": (0, 1),
            "refractory_us": (STEP_US, 1_000_000),
            "jitter_us": (0, 20_000),
            "noise_on_hz": (0, 20),
            "noise_off_hz": (0, 20),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"digits: {name} is {value}, expected {low} to {high}")
        for number, (begin, duration, *_) in enumerate(self.saccades):
            if begin < 0 or duration < 1:
                raise ValueError(
                    f"digits: saccade {number} starts at {begin} us and lasts {duration} us, "
                    f"expected a start of at least 0 and a duration of at least 1"
                )


@dataclass(frozen=True, eq=False)
class DigitRecordings:
    """All simulated recordings, packed: recording i is `packed[offsets[i]:offsets[i + 1]]`."""

    packed: Packed  # (events,): t << 12 | (y * 34 + x) * 2 + on, ascending within a recording
    offsets: Int64s  # (recordings + 1,)
    labels: Int64s  # (recordings,): the digit

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.labels)

    def events(self, index: int) -> Events:
        """Return the events of one recording, `EVENT_DTYPE`, t from 0 us."""
        packed = self.packed[self.offsets[index] : self.offsets[index + 1]]
        pixel = (packed & (2**CELL_BITS - 1)) >> 1
        events = np.empty(len(packed), EVENT_DTYPE)
        events["t"] = packed >> CELL_BITS
        events["x"] = pixel % WIDTH
        events["y"] = pixel // WIDTH
        events["on"] = packed & 1
        return events


def make_digits(settings: DigitsSettings | None = None) -> DigitRecordings:
    """Return scikit-learn's 1797 digits as recordings of the simulated camera, in their order.

    They are read from the cache folder (environment variable EVENTSIM_CACHE, else the user's) when
    it has a sound file for exactly these settings, else made in a few seconds and left there.
    """
    from sklearn.datasets import load_digits  # takes a second to import

    settings = settings or DigitsSettings()
    data = load_digits()
    images = data.images.astype(np.uint8)
    labels = data.target.astype(np.int64)
    path = _cache_folder() / f"digits-{_cache_key(settings, images)}.npz"
    recordings = _read_cache(path, labels)
    if recordings is None:
        recordings = _record_all(images, labels, settings)
        _write_cache(path, recordings)
    return recordings


def _cache_folder() -> Path:
    import platformdirs

    return Path(os.environ.get("EVENTSIM_CACHE") or platformdirs.user_cache_dir("eventsim"))


def _cache_key(settings: DigitsSettings, images: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(f"{CAMERA_VERSION} {settings!r}".encode())
    digest.update(images.tobytes())
    return digest.hexdigest()[:16]


def _read_cache(path: Path, labels: Int64s) -> DigitRecordings | None:
    """Return the cached recordings, or None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:  # zip: a checksum guards every array
            packed, offsets = file["packed"], file["offsets"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    sound = (
        packed.dtype == np.uint32
        and offsets.dtype == np.int64
        and offsets.shape == (len(labels) + 1,)
        and offsets[0] == 0
        and offsets[-1] == len(packed)
        and (np.diff(offsets) >= 0).all()
    )
    return DigitRecordings(packed, offsets, labels) if sound else None


def _write_cache(path: Path, recordings: DigitRecordings) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez(file, packed=recordings.packed, offsets=recordings.offsets)
    except OSError as error:
        warnings.warn(
            f"{path}: the simulated digits could not be cached and will be made again next time "
            f"({error})",
            stacklevel=3,
        )


def _record_all(
    images: NDArray[np.uint8], labels: Int64s, settings: DigitsSettings
) -> DigitRecordings:
    scale = CELL / settings.pixels_per_cell
    path = _path(settings, scale)
    response = _response(settings)
    stream = np.array([settings.seed], np.uint64)
    thresholds = np.array(
        [round(settings.threshold_off * LOG_ONE), round(settings.threshold_on * LOG_ONE)], np.int64
    )
    thresholds = _mismatched(thresholds, round(settings.mismatch * LOG_ONE), stream)
    # A chance in 2^32 a row of pixels and step.
    rates = (settings.noise_off_hz, settings.noise_on_hz)
    per_row = WIDTH * STEP_US * 1e-6 * 2**32
    chances = np.array([round(rate * per_row) for rate in rates], np.int64)

    steps = len(path) - 1
    buffer = np.empty(steps * HEIGHT * (WIDTH + 2), np.uint32)
    parts = []
    for image in track(
        images,
        "Showing the digits to the simulated camera",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ):
        padded = np.pad(image.astype(np.int64), 1)
        count = _watch(
            padded, path, round(scale), response, thresholds,
            settings.refractory_us, settings.jitter_us, stream, buffer,
        )  # fmt: skip
        count = _add_noise(chances, steps, stream, buffer, count)
        parts.append(np.sort(buffer[:count]))
    offsets = np.zeros(len(parts) + 1, np.int64)
    offsets[1:] = np.cumsum([len(part) for part in parts])
    return DigitRecordings(np.concatenate(parts), offsets, labels)


def _path(settings: DigitsSettings, scale: float) -> Int64s:
    """Return the place of the image centre at every step, (steps + 1, 2), in 1/4096 of a cell.

    Within a saccade the displacement follows 10 p^3 - 15 p^4 + 6 p^5, p from 0 to 1, the smoothest
    way from rest to rest (minimum jerk: Flash and Hogan, J. Neuroscience 5(7), 1985).
    """
    steps = settings.duration_us // STEP_US
    path = np.empty((steps + 1, 2), np.int64)
    for axis in (0, 1):
        start = round(settings.centre[axis] * scale)
        for step in range(steps + 1):
            place = start
            for begin, duration, *displacement in settings.saccades:
                done = min(max(step * STEP_US - begin, 0), duration)
                part = 10 * done**3 * duration**2 - 15 * done**4 * duration + 6 * done**5
                place += round(displacement[axis] * scale) * part // duration**5
            path[step, axis] = place
    return path


def _response(settings: DigitsSettings) -> Int64s:
    """Return L for every amount of ink from 0 to FULL_INK, in 1/65536."""
    edge = settings.ink_edge
    table = []
    for ink in range(FULL_INK + 1):
        dark = min(max((ink / FULL_INK - edge) / (1 - 2 * edge), 0.0), 1.0)
        table.append(round(math.log(1 - settings.contrast * dark) * LOG_ONE))
    return np.array(table, np.int64)


@rule
def _random_word(stream: Words) -> np.uint64:
    """Advance the stream and return 64 random bits (SplitMix64: Steele, Lea and Flood 2014)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    word: np.uint64 = stream[0]
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@rule
def _random_below(bound: int, stream: Words) -> np.int64:
    """Return a random number from 0 to bound - 1, bound up to 2^32."""
    return np.int64(((_random_word(stream) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@kernel
def _mismatched(means: Int64s, deviation: int, stream: Words) -> Int64s:
    """Return each pixel's thresholds, (height * width, 2), normal around the means.

    The sum of twelve uniform numbers stands for a normal one; no threshold below a quarter.
    """
    thresholds = np.empty((HEIGHT * WIDTH, 2), np.int64)
    for pixel in range(len(thresholds)):
        for on in range(2):
            normal = -6 * LOG_ONE
            for _ in range(12):
                normal += _random_below(LOG_ONE, stream)
            share = LOG_ONE + (normal * deviation) // LOG_ONE
            thresholds[pixel, on] = max(share, LOG_ONE // 4) * means[on] // LOG_ONE
    return thresholds


@rule
def _ink(image: NDArray[np.int64], u: int, v: int) -> int:
    """Return the ink at (u, v), 1/4096 of a cell from the image centre, 0 to FULL_INK."""
    # Cell centres lie at half cells; the padding shifts by one more.
    u += 4 * CELL + CELL // 2
    v += 4 * CELL + CELL // 2
    if u < 0 or v < 0 or u >= 9 * CELL or v >= 9 * CELL:
        return 0
    i = v // CELL
    j = u // CELL
    right = u % CELL
    down = v % CELL
    upper: int = image[i, j] * (CELL - right) + image[i, j + 1] * right
    lower: int = image[i + 1, j] * (CELL - right) + image[i + 1, j + 1] * right
    return (upper * (CELL - down) + lower * down) // (16 * CELL * CELL // FULL_INK)


@kernel
def _watch(
    image: NDArray[np.int64],
    path: NDArray[np.int64],
    pitch: int,
    response: Int64s,
    thresholds: NDArray[np.int64],
    refractory_us: int,
    jitter_us: int,
    stream: Words,
    packed: Packed,
) -> int:
    """Write the events of the moving image, pixel after pixel; return how many."""
    count = 0
    for pixel in range(len(thresholds)):
        x = pixel % WIDTH * pitch
        y = pixel // WIDTH * pitch
        before = response[_ink(image, x - path[0, 0], y - path[0, 1])]
        level = before
        blind_until = 0
        for step in range(1, len(path)):
            after = response[_ink(image, x - path[step, 0], y - path[step, 1])]
            change = after - before
            begins = (step - 1) * STEP_US
            if begins <= blind_until < begins + STEP_US:
                level = before + change * (blind_until - begins) // STEP_US
            if change != 0 and blind_until < begins + STEP_US:
                on = change > 0
                target = level + thresholds[pixel, 1] if on else level - thresholds[pixel, 0]
                if (on and after >= target) or (not on and after <= target):
                    time = max(begins + (target - before) * STEP_US // change, blind_until)
                    blind_until = time + refractory_us
                    late = _random_below(jitter_us + 1, stream)
                    packed[count] = ((time + late) << CELL_BITS) | (2 * pixel + on)
                    count += 1
            before = after
    return count


@kernel
def _add_noise(chances: Int64s, steps: int, stream: Words, packed: Packed, count: int) -> int:
    """Add ON and OFF events with no cause in the image; return the new number of events."""
    for step in range(steps):
        for row in range(HEIGHT):
            for on in range(2):
                if _random_below(2**32, stream) < chances[on]:
                    pixel = row * WIDTH + _random_below(WIDTH, stream)
                    time = step * STEP_US + _random_below(STEP_US, stream)
                    packed[count] = (time << CELL_BITS) | (2 * pixel + on)
                    count += 1
    return count
