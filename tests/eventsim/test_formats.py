"""What people have: layouts, names, orders and units, each recognised, and said how."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recording_files import (
    EVENTS,
    SAID,
    SENSORS,
    WHOLE,
    WRITERS,
    by_numpy,
    evt2_event,
    evt2_high,
    fill_mvsec,
    hdf5,
)

from eventsim.errors import RecordingError
from eventsim.events.arrays import Events, Sensor, make_events
from eventsim.events.recordings import read_packets, read_recording

MANY = make_events(
    np.arange(100) * 777, np.arange(100) * 7 % 34, np.arange(100) * 5 % 30, np.arange(100) % 3 == 0
)
ROWS = list(zip(*(MANY[name].tolist() for name in ("t", "x", "y", "p")), strict=True))


def read(folder: Path, name: str, contents: str | bytes, **said: Any) -> Any:
    (folder / name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    found = read_recording(folder / name, **said)
    packets = list(read_packets(folder / name, size=7, **said))
    np.testing.assert_array_equal(np.concatenate(packets), found.events)
    return found


def lines(form: str, rows: Any = ROWS, end: str = "\n") -> str:
    return "".join(form.format(t=t, x=x, y=y, p=int(p), pm=2 * p - 1, tf=bool(p), s=t / 1e6,
                               ms=t / 1e3, n=n, ns=t * 1000) + end
                   for n, (t, x, y, p) in enumerate(rows))  # fmt: skip


S = "s (t has more than three decimals)"
TEXTS = {
    "names and commas": "t,x,y,p\n" + lines("{t},{x},{y},{p}"),
    "names of other writers": "timestamp,x,y,polarity\n" + lines("{t},{x},{y},{p}"),
    "names in capitals": "X;Y;Pol;TS\n" + lines("{x};{y};{p};{t}"),
    "quoted names": '"t","x","y","on"\n' + lines("{t},{x},{y},{p}"),
    "tabs": "t\tx\ty\tp\n" + lines("{t}\t{x}\t{y}\t{p}"),
    "spaces behind commas": "t, x, y, p\n" + lines("{t}, {x}, {y}, {p}"),
    "several spaces": lines("  {t}   {x} {y}  {p} "),
    "no names, t first": lines("{t},{x},{y},{p}"),
    "no names, t last": lines("{x},{y},{p},{t}"),
    "no names, p last": lines("{x} {y} {t} {p}"),
    "an index": ",x,y,polarity,t\n" + lines("{n},{x},{y},{p},{t}"),
    "an index without names": lines("{n},{t},{x},{y},{p}"),
    "more columns": "t,x,y,p,frame\n" + lines("{t},{x},{y},{p},9"),
    "-1 and 1": "t,x,y,p\n" + lines("{t},{x},{y},{pm}"),
    "True and False": "t,x,y,p\n" + lines("{t},{x},{y},{tf}"),
    "seconds": "t,x,y,p\n" + lines("{s:.6f},{x},{y},{p}"),
    "seconds, few decimals": "t,x,y,p\n" + lines("{s},{x},{y},{p}"),
    "milliseconds": "t,x,y,p\n" + lines("{ms},{x},{y},{p}"),
    "a named unit": "time [s],x,y,p\n" + lines("{s},{x},{y},{p}"),
    "nanoseconds by name": "t_ns,x,y,p\n" + lines("{ns},{x},{y},{p}"),
    "whole numbers as floats": "t,x,y,p\n" + lines("{t}.0,{x}.0,{y}.0,{p}.0"),
    "exponents": lines("{s:.18e} {x:.18e} {y:.18e} {p:.18e}"),
    "a comment of names": "# x y t p\n" + lines("{x} {y} {t} {p}"),
    "comments": "% a camera\n\n// an event a line\nt,x,y,p\n"
    + lines("{t},{x},{y},{p}")
    + "# end\n",
    "BOM and CRLF": "\ufefft,x,y,p\r\n" + lines("{t},{x},{y},{p}", end="\r\n") + "\r\n",
    "no last newline": ("t,x,y,p\n" + lines("{t},{x},{y},{p}"))[:-1],
}


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".log"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_of_every_kind(name: str, suffix: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"a{suffix}", TEXTS[name])
    assert found.events.tolist() == MANY.tolist()
    assert found.about.format == "text"
    how = "by their values" if name.startswith(("no names", "several", "an index w", "exp")) else (
        "by their names"
    )  # fmt: skip
    assert found.about.facts["columns"].endswith(f"({how})")
    assert ("index" not in name and "more" not in name) or found.about.facts["left_alone"]


def test_text_states_its_sensor(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "40 30\n" + lines("{s:.9f} {x} {y} {p}"))
    assert (found.sensor, found.about.sensor_from) == (Sensor(40, 30), "stated in the file")
    assert found.events.tolist() == MANY.tolist()


def test_times_in_text_are_exact(tmp_path: Path) -> None:
    """A float64 of seconds since 1970 has no microseconds to spare."""
    t = 1_999_999_999_000_000 + np.arange(50) * 7
    rows = "".join(f"{value // 10**6}.{value % 10**6:06d} 1 2 {k % 2}\n"
                   for k, value in enumerate(t.tolist()))  # fmt: skip
    assert read(tmp_path, "a.txt", rows).events["t"].tolist() == t.tolist()
    half = "t_ns,x,y,p\n1499,1,1,1\n1500,1,1,1\n"
    assert read(tmp_path, "a.txt", half).events["t"].tolist() == [1, 2]


@pytest.mark.parametrize("order", ["txyp", "xypt", "xytp"])
@pytest.mark.parametrize("turned", [False, True])
def test_arrays_without_names(order: str, turned: bool, tmp_path: Path) -> None:
    columns = np.stack([MANY[name].astype("i8") for name in order])
    found = read(tmp_path, "a.npy", by_numpy(np.save, a=lambda _: columns if turned else columns.T)(
        MANY))  # fmt: skip
    assert found.events.tolist() == MANY.tolist()
    shown = ", ".join("on" if name == "p" else name for name in order)
    assert found.about.facts["columns"] == f"{shown} (by their values)"


def test_other_names_and_more_fields(tmp_path: Path) -> None:
    rows = np.zeros(100, [("timestamp", "f8"), ("x", "i2"), ("y", "i2"), ("polarity", "i1"),
                          ("frame", "S3")])  # fmt: skip
    for name, of in (("x", "x"), ("y", "y"), ("polarity", "p")):
        rows[name] = MANY[of]
    rows["timestamp"] = MANY["t"] / 1e6
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "b.npz", **{name: rows[name] for name in rows.dtype.names or ()})
    for name in ("a.npy", "b.npz"):
        found = read_recording(tmp_path / name)
        assert found.events.tolist() == MANY.tolist()
        assert found.about.facts == {
            "columns": "timestamp, x, y, polarity (by their names)", "left_alone": "frame",
            "time_unit": S,
        } or name == "a.npy"  # fmt: skip


def test_mvsec_has_two_cameras(tmp_path: Path) -> None:
    def both(file: h5py.File, events: Events) -> None:
        fill_mvsec(file, events)
        file["davis/right/events"] = file["davis/left/events"][:10]

    moved = MANY.copy()
    moved["t"] += np.uint64(1_500_000_000_000_000)
    one = read(tmp_path, "one.hdf5", hdf5(fill_mvsec)(MANY))
    assert one.events.tolist() == moved.tolist()
    assert one.about.facts["time_unit"] == S
    two = hdf5(both)(MANY)
    with pytest.raises(RecordingError, match=r"2 event streams \(davis/left/events, davis/right"):
        read(tmp_path, "two.hdf5", two)
    assert read(tmp_path, "two.hdf5", two, stream=0).events.tolist() == moved.tolist()
    assert read(tmp_path, "two.hdf5", two, stream=1).events.tolist() == moved[:10].tolist()
    with pytest.raises(RecordingError, match="--stream is 2, expected --stream 0 to 1"):
        read_recording(tmp_path / "two.hdf5", stream=2)


def test_a_filter_that_is_missing_is_named(tmp_path: Path) -> None:
    def fill(file: h5py.File, number: int) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((6,))
        plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
        space, kind = h5py.h5s.create_simple((6,)), h5py.h5t.py_create(EVENTS.dtype, logical=True)
        group = file.create_group("CD")
        made = h5py.h5d.create(group.id, b"events", kind, space, plist)
        made.write_direct_chunk((0,), EVENTS.tobytes(), 0)

    for number, name in ((0x8ECF, "ECF, expected Prophesee's hdf5_ecf"), (999, "number 999")):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            fill(file, number)
        with pytest.raises(RecordingError, match=f"CD/events is compressed by the HDF5 .* {name}"):
            read_recording(tmp_path / "a.h5")


def test_blosc_is_read_where_hdf5plugin_is(tmp_path: Path) -> None:
    plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            data = MANY[name].astype("u4")
            file.create_dataset(f"events/{name}", data=data, chunks=(50,), **plugin.Blosc("zstd"))
    assert read_recording(tmp_path / "a.h5").events.tolist() == MANY.tolist()


HEADERS = {
    "% system_ID 21\n": Sensor(640, 480),
    "% Version 2.0\n% plugin_name hal_plugin_gen31_fx3\n% system_ID 28\n": Sensor(640, 480),
    "% format EVT2;height=480;width=640\n% end\n": Sensor(640, 480),
    "% system_ID 26\n": Sensor(1280, 720),
}


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_old_cameras(header: str, tmp_path: Path) -> None:
    words = [
        word
        for t, x, y, on in EVENTS.tolist()
        for word in (evt2_high(t), evt2_event(t, x, y, int(on)))
    ]
    found = read(tmp_path, "a.raw", header.encode() + np.array(words, "<u4").tobytes())
    assert found.events.tolist() == EVENTS.tolist()
    assert found.sensor == HEADERS[header]


def test_records_of_version_2_without_a_version(tmp_path: Path) -> None:
    body = WHOLE["version2.dat"].partition(b"\x0c\x08")[2]
    found = read(tmp_path, "a.dat", b"% Data file containing CD events.\n\x0c\x08" + body)
    assert found.events.tolist() == EVENTS.tolist()


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"nmnist.bin"}))
def test_what_the_contents_say_decides(name: str, tmp_path: Path) -> None:
    if name in SAID:
        pytest.skip("needs a unit")
    for other in ("a.bin", "a", "a.npy" if not name.endswith(".npy") else "a.raw"):
        (tmp_path / other).write_bytes(WHOLE[name])
        found = read_recording(tmp_path / other)
        assert found.events.tolist() == EVENTS.tolist()
        assert found.about.recognised.startswith("by its first bytes")
    assert "; the suffix " in found.about.recognised
    assert found.sensor == SENSORS.get(name, found.sensor)


def test_a_suffix_decides_where_the_contents_say_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "a.bin", WHOLE["nmnist.bin"])
    assert found.about.recognised == "by its suffix .bin"
    with pytest.raises(RecordingError, match=r"the file begins with .* expected the first bytes"):
        read(tmp_path, "a.xyz", WHOLE["nmnist.bin"])


def test_lines_of_a_header_are_counted_as_lines_are(tmp_path: Path) -> None:
    """A vertical tab or a lone CR is no end of a line; a header is longer than a short block."""
    text = b"# made\x0bby\x0chand\n# on\rMonday\n\nt,x,y,p\r\n1,2,3,1\n5,6,7,0\n"
    found = read(tmp_path, "a.csv", text, time_unit="us")
    assert found.events.tolist() == [(1, 2, 3, True), (5, 6, 7, False)]
    packets = read_packets(tmp_path / "a.csv", size=1, time_unit="us")
    assert np.concatenate(list(packets)).tolist() == found.events.tolist()


AEDAT2 = b"#!AER-DAT2.0\r\n# Creation time: System.currentTimeMillis() 0\r\n"
DAVIS346 = AEDAT2 + b"# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n"
AEDAT31 = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


@pytest.mark.parametrize(
    ("header", "order", "reader", "same"),
    [
        # tonic counts y from the top; x and y are the other way round in its DVS128, and ON is OFF.
        (DAVIS346, ">", "read_davis_346", lambda x, y, p: (x, 259 - y, p)),
        (AEDAT2, ">", "read_dvs_128", lambda x, y, p: (127 - y, x, 1 - p)),
        (AEDAT31, "<", "read_dvs_ibm", lambda x, y, p: (x, y, p)),
    ],
    ids=["DAVIS346", "DVS128", "AEDAT 3.1"],
)
def test_aedat_beside_tonic(
    header: bytes, order: str, reader: str, same: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Random addresses, of polarity events; two of tonic's readers ask its header for one more."""
    tonic = pytest.importorskip("tonic.io")
    rng, count = np.random.default_rng(0), 500
    if reader == "read_davis_346":
        address = rng.integers(0, 260, count) << 22 | rng.integers(0, 346, count) << 12
        address |= rng.integers(0, 2, count) << 11
    elif reader == "read_dvs_128":
        address = rng.integers(0, 2**15, count)
    else:
        address = 1 | rng.integers(0, 2, count) << 1
        address |= rng.integers(0, 128, count) << 2 | rng.integers(0, 128, count) << 17
    records = np.stack([address, np.sort(rng.integers(0, 10**6, count))], axis=1)
    if order == "<":
        header += struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, count, count, count)
    path = tmp_path / "a.aedat"
    path.write_bytes(header + records.astype(f"{order}u4").tobytes())
    if reader != "read_davis_346":
        whole = tonic.read_aedat_header_from_file
        monkeypatch.setattr(tonic, "read_aedat_header_from_file", lambda name: whole(name)[:2])
    theirs = getattr(tonic, reader)(path)[-1].astype([(name, "i8") for name in "xytp"])
    x, y, on = same(theirs["x"], theirs["y"], theirs["p"])
    np.testing.assert_array_equal(read_recording(path).events, make_events(theirs["t"], x, y, on))
