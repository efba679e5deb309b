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
import scipy.io

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


def text(events: Events) -> bytes:
    """Seconds by spaces, as e2vid and the Event Camera Dataset have them."""
    rows = [f"{t / 1e6:.6f} {x} {y} {int(on)}\n" for t, x, y, on in events.tolist()]
    return ("40 30\n" + "".join(rows)).encode()


def table(events: Events) -> bytes:
    """What pandas writes: an index, names in other words, True and False, no last newline."""
    rows = [f"{n},{x},{y},{on},{t}" for n, (t, x, y, on) in enumerate(events.tolist())]
    return "\n".join([",x,y,polarity,timestamp", *rows]).encode()


def evt21(events: Events) -> bytes:
    """One event a vector, a TIME_HIGH before each."""
    words = [
        word
        for t, x, y, on in events.tolist()
        for word in (
            8 << 60 | t >> 6 << 32,
            on << 60 | (t & 63) << 54 | (x & ~31) << 43 | y << 32 | 1 << (x & 31),
        )
    ]
    return b"% evt 2.1\n% geometry 40x30\n% end\n" + struct.pack(f"<{len(words)}Q", *words)


def dvs128(events: Events) -> bytes:
    rows = [(y << 8 | (127 - x) << 1 | 1 - on, t) for t, x, y, on in events.tolist()]
    comment = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    return comment + b"".join(struct.pack(">II", *row) for row in rows)


def davis(events: Events) -> bytes:
    rows = [(y << 22 | (239 - x) << 12 | on << 11, t) for t, x, y, on in events.tolist()]
    frame = struct.pack(">II", 1 << 31 | 5, 7)  # an APS sample, which is no event
    comment = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    return comment + b"".join(frame + struct.pack(">II", *row) for row in rows)


def aedat31(events: Events) -> bytes:
    """Two packets; each event is followed by a record that is not valid."""
    packets = []
    for part in (events[: len(events) // 2], events[len(events) // 2 :]):
        rows = [(1 | on << 1 | y << 2 | x << 17, t) for t, x, y, on in part.tolist()]
        records = b"".join(struct.pack("<IIII", *row, 0, row[1]) for row in rows)
        head = (1, 1, 8, 4, 0, 2 * len(part), 2 * len(part), len(part))
        packets.append(struct.pack("<HHIIIIII", *head) + records)
    comment = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    return comment + b"".join(packets)


def fill_mvsec(file: h5py.File, events: Events) -> None:
    """Four columns of seconds since 1970, for one of two cameras."""
    columns = [events["x"], events["y"], 1_500_000_000 + events["t"] / 1e6, 2.0 * events["on"] - 1]
    file["davis/left/events"] = np.stack(columns, axis=1)
    file["davis/left/image_raw"] = np.zeros((2, 3, 4), "u1")


def fill_rvt(file: h5py.File, events: Events) -> None:
    """RVT's and eTraM's: the size of the sensor stands beside the events."""
    for name in "txyp":
        file[f"events/{name}"] = events[name].astype("i8")
    file["events/width"], file["events/height"] = SENSOR.width, SENSOR.height


def fill_m3ed(file: h5py.File, events: Events) -> None:
    for name in "txyp":
        file[f"prophesee/left/{name}"] = events[name].astype("i8")
    file["prophesee/left/ms_map_idx"] = np.zeros(3, "u8")
    file["ouster/data"] = np.zeros((2, 2))


def fill_e2vid(file: h5py.File, events: Events) -> None:
    for name in "txyp":
        file[f"events/{name}s"] = events[name] / (1e6 if name == "t" else 1)
    file.attrs["sensor_resolution"] = (SENSOR.height, SENSOR.width)


def matlab(events: Events, **options: Any) -> bytes:
    """Return a file as those of ASL-DVS: a column of doubles for each field."""
    file = io.BytesIO()
    on = np.where(events["on"], 1, 0)
    columns = {"ts": events["t"], "x": events["x"], "y": events["y"], "pol": on}
    doubles = {name: column.astype(float)[:, None] for name, column in columns.items()}
    scipy.io.savemat(file, doubles, **options)
    return file.getvalue()


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
    "evt21.raw": evt21,
    "dvs128.aedat": dvs128,
    "davis240.aedat": davis,
    "v31.aedat": aedat31,
    "seconds.txt": text,
    "table.csv": table,
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
    "asl.mat": matlab,
    "packed.mat": lambda events: matlab(events, do_compression=True),
    "compound.h5": hdf5(fill_compound),
    "group.hdf5": hdf5(fill_group),
    "rvt.h5": hdf5(fill_rvt),
    "m3ed.h5": hdf5(fill_m3ed),
    "e2vid.h5": hdf5(fill_e2vid),
}
# No sensor in the file.
STATELESS = {
    "nmnist.bin", "gesture.npy", "structured.npy", "one.npz", "four.npz", "group.hdf5",
    "table.csv", "m3ed.h5", "asl.mat", "packed.mat",
}  # fmt: skip
SENSORS = {name: Sensor(128, 128) for name in ("dvs128.aedat", "v31.aedat")}
SENSORS["davis240.aedat"] = Sensor(240, 180)
# What has to be said to read a file.
SAID: dict[str, Any] = {
    "gesture.npy": {"time_unit": "ms"}, "e2vid.h5": {"time_unit": "s"},
    "asl.mat": {"time_unit": "us"}, "packed.mat": {"time_unit": "us"},
}  # fmt: skip


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
