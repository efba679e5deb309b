"""The embedded data set: scikit-learn's handwritten digits seen by a simulated N-MNIST camera.

In: the 1797 images of 8 x 8 pixels that come with scikit-learn, and `DigitsSettings`.
Out: `CameraRecordings`, one array of events an image, made in seconds and cached on disk.
`datasets.py` calls it for the data set "digits"; docs/digits.md tells the statistics of the events
beside those of the real N-MNIST recordings.

The image is printed dark on a bright ground and moves over the 34 x 34 pixels of the camera
(`camera.py`) along a triangle, in three saccades, as in Orchard et al., "Converting static image
datasets to spiking neuromorphic datasets using saccades", Frontiers in Neuroscience 9:437 (2015).
The logarithm L of the brightness of a pixel:

    u, v = cell of the image under the pixel = (pixel - centre(t)) / pixels_per_cell
    ink  = bilinear interpolation of the image at (u, v), 0 to 1
    dark = clip((ink - ink_edge) / (1 - 2 ink_edge), 0, 1)
    L    = ln(1 - contrast * dark)
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventsim.events.arrays import Sensor
from eventsim.jit import Int64s, allocating_kernel, rule

from .cache import Arrays
from .camera import (
    LOG_ONE,
    STEP_US,
    Camera,
    CameraRecordings,
    CameraSettings,
    cached_recordings,
    watch_pixel,
    with_progress,
)

WIDTH = HEIGHT = 34
SENSOR = Sensor(WIDTH, HEIGHT)
CLASS_NAMES = tuple("0123456789")

# Fixed point: lengths in 1/4096 of an image cell, ink in 0 to 4096. At the peak of a saccade the
# image moves an eighth of a pixel in a step of the camera.
CELL = 4096
FULL_INK = 4096


@dataclass(frozen=True, kw_only=True)
class DigitsSettings(CameraSettings):
    """What the camera sees, and the camera; the defaults are tuned to the real N-MNIST recordings.

    Lengths are in camera pixels, times in microseconds, thresholds in e-folds of brightness.
    Raises `ValueError` for a setting outside its range.
    """

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
    noise_on_hz: float = 0.38
    noise_off_hz: float = 0.015

    def __post_init__(self) -> None:
        """Refuse settings that no camera can have."""
        super().__post_init__()
        self._check_ranges(
            {"pixels_per_cell": (0.1, 34), "contrast": (0, 0.999), "ink_edge": (0, 0.49)}
        )
        for number, (begin, duration, *_) in enumerate(self.saccades):
            if begin < 0 or duration < 1:
                raise ValueError(
                    f"DigitsSettings: saccade {number} starts at {begin} us and lasts {duration} "
                    f"us, expected a start of at least 0 and a duration of at least 1"
                )


def make_digits(settings: DigitsSettings | None = None) -> CameraRecordings:
    """Return scikit-learn's 1797 digits as recordings of the simulated camera, in their order.

    They are read from the cache folder (environment variable EVENTSIM_CACHE, else the user's) when
    it has a sound file for exactly these settings, else made in a few seconds and left there.
    """
    from sklearn.datasets import load_digits  # takes a second to import

    settings = settings or DigitsSettings()
    data = load_digits()
    images = data.images.astype(np.uint8)
    labels = data.target.astype(np.int64)
    key = f"{settings!r} {hashlib.sha256(images.tobytes()).hexdigest()}"
    return cached_recordings("digits", key, SENSOR, labels, lambda: _record_all(images, settings))


def _record_all(images: NDArray[np.uint8], settings: DigitsSettings) -> Arrays:
    scale = CELL / settings.pixels_per_cell
    path = _path(settings, scale)
    response = _response(settings)
    camera = Camera(settings, SENSOR)
    for image in with_progress(images, "Showing the digits to the simulated camera"):
        padded = np.pad(image.astype(np.int64), 1)
        camera.finish(_watch(padded, path, round(scale), response, camera.pixels))
    return camera.arrays()


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


@allocating_kernel
def _watch(
    image: NDArray[np.int64],
    path: NDArray[np.int64],
    pitch: int,
    response: Int64s,
    pixels: Any,
) -> int:
    """Write the events of the moving image, pixel after pixel; return how many."""
    count = 0
    levels = np.empty(len(path), np.int64)
    for pixel in range(HEIGHT * WIDTH):
        x = pixel % WIDTH * pitch
        y = pixel // WIDTH * pitch
        for step in range(len(path)):
            levels[step] = response[_ink(image, x - path[step, 0], y - path[step, 1])]
        count = watch_pixel(levels, pixel, pixels, count)
    return count
