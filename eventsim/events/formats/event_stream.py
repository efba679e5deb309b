"""Event Stream 2 (.es): a file of DVS events -> packets of events and the stated sensor.

In: a path, from `registry.py`. faery decodes the file, in packets of its own size, and is silent
about a last event that is cut short: what the events take is counted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..faults import HALF, Faults
from .format import Asked, Contents, Format, decoding_by


def _decode(path: Path, asked: Asked) -> Contents:
    with decoding_by("faery"):
        import faery  # takes as long as all else that reading needs

        decoder = faery.file_decoder.Decoder(path, file_type="es", time_range_cache=None)
    if decoder.event_type != "dvs":
        raise RecordingError(f"the events are of type {decoder.event_type}, expected dvs")
    return Contents(_packets(path, decoder, asked.faults), Sensor(*decoder.dimensions()))


def _packets(path: Path, decoder: Iterable[Events], faults: Faults) -> Iterator[Events]:
    # An event has 5 bytes, and one more for every 127 us since the event before.
    count, end, latest_us = 0, 20, np.uint64(0)
    with decoding_by("faery"):
        for events in decoder:
            count += len(events)
            end += 5 * len(events) + int((np.diff(events["t"], prepend=latest_us) // 127).sum())
            latest_us = events["t"][-1] if len(events) else latest_us
            yield events
    with path.open("rb") as file:
        file.seek(end)
        blocks = iter(lambda: file.read(1 << 20), b"")
        if any(block.strip(b"\xff") for block in blocks):
            faults.found(
                HALF, 1,
                f"cut short or damaged: {path.stat().st_size - end} bytes are left after {count} "
                f"events, expected whole events",
            )  # fmt: skip


EVENT_STREAM = Format("Event Stream", (".es",), b"Event Stream", _decode)
