"""Recordings in every format, written by other libraries or byte by byte; shared by tests."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faery
import h5py
import numpy as np

from eventsim.events.arrays import Events, Sensor, make_events

SENSOR = Sensor(40, 30)
EVENTS = make_events(
    [10, 20, 20, 4000, 9000, 9001], [0, 1, 2, 3, 33, 5], [0, 3, 2, 1, 20, 29], [1, 0, 1, 0, 1, 1]
)


def nmnist(events: Events) -> bytes:
    records = bytearray()
    for t, x, y, on in events.tolist():
        records += bytes([x, y, on << 7 | t >> 16]) + struct.pack(">H", t & 0xFFFF)
    return bytes(records)


def by_faery(suffix: str, **options: Any) -> Callable[[Events], bytes]:
    def write(events: Events) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"written{suffix}"
            size = (SENSOR.width, SENSOR.height)
            faery.events_stream_from_array(events.copy(), size).to_file(path, **options)
            return path.read_bytes()

    return write


def by_numpy(save: Callable[..., None], **arrays: Callable[[Events], Any]) -> Any:
    def write(events: Events) -> bytes:
        file = io.BytesIO()
        values = {name: value(events) for name, value in arrays.items()}
        save(file, **values) if save is not np.save else save(file, *values.values())
        return file.getvalue()

    return write


def gesture(events: Events) -> Any:
    return np.stack([events["x"], events["y"], events["on"], events["t"] / 1000], axis=1)


def hdf5(fill: Callable[[h5py.File, Events], None]) -> Callable[[Events], bytes]:
    def write(events: Events) -> bytes:
        file = io.BytesIO()
        with h5py.File(file, "w") as opened:
            fill(opened, events)
        return file.getvalue()

    return write


def fill_compound(file: h5py.File, events: Events) -> None:
    file["CD/events"] = events
    file.attrs["width"], file.attrs["height"] = SENSOR.width, SENSOR.height


def fill_group(file: h5py.File, events: Events) -> None:
    """DSEC's layout: small integers, and the start of the clock beside the group."""
    file["t_offset"] = np.int64(10)
    file["events/t"] = events["t"] - np.uint64(10)
    for name in ("x", "y", "p"):
        file[f"events/{name}"] = events[name].astype("u2")


def csv(events: Events) -> bytes:
    rows = [f"{x},{t}, {2 * on - 1},{y}\r\n" for t, x, y, on in events.tolist()]
    return ("x@40,t,p, y@30\r\n" + "".join(rows)).encode()


WRITERS: dict[str, Callable[[Events], bytes]] = {
    "nmnist.bin": nmnist,
    "faery.es": by_faery(".es", zero_t0=False),
    "faery.csv": by_faery(".csv"),
    "other_order.csv": csv,
    "lz4.aedat4": by_faery(".aedat4"),
    "zstd.aedat4": by_faery(".aedat4", compression=("zstd", 3)),
    "plain.aedat": by_faery(".aedat4", compression=None),
    "version1.dat": by_faery(".dat", version="dat1", zero_t0=False),
    "version2.dat": by_faery(".dat", version="dat2", zero_t0=False),
    "evt2.raw": by_faery(".raw", version="evt2", zero_t0=False),
    "evt3.raw": by_faery(".raw", version="evt3", zero_t0=False),
    "t0.dat": by_faery(".dat", version="dat2"),
    "t0_evt2.raw": by_faery(".raw", version="evt2"),
    "t0_evt3.evt": by_faery(".raw", version="evt3"),
    "structured.npy": by_numpy(np.save, array=lambda events: events),
    "gesture.npy": by_numpy(np.save, array=gesture),
    "one.npz": by_numpy(np.savez_compressed, anything=lambda events: events),
    "four.npz": by_numpy(
        np.savez,
        t=lambda events: events["t"].astype("i4"),
        x=lambda events: events["x"].astype("i8"),
        y=lambda events: events["y"].astype("u1"),
        p=lambda events: np.where(events["on"], 1, -1).astype("i1"),
    ),
    "compound.h5": hdf5(fill_compound),
    "group.hdf5": hdf5(fill_group),
}
# No sensor in the file.
STATELESS = {"nmnist.bin", "gesture.npy", "structured.npy", "one.npz", "four.npz", "group.hdf5"}
# What has to be said to read a file.
SAID: dict[str, Any] = {"gesture.npy": {"time_unit": "ms"}}


WHOLE = {name: write(EVENTS) for name, write in WRITERS.items()}

EVT2 = b"% evt 2.0\n% format EVT2;width=40;height=30\n% geometry 40x30\n% end\n"
EVT3 = b"% evt 3.0\n% geometry 40x30\n"
DAT = b"% Version 2\n% Width 40\n% Height 30\n\x0c\x08"


def evt2(*words: int) -> bytes:
    return EVT2 + struct.pack(f"<{len(words)}I", *words)


def evt2_event(t: int, x: int = 1, y: int = 2, on: int = 1) -> int:
    return on << 28 | (t & 63) << 22 | x << 11 | y


def evt2_high(t: int) -> int:
    return 8 << 28 | t >> 6


def evt3(*words: int) -> bytes:
    return EVT3 + struct.pack(f"<{len(words)}H", *words)


def dat(*records: tuple[int, int, int, int]) -> bytes:
    return DAT + b"".join(struct.pack("<II", t, p << 28 | y << 14 | x) for t, x, y, p in records)


def write_nmnist(path: Path, records: list[tuple[int, int, int, int]]) -> None:
    """Write records of (x, y, polarity, time in us) as the data set does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [[x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255] for x, y, p, t in records]
    path.write_bytes(bytes(byte for row in rows for byte in row))
