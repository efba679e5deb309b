"""AEDAT 2.0 (jAER): addresses and times after lines of comment -> packets of events and the sensor.

In: a path, from `registry.py`. A record is a big-endian address and a time in microseconds, which
turns over; what the bits of an address mean depends on the camera, which the comment names where it
was written by jAER itself. Addresses are turned into pixels as jAER does it: x is mirrored, y is as
it stands, which in jAER counts from the bottom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..clocks import TurningClock
from ..faults import Faults
from .format import Asked, Contents, Format
from .records import read_records


class _Camera(NamedTuple):
    """Where in an address the pixel and its polarity are."""

    name: str
    sensor: Sensor
    is_davis: bool


_CAMERAS = (
    _Camera("DVS128", Sensor(128, 128), False),
    _Camera("DAVIS240", Sensor(240, 180), True),
    _Camera("DAVIS346", Sensor(346, 260), True),
    _Camera("DAVIS640", Sensor(640, 480), True),
)


def _decode(path: Path, asked: Asked) -> Contents:
    with path.open("rb") as file:
        header = b""
        while (line := file.readline(4096)).startswith(b"#"):
            header += line
    camera, how = _camera(path, len(header), asked, header.decode("latin-1"))
    packets = _packets(path, len(header), asked, camera)
    return Contents(packets, camera.sensor, {"camera": f"{camera.name} ({how})"})


def _camera(path: Path, start: int, asked: Asked, header: str) -> tuple[_Camera, str]:
    """Find the camera by its name in the comment, or else by its addresses."""
    for camera in _CAMERAS:
        if re.search(rf"^# *AEChip:.*{camera.name}", header, re.MULTILINE | re.IGNORECASE):
            return camera, "stated"
    for _, records in read_records(path, start, asked._replace(faults=Faults("drop")), ">u4", 2):
        if (records[:, 0] >> 16).any():
            raise RecordingError(
                "the comment names no camera, and the addresses are not those of a DVS128, "
                "expected a line '# AEChip: ...' with one of "
                f"{', '.join(camera.name for camera in _CAMERAS)}"
            )
        break
    return _CAMERAS[0], "by its addresses of 16 bits"


def _packets(path: Path, start: int, asked: Asked, camera: _Camera) -> Iterator[Events]:
    clock, width = TurningClock(32), camera.sensor.width
    for _, records in read_records(path, start, asked, ">u4", 2):
        address, t = records.astype("u4").T
        t = clock.unwrap(t)
        if camera.is_davis:  # bit 31: frames and motion; bit 10: signals from outside
            is_event = address >> 31 == 0
            is_event &= address >> 10 & 1 == 0
            x, y, on = address >> 12 & 0x3FF, address >> 22 & 0x1FF, address >> 11 & 1
        else:  # bit 15: signals from outside
            is_event = address >> 15 & 1 == 0
            x, y, on = address >> 1 & 0x7F, address >> 8 & 0x7F, 1 - (address & 1)
        x, y, on, t = x[is_event], y[is_event], on[is_event], t[is_event]
        # A pixel that the camera does not have comes out at 2^16 or more, which is refused.
        yield asked.faults.make(t, (width - 1 - x.astype("i8")) % 2**17, y, on)


AEDAT2 = Format("AEDAT 2.0", (".aedat", ".aedat2"), b"#!AER-DAT2.", _decode)
