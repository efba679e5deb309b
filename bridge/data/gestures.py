"""The embedded gestures: a moving figure seen by a simulated event camera, in kind as DVS Gesture.

In: `GesturesSettings`. Out: `CameraRecordings`, two seconds of each gesture, cached on disk.
`datasets.py` calls it for the data set "gestures"; docs/gestures.md shows them and sets their
statistics beside those of real DVS Gesture recordings.

The classes are those of Amir et al., "A low power, fully event-based gesture recognition system",
CVPR 2017. A figure of thick lines (torso, head, upper arms, forearms, hands) stands before the
camera (`camera.py`). Every joint follows a periodic motion (`choreography.py`):

    value(t) = centre + turns * phase + swing * sin(phase + lag) + a smaller, slower swing

with a phase that runs at a speed that wanders. L, the logarithm of the brightness, is that of the
front most part at a pixel, blurred at the edges. Users differ in build, place, clothes and habits,
and their recordings in light, speed, phase and swing.

Everything after the settings is integer arithmetic, random numbers included, so that a seed gives
the same events on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    Random,
    cached_recordings,
    watch_pixel,
    with_progress,
)
from .choreography import CLASS_NAMES, TURN, habits, perform

SIZE = 128
SENSOR = Sensor(SIZE, SIZE)

# Part of the cache's key: raise it whenever the same settings come to give other events.
FIGURE_VERSION = 1

# Fixed point: lengths in 1/256 of a pixel.
PIXEL = 256
EDGE = 200  # half the width of a blurred edge
OPAQUE = 4096

# Parts of the figure, each drawn over the ones before; right before left.
TORSO, HEAD, UPPER, FORE, HAND = 0, 1, 2, 4, 6
PARTS = 8

# Within a block of so many steps a part is looked for in the box that it sweeps.
BLOCK = 32


@dataclass(frozen=True, kw_only=True)
class GesturesSettings(CameraSettings):
    """How many recordings, and the camera. Raises `ValueError` for a setting outside its range."""

    duration_us: int = 2_000_000
    training_users: int = 24
    test_users: int = 6
    takes: int = 2  # recordings of each gesture by each user
    threshold_on: float = 0.13
    threshold_off: float = 0.13
    noise_on_hz: float = 0.2  # in the darkest light; in the brightest a tenth
    noise_off_hz: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings that no camera can have."""
        super().__post_init__()
        self._check_ranges({"training_users": (1, 1000), "test_users": (1, 1000), "takes": (1, 99)})

    def per_user(self) -> int:
        """Return the number of recordings of a user."""
        return len(CLASS_NAMES) * self.takes


class Body(NamedTuple):
    """Lengths of a figure, in 1/256 of a pixel."""

    x: int  # of the middle between the shoulders
    y: int
    shoulder: int  # from the middle to a shoulder
    upper: int  # length of an upper arm
    fore: int
    neck: int  # from the middle to that of the head
    torso: int  # length


@dataclass(frozen=True)
class User:
    """One person: build, place, clothes and habits."""

    body: Body
    radii: Int64s  # (PARTS,): half the thickness of each part, in 1/256 of a pixel
    shades: Int64s  # (PARTS,): L of each part against that of the ground, in 1/65536
    habits: Int64s  # see `choreography.habits`


def make_gestures(settings: GesturesSettings | None = None) -> CameraRecordings:
    """Return the recordings, user after user, of each the classes in order, of each the takes.

    They are read from the cache folder (environment variable EVENTSIM_CACHE, else the user's) when
    it has a sound file for exactly these settings, else made in a minute and left there.
    """
    settings = settings or GesturesSettings()
    users = settings.training_users + settings.test_users
    labels = np.tile(np.repeat(np.arange(len(CLASS_NAMES)), settings.takes), users)
    key = f"figure {FIGURE_VERSION} {settings!r}"
    return cached_recordings("gestures", key, SENSOR, labels, lambda: _record_all(settings))


def _record_all(settings: GesturesSettings) -> Arrays:
    camera = Camera(settings, SENSOR)
    sine = np.array([round(math.sin(2 * math.pi * i / TURN) * TURN) for i in range(TURN)], np.int64)
    steps = settings.duration_us // STEP_US
    users = range(settings.training_users + settings.test_users)
    for _ in with_progress(users, "Showing the gestures to the simulated camera"):
        user = _user(camera.random)
        for label in range(len(CLASS_NAMES)):
            for _ in range(settings.takes):
                _record(user, label, steps, sine, camera)
    return camera.arrays()


