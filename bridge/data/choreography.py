"""How the arms move in each of the gestures, and one performance of it by one user.

In: the number of a class and random numbers. Out: `Motion`, from which `gestures.py` draws the
figure. Numbers for people are in degrees and percent; those of a `Motion` are integers, angles in
1/65536 of a turn and shares in 1/65536.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eventsim.jit import Int64s

from .camera import Random

TURN = 65536  # also the whole of a share, and the largest value of the sine table


class Joint(NamedTuple):
    """A value over a period: centre + turns * phase + swing * sin(phase + lag)."""

    centre: int
    swing: int = 0
    lag: int = 0  # degrees
    turns: int = 0


class Arm(NamedTuple):
    """Angles in degrees from hanging down, outward positive, and the forearm's length in percent.

    A forearm that points towards the camera looks shorter.
    """

    upper: Joint
    fore: Joint
    length: Joint = Joint(100)


class Gesture(NamedTuple):
    """Both arms, the period, and whether the phase runs forwards (1) or backwards (-1)."""

    name: str
    right: Arm
    left: Arm
    period_ms: tuple[int, int]
    direction: int = 1
    irregular: tuple[int, int] = (10, 30)  # the second swing, in percent of the first


_REST = Arm(Joint(9, 1), Joint(4, 2, 60))
_CLAP = Arm(Joint(24, 5), Joint(-112, 26))
_WAVE = Arm(Joint(48, 6, 90), Joint(165, 32))
_CIRCLE = Arm(Joint(0, 0, 0, turns=1), Joint(12, 8, turns=1))
_ROLL = Arm(Joint(34, 9, 90), Joint(-98, 20), Joint(85, 15, 90))
_ROLL_BEHIND = Arm(Joint(34, 9, 270), Joint(-98, 20, 180), Joint(85, 15, 270))
_DRUM = Arm(Joint(26, 6), Joint(95, 40), Joint(80, 15))
_DRUM_OTHER = Arm(Joint(26, 6, 180), Joint(95, 40, 180), Joint(80, 15, 180))
_STRUM = Arm(Joint(24, 6), Joint(-55, 28))
_FRET = Arm(Joint(52, 4, 45), Joint(118, 7, 45), Joint(90, 8))

# In DVS Gesture's order. The user looks at the camera, so that the right arm is on the left of the
# image; clockwise is what the user sees, and in the image it is counter-clockwise. Circles that
# turn the other way are the same ones with the time reversed: over whole periods both leave as many
# events in the same pixels, in another order.
GESTURES = (
    Gesture("hand clapping", _CLAP, _CLAP, (400, 800)),
    Gesture("right hand wave", _WAVE, _REST, (500, 1000)),
    Gesture("left hand wave", _REST, _WAVE, (500, 1000)),
    Gesture("right arm clockwise", _CIRCLE, _REST, (800, 1500), -1),
    Gesture("right arm counter-clockwise", _CIRCLE, _REST, (800, 1500)),
    Gesture("left arm clockwise", _REST, _CIRCLE, (800, 1500)),
    Gesture("left arm counter-clockwise", _REST, _CIRCLE, (800, 1500), -1),
    Gesture("arm roll", _ROLL, _ROLL_BEHIND, (450, 900)),
    Gesture("air drums", _DRUM, _DRUM_OTHER, (400, 800)),
    Gesture("air guitar", _STRUM, _FRET, (350, 700)),
)
OTHER = "other gestures"
CLASS_NAMES = (*(gesture.name for gesture in GESTURES), OTHER)

JOINTS = 6  # upper arm, forearm and length of the right arm, then of the left


class Motion(NamedTuple):
    """One performance; a kernel takes it as it is."""

    # (JOINTS, 8): centre, turns, and (swing, rate, lag) twice; a rate is in 1/256 of the phase's.
    joints: Int64s
    start: int  # phase at the beginning
    speed: int  # phase a millisecond, in 1/256
    wander: int  # swing of the phase around this steady run,
    wander_speed: int  # with this phase a millisecond, in 1/256


def habits(random: Random) -> Int64s:
    """Return a user's habits, (classes, JOINTS, 2): degrees added and percent of the swing."""
    return np.array(
        [
            [[random.between(-10, 10), random.between(75, 125)] for _ in range(JOINTS)]
            for _ in CLASS_NAMES
        ],
        np.int64,
    )


def perform(label: int, habit: Int64s, random: Random) -> Motion:
    """Return one performance of a class by a user with this habit, (JOINTS, 2)."""
    gesture = GESTURES[label] if label < len(GESTURES) else _improvise(random)
    size = random.between(85, 115)  # percent, of all swings alike
    rows = []
    for number, joint in enumerate((*gesture.right, *gesture.left)):
        added, share = habit[number].tolist()
        added += random.between(-4, 4)
        unit = 100 if number % 3 == 2 else 360  # of a length, or of an angle
        centre = joint.centre + (added if unit == 360 else 0)
        swing = joint.swing * share * size * TURN // (unit * 10_000)
        second = random.between(*gesture.irregular) * swing // 100
        second += random.between(0, 2) * TURN // 360
        rows.append((
            centre * TURN // unit, joint.turns,
            swing, 256, joint.lag * TURN // 360,
            second, random.between(60, 200), random.between(0, TURN - 1),
        ))  # fmt: skip
    return Motion(
        joints=np.array(rows, np.int64),
        start=random.between(0, TURN - 1),
        speed=gesture.direction * TURN * 256 // random.between(*gesture.period_ms),
        wander=random.between(0, TURN // 12),
        wander_speed=TURN * 256 // random.between(1500, 4000),
    )


def _improvise(random: Random) -> Gesture:
    """Return a gesture that is none of the others: one or both arms swing about some posture."""

    def arm() -> Arm:
        return Arm(
            Joint(random.between(10, 110), random.between(5, 35), random.between(0, 359)),
            Joint(random.between(-90, 170), random.between(15, 60), random.between(0, 359)),
            Joint(random.between(75, 95), random.between(0, 20), random.between(0, 359)),
        )

    both = random.between(0, 2)
    right = _REST if both == 1 else arm()
    left = _REST if both == 2 else arm()
    direction = 1 - 2 * random.between(0, 1)
    return Gesture(OTHER, right, left, (450, 1500), direction, irregular=(40, 90))