def _user(random: Random) -> User:
    def length(low: int, high: int) -> int:
        """Return a length between two in tenths of a pixel, of a person of this size."""
        return random.between(low, high) * size * PIXEL // 1000

    def shade(low: int, high: int) -> int:
        """Return a shade between two in percent of an e-fold, lighter or darker than the ground."""
        return (1 - 2 * random.between(0, 1)) * random.between(low, high) * LOG_ONE // 100

    size = random.between(85, 115)  # percent
    body = Body(
        x=random.between(56, 72) * PIXEL,
        y=random.between(46, 58) * PIXEL,
        shoulder=length(140, 170),
        upper=length(190, 230),
        fore=length(180, 210),
        neck=length(190, 220),
        torso=length(450, 600),
    )
    arm, hand = length(35, 50), length(45, 58)
    radii = [length(120, 150), length(80, 95), arm, arm, arm * 9 // 10, arm * 9 // 10, hand, hand]
    skin, shirt = shade(45, 120), shade(40, 140)
    seam = random.between(20, 45) * LOG_ONE // 100  # a sleeve stands out a little from the shirt
    sleeve = shirt - seam if shirt > 0 else shirt + seam
    fore = sleeve if random.between(0, 1) else skin
    shades = [shirt, skin, sleeve, sleeve, fore, fore, skin, skin]
    return User(body, np.array(radii, np.int64), np.array(shades, np.int64), habits(random))


def _record(user: User, label: int, steps: int, sine: Int64s, camera: Camera) -> None:
    """Let the camera take one gesture."""
    random = camera.random
    motion = perform(label, user.habits[label], random)
    body = user.body._replace(
        x=user.body.x + random.between(-3 * PIXEL, 3 * PIXEL),
        y=user.body.y + random.between(-2 * PIXEL, 2 * PIXEL),
    )
    # Swaying in x and y: how far, phase a millisecond in 1/256, phase at the beginning.
    sway = np.empty((2, 3), np.int64)
    for row in sway:
        row[0] = random.between(0, PIXEL)
        row[1] = TURN * 256 // random.between(1500, 4000)
        row[2] = random.between(0, TURN - 1)
    contrast = random.between(60, 100)
    slope = np.array([random.between(-LOG_ONE, LOG_ONE) // (4 * SIZE) for _ in range(2)], np.int64)
    noise = random.between(LOG_ONE // 10, LOG_ONE)
    parts = _pose(motion, body, sway, sine, steps)
    shades = user.shades * contrast // 100
    camera.finish(_show(parts, user.radii, shades, slope, camera.pixels), noise)


@rule
def _value(joint: Int64s, phase: int, sine: Int64s) -> int:
    """Return centre + turns * phase and the two swings, in 1/65536."""
    value: int = joint[0] + joint[1] * phase
    for first in (2, 5):
        angle = (joint[first + 1] * phase >> 8) + joint[first + 2]
        value += joint[first] * sine[angle & (TURN - 1)] >> 16
    return value


@allocating_kernel
def _pose(motion: Any, body: Any, sway: Int64s, sine: Int64s, steps: int) -> NDArray[np.int64]:
    """Return where the parts are at each step, (PARTS, 5, steps + 1).

    Of each its beginning x, y and length in 1/256 of a pixel, and the direction in 1/65536.
    """
    parts = np.zeros((PARTS, 5, steps + 1), np.int64)
    parts[:, 4] = TURN
    for step in range(steps + 1):
        phase = motion.start + (motion.speed * step >> 8)
        phase += motion.wander * sine[(motion.wander_speed * step >> 8) & (TURN - 1)] >> 16
        x = body.x + (sway[0, 0] * sine[((sway[0, 1] * step >> 8) + sway[0, 2]) & (TURN - 1)] >> 16)
        y = body.y + (sway[1, 0] * sine[((sway[1, 1] * step >> 8) + sway[1, 2]) & (TURN - 1)] >> 16)
        # The torso begins lower than the shoulders, which its round end would otherwise hide.
        parts[TORSO, 0, step], parts[TORSO, 1, step] = x, y + body.shoulder // 2
        parts[TORSO, 2, step] = body.torso
        parts[HEAD, 0, step], parts[HEAD, 1, step] = x, y - body.neck
        for left in range(2):
            side = 2 * left - 1
            limb_x, limb_y, length = x + side * body.shoulder, y, body.upper
            for part in (UPPER + left, FORE + left):
                joint = 3 * left + (part >= FORE)
                angle = _value(motion.joints[joint], phase, sine)
                along = side * sine[angle & (TURN - 1)]
                down = sine[(angle + TURN // 4) & (TURN - 1)]
                if part >= FORE:
                    length = body.fore * _value(motion.joints[3 * left + 2], phase, sine) >> 16
                parts[part, 0, step], parts[part, 1, step] = limb_x, limb_y
                parts[part, 2, step], parts[part, 3, step], parts[part, 4, step] = (
                    length,
                    along,
                    down,
                )
                limb_x += length * along >> 16
                limb_y += length * down >> 16
            parts[HAND + left, 0, step], parts[HAND + left, 1, step] = limb_x, limb_y
    return parts


@allocating_kernel
def _boxes(parts: NDArray[np.int64], radii: Int64s) -> NDArray[np.int64]:
    """Return what each part sweeps in each block, (blocks, PARTS, 4): x and y, least and most."""
    steps = parts.shape[2]
    boxes = np.empty(((steps + BLOCK - 1) // BLOCK, PARTS, 4), np.int64)
    for block in range(len(boxes)):
        for part in range(PARTS):
            reach = radii[part] + EDGE
            for axis in range(2):
                stretch = parts[part, :, block * BLOCK : (block + 1) * BLOCK]
                begin = stretch[axis]
                end = begin + (stretch[2] * stretch[3 + axis] >> 16)
                boxes[block, part, 2 * axis] = min(begin.min(), end.min()) - reach
                boxes[block, part, 2 * axis + 1] = max(begin.max(), end.max()) + reach
    return boxes


@allocating_kernel
def _paint(
    levels: Int64s,
    at_x: int,
    at_y: int,
    part: NDArray[np.int64],
    inner: int,
    outer: int,
    shade: int,
) -> None:
    """Paint a part over what a pixel sees in a stretch of steps; `part` is (5, steps).

    From the distance of the pixel to the part's middle line: the shade within the inner radius,
    nothing outside the outer one, a mixture between them, linear in the square of the distance.
    Both radii are squared.
    """
    for step in range(len(levels)):
        x, y = at_x - part[0, step], at_y - part[1, step]
        along, down = part[3, step], part[4, step]
        place = min(max((x * along + y * down) >> 16, 0), part[2, step])
        x -= place * along >> 16
        y -= place * down >> 16
        square = x * x + y * y
        if square <= inner:
            levels[step] = shade
        elif square < outer:
            cover = (outer - square) * OPAQUE // (outer - inner)
            levels[step] += (shade - levels[step]) * cover // OPAQUE


@allocating_kernel
def _show(
    parts: NDArray[np.int64], radii: Int64s, shades: Int64s, slope: Int64s, pixels: Any
) -> int:
    """Write the events of the moving figure, pixel after pixel; return how many."""
    count = 0
    boxes = _boxes(parts, radii)
    inner, outer = np.maximum(radii - EDGE, 0) ** 2, (radii + EDGE) ** 2
    levels = np.empty(parts.shape[2], np.int64)
    for pixel in range(SIZE * SIZE):
        x, y = pixel % SIZE, pixel // SIZE
        levels[:] = slope[0] * (x - SIZE // 2) + slope[1] * (y - SIZE // 2)
        x, y = x * PIXEL, y * PIXEL
        seen = False
        for block in range(len(boxes)):
            begin, end = block * BLOCK, (block + 1) * BLOCK
            for part in range(PARTS):
                left, right, top, bottom = boxes[block, part]
                if left <= x <= right and top <= y <= bottom:
                    seen = True
                    where = parts[part, :, begin:end]
                    _paint(levels[begin:end], x, y, where, inner[part], outer[part], shades[part])
        if seen:
            count = watch_pixel(levels, pixel, pixels, count)
    return count
